"""Trains jobs in an engine while the caller prepares others; leaves preparing and judging to the caller."""

import queue
import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType

from crucible.engines.base import Engine, Job, Progress
from crucible.evaluation import TaskResult
from curricula.task import Task

#: Calls of the engine side by side: one trains while the other makes ready, or takes its results apart.
NUM_CALLS = 2
#: Jobs of the first call, so that no core waits long; each after it has twice as many, up to `Engine.cohort`.
FIRST_COHORT = 64

#: Where the caller wants a job's result, and the job.
Entry = tuple[int, Job]
#: A call, and how many of its jobs ended; None where it is over.
News = tuple[int, int | None]


class Pipeline:
    """Takes jobs one by one; hands them to an engine in as many calls as suit it.

    An engine that wants all jobs of a task in one call (`Engine.cohort` is absent) trains in the caller's
    thread. Otherwise calls run in threads of their own, and `progress` is still told in the caller's. The
    caller does not go on before a call's training begins: of two threads that make ready each would wait for
    the other's turn of the interpreter. Leaving the context early, by an error or an interrupt, ends the
    calls.
    """

    def __init__(self, engine: Engine, *, fingerprints: bool, progress: Progress | None) -> None:
        self._engine = engine
        self._fingerprints = fingerprints
        self._progress = progress
        self._cohort = engine.cohort
        self._size = min(FIRST_COHORT, self._cohort or FIRST_COHORT)
        self._waiting: dict[Task, list[Entry]] = defaultdict(list)
        self._calls: list[tuple[Sequence[Entry], Future[list[TaskResult]]]] = []
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._begun: set[int] = set()
        self._num_over = 0
        self._is_left = threading.Event()
        self._executor = ThreadPoolExecutor(NUM_CALLS, "crucible") if self._cohort else None

    def add(self, place: int, task: Task, job: Job) -> None:
        """Take a job whose result belongs in `place`."""
        entries = self._waiting[task]
        entries.append((place, job))
        if self._cohort and len(entries) >= self._size:
            self._launch(task)

    def finish(self) -> list[tuple[int, TaskResult]]:
        """Return the results of all jobs, each with its place."""
        for task in list(self._waiting):
            self._launch(task)
        while self._num_over < len(self._calls):
            self._listen()
        return [
            (place, result)
            for entries, future in self._calls
            for (place, _), result in zip(entries, future.result(), strict=True)
        ]

    def _launch(self, task: Task) -> None:
        """Hand over the jobs that wait, and wait until their training begins."""
        index, entries = len(self._calls), self._waiting.pop(task)
        jobs = [job for _, job in entries]
        if self._executor is None:
            future: Future[list[TaskResult]] = Future()
            future.set_result(self._train(jobs, task, self._progress))
            self._news.put((index, None))
        else:
            future = self._executor.submit(self._train, jobs, task, partial(self._note, index))
            future.add_done_callback(lambda _: self._news.put((index, None)))
        self._calls.append((entries, future))
        self._size = min(2 * self._size, self._cohort or self._size)
        while index not in self._begun:
            self._listen()

    def _train(self, jobs: Sequence[Job], task: Task, progress: Progress | None) -> list[TaskResult]:
        return self._engine.train(jobs, task, fingerprints=self._fingerprints, progress=progress)

    def _note(self, index: int, num_new: int) -> None:
        """Take an engine's progress in a call's thread."""
        if self._is_left.is_set():
            raise InterruptedError("the caller waits for no results any more")
        self._news.put((index, num_new))

    def _listen(self) -> None:
        """Wait for news; pass on progress, or the error of a call, in the caller's thread."""
        index, num_new = self._news.get()
        self._begun.add(index)
        if num_new is None:
            self._num_over += 1
            self._calls[index][1].result()
        elif self._progress is not None:
            self._progress(num_new)

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_left.set()
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
