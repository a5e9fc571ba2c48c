"""Canonical form and structural identity of graphs: equal exactly for isomorphic graphs; changes no function.

Colour refinement in both directions (Weisfeiler and Leman 1968) splits the nodes into cells; while a cell
holds several nodes each is singled out in turn, and the smallest encoding wins (the scheme of McKay 1981,
without its pruning: blueprints are small and nearly rigid).
"""

import hashlib
import json
from collections.abc import Sequence

import networkx as nx

from blueprints.graph import Graph, Node
from blueprints.language import LANGUAGE, Language

Encoding = tuple[tuple[str, tuple[int, ...]], ...]


def canonical_form(graph: Graph, language: Language = LANGUAGE) -> Graph:
    """Return the graph without dead nodes, in canonical order, with commutative inputs sorted."""
    graph = _without_dead_nodes(graph)
    order = _canonical_order(graph, language)
    return _reordered(graph, order, language)


def structural_hash(canonical: Graph) -> str:
    """Return SHA-256 of a graph in canonical form, as 64 hexadecimal digits."""
    rows = [[node.label, node.inputs] for node in canonical.nodes]
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


def is_isomorphic(a: Graph, b: Graph, language: Language = LANGUAGE) -> bool:
    """Say whether two graphs are isomorphic, by networkx (VF2): the check that stands behind the hash."""
    return nx.is_isomorphic(
        to_networkx(a, language),
        to_networkx(b, language),
        node_match=lambda x, y: x["label"] == y["label"],
        edge_match=lambda x, y: x["slots"] == y["slots"],
    )


def to_networkx(graph: Graph, language: Language = LANGUAGE) -> nx.DiGraph:
    """Return the graph with node labels, and on each edge the input slots it feeds (0 when commutative)."""
    result = nx.DiGraph()
    for index, node in enumerate(graph.nodes):
        result.add_node(index, label=node.label)
        for source, slots in _slots(node, language).items():
            result.add_edge(source, index, slots=slots)
    return result


def _is_commutative(node: Node, language: Language) -> bool:
    return node.op in language.ops and language.ops[node.op].commutative


def _slots(node: Node, language: Language) -> dict[int, tuple[int, ...]]:
    """Return, for each producer, the input slots it feeds; the slots of a commutative op are all 0."""
    commutative = _is_commutative(node, language)
    slots: dict[int, list[int]] = {}
    for position, source in enumerate(node.inputs):
        slots.setdefault(source, []).append(0 if commutative else position)
    return {source: tuple(feeds) for source, feeds in slots.items()}


def _without_dead_nodes(graph: Graph) -> Graph:
    alive = {0, graph.output}
    for index in range(graph.output, 0, -1):
        if index in alive:
            alive.update(graph.nodes[index].inputs)
    return graph if len(alive) == len(graph.nodes) else _select(graph, sorted(alive))


def _select(graph: Graph, order: Sequence[int]) -> Graph:
    """Return the graph with the nodes of `order` in that order."""
    position = {index: new for new, index in enumerate(order)}
    nodes = (graph.nodes[index] for index in order)
    return Graph(tuple(Node(n.op, n.attributes, tuple(position[i] for i in n.inputs), n.type) for n in nodes))


def _reordered(graph: Graph, order: Sequence[int], language: Language) -> Graph:
    ordered = _select(graph, order)
    return Graph(
        tuple(
            Node(n.op, n.attributes, tuple(sorted(n.inputs)), n.type) if _is_commutative(n, language) else n
            for n in ordered.nodes
        )
    )


def _canonical_order(graph: Graph, language: Language) -> list[int]:
    slots = [_slots(node, language) for node in graph.nodes]
    consumers: list[list[tuple[tuple[int, ...], int]]] = [[] for _ in graph.nodes]
    for index, row in enumerate(slots):
        for source, feeds in row.items():
            consumers[source].append((feeds, index))
    depth = [0] * len(graph.nodes)
    for index, node in enumerate(graph.nodes):
        depth[index] = 1 + max((depth[i] for i in node.inputs), default=-1)
    first = _ranks([(depth[i], node.label, i == graph.output) for i, node in enumerate(graph.nodes)])
    _, order = _smallest(graph, slots, consumers, first, language)
    return order


def _refine(
    colours: list[int],
    slots: list[dict[int, tuple[int, ...]]],
    consumers: list[list[tuple[tuple[int, ...], int]]],
) -> list[int]:
    """Split cells by the colours of producers and consumers until nothing splits any more."""
    while max(colours) + 1 < len(colours):
        signatures = [
            (
                colour,
                tuple(sorted((feeds, colours[source]) for source, feeds in slots[index].items())),
                tuple(sorted((feeds, colours[user]) for feeds, user in consumers[index])),
            )
            for index, colour in enumerate(colours)
        ]
        refined = _ranks(signatures)
        if max(refined) == max(colours):
            return refined
        colours = refined
    return colours


def _ranks(keys: Sequence) -> list[int]:
    """Replace each key by its rank among the distinct keys; a refinement keeps the order of its colours."""
    positions = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    return [positions[key] for key in keys]


def _smallest(
    graph: Graph,
    slots: list[dict[int, tuple[int, ...]]],
    consumers: list[list[tuple[tuple[int, ...], int]]],
    colours: list[int],
    language: Language,
) -> tuple[Encoding, list[int]]:
    """Return the smallest encoding over all ways to break ties, and the node order that gives it."""
    colours = _refine(colours, slots, consumers)
    cells: dict[int, list[int]] = {}
    for index, colour in enumerate(colours):
        cells.setdefault(colour, []).append(index)
    tied = next((cells[colour] for colour in sorted(cells) if len(cells[colour]) > 1), None)
    if tied is None:
        order = sorted(range(len(colours)), key=colours.__getitem__)
        canonical = _reordered(graph, order, language)
        return tuple((node.label, node.inputs) for node in canonical.nodes), order
    # Twins (same producers, same consumers) are interchangeable: any of them gives the same encoding.
    candidates = tied[:1] if _are_twins(tied, slots, consumers) else tied
    outcomes = []
    for chosen in candidates:
        singled = [2 * colour for colour in colours]
        singled[chosen] -= 1
        outcomes.append(_smallest(graph, slots, consumers, _ranks(singled), language))
    return min(outcomes)


def _are_twins(
    cell: list[int],
    slots: list[dict[int, tuple[int, ...]]],
    consumers: list[list[tuple[tuple[int, ...], int]]],
) -> bool:
    return all(slots[i] == slots[cell[0]] and consumers[i] == consumers[cell[0]] for i in cell)
