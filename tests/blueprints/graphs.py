"""Hypothesis strategies for typed graphs that no grammar made: what the verifier accepts, not programs alone.

They hold dead nodes, ops without effect, states that nothing reads, and merges of whatever fits. What the
program and its bodies end with is always computed there: a graph that gives back its input is no program's.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

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
#: Values that few attributes have.
ODD = Attribute(name="odd", tokens={"A": 2, "B": 3, "C": 16, "D": Fraction(3, 16)})
#: Kinds of nodes, each drawn as often as it stands here; what shrinks is the first.
KINDS = ("unary", "unary", "unary", "merge", "merge", "loop", "scan")


@st.composite
def graphs(draw: st.DrawFn, max_nodes: int = 7, careless: bool = False) -> Graph:
    """Draw a graph of up to about `max_nodes` nodes, whose bodies, two deep, have half as many each.

    A careless one minds what it ought to mind most of the time only, so that the verifier has to decide.
    """
    growing = _Growing(draw, INPUT_TYPE, careless)
    growing.grow(max_nodes, depth=2)
    growing.end(INPUT_TYPE.width)
    return Graph(tuple(growing.nodes))


class _Growing:
    """The program, or a body, while nodes are added to it at random."""

    def __init__(self, draw: st.DrawFn, entry: ValueType, careless: bool) -> None:
        self.draw = draw
        self.careless = careless
        self.nodes = [Node(INPUT, (), (), entry)]

    def slips(self) -> bool:
        """Draw whether what comes next is not minded."""
        return self.careless and self.draw(st.integers(0, 9)) == 9

    def one_of(self, values: Sequence[Any]) -> Any:
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
            elif kind == "scan" and depth and (x.time == "sequence" or self.slips()):
                self.scan(source, max_nodes // 2, depth - 1)
            else:
                self.unary(source)

    def unary(self, source: int) -> None:
        single = self.types(source)[0].time == "single" and not self.slips()
        op = self.one_of([op for op in UNARY if not (single and op.needs_sequence)])
        values = {a.name: self.one_of(_values(ODD if self.slips() else a)) for a in op.attributes}
        self.add(op, (source,), values)

    def merge(self, source: int) -> None:
        op, width = self.one_of(MERGES), self.nodes[source].type.width
        widths = [node.type.width for node in self.nodes]
        if self.slips():
            fits = list(range(len(widths)))
        elif op.widths == "equal":
            fits = [i for i, other in enumerate(widths) if other == width]
        else:
            fits = [i for i, other in enumerate(widths) if other + width <= LANGUAGE.max_width]
        if fits:
            arity = op.arity + self.slips()
            self.add(op, (source, *(self.one_of(fits) for _ in range(arity - 1))))

    def add(
        self, op: Op, inputs: tuple[int, ...], attributes: dict[str, AttributeValue] | None = None
    ) -> None:
        """Add a node, typed by its row; where that cannot be, as its first input."""
        types = self.types(*inputs)
        fits = op.widths == "sum" or len({x.width for x in types}) == 1
        type_ = op.infer(types, attributes or {}) if fits else types[0]
        self.nodes.append(Node(op.name, tuple((attributes or {}).items()), inputs, type_))

    def end(self, width: Fraction) -> None:
        """Make the last node one that is computed, of the given width."""
        last = len(self.nodes) - 1
        given = self.nodes[last].op in (INPUT, STATE)
        if given or (self.nodes[last].type.width != width and not self.slips()):
            self.add(LANGUAGE.table["LINEAR"], (last,), {"width": width})

    def loop(self, source: int, max_nodes: int, depth: int) -> None:
        (x,) = self.types(source)
        inside = _Growing(self.draw, x, self.careless)
        inside.grow(max_nodes, depth)
        inside.end(x.width)
        if inside.nodes[-1].type.time != x.time and not self.slips():
            inside.add(LANGUAGE.table["ADD"], (len(inside.nodes) - 1, 0))
        body = Graph(tuple(inside.nodes))
        self.nodes.append(Node(LOOP, (("repeat", self.one_of(REPEATS)),), (source,), body.type, body))

    def scan(self, source: int, max_nodes: int, depth: int) -> None:
        step = replace(*self.types(source), time="single")
        state = replace(step, width=self.one_of(RATIOS))
        inside = _Growing(self.draw, step, self.careless)
        num_states = self.draw(st.integers(1, LANGUAGE.num_states))
        for index in range(num_states + self.slips()):
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
        own, slips = state_node(index, state), self.slips()
        fits = [i for i, node in enumerate(self.nodes) if slips or node.type.width == state.width]
        return [i for i in fits if self.nodes[i] != own] or [len(self.nodes) - 1]


def _values(attribute: Attribute) -> list[AttributeValue]:
    return [*attribute.tokens.values(), *([] if attribute.default is None else [attribute.default])]
