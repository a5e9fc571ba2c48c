"""Graft asks what its docstring says; weak blueprints gain nothing, strong ones do, harm is found out.

That hosts stay frozen, in every engine, stands in tests/crucible/test_grafting.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from blueprints import IDENTITY, Blueprint, human, parse
from crucible import Crucible
from crucible.evaluation import TaskResult
from crucible.grading import MAX_RISE
from crucible.grafting import trained_host
from curricula.graft import Graft
from curricula.suites import task_named
from curricula.task import Split, Splits, TaskError

SEEDS = tuple(range(8))
TASK = Graft()


@pytest.fixture(scope="module")
def crucible() -> Iterator[Crucible]:
    with Crucible() as opened:
        yield opened


def results_of(crucible: Crucible, blueprints: dict[str, Blueprint]) -> dict[str, tuple[TaskResult, ...]]:
    evaluations = crucible.evaluate(list(blueprints.values()), [TASK], list(SEEDS))
    return {name: e.results for name, e in zip(blueprints, evaluations, strict=True)}


def mean(values: list[float | None]) -> float:
    return float(np.mean([value for value in values if value is not None]))


def contexts(split: Split) -> torch.Tensor:
    context_BT = split.inputs[..., 4]
    assert torch.equal(context_BT, context_BT[:, :1].expand_as(context_BT))
    return context_BT[:, 0]


class TestQuestions:
    def test_each_split_asks_what_it_should(self) -> None:
        splits = TASK.splits(0)
        assert splits.retention is not None
        assert contexts(splits.train).mean() == 0.5
        assert contexts(splits.validation).min() == contexts(splits.test).min() == 1.0
        assert contexts(splits.retention).max() == 0.0

    def test_old_questions_show_no_signs_and_new_ones_always_do(self) -> None:
        train = TASK.splits(0).train
        signs = train.inputs[..., 2:4].abs()
        assert torch.equal(signs, train.inputs[..., 4:].expand_as(signs))

    def test_noise_is_where_it_should_be(self) -> None:
        quiet = replace(TASK, name="quiet", noise=0.0).splits(0)
        noisy = TASK.splits(0)
        assert torch.equal(quiet.train.inputs, noisy.train.inputs)
        noise = noisy.train.targets - quiet.train.targets
        assert float(noise[~noise.isnan()].std()) == pytest.approx(TASK.noise, rel=0.02)

    def test_steps_without_all_delays_behind_them_do_not_count(self) -> None:
        for split in TASK.splits(0).by_name.values():
            counts_T = ~split.targets[..., 0].isnan()
            assert not counts_T[:, : max(TASK.delays)].any()
            assert counts_T[:, max(TASK.delays) :].all()

    def test_no_example_of_the_retention_split_is_in_another(self) -> None:
        rows = [row.numpy().tobytes() for split in TASK.splits(0).by_name.values() for row in split.inputs]
        assert len(set(rows)) == len(rows)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"delays": ()}, r"delays = \(\); expected different ones, none negative"),
            ({"delays": (1, 1)}, r"delays = \(1, 1\); expected different ones"),
            ({"delays": (-1,)}, r"delays = \(-1,\); expected different ones, none negative"),
            ({"length": 4}, "length = 4; expected more than the longest delay"),
        ],
    )
    def test_knobs_that_cannot_be_honoured_are_refused(self, changes: dict, message: str) -> None:
        with pytest.raises(TaskError, match=message):
            replace(TASK, **changes)

    def test_the_host_answers_the_old_question_as_well_as_noise_allows_and_the_new_one_not_at_all(
        self,
    ) -> None:
        for seed in SEEDS:
            losses = trained_host(TASK, seed, 16).losses
            assert losses["retention"] == pytest.approx(TASK.noise**2, rel=0.1)
            assert losses["test"] == pytest.approx(1.0, rel=0.1)  # the variance of what it does not answer


@pytest.mark.slow
def test_affine_blueprints_gain_nothing_and_spoil_nothing(crucible: Crucible) -> None:
    weak = {
        "identity": IDENTITY,
        "linear": parse(("LINEAR", "OUT_DIM_IN")),
        "convolution": parse("CONV1D KERNEL_5 CHANNELS_IN".split()),
        "low_rank_residual": human("low_rank_residual"),
    }
    for name, results in results_of(crucible, weak).items():
        for result in results:
            assert result.score < 0.02, name
            assert result.gain == pytest.approx(0, abs=0.02), name
            assert result.retention_rise == pytest.approx(0, abs=MAX_RISE / 2), name


@pytest.mark.slow
def test_without_memory_only_products_of_one_step_are_gained(crucible: Crucible) -> None:
    memoryless = {name: human(name) for name in ("mlp", "residual_mlp", "bottleneck_adapter")}
    for name, results in results_of(crucible, memoryless).items():
        gains = [result.gain for result in results]
        assert 0.2 < mean(gains) < 1 / len(TASK.delays) + 0.02, name


@pytest.mark.slow
def test_human_blueprints_with_memory_gain_over_the_perceptron_and_spoil_nothing(crucible: Crucible) -> None:
    strong = {name: human(name) for name in ("tcn_block", "gru", "lstm", "conv")}
    found = results_of(crucible, strong)
    for name, results in found.items():
        assert mean([result.gain_over_rival for result in results]) > 0.2, name
        assert min(result.gain_over_rival or 0.0 for result in results) > 0.1, name
        assert mean([result.score for result in results]) > 0.5, name
    assert min(result.score for result in found["lstm"]) > TASK.solved


@pytest.mark.slow
def test_a_perceptron_gains_nothing_over_the_perceptron(crucible: Crucible) -> None:
    found = results_of(crucible, {name: human(name) for name in ("mlp", "residual_mlp", "tanh_mlp")})
    for name, results in found.items():
        assert mean([result.gain_over_rival for result in results]) == pytest.approx(0, abs=0.03), name


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrehearsed(Graft):
    """Graft of which training asks the new question alone, while the old one comes with signs, too."""

    name: str = "unrehearsed"

    def draw(self, seed: int) -> Splits:
        """Draw Graft's splits, the old question taken out of training, signs put into it."""
        splits = TASK.splits(seed)
        new = (contexts(splits.train) == 1.0).nonzero()[:, 0].repeat(2)
        train = Split(inputs=splits.train.inputs[new], targets=splits.train.targets[new])
        assert splits.retention is not None
        inputs = splits.retention.inputs.clone()
        inputs[..., 2:4] = splits.test.inputs[..., 2:4]
        return replace(splits, train=train, retention=replace(splits.retention, inputs=inputs))


def test_a_blueprint_that_harms_what_the_host_did_is_found_out(crucible: Crucible) -> None:
    task = Unrehearsed()
    (evaluation,) = crucible.evaluate([human("gru")], [task], SEEDS[:2])
    for result in evaluation.results:
        assert result.status == "ok"
        assert result.gain is not None
        assert result.retention_rise is not None
        assert result.gain > 0.5
        assert result.retention_rise > MAX_RISE
        assert (result.score, result.validation_score) == (0.0, 0.0)
        assert result.reason.startswith("the old question's loss rose by")


def test_the_graft_stands_among_the_tasks() -> None:
    assert task_named("graft") == TASK
