"""The similarity of two representations without torch equals the one with it, odd cases included."""

import numpy as np
import pytest
import torch

from hall_of_fame import similarity
from tamiyo.comparing import cka


def with_torch(first: np.ndarray, second: np.ndarray) -> float:
    return float(similarity.cka(torch.from_numpy(first)[None], torch.from_numpy(second)[None]))


@pytest.mark.parametrize("shared", [0.0, 0.3, 0.9, 1.0])
def test_it_is_the_similarity_of_the_hall_of_fame(shared: float) -> None:
    rng = np.random.default_rng(int(10 * shared))
    first = rng.normal(size=(64, 16)).astype(np.float32)
    other = rng.normal(size=(64, 16)).astype(np.float32)
    second = (shared * first @ rng.normal(size=(16, 16)) + (1 - shared) * other).astype(np.float32)
    assert cka(first, second) == pytest.approx(with_torch(first, second), abs=1e-5)
    wide = rng.normal(size=(64, 48)).astype(np.float32)
    assert cka(first, wide) == pytest.approx(with_torch(first, wide), abs=1e-5)
    assert cka(first, first) == pytest.approx(1.0)


def test_what_has_no_structure_is_like_nothing() -> None:
    found = np.random.default_rng(1).normal(size=(32, 4)).astype(np.float32)
    lone = np.zeros((32, 4), np.float32)
    lone[3, 1] = 1.0
    for odd in (np.zeros_like(found), np.ones_like(found), np.full_like(found, np.nan), lone):
        assert cka(found, odd) == with_torch(found, odd) == 0.0
        assert cka(odd, odd) == 0.0
