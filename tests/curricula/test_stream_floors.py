"""Floors of the tasks of numbers: weak blueprints stay there, and named strong ones pass, in every seed."""

from collections.abc import Iterator, Sequence

import pytest

from blueprints import IDENTITY, Blueprint, human, parse
from crucible import Crucible
from curricula.suites import task_named

SEEDS = tuple(range(8))
AFFINE = {
    "identity": IDENTITY,
    "linear": parse(("LINEAR", "OUT_DIM_IN")),
    "low_rank_residual": human("low_rank_residual"),
}
#: Every step by itself, by whatever function.
MEMORYLESS = AFFINE | {name: human(name) for name in ("residual_mlp", "prenorm_mlp", "mixture_of_experts")}
#: Memory without a nonlinearity: the last seven steps, and the last nine.
LINEAR_MEMORY = {
    "filter": parse(("CONV1D", "KERNEL_7", "CHANNELS_IN")),
    "two_filters": parse(("CONV1D", "KERNEL_5", "CHANNELS_IN", "CONV1D", "KERNEL_5", "CHANNELS_IN")),
}


@pytest.fixture(scope="module")
def crucible() -> Iterator[Crucible]:
    with Crucible() as opened:
        yield opened


def scores(crucible: Crucible, task: str, blueprints: dict[str, Blueprint]) -> dict[str, list[float]]:
    evaluations = crucible.evaluate(list(blueprints.values()), [task_named(task)], list(SEEDS))
    assert all(evaluation.status == "ok" for evaluation in evaluations)
    return {
        name: [result.score for result in evaluation.results]
        for name, evaluation in zip(blueprints, evaluations, strict=True)
    }


def those_that_fail(crucible: Crucible, task: str, names: Sequence[str]) -> dict[str, float]:
    """Return the human blueprints that miss the solved threshold in some seed, with their least score."""
    found = scores(crucible, task, {name: human(name) for name in names})
    return {name: min(found[name]) for name in names if min(found[name]) < task_named(task).solved}


@pytest.mark.slow
def test_on_spirals_affine_blueprints_stay_at_the_floor_and_a_transformer_block_passes(crucible):
    found = scores(crucible, "spirals", AFFINE)
    assert {name: sum(s) / len(SEEDS) for name, s in found.items() if sum(s) > 0.55 * len(SEEDS)} == {}
    assert those_that_fail(crucible, "spirals", ["transformer_block", "mamba_block"]) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "strong"),
    [
        ("delayed_xor", ["layernorm_rnn_cell", "tcn_block"]),
        ("parity", ["gru", "lstm", "signed_scan_block"]),
        ("counting", ["gru", "lstm"]),
        ("order", ["gru_mlp", "lstm_attention", "mamba_block"]),
        ("copying", ["lstm_attention"]),
    ],
)
def test_memoryless_blueprints_are_exactly_at_chance_and_those_with_memory_pass(crucible, task, strong):
    chance = task_named(task).chance
    for name, found in scores(crucible, task, MEMORYLESS).items():
        assert found == pytest.approx([chance] * len(SEEDS), abs=1e-6), name
    for name, found in scores(crucible, task, LINEAR_MEMORY).items():
        assert sum(found) / len(SEEDS) <= chance + 0.02, name
    assert those_that_fail(crucible, task, strong) == {}


@pytest.mark.slow
@pytest.mark.parametrize("window", ["conv", "tcn_block", "min_gru", "transformer_block"])
def test_on_parity_windows_and_positive_gates_stay_at_chance(crucible, window):
    found = scores(crucible, "parity", {window: human(window)})[window]
    assert sum(found) / len(SEEDS) <= 0.55


@pytest.mark.slow
def test_on_adding_what_reads_one_step_explains_nothing_and_those_with_memory_pass(crucible):
    found = scores(crucible, "adding", MEMORYLESS)
    assert {name: max(s) for name, s in found.items() if max(s) > 0.02} == {}
    found = scores(crucible, "adding", LINEAR_MEMORY)
    assert {name: sum(s) / len(SEEDS) for name, s in found.items() if sum(s) > 0.15 * len(SEEDS)} == {}
    assert those_that_fail(crucible, "adding", ["gru", "signed_scan_block", "transformer_block"]) == {}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["delayed_xor", "parity", "counting", "adding", "copying"])
def test_tasks_of_every_step_reject_what_sees_later_steps(crucible, task):
    (refused,) = crucible.evaluate([human("gru_last")], [task_named(task)], [0])
    assert refused.status == "rejected"
    assert "not-causal" in refused.results[0].reason
