"""REINFORCE by hand-worked numbers, and on problems whose answer is known."""

import math
import random

import pytest
import torch
from toy_spaces import Bandit, Brackets, small_policy

from architect.checks import SettingError
from architect.reinforce import Reinforce, ReinforceConfig, entropy_bonus, policy_loss
from architect.scoring import entropy, masked_log_probs


def reinforce(space: Bandit | Brackets, seed: int = 0, **settings: float) -> Reinforce:
    config = ReinforceConfig(**settings)
    return Reinforce(space, small_policy(space), config, decoding="grammar", seed=seed)


def weights(strategy: Reinforce) -> dict[str, torch.Tensor]:
    return strategy.state_dict()["policy"]


def two_by_three() -> tuple[torch.Tensor, torch.Tensor]:
    """Two programs of one choice among three tokens: logits with p = (1/2, 1/4, 1/4) in both, and log p."""
    logits = torch.tensor([[0.5, 0.25, 0.25]] * 2).log().requires_grad_()
    return logits, masked_log_probs(logits, None)


def test_loss_and_gradient_of_two_programs_of_three_tokens_by_hand() -> None:
    # Program 0 took token 0 with advantage 1, program 1 took token 1 with advantage -1.
    # Loss: -(1/2) (1 * log 1/2 - 1 * log 1/4) = -(1/2) log 2.
    # Gradient of log p(a) by the logits is onehot(a) - p, so
    #   program 0: -(1/2) * (+1) * (1/2, -1/4, -1/4) = (-1/4, 1/8, 1/8)
    #   program 1: -(1/2) * (-1) * (-1/2, 3/4, -1/4) = (-1/4, 3/8, -1/8)
    logits, log_probs = two_by_three()
    chosen = log_probs.gather(1, torch.tensor([[0], [1]]))
    loss = policy_loss(chosen, torch.tensor([1.0, -1.0]), 2)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(-0.5 * math.log(2))
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.25, 0.125, 0.125], [-0.25, 0.375, -0.125]]))


def test_entropy_bonus_and_its_gradient_by_hand() -> None:
    # H = 1/2 log 2 + 2 * 1/4 log 4 = 3/2 log 2 in both choices; over 4 choices of the generation: 3/4 log 2.
    # dH/dz_j = -p_j (log p_j + H): -1/2 * 1/2 log 2 = -1/4 log 2, and -1/4 * -1/2 log 2 = 1/8 log 2;
    # a quarter of that each.
    logits, log_probs = two_by_three()
    bonus = entropy_bonus(entropy(log_probs)[:, None], 4)
    bonus.backward()
    assert float(bonus.detach()) == pytest.approx(0.75 * math.log(2))
    torch.testing.assert_close(logits.grad, torch.tensor([[-2.0, 1.0, 1.0]] * 2) * math.log(2) / 32)


def test_a_program_counts_with_the_sum_of_its_choices() -> None:
    # -(1/2) (1 * (-1 - 2 - 3) + 2 * (-1)) = 4
    log_probs = torch.tensor([[-1.0, -2.0, -3.0], [-1.0, 0.0, 0.0]])
    assert float(policy_loss(log_probs, torch.tensor([1.0, 2.0]), 2)) == pytest.approx(4.0)


def test_equal_rewards_give_no_policy_gradient() -> None:
    strategy = reinforce(Brackets(), entropy_weight=0.0)
    before = weights(strategy)
    programs = strategy.ask(64)
    metrics = strategy.tell(programs, [0.7] * 64)
    assert metrics["policy_loss"] == metrics["gradient_norm"] == 0.0
    assert all(torch.equal(value, before[name]) for name, value in weights(strategy).items())


@pytest.mark.parametrize("seed", range(3))
def test_a_three_armed_bandit_is_solved(seed: int) -> None:
    space, rng = Bandit(), random.Random(seed)
    strategy = reinforce(space, seed=seed, learning_rate=1e-2)
    means = {1: 0.2, 2: 0.5, 3: 0.8}
    for _ in range(40):
        programs = strategy.ask(64)
        strategy.tell(programs, [means[program[0]] + rng.gauss(0.0, 0.1) for program in programs])
    assert strategy.ask(200).count((3,)) > 180


def test_the_update_is_the_same_for_any_minibatch() -> None:
    after = []
    for size in (7, 64):
        strategy = reinforce(Brackets(), minibatch_size=size)
        programs = strategy.ask(64)
        strategy.tell(programs, [len(program) / 9 for program in programs])
        after.append(weights(strategy))
    for name, value in after[0].items():
        torch.testing.assert_close(value, after[1][name], rtol=0, atol=2e-4)


def test_clipping_bounds_the_step_but_the_norm_before_it_is_reported() -> None:
    norms = []
    for limit in (1e-3, 1e3):
        strategy = reinforce(Brackets(), max_gradient_norm=limit)
        programs = strategy.ask(32)
        norms.append(strategy.tell(programs, [float(len(p) > 3) for p in programs])["gradient_norm"])
    assert norms[0] == norms[1] > 1e-3


def test_where_rewards_say_nothing_the_bonus_raises_the_entropy() -> None:
    entropies = {}
    for weight in (0.0, 0.1):
        space = Brackets()
        policy = small_policy(space)
        with torch.no_grad():
            policy.head.bias[3] += 3.0
        config = ReinforceConfig(learning_rate=1e-2, entropy_weight=weight)
        strategy = Reinforce(space, policy, config, decoding="grammar", seed=0)
        for _ in range(10):
            metrics = strategy.tell(strategy.ask(64), [0.5] * 64)
        entropies[weight] = metrics["entropy"]
    assert entropies[0.1] > entropies[0.0] + 0.05


def test_the_alarm_sounds_when_programs_are_all_alike_and_not_before() -> None:
    space = Brackets()
    fresh, collapsed = small_policy(space), small_policy(space)
    with torch.no_grad():
        collapsed.head.bias[3] += 50.0
    for policy, alarm in ((fresh, 0.0), (collapsed, 1.0)):
        strategy = Reinforce(
            space, policy, ReinforceConfig(alarm_unique_rate=0.2), decoding="grammar", seed=0
        )
        programs = strategy.ask(64)
        assert strategy.tell(programs, [0.5] * 64)["collapse_alarm"] == alarm


def test_the_given_policy_is_left_as_it_was() -> None:
    space = Bandit()
    policy = small_policy(space)
    before = policy.head.weight.clone()
    strategy = Reinforce(space, policy, ReinforceConfig(), decoding="grammar", seed=0)
    programs = strategy.ask(8)
    strategy.tell(programs, [float(program[0]) for program in programs])
    assert torch.equal(policy.head.weight, before)
    assert not torch.equal(weights(strategy)["head.weight"], before)


def test_invalid_programs_become_rarer_in_free_decoding() -> None:
    space = Brackets()
    config = ReinforceConfig(learning_rate=1e-2)
    strategy = Reinforce(space, small_policy(space), config, decoding="free", seed=0)
    shares = []
    for _ in range(30):
        programs = strategy.ask(128)
        rewards = [1.0 if program and program.count(1) == program.count(2) else -1.0 for program in programs]
        strategy.tell(programs, rewards)
        shares.append(rewards.count(1.0) / len(rewards))
    assert shares[-1] > shares[0] + 0.3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0}, "ReinforceConfig.learning_rate is 0.0; expected a number greater than 0"),
        ({"entropy_weight": -0.1}, "ReinforceConfig.entropy_weight is -0.1; expected 0 or greater"),
        (
            {"alarm_unique_rate": 2.0},
            "ReinforceConfig.alarm_unique_rate is 2.0; expected a number from 0 to 1",
        ),
        ({"precision": "8"}, "ReinforceConfig.precision is '8'; expected one of 32-true, bf16-mixed"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        ReinforceConfig(**settings)
    assert str(caught.value) == message
