"""Intervals over seeds: figures by hand, Student's table, and what pairing takes away."""

import random
from statistics import fmean

import pytest

from tamiyo.intervals import Interval, interval, paired, student_t


def test_students_interval_of_three_values() -> None:
    found = interval([1.0, 2.0, 3.0])
    half = 4.303 / 3**0.5
    assert (found.mean, found.num_seeds) == (2.0, 3)
    assert (found.low, found.high) == pytest.approx((2.0 - half, 2.0 + half))


def test_one_seed_has_no_ends() -> None:
    assert interval([0.5]) == Interval(mean=0.5, low=None, high=None, num_seeds=1)


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.706), (9, 2.262), (10, 2.2281), (30, 2.0423)])
def test_quantiles_are_those_of_the_table(freedom: int, quantile: float) -> None:
    assert student_t(freedom) == pytest.approx(quantile, abs=2e-4)


def test_an_interval_holds_the_true_mean_19_times_in_20() -> None:
    rng = random.Random(0)
    found = [interval([rng.gauss(1.0, 0.1) for _ in range(4)]) for _ in range(2000)]
    assert fmean(of.low <= 1.0 <= of.high for of in found) == pytest.approx(0.95, abs=0.015)


def test_what_a_seed_is_worth_to_both_cancels() -> None:
    found = paired({0: 0.1, 1: 0.5, 2: 0.9}, {1: 0.6, 0: 0.2, 7: 0.0})
    assert found is not None
    assert (found.mean, found.num_seeds) == (pytest.approx(0.1), 2)
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))
    assert paired({0: 0.1}, {1: 0.1}) is None
