"""What the engines that interpret node records share: which programs they leave to the batched engine."""

import logging
import threading
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence

from crucible.engines.base import Engine, Job, Progress
from crucible.engines.batched import BatchedEngine
from crucible.engines.kernels import Kernel
from crucible.engines.native.records import DISSOLVED, ops_of
from crucible.evaluation import TaskResult
from crucible.program import Program
from curricula.task import Task

_LOG = logging.getLogger(__name__)


class InterpreterEngine(Engine):
    """Trains programs whose ops are rows of its table; the others go to `batched`, as the log says."""

    def __init__(
        self, rows: Mapping[str, int], batched: BatchedEngine, kernels: Mapping[str, Kernel] | None
    ) -> None:
        """Take the table's rows, by op; a caller's own kernel means another computation than its row."""
        self._rows = {op: row for op, row in rows.items() if op not in (kernels or {})}
        self._batched = batched
        self._reported: frozenset[str] = frozenset()
        self._reporting, self._batching = threading.Lock(), threading.Lock()

    def missing_ops(self, ops: Iterable[str]) -> frozenset[str]:
        """Return the ops that the table has no row for."""
        return frozenset(ops) - self._rows.keys() - DISSOLVED

    def _missing(self, program: Program) -> frozenset[str]:
        """Return what a program needs and the interpreter does not have."""
        return self.missing_ops(ops_of(program))

    def train(
        self,
        jobs: Sequence[Job],
        task: Task,
        *,
        fingerprints: bool = False,
        progress: Progress | None = None,
    ) -> list[TaskResult]:
        """Train and examine every job, here or in the batched engine; results in the order of the jobs."""
        missing = [self._missing(job.program) for job in jobs]
        own = [i for i, names in enumerate(missing) if not names]
        foreign = [i for i, names in enumerate(missing) if names]
        self._report(frozenset().union(*missing))
        results: dict[int, TaskResult] = {}
        for chosen, train in ((own, self._train), (foreign, self._train_batched)):
            if chosen:
                part = train([jobs[i] for i in chosen], task, fingerprints=fingerprints, progress=progress)
                results.update(zip(chosen, part, strict=True))
        return [results[i] for i in range(len(jobs))]

    @abstractmethod
    def _train(
        self, jobs: Sequence[Job], task: Task, *, fingerprints: bool, progress: Progress | None
    ) -> list[TaskResult]:
        """Train and examine jobs of which the interpreter has everything."""

    def _train_batched(
        self, jobs: Sequence[Job], task: Task, *, fingerprints: bool, progress: Progress | None
    ) -> list[TaskResult]:
        with self._batching:
            if progress is not None:
                progress(0)
            return self._batched.train(jobs, task, fingerprints=fingerprints, progress=progress)

    def _report(self, names: frozenset[str]) -> None:
        with self._reporting:
            is_new = not names <= self._reported
            self._reported |= names
        if is_new:
            _LOG.info(
                "no %s kernel for %s: such blueprints go to the batched engine, which trains them in full",
                self.name,
                sorted(names),
            )

    def close(self) -> None:
        """Release what the batched engine holds."""
        self._batched.close()
