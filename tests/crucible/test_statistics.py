"""Statistics of a curve, by hand-worked numbers."""

from typing import Any

import numpy as np
import pytest

from crucible import LossCurve
from crucible.evaluation import NUM_POINTS
from crucible.statistics import curve_statistics
from curricula.xor import Xor

TASK = Xor()


def statistics_of(losses: np.ndarray, norms: np.ndarray) -> dict[str, Any]:
    (statistics,) = curve_statistics(losses[None], norms[None], TASK)
    return statistics


def test_a_falling_curve() -> None:
    losses = np.array([1.0] * 20 + [0.05] * 20)
    norms = np.array([2.0] * 10 + [0.5] * 30)
    statistics = statistics_of(losses, norms)
    assert statistics["num_steps"] == 40
    assert statistics["loss_first"] == 1.0
    assert statistics["loss_last"] == pytest.approx(0.05)
    assert statistics["loss_late_std"] == pytest.approx(0.0)
    assert statistics["gradient_norm_mean"] == pytest.approx(0.875)
    assert statistics["gradient_norm_max"] == 2.0
    assert statistics["clipped_share"] == 0.25
    assert statistics["nonfinite_step"] is None
    # The mean of ten steps stays under 0.1 once nine and a half of them are at 0.05: from step 29 on.
    assert statistics["solved_step"] == 29


def test_a_curve_that_never_falls_is_never_solved() -> None:
    assert statistics_of(np.ones(30), np.ones(30))["solved_step"] is None


def test_a_relapse_takes_the_solution_back() -> None:
    losses = np.array([0.01] * 20 + [5.0] + [0.01] * 20)
    assert statistics_of(losses, np.ones(41))["solved_step"] == 30


def test_steps_from_the_first_nonfinite_one_on_are_left_out() -> None:
    losses = np.array([1.0, 0.5, np.nan, 0.1])
    statistics = statistics_of(losses, np.array([1.0, np.float32(1.5), 1.0, np.inf]))
    assert (statistics["num_steps"], statistics["nonfinite_step"]) == (2, 2)
    assert statistics["loss_last"] == 0.5
    assert statistics["gradient_norm_max"] == 1.5


def test_a_curve_that_starts_nonfinite_has_no_figures() -> None:
    assert statistics_of(np.array([np.inf]), np.array([1.0])) == {
        "num_steps": 0,
        "nonfinite_step": 0,
    }


def test_a_loss_curve_has_the_mean_of_each_sixteenth_of_the_steps() -> None:
    losses = np.repeat(np.arange(NUM_POINTS) / 4, [6, 6, 6, 7] * 4)
    losses[:6] += [-1, 1, -2, 2, -3, 3]
    curve = statistics_of(losses, np.ones(100))["loss_curve"]
    assert curve == LossCurve(planned_steps=100, means=tuple(i / 4 for i in range(NUM_POINTS)))
    assert curve.bounds == (0, 6, 12, 18, 25, 31, 37, 43, 50, 56, 62, 68, 75, 81, 87, 93, 100)


def test_the_loss_curve_of_a_training_that_ends_early_is_the_beginning_of_the_whole_one() -> None:
    losses = np.random.default_rng(0).gamma(0.5, 0.2, 100)
    whole = statistics_of(losses, np.ones(100))["loss_curve"]
    for taken in range(1, 100):
        part = statistics_of(losses[:taken], np.ones(taken))["loss_curve"]
        num_full = sum(bound <= taken for bound in whole.bounds[1:])
        assert part.means[:num_full] == whole.means[:num_full]
        assert part.bounds == whole.bounds[: len(part.means) + 1]
        assert part.bounds[-2] < taken <= part.bounds[-1]
        if taken < part.bounds[-1]:
            assert part.means[num_full:] == (float(np.float32(losses[part.bounds[-2] : taken].mean())),)
        losses_and_more = np.append(losses[:taken], [np.nan, 7.0])[:100]
        assert statistics_of(losses_and_more, np.ones(len(losses_and_more)))["loss_curve"] == part


def test_a_loss_curve_of_few_steps_has_one_point_a_step() -> None:
    statistics = curve_statistics(np.array([[3.0, 2.0, 1.0]]), np.ones((1, 3)), Xor(epochs=3))
    assert statistics[0]["loss_curve"] == LossCurve(planned_steps=3, means=(3.0, 2.0, 1.0))
    assert statistics[0]["loss_curve"].bounds == (0, 1, 2, 3)


def test_curves_side_by_side_have_the_figures_that_each_has_alone() -> None:
    generator = np.random.default_rng(0)
    losses_JK, norms_JK = generator.gamma(0.5, 0.2, (2, 40, 60))
    taken_J = generator.integers(1, 61, 40)
    for index, step in ((3, 0), (4, 7), (5, 59)):
        losses_JK[index, step] = np.nan
        taken_J[index] = 60
    together = curve_statistics(losses_JK, norms_JK, TASK, taken_J)
    assert {row["nonfinite_step"] for row in together} == {None, 0, 7, 59}
    assert any(row.get("solved_step") is not None for row in together)
    for losses, norms, taken, row in zip(losses_JK, norms_JK, taken_J, together, strict=True):
        assert statistics_of(losses[:taken], norms[:taken]) == row
