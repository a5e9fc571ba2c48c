"""Mutation stays legal in any TokenSpace, and the population ages."""

import random
from collections import Counter

import pytest
from toy_spaces import Bandit, Brackets, small_policy

from architect.checks import SettingError
from architect.evolution import EvolutionConfig, RegularizedEvolution
from architect.mutation import mutate
from architect.token_space import is_legal


def evolution(space: Bandit | Brackets, **settings: int) -> RegularizedEvolution:
    return RegularizedEvolution(
        space, small_policy(space), EvolutionConfig(**settings), decoding="grammar", seed=0
    )


def test_a_chain_of_mutations_is_legal_and_never_stands_still() -> None:
    space, rng = Brackets(), random.Random(0)
    program, seen = (3,), Counter()
    for _ in range(2_000):
        child = mutate(space, program, rng)
        assert is_legal(space, child)
        assert child != program
        program = child
        seen[len(program)] += 1
    assert set(seen) == set(range(1, 10))


def test_most_mutations_change_little() -> None:
    space, rng = Brackets(), random.Random(0)
    parent = (1, 3, 1, 3, 3, 2, 2)
    lengths = Counter(abs(len(mutate(space, parent, rng)) - len(parent)) for _ in range(500))
    assert lengths[0] + lengths[1] > 350


@pytest.mark.parametrize("parent", [(), (2, 2), (1,) * 10, (3, 1, 2)])
def test_a_parent_that_is_not_legal_has_legal_children(parent: tuple[int, ...]) -> None:
    space, rng = Brackets(), random.Random(0)
    assert all(is_legal(space, mutate(space, parent, rng)) for _ in range(200))


def test_a_program_without_neighbours_is_returned_as_it_is() -> None:
    class OneArm(Bandit):
        tokens = ("END", "A")

        def legal(self, cursor: int):
            return super().legal(cursor)[:2]

    assert mutate(OneArm(), (1,), random.Random(0)) == (1,)


def test_equal_generators_mutate_equally() -> None:
    space = Brackets()
    one, same = ([mutate(space, (1, 3, 2), random.Random(seed)) for seed in range(20)] for _ in range(2))
    assert one == same


def test_the_first_programs_are_those_of_the_policy() -> None:
    space = Brackets()
    strategy = evolution(space, population_size=30, tournament_size=3)
    first = strategy.ask(20)
    strategy.tell(first, [0.0] * 20)
    again = evolution(space, population_size=90, tournament_size=3)
    assert again.ask(20) == first


def test_the_oldest_leave_however_good() -> None:
    strategy = evolution(Brackets(), population_size=10, tournament_size=2)
    for reward in (1.0, 0.0):
        programs = strategy.ask(10)
        metrics = strategy.tell(programs, [reward] * 10)
    assert metrics["population_reward_mean"] == 0.0


def test_a_generation_larger_than_the_population_is_kept_whole() -> None:
    strategy = evolution(Brackets(), population_size=10, tournament_size=2)
    programs = strategy.ask(40)
    strategy.tell(programs, [0.5] * 40)
    assert len(strategy.state_dict()["population"]) == 40


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"population_size": 0}, "EvolutionConfig.population_size is 0; expected a number greater than 0"),
        (
            {"population_size": 4, "tournament_size": 8},
            "EvolutionConfig.tournament_size is 8; expected at most the population_size of 4",
        ),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        EvolutionConfig(**settings)
    assert str(caught.value) == message
