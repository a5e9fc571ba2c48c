"""Is a blueprint's identity right? Hashes held against networkx's isomorphism on families of near-misses.

    python benchmarks/language_identity.py --pairs 100000 --json identity.json

A family is a graph, random or designed, with its nodes shuffled, an input rewired, two labels exchanged, or a
token of its program edited; every pair within a family is compared. Pairs whose labels differ are not
isomorphic, so networkx is asked about the others alone: about how many is part of the answer.
"""

# ruff: noqa: E402

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, islice
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from preflight import check

from blueprints import (
    HUMAN_BLUEPRINTS,
    LANGUAGE,
    Graph,
    canonical_form,
    is_isomorphic,
    mutate,
    parse,
    random_program,
    structural_hash,
)
from blueprints.graph import STATE

#: Members of a family of each kind, beside the first.
SHUFFLED, REWIRED, EXCHANGED, EDITED = 2, 4, 3, 2


@dataclass(slots=True, kw_only=True)
class Tally:
    """What the pairs said.

    Attributes:
        pairs: compared.
        decided_by_networkx: of them, those with equal labels, which networkx decided.
        equal: pairs with equal hashes.
        wrong: pairs whose hashes and isomorphism disagree, as text.
    """

    pairs: int
    decided_by_networkx: int
    equal: int
    wrong: list[str]


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


def _with_node(graph: Graph, index: int, node) -> Graph:
    return Graph((*graph.nodes[:index], node, *graph.nodes[index + 1 :]), graph.stores)


def _with_body(graph: Graph, index: int, change, rng: random.Random) -> Graph:
    node = graph.nodes[index]
    return _with_node(graph, index, replace(node, body=change(node.body, rng)))


def family(rng: random.Random) -> list[Graph]:
    """Return canonical graphs that are alike: equal ones and ones that differ in one place."""
    tokens = random_program(rng, min_ops=3, max_ops=9)
    if rng.random() < 0.5:
        tokens = mutate(rng.choice(HUMAN_BLUEPRINTS).tokens, rng)
    first = parse(tokens).graph
    members = [first]
    members += [canonical_form(shuffled(first, rng)) for _ in range(SHUFFLED)]
    members += [canonical_form(rewired(first, rng)) for _ in range(REWIRED)]
    members += [canonical_form(exchanged(first, rng)) for _ in range(EXCHANGED)]
    return members + [parse(mutate(tokens, rng)).graph for _ in range(EDITED)]


# -- the comparison ------------------------------------------------------------------------------------------


def pairs(rng: random.Random) -> Iterator[tuple[Graph, Graph]]:
    """Yield pairs of alike graphs for ever."""
    while True:
        yield from combinations(family(rng), 2)


def compare(num: int, seed: int) -> Tally:
    """Return whether hashes are equal exactly where graphs are isomorphic, on `num` pairs."""
    tally = Tally(pairs=0, decided_by_networkx=0, equal=0, wrong=[])
    for a, b in islice(pairs(random.Random(seed)), num):
        equal, isomorphic = structural_hash(a) == structural_hash(b), False
        if _labels(a) == _labels(b):
            isomorphic = is_isomorphic(a, b)
            tally.decided_by_networkx += 1
        tally.pairs += 1
        tally.equal += equal
        if equal != isomorphic:
            tally.wrong.append(f"hashes equal: {equal}, isomorphic: {isomorphic}\n{a}\n{b}")
    return tally


def _labels(graph: Graph) -> list[str]:
    return sorted(node.op if node.op == STATE else node.label for node in graph.all_nodes())


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
        f"{tally.pairs:,} pairs in {wall_s:.0f} s, {tally.decided_by_networkx:,} decided by networkx; "
        f"{tally.equal:,} equal hashes, {len(tally.wrong)} wrong"
    )
    for text in tally.wrong[:3]:
        print(text)
    if arguments.json:
        figures = {"pairs": tally.pairs, "decided_by_networkx": tally.decided_by_networkx}
        figures |= {"equal": tally.equal, "wrong": len(tally.wrong)}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
