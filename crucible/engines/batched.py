"""The batched engine: one op for many jobs, over all cores; leaves training a chunk to training.py."""

from collections.abc import Mapping, Sequence

import torch

from crucible.engines.base import Engine, Job, Progress, single_thread
from crucible.engines.chunks import split_jobs
from crucible.engines.kernels import Kernel, kernels_with
from crucible.engines.training import Batch, Head, train_jobs
from crucible.engines.workers import UnloadableError, WorkerPool
from crucible.evaluation import TaskResult
from crucible.program import Program
from curricula.task import Task


class BatchedEngine(Engine):
    """Op batching with hand-written backwards, in chunks that stay near the caches.

    Attributes:
        num_workers: processes that train chunks; with one, chunks are trained in this process.
        kernels: a caller's own, beside or instead of the built-in ones.
        chunk_bytes: about how much memory the values of one chunk take; the task decides when absent.
    """

    name = "batched"
    version = 3

    def __init__(
        self,
        device: torch.device | str = "cpu",
        num_workers: int = 1,
        kernels: Mapping[str, Kernel] | None = None,
        chunk_bytes: int | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.num_workers = num_workers if self.device.type == "cpu" else 1
        self.chunk_bytes = chunk_bytes
        self._own_kernels = dict(kernels or {})
        self._pool = WorkerPool(self.num_workers) if self.num_workers > 1 else None

    def train(
        self,
        jobs: Sequence[Job],
        task: Task,
        *,
        fingerprints: bool = False,
        progress: Progress | None = None,
    ) -> list[TaskResult]:
        """Train and examine every job, chunk by chunk."""
        results: list[TaskResult | None] = [None] * len(jobs)
        chunks = split_jobs(jobs, task, self.device, self.num_workers, self.chunk_bytes)

        def done(indices: Sequence[int], part: Sequence[TaskResult]) -> None:
            for i, result in zip(indices, part, strict=True):
                results[i] = result
            if progress is not None:
                progress(len(indices))

        def inline(indices: Sequence[int]) -> None:
            part = train_chunk([jobs[i] for i in indices], task, self._own_kernels, self.device, fingerprints)
            done(indices, part)

        if self._pool is None:
            for indices in chunks:
                inline(indices)
        else:
            self._train_in_workers(jobs, task, chunks, fingerprints, done, inline)
        assert all(result is not None for result in results), "every job must have a result"
        return results  # pyright: ignore[reportReturnType]

    def _train_in_workers(self, jobs, task, chunks, fingerprints, done, inline) -> None:
        assert self._pool is not None
        known = [list(chunk) for chunk in chunks]

        def request(indices: Sequence[int]) -> tuple:
            return [jobs[i] for i in indices], task, self._own_kernels, self.device, fingerprints

        def failed(index: int, error: Exception) -> list[tuple[int, tuple]]:
            """Train here what a worker cannot load; halve what killed one, until a job stands alone."""
            indices = known[index]
            if isinstance(error, UnloadableError):
                inline(indices)
                return []
            if len(indices) == 1:
                job = jobs[indices[0]]
                done(
                    indices, [TaskResult(task=task.name, seed=job.seed, status="crashed", reason=str(error))]
                )
                return []
            middle = len(indices) // 2
            again = []
            for half in (indices[:middle], indices[middle:]):
                known.append(half)
                again.append((len(known) - 1, request(half)))
            return again

        self._pool.run(
            train_chunk, [request(c) for c in chunks], lambda i, part: done(known[i], part), failed
        )

    def loss_and_gradients(
        self,
        programs: Sequence[Program],
        parameters: Sequence[torch.Tensor],
        inputs_BTF: torch.Tensor,
        targets_B: torch.Tensor,
        dtype: torch.dtype = torch.float32,
    ) -> list[tuple[float, torch.Tensor]]:
        """Differentiate all programs in one batch, in `dtype` throughout."""
        with single_thread(), torch.no_grad():
            kernels = kernels_with(self._own_kernels)
            batch = Batch(programs, kernels, inputs_BTF.shape[1], self.device, dtype)
            for index, flat_P in enumerate(parameters):
                batch.layout.write(batch.parameters, index, flat_P.to(dtype))
            inputs_TBF = inputs_BTF.to(self.device, dtype).transpose(0, 1).contiguous()
            plan = batch.plan(inputs_TBF.expand(len(programs), -1, -1, -1), train=True)
            one_hot_BC = torch.nn.functional.one_hot(targets_B, programs[0].num_classes)
            head = Head(plan, one_hot_BC.to(self.device, dtype)[None])
            plan.forward()
            head()
            plan.backward()
            losses = dict(zip(plan.order, head.loss_J.tolist(), strict=True))
            return [
                (losses[index], batch.layout.read(batch.gradients, index)) for index in range(len(programs))
            ]

    def close(self) -> None:
        """End the worker processes."""
        if self._pool is not None:
            self._pool.close()


def train_chunk(
    jobs: Sequence[Job],
    task: Task,
    own_kernels: Mapping[str, Kernel],
    device: torch.device,
    fingerprints: bool,
) -> list[TaskResult]:
    """Train jobs together; when memory runs out, in halves; a job that needs too much fails alone."""
    try:
        with single_thread(), torch.no_grad():
            return train_jobs(jobs, task, kernels_with(own_kernels), device, fingerprints)
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        reason = str(error).splitlines()[0]
    if len(jobs) == 1:
        return [TaskResult(task=task.name, seed=jobs[0].seed, status="out_of_memory", reason=reason)]
    middle = len(jobs) // 2
    halves = (jobs[:middle], jobs[middle:])
    return [
        result for half in halves for result in train_chunk(half, task, own_kernels, device, fingerprints)
    ]


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)
