"""In every engine a run that fails, takes too long or is interrupted says so and ends alone."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from engines_here import Contender, bits, jobs_of
from toy_tasks import SpoiltSeed, Toy

from blueprints import IDENTITY, parse
from crucible import Crucible
from crucible.errors import CrucibleError
from curricula.task import Splits
from curricula.temporal import Temporal
from curricula.xor import Xor


def test_a_job_that_meets_an_undefined_value_ends_alone(any_engine: Contender) -> None:
    task = SpoiltSeed(epochs=4)
    jobs = jobs_of(["LINEAR OUT_DIM_IN SILU"] * 3, task, seeds=[0, 1, 2])
    good, bad, other = any_engine.make().train(jobs, task)
    assert (bad.status, bad.nonfinite_step, bad.score, bad.loss_curve) == ("diverged", 0, 0.0, None)
    assert [bits(good), bits(other)] == [bits(r) for r in any_engine.make().train(jobs[::2], task)]
    assert (good.status, other.status) == ("ok", "ok")


def test_an_exploding_run_is_diverged(any_engine: Contender) -> None:
    task = Temporal(epochs=5, learning_rate=1e18)
    blueprint = parse("LINEAR OUT_DIM_IN SILU LINEAR OUT_DIM_IN".split())
    with Crucible(engine=any_engine.make()) as crucible:
        (evaluation,) = crucible.evaluate([blueprint], [task], [0])
    assert evaluation.status == "diverged"
    (result,) = evaluation.results
    assert result.nonfinite_step is not None
    assert 0 < result.nonfinite_step < task.num_steps
    assert np.isfinite(result.loss_first)
    curve = result.loss_curve
    assert curve is not None
    assert np.isfinite(curve.means).all()
    assert curve.planned_steps == task.num_steps
    assert curve.bounds[-2] < result.nonfinite_step <= curve.bounds[-1]


def test_exams_that_are_not_finite_after_finite_training_are_diverged(any_engine: Contender) -> None:
    """Every loss is finite, but the last step makes parameters so large that logits overflow."""
    task = Xor(epochs=1, batch_size=Xor().num_train, learning_rate=1e30)
    jobs = jobs_of(["LINEAR OUT_DIM_IN RELU LINEAR OUT_DIM_IN", "SIGMOID"], task)
    bad, good = any_engine.make().train(jobs, task)
    (alone,) = any_engine.make().train(jobs[1:], task)
    assert (bad.status, bad.score, bad.validation_score) == ("diverged", 0.0, 0.0)
    assert bad.reason == "logits of the validation split are not finite after training"
    assert bad.nonfinite_step is None
    assert np.isfinite(bad.loss_last)
    assert good.status == "ok"
    assert bits(good) == bits(alone)


@dataclass(frozen=True, slots=True, kw_only=True)
class HugeProbes(Xor):
    """Xor whose probe set alone overflows."""

    def draw_probe(self) -> torch.Tensor:
        return super(HugeProbes, self).draw_probe() * 1e30


def test_a_fingerprint_that_is_not_finite_is_diverged(any_engine: Contender) -> None:
    task = HugeProbes(epochs=1)
    square = "BRANCH_START LINEAR OUT_DIM_IN BRANCH_SEP LINEAR OUT_DIM_IN MERGE_MUL"
    bad, good = any_engine.make().train(jobs_of([square, "TANH"], task), task, fingerprints=True)
    assert (bad.status, bad.score, bad.fingerprint) == ("diverged", 0.0, None)
    assert bad.reason == "outputs of the slot on the probe set are not finite after training"
    assert good.status == "ok"
    assert good.fingerprint is not None
    assert np.isfinite(good.fingerprint).all()


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongAtTest(Toy):
    """A toy whose test split holds a symbol that there is not."""

    def draw(self, seed: int) -> Splits:
        splits = super(WrongAtTest, self).draw(seed)
        return replace(splits, test=replace(splits.test, inputs=splits.test.inputs + 1))


@pytest.mark.parametrize("head", ["pooled_cross_entropy", "step_cross_entropy"])
def test_a_task_that_breaks_its_word_is_refused(head, any_engine: Contender) -> None:
    task = WrongAtTest(name="wrong", asks=head)
    words = r"^test split of task 'wrong', seed 2: inputs reach from 1 to 12"
    with pytest.raises(CrucibleError, match=words):
        any_engine.make().train(jobs_of([IDENTITY], task, seeds=[2]), task)


def test_a_job_ends_at_its_deadline_and_the_others_do_not(any_engine: Contender) -> None:
    task, quick = Temporal(epochs=20_000), Temporal(epochs=1)
    (late,) = any_engine.make(max_seconds=0.2).train(jobs_of(["GRU GRU"], task), task)
    assert (late.status, late.score, late.loss_curve) == ("timed_out", 0.0, None)
    assert late.reason == "not done after 0.2 seconds"
    (done,) = any_engine.make(max_seconds=60).train(jobs_of(["GRU GRU"], quick), quick)
    assert done.status == "ok"


def test_progress_that_raises_ends_the_work(contender: Contender) -> None:
    task, calls = Temporal(epochs=20), []

    def interrupt(num_new: int) -> None:
        calls.append(num_new)
        raise KeyboardInterrupt

    jobs = jobs_of(["TANH", *["GRU GRU"] * 100], task)
    with pytest.raises(KeyboardInterrupt):
        contender.make(**contender.arrangements[-1]).train(jobs, task, progress=interrupt)
    assert len(calls) == 1
    assert calls[0] < len(jobs)
