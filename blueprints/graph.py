"""The typed, frozen graph of a blueprint; leaves parsing, canonical order and torch to other files."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from blueprints.types import INPUT_TYPE, ValueType

INPUT = "INPUT"
ADD = "ADD"
MUL = "MUL"
#: Nodes that hold a body: it is repeated with the same weights, or runs step by step over time.
LOOP, SCAN = "LOOP", "SCAN"
#: A leaf in a scan's body: one of its states as the previous step left it; zero before the first.
STATE = "STATE"

AttributeValue = int | Fraction

#: Where types begin on the lines of a printed graph, unless one of its lines is longer.
TYPE_COLUMN = 50


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of a graph.

    Attributes:
        op: name of its row in the op table, `INPUT`, `STATE`, `LOOP` or `SCAN`.
        attributes: (name, value) pairs in the order of the op's row; widths are rationals of D.
        inputs: indices of the producing nodes, all smaller than this node's own index.
        type: type of its output.
        body: what a LOOP repeats or a SCAN runs at every step.
    """

    op: str
    attributes: tuple[tuple[str, AttributeValue], ...]
    inputs: tuple[int, ...]
    type: ValueType
    body: "Graph | None" = None

    @property
    def label(self) -> str:
        """The op with its attributes, the part of a node that an isomorphism must preserve, body aside."""
        if not self.attributes:
            return self.op
        return " ".join([self.op, *(f"{name}={value}" for name, value in self.attributes)])

    def attribute(self, name: str) -> AttributeValue:
        """Return the value of one attribute."""
        return dict(self.attributes)[name]

    def reading(self, inputs: tuple[int, ...]) -> "Node":
        """Return the node with other inputs."""
        return Node(self.op, self.attributes, inputs, self.type, self.body)


INPUT_NODE = Node(INPUT, (), (), INPUT_TYPE)


def state_node(index: int, type_: ValueType) -> Node:
    """Return the leaf that reads state `index` in a scan's body."""
    return Node(STATE, (("index", index),), (), type_)


@dataclass(frozen=True)
class Graph:
    """A directed acyclic graph of ops in topological order; node 0 is the input.

    Attributes:
        nodes: the nodes; the last is the output, but in a scan's body.
        stores: in a scan's body, the nodes whose values become the states; the first of them is the output.
    """

    nodes: tuple[Node, ...]
    stores: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        assert [node.op for node in self.nodes[:1]] == [INPUT], "node 0 must be the input"
        for index, node in enumerate(self.nodes[1:], start=1):
            in_order = min(node.inputs) >= 0 and max(node.inputs) < index if node.inputs else node.op == STATE
            assert in_order, f"node {index} is out of order"
        assert all(0 <= i < len(self.nodes) for i in self.stores), "a store is out of range"

    @property
    def output(self) -> int:
        """Index of the output node."""
        return self.stores[0] if self.stores else len(self.nodes) - 1

    @property
    def type(self) -> ValueType:
        """Type of the output."""
        return self.nodes[self.output].type

    def all_nodes(self) -> Iterator[Node]:
        """Yield every node, those of bodies included."""
        for node in self.nodes:
            yield node
            if node.body is not None:
                yield from node.body.all_nodes()

    def input_types(self, index: int) -> tuple[ValueType, ...]:
        """Return the types of the inputs of node `index`."""
        return tuple(self.nodes[i].type for i in self.nodes[index].inputs)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.nodes, self.stores))

    def __str__(self) -> str:
        """Return one line a node: index, op with attributes, inputs, type; bodies are indented."""
        rows = list(self._rows())
        column = max(TYPE_COLUMN, *(len(left) + 1 for left, _ in rows))
        return "\n".join(f"{left:<{column}}{right}".rstrip() for left, right in rows)

    def _rows(self) -> Iterator[tuple[str, str]]:
        """Yield what stands left and right on each line: node and type."""
        for index, node in enumerate(self.nodes):
            inputs = ", ".join(f"%{i}" for i in node.inputs)
            call = f"{node.label}({inputs})" if node.inputs else node.label
            causal = "" if node.type.causal else "  not causal"
            yield f"%{index:<3} {call}", f"{node.type}{causal}"
            if node.body is not None:
                yield from ((f"  | {left}", right) for left, right in node.body._rows())
        yield from ((f"state {k} takes %{i}", "") for k, i in enumerate(self.stores))


IDENTITY_GRAPH = Graph((INPUT_NODE,))
