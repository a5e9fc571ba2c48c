"""Is a blueprint's identity right? Hashes held against networkx's isomorphism on families of near-misses.

    python benchmarks/language_identity.py --pairs 100000 --json identity.json

A family is a graph, random or designed, with its nodes shuffled, an input rewired, two labels exchanged, an
attribute altered, or a token of its program edited, no two written alike; every pair within it is compared.
networkx sees graphs as they are written, or in canonical form where that drops something.
"""

# ruff: noqa: E402

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations, islice
from pathlib import Path

import networkx as nx
from networkx.algorithms.isomorphism import categorical_edge_match, categorical_node_match

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from preflight import check

from blueprints import (
    HUMAN_BLUEPRINTS,
    LANGUAGE,
    Graph,
    canonical_form,
    mutate,
    parse,
    random_program,
    structural_hash,
)
from blueprints.graph import LOOP, STATE
from blueprints.networkx_form import to_networkx
from blueprints.parser import parse_graph
from blueprints.vocabulary import LOOP_START

#: Members of a family of each kind beside the first; those written like another are left out.
SHUFFLED, REWIRED, EXCHANGED, ALTERED, EDITED = 4, 4, 3, 2, 2
#: Isomorphisms keep the labels of nodes and edges.
LABELS = {
    "node_match": categorical_node_match("label", None),
    "edge_match": categorical_edge_match("label", None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A graph of a family.

    Attributes:
        kind: `first`, or how it was made of that: `shuffled`, `rewired`, `exchanged`, `altered`, `edited`.
        written: the graph as it was made, or its canonical form where that drops something.
        form: the same for networkx.
        id: the hash of its canonical form.
    """

    kind: str
    written: Graph
    form: nx.DiGraph
    id: str


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the pairs said.

    Attributes:
        pairs: compared, each by networkx.
        equal: pairs with equal hashes, all written differently.
        pairs_of: kind of the second member to the pairs of it and the first of its family.
        equal_of: of them, those with equal hashes.
        wrong: pairs whose hashes and isomorphism disagree, as text.
    """

    pairs: int = 0
    equal: int = 0
    pairs_of: Counter[str] = field(default_factory=Counter)
    equal_of: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


# -- near-misses ---------------------------------------------------------------------------------------------


def shuffled(graph: Graph, rng: random.Random) -> Graph:
    """Return the graph in another topological order, its merges' inputs swapped, its states renumbered."""
    order = [0]
    last = [] if graph.stores else [graph.output]
    while len(order) < len(graph.nodes):
        waiting = [i for i in range(len(graph.nodes)) if i not in order]
        ready = [i for i in waiting if all(j in order for j in graph.nodes[i].inputs)]
        order.append(rng.choice([i for i in ready if i not in last] or last))
    position = {old: new for new, old in enumerate(order)}
    numbers = [0, *rng.sample(range(1, len(graph.stores)), max(0, len(graph.stores) - 1))]
    nodes = []
    for old in order:
        node = graph.nodes[old]
        if node.op == STATE:
            node = replace(node, attributes=(("index", numbers[int(node.attribute("index"))]),))
        inputs = [position[i] for i in node.inputs]
        if node.op in LANGUAGE.table and LANGUAGE.table[node.op].commutative:
            rng.shuffle(inputs)
        body = None if node.body is None else shuffled(node.body, rng)
        nodes.append(replace(node, inputs=tuple(inputs), body=body))
    stores = sorted(zip(numbers, graph.stores, strict=False))
    return Graph(tuple(nodes), tuple(position[i] for _, i in stores))


def rewired(graph: Graph, rng: random.Random) -> Graph:
    """Return the graph with one node reading another value of the same type; the same where there is none."""
    bodies = [i for i, node in enumerate(graph.nodes) if node.body is not None]
    if bodies and rng.random() < 0.5:
        return _with_body(graph, rng.choice(bodies), rewired, rng)
    places = [
        (index, slot, other)
        for index, node in enumerate(graph.nodes)
        for slot, source in enumerate(node.inputs)
        for other in range(index)
        if other != source and graph.nodes[other].type == graph.nodes[source].type
    ]
    if not places:
        return graph
    index, slot, other = rng.choice(places)
    node = graph.nodes[index]
    inputs = (*node.inputs[:slot], other, *node.inputs[slot + 1 :])
    return _with_node(graph, index, replace(node, inputs=inputs))


def exchanged(graph: Graph, rng: random.Random) -> Graph:
    """Return the graph with the ops of two nodes of one type exchanged, so that its labels stay the same."""
    bodies = [i for i, node in enumerate(graph.nodes) if node.body is not None]
    if bodies and rng.random() < 0.5:
        return _with_body(graph, rng.choice(bodies), exchanged, rng)
    kinds: dict[tuple, list[int]] = {}
    for index, node in enumerate(graph.nodes[1:], start=1):
        if node.op != STATE:
            kinds.setdefault((graph.input_types(index), node.type), []).append(index)
    pairs = [pair for kind in kinds.values() for pair in combinations(kind, 2)]
    if not pairs:
        return graph
    a, b = rng.choice(pairs)
    first, second = graph.nodes[a], graph.nodes[b]
    graph = _with_node(graph, a, replace(second, inputs=first.inputs))
    return _with_node(graph, b, replace(first, inputs=second.inputs))


def altered(graph: Graph, rng: random.Random) -> Graph:
    """Return the graph with another value of one attribute that no type depends on; the same without one."""
    bodies = [i for i, node in enumerate(graph.nodes) if node.body is not None]
    if bodies and rng.random() < 0.5:
        return _with_body(graph, rng.choice(bodies), altered, rng)
    places = []
    for index, node in enumerate(graph.nodes):
        row = LANGUAGE.table.get(node.op)
        attributes = () if row is None else row.attributes
        if node.op == LOOP:
            attributes = (LANGUAGE.settings[LOOP_START],)
        for attribute in attributes:
            for value in attribute.tokens.values():
                changed = {**dict(node.attributes), attribute.name: value}
                typed = row is None or row.infer(graph.input_types(index), changed) == node.type
                if typed and value != node.attribute(attribute.name):
                    places.append((index, tuple(changed.items())))
    if not places:
        return graph
    index, attributes = rng.choice(places)
    return _with_node(graph, index, replace(graph.nodes[index], attributes=attributes))


def _with_node(graph: Graph, index: int, node) -> Graph:
    return Graph((*graph.nodes[:index], node, *graph.nodes[index + 1 :]), graph.stores)


def _with_body(graph: Graph, index: int, change, rng: random.Random) -> Graph:
    node = graph.nodes[index]
    return _with_node(graph, index, replace(node, body=change(node.body, rng)))


def family(rng: random.Random) -> list[Member]:
    """Return graphs that are alike: equal ones, written differently, and ones that differ in one place."""
    tokens = random_program(rng, min_ops=4, max_ops=16)
    if rng.random() < 0.5:
        tokens = mutate(rng.choice(HUMAN_BLUEPRINTS).tokens, rng)
    first = parse(tokens).graph
    members = [_member("first", first)]
    members += [_member("shuffled", shuffled(first, rng)) for _ in range(SHUFFLED)]
    members += [_member("rewired", rewired(first, rng)) for _ in range(REWIRED)]
    members += [_member("exchanged", exchanged(first, rng)) for _ in range(EXCHANGED)]
    members += [_member("altered", altered(first, rng)) for _ in range(ALTERED)]
    members += [_member("edited", parse_graph(mutate(tokens, rng))[0]) for _ in range(EDITED)]
    unique: dict[Graph, Member] = {}
    for member in members:
        unique.setdefault(member.written, member)
    return list(unique.values())


def _member(kind: str, graph: Graph) -> Member:
    canonical = canonical_form(graph)
    written = graph if _size(graph) == _size(canonical) else canonical
    return Member(kind=kind, written=written, form=to_networkx(written), id=structural_hash(canonical))


def _size(graph: Graph) -> int:
    """Return how many nodes and states a graph holds, those of its bodies included."""
    inside = sum(_size(node.body) for node in graph.nodes if node.body is not None)
    return len(graph.nodes) + len(graph.stores) + inside


# -- the comparison ------------------------------------------------------------------------------------------


def pairs(rng: random.Random) -> Iterator[tuple[Member, Member]]:
    """Yield pairs of alike graphs for ever."""
    while True:
        yield from combinations(family(rng), 2)


def compare(num: int, seed: int) -> Tally:
    """Return whether hashes are equal exactly where graphs are isomorphic, on `num` pairs."""
    tally = Tally()
    for a, b in islice(pairs(random.Random(seed)), num):
        equal = a.id == b.id
        isomorphic = nx.is_isomorphic(a.form, b.form, **LABELS)
        tally.pairs += 1
        tally.equal += equal
        if a.kind == "first":
            tally.pairs_of[b.kind] += 1
            tally.equal_of[b.kind] += equal
        if equal != isomorphic:
            tally.wrong.append(f"hashes equal: {equal}, isomorphic: {isomorphic}\n{a.written}\n{b.written}")
    return tally


def main() -> int:
    """Compare, print the tally and write it where asked; return 1 when a pair is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=100_000, help="pairs to compare (default 100,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the tally to OUT")
    arguments = parser.parse_args()
    if arguments.pairs < 1:
        parser.error(f"--pairs must be at least 1, got {arguments.pairs}")
    check("cpu", arguments.json)
    start = time.perf_counter()
    tally = compare(arguments.pairs, arguments.seed)
    wall_s = time.perf_counter() - start
    print(
        f"{tally.pairs:,} pairs in {wall_s:.0f} s, all decided by networkx; {tally.equal:,} equal hashes, "
        f"{len(tally.wrong)} wrong"
    )
    for kind, num in tally.pairs_of.items():
        print(f"{kind:>10} against the first: {num:,} pairs, {tally.equal_of[kind]:,} equal")
    for text in tally.wrong[:3]:
        print(text)
    if arguments.json:
        figures = {"pairs": tally.pairs, "equal": tally.equal, "wrong": len(tally.wrong)}
        figures |= {"pairs_of": tally.pairs_of, "equal_of": tally.equal_of}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
