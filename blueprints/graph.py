"""The typed, frozen graph of a blueprint; leaves parsing, canonical order and torch to other files."""

from dataclasses import dataclass
from fractions import Fraction

from blueprints.types import INPUT_TYPE, ValueType

INPUT = "INPUT"
ADD = "ADD"
MUL = "MUL"

AttributeValue = int | Fraction


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of a graph.

    Attributes:
        op: name of its row in the op table, or `INPUT`.
        attributes: (name, value) pairs in the order of the op's row; widths are rationals of D.
        inputs: indices of the producing nodes, all smaller than this node's own index.
        type: type of its output.
    """

    op: str
    attributes: tuple[tuple[str, AttributeValue], ...]
    inputs: tuple[int, ...]
    type: ValueType

    @property
    def label(self) -> str:
        """The op with its attributes, the part of a node that an isomorphism must preserve."""
        return " ".join([self.op, *(f"{name}={value}" for name, value in self.attributes)])


INPUT_NODE = Node(INPUT, (), (), INPUT_TYPE)


@dataclass(frozen=True, slots=True)
class Graph:
    """A directed acyclic graph of ops in topological order; node 0 is the input, the last the output."""

    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        assert self.nodes[:1] == (INPUT_NODE,), "node 0 must be the input"
        for index, node in enumerate(self.nodes[1:], start=1):
            in_order = all(0 <= i < index for i in node.inputs) and len(node.inputs) > 0
            assert in_order, f"node {index} is out of order"

    @property
    def output(self) -> int:
        """Index of the output node."""
        return len(self.nodes) - 1

    @property
    def type(self) -> ValueType:
        """Type of the output."""
        return self.nodes[-1].type

    def input_types(self, index: int) -> tuple[ValueType, ...]:
        """Return the types of the inputs of node `index`."""
        return tuple(self.nodes[i].type for i in self.nodes[index].inputs)

    def __str__(self) -> str:
        """Return one line a node: index, op with attributes, inputs, type."""
        lines = []
        for index, node in enumerate(self.nodes):
            inputs = ", ".join(f"%{i}" for i in node.inputs)
            call = f"{node.label}({inputs})" if node.inputs else node.label
            causal = "" if node.type.causal else "  not causal"
            lines.append(f"%{index:<3} {call:<44} {node.type}{causal}")
        return "\n".join(lines)


IDENTITY_GRAPH = Graph((INPUT_NODE,))
