"""The floor test: weak blueprints stay at the floor of a task, and named strong ones pass, in every seed."""

from collections.abc import Iterator

import pytest

from blueprints import IDENTITY, Blueprint, human, parse
from crucible import Crucible
from curricula.suites import TASKS, task_named
from curricula.task import Sight

SEEDS = tuple(range(8))
LINEAR = parse(("LINEAR", "OUT_DIM_IN"))


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


@pytest.mark.slow
def test_on_xor_affine_blueprints_stay_at_the_floor_and_human_mlps_pass(crucible):
    strong = {name: human(name) for name in ("residual_mlp", "bottleneck_adapter")}
    weak = {"identity": IDENTITY, "linear": LINEAR, "low_rank_residual": human("low_rank_residual")}
    found = scores(crucible, "xor", weak | strong)
    assert {
        name: sum(found[name]) / len(SEEDS) for name in weak if sum(found[name]) > 0.60 * len(SEEDS)
    } == {}
    assert {name: min(found[name]) for name in strong if min(found[name]) < 0.90} == {}


@pytest.mark.slow
def test_on_temporal_memoryless_blueprints_stay_at_chance_and_those_with_memory_pass(crucible):
    weak = {
        "identity": IDENTITY,
        "linear": LINEAR,
        # Blind to order although they mix steps: means, maxima and gates over all of them.
        **{name: human(name) for name in ("residual_mlp", "squeeze_excitation", "temporal_film")},
    }
    strong = {name: human(name) for name in ("conv", "tcn_block", "gru", "gru_last")}
    found = scores(crucible, "temporal", weak | strong)
    means = {name: sum(found[name]) / len(SEEDS) for name in weak}
    assert {name: mean for name, mean in means.items() if not 0.45 <= mean <= 0.55} == {}
    assert {name: min(found[name]) for name in strong if min(found[name]) < 0.85} == {}


#: Strong but for one blindness.
BLIND: dict[Sight, Blueprint] = {
    "past": human("residual_mlp"),
    "present": parse(("GRU", "LINEAR", "OUT_DIM_DOUBLE", "GELU", "LINEAR", "OUT_DIM_IN", "SHIFT")),
    "order": human("squeeze_excitation"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sight"), [(name, sight) for name, task in TASKS.items() for sight in sorted(task.needs)]
)
def test_who_is_blind_to_what_a_task_needs_stays_at_the_floor(crucible, name, sight):
    task = TASKS[name]
    found = scores(crucible, name, {"blind": BLIND[sight]})["blind"]
    assert sum(map(task.normalised, found)) / len(SEEDS) < 0.05
    assert sum(found) / len(SEEDS) == pytest.approx(task.chance, abs=0.03)


@pytest.mark.slow
def test_distractors_turn_the_xor_gate_into_a_ranking(crucible):
    strong = {"residual_mlp": human("residual_mlp")}
    means = [
        sum(scores(crucible, task, strong)["residual_mlp"]) / len(SEEDS)
        for task in ("xor", "xor_distractors_4", "xor_distractors_8")
    ]
    assert means[0] > means[1] + 0.02 > means[2] + 0.04
