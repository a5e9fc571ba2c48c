"""Stages: earlier tasks stay, promotion and demotion keep to their criteria, checkpoints keep the state."""

import json

import pytest

from curricula.curriculum import Curriculum, Stage, StageState
from curricula.suites import DEFAULT_SUITE, SUITES, curriculum
from curricula.task import TaskError
from curricula.weights import counted_weights, gates
from curricula.xor import Xor


def walk(rates: list[float], **settings) -> list[tuple[int, bool]]:
    """Judge generations of 100 valid programs that solve earlier tasks; return stages and promotions."""
    plan, state, seen = curriculum(**settings), StageState(), []
    for rate in rates:
        solved = [100] * state.stage + [round(100 * rate)]
        state, report = plan.observe(state, num_valid=100, num_solved=solved)
        seen.append((report.stage, report.promoted))
    return seen


def stages(rates: list[tuple[float, ...]], **settings) -> list[int]:
    """Judge generations of 100 valid programs that solve the tasks at these rates; return the stages."""
    plan, state, seen = curriculum(**settings), StageState(), []
    for row in rates:
        seen.append(state.stage)
        solved = [round(100 * rate) for rate in row]
        state, _ = plan.observe(state, num_valid=100, num_solved=solved)
    return [*seen, state.stage]


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
    state, report = plan.observe(StageState(), num_valid=10, num_solved=[10])
    assert (report.reliable, report.promoted, state.stage) == (True, False, 0)
    assert plan.is_last(0)


def test_a_generation_without_a_valid_program_solves_nothing():
    _, report = curriculum().observe(StageState(), num_valid=0, num_solved=[0])
    assert (report.solve_rate, report.reliable) == (0.0, False)


def test_the_report_holds_every_number_of_the_criterion():
    plan = curriculum()
    state, _ = plan.observe(StageState(), num_valid=8, num_solved=[2])
    _, report = plan.observe(state, num_valid=4, num_solved=[3])
    assert (report.stage_name, report.stage_generation, report.num_valid, report.num_solved) == (
        "xor",
        2,
        4,
        3,
    )
    assert (report.solve_rate, report.window_rate) == (0.75, 0.5)


def test_a_resumed_state_goes_on_like_the_one_that_was_saved():
    plan = curriculum()
    state, _ = plan.observe(StageState(stage=1), num_valid=3, num_solved=[2, 1])
    loaded = StageState.from_dict(json.loads(json.dumps(state.to_dict())))
    assert loaded == state
    generation = {"num_valid": 3, "num_solved": [0, 3]}
    assert plan.observe(loaded, **generation) == plan.observe(state, **generation)


def test_a_state_of_before_earlier_tasks_were_watched_goes_on_and_fills_its_window_first():
    plan = curriculum(min_generations=1)
    state = StageState.from_dict({"stage": 1, "num_generations": 5, "solve_rates": [0.2, 0.3]})
    for expected in (1, 0):
        state, report = plan.observe(state, num_valid=100, num_solved=[0, 30])
        assert (state.stage, report.demoted) == (expected, expected == 0)


@pytest.mark.parametrize(
    "settings",
    [
        {"stages": ()},
        {"min_generations": 0},
        {"window": 0},
        {"promotion_rate": 0.0},
        {"promotion_rate": 1.1},
        {"demotion_share": 1.0},
        {"demotion_share": -0.1},
        {"stages": (Stage(name="xor", task=Xor(), weight=-1.0),)},
        {"stages": (Stage(name="xor", task=Xor(), weight=float("nan")),)},
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(settings):
    with pytest.raises(TaskError, match="expected"):
        Curriculum(**{"stages": (Stage(name="xor", task=Xor()),), **settings})


def test_a_stage_or_task_named_twice_is_refused():
    with pytest.raises(TaskError, match="no name twice"):
        curriculum(["xor", "xor"])


def test_weights_belong_to_tasks_one_each():
    assert curriculum(["xor", "temporal"], [0.0, 2.0]).weights == {"xor": 0.0, "temporal": 2.0}
    assert curriculum(["xor", "temporal"]).weights == {"xor": 1.0, "temporal": 1.0}
    assert curriculum().weights == SUITES[DEFAULT_SUITE]
    with pytest.raises(TaskError, match="1 weights of 2 tasks"):
        curriculum(["xor", "temporal"], [1.0])
    with pytest.raises(TaskError, match="2 weights of 0 tasks"):
        curriculum(weights=[1.0, 1.0])


def test_where_nothing_weighs_anything_all_weigh_alike():
    assert counted_weights(["gate", "other"], {"gate": 0.0, "other": 2.0}) == {"gate": 0.0, "other": 2.0}
    assert counted_weights(["gate"], {"gate": 0.0, "other": 2.0}) == {"gate": 1.0}
    assert counted_weights(["unheard"], {}) == {"unheard": 1.0}


def test_a_gate_weighs_nothing_beside_what_weighs_something():
    weights = {"gate": 0.0, "later": 0.0}
    assert gates(["gate", "unheard"], weights) == {"gate"}
    assert gates(["gate", "later"], weights) == gates(["gate"], weights) == gates([], {}) == frozenset()
    for name, suite in SUITES.items():
        assert gates(suite, suite) == ({"xor"} if name != "xor" else frozenset())


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_begins_with_xor_and_builds(name: str):
    plan = curriculum(tuple(SUITES[name]), tuple(SUITES[name].values()))
    assert plan.stages[0].name == "xor"
    assert any(plan.weights.values())


class TestDemotion:
    """Of a plan of two or three stages, promoted at 0.6 and demoted below 0.3, windows of two."""

    def test_a_stage_that_is_forgotten_over_the_window_is_gone_back_to(self):
        # In the second stage XOR falls to 0.2, then 0.2: with the first generation still in the window 0.6.
        rates = [(1.0,), (1.0,), (1.0, 0.1), (0.2, 0.1), (0.2, 0.1), (1.0,)]
        assert stages(rates, min_generations=2) == [0, 0, 1, 1, 1, 0, 0]

    def test_a_rate_at_the_bar_keeps_the_stage(self):
        assert stages([(1.0,), (1.0,), *[(0.3, 0.0)] * 6], min_generations=2)[-1] == 1
        assert stages([(1.0,), (1.0,), *[(0.29, 0.0)] * 2], min_generations=2)[-1] == 0

    def test_no_stage_is_left_before_its_least_number_of_generations(self):
        rates = [(1.0,)] * 3 + [(0.0, 0.0)] * 3 + [(1.0,)] * 3
        assert stages(rates) == [0, 0, 0, 1, 1, 1, 0, 0, 0, 1]

    def test_of_several_forgotten_stages_the_first_is_gone_back_to(self):
        names = ["xor", "xor_distractors_4", "temporal"]
        start = [(1.0,)] * 2 + [(1.0, 1.0)] * 2
        first = stages([*start, *[(0.1, 0.0, 0.5)] * 2], names=names, min_generations=2)
        second = stages([*start, *[(0.9, 0.0, 0.5)] * 2], names=names, min_generations=2)
        assert (first[-1], second[-1]) == (0, 1)

    def test_forgetting_goes_before_promotion(self):
        rates = [(1.0,)] * 2 + [(0.0, 1.0)] * 2
        assert stages(rates, names=["xor", "xor_distractors_4", "temporal"], min_generations=2)[-1] == 0

    def test_rates_between_the_two_bars_change_nothing_in_either_stage(self):
        """Hysteresis: what is too little to go on is not yet enough to go back."""
        assert stages([(0.45,)] * 8)[-1] == 0
        assert stages([*[(1.0,)] * 3, *[(0.45, 0.45)] * 8])[3:] == [1] * 9

    def test_a_share_of_zero_never_goes_back(self):
        rates = [*[(1.0,)] * 3, *[(0.0, 0.0)] * 8]
        assert stages(rates, demotion_share=0.0)[-1] == 1

    def test_the_last_stage_can_be_left_too(self):
        assert stages([*[(1.0,)] * 3, *[(1.0, 1.0)] * 3, *[(0.0, 1.0)] * 2])[-1] == 0

    def test_the_report_says_what_was_forgotten_and_by_how_much(self):
        plan, state = curriculum(min_generations=2), StageState(stage=1)
        state, report = plan.observe(state, num_valid=10, num_solved=[4, 9])
        assert (report.earlier_rates, report.forgotten, report.demoted) == ((0.4,), "", False)
        state, report = plan.observe(state, num_valid=10, num_solved=[1, 9])
        assert (report.earlier_rates, report.forgotten, report.demoted) == ((0.25,), "xor", True)
        assert (report.stage, report.reliable, report.promoted, state) == (1, True, False, StageState())
