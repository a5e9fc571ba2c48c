"""The batched engine: one op for many jobs, over all cores; leaves training a chunk to training.py."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch

from crucible.engines.base import MAX_SECONDS, Deadline, Engine, Job, Progress, single_thread, timed_out
from crucible.engines.capture import Lane, lanes_on, take_steps
from crucible.engines.chunks import CUDA_STREAMS, split_jobs
from crucible.engines.heads import PLANNED
from crucible.engines.kernels import Kernel, kernels_with
from crucible.engines.training import Batch, Trainer
from crucible.engines.workers import UnloadableError, WorkerPool
from crucible.errors import CrucibleError
from crucible.evaluation import TaskResult
from crucible.heads import check_split, inputs_as_floats, targets_as_floats
from crucible.program import Program
from curricula.task import Split, Task

T = TypeVar("T")
#: Seconds that a worker which does not answer has beyond its deadline: it may have to start first.
GRACE_SECONDS = 60.0


class BatchedEngine(Engine):
    """Op batching with hand-written backwards, in chunks that stay near the caches.

    Attributes:
        num_workers: processes that train chunks; with one, chunks are trained in this process.
        kernels: a caller's own, beside or instead of the built-in ones.
        chunk_bytes: about how much memory the values of one chunk take; the device decides when absent.
        max_seconds: what one job may take. A chunk has no more and is tried again in halves when that is
            over, until a job that takes too long stands alone.
        capture: whether steps are replayed from CUDA graphs; on CUDA they are unless it is False.
        num_streams: chunks that train side by side on a CUDA device, each in its own stream.
    """

    name = "batched"
    version = 3

    def __init__(
        self,
        device: torch.device | str = "cpu",
        num_workers: int = 1,
        kernels: Mapping[str, Kernel] | None = None,
        chunk_bytes: int | None = None,
        *,
        max_seconds: float = MAX_SECONDS,
        capture: bool | None = None,
        num_streams: int | None = None,
    ) -> None:
        self.device = torch.device(device)
        is_cuda = self.device.type == "cuda"
        _check_options(self.device, capture, num_streams)
        self.capture = is_cuda if capture is None else capture
        self.num_streams = num_streams or (CUDA_STREAMS if is_cuda else 1)
        self._lanes: Sequence[Lane] = ()
        self.num_workers = num_workers if self.device.type == "cpu" else 1
        self.chunk_bytes = chunk_bytes
        self.max_seconds = max_seconds
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
        chunks = split_jobs(
            jobs, task, self.device, self.num_workers, self.chunk_bytes, num_streams=self.num_streams
        )
        self._lanes = self._lanes or lanes_on(self.device, self.num_streams)

        def done(indices: Sequence[int], part: Sequence[TaskResult]) -> None:
            for i, result in zip(indices, part, strict=True):
                results[i] = result
            if progress is not None:
                progress(len(indices))

        def inline(*together: Sequence[int]) -> None:
            try:
                mates = [[jobs[i] for i in indices] for indices in together]
                parts = train_chunks(mates, *common, self._lanes, self.capture)
            except TimeoutError:
                smaller = _halves(*together) if len(together) == 1 else together
                for indices in smaller:
                    inline(indices)
            else:
                for indices, part in zip(together, parts, strict=True):
                    done(indices, part)

        def request(indices: Sequence[int]) -> tuple:
            return [jobs[i] for i in indices], *common

        common = (task, self._own_kernels, self.device, fingerprints, self.max_seconds)
        if self._pool is None:
            for first in range(0, len(chunks), self.num_streams):
                inline(*chunks[first : first + self.num_streams])
        else:
            self._train_in_workers(jobs, task, chunks, request, done, inline)
        assert all(result is not None for result in results), "every job must have a result"
        return results  # pyright: ignore[reportReturnType]

    def _train_in_workers(self, jobs, task, chunks, request, done, inline) -> None:
        assert self._pool is not None
        known: list[Sequence[int]] = list(chunks)

        def failed(index: int, error: Exception) -> list[tuple[int, tuple]]:
            """Train here what a worker cannot load; halve what killed one or was late, to single jobs."""
            indices = known[index]
            if isinstance(error, UnloadableError):
                inline(indices)
                return []
            if len(indices) == 1:
                job = jobs[indices[0]]
                if isinstance(error, TimeoutError):
                    result = timed_out(job, task, self.max_seconds)
                else:
                    result = TaskResult(task=task.name, seed=job.seed, status="crashed", reason=str(error))
                done(indices, [result])
                return []
            again = []
            for half in _halves(indices):
                known.append(half)
                again.append((len(known) - 1, request(half)))
            return again

        self._pool.run(
            train_chunk,
            [request(c) for c in chunks],
            lambda i, part: done(known[i], part),
            failed,
            2 * self.max_seconds + GRACE_SECONDS,
        )

    def loss_and_gradients(
        self,
        programs: Sequence[Program],
        parameters: Sequence[torch.Tensor],
        inputs: torch.Tensor,
        targets: torch.Tensor,
        dtype: torch.dtype = torch.float32,
    ) -> list[tuple[float, torch.Tensor]]:
        """Differentiate all programs in one batch, in `dtype` throughout."""
        head = programs[0].head
        check_split(programs[0], Split(inputs=inputs, targets=targets), "the batch")
        with single_thread(), torch.no_grad():
            kernels = kernels_with(self._own_kernels)
            batch = Batch(programs, kernels, inputs.shape[1], self.device, dtype)
            for index, flat_P in enumerate(parameters):
                batch.layout.write(batch.parameters, index, flat_P.to(dtype))
            inputs_TBF = inputs_as_floats(inputs, dtype).to(self.device).transpose(0, 1).contiguous()
            plan = batch.plan(inputs_TBF.expand(len(programs), -1, -1, -1), train=True)
            targets_PBL = targets_as_floats(head, targets, dtype).to(self.device).transpose(0, 1).contiguous()
            loss = PLANNED[head.loss](plan, targets_PBL[None], head)
            loss.take()
            plan.forward()
            loss()
            plan.backward()
            losses = dict(zip(plan.order, loss.loss_J.tolist(), strict=True))
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
    max_seconds: float,
) -> list[TaskResult]:
    """Train jobs together, launch by launch: the work of a worker process."""
    lanes = lanes_on(device, 1)
    return train_chunks([jobs], task, own_kernels, device, fingerprints, max_seconds, lanes, False)[0]


def train_chunks(
    chunks: Sequence[Sequence[Job]],
    task: Task,
    own_kernels: Mapping[str, Kernel],
    device: torch.device,
    fingerprints: bool,
    max_seconds: float,
    lanes: Sequence[Lane],
    capture: bool,
) -> list[list[TaskResult]]:
    """Train each chunk's jobs together, the chunks side by side in a lane each.

    When memory runs out, chunks train one after another, and one alone in halves; a job that needs too much
    fails alone. Several jobs that are not done after `max_seconds` raise a TimeoutError; one alone is
    `timed_out`.
    """
    arguments = (task, own_kernels, device, fingerprints, max_seconds, lanes, capture)
    try:
        return _train(chunks, *arguments)
    except TimeoutError:
        if [len(jobs) for jobs in chunks] != [1]:
            raise
        return [[timed_out(chunks[0][0], task, max_seconds)]]
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        reason = str(error).splitlines()[0]
    if len(chunks) > 1:
        return [train_chunks([jobs], *arguments)[0] for jobs in chunks]
    (jobs,) = chunks
    if len(jobs) == 1:
        return [[TaskResult(task=task.name, seed=jobs[0].seed, status="out_of_memory", reason=reason)]]
    return [[result for half in _halves(jobs) for result in train_chunks([half], *arguments)[0]]]


def _train(chunks, task, own_kernels, device, fingerprints, max_seconds, lanes, capture):
    """Train the chunks in a frame of its own, which gives its memory back when it fails."""
    deadline, kernels = Deadline(max_seconds), kernels_with(own_kernels)
    trainers, results = [], []
    with single_thread(), torch.no_grad():
        for jobs, lane in zip(chunks, lanes, strict=False):
            with lane():
                trainers.append(Trainer(jobs, task, kernels, device))
        take_steps(trainers, lanes, deadline, capture=capture)
        for trainer, lane in zip(trainers, lanes, strict=False):
            with lane():
                results.append(trainer.results(fingerprints))
    return results


def _check_options(device: torch.device, capture: bool | None, num_streams: int | None) -> None:
    if device.type != "cuda" and (capture or num_streams not in (None, 1)):
        raise CrucibleError(
            f"capture = {capture} and num_streams = {num_streams} on device '{device}'; "
            "graphs and streams are CUDA's: leave both out, or use device 'cuda'"
        )
    if num_streams is not None and num_streams < 1:
        raise CrucibleError(f"num_streams = {num_streams}; expected at least 1")


def _halves(items: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    middle = len(items) // 2
    return items[:middle], items[middle:]


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)
