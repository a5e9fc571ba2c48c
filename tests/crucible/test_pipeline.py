"""Jobs that train while others are prepared: the same results, no more threads, an end when one is asked for.

That one call gives each job the bits that it has alone stands in test_engine_contract.py.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from engines_here import NEEDS_NATIVE, Doubled, bits, jobs_of

from blueprints import Blueprint, parse
from crucible import Crucible, TaskResult
from crucible.crucible import Run
from crucible.effort import RUNGS
from crucible.engines.base import Engine, Job, Progress
from crucible.engines.batched import BatchedEngine
from crucible.engines.native.engine import NativeEngine
from crucible.pipeline import FIRST_COHORT, NUM_CALLS, Pipeline
from curricula.task import Task
from curricula.temporal import Temporal
from curricula.xor import Xor


@dataclass
class Recorder(BatchedEngine):
    """An engine that trains nothing: it writes down each call, and waits where a test wants it to."""

    cohort: int | None = 128
    sizes: list[int] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    may_end: threading.Event = field(default_factory=threading.Event)
    most: int = 0
    num_running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def train(
        self,
        jobs: Sequence[Job],
        task: Task,
        *,
        fingerprints: bool = False,
        progress: Progress | None = None,
    ) -> list[TaskResult]:
        with self.lock:
            self.sizes.append(len(jobs))
            self.threads.add(threading.current_thread().name)
            self.num_running += 1
            self.most = max(self.most, self.num_running)
        while not self.may_end.wait(0.005):
            if progress is not None:
                progress(0)
        with self.lock:
            self.num_running -= 1
        if progress is not None:
            progress(len(jobs))
        return [TaskResult(task=task.name, seed=job.seed, score=job.seed / 1e4) for job in jobs]


def add_all(pipeline: Pipeline, task: Task, num: int) -> None:
    (job,) = jobs_of(["TANH"], task)
    for seed in range(num):
        pipeline.add(seed, task, Job(program=job.program, seed=seed))


def test_results_come_to_their_places_in_calls_that_grow_to_the_cohort(short_xor: Xor) -> None:
    engine, told = Recorder(), []
    engine.may_end.set()
    with Pipeline(engine, fingerprints=False, progress=told.append) as pipeline:
        add_all(pipeline, short_xor, 500)
        results = dict(pipeline.finish())
    assert [results[seed].seed for seed in range(500)] == list(range(500))
    assert engine.sizes == [FIRST_COHORT, 128, 128, 128, 500 - FIRST_COHORT - 3 * 128]
    assert sum(told) == 500
    assert "MainThread" not in engine.threads


def test_an_engine_without_cohorts_has_all_jobs_of_a_task_in_one_call_here(short_xor: Xor) -> None:
    engine = Recorder(cohort=None)
    engine.may_end.set()
    with Pipeline(engine, fingerprints=False, progress=None) as pipeline:
        add_all(pipeline, short_xor, 500)
        add_all(pipeline, Temporal(), 3)
        assert engine.sizes == []
        assert len(pipeline.finish()) == 503
    assert engine.sizes == [500, 3]
    assert engine.threads == {"MainThread"}


def test_the_caller_takes_no_more_jobs_while_a_call_waits_to_begin(short_xor: Xor) -> None:
    engine = Recorder(cohort=FIRST_COHORT)
    with Pipeline(engine, fingerprints=False, progress=None) as pipeline:
        feeder = threading.Thread(target=add_all, args=(pipeline, short_xor, 10 * FIRST_COHORT))
        feeder.start()
        feeder.join(0.3)
        assert feeder.is_alive()
        assert len(engine.sizes) == NUM_CALLS
        engine.may_end.set()
        feeder.join()
        assert len(pipeline.finish()) == 10 * FIRST_COHORT
    assert engine.most == NUM_CALLS


def train_three(engine: Engine, task: Task, progress: Progress | None = None) -> list[TaskResult]:
    with Pipeline(engine, fingerprints=False, progress=progress) as pipeline:
        add_all(pipeline, task, 3)
        return [result for _, result in pipeline.finish()]


def interrupt(num_new: int) -> None:
    raise KeyboardInterrupt


def test_progress_that_raises_is_heard(short_xor: Xor) -> None:
    engine = Recorder()
    engine.may_end.set()
    with pytest.raises(KeyboardInterrupt):
        train_three(engine, short_xor, interrupt)


def give_up_after_adding(task: Task) -> None:
    with Pipeline(Recorder(), fingerprints=False, progress=None) as pipeline:
        add_all(pipeline, task, FIRST_COHORT)
        raise ZeroDivisionError


def test_an_error_of_the_caller_ends_what_would_wait_for_ever(short_xor: Xor) -> None:
    with pytest.raises(ZeroDivisionError):
        give_up_after_adding(short_xor)


class Failing(Recorder):
    def train(self, jobs, task, **keywords):
        raise MemoryError(f"{len(jobs)} jobs")


def test_an_error_of_the_engine_is_the_callers(short_xor: Xor) -> None:
    with pytest.raises(MemoryError, match="3 jobs"):
        train_three(Failing(), short_xor)


@NEEDS_NATIVE
@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_crucible_gives_the_bits_of_one_call(
    num_workers: int, short_xor: Xor, random_blueprints: list[Blueprint]
) -> None:
    blueprints = random_blueprints[: 2 * FIRST_COHORT]
    short = Temporal(epochs=1)
    runs = [Run(b, task, seed) for b in blueprints for seed in (0, 1) for task in (short_xor, short)]
    together = NativeEngine(num_workers)
    together.cohort = None
    told: list[int] = []
    with Crucible(engine=together) as crucible:
        expected = crucible.run_jobs(runs, fingerprints=True)
    with Crucible(engine=NativeEngine(num_workers)) as crucible:
        came = crucible.run_jobs(runs, fingerprints=True, progress=told.append)
    assert [bits(result) for result in came] == [bits(result) for result in expected]
    assert sum(told) == len(runs)


@NEEDS_NATIVE
def test_calls_side_by_side_share_the_workers() -> None:
    """Two calls of a one-worker engine: the jobs of the one are done before the other's first."""
    task, engine = Temporal(epochs=8), NativeEngine(num_workers=1)
    order: list[int] = []
    calls = [
        threading.Thread(
            target=lambda i=i: engine.train(
                jobs_of(["GRU"] * 8, task), task, progress=lambda num: order.extend([i] * num)
            )
        )
        for i in range(2)
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert order in ([0] * 8 + [1] * 8, [1] * 8 + [0] * 8)


@NEEDS_NATIVE
def test_an_interrupted_crucible_can_be_used_again(short_xor: Xor) -> None:
    slow = [Run(parse(["GRU"]), Temporal(epochs=50), seed) for seed in range(2 * FIRST_COHORT)]
    with Crucible(engine="native", num_workers=2) as crucible:
        with pytest.raises(KeyboardInterrupt):
            crucible.run_jobs(slow, progress=interrupt)
        (result,) = crucible.run_jobs([(parse(["TANH"]), short_xor, 0)])
    assert result.status == "ok"


@NEEDS_NATIVE
def test_rungs_and_own_kernels_want_all_jobs_together() -> None:
    assert NativeEngine().cohort
    assert NativeEngine(effort=RUNGS).cohort is None
    assert NativeEngine(kernels={"SIGMOID": Doubled()}).cohort is None
