"""The floor test of the tasks of symbols: weak blueprints stay at what they can know, in every seed."""

from collections.abc import Iterator

import numpy as np
import pytest

from blueprints import IDENTITY, Blueprint, human, parse
from crucible import Crucible
from curricula.suites import task_named
from curricula.task import Split

SEEDS = tuple(range(8))
#: Blind to all steps but the one they are asked at.
MEMORYLESS = {
    "identity": IDENTITY,
    "linear": parse(("LINEAR", "OUT_DIM_IN")),
    "residual_mlp": human("residual_mlp"),
    "swiglu": human("swiglu"),
}
#: For each task whose labels are certain, what people designed that passes.
STRONG = {
    "recall": ("primer_block", "lstm_attention"),
    "recall_16": ("primer_block", "lstm_attention"),
    "selective_copy": ("gru_mlp",),
    "induction": ("gru", "gru_mlp"),
    "memorisation": ("conv", "tcn_block", "min_gru_block"),
    "dyck": ("gru", "lstm"),
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


def explained_by_one(split: Split, num_symbols: int) -> float:
    """Return the share of the labels' entropy that a split's inputs explain at best, each its own label."""
    joint_VV = np.zeros((num_symbols, num_symbols))
    np.add.at(joint_VV, (split.inputs.numpy(), split.targets.numpy()), 1)
    return 1.0 - (entropy(joint_VV.ravel()) - entropy(joint_VV.sum(axis=1))) / entropy(joint_VV.sum(axis=0))


def entropy(counts: np.ndarray) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


@pytest.mark.slow
@pytest.mark.parametrize("task_name", ["markov", "markov_once"])
def test_on_markov_memoryless_blueprints_reach_what_one_symbol_explains_and_no_more(crucible, task_name):
    task = task_named(task_name)
    bounds = np.array([explained_by_one(task.splits(seed).test, task.input_width) for seed in SEEDS])
    for name, found in scores(crucible, task_name, MEMORYLESS).items():
        assert (np.array(found) <= bounds).all(), name
        assert (np.array(found) > bounds - 0.03).all(), name
    strong = scores(crucible, task_name, {name: human(name) for name in ("gru_mlp", "min_gru_block")})
    assert {name: min(found) for name, found in strong.items() if min(found) < task.solved} == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(STRONG))
def test_memoryless_blueprints_stay_at_chance_and_those_with_memory_pass(crucible, name):
    task = task_named(name)
    for weak, found in scores(crucible, name, MEMORYLESS).items():
        assert sum(found) / len(SEEDS) == pytest.approx(task.chance, abs=0.015), weak
        assert max(found) < task.chance + 0.05, weak
    strong = scores(crucible, name, {blueprint: human(blueprint) for blueprint in STRONG[name]})
    assert {blueprint: min(found) for blueprint, found in strong.items() if min(found) < task.solved} == {}


@pytest.mark.slow
def test_of_recall_recurrences_get_no_further_than_the_values_without_their_keys(crucible):
    for name, num_pairs in (("recall", 4), ("recall_16", 2)):
        found = scores(crucible, name, {blueprint: human(blueprint) for blueprint in ("gru", "lstm", "conv")})
        assert {b: max(s) for b, s in found.items() if max(s) > 1 / num_pairs + 0.10} == {}


@pytest.mark.slow
def test_of_memorisation_a_linear_memory_hardly_leaves_chance(crucible):
    task = task_named("memorisation")
    linear = {"lag": parse(("CONV1D", "KERNEL_3", "CHANNELS_IN"))}
    assert max(scores(crucible, "memorisation", linear)["lag"]) < task.chance + 0.10
