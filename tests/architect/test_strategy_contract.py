"""What every strategy keeps: it answers what was asked, repeats itself, and goes on where it was saved."""

import io
from typing import Any

import pytest
import torch
from toy_spaces import Bandit, Brackets, small_policy

from architect.checks import SettingError
from architect.evolution import EvolutionConfig
from architect.reinforce import ReinforceConfig
from architect.strategies import STRATEGIES, Ingredients, build_strategy
from architect.strategy import Program, Strategy, StrategyError
from architect.token_space import is_legal

SPACE = Brackets()


def reward(program: Program) -> float:
    return program.count(1) / 4


def generation(strategy: Strategy, num: int) -> tuple[list[Program], dict[str, float]]:
    programs = strategy.ask(num)
    return programs, strategy.tell(programs, [reward(program) for program in programs])


def reloaded(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state after a trip through a file that holds plain data alone."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def build(name: str, seed: int = 0, space: Any = SPACE) -> Strategy:
    given = Ingredients(
        space=space,
        policy=small_policy(space),
        decoding="grammar",
        seed=seed,
        reinforce=ReinforceConfig(learning_rate=1e-2),
        evolution=EvolutionConfig(population_size=40, tournament_size=8),
    )
    return build_strategy(name, given)


@pytest.mark.parametrize("name", STRATEGIES)
class TestStrategy:
    def test_it_is_called_by_its_name(self, name: str) -> None:
        assert build(name).name == name

    def test_it_returns_as_many_legal_programs_as_asked_for(self, name: str) -> None:
        strategy = build(name)
        for num in (1, 50, 17):
            programs, _ = generation(strategy, num)
            assert len(programs) == num
            assert all(is_legal(SPACE, program) for program in programs)

    def test_it_logs_finite_numbers(self, name: str) -> None:
        _, metrics = generation(build(name), 20)
        assert {"mean_length", "unique_token_rate"} <= metrics.keys()
        assert all(isinstance(v, float) and abs(v) < float("inf") for v in metrics.values())

    def test_equal_seeds_search_equally_and_others_do_not(self, name: str) -> None:
        searches = []
        for seed in (1, 1, 2):
            strategy = build(name, seed)
            searches.append([generation(strategy, 32) for _ in range(3)])
        assert searches[0] == searches[1] != searches[2]

    def test_a_restored_search_goes_on_as_the_saved_one(self, name: str) -> None:
        saved = build(name)
        for _ in range(3):
            generation(saved, 32)
        restored = build(name, seed=9)
        restored.load_state_dict(reloaded(saved.state_dict()))
        for _ in range(3):
            assert generation(restored, 32) == generation(saved, 32)

    def test_a_search_saved_between_ask_and_tell_goes_on_too(self, name: str) -> None:
        saved, restored = build(name), build(name, seed=9)
        generation(saved, 64)
        asked = saved.ask(32)
        restored.load_state_dict(reloaded(saved.state_dict()))
        rewards = [reward(program) for program in asked]
        assert restored.tell(asked, rewards) == saved.tell(asked, rewards)
        assert generation(restored, 32) == generation(saved, 32)

    def test_a_saved_state_is_not_changed_by_what_follows(self, name: str) -> None:
        strategy, twin, other = build(name), build(name, seed=8), build(name, seed=9)
        generation(strategy, 64)
        state = strategy.state_dict()
        twin.load_state_dict(reloaded(state))
        for _ in range(2):
            generation(strategy, 32)
        other.load_state_dict(state)
        assert generation(other, 32) == generation(twin, 32)

    def test_it_draws_nothing_from_global_generators(self, name: str) -> None:
        before = torch.get_rng_state()
        strategy = build(name)
        for _ in range(3):
            generation(strategy, 32)
        assert torch.equal(torch.get_rng_state(), before)

    def test_it_refuses_what_it_did_not_ask_for(self, name: str) -> None:
        strategy = build(name)
        programs = strategy.ask(4)
        with pytest.raises(StrategyError, match="3 programs were told, which are not the 4 last asked for"):
            strategy.tell(programs[:3], [0.0] * 3)
        with pytest.raises(StrategyError, match="3 rewards came for 4 programs; expected one each"):
            strategy.tell(programs, [0.0] * 3)
        with pytest.raises(StrategyError, match="reward 2 is nan; expected a finite number"):
            strategy.tell(programs, [0.0, 0.0, float("nan"), 0.0])
        with pytest.raises(StrategyError, match="0 programs were asked for; expected at least 1"):
            strategy.ask(0)

    def test_it_refuses_a_state_of_another_space_or_strategy(self, name: str) -> None:
        strategy = build(name)
        with pytest.raises(StrategyError, match="the state's space is 'bandit'; expected 'brackets'"):
            strategy.load_state_dict(build(name, space=Bandit()).state_dict())
        state = strategy.state_dict() | {"strategy": "other"}
        with pytest.raises(StrategyError, match=f"the state's strategy is 'other'; expected '{name}'"):
            strategy.load_state_dict(state)


@pytest.mark.parametrize("name", ["reinforce", "evolution"])
def test_a_strategy_that_learns_beats_sampling(name: str) -> None:
    learner, control = build(name), build("random")
    last = {}
    for strategy in (learner, control):
        for _ in range(25):
            programs, _ = generation(strategy, 64)
        last[strategy.name] = sum(map(reward, programs)) / len(programs)
    assert last[name] > last["random"] + 0.1


def test_an_unknown_strategy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        SettingError, match="strategy is 'luck'; expected one of reinforce, random, evolution"
    ):
        build("luck")
