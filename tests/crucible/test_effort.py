"""Less work: what is spared ends as if its task had been that short, and nobody else notices."""

import random
from dataclasses import replace

import pytest
import torch
from test_crucible_results import bits

from blueprints import CORE_LANGUAGE, parse, random_program
from crucible import Crucible
from crucible.effort import FULL, STOP, Effort
from crucible.engines.base import Job
from crucible.engines.batched import BatchedEngine
from crucible.engines.kernels import AutogradKernel
from crucible.engines.native import library
from crucible.engines.native.engine import NativeEngine
from crucible.errors import CrucibleError
from crucible.program import build_program
from curricula.task import Task
from curricula.temporal import Temporal
from curricula.xor import Xor

needs_native = pytest.mark.skipif(
    library.find_library() is None, reason="the package was built without a C++ compiler"
)


def jobs_of(task: Task, num: int) -> list[Job]:
    """Return jobs of random programs of the core, of three seeds."""
    rng = random.Random(1)
    blueprints = [parse(random_program(rng, CORE_LANGUAGE, min_ops=1, max_ops=12)) for _ in range(num)]
    return [Job(program=build_program(b.graph, task, 16), seed=i % 3) for i, b in enumerate(blueprints)]


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


@needs_native
def test_the_effort_is_part_of_the_engines_id_unless_it_is_full() -> None:
    with Crucible(engine="native", num_workers=1) as crucible:
        full = crucible.engine_id
    with Crucible(engine="native", num_workers=1, effort=Effort(stop_at=0.25)) as crucible:
        assert crucible.engine_id == full.replace("+batched", "/stop-0.25+batched")
    assert "stop" not in full
    assert NativeEngine(effort=Effort()).engine_id == NativeEngine().engine_id == full


@needs_native
def test_a_run_that_stops_is_the_run_of_a_task_that_is_so_short() -> None:
    task = Xor()
    jobs = jobs_of(task, 64)
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
        assert bits(result) == bits(short)


@needs_native
def test_a_lower_loss_to_stop_at_takes_more_steps() -> None:
    task = Xor()
    jobs = jobs_of(task, 32)
    easy, hard = (
        [r.num_steps or 0 for r in NativeEngine(effort=Effort(stop_at=share)).train(jobs, task)]
        for share in (1.0, 0.1)
    )
    assert all(a <= b for a, b in zip(easy, hard, strict=True))
    assert sum(easy) < sum(hard) < task.num_steps * len(jobs)


@needs_native
@pytest.mark.parametrize("task", [Xor(), Xor(batch_size=16, epochs=25), Temporal(epochs=25)], ids=repr)
def test_whether_a_run_stops_depends_on_it_alone(task: Task) -> None:
    jobs = jobs_of(task, 48)
    engine = NativeEngine(effort=STOP)
    together = [bits(result) for result in engine.train(jobs, task, fingerprints=True)]
    assert any(result.num_steps != task.num_steps for result in engine.train(jobs, task))
    shuffled = NativeEngine(num_workers=2, effort=STOP).train(jobs[::-1], task, fingerprints=True)
    assert [bits(result) for result in shuffled] == together[::-1]
    for i in range(0, len(jobs), 6):
        (alone,) = engine.train([jobs[i]], task, fingerprints=True)
        assert bits(alone) == together[i]


class Doubled(AutogradKernel):
    """SIGMOID, twice as large."""

    def forward(self, x, parameters, signature):
        return 2 * torch.sigmoid(x[0])


@needs_native
def test_programs_that_the_interpreter_does_not_know_are_trained_in_full_and_the_log_says_so(caplog) -> None:
    task = Xor()
    program = build_program(parse("LINEAR OUT_DIM_DOUBLE SIGMOID LINEAR OUT_DIM_IN".split()).graph, task, 16)
    jobs, kernels = [Job(program=program, seed=0)], {"SIGMOID": Doubled()}
    with caplog.at_level("INFO"):
        (own,) = NativeEngine(kernels=kernels, effort=STOP).train(jobs, task)
    (batched,) = BatchedEngine(kernels=kernels).train(jobs, task)
    assert bits(own) == bits(batched)
    assert own.num_steps == task.num_steps
    assert own.solved_step is not None
    assert "go to the batched engine, which trains them in full" in caplog.text
