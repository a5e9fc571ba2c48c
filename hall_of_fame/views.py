"""Views of one ledger beside the plain order: Pareto front and best of every niche; reads no store."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import get_args

from blueprints import LANGUAGE, BlueprintError, Language, parse
from blueprints.graph import Graph
from hall_of_fame.records import Entry, Status

#: Families, the first that applies: how a blueprint carries information along time.
_FAMILIES = (
    ("attention", frozenset({"ATTENTION"})),
    ("recurrent", frozenset(op.name for op in LANGUAGE.ops if op.family == "recurrent") | {"SCAN"}),
    ("convolution", frozenset({"CONV1D", "DWCONV1D", "SHIFT"})),
    ("experts", frozenset({"MOE"})),
    ("linear", frozenset({"LINEAR"})),
)
#: Largest number of parameters of each size but the last.
_SIZES = (0, 100, 1_000, 10_000)
#: Largest depth of each class of depths but the last.
_DEPTHS = (2, 4, 8)
#: Budgets are the run's matter: what it allowed is read here.
_READS_ALL = Language(max_length=1 << 20, max_flops=1 << 60)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Niche:
    """A cell of the map of blueprints (MAP-Elites, Mouret & Clune 2015).

    Attributes:
        family: how it carries information along time: `attention`, `recurrent` or `convolution`; else what
            mixes its channels: `experts` or `linear`; else `elementwise`. Empty where this version of the
            language cannot read it.
        size: parameters, such as `101..1000`.
        depth: ops on the longest path, such as `3..4`; those in loops and scans count once.
    """

    family: str
    size: str
    depth: str

    def __str__(self) -> str:
        return f"{self.family or 'unread'} {self.size} {self.depth}"


def pareto_front(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries that no other beats or equals in all of score, parameters and predicted latency.

    They come best score first. Of equals one stays, the first; a cost that is not known counts as infinite.
    """
    front: list[Entry] = []
    best_first = sorted(entries, key=lambda entry: (-entry.score, *_costs(entry)))
    for entry in best_first:
        parameters, latency = _costs(entry)
        if all(_costs(other)[0] > parameters or _costs(other)[1] > latency for other in front):
            front.append(entry)
    return front


def by_niche(entries: Sequence[Entry]) -> dict[Niche, Entry]:
    """Return the holder of each niche that has one: its best entrant, else its best candidate, else refused.

    What was proved gives no place to a score that may be luck. Entrants come first, each by score; ties go to
    the first.
    """
    elites: dict[Niche, Entry] = {}
    statuses = get_args(Status)
    for entry in sorted(entries, key=lambda entry: (statuses.index(entry.standing.status), -entry.score)):
        elites.setdefault(niche_of(entry), entry)
    return elites


def niche_of(entry: Entry) -> Niche:
    """Return the niche of an entry."""
    family, depth = shape_of(entry.tokens)
    return Niche(family=family, size=_band(entry.num_parameters or 0, _SIZES), depth=_band(depth, _DEPTHS))


@lru_cache(maxsize=1 << 12)
def read(tokens: tuple[str, ...]) -> Graph:
    """Return the canonical graph of a program, whatever budgets it was written under.

    Raises:
        BlueprintError: where this version of the language cannot read it.
    """
    return parse(tokens, _READS_ALL).graph


@lru_cache(maxsize=1 << 14)
def shape_of(tokens: tuple[str, ...]) -> tuple[str, int]:
    """Return family and depth of a program; no family and 0 where this version of the language reads none."""
    try:
        return shape_of_graph(read(tokens))
    except BlueprintError:
        return "", 0


def shape_of_graph(graph: Graph) -> tuple[str, int]:
    """Return family and depth of a graph in canonical form."""
    ops = {node.op for node in graph.all_nodes()}
    return next((name for name, family in _FAMILIES if ops & family), "elementwise"), _depth(graph)


def _costs(entry: Entry) -> tuple[float, float]:
    return (
        inf if entry.num_parameters is None else entry.num_parameters,
        inf if entry.latency_us is None else entry.latency_us,
    )


def _depth(graph: Graph) -> int:
    """Return the ops on the longest path from the input; a loop or a scan adds its body's."""
    depths: list[int] = []
    for node in graph.nodes:
        own = (_depth(node.body) if node.body else 1) if node.inputs else 0
        depths.append(own + max((depths[i] for i in node.inputs), default=0))
    return max(depths)


def _band(value: int, ends: Sequence[int]) -> str:
    """Return the band of `value` among those that end at `ends`, the last being open."""
    starts = [0, *(end + 1 for end in ends)]
    for start, end in zip(starts, ends, strict=False):
        if value <= end:
            return f"{start}..{end}" if start < end else f"{end}"
    return f"{starts[-1]}.."
