"""The policy: cached and full passes agree, its annotations hold, and building it draws nothing global."""

import subprocess
import sys

import pytest
import torch
from beartype import beartype
from jaxtyping import TypeCheckError, jaxtyped
from toy_spaces import Brackets, small_policy

from architect.checks import SettingError
from architect.policy import Policy, PolicyConfig
from architect.scoring import entropy, masked_log_probs


def test_cached_steps_give_the_logits_of_the_full_pass() -> None:
    policy = Policy(26, 24, PolicyConfig(num_layers=3, num_heads=4, width=32), seed=1)
    inputs = torch.randint(0, 26, (5, 25), generator=torch.Generator().manual_seed(0))
    inputs[:, 0] = policy.start_id
    cache = policy.empty_cache(5)
    with torch.no_grad():
        stepped = torch.stack([policy.step(inputs[:, i], cache) for i in range(25)], dim=1)
        torch.testing.assert_close(stepped, policy(inputs), rtol=1e-5, atol=1e-5)


def test_no_logit_depends_on_a_later_token() -> None:
    policy = small_policy(Brackets())
    inputs = torch.tensor([[4, 1, 3, 2, 3], [4, 1, 3, 1, 1]])
    logits = policy(inputs)
    torch.testing.assert_close(logits[0, :3], logits[1, :3])
    assert not torch.allclose(logits[0, 3], logits[1, 3])


def test_equal_seeds_build_equal_policies_and_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    one, same, other = (small_policy(Brackets(), seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.head.weight, other.head.weight)
    assert all(bool(parameter.isfinite().all()) for parameter in one.parameters())


def test_masked_log_probs_renormalise_over_what_is_legal() -> None:
    legal = torch.tensor([[True, False, True]])
    log_probs = masked_log_probs(torch.log(torch.tensor([[0.5, 0.25, 0.25]])), legal)
    torch.testing.assert_close(log_probs.exp(), torch.tensor([[2 / 3, 0.0, 1 / 3]]))
    expected = -(2 / 3 * torch.tensor(2 / 3).log() + 1 / 3 * torch.tensor(1 / 3).log())
    torch.testing.assert_close(entropy(log_probs)[0], expected)


def test_a_forced_choice_has_no_entropy_and_no_gradient_that_is_not_a_number() -> None:
    logits = torch.tensor([[0.3, -1.0, 2.0]], requires_grad=True)
    value = entropy(masked_log_probs(logits, torch.tensor([[False, True, False]])))
    value.sum().backward()
    assert float(value.detach()) == 0.0
    assert torch.equal(logits.grad, torch.zeros(1, 3))


def test_annotations_refuse_wrong_shapes() -> None:
    checked = jaxtyped(typechecker=beartype)(masked_log_probs)
    checked(torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(TypeCheckError):
        checked(torch.zeros(2, 3), torch.ones(2, 4, dtype=torch.bool))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_layers": 0}, "PolicyConfig.num_layers is 0; expected a number greater than 0"),
        ({"width": 30, "num_heads": 4}, "PolicyConfig.width is 30; expected a multiple of 4 heads"),
    ],
)
def test_impossible_shapes_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        PolicyConfig(**settings)
    assert str(caught.value) == message


def test_importing_the_floor_does_not_load_lightning() -> None:
    code = (
        "import sys, architect.strategies, architect.pretraining, architect.corpus;"
        "sys.exit('lightning' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
