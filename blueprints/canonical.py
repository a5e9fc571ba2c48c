"""Canonical form and structural identity of graphs: equal exactly for isomorphic graphs; changes no function.

Bodies of loops and scans come first, then the graph around them. Colour refinement in both directions
(Weisfeiler and Leman 1968) splits the nodes into cells; while a cell holds several nodes each is singled out
in turn, and the smallest encoding wins (the scheme of McKay 1981, without its pruning: blueprints are small
and nearly rigid).
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import permutations

import networkx as nx

from blueprints.graph import STATE, Graph, Node
from blueprints.language import LANGUAGE, Language, resolve
from blueprints.networkx_form import to_networkx

Encoding = tuple[tuple[str, tuple[int, ...]], ...]


def canonical_form(graph: Graph, language: Language = LANGUAGE) -> Graph:
    """Return the graph without dead nodes, unread states and ops without effect, in canonical order.

    Inputs of commutative merges are sorted; the states of a scan, the first aside, are numbered anew.
    """
    bodies = {id(n.body): canonical_form(n.body, language) for n in graph.nodes if n.body is not None}
    nodes = tuple(n if n.body is None else replace(n, body=bodies[id(n.body)]) for n in graph.nodes)
    graph = _without_dead_nodes(_without_no_ops(Graph(nodes, graph.stores), language))
    ordered = [_in_canonical_order(numbered, language) for numbered in _numberings(graph)]
    return min(ordered, key=lambda found: (found[0], found[1].stores))[1]


def structural_hash(canonical: Graph) -> str:
    """Return SHA-256 of a graph in canonical form, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(_rows(canonical), separators=(",", ":")).encode()).hexdigest()


def _rows(graph: Graph) -> list:
    """Return what tells graphs apart: labels, inputs, bodies, stores."""
    rows: list = [
        [node.label, node.inputs, *([] if node.body is None else [_rows(node.body)])] for node in graph.nodes
    ]
    return [*rows, list(graph.stores)] if graph.stores else rows


def is_isomorphic(a: Graph, b: Graph, language: Language = LANGUAGE) -> bool:
    """Say whether two graphs are isomorphic, by networkx (VF2): the check that stands behind the hash."""
    return nx.is_isomorphic(
        to_networkx(a, language),
        to_networkx(b, language),
        node_match=lambda x, y: x["label"] == y["label"],
        edge_match=lambda x, y: x["label"] == y["label"],
    )


def _is_commutative(node: Node, language: Language) -> bool:
    return node.op in language.table and language.table[node.op].commutative


def _slots(node: Node, language: Language) -> dict[int, tuple[int, ...]]:
    """Return, for each producer, the input slots it feeds; the slots of a commutative op are all 0."""
    commutative = _is_commutative(node, language)
    slots: dict[int, list[int]] = {}
    for position, source in enumerate(node.inputs):
        slots.setdefault(source, []).append(0 if commutative else position)
    return {source: tuple(feeds) for source, feeds in slots.items()}


def _without_no_ops(graph: Graph, language: Language) -> Graph:
    """Return the graph with consumers reading past ops that change nothing after the op before them."""
    past = list(range(len(graph.nodes)))
    for index, node in enumerate(graph.nodes):
        row = language.table.get(node.op)
        if row is not None and row.arity == 1:
            source = past[node.inputs[0]]
            repeats = graph.nodes[source].op in row.no_op_after
            if repeats and not row.parameters(16, 16, {**resolve(node, 16), "width": 16}):
                past[index] = source
    if past == list(range(len(graph.nodes))):
        return graph
    nodes = tuple(node.reading(tuple(past[i] for i in node.inputs)) for node in graph.nodes)
    if graph.stores:
        return Graph(nodes, tuple(past[i] for i in graph.stores))
    return Graph(nodes[: past[graph.output] + 1])


def _without_dead_nodes(graph: Graph) -> Graph:
    """Return the graph with what its output needs; a state that nothing reads is dead with all it takes."""
    alive = {0, graph.output}
    states: set[int] = set()
    pending = [graph.output]
    while pending:
        node = graph.nodes[pending.pop()]
        needed = list(node.inputs)
        if node.op == STATE:
            state = int(node.attribute("index"))
            states.add(state)
            needed.append(graph.stores[state])
        pending += set(needed) - alive
        alive.update(needed)
    kept = [0, *sorted(states - {0})] if graph.stores else []
    if len(alive) == len(graph.nodes) and len(kept) == len(graph.stores):
        return graph
    return _select(_renumbered(graph, kept), sorted(alive))


def _renumbered(graph: Graph, kept: Sequence[int]) -> Graph:
    """Return a body with the states of `kept` alone, numbered in that order."""
    numbers = {state: number for number, state in enumerate(kept)}
    nodes = tuple(
        replace(n, attributes=(("index", numbers[int(n.attribute("index"))]),))
        if n.op == STATE and int(n.attribute("index")) in numbers
        else n
        for n in graph.nodes
    )
    return Graph(nodes, tuple(graph.stores[state] for state in kept))


def _numberings(graph: Graph) -> Iterator[Graph]:
    """Yield the graph with its states, the first aside, numbered in every order."""
    if len(graph.stores) < 3:
        yield graph
        return
    for order in permutations(range(1, len(graph.stores))):
        yield _renumbered(graph, (0, *order))


def _select(graph: Graph, order: Sequence[int]) -> Graph:
    """Return the graph with the nodes of `order` in that order."""
    position = {index: new for new, index in enumerate(order)}
    nodes = (graph.nodes[index] for index in order)
    stores = tuple(position[i] for i in graph.stores)
    return Graph(tuple(n.reading(tuple(position[i] for i in n.inputs)) for n in nodes), stores)


def _in_canonical_order(graph: Graph, language: Language) -> tuple[Encoding, Graph]:
    """Return the smallest encoding of a graph, and the graph in its order, commutative inputs sorted."""
    slots = [_slots(node, language) for node in graph.nodes]
    consumers: list[list[tuple[tuple[int, ...], int]]] = [[] for _ in graph.nodes]
    for index, row in enumerate(slots):
        for source, feeds in row.items():
            consumers[source].append((feeds, index))
    depth = [0] * len(graph.nodes)
    for index, node in enumerate(graph.nodes):
        depth[index] = 1 + max((depth[i] for i in node.inputs), default=-1)
    roles: list[tuple[int, ...]] = [tuple(_roles(graph, i)) for i in range(len(graph.nodes))]
    labels = [_full_label(node) for node in graph.nodes]
    keys = [(i > 0, depth[i], labels[i], roles[i]) for i in range(len(graph.nodes))]

    def encoded(order: Sequence[int]) -> Encoding:
        position = {index: new for new, index in enumerate(order)}
        rows = []
        for index in order:
            node = graph.nodes[index]
            inputs = [position[i] for i in node.inputs]
            rows.append((labels[index], tuple(sorted(inputs) if _is_commutative(node, language) else inputs)))
        return tuple(rows)

    encoding, order = _smallest(encoded, slots, consumers, _ranks(keys))
    nodes = tuple(graph.nodes[i].reading(inputs) for i, (_, inputs) in zip(order, encoding, strict=True))
    return encoding, Graph(nodes, tuple(order.index(i) for i in graph.stores))


def _roles(graph: Graph, index: int) -> Iterator[int]:
    """Yield what a node's value is used for beside its consumers: as the output (0), as a new state."""
    if graph.stores:
        yield from (state for state, node in enumerate(graph.stores) if node == index)
    elif index == graph.output:
        yield 0


def _full_label(node: Node) -> str:
    """Return the label with the identity of the body, which must be in canonical form."""
    return node.label if node.body is None else f"{node.label} {structural_hash(node.body)}"


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
    encoded: Callable[[Sequence[int]], Encoding],
    slots: list[dict[int, tuple[int, ...]]],
    consumers: list[list[tuple[tuple[int, ...], int]]],
    colours: list[int],
) -> tuple[Encoding, list[int]]:
    """Return the smallest encoding over all ways to break ties, and the node order that gives it.

    `encoded` encodes the graph in an order of its nodes.
    """
    colours = _refine(colours, slots, consumers)
    cells: dict[int, list[int]] = {}
    for index, colour in enumerate(colours):
        cells.setdefault(colour, []).append(index)
    tied = next((cells[colour] for colour in sorted(cells) if len(cells[colour]) > 1), None)
    if tied is None:
        order = sorted(range(len(colours)), key=colours.__getitem__)
        return encoded(order), order
    # Twins (same producers, same consumers) are interchangeable: any of them gives the same encoding.
    candidates = tied[:1] if _are_twins(tied, slots, consumers) else tied
    outcomes = []
    for chosen in candidates:
        singled = [2 * colour for colour in colours]
        singled[chosen] -= 1
        outcomes.append(_smallest(encoded, slots, consumers, _ranks(singled)))
    return min(outcomes)


def _are_twins(
    cell: list[int],
    slots: list[dict[int, tuple[int, ...]]],
    consumers: list[list[tuple[tuple[int, ...], int]]],
) -> bool:
    return all(slots[i] == slots[cell[0]] and consumers[i] == consumers[cell[0]] for i in cell)
