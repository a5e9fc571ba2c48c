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
def test_on_markov_memoryless_blueprints_reach_what_one_symbol_explains_and_no_more(crucible):
    task = task_named("markov")
    bounds = np.array([explained_by_one(task.splits(seed).test, task.input_width) for seed in SEEDS])
    for name, found in scores(crucible, "markov", MEMORYLESS).items():
        assert (np.array(found) <= bounds).all(), name
        assert (np.array(found) > bounds - 0.03).all(), name
    strong = scores(crucible, "markov", {name: human(name) for name in ("gru_mlp", "min_gru_block")})
    assert {name: min(found) for name, found in strong.items() if min(found) < task.solved} == {}
