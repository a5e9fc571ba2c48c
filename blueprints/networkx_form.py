"""A graph as a networkx.DiGraph and back, bodies of loops and scans included; draws and lays out nothing."""

from collections.abc import Iterator
from typing import Any

import networkx as nx

from blueprints.errors import TamiyoError
from blueprints.graph import INPUT, SCAN, STATE, Graph, Node
from blueprints.language import LANGUAGE, Language
from blueprints.verifier import verify

Name = tuple[int, ...]


class GraphFormError(TamiyoError):
    """A foreign form of a graph that cannot be read: names the node or edge, what it has and should have."""


def to_networkx(graph: Graph, language: Language = LANGUAGE) -> nx.DiGraph:
    """Return a graph with everything that it holds; `from_networkx` is the inverse.

    A node is named by its path: `(3,)` is node 3 of the program, `(3, 1)` node 1 of its body. Nodes have
    `op`, `attributes` (a dictionary), `type` (a `ValueType`) and `label`. Edges have `kind`, `slots` and
    `label`:

    - `input`, from a value to the node that reads it; `slots` are the inputs it feeds, in order;
    - `body`, from a loop or scan to the input of its body;
    - `store`, from a node of a body to its loop or scan; `slots` are the states that take its value, of which
      state 0 is the output;
    - `state`, in the body of a scan from what is stored to where the next step reads it.

    Without loops and scans the result is acyclic. Two graphs are isomorphic when their results are with equal
    labels: there the inputs of commutative merges are alike, and so are the states of a scan but the first.
    """
    result = nx.DiGraph()
    _add_scope(result, graph, (), language)
    return result


def from_networkx(form: nx.DiGraph, language: Language = LANGUAGE) -> Graph:
    """Return the graph of what `to_networkx` made, or of the same with nodes changed, added or removed.

    The nodes of a scope stand in the order of their names; the last of the program is its output. Labels and
    edges of the kinds `body` and `state` say nothing new and are not read.

    Raises:
        GraphFormError: when a node or edge is malformed.
        VerificationError: when the graph breaks the typing of `language`.
    """
    scopes: dict[Name, list[Name]] = {}
    for name, data in form.nodes(data=True):
        if not (isinstance(name, tuple) and name and all(isinstance(part, int) for part in name)):
            raise GraphFormError(f"node {name!r} is not named by its path, such as (3,) or (3, 1)")
        if missing := {"op", "attributes", "type"} - set(data):
            raise GraphFormError(f"node {name} has no {' and no '.join(sorted(missing))}")
        scopes.setdefault(name[:-1], []).append(name)
    if orphans := [path for path in scopes if path and path not in form]:
        raise GraphFormError(f"the nodes of body {orphans[0]} stand in no node of that name")
    graph = _read_scope(form, (), {path: sorted(names) for path, names in scopes.items()})
    verify(graph, language)
    return graph


def _add_scope(result: nx.DiGraph, graph: Graph, path: Name, language: Language) -> None:
    for index, node in enumerate(graph.nodes):
        here = (*path, index)
        label = node.label if node.op != STATE else STATE
        result.add_node(here, op=node.op, attributes=dict(node.attributes), type=node.type, label=label)
        alike = node.op in language.table and language.table[node.op].commutative
        for source, slots in _slots(node.inputs).items():
            _add_edge(result, (*path, source), here, "input", slots, (0,) * len(slots) if alike else slots)
        if node.body is not None:
            _add_scope(result, node.body, here, language)
            _add_edge(result, here, (*here, 0), "body", (), ())
            stores = node.body.stores or (node.body.output,)
            for source, slots in _slots(stores).items():
                _add_edge(result, (*here, source), here, "store", slots, tuple(min(s, 1) for s in slots))
    for index, node in enumerate(graph.nodes):
        if node.op == STATE:
            state = int(node.attribute("index"))
            _add_edge(result, (*path, graph.stores[state]), (*path, index), "state", (state,), ())


def _add_edge(
    result: nx.DiGraph, source: Name, target: Name, kind: str, slots: tuple[int, ...], shown: tuple[int, ...]
) -> None:
    result.add_edge(source, target, kind=kind, slots=slots, label=" ".join([kind, *map(str, shown)]))


def _slots(sources: tuple[int, ...]) -> dict[int, tuple[int, ...]]:
    """Return, for each of some sources, the places at which it stands among them."""
    return {s: tuple(i for i, other in enumerate(sources) if other == s) for s in sources}


def _read_scope(form: nx.DiGraph, path: Name, scopes: dict[Name, list[Name]]) -> Graph:
    names = scopes.get(path, [])
    position = {name: index for index, name in enumerate(names)}
    nodes = []
    for name in names:
        inputs = tuple(_position(position, source, name) for source in _sources(form, name, "input"))
        nodes.append(_read_node(form.nodes[name], name, inputs, position[name], scopes, form))
    if not nodes:
        raise GraphFormError(f"body {path} has no nodes" if path else "the graph has no nodes")
    stored = [_position(position, source, path) for source in _sources(form, path, "store")] if path else []
    if path and form.nodes[path]["op"] == SCAN:
        return Graph(tuple(nodes), tuple(stored))
    if path and stored != [len(nodes) - 1]:
        raise GraphFormError(f"node {path} repeats a body that must end with its last node, {names[-1]}")
    return Graph(tuple(nodes))


def _read_node(
    data: dict[str, Any],
    name: Name,
    inputs: tuple[int, ...],
    position: int,
    scopes: dict[Name, list[Name]],
    form: nx.DiGraph,
) -> Node:
    is_leaf = data["op"] in (INPUT, STATE)
    if (data["op"] == INPUT) != (position == 0):
        raise GraphFormError(
            f"node {name} is {data['op']}; the first node of a scope, and no other, is INPUT"
        )
    if is_leaf == bool(inputs) or (is_leaf and name in scopes):
        raise GraphFormError(
            f"node {name} is {data['op']} with {len(inputs)} inputs; leaves have none, nor a body"
        )
    if any(source >= position for source in inputs):
        raise GraphFormError(
            f"node {name} reads a node behind it; number the nodes in the order of their use"
        )
    body = _read_scope(form, name, scopes) if name in scopes else None
    return Node(data["op"], tuple(data["attributes"].items()), inputs, data["type"], body)


def _sources(form: nx.DiGraph, name: Name, kind: str) -> Iterator[Name]:
    """Yield the sources of the edges of one kind into a node, in the order of their slots."""
    slots: dict[int, Name] = {}
    for source, _, data in form.in_edges(name, data=True):
        if data.get("kind") == kind:
            slots.update((slot, source) for slot in data["slots"])
    if sorted(slots) != list(range(len(slots))):
        raise GraphFormError(
            f"node {name} has edges into its {kind} slots {sorted(slots)}, expected 0, 1, ..."
        )
    for slot in range(len(slots)):
        yield slots[slot]


def _position(position: dict[Name, int], source: Name, target: Name) -> int:
    if source not in position:
        raise GraphFormError(f"an edge leads from {source} to {target}, which do not stand in one scope")
    return position[source]
