"""Regularised evolution (Real et al. 2019): tournaments pick the parents, age alone picks who leaves."""

import copy
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from architect.checks import SettingError, require_one_of, require_positive
from architect.mutation import mutate
from architect.policy import Policy
from architect.sampling import sample
from architect.scoring import DECODINGS, Decoding
from architect.strategy import Program, Strategy, check_num, check_state, check_told, program_metrics
from architect.token_space import TokenSpace

#: Mutations of one parent tried before a child that the population already holds is accepted.
NUM_CHILDREN_TRIED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolutionConfig:
    """Settings of the search.

    Attributes:
        population_size: programs judged before the first tournament, and the least that are kept.
        tournament_size: programs drawn, with replacement, to find one parent.
    """

    population_size: int = 256
    tournament_size: int = 16

    def __post_init__(self) -> None:
        require_positive(self, "population_size", "tournament_size")
        if self.tournament_size > self.population_size:
            raise SettingError(
                f"EvolutionConfig.tournament_size is {self.tournament_size}; expected at most the "
                f"population_size of {self.population_size}"
            )


class RegularizedEvolution(Strategy):
    """Mutates the best of small tournaments; the oldest leave, however good.

    The first `population_size` programs are sampled from the given policy, so that the search starts equal
    to the strategies that learn. Children are judged a generation at a time; the population therefore keeps
    the newest `population_size` programs or the newest generation, whichever is more. Mutations are legal
    always; the first programs are if the decoding is masked.
    """

    name = "evolution"

    def __init__(
        self,
        space: TokenSpace,
        policy: Policy,
        config: EvolutionConfig,
        *,
        decoding: Decoding,
        seed: int,
        device: str = "cpu",
    ) -> None:
        require_one_of("decoding", decoding, DECODINGS)
        self._space, self._config = space, config
        self._decoding: Decoding = decoding
        self._policy = copy.deepcopy(policy).to(device)
        self._generator = torch.Generator().manual_seed(seed)
        self._rng = random.Random(seed)
        self._population: deque[tuple[Program, float]] = deque()
        self._asked: list[Program] = []

    def ask(self, num: int) -> list[Program]:
        """Return `num` programs: sampled until the population is full, then children of its best."""
        check_num(num)
        if len(self._population) < self._config.population_size:
            drawn = sample(self._policy, self._space, num, decoding=self._decoding, generator=self._generator)
            self._asked, self.parents = drawn.programs, ()
        else:
            self._asked = self._children(num)
        return list(self._asked)

    def tell(self, programs: Sequence[Program], rewards: Sequence[float]) -> dict[str, float]:
        """Let the programs join the population and its oldest leave; return the population's mean reward."""
        check_told(self._asked, programs, rewards)
        self._population.extend(zip(programs, map(float, rewards), strict=True))
        while len(self._population) > max(self._config.population_size, len(programs)):
            self._population.popleft()
        mean = sum(reward for _, reward in self._population) / len(self._population)
        return {"population_reward_mean": mean} | program_metrics(programs)

    def _children(self, num: int) -> list[Program]:
        """Return `num` mutations of tournament winners, new to the population and each other if possible."""
        population = list(self._population)
        known = {program for program, _ in population}
        children: list[Program] = []
        parents: list[tuple[Program, ...]] = []
        for _ in range(num):
            parent = self._winner(population)
            for _ in range(NUM_CHILDREN_TRIED):
                child = mutate(self._space, parent, self._rng)
                if child not in known:
                    break
            known.add(child)
            children.append(child)
            parents.append((parent,))
        self.parents = parents
        return children

    def _winner(self, population: list[tuple[Program, float]]) -> Program:
        drawn = [
            population[self._rng.randrange(len(population))] for _ in range(self._config.tournament_size)
        ]
        return max(drawn, key=lambda entry: entry[1])[0]

    def state_dict(self) -> dict[str, Any]:
        """Return population, policy, generators and the programs last asked for."""
        return {
            "strategy": self.name,
            "space": self._space.version_hash,
            "policy": copy.deepcopy(self._policy.state_dict()),
            "generator": self._generator.get_state(),
            "rng": self._rng.getstate(),
            "population": list(self._population),
            "asked": list(self._asked),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        check_state(state, self.name, self._space.version_hash)
        self._policy.load_state_dict(state["policy"])
        self._generator.set_state(state["generator"])
        version, internal, gauss = state["rng"]
        self._rng.setstate((version, tuple(internal), gauss))
        self._population = deque((tuple(program), reward) for program, reward in state["population"])
        self._asked = [tuple(program) for program in state["asked"]]
