"""The table of strategies by name, and how each is built; knows nothing of runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from architect.checks import require_one_of
from architect.evolution import EvolutionConfig, RegularizedEvolution
from architect.policy import Policy
from architect.random_search import PolicySampling
from architect.reinforce import Reinforce, ReinforceConfig
from architect.scoring import Decoding
from architect.strategy import Strategy
from architect.token_space import TokenSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredients:
    """All that any strategy is built from; each takes what it needs.

    Attributes:
        space: what is searched.
        policy: the pretrained policy; every strategy works on a copy.
        decoding: how programs are sampled from it.
        seed: of the strategy's own generators.
        device: where the policy computes, as torch names it.
        reinforce: settings of `reinforce`.
        evolution: settings of `evolution`.
    """

    space: TokenSpace
    policy: Policy
    decoding: Decoding
    seed: int
    device: str = "cpu"
    reinforce: ReinforceConfig = field(default_factory=ReinforceConfig)
    evolution: EvolutionConfig = field(default_factory=EvolutionConfig)


def _reinforce(given: Ingredients) -> Strategy:
    return Reinforce(
        given.space,
        given.policy,
        given.reinforce,
        decoding=given.decoding,
        seed=given.seed,
        device=given.device,
    )


def _random(given: Ingredients) -> Strategy:
    return PolicySampling(
        given.space, given.policy, decoding=given.decoding, seed=given.seed, device=given.device
    )


def _evolution(given: Ingredients) -> Strategy:
    return RegularizedEvolution(
        given.space,
        given.policy,
        given.evolution,
        decoding=given.decoding,
        seed=given.seed,
        device=given.device,
    )


#: Name to builder, in the order in which help texts list them.
STRATEGIES: Mapping[str, Callable[[Ingredients], Strategy]] = {
    "reinforce": _reinforce,
    "random": _random,
    "evolution": _evolution,
}


def build_strategy(name: str, given: Ingredients) -> Strategy:
    """Return the strategy called `name`."""
    require_one_of("strategy", name, STRATEGIES)
    return STRATEGIES[name](given)
