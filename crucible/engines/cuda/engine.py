"""The persistent engine: one thread block a blueprint, from first to last step; foreign ops go to 'batched'.

The kernels read the native engine's node records and keep its statuses. Axes: J jobs, K steps, P parameters.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from crucible.engines.base import MAX_SECONDS, Job, Progress, timed_out
from crucible.engines.batched import BatchedEngine
from crucible.engines.cuda.launcher import NUM_THREADS, Launcher, Running
from crucible.engines.cuda.request import Arrays, question_of, training_of
from crucible.engines.cuda.sources import rows
from crucible.engines.interpreter import InterpreterEngine
from crucible.engines.kernels import Kernel
from crucible.engines.native.library import OK, OUT_OF_MEMORY, STOPPED, TIMED_OUT
from crucible.evaluation import TaskResult
from crucible.heads import check_split
from crucible.program import Program
from crucible.statistics import curve_statistics, judged
from curricula.task import Split, Task

#: How often progress is reported and an interruption is noticed.
POLL_S = 0.05
#: Heads that the kernels have.
HEADS_HERE = frozenset({"pooled_cross_entropy"})
#: Bytes at whose multiples the memory of each job starts, in scalars of any dtype.
ALIGNMENT = 64


class PersistentEngine(InterpreterEngine):
    """One blueprint a thread block, in one launch for as many as memory holds.

    Attributes:
        max_seconds: after so long a job ends with the status `timed_out`, counted from its block's start.
    """

    name = "persistent"
    version = 1

    def __init__(
        self,
        launcher: Launcher,
        kernels: Mapping[str, Kernel] | None = None,
        *,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        self.device = launcher.device
        self.max_seconds = max_seconds
        self._launcher = launcher
        super().__init__(rows(), BatchedEngine(self.device, 1, kernels, max_seconds=max_seconds), kernels)

    @property
    def engine_id(self) -> str:
        """The kernels' version, and the batched engine's identity for what is left to it."""
        return f"{self.name}-{self.version}+{self._batched.engine_id}"

    def _missing(self, program: Program) -> frozenset[str]:
        """Return what a program needs and the kernels do not have: ops, its head, a host that is frozen."""
        frozen = frozenset() if program.graft is None else {"a frozen host"}
        return super()._missing(program) | ({program.head.name} - HEADS_HERE) | frozen

    def _train(
        self, jobs: Sequence[Job], task: Task, *, fingerprints: bool, progress: Progress | None
    ) -> list[TaskResult]:
        arrays = training_of(jobs, task, self._rows, fingerprints, self.max_seconds, self.device)
        self._run("train", arrays, progress)
        losses_JK, norms_JK = arrays.take("losses").numpy(), arrays.take("norms").numpy()
        scores_J2, statuses_J = arrays.take("scores").numpy(), arrays.take("statuses").tolist()
        prints = arrays.take("fingerprints").numpy() if fingerprints else None
        statistics_J = curve_statistics(losses_JK, norms_JK, task)
        results = []
        for i, (job, status) in enumerate(zip(jobs, statuses_J, strict=True)):
            assert status != STOPPED, "a job that was not cancelled has an end"
            if status == TIMED_OUT:
                results.append(timed_out(job, task, self.max_seconds))
            elif status == OUT_OF_MEMORY:
                reason = f"one job needs more memory than device '{self.device}' has left"
                results.append(
                    TaskResult(task=task.name, seed=job.seed, status="out_of_memory", reason=reason)
                )
            else:
                assert status == OK
                measures = {"validation": float(scores_J2[i, 0]), "test": float(scores_J2[i, 1])}
                fingerprint = None if prints is None else prints[i].copy()
                splits = task.splits(job.seed)
                results.append(
                    judged(job.program, task, job.seed, splits, statistics_J[i], measures, fingerprint)
                )
        return results

    def _run(self, kernel: str, arrays: Arrays, progress: Progress | None) -> None:
        """Run as many jobs at once as memory holds, the costliest first; say how many have ended."""
        sizes, queue = self._measure(arrays)
        limit = self._launcher.memory() // arrays.scalar.itemsize
        launches = _launches([i for i in queue if sizes[i] <= limit], sizes, limit)
        _give_memory(arrays, launches, sizes)
        mailbox = self._launcher.mailbox(1 + len(sizes))
        mailbox[1:] = torch.tensor([STOPPED if size <= limit else OUT_OF_MEMORY for size in sizes])
        arrays.place("is_cancelled", mailbox[:1])
        arrays.place("statuses", mailbox[1:])
        tell = progress or _nobody
        reported = len(sizes) - sum(map(len, launches))
        if reported:
            tell(reported)
        for launch in launches:
            running = self._launcher.launch(kernel, len(launch), arrays.request, arrays.scalar)
            _follow(running, mailbox, reported, tell)
            arrays.request.first += len(launch)
            reported += len(launch)

    def _measure(self, arrays: Arrays) -> tuple[list[int], list[int]]:
        """Return the scalars that each job needs, and the jobs by their cost, the costliest first."""
        num_blocks = -(-arrays.request.num_jobs // NUM_THREADS)
        _wait(self._launcher.launch("measure", num_blocks, arrays.request, arrays.scalar))
        sizes = [-(-size // ALIGNMENT) * ALIGNMENT for size in arrays.take("scalars").tolist()]
        costs = arrays.take("costs").tolist()
        return sizes, sorted(range(len(sizes)), key=costs.__getitem__, reverse=True)

    def loss_and_gradients(
        self,
        programs: Sequence[Program],
        parameters: Sequence[Tensor],
        inputs: Tensor,
        targets: Tensor,
        dtype: torch.dtype = torch.float32,
    ) -> list[tuple[float, Tensor]]:
        """Differentiate each program in a block of its own, in `dtype` (float32 or float64) throughout."""
        if any(self._missing(program) for program in programs):
            return self._batched.loss_and_gradients(programs, parameters, inputs, targets, dtype)
        batch = Split(inputs=inputs, targets=targets)
        check_split(programs[0], batch, "the batch")
        arrays = question_of(programs, parameters, self._rows, batch, dtype, self.device)
        self._run("differentiate", arrays, None)
        losses = arrays.take("losses")[:, 0].tolist()
        gradients = arrays.take("gradients").split([len(flat_P) for flat_P in parameters])
        return list(zip(losses, gradients, strict=True))


def _launches(queue: Sequence[int], sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Return the jobs of each launch, none of which takes more than `limit` scalars."""
    launches: list[list[int]] = []
    filled = limit
    for i in queue:
        if filled + sizes[i] > limit:
            launches.append([])
            filled = 0
        launches[-1].append(i)
        filled += sizes[i]
    return launches


def _give_memory(arrays: Arrays, launches: Sequence[Sequence[int]], sizes: Sequence[int]) -> None:
    """Allot memory to the jobs of each launch; all launches share one piece."""
    starts = [0] * len(sizes)
    for launch in launches:
        place = 0
        for i in launch:
            starts[i], place = place, place + sizes[i]
    arrays.put("queue", torch.tensor([i for launch in launches for i in launch]), torch.int32)
    arrays.put("arena_starts", torch.tensor(starts), torch.int64)
    most = max((sum(sizes[i] for i in launch) for launch in launches), default=0)
    # Undefined values: whatever is read before it was written shows in the results.
    arrays.fill("arena", (most,), float("nan"), arrays.scalar)


def _wait(running: Running) -> None:
    while not running.wait(POLL_S):
        pass


def _follow(running: Running, mailbox: Tensor, reported: int, tell: Progress) -> None:
    """Tell how many more jobs have ended until the launch has; whatever the teller raises ends the others."""
    is_over = False
    try:
        while not is_over:
            is_over = running.wait(POLL_S)
            num_ended = int((mailbox[1:] != STOPPED).sum())
            if num_ended > reported:
                tell(num_ended - reported)
            reported = num_ended
    finally:
        if not is_over:
            mailbox[0] = 1
            _wait(running)


def _nobody(num_new: int) -> None:
    """Take the news of jobs that nobody asked for."""
