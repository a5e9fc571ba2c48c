"""Blueprints that people designed, each with its paper: the corpus that the Architect first learns."""

from functools import lru_cache

from blueprints.errors import TamiyoError
from blueprints.human.adapters import ADAPTERS
from blueprints.human.attention import ATTENTION
from blueprints.human.brain import BRAIN
from blueprints.human.convolution import CONVOLUTION
from blueprints.human.entry import HumanBlueprint
from blueprints.human.gating import GATING
from blueprints.human.loops import LOOPS
from blueprints.human.mlps import MLPS
from blueprints.human.recurrent import RECURRENT
from blueprints.human.recurrent_cells import RECURRENT_CELLS
from blueprints.human.sets import SETS
from blueprints.human.state_space import STATE_SPACE
from blueprints.parser import Blueprint, parse

__all__ = ["HUMAN_BLUEPRINTS", "HumanBlueprint", "human"]

HUMAN_BLUEPRINTS: tuple[HumanBlueprint, ...] = (
    *MLPS,
    *ADAPTERS,
    *GATING,
    *CONVOLUTION,
    *ATTENTION,
    *RECURRENT,
    *RECURRENT_CELLS,
    *STATE_SPACE,
    *LOOPS,
    *SETS,
    *BRAIN,
)


def human(name: str) -> Blueprint:
    """Return the parsed human blueprint called `name`.

    Raises:
        TamiyoError: when there is none of that name.
    """
    return _by_name().get(name) or _unknown(name)


@lru_cache(maxsize=1)
def _by_name() -> dict[str, Blueprint]:
    return {entry.name: parse(entry.tokens) for entry in HUMAN_BLUEPRINTS}


def _unknown(name: str) -> Blueprint:
    raise TamiyoError(f"no human blueprint {name!r}; expected one of {', '.join(_by_name())}")
