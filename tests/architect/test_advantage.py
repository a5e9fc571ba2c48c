"""Advantages by hand-worked numbers: baseline, scale, its floor, and where invalid programs lie."""

import pytest
import torch

from architect.advantage import advantages, lifted


def test_advantages_are_deviations_from_the_mean_in_standard_deviations() -> None:
    # mean 0.5, deviations -0.4 0 0.4, standard deviation 0.4 * sqrt(2/3) = 0.32660
    expected = torch.tensor([-1.2247, 0.0, 1.2247])
    torch.testing.assert_close(advantages(torch.tensor([0.1, 0.5, 0.9])), expected, atol=1e-4, rtol=0)


def test_a_vanishing_spread_is_not_amplified() -> None:
    # mean 0.90, standard deviation 0.01: divided by 0.1 instead
    result = advantages(torch.tensor([0.89, 0.91]))
    torch.testing.assert_close(result, torch.tensor([-0.1, 0.1]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("reward", [0.1, 0.7, -1.0])
@pytest.mark.parametrize("num", [1, 3, 1000])
def test_equal_rewards_give_exactly_zero(reward: float, num: int) -> None:
    assert torch.equal(advantages(torch.full((num,), reward)), torch.zeros(num))


def test_an_invalid_program_is_lifted_to_three_spreads_beneath_the_valid() -> None:
    # valid: mean 0.6, standard deviation 0.2, edge 0.6 - 3 * 0.2 = 0.0
    torch.testing.assert_close(
        lifted(torch.tensor([0.4, 0.8, -1.0])), torch.tensor([0.4, 0.8, 0.0]), atol=1e-6, rtol=0
    )


def test_an_invalid_program_is_never_ranked_above_a_valid_one() -> None:
    # mean 0.85, standard deviation 0.218, three spreads reach 0.196; the worst valid reward is lower: 0.1
    rewards = torch.tensor([0.9] * 15 + [0.1] + [-1.0])
    assert float(lifted(rewards)[-1]) == pytest.approx(0.1)


def test_an_invalid_program_is_never_lowered() -> None:
    # mean 0.0, standard deviation 0.9, three spreads reach -2.7
    assert float(lifted(torch.tensor([-0.9, 0.9, -1.0]))[-1]) == -1.0


def test_invalid_programs_hardly_change_the_advantages_of_valid_ones() -> None:
    valid = torch.linspace(0.2, 0.8, 95)
    alone = advantages(valid)
    beside = advantages(torch.cat([valid, torch.full((5,), -1.0)]))[:95]
    plain = torch.cat([valid, torch.full((5,), -1.0)])
    kept = float(beside[-1] - beside[0]) / float(alone[-1] - alone[0])
    without_lift = float((valid[-1] - valid[0]) / plain.std(correction=0)) / float(alone[-1] - alone[0])
    assert kept > 0.75 > 0.5 > without_lift


def test_the_first_valid_programs_stand_out_among_invalid_ones() -> None:
    result = advantages(torch.tensor([0.5] + [-1.0] * 24))
    assert float(result[0]) > 2.0
    assert float(result[1:].abs().max()) < 0.3
    assert float(result.sum()) == pytest.approx(0.0, abs=1e-5)
