"""How alike blueprints are built: Weisfeiler-Lehman subtree features and their kernel; needs no training.

A node's colour is at first its op with its options. In each round it takes in the colours of what it reads
and of what reads it, with the kinds of the edges between, so that after h rounds it stands for the h steps
around it. A graph's features are how often each colour of each round occurs; two graphs are as alike as the
cosine of their features (Shervashidze et al. 2011), with edges directed and labelled as in
blueprints/networkx_form.py. Colours are 64-bit hashes, so that all graphs of a batch are refined at once and
features may be kept.

Isomorphic graphs have similarity 1. The converse holds but for what such colours cannot tell apart: whether
two blueprints are the same is asked of their canonical ids, here as everywhere.

Axes: N candidates, M archive entries, F colours that both sides have, V nodes of all graphs, E their edges,
R rows, X rounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np

from blueprints.graph import STATE, Graph
from blueprints.language import LANGUAGE, Language

#: Rounds of refinement, after the colours of the nodes alone.
ROUNDS = 3
#: Colours that are multiplied at once; bounds the memory.
_CHUNK = 8192
#: Multipliers of a finaliser that spreads 64 bits (Stafford 2011, variant 13).
_SPREAD = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
#: Tell apart what a node reads, what reads it, and itself.
_READS, _READ_BY, _ITSELF = map(np.uint64, (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0xDA942042E4DD58B5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Which colours some graphs have, and how often; rows in order of colour.

    Attributes:
        num: graphs.
        graphs: `[R]` int64, the graph of each row.
        colours: `[R]` uint64.
        counts: `[R]` float32, how often the graph has the colour, over all rounds.
        squares: `[num]` float64, the square of each graph's norm.
    """

    num: int
    graphs: np.ndarray
    colours: np.ndarray
    counts: np.ndarray
    squares: np.ndarray


def features(graphs: Sequence[Graph], language: Language = LANGUAGE, rounds: int = ROUNDS) -> Features:
    """Return the colours of graphs in canonical form, those of the nodes and of `rounds` refinements."""
    labels: list[int] = []
    edges: list[tuple[int, int, int]] = []
    owners: list[int] = []
    for number, graph in enumerate(graphs):
        _add_scope(graph, None, language, labels, edges)
        owners += [number] * (len(labels) - len(owners))
    colour_V = np.array(labels, np.uint64)
    source_E, target_E = np.array([edge[:2] for edge in edges], np.int64).reshape(-1, 2).T
    kind_E = np.array([edge[2] for edge in edges], np.uint64)
    found = [colour_V]
    for _ in range(rounds):
        colour_V = _refined(colour_V, source_E, target_E, kind_E)
        found.append(colour_V)
    salted_XV = _spread(np.stack(found) ^ np.arange(rounds + 1, dtype=np.uint64)[:, None])
    return _counted(len(graphs), np.tile(np.array(owners, np.int64), rounds + 1), salted_XV.ravel())


def similarity(candidates: Features, archive: Features) -> np.ndarray:
    """Return `[N, M]` float64: cosine of the features of every pair, in [0, 1]; exactly 1 for equal ones."""
    shared = np.intersect1d(candidates.colours, archive.colours)
    dot_NM = np.zeros((candidates.num, archive.num))
    for start in range(0, len(shared), _CHUNK):
        part = shared[start : start + _CHUNK]
        dot_NM += _dense(candidates, part) @ _dense(archive, part).T
    return dot_NM / np.sqrt(candidates.squares[:, None] * archive.squares[None])


def _add_scope(
    graph: Graph, owner: int | None, language: Language, labels: list[int], edges: list[tuple[int, int, int]]
) -> None:
    """Append the labels of a graph's nodes, and (source, target, label) of its edges, bodies included."""
    places = []
    for node in graph.nodes:
        places.append(len(labels))
        labels.append(_hashed(STATE if node.op == STATE else node.label))
        row = language.table.get(node.op)
        for slot, source in enumerate(node.inputs):
            shown = 0 if row is not None and row.commutative else slot
            edges.append((places[source], places[-1], _hashed(f"input {shown}")))
        if node.body is not None:
            _add_scope(node.body, places[-1], language, labels, edges)
    if owner is not None:
        edges.append((owner, places[0], _hashed("body")))
        for state, source in enumerate(graph.stores or (graph.output,)):
            edges.append((places[source], owner, _hashed(f"store {min(state, 1)}")))
    for place, node in zip(places, graph.nodes, strict=True):
        if node.op == STATE:
            edges.append((places[graph.stores[int(node.attribute("index"))]], place, _hashed("state")))


@lru_cache(maxsize=4096)
def _hashed(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _refined(
    colour_V: np.ndarray, source_E: np.ndarray, target_E: np.ndarray, kind_E: np.ndarray
) -> np.ndarray:
    """Return the colours of the next round; the sum of spread hashes stands for a multiset of neighbours."""
    reads_V, read_by_V = np.zeros_like(colour_V), np.zeros_like(colour_V)
    np.add.at(reads_V, target_E, _spread(colour_V[source_E] ^ kind_E))
    np.add.at(read_by_V, source_E, _spread(colour_V[target_E] ^ kind_E))
    return _spread(colour_V * _ITSELF + reads_V * _READS + read_by_V * _READ_BY)


def _spread(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * _SPREAD[0]
    x = (x ^ (x >> np.uint64(27))) * _SPREAD[1]
    return x ^ (x >> np.uint64(31))


def _counted(num: int, graphs: np.ndarray, colours: np.ndarray) -> Features:
    order = np.lexsort((graphs, colours))
    graphs, colours = graphs[order], colours[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (colours[1:] != colours[:-1]) | (graphs[1:] != graphs[:-1])
    (first,) = np.nonzero(is_first)
    counts = np.diff(np.append(first, len(order)))
    squares = np.bincount(graphs[first], weights=counts.astype(float) ** 2, minlength=num)
    return Features(
        num=num,
        graphs=graphs[first],
        colours=colours[first],
        counts=counts.astype(np.float32),
        squares=squares,
    )


def _dense(found: Features, colours_F: np.ndarray) -> np.ndarray:
    """Return `[num, F]` counts of the given colours, which are sorted."""
    place = np.searchsorted(colours_F, found.colours).clip(max=len(colours_F) - 1)
    held = colours_F[place] == found.colours
    table = np.zeros((found.num, len(colours_F)), np.float32)
    table[found.graphs[held], place[held]] = found.counts[held]
    return table
