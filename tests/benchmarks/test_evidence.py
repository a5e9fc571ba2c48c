"""The comparison behind the claim that the Architect learns, by hand-worked numbers."""

import math

import pytest

from benchmarks.evidence import BEST, SCORE, at_evaluations, compare, interval, table


def row(generation: int, evaluations: int, score: float, best: float) -> dict:
    return {
        "generation": generation,
        "evaluations_total": evaluations,
        SCORE: score,
        BEST: best,
        "valid_rate": 1.0,
        "unique_rate": 0.9,
    }


def run(*scores: float, step: int = 100) -> list[dict]:
    return [row(i, (i + 1) * step, score, score) for i, score in enumerate(scores)]


def test_students_interval_of_three_values():
    found = interval([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.high - found.mean == pytest.approx(4.303 / math.sqrt(3))
    assert found.mean - found.low == pytest.approx(4.303 / math.sqrt(3))


def test_one_seed_has_no_interval():
    assert (interval([1.0]).low, interval([1.0]).high) == (-math.inf, math.inf)


def test_best_so_far_is_read_between_generations():
    rows = [row(0, 100, 0.5, 0.6), row(1, 300, 0.5, 0.8)]
    assert at_evaluations(rows, 100) == 0.6
    assert at_evaluations(rows, 250) == pytest.approx(0.75)
    assert at_evaluations(rows, 900) == 0.8


def test_arms_are_compared_by_seed_at_equal_evaluations():
    rows = {
        ("random", 0): run(0.5, 0.5, 0.6),
        ("random", 1): run(0.5, 0.6, 0.7),
        ("reinforce-grammar", 0): run(0.5, 0.7, 0.9, 1.0),
        ("reinforce-grammar", 1): run(0.5, 0.6, 0.7, 1.0),
    }
    result = compare(rows)
    figures = result["arms"]["reinforce-grammar"]
    # The fourth generation of 100 lies beyond random's 300 evaluations.
    assert figures["per_seed"]["score_last"] == {0: pytest.approx(0.7), 1: pytest.approx(0.6)}
    difference = figures["score_last_minus_random"]
    assert difference.mean == pytest.approx(((0.7 - 1.6 / 3) + (0.6 - 0.6)) / 2)
    assert difference.num_seeds == 2
    assert figures["best50_minus_random"].mean == pytest.approx((0.3 + 0.0) / 2)
    assert "| reinforce-grammar | 2 |" in table(result)
