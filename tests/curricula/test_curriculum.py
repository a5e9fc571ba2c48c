"""Stages: earlier tasks stay, promotion follows the stated criterion, the state survives a checkpoint."""

import json

import pytest

from curricula.curriculum import Curriculum, Stage, StageState
from curricula.suites import curriculum
from curricula.task import TaskError
from curricula.xor import Xor


def walk(rates: list[float], **settings) -> list[tuple[int, bool]]:
    """Judge generations of 100 valid programs; return stage and promotion of each."""
    plan, state, seen = curriculum(**settings), StageState(), []
    for rate in rates:
        state, report = plan.observe(state, num_valid=100, num_solved=round(100 * rate))
        seen.append((report.stage, report.promoted))
    return seen


def test_earlier_stages_stay_in_the_reward():
    plan = curriculum()
    assert [[task.name for task in plan.tasks(stage)] for stage in (0, 1)] == [["xor"], ["xor", "temporal"]]


def test_the_next_stage_opens_after_the_least_number_of_generations_however_good():
    assert walk([1.0] * 4) == [(0, False), (0, False), (0, True), (1, False)]


def test_a_rate_below_the_bar_keeps_the_stage():
    assert walk([0.59] * 5) == [(0, False)] * 5


def test_the_criterion_is_the_mean_over_the_window():
    # Windows of two: (0.9, 0.2) = 0.55, (0.2, 0.98) = 0.59, (0.98, 0.22) = 0.60.
    assert walk([0.9, 0.2, 0.98, 0.22], min_generations=2)[1:] == [(0, False), (0, False), (0, True)]


def test_a_window_longer_than_the_stage_must_fill_first():
    assert [promoted for _, promoted in walk([1.0] * 4, min_generations=1, window=4)] == [False] * 3 + [True]


def test_the_last_stage_is_never_left_but_reports_that_it_is_solved():
    plan = curriculum(["xor"], min_generations=1, window=1)
    state, report = plan.observe(StageState(), num_valid=10, num_solved=10)
    assert (report.reliable, report.promoted, state.stage) == (True, False, 0)
    assert plan.is_last(0)


def test_a_generation_without_a_valid_program_solves_nothing():
    _, report = curriculum().observe(StageState(), num_valid=0, num_solved=0)
    assert (report.solve_rate, report.reliable) == (0.0, False)


def test_the_report_holds_every_number_of_the_criterion():
    plan = curriculum()
    state, _ = plan.observe(StageState(), num_valid=8, num_solved=2)
    _, report = plan.observe(state, num_valid=4, num_solved=3)
    assert (report.stage_name, report.stage_generation, report.num_valid, report.num_solved) == (
        "xor",
        2,
        4,
        3,
    )
    assert (report.solve_rate, report.window_rate) == (0.75, 0.5)


def test_a_resumed_state_goes_on_like_the_one_that_was_saved():
    plan = curriculum()
    state, _ = plan.observe(StageState(), num_valid=3, num_solved=1)
    loaded = StageState.from_dict(json.loads(json.dumps(state.to_dict())))
    assert loaded == state
    assert plan.observe(loaded, num_valid=3, num_solved=3) == plan.observe(state, num_valid=3, num_solved=3)


@pytest.mark.parametrize(
    "settings",
    [{"stages": ()}, {"min_generations": 0}, {"window": 0}, {"promotion_rate": 0.0}, {"promotion_rate": 1.1}],
)
def test_settings_that_cannot_be_honoured_are_refused(settings):
    with pytest.raises(TaskError, match="expected"):
        Curriculum(**{"stages": (Stage(name="xor", task=Xor()),), **settings})


def test_a_stage_or_task_named_twice_is_refused():
    with pytest.raises(TaskError, match="no name twice"):
        curriculum(["xor", "xor"])
