"""Less work: what is spared ends as if its task had been that short, and nobody else notices."""

import random
from dataclasses import replace

import numpy as np
import pytest
from engines_here import NEEDS_NATIVE, Doubled, bits, jobs_of
from toy_tasks import GRAFT_TOYS, TOYS, SpoiltSeed, Toy

from blueprints import CORE_LANGUAGE, Blueprint, parse, random_program
from crucible import Crucible, TaskResult
from crucible.effort import FULL, RUNGS, STOP, Effort, Rung, best, cohorts
from crucible.engines.base import Job
from crucible.engines.batched import BatchedEngine
from crucible.engines.native.engine import NativeEngine
from crucible.errors import CrucibleError
from curricula.task import Task
from curricula.temporal import Temporal
from curricula.xor import Xor


def figures(result: TaskResult) -> tuple[str, bytes | None]:
    """Return the bits of a result but for its loss curve, whose spans are of the task's steps."""
    return bits(replace(result, loss_curve=None))


def assert_begins(result: TaskResult, whole: TaskResult) -> None:
    """Check that a result's loss curve is that of the whole training, to the bit, as far as it goes."""
    assert result.num_steps is not None
    assert result.loss_curve is not None
    assert whole.loss_curve is not None
    bounds, means = result.loss_curve.bounds, result.loss_curve.means
    assert bounds == whole.loss_curve.bounds[: len(bounds)]
    assert bounds[-2] < result.num_steps <= bounds[-1]
    num_full = sum(bound <= result.num_steps for bound in bounds[1:])
    assert means[:num_full] == whole.loss_curve.means[:num_full]


def core_jobs(task: Task, num: int) -> list[Job]:
    """Return jobs of random programs of the core, of three seeds."""
    rng = random.Random(1)
    blueprints = [parse(random_program(rng, CORE_LANGUAGE, min_ops=1, max_ops=12)) for _ in range(num)]
    return jobs_of(blueprints, task, seeds=[0, 1, 2])


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan"), 0.1234])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(
        CrucibleError, match=r"stop_at = .*; expected a number from 0 to 1 with at most three"
    ):
        Effort(stop_at=share)


@pytest.mark.parametrize("engine", ["batched", "reference"])
def test_an_engine_that_cannot_save_work_refuses_to(engine) -> None:
    with pytest.raises(
        CrucibleError, match=f"engine '{engine}' always does the full work.*use the engine 'native'"
    ):
        Crucible(engine=engine, num_workers=1, effort=STOP)
    Crucible(engine=engine, num_workers=1, effort=FULL).close()


@NEEDS_NATIVE
def test_the_effort_is_part_of_the_engines_id_unless_it_is_full() -> None:
    with Crucible(engine="native", num_workers=1) as crucible:
        full = crucible.engine_id
    with Crucible(engine="native", num_workers=1, effort=Effort(stop_at=0.25)) as crucible:
        assert crucible.engine_id == full.replace("+batched", "/stop-0.25+batched")
    assert "stop" not in full
    assert NativeEngine(effort=Effort()).engine_id == NativeEngine().engine_id == full


@NEEDS_NATIVE
def test_a_run_that_stops_is_the_run_of_a_task_that_is_so_short() -> None:
    task = Xor()
    jobs = core_jobs(task, 64)
    results = NativeEngine(num_workers=2, effort=STOP).train(jobs, task, fingerprints=True)
    full = NativeEngine(num_workers=2).train(jobs, task, fingerprints=True)
    steps = [result.num_steps for result in results]
    assert all(result.num_steps == task.num_steps for result in full)
    assert 20 < sum(n != task.num_steps for n in steps if n is not None) < 64
    for job, result, whole in zip(jobs, results, full, strict=True):
        assert result.num_steps is not None
        if result.num_steps == task.num_steps:
            assert bits(result) == bits(whole)
            continue
        assert result.solved_step == result.num_steps - 1
        (short,) = NativeEngine().train([job], replace(task, epochs=result.num_steps), fingerprints=True)
        assert figures(result) == figures(short)
        assert_begins(result, whole)


@NEEDS_NATIVE
def test_a_lower_loss_to_stop_at_takes_more_steps() -> None:
    task = Xor()
    jobs = core_jobs(task, 32)
    easy, hard = (
        [r.num_steps or 0 for r in NativeEngine(effort=Effort(stop_at=share)).train(jobs, task)]
        for share in (1.0, 0.1)
    )
    assert all(a <= b for a, b in zip(easy, hard, strict=True))
    assert sum(easy) < sum(hard) < task.num_steps * len(jobs)


@NEEDS_NATIVE
@pytest.mark.parametrize("task", [Xor(), Xor(batch_size=16, epochs=25), Temporal(epochs=25)], ids=repr)
def test_whether_a_run_stops_depends_on_it_alone(task: Task) -> None:
    jobs = core_jobs(task, 48)
    engine = NativeEngine(effort=STOP)
    together = [bits(result) for result in engine.train(jobs, task, fingerprints=True)]
    assert any(result.num_steps != task.num_steps for result in engine.train(jobs, task))
    shuffled = NativeEngine(num_workers=2, effort=STOP).train(jobs[::-1], task, fingerprints=True)
    assert [bits(result) for result in shuffled] == together[::-1]
    for i in range(0, len(jobs), 6):
        (alone,) = engine.train([jobs[i]], task, fingerprints=True)
        assert bits(alone) == together[i]


@NEEDS_NATIVE
def test_programs_that_the_interpreter_does_not_know_are_trained_in_full_and_the_log_says_so(caplog) -> None:
    task = Xor()
    jobs = jobs_of(["LINEAR OUT_DIM_DOUBLE SIGMOID LINEAR OUT_DIM_IN"], task)
    kernels = {"SIGMOID": Doubled()}
    with caplog.at_level("INFO"):
        (own,) = NativeEngine(kernels=kernels, effort=STOP).train(jobs, task)
    (batched,) = BatchedEngine(kernels=kernels).train(jobs, task)
    assert bits(own) == bits(batched)
    assert own.num_steps == task.num_steps
    assert own.solved_step is not None
    assert "go to the batched engine, which trains them in full" in caplog.text


HALVES = Effort(rungs=(Rung(steps=0.25, kept=0.5), Rung(steps=0.5, kept=0.5)))


@pytest.mark.parametrize(
    ("rung", "words"),
    [
        ({"steps": 0.0, "kept": 0.5}, "a rung's steps = 0.0; expected more than 0, less than 1"),
        ({"steps": 0.5, "kept": 1.0}, "a rung's kept = 1.0; expected more than 0, less than 1"),
        ({"steps": 0.3333, "kept": 0.5}, "at most three decimals"),
    ],
)
def test_a_rung_that_is_none_is_refused(rung: dict[str, float], words: str) -> None:
    with pytest.raises(CrucibleError, match=words):
        Rung(**rung)


@pytest.mark.parametrize("steps", [(0.5, 0.25), (0.5, 0.5), (0.1, 0.2, 0.3, 0.4, 0.5)])
def test_rungs_that_do_not_ascend_or_are_too_many_are_refused(steps: tuple[float, ...]) -> None:
    with pytest.raises(
        CrucibleError, match=r"rungs after \[.*\] of the steps; expected at most 4, each later"
    ):
        Effort(rungs=tuple(Rung(steps=share, kept=0.5) for share in steps))


def test_jobs_pause_after_whole_steps_and_never_twice_in_one_place() -> None:
    (quarter, half) = HALVES.rungs
    assert HALVES.pauses(200) == [(50, quarter), (100, half)]
    assert HALVES.pauses(10) == [(2, quarter), (5, half)]
    assert HALVES.pauses(2) == [(1, quarter)]
    assert HALVES.pauses(1) == FULL.pauses(200) == []


def test_cohorts_are_neighbours_as_many_as_their_number_and_memory_allow(monkeypatch) -> None:
    monkeypatch.setattr("crucible.effort.COHORT_JOBS", 3)
    monkeypatch.setattr("crucible.effort.COHORT_BYTES", 10)
    assert cohorts([1] * 7) == [range(0, 3), range(3, 6), range(6, 7)]
    assert cohorts([6, 4, 1, 20, 1]) == [range(0, 2), range(2, 3), range(3, 4), range(4, 5)]


def test_the_best_have_the_highest_score_then_the_lowest_loss_then_the_earliest_place() -> None:
    scores = np.array([0.5, np.nan, 0.9, 0.5, 0.5, 0.7])
    losses = np.array([0.2, 0.0, 0.6, 0.1, 0.2, np.nan])
    orders = [best(kept, scores, losses).tolist() for kept in (0.1, 0.333, 0.5, 0.66, 0.8, 0.999)]
    assert orders == [[2], [2, 5], [2, 3, 5], [0, 2, 3, 5], [0, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]


@NEEDS_NATIVE
@pytest.mark.parametrize("task", [Xor(epochs=40), Temporal(epochs=8), Xor(batch_size=16, epochs=8)], ids=repr)
def test_who_is_kept_goes_on_as_if_never_paused_and_who_is_dropped_had_a_shorter_task(task: Task) -> None:
    rng = random.Random(2)
    jobs = core_jobs(task, 32)
    jobs += jobs_of([parse(random_program(rng)) for _ in range(32)], task)
    effort = Effort(rungs=(Rung(steps=0.25, kept=0.6), Rung(steps=0.75, kept=0.5)))
    results = NativeEngine(num_workers=2, effort=effort).train(jobs, task, fingerprints=True)
    full = NativeEngine(num_workers=2).train(jobs, task, fingerprints=True)
    steps = [result.num_steps for result in results]
    first, second = task.num_steps // 4, task.num_steps * 3 // 4
    assert [steps.count(n) for n in (first, second, task.num_steps)] == [25, 19, 20]
    an_epoch = task.num_train // task.batch_size
    for n in (first, second, task.num_steps):
        chosen = [i for i in range(len(jobs)) if steps[i] == n]
        short = replace(task, epochs=n // an_epoch)
        expected = NativeEngine(num_workers=2).train([jobs[i] for i in chosen], short, fingerprints=True)
        assert [figures(results[i]) for i in chosen] == [figures(result) for result in expected]
    for result, whole in zip(results, full, strict=True):
        assert_begins(result, whole)
    assert [bits(a) == bits(b) for a, b in zip(results, full, strict=True)] == [
        n == task.num_steps for n in steps
    ]
    at_first = NativeEngine(num_workers=2).train(jobs, replace(task, epochs=first // an_epoch))
    scores = np.array([result.validation_score for result in at_first])
    is_dropped = np.array(steps) == first
    assert scores[is_dropped].max() <= scores[~is_dropped].min()


@NEEDS_NATIVE
@pytest.mark.parametrize("task", [*TOYS.values(), *GRAFT_TOYS.values()], ids=lambda task: task.name)
def test_rungs_keep_the_best_under_every_head_and_of_grafts(
    task: Toy, causal_blueprints: list[Blueprint]
) -> None:
    task = replace(task, epochs=8)
    jobs = jobs_of(causal_blueprints[:24], task)
    results = NativeEngine(num_workers=2, effort=HALVES).train(jobs, task)
    full = NativeEngine(num_workers=2).train(jobs, task)
    steps = np.array([result.num_steps for result in results])
    assert [(steps == share * task.num_steps).sum() for share in (0.25, 0.5, 1)] == [12, 6, 6]
    is_kept = steps == task.num_steps
    assert [bits(results[i]) for i in np.flatnonzero(is_kept)] == [
        bits(full[i]) for i in np.flatnonzero(is_kept)
    ]
    at_first = NativeEngine(num_workers=2).train(jobs, replace(task, epochs=2))
    scores = np.array([result.validation_score for result in at_first])
    is_dropped = steps == task.num_steps / 4
    assert scores[is_dropped].max() <= scores[~is_dropped].min()


@NEEDS_NATIVE
def test_who_is_kept_does_not_depend_on_the_number_of_threads() -> None:
    task = Temporal(epochs=4)
    jobs = core_jobs(task, 48)
    one, two = (
        NativeEngine(num_workers=num, effort=HALVES).train(jobs, task, fingerprints=True) for num in (1, 2)
    )
    assert [bits(result) for result in one] == [bits(result) for result in two]


@NEEDS_NATIVE
def test_cohorts_of_one_call_do_not_compete(monkeypatch) -> None:
    task = Xor(epochs=8)
    jobs = core_jobs(task, 32)
    engine = NativeEngine(effort=HALVES)
    monkeypatch.setattr("crucible.effort.COHORT_JOBS", 20)
    together = [bits(result) for result in engine.train(jobs, task)]
    assert together == [bits(r) for part in (jobs[:20], jobs[20:]) for r in engine.train(part, task)]
    assert [result.num_steps for result in engine.train(jobs[20:], task)].count(task.num_steps) == 3


@NEEDS_NATIVE
def test_a_job_that_is_solved_keeps_its_place_among_those_that_compete() -> None:
    """The best half of 48 goes on; of those that are solved by then, nobody is dropped."""
    task = Xor()
    jobs = core_jobs(task, 48)
    effort = Effort(stop_at=1.0, rungs=(Rung(steps=0.3, kept=0.5),))
    stopped = NativeEngine(effort=STOP).train(jobs, task)
    results = NativeEngine(effort=effort).train(jobs, task)
    dropped = [i for i in range(48) if bits(results[i]) != bits(stopped[i])]
    assert {results[i].num_steps for i in dropped} == {30}
    is_solved_by_then = [(result.num_steps or 0) <= 30 for result in stopped]
    assert 0 < sum(is_solved_by_then) < 24
    assert not any(is_solved_by_then[i] for i in dropped)
    assert 24 - sum(is_solved_by_then) <= len(dropped) <= 24


@NEEDS_NATIVE
def test_a_job_that_meets_an_undefined_value_is_nobodys_better() -> None:
    task = SpoiltSeed(epochs=8)
    jobs = jobs_of(["LINEAR OUT_DIM_IN SILU"] * 4, task, seeds=[1, 0, 2, 3])
    results = NativeEngine(effort=HALVES).train(jobs, task)
    assert (results[0].status, results[0].num_steps, results[0].nonfinite_step) == ("diverged", 0, 0)
    assert [result.status for result in results[1:]] == ["ok"] * 3
    assert sorted(result.num_steps or 0 for result in results) == [0, 2, 4, 8]


@NEEDS_NATIVE
def test_jobs_that_do_not_compete_are_neither_dropped_nor_in_the_way(short_xor: Xor) -> None:
    jobs = core_jobs(short_xor, 12)
    veterans = [replace(job, competes=False) for job in jobs[:4]]
    engine = NativeEngine(effort=HALVES)
    together = [bits(result) for result in engine.train([*veterans, *jobs[4:]], short_xor)]
    assert together[:4] == [bits(result) for result in NativeEngine().train(jobs[:4], short_xor)]
    assert together[4:] == [bits(result) for result in engine.train(jobs[4:], short_xor)]
    runs = [(parse(["TANH"]), short_xor, seed) for seed in range(8)]
    with Crucible(engine="native", num_workers=1, effort=HALVES) as crucible:
        steps = [
            sorted(result.num_steps or 0 for result in crucible.run_jobs(runs, competing=competing))
            for competing in (True, False)
        ]
    assert steps == [[1, 1, 1, 1, 2, 2, 4, 4], [4] * 8]


@NEEDS_NATIVE
def test_a_deadline_holds_beyond_a_rung() -> None:
    task = Temporal(epochs=20_000)
    effort = Effort(rungs=(Rung(steps=0.001, kept=0.5),))
    engine = NativeEngine(max_seconds=0.5, effort=effort)
    late, dropped = engine.train(jobs_of(["GRU GRU"] * 2, task, seeds=[0, 1]), task)
    if late.status == "ok":
        late, dropped = dropped, late
    assert (late.status, late.reason) == ("timed_out", "not done after 0.5 seconds")
    assert (dropped.status, dropped.num_steps) == ("ok", 80)


@NEEDS_NATIVE
def test_progress_counts_each_job_once_and_may_end_the_work() -> None:
    task = Temporal(epochs=8)
    finished: list[int] = []
    jobs = core_jobs(task, 48)
    NativeEngine(num_workers=2, effort=HALVES).train(jobs, task, progress=finished.append)
    assert sum(finished) == 48
    assert min(finished) >= 0

    def interrupt(num_new: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        NativeEngine(effort=HALVES).train(jobs, task, progress=interrupt)


@NEEDS_NATIVE
def test_programs_that_the_interpreter_does_not_know_compete_with_nobody() -> None:
    task = Xor(epochs=8)
    known, foreign = (f"LINEAR OUT_DIM_IN {op}" for op in ("TANH", "SIGMOID"))
    jobs = jobs_of([known, foreign, known, foreign], task, seeds=[0, 0, 1, 1])
    results = NativeEngine(kernels={"SIGMOID": Doubled()}, effort=HALVES).train(jobs, task)
    assert [result.num_steps for result in results[1::2]] == [8, 8]
    assert sorted(result.num_steps or 0 for result in results[::2]) == [2, 8]


@NEEDS_NATIVE
def test_every_effort_has_an_id_of_its_own() -> None:
    efforts = (FULL, STOP, RUNGS, HALVES, replace(HALVES, stop_at=1.0), replace(HALVES, stop_at=0.999))
    ids = [NativeEngine(effort=effort).engine_id for effort in efforts]
    assert len(set(ids)) == len(ids)
    assert "/stop-0.999/rungs-0.25:0.5,0.5:0.5+batched" in ids[-1]
    longest = Effort(stop_at=0.999, rungs=tuple(Rung(steps=0.111 + i / 8, kept=0.123) for i in range(4)))
    assert len(NativeEngine(effort=longest).engine_id) <= 128, "the ledger's column is no longer"
