"""Hypothesis strategies for typed graphs that no grammar made: what the verifier accepts, not programs alone.

They hold dead nodes, ops without effect, states that nothing reads, and merges of whatever fits. What the
program and its bodies end with is always computed there: a graph that gives back its input is no program's.
"""

from dataclasses import replace
from fractions import Fraction

from hypothesis import strategies as st

from blueprints import LANGUAGE
from blueprints.graph import INPUT, LOOP, SCAN, STATE, AttributeValue, Graph, Node, state_node
from blueprints.ops import Attribute, Op
from blueprints.types import INPUT_TYPE, ValueType
from blueprints.vocabulary import LOOP_START, SCAN_START

UNARY = tuple(op for op in LANGUAGE.ops if op.arity == 1)
MERGES = tuple(op for op in LANGUAGE.ops if op.arity > 1)
REPEATS = tuple(LANGUAGE.settings[LOOP_START].tokens.values())
RATIOS = tuple(map(Fraction, LANGUAGE.settings[SCAN_START].tokens.values()))
#: Kinds of nodes, each drawn as often as it stands here; what shrinks is the first.
KINDS = ("unary", "unary", "unary", "merge", "merge", "loop", "scan")


@st.composite
def graphs(draw: st.DrawFn, max_nodes: int = 7) -> Graph:
    """Draw a graph of up to about `max_nodes` nodes, whose bodies, two deep, have half as many each."""
    growing = _Growing(draw, INPUT_TYPE)
    growing.grow(max_nodes, depth=2)
    growing.end(INPUT_TYPE.width)
    return Graph(tuple(growing.nodes))


@st.composite
def damaged_graphs(draw: st.DrawFn) -> Graph:
    """Draw a graph with one thing changed in a node of it or of a body, which may leave it meaningless."""
    return _damaged(draw, draw(graphs()))


def _damaged(draw: st.DrawFn, graph: Graph) -> Graph:
    index = draw(st.integers(1, len(graph.nodes) - 1))
    node, other = graph.nodes[index], draw(st.sampled_from(graph.nodes))
    what = draw(st.sampled_from(("input", "op", "attributes", "type", "body", "store")))
    if node.body is not None and draw(st.booleans()):
        node = replace(node, body=_damaged(draw, node.body))
    elif what == "input" and node.inputs:
        slot = draw(st.integers(0, len(node.inputs) - 1))
        source = draw(st.integers(0, index - 1))
        node = replace(node, inputs=(*node.inputs[:slot], source, *node.inputs[slot + 1 :]))
    elif what == "op" and node.inputs:
        node = replace(node, op=draw(st.sampled_from([*LANGUAGE.table, LOOP, SCAN, STATE])))
    elif what == "attributes":
        node = replace(node, attributes=other.attributes)
    elif what == "type":
        node = replace(node, type=other.type)
    elif what == "body":
        node = replace(node, body=other.body)
    nodes = (*graph.nodes[:index], node, *graph.nodes[index + 1 :])
    stores = graph.stores
    if what == "store" and stores:
        stores = (*stores[:-1], draw(st.integers(0, len(nodes) - 1)))
    return Graph(nodes, stores)


class _Growing:
    """The program, or a body, while nodes are added to it at random."""

    def __init__(self, draw: st.DrawFn, entry: ValueType) -> None:
        self.draw = draw
        self.nodes = [Node(INPUT, (), (), entry)]

    def one_of(self, values):
        return self.draw(st.sampled_from(values)) if len(values) > 1 else values[0]

    def types(self, *nodes: int) -> tuple[ValueType, ...]:
        return tuple(self.nodes[i].type for i in nodes)

    def grow(self, max_nodes: int, depth: int) -> None:
        """Add 1 to `max_nodes` nodes, each behind any that stands."""
        for _ in range(self.draw(st.integers(1, max_nodes))):
            source = self.one_of(range(len(self.nodes)))
            kind, (x,) = self.one_of(KINDS), self.types(source)
            if kind == "merge":
                self.merge(source)
            elif kind == "loop" and depth and x.width in RATIOS:
                self.loop(source, max_nodes // 2, depth - 1)
            elif kind == "scan" and depth and x.time == "sequence":
                self.scan(source, max_nodes // 2, depth - 1)
            else:
                self.unary(source)

    def unary(self, source: int) -> None:
        single = self.types(source)[0].time == "single"
        op = self.one_of([op for op in UNARY if not (single and op.needs_sequence)])
        self.add(op, (source,), {a.name: self.one_of(_values(a)) for a in op.attributes})

    def merge(self, source: int) -> None:
        op, width = self.one_of(MERGES), self.nodes[source].type.width
        widths = [node.type.width for node in self.nodes]
        if op.widths == "equal":
            fits = [i for i, other in enumerate(widths) if other == width]
        else:
            fits = [i for i, other in enumerate(widths) if other + width <= LANGUAGE.max_width]
        if fits:
            self.add(op, (source, *(self.one_of(fits) for _ in range(op.arity - 1))))

    def add(
        self, op: Op, inputs: tuple[int, ...], attributes: dict[str, AttributeValue] | None = None
    ) -> None:
        type_ = op.infer(self.types(*inputs), attributes or {})
        self.nodes.append(Node(op.name, tuple((attributes or {}).items()), inputs, type_))

    def end(self, width: Fraction) -> None:
        """Make the last node one that is computed, of the given width."""
        last = len(self.nodes) - 1
        if self.nodes[last].op in (INPUT, STATE) or self.nodes[last].type.width != width:
            self.add(LANGUAGE.table["LINEAR"], (last,), {"width": width})

    def loop(self, source: int, max_nodes: int, depth: int) -> None:
        (x,) = self.types(source)
        inside = _Growing(self.draw, x)
        inside.grow(max_nodes, depth)
        inside.end(x.width)
        if inside.nodes[-1].type.time != x.time:
            inside.add(LANGUAGE.table["ADD"], (len(inside.nodes) - 1, 0))
        body = Graph(tuple(inside.nodes))
        self.nodes.append(Node(LOOP, (("repeat", self.one_of(REPEATS)),), (source,), body.type, body))

    def scan(self, source: int, max_nodes: int, depth: int) -> None:
        step = replace(*self.types(source), time="single")
        state = replace(step, width=self.one_of(RATIOS))
        inside = _Growing(self.draw, step)
        num_states = self.draw(st.integers(1, LANGUAGE.num_states))
        for index in range(num_states):
            if self.draw(st.booleans()):
                inside.nodes.append(state_node(index, state))
        inside.grow(max_nodes, depth)
        inside.end(state.width)
        stores = [len(inside.nodes) - 1]
        for index in range(1, num_states):
            stores.append(self.one_of(inside.storable(state, index)))
        body = Graph(tuple(inside.nodes), tuple(stores))
        type_ = replace(body.type, time="sequence")
        self.nodes.append(Node(SCAN, (("width", state.width),), (source,), type_, body))

    def storable(self, state: ValueType, index: int) -> list[int]:
        """Return the nodes that a state may take; one that takes itself would be zero for ever."""
        own = state_node(index, state)
        return [i for i, node in enumerate(self.nodes) if node.type.width == state.width and node != own]


def _values(attribute: Attribute) -> list[AttributeValue]:
    return [*attribute.tokens.values(), *([] if attribute.default is None else [attribute.default])]
