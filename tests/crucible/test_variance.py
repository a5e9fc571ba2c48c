"""Variance between blueprints and within them, against a published example and numbers by hand."""

import numpy as np
import pytest

from crucible.variance import split_variance


def test_the_example_of_shrout_and_fleiss():
    # Table 2 of Shrout and Fleiss 1979: six targets, four judges; table 4 gives ICC(1,1) = .17.
    ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    split = split_variance(ratings)
    assert split.icc == pytest.approx(0.17, abs=0.005)
    assert split.within == pytest.approx(6.26, abs=0.005)
    assert (split.num_blueprints, split.num_scores) == (6, 24)


def test_unequal_numbers_of_seeds_by_hand():
    # Squares within: 2 + 0 + 0 over 5 - 3; means 2, 5, 0 about 9 / 5; typical size (5 - 9 / 5) / 2 = 1.6.
    split = split_variance([[1.0, 3.0], [5.0, 5.0], [0.0], []])
    mean = 14 / 5
    between = (2 * (2 - mean) ** 2 + 2 * (5 - mean) ** 2 + mean**2) / 2
    assert split.within == pytest.approx(1.0)
    assert split.between == pytest.approx((between - 1.0) / 1.6)
    assert split.icc == pytest.approx(split.between / (split.between + 1.0))


def test_known_variances_are_found():
    rng = np.random.default_rng(0)
    scores_NS = rng.normal(0.0, 2.0, (4000, 1)) + rng.normal(0.0, 1.0, (4000, 3))
    split = split_variance(scores_NS.tolist())
    assert split.between == pytest.approx(4.0, rel=0.1)
    assert split.within == pytest.approx(1.0, rel=0.1)


def test_more_noise_than_difference_is_no_negative_variance():
    split = split_variance([[0.0, 1.0], [1.0, 0.0]])
    assert (split.between, split.icc) == (0.0, 0.0)


def test_scores_that_never_differ_share_nothing():
    assert split_variance([[0.5, 0.5], [0.5]]).icc == 0.0


@pytest.mark.parametrize("scores", [[], [[1.0, 2.0]], [[1.0], [2.0]], [[1.0, 2.0], []]])
def test_too_little_to_split_gives_nothing(scores):
    assert split_variance(scores) is None
