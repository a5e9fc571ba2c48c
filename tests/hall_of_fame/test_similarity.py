"""CKA and RSA against naive definitions, and what makes the estimate debiased."""

import math

import pytest
import torch

from hall_of_fame.similarity import alike, cka, emphasised, rsa


def gaussians(num: int, probes: int = 64, width: int = 8, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(num, probes, width, generator=torch.Generator().manual_seed(seed))


def naive_hsic(x: torch.Tensor, y: torch.Tensor) -> float:
    """Unbiased HSIC of linear kernels, written as Song et al. 2012 define it, in float64."""
    n = len(x)
    K, L = (v.double() @ v.double().T for v in (x, y))
    K.fill_diagonal_(0)
    L.fill_diagonal_(0)
    one = torch.ones(n, dtype=torch.float64)
    value = (
        torch.trace(K @ L)
        + (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (one @ K @ L @ one)
    )
    return value.item() / (n * (n - 3))


def naive_cka(x: torch.Tensor, y: torch.Tensor) -> float:
    value = naive_hsic(x, y) / math.sqrt(naive_hsic(x, x) * naive_hsic(y, y))
    return min(1.0, max(0.0, value))


def naive_rsa(x: torch.Tensor, y: torch.Tensor) -> float:
    distances = torch.stack([torch.nn.functional.pdist(v.double()) for v in (x, y)])
    return min(1.0, max(0.0, torch.corrcoef(distances)[0, 1].item()))


def related(num: int, width: int, *, seed: int) -> torch.Tensor:
    """Representations that share a common part, far from centred and of very different scales."""
    common = gaussians(1, width=4, seed=99) @ gaussians(num, 4, width, seed=seed)
    scales = torch.logspace(-3, 3, num)[:, None, None]
    return (common + gaussians(num, width=width, seed=seed + 1) + 5.0) * scales


@pytest.mark.parametrize(("batched", "naive"), [(cka, naive_cka), (rsa, naive_rsa)])
def test_the_batched_form_equals_the_definition_pair_by_pair(batched, naive):
    candidates, archive = related(5, 8, seed=1), related(4, 6, seed=11)
    expected = torch.tensor([[naive(x, y) for y in archive] for x in candidates])
    assert expected.std() > 0.02  # the pairs do differ
    torch.testing.assert_close(batched(candidates, archive), expected, atol=2e-5, rtol=0)


def test_more_candidates_than_one_chunk_give_the_same_rows():
    candidates, archive = gaussians(300, 16, 4, seed=5), gaussians(3, 16, 4, seed=6)
    rows = torch.cat([cka(one[None], archive) for one in candidates])
    torch.testing.assert_close(cka(candidates, archive), rows)


@pytest.mark.parametrize("measure", [cka, rsa])
def test_rotation_scale_and_shift_change_nothing(measure):
    x = gaussians(3)
    rotation, _ = torch.linalg.qr(gaussians(1, 8, 8, seed=7)[0])
    moved = 300.0 * x @ rotation - 40.0
    torch.testing.assert_close(measure(moved, x), measure(x, x), atol=1e-4, rtol=0)
    torch.testing.assert_close(measure(x, x).diagonal(), torch.ones(3), atol=1e-5, rtol=0)


def test_independent_representations_scatter_around_zero():
    # Plain CKA of 16 gaussian features on 64 probes is about 0.2 and never 0. Debiased it is as often below
    # 0, where it is clipped, as above.
    values = cka(gaussians(200, width=16, seed=1), gaussians(200, width=16, seed=2))
    assert values.mean() < 0.02
    assert 0.45 < (values == 0).float().mean() < 0.55


@pytest.mark.parametrize("measure", [cka, rsa])
def test_constant_and_non_finite_representations_are_similar_to_nothing(measure):
    x = gaussians(5)
    x[0] = 3.7
    x[1] = 0.0
    x[2, 5, 3] = math.nan
    x[3, 0, 0] = math.inf
    values = measure(x, x)
    assert torch.isfinite(values).all()
    assert (values[:4] == 0).all()
    assert (values[:, :4] == 0).all()
    assert values[4, 4] == pytest.approx(1.0, abs=1e-5)


def test_a_lone_outlying_probe_is_no_similarity():
    x = torch.zeros(1, 64, 8)
    x[0, 7] = 1.0
    assert cka(x, x).item() == 0.0


def test_huge_and_tiny_values_do_not_overflow():
    x = gaussians(2)
    torch.testing.assert_close(cka(x * 1e30, x * 1e-30), cka(x, x), atol=1e-5, rtol=0)


def test_empty_sides_give_empty_matrices():
    assert cka(gaussians(0), gaussians(2)).shape == (0, 2)
    assert cka(gaussians(2), gaussians(0)).shape == (2, 0)
    assert rsa(gaussians(0), gaussians(2)).shape == (0, 2)


def test_how_alike_is_the_mean_over_the_tasks_that_both_were_seen_on():
    one, other = related(2, 8, seed=1), related(2, 8, seed=5)
    archive = related(3, 8, seed=11)
    other[1] = math.nan
    values = alike([one, other], [archive, archive])
    expected = torch.stack([(cka(one, archive)[0] + cka(other, archive)[0]) / 2, cka(one, archive)[1]])
    torch.testing.assert_close(values, expected)


def test_what_a_slot_hands_on_of_its_mean_input_hides_nothing():
    """Two functions of a stream look alike while most of both is its mean; a linear slot is known by it."""
    probe = gaussians(64, 6, 3, seed=1)
    mean = (probe.mean(dim=1) @ gaussians(1, 3, 8, seed=2)[0])[None]
    own = gaussians(2, seed=3)
    own = own - own.mean(dim=1, keepdim=True)
    prints = torch.cat([10 * mean + own, mean, mean @ torch.linalg.qr(gaussians(1, 8, 8, seed=4)[0])[0]])
    assert cka(prints, prints)[0, 1] > 0.9
    values = cka(found := emphasised(prints, probe, 3), found)
    assert values[0, 1] < 0.3
    assert values[2, 3] == pytest.approx(1.0, abs=1e-4)
    assert values[0, 2] < 0.5


def test_emphasis_by_hand_on_a_single_step():
    """Nothing is taken away, and singular values 4 and 1 become 2 and 1 up to the scale and a rotation."""
    left, _ = torch.linalg.qr(torch.cat([torch.ones(16, 1), gaussians(1, 16, 2, seed=1)[0]], dim=1))
    left = left[:, 1:]
    rotation, _ = torch.linalg.qr(gaussians(1, 2, 2, seed=2)[0])
    (found,) = emphasised((left * torch.tensor([4.0, 1.0]) @ rotation + 7.0)[None], left[:, None, :], 2)
    expected = left * torch.tensor([2.0, 1.0])
    gram = found @ found.T
    torch.testing.assert_close(gram / gram.norm(), (e := expected @ expected.T) / e.norm(), atol=1e-5, rtol=0)


def test_emphasis_of_symbols_leaves_constant_and_missing_ones_similar_to_nothing():
    probe = torch.randint(0, 5, (64, 7), generator=torch.Generator().manual_seed(0))
    prints = gaussians(4)
    prints[0], prints[1] = 3.7, math.nan
    found = emphasised(prints, probe, 5)
    assert torch.isnan(found[1]).all()
    values = cka(found, found)
    assert (values[:2] == 0).all()
    torch.testing.assert_close(values.diagonal()[2:], torch.ones(2), atol=1e-4, rtol=0)
    counts = (
        torch.nn.functional.one_hot(probe, 5).double().mean(dim=1) @ gaussians(1, 5, 8, seed=9)[0].double()
    )
    mixed = (counts[None] + 0.05 * prints[2:3]).float()
    assert cka(mixed, prints[2:3]) < 0.3 < cka(emphasised(mixed, probe, 5), found[2:3])
