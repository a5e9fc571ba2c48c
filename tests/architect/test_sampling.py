"""Sampling: legal when masked, cut and illegal when it runs on, as likely as the policy says."""

from collections import Counter

import numpy as np
import pytest
import torch
from toy_spaces import Bandit, Brackets, small_policy

from architect.policy import Policy
from architect.sampling import sample
from architect.scoring import Decoding, actions_of, entropy, masked_log_probs, score
from architect.token_space import END_ID, is_legal


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def leaning(policy: Policy, token_id: int, logit: float = 50.0) -> Policy:
    """Return the policy with one token made all but certain everywhere."""
    with torch.no_grad():
        policy.head.bias[token_id] += logit
    return policy


def test_masked_programs_are_legal_and_reach_every_length() -> None:
    space = Brackets()
    programs = sample(small_policy(space), space, 2_000, decoding="grammar", generator=generator()).programs
    assert all(is_legal(space, program) for program in programs)
    assert {len(program) for program in programs} == set(range(1, space.max_length + 1))


def test_a_program_that_does_not_end_is_cut_one_token_too_long_and_so_illegal() -> None:
    space = Brackets()
    drawn = sample(leaning(small_policy(space), 3), space, 5, decoding="free", generator=generator())
    assert drawn.programs == [(3,) * (space.max_length + 1)] * 5
    assert not any(is_legal(space, program) for program in drawn.programs)


def test_the_grammar_ends_a_program_that_would_run_on() -> None:
    space = Brackets()
    drawn = sample(leaning(small_policy(space), 3), space, 5, decoding="grammar", generator=generator())
    assert drawn.programs == [(3,) * space.max_length] * 5


def test_sampling_stops_when_every_program_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    space, steps = Brackets(), []
    policy = leaning(small_policy(space), END_ID)
    step = policy.step
    monkeypatch.setattr(policy, "step", lambda *arguments: steps.append(1) or step(*arguments))
    assert sample(policy, space, 7, decoding="free", generator=generator()).programs == [()] * 7
    assert len(steps) == 1


@pytest.mark.parametrize("decoding", ["free", "grammar"])
def test_programs_come_as_often_as_the_policy_says(decoding: Decoding) -> None:
    space = Bandit()
    policy = small_policy(space)
    with torch.no_grad():
        policy.head.bias += torch.tensor([0.5, 1.0, 0.0, -0.5])
    drawn = sample(policy, space, 20_000, decoding=decoding, generator=generator())
    for program, count in Counter(drawn.programs).items():
        log_probs, _ = score(policy, actions_of(space, [program], decoding))
        assert count / 20_000 == pytest.approx(float(log_probs.detach().sum().exp()), abs=0.012)


def test_the_reported_entropy_is_that_of_scoring_the_same_programs() -> None:
    space = Brackets()
    policy = small_policy(space)
    for decoding in ("free", "grammar"):
        drawn = sample(policy, space, 200, decoding=decoding, generator=generator())
        actions = actions_of(space, drawn.programs, decoding)
        with torch.no_grad():
            _, entropies = score(policy, actions)
        assert drawn.entropy == pytest.approx(float(entropies.sum() / actions.taken.sum()), rel=1e-4)


def test_equal_generators_draw_equal_programs() -> None:
    space = Brackets()
    policy = small_policy(space)
    one, same, other = (
        sample(policy, space, 50, decoding="grammar", generator=generator(seed)).programs
        for seed in (1, 1, 2)
    )
    assert one == same != other


def test_an_empty_mask_is_caught_before_it_is_sampled_from() -> None:
    class DeadEnd(Brackets):
        def legal(self, cursor: tuple[int, int, bool]) -> np.ndarray:
            return super().legal(cursor) & (cursor[0] < 2)

    space = DeadEnd()
    with pytest.raises(AssertionError, match="no token is legal at"):
        sample(small_policy(space), space, 50, decoding="grammar", generator=generator())


def test_actions_hold_inputs_choices_and_masks_of_hand_written_programs() -> None:
    space = Brackets()
    actions = actions_of(space, [(3,), (1, 3, 2)], "grammar")
    assert actions.inputs.tolist() == [[4, 3, 0, 0], [4, 1, 3, 2]]
    assert actions.tokens.tolist() == [[3, 0, 0, 0], [1, 3, 2, 0]]
    assert actions.taken.tolist() == [[True, True, False, False], [True, True, True, True]]
    assert actions.legal is not None
    assert actions.legal[1].int().tolist() == [[0, 1, 0, 1], [0, 1, 0, 1], [0, 1, 1, 1], [1, 1, 0, 1]]
    assert actions.rows(torch.tensor([0])).tokens.tolist() == [[3, 0]]


def test_a_cut_program_is_scored_without_an_end_marker() -> None:
    space = Bandit()
    actions = actions_of(space, [(1, 2), (1,)], "free")
    assert actions.tokens.tolist() == [[1, 2], [1, 0]]
    assert actions.taken.all()


def test_cutting_rows_to_their_longest_changes_no_score() -> None:
    space = Brackets()
    policy = small_policy(space)
    actions = actions_of(space, [(3,), (1, 3, 2), (3, 3)], "grammar")
    with torch.no_grad():
        whole = score(policy, actions)[0].sum(dim=1)
        part = score(policy, actions.rows(torch.tensor([2, 0])))[0].sum(dim=1)
    torch.testing.assert_close(part, whole[[2, 0]])


def test_entropy_of_uniform_choice_is_the_logarithm_of_their_number() -> None:
    log_probs = masked_log_probs(torch.zeros(1, 4), torch.tensor([[True, True, True, False]]))
    assert float(entropy(log_probs)) == pytest.approx(np.log(3))
