"""Trains jobs in an engine while the caller prepares others; leaves preparing and judging to the caller."""

import queue
import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType

from crucible.engines.base import Engine, Job, Progress
from crucible.evaluation import TaskResult
from curricula.task import Task

#: Calls of the engine side by side: one trains while the other takes its results apart.
NUM_CALLS = 2
#: Calls that may have no end yet before more jobs are taken: the caller is not to compete with them.
MOST_WAITING = 3
#: Jobs of the first call, so that no core waits long; each call after it has twice as many.
FIRST_COHORT = 64
#: Seconds between two looks at what has ended.
POLL_S = 0.02

#: Where the caller wants a job's result, and the job.
Entry = tuple[int, Job]


class Pipeline:
    """Takes jobs one by one; hands them to an engine in as many calls as suit it.

    An engine that wants all jobs of a task in one call (`Engine.cohort` is absent) trains in the caller's
    thread. Otherwise calls run in threads of their own, and `progress` is still told in the caller's. Leaving
    the context early, by an error or an interrupt, ends the calls.
    """

    def __init__(self, engine: Engine, *, fingerprints: bool, progress: Progress | None) -> None:
        self._engine = engine
        self._fingerprints = fingerprints
        self._progress = progress
        self._cohort = engine.cohort
        self._size = FIRST_COHORT
        self._waiting: dict[Task, list[Entry]] = defaultdict(list)
        self._calls: list[tuple[Sequence[Entry], Future[list[TaskResult]]]] = []
        self._news: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._is_left = threading.Event()
        self._executor = ThreadPoolExecutor(NUM_CALLS, "crucible") if self._cohort else None

    def add(self, place: int, task: Task, job: Job) -> None:
        """Take a job whose result belongs in `place`."""
        entries = self._waiting[task]
        entries.append((place, job))
        if self._cohort and len(entries) >= min(self._size, self._cohort):
            self._launch(task)

    def finish(self) -> list[tuple[int, TaskResult]]:
        """Return the results of all jobs, each with its place."""
        for task in list(self._waiting):
            self._launch(task)
        self._wait(0)
        return [
            (place, result)
            for entries, future in self._calls
            for (place, _), result in zip(entries, future.result(), strict=True)
        ]

    def _wait(self, num_calls: int) -> None:
        """Wait until at most so many calls have no end yet, and pass on what is told meanwhile."""
        while True:
            self._tell()
            pending = [future for _, future in self._calls if not future.done()]
            if len(pending) <= num_calls:
                return
            wait(pending, POLL_S, FIRST_COMPLETED)

    def _launch(self, task: Task) -> None:
        entries = self._waiting.pop(task)
        jobs = [job for _, job in entries]
        if self._executor is None:
            future: Future[list[TaskResult]] = Future()
            future.set_result(self._train(jobs, task, self._progress))
        else:
            future = self._executor.submit(self._train, jobs, task, self._note)
            self._size *= 2
        self._calls.append((entries, future))
        if self._executor is not None:
            self._wait(MOST_WAITING)

    def _train(self, jobs: Sequence[Job], task: Task, progress: Progress | None) -> list[TaskResult]:
        return self._engine.train(jobs, task, fingerprints=self._fingerprints, progress=progress)

    def _note(self, num_new: int) -> None:
        """Take an engine's progress in a call's thread."""
        if self._is_left.is_set():
            raise InterruptedError("the caller waits for no results any more")
        self._news.put(num_new)

    def _tell(self) -> None:
        """Pass on the progress, in the caller's thread, and an error of a call as soon as it is there."""
        num_new = 0
        while not self._news.empty():
            num_new += self._news.get()
        if self._progress is not None and num_new:
            self._progress(num_new)
        for _, future in self._calls:
            if future.done():
                future.result()

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_left.set()
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
