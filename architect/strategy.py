"""The contract of a search strategy: ask for programs, tell their rewards; leaves searching to its files."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from blueprints.errors import TamiyoError

#: Token ids of a TokenSpace, the end marker excluded.
Program = tuple[int, ...]


class StrategyError(TamiyoError):
    """A call that breaks the contract of a strategy: what was told or restored does not fit."""


class Strategy(ABC):
    """A search over a TokenSpace. Everything random comes from a generator seeded at construction.

    Attributes:
        name: what configurations call it.
        parents: the programs that each of those last asked for was made from, in their order; empty where
            they were sampled rather than made from others.
    """

    name: str
    parents: Sequence[tuple[Program, ...]] = ()

    @abstractmethod
    def ask(self, num: int) -> list[Program]:
        """Return `num` programs to be judged; they may be illegal when the strategy decodes freely."""

    @abstractmethod
    def tell(self, programs: Sequence[Program], rewards: Sequence[float]) -> dict[str, float]:
        """Learn from the rewards of the programs last asked for; return metrics to be logged."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides the future, generator states included, as torch-saveable data."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; asks after it repeat exactly."""


def check_num(num: int) -> None:
    """Raise unless `num` programs can be asked for."""
    if num < 1:
        raise StrategyError(f"{num} programs were asked for; expected at least 1")


def check_told(asked: Sequence[Program], programs: Sequence[Program], rewards: Sequence[float]) -> None:
    """Raise unless `rewards` are finite and belong to the programs last asked for."""
    if list(programs) != list(asked):
        raise StrategyError(
            f"{len(programs)} programs were told, which are not the {len(asked)} last asked for; "
            "tell each answer of ask once, in its order"
        )
    if len(rewards) != len(programs):
        raise StrategyError(f"{len(rewards)} rewards came for {len(programs)} programs; expected one each")
    for index, reward in enumerate(rewards):
        if not math.isfinite(reward):
            raise StrategyError(f"reward {index} is {reward}; expected a finite number")


def check_state(state: dict[str, Any], name: str, version_hash: str) -> None:
    """Raise unless `state` was saved by the strategy `name` on the TokenSpace `version_hash`."""
    for key, want in (("strategy", name), ("space", version_hash)):
        if state.get(key) != want:
            raise StrategyError(f"the state's {key} is {state.get(key)!r}; expected {want!r}")


def program_metrics(programs: Sequence[Program]) -> dict[str, float]:
    """Return what every strategy logs of what it asked: mean length and share of distinct programs."""
    return {
        "mean_length": sum(map(len, programs)) / max(1, len(programs)),
        "unique_token_rate": len(set(programs)) / max(1, len(programs)),
    }
