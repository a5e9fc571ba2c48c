"""Traits of representations by hand, what leaves them as they are, and the likeness that rests on them."""

import json
import math

import pytest
import torch

from hall_of_fame.traits import NAMES, PLACE, likeness, measured, traits
from tests.hall_of_fame.test_similarity import gaussians

PROBE = gaussians(64, 6, 3, seed=1)


def named(fingerprints: torch.Tensor) -> list[dict[str, float]]:
    return [dict(zip(NAMES, row, strict=True)) for row in traits(fingerprints, PROBE, 3).tolist()]


def of_kinds(num: int, *, seed: int) -> torch.Tensor:
    """For each seed a linear map, its positive part, and a single direction of its square."""
    linear = PROBE.mean(dim=1) @ gaussians(num, 3, 8, seed=seed)
    square = (linear[:, :, :1] ** 2) @ gaussians(num, 1, 8, seed=seed + 1)
    return torch.stack([linear, linear.relu(), square], dim=1)


def test_traits_of_a_linear_slot_and_of_one_that_is_not_by_hand():
    linear = PROBE.mean(dim=1) @ gaussians(1, 3, 8, seed=2)[0]
    noise = gaussians(1, seed=3)[0].abs()
    of_linear, of_noise = named(torch.stack([linear, noise]))
    assert of_linear["linear"] == pytest.approx(1.0, abs=1e-6)
    assert of_linear["log_left_after_3"] == pytest.approx(-4.0, abs=1e-6)
    assert of_linear["log_left_after_2"] > -4
    assert of_linear["never_negative"] == 0.0
    assert of_noise["linear"] < 0.2
    assert (of_noise["never_negative"], of_noise["never_positive"], of_noise["mean_sign"]) == (1.0, 0.0, 1.0)
    assert 0 < of_noise["log_offset_at_0.5"] < 1


def test_an_offset_is_counted_in_standard_deviations_as_a_decimal_log():
    own = gaussians(1, seed=4)[0]
    own = (own - own.mean(dim=0)) / own.std(dim=0, correction=0)
    found = named((own + 10.0)[None])[0]
    assert found["log_offset_at_0.0"] == pytest.approx(1.0, abs=1e-5)
    assert found["log_offset_at_1.0"] == pytest.approx(1.0, abs=1e-5)


def test_neither_the_order_of_channels_nor_scale_nor_width_moves_traits():
    x = gaussians(3, seed=5).relu()
    expected = traits(x, PROBE, 3)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(traits(x[:, :, order], PROBE, 3), expected)
    for factor in (1e30, 1e-30):
        torch.testing.assert_close(traits(factor * x, PROBE, 3), expected, atol=1e-5, rtol=1e-5)


def test_what_is_constant_has_traits_and_what_is_not_finite_has_none():
    x = gaussians(4, seed=6)
    x[0], x[1], x[2, 5, 3] = 3.7, 0.0, math.nan
    found = traits(x, PROBE, 3)
    assert torch.isfinite(found).all(dim=1).tolist() == [True, True, False, True]
    values = likeness([found], [found])
    assert (values[2] == 0).all()
    assert (values[:, 2] == 0).all()
    assert values[0, 0] > 0.5 > values[0, 3]


def test_one_kind_of_function_is_more_alike_across_seeds_than_two_kinds():
    one, other = (traits(of_kinds(1, seed=seed)[0], PROBE, 3) for seed in (7, 17))
    values = likeness([one], [other])
    assert (values.diagonal() > 0.5).all()
    assert values.diagonal().min() > values[~torch.eye(3, dtype=torch.bool)].max()
    torch.testing.assert_close(values, likeness([other], [one]).T)


def test_over_tasks_the_mean_log_odds_count_of_those_that_both_have():
    x, y = (traits(gaussians(2, seed=seed).relu(), PROBE, 3) for seed in (8, 9))
    nothing = torch.full_like(x, math.nan)
    odds = [likeness([z], [x]).logit() for z in (x, y)]
    torch.testing.assert_close(likeness([x, y], [x, x]).logit(), (odds[0] + odds[1]) / 2)
    torch.testing.assert_close(likeness([x, y], [x, nothing]), likeness([x], [x]))
    assert (likeness([nothing], [x]) == 0).all()


def test_the_log_ratio_is_that_of_the_two_gaussian_models():
    scatter = measured()
    x, y = (traits(gaussians(1, seed=seed).relu(), PROBE, 3) for seed in (8, 9))
    pair = torch.stack(
        [((z - scatter.mean) / scatter.scale).clamp(-5, 5) @ scatter.projection for z in (x, y)]
    )
    expected = 0.0
    for (a, b), between in zip(pair[:, 0].T, scatter.between, strict=True):
        together = torch.tensor([[between + 1, between], [between, between + 1]])
        apart = torch.eye(2, dtype=torch.float64) * (between + 1)
        value, mean = torch.stack([a, b]), torch.zeros(2, dtype=torch.float64)
        normal = torch.distributions.MultivariateNormal
        expected += normal(mean, together).log_prob(value) - normal(mean, apart).log_prob(value)
    assert scatter.log_ratios(x, y).item() == pytest.approx(float(expected), rel=1e-6)


def test_the_file_is_what_the_scatter_says_of_itself():
    values = json.loads(PLACE.read_text())
    assert measured().as_json() == {name: values[name] for name in measured().as_json()}
    assert values["num"] >= 200
    assert measured().slope > 0
