"""Redundancy: the nearest by few comparisons against all of them, and ids that are known."""

import math

import pytest
import torch

from hall_of_fame.redundancy import nearest, redundancy
from hall_of_fame.similarity import alike, cka
from tests.hall_of_fame.test_similarity import gaussians, related


def varied(num: int, *, seed: int, probes: int = 256) -> torch.Tensor:
    """Representations of random linear maps of 24 features, the first of which vary most."""
    features = gaussians(1, probes, 24, seed=99) * torch.logspace(0, -1.5, 24)
    return features @ gaussians(num, 24, 16, seed=seed) + 0.02 * gaussians(num, probes, 16, seed=seed + 1)


@pytest.mark.parametrize("seed", range(3))
def test_the_nearest_is_that_of_all_pairs_though_few_are_compared(seed):
    candidates = [varied(80, seed=10 * seed), varied(80, seed=10 * seed + 3, probes=100)]
    archive = [varied(120, seed=10 * seed + 5), varied(120, seed=10 * seed + 7, probes=100)]
    candidates[1][3], archive[0][5], archive[1][6:9], candidates[0][7] = math.nan, math.inf, 2.0, 0.0
    archive[0][11] = candidates[0][9]
    found, share = nearest(candidates, archive)
    torch.testing.assert_close(found, alike(candidates, archive).amax(dim=1), atol=2e-5, rtol=0)
    assert share < 0.6


@pytest.mark.parametrize("draw", [gaussians, related])
def test_the_nearest_is_that_of_all_pairs_where_bounds_say_nothing(draw):
    candidates, archive = draw(40, width=8, seed=1), draw(30, width=8, seed=11)
    wide = [torch.cat([x, gaussians(len(x), 192, 8, seed=5)], dim=1) for x in (candidates, archive)]
    found, _ = nearest([wide[0]], [wide[1]])
    torch.testing.assert_close(found, cka(*wide).amax(dim=1), atol=2e-5, rtol=0)


def test_a_single_entry_and_none_at_all():
    candidates = varied(5, seed=1)
    found, share = nearest([candidates], [candidates[2:3]])
    torch.testing.assert_close(found, cka(candidates, candidates[2:3])[:, 0], atol=2e-5, rtol=0)
    assert share == 1.0
    found, share = nearest([candidates], [candidates[:0]])
    assert found.tolist() == [0.0] * 5
    assert share == 0.0
    assert nearest([candidates[:0]], [candidates])[0].shape == (0,)


def test_redundancy_is_one_for_known_and_repeated_ids_and_cka_for_the_rest():
    batch, snapshot = related(4, 8, seed=1), related(3, 8, seed=11)
    values = redundancy(["a", "b", "a", "c"], [batch], known_ids={"c"}, snapshot=[snapshot])
    highest = cka(batch, snapshot).amax(dim=1)
    assert values == [pytest.approx(highest[0].item()), pytest.approx(highest[1].item()), 1.0, 1.0]


def test_redundancy_against_an_empty_snapshot_is_zero_but_for_repeats():
    values = redundancy(["a", "b", "a"], [gaussians(3)], known_ids=(), snapshot=[gaussians(0)])
    assert values == [0.0, 0.0, 1.0]


def test_a_blueprint_without_a_fingerprint_is_redundant_to_nothing():
    batch = torch.full((1, 64, 8), math.nan)
    assert redundancy(["a"], [batch], known_ids=(), snapshot=[gaussians(2)]) == [0.0]
