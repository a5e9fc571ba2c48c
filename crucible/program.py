"""A blueprint in its host as plain data that any process can train; leaves training to the engines."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

from blueprints.graph import INPUT, Graph
from blueprints.language import LANGUAGE, Language, resolve
from blueprints.ops import Parameter
from curricula.task import Task

#: The three ops of the host around the slot.
HOST_INPUT = "HOST_INPUT"
HOST_MEAN = "HOST_MEAN"
HOST_READOUT = "HOST_READOUT"


@dataclass(frozen=True, slots=True)
class Signature:
    """What two nodes must share to run as one batched op.

    Attributes:
        op: name of the op.
        attributes: (name, value) pairs, widths as channels.
        widths: channels of each input.
        sequences: for each input, whether it is a sequence rather than a single step.
        width: channels of the output.
        sequence: whether the output is a sequence.
    """

    op: str
    attributes: tuple[tuple[str, int], ...]
    widths: tuple[int, ...]
    sequences: tuple[bool, ...]
    width: int
    sequence: bool

    def attribute(self, name: str) -> int:
        """Return the value of one attribute."""
        return dict(self.attributes)[name]


@dataclass(frozen=True, slots=True)
class ProgramNode:
    """One op of a program, its inputs (indices of earlier nodes) and its parameters."""

    signature: Signature
    inputs: tuple[int, ...]
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Program:
    """A blueprint with the host around it: node 0 is the task's input, the last node the logits.

    Attributes:
        nodes: in topological order; node 1 is the host's input map, whose output fills the slot.
        pooled: index of the node whose output `[B, 1, D]` is the slot's output, averaged over time.
        graph: what fills the slot.
        width: D of the host.
    """

    nodes: tuple[ProgramNode, ...]
    pooled: int
    graph: Graph
    width: int

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Every trainable tensor: the host's input map, then node by node, then the readout."""
        return tuple(parameter for node in self.nodes for parameter in node.parameters)

    @cached_property
    def num_parameters(self) -> int:
        """Trainable scalars, host included."""
        return sum(parameter.size for parameter in self.parameters)

    @property
    def input_width(self) -> int:
        """Width of the task's input."""
        return self.nodes[0].signature.width

    @property
    def num_classes(self) -> int:
        """Width of the logits."""
        return self.nodes[-1].signature.width

    @cached_property
    def users(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """For each node, the (node, input) pairs that read it, last first."""
        users: list[list[tuple[int, int]]] = [[] for _ in self.nodes]
        for index in reversed(range(len(self.nodes))):
            for position, source in enumerate(self.nodes[index].inputs):
                users[source].append((index, position))
        return tuple(tuple(row) for row in users)

    @cached_property
    def counts(self) -> Counter[Signature]:
        """How often each signature occurs."""
        return Counter(node.signature for node in self.nodes)

    def values_per_example(self, time: int) -> int:
        """Return the scalars that one example of `time` steps leaves behind as node outputs."""
        return sum((time if n.signature.sequence else 1) * n.signature.width for n in self.nodes)


def build_program(graph: Graph, task: Task, width: int, language: Language = LANGUAGE) -> Program:
    """Return the program of `graph` in a host of width D = `width` for `task`."""
    nodes = [
        ProgramNode(Signature(INPUT, (), (), (), task.input_width, True), (), ()),
        _affine(HOST_INPUT, task.input_width, width, 0, sequence=True),
    ]
    parameters = language.parameters(graph, width)
    for index, node in enumerate(graph.nodes[1:], start=1):
        types = graph.input_types(index)
        signature = Signature(
            op=node.op,
            attributes=tuple(sorted(resolve(node, width).items())),
            widths=tuple(t.channels(width) for t in types),
            sequences=tuple(t.time == "sequence" for t in types),
            width=node.type.channels(width),
            sequence=node.type.time == "sequence",
        )
        nodes.append(ProgramNode(signature, tuple(i + 1 for i in node.inputs), parameters[index]))
    if graph.type.time == "sequence":
        signature = Signature(HOST_MEAN, (), (width,), (True,), width, False)
        nodes.append(ProgramNode(signature, (len(nodes) - 1,), ()))
    pooled = len(nodes) - 1
    nodes.append(_affine(HOST_READOUT, width, task.num_classes, pooled, sequence=False))
    return Program(tuple(nodes), pooled, graph, width)


def _affine(op: str, w_in: int, w_out: int, source: int, *, sequence: bool) -> ProgramNode:
    shapes: Sequence[tuple[str, tuple[int, ...]]] = (("weight", (w_out, w_in)), ("bias", (w_out,)))
    return ProgramNode(
        Signature(op, (), (w_in,), (sequence,), w_out, sequence),
        (source,),
        tuple(Parameter(name=name, shape=shape, bound=1 / sqrt(w_in)) for name, shape in shapes),
    )
