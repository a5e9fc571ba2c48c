"""Rewards by hand-worked numbers, and the properties that any weights must keep."""

from dataclasses import asdict, dataclass, replace
from math import inf, nan
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crucible.evaluation import Evaluation, TaskResult
from crucible.reward import (
    INVALID,
    RewardBounds,
    RewardError,
    RewardTerms,
    RewardWeights,
    log_scale,
    reward,
    stability,
    task_term,
    weigh,
)
from curricula.temporal import Temporal
from curricula.xor import Xor

TASKS = (Xor(), Temporal())
UNIT = st.floats(0, 1)


def result(task="xor", seed=0, **changes) -> TaskResult:
    return replace(
        TaskResult(task=task, seed=seed, score=0.9, loss_late_std=0.02, clipped_share=0.5), **changes
    )


def evaluation(*results: TaskResult, **changes) -> Evaluation:
    plain = Evaluation(
        blueprint_id="b" * 64,
        engine_id="test",
        results=results,
        num_parameters=1000,
        flops=1,
        latency_us=1000.0,
    )
    return replace(plain, **changes)


def test_a_reward_worked_by_hand():
    # xor: (0.9 + 0.7) / 2 seeds, normalised 0.8 and 0.4 -> 0.6; temporal: 0.75 -> 0.5; task term 0.55.
    # parameters: 1000 in 100..100,000 is 1 of 3 decades; latency: 1000 in 10..10,000 is 2 of 3.
    # stability: (1 - 0.5) * (1 - 0.02 / 0.2) = 0.45 for each of the three results.
    judged = reward(
        evaluation(result(), result(seed=1, score=0.7), result("temporal", score=0.75)),
        TASKS,
        redundancy=0.25,
    )
    assert asdict(judged.terms) == pytest.approx(
        {"task": 0.55, "parameters": 1 / 3, "latency": 2 / 3, "stability": 0.45, "redundancy": 0.25}
    )
    assert judged.total == pytest.approx(0.55 + 0.05 * 0.45 - 0.05 / 3 - 0.05 * 2 / 3 - 0.1 * 0.25)
    assert judged.status == "ok"


def test_tasks_weigh_alike_however_many_seeds_each_has():
    many = evaluation(*[result(seed=s, score=1.0) for s in range(9)], result("temporal", score=0.5))
    assert reward(many, TASKS, redundancy=0.0).terms.task == pytest.approx(0.5)


def test_a_weighted_mean_worked_by_hand():
    # xor 0.8 with weight 1, temporal 0.5 with weight 3: (0.8 + 1.5) / 4; stability counts both results alike.
    both = evaluation(result(), result("temporal", score=0.75, clipped_share=1.0))
    judged = reward(both, TASKS, redundancy=0.0, task_weights={"temporal": 3.0})
    assert judged.terms.task == pytest.approx(0.575)
    assert judged.terms.stability == pytest.approx(0.45 / 2)


@pytest.mark.parametrize(("score", "term"), [(0.5, 0.0), (0.7, 0.3), (0.9, 0.6), (1.0, 0.6), (0.4, 0.0)])
def test_a_gate_is_a_factor_that_who_solves_it_does_not_feel(score, term):
    # temporal 0.8, normalised 0.6; XOR is solved at 0.9, normalised 0.8, of which 0.7 is a half.
    both = evaluation(result(score=score, clipped_share=1.0), result("temporal", score=0.8))
    judged = reward(both, TASKS, redundancy=0.0, task_weights={"xor": 0.0})
    assert judged.terms.task == pytest.approx(term)
    alone = reward(both, TASKS[1:], redundancy=0.0).terms
    assert replace(judged.terms, task=alone.task) == alone, "how calmly a gate was trained does not count"


def test_the_least_passed_of_several_gates_is_the_factor():
    gate = Xor(name="gate")
    weights = {"xor": 0.0, "gate": 0.0}
    assert task_term({TASKS[0]: 0.6, gate: 0.2, TASKS[1]: 0.9}, weights) == pytest.approx(0.9 * 0.2 / 0.8)
    assert task_term({TASKS[0]: 0.2, gate: 0.6, TASKS[1]: 0.9}, weights) == pytest.approx(0.9 * 0.2 / 0.8)
    assert task_term({TASKS[0]: 0.8, gate: 1.0, TASKS[1]: 0.9}, weights) == pytest.approx(0.9)


def test_a_gate_is_passed_by_the_mean_over_its_seeds_and_a_failure_is_a_seed_at_chance():
    gate, other = {"xor": 0.0}, result("temporal", score=1.0)
    lucky = evaluation(result(score=1.0), result(seed=1, score=0.8), other)
    assert reward(lucky, TASKS, redundancy=0.0, task_weights=gate).terms.task == pytest.approx(1.0)
    failed = evaluation(result(score=1.0), result(seed=1, status="crashed"), other)
    assert reward(failed, TASKS, redundancy=0.0, task_weights=gate).terms.task == pytest.approx(0.5 / 0.8)


def test_a_gate_that_chance_solves_stops_nobody():
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Open(Xor):
        solved: ClassVar[float] = 0.5

    assert task_term({Open(): 0.0, TASKS[1]: 0.7}, {"xor": 0.0}) == pytest.approx(0.7)


def test_where_there_are_gates_alone_they_count():
    alone = evaluation(result())
    gate = reward(alone, TASKS[:1], redundancy=0.0, task_weights={"xor": 0.0})
    assert gate == reward(alone, TASKS[:1], redundancy=0.0)


@given(st.lists(st.tuples(st.floats(0.5, 1), st.just(0.0) | st.floats(1e-3, 1e6)), min_size=2, max_size=2))
def test_no_weights_take_the_task_term_out_of_its_bounds(drawn):
    (a, weight_a), (b, weight_b) = drawn
    both = evaluation(result(score=a), result("temporal", score=b))
    weights = {"xor": weight_a, "temporal": weight_b}
    term = reward(both, TASKS, redundancy=0.0, task_weights=weights).terms.task
    low = min(2 * a - 1, 2 * b - 1) if all(weights.values()) or not any(weights.values()) else 0.0
    assert low - 1e-9 <= term <= max(2 * a - 1, 2 * b - 1) + 1e-9


def test_results_on_other_tasks_are_ignored():
    both = evaluation(result(), result("temporal", score=0.0, status="diverged"))
    alone = evaluation(result())
    assert reward(both, TASKS[:1], redundancy=0.0).terms == reward(alone, TASKS[:1], redundancy=0.0).terms


def test_a_task_without_a_result_is_refused_by_name():
    with pytest.raises(RewardError, match=f"blueprint {'b' * 64} has no result on task 'temporal'"):
        reward(evaluation(result()), TASKS, redundancy=0.0)


def test_an_invalid_program_is_worth_minus_one():
    assert (INVALID.total, INVALID.terms, INVALID.status) == (-1.0, None, "invalid")


def test_a_rejected_blueprint_is_worth_as_much_as_an_invalid_program():
    judged = reward(evaluation(result(status="rejected")), TASKS[:1], redundancy=0.0)
    assert (judged.total, judged.terms, judged.status) == (-1.0, None, "rejected")


@pytest.mark.parametrize("status", ["ok", "diverged"])
def test_a_blueprint_that_one_task_rejects_is_rejected_whatever_came_of_the_others(status):
    found = evaluation(result(status=status), result("temporal", status="rejected"))
    judged = reward(found, TASKS, redundancy=0.0)
    assert (judged.total, judged.terms, judged.status) == (-1.0, None, "rejected")
    assert reward(found, TASKS[:1], redundancy=0.0).total > -1.0


@pytest.mark.parametrize("status", ["diverged", "timed_out", "out_of_memory", "crashed"])
def test_a_failed_result_earns_nothing_and_leaves_the_others_their_worth(status):
    failed = result("temporal", status=status, score=0.99)  # a score beside a failure counts for nothing
    judged = reward(evaluation(result(), failed), TASKS, redundancy=0.0)
    assert judged.terms.task == pytest.approx((0.8 + 0.0) / 2)
    assert judged.terms.stability == pytest.approx(0.45 / 2)
    assert judged.status == status
    assert judged.total > -1.0


def test_a_score_below_chance_counts_as_chance():
    assert reward(evaluation(result(score=0.3)), TASKS[:1], redundancy=0.0).terms.task == 0.0


def test_without_a_latency_table_the_latency_term_is_zero():
    assert reward(evaluation(result(), latency_us=None), TASKS[:1], redundancy=0.0).terms.latency == 0.0


@pytest.mark.parametrize(("value", "term"), [(0, 0.0), (10, 0.0), (100, 0.5), (1000, 1.0), (10**9, 1.0)])
def test_the_logarithmic_scale_by_hand(value, term):
    assert log_scale(value, (10.0, 1000.0)) == pytest.approx(term)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"clipped_share": 0.0, "loss_late_std": 0.0}, 1.0),
        ({"clipped_share": 0.0, "loss_late_std": 0.05}, 0.75),
        ({"clipped_share": 0.0, "loss_late_std": 0.2}, 0.0),
        ({"clipped_share": 0.0, "loss_late_std": 9.0}, 0.0),
        ({"clipped_share": 1.0, "loss_late_std": 0.0}, 0.0),
        ({"loss_late_std": nan}, 0.0),
        ({"nonfinite_step": 3}, 0.0),
        ({"status": "diverged"}, 0.0),
    ],
)
def test_stability_by_hand(changes, expected):
    assert stability(result(**changes), RewardBounds()) == pytest.approx(expected)


@given(terms=st.tuples(UNIT, UNIT, UNIT, UNIT, UNIT), better=UNIT, index=st.integers(0, 4))
def test_the_total_never_falls_with_a_gain_nor_rises_with_a_cost(terms, better, index):
    names = ("task", "parameters", "latency", "stability", "redundancy")
    before = RewardTerms(**dict(zip(names, terms, strict=True)))
    after = replace(before, **{names[index]: max(better, terms[index])})
    change = weigh(after, RewardWeights()) - weigh(before, RewardWeights())
    gain = names[index] in ("task", "stability")
    assert change >= -1e-12 if gain else change <= 1e-12


@given(terms=st.tuples(UNIT, UNIT, UNIT, UNIT, UNIT))
def test_every_evaluated_blueprint_beats_an_invalid_program(terms):
    names = ("task", "parameters", "latency", "stability", "redundancy")
    assert -1.0 < weigh(RewardTerms(**dict(zip(names, terms, strict=True))), RewardWeights()) <= 1.05


@given(
    score=UNIT,
    clipped=UNIT,
    late_std=st.floats(0, 1e6),
    parameters=st.integers(0, 10**9),
    latency=st.floats(0, 1e9),
)
def test_every_term_stays_in_its_range(score, clipped, late_std, parameters, latency):
    one = result(score=score, clipped_share=clipped, loss_late_std=late_std)
    judged = reward(evaluation(one, num_parameters=parameters, latency_us=latency), TASKS[:1], redundancy=1.0)
    assert judged.terms is not None  # RewardTerms itself asserts the range


def test_a_term_outside_its_range_cannot_be_built():
    with pytest.raises(AssertionError, match="left"):
        reward(evaluation(result()), TASKS[:1], redundancy=1.5)


def test_weights_that_could_make_a_blueprint_worse_than_an_invalid_program_are_refused():
    with pytest.raises(RewardError, match="sum to 1 or more"):
        RewardWeights(redundancy=0.95)
    with pytest.raises(RewardError, match="negative"):
        RewardWeights(task=-0.1)


@pytest.mark.parametrize("value", [nan, inf, -inf])
@pytest.mark.parametrize("name", ["task", "parameters", "latency", "stability", "redundancy"])
def test_a_weight_that_is_not_finite_is_refused(name, value):
    with pytest.raises(RewardError, match="not finite"):
        RewardWeights(**{name: value})


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_bound_that_is_not_finite_is_refused(value):
    for bounds in ({"parameters": (1.0, value)}, {"latency_us": (value, 9.0)}, {"loss_late_std": value}):
        with pytest.raises(RewardError, match=r"expected (a )?finite"):
            RewardBounds(**bounds)


def test_bounds_out_of_order_are_refused():
    with pytest.raises(RewardError, match="bounds of latency_us are 10"):
        RewardBounds(latency_us=(10.0, 5.0))
