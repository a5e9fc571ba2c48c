"""A blueprint in its host as plain data that any process can train; leaves training to the engines."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import sqrt
from typing import NamedTuple, TypeVar

from blueprints.graph import INPUT, SCAN, STATE, Graph
from blueprints.language import LANGUAGE, Language, body_parameters, op_parameters, resolve
from blueprints.ops import Parameter
from curricula.heads import HEADS, Head, InputKind
from curricula.task import Task

#: The ops of the host around the slot: how inputs come in, how time is met, and what is read.
HOST_INPUT = "HOST_INPUT"
HOST_EMBEDDING = "HOST_EMBEDDING"
HOST_MEAN = "HOST_MEAN"
HOST_SPREAD = "HOST_SPREAD"
HOST_READOUT = "HOST_READOUT"
#: Of a graft: the scale behind which a blueprint enters, and its sum with what the host had before.
HOST_GATE = "HOST_GATE"
HOST_GRAFT = "HOST_GRAFT"
#: All of them.
HOST_OPS = (HOST_INPUT, HOST_EMBEDDING, HOST_MEAN, HOST_SPREAD, HOST_READOUT, HOST_GATE, HOST_GRAFT)

T = TypeVar("T")


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
        body: what a loop repeats or a scan runs at every step.
    """

    op: str
    attributes: tuple[tuple[str, int], ...]
    widths: tuple[int, ...]
    sequences: tuple[bool, ...]
    width: int
    sequence: bool
    body: "Body | None" = None

    def attribute(self, name: str) -> int:
        """Return the value of one attribute."""
        return dict(self.attributes)[name]


class ProgramNode(NamedTuple):
    """One op of a program, its inputs (indices of earlier nodes), its parameters and their scalars."""

    signature: Signature
    inputs: tuple[int, ...]
    parameters: tuple[Parameter, ...]
    size: int


@dataclass(frozen=True)
class Body:
    """The body of a loop or scan: node 0 is its input, `STATE` nodes read a scan's states.

    Attributes:
        nodes: in topological order.
        output: the node whose value is the body's.
        stores: the nodes whose values become a scan's states.
    """

    nodes: tuple[ProgramNode, ...]
    output: int
    stores: tuple[int, ...]

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.nodes, self.stores))

    @cached_property
    def recurrent(self) -> frozenset[int]:
        """The nodes that depend on a state."""
        found: set[int] = set()
        for index, node in enumerate(self.nodes):
            if node.signature.op == STATE or not found.isdisjoint(node.inputs):
                found.add(index)
        return frozenset(found)

    def parameters_of(self, parameters: Sequence[T]) -> Iterator[Sequence[T]]:
        """Yield what belongs to each node of a sequence with one entry a parameter."""
        start = 0
        for node in self.nodes:
            yield parameters[start : start + len(node.parameters)]
            start += len(node.parameters)


@dataclass(frozen=True)
class Program:
    """A blueprint with the host around it: node 0 is the task's input, the last node the logits.

    Attributes:
        nodes: in topological order; node 1 is the host's input map, whose output enters the slot.
        pooled: index of the node that is read out; averaged over time it is the blueprint's fingerprint.
        graph: what fills the slot.
        width: D of the host.
        head: what is asked of the last node, which has one step, or all of them for a head of every step.
        graft: the task for which the host was trained before the blueprint enters it; absent where both are
            trained together.
    """

    nodes: tuple[ProgramNode, ...]
    pooled: int
    graph: Graph
    width: int
    head: Head
    graft: Task | None = None

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Every tensor of parameters: the host's input map, then node by node, then the readout."""
        return tuple(parameter for node in self.nodes for parameter in node.parameters)

    @cached_property
    def num_parameters(self) -> int:
        """Scalars of all parameters, host included."""
        return sum([node.size for node in self.nodes])

    @property
    def num_slot_parameters(self) -> int:
        """Trainable scalars of the blueprint alone."""
        return self.num_parameters - sum([n.size for n in self.nodes if n.signature.op in HOST_OPS])

    @property
    def num_frozen(self) -> tuple[int, int]:
        """How many of the first and of the last parameters do not learn: a graft's input map and readout."""
        return (0, 0) if self.graft is None else (self.nodes[1].size, self.nodes[-1].size)

    @property
    def input_kind(self) -> InputKind:
        """How the host takes the task's inputs."""
        return "embedding" if self.nodes[1].signature.op == HOST_EMBEDDING else "linear"

    @property
    def input_width(self) -> int:
        """Width of the task's input; of an embedding the number of symbols."""
        if self.input_kind == "embedding":
            return self.nodes[1].signature.attribute("vocabulary")
        return self.nodes[0].signature.width

    @property
    def output_width(self) -> int:
        """Width of the logits, or of a regression's outputs."""
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
        """Return the scalars that one example of `time` steps leaves behind, those of bodies included."""
        return sum([_values(node.signature, time) for node in self.nodes])


def _values(signature: Signature, time: int) -> int:
    inside = 0
    if signature.body is not None:
        times = time if signature.op == SCAN else signature.attribute("repeat")
        inside = times * sum(_values(node.signature, time) for node in signature.body.nodes)
    if signature.op == HOST_EMBEDDING:
        inside = time * signature.attribute("vocabulary")  # symbols as one-hot vectors
    return inside + (time if signature.sequence else 1) * signature.width


def build_program(graph: Graph, task: Task, width: int, language: Language = LANGUAGE) -> Program:
    """Return the program of `graph` in a host of width D = `width` for `task`."""
    head = HEADS[task.head]
    nodes = _inputs(task, width) + _nodes(graph, width, language, shift=1)[1:]
    is_sequence = graph.type.time == "sequence"
    if task.is_graft:
        nodes += _gated(len(nodes) - 1, width, is_sequence=is_sequence)
        is_sequence = True
    if is_sequence != head.is_per_step:
        op = HOST_MEAN if is_sequence else HOST_SPREAD
        signature = Signature(op, (), (width,), (is_sequence,), width, head.is_per_step)
        nodes.append(ProgramNode(signature, (len(nodes) - 1,), (), 0))
    pooled = len(nodes) - 1
    nodes.append(_affine(HOST_READOUT, width, task.output_width, pooled, sequence=head.is_per_step))
    return Program(tuple(nodes), pooled, graph, width, head, task if task.is_graft else None)


def _gated(source: int, width: int, *, is_sequence: bool) -> list[ProgramNode]:
    """Return `x + g * B(x)`, where x enters the slot, node `source` is B(x) and g is zero at the start."""
    gain = Parameter(name="weight", shape=(width,), init="zeros")
    gate = Signature(HOST_GATE, (), (width,), (is_sequence,), width, is_sequence)
    graft = Signature(HOST_GRAFT, (), (width, width), (True, is_sequence), width, True)
    return [
        ProgramNode(gate, (source,), (gain,), gain.size),
        ProgramNode(graft, (1, source + 1), (), 0),
    ]


def _inputs(task: Task, width: int) -> list[ProgramNode]:
    """Return the task's input, and the map that takes it to the host's width.

    Of the one-hot inputs that an embedding stands for one is not zero: hence its bound.
    """
    if task.input == "linear":
        entry = Signature(INPUT, (), (), (), task.input_width, True)
        return [ProgramNode(entry, (), (), 0), _affine(HOST_INPUT, task.input_width, width, 0, sequence=True)]
    symbols = task.input_width
    weight = Parameter(name="weight", shape=(symbols, width), bound=1.0)
    lookup = Signature(HOST_EMBEDDING, (("vocabulary", symbols),), (1,), (True,), width, True)
    return [
        ProgramNode(Signature(INPUT, (), (), (), 1, True), (), (), 0),
        ProgramNode(lookup, (0,), (weight,), weight.size),
    ]


def _nodes(graph: Graph, width: int, language: Language, shift: int = 0) -> list[ProgramNode]:
    """Return the nodes of a graph in a host of width D, bodies resolved and inputs `shift` places on."""
    widths = [node.type.channels(width) for node in graph.nodes]
    sequences = [node.type.time == "sequence" for node in graph.nodes]
    nodes = []
    for node, w_out, sequence in zip(graph.nodes, widths, sequences, strict=True):
        attributes = tuple(resolve(node, width).items()) if node.attributes else ()
        seen = (tuple([widths[i] for i in node.inputs]), tuple([sequences[i] for i in node.inputs]))
        if node.body is None:
            signature, parameters, size = _row(language, node.op, attributes, *seen, w_out, sequence)
        else:
            body = Body(tuple(_nodes(node.body, width, language)), node.body.output, node.body.stores)
            signature = Signature(node.op, tuple(sorted(attributes)), *seen, w_out, sequence, body)
            parameters, size = _with_size(body_parameters(language, node.body, width))
        inputs = tuple([i + shift for i in node.inputs])
        nodes.append(ProgramNode(signature, inputs, parameters, size))
    return nodes


@lru_cache(maxsize=4096)
def _row(
    language: Language,
    op: str,
    attributes: tuple[tuple[str, int], ...],
    widths: tuple[int, ...],
    sequences: tuple[bool, ...],
    width: int,
    sequence: bool,
) -> tuple[Signature, tuple[Parameter, ...], int]:
    """Return what a node without a body is and has: programs differ, their nodes repeat."""
    parameters = op_parameters(language, op, widths[0] if widths else 0, width, attributes)
    signature = Signature(op, tuple(sorted(attributes)), widths, sequences, width, sequence)
    return signature, *_with_size(parameters)


@lru_cache(maxsize=1024)
def _affine(op: str, w_in: int, w_out: int, source: int, *, sequence: bool) -> ProgramNode:
    shapes: Sequence[tuple[str, tuple[int, ...]]] = (("weight", (w_out, w_in)), ("bias", (w_out,)))
    parameters = [Parameter(name=name, shape=shape, bound=1 / sqrt(w_in)) for name, shape in shapes]
    signature = Signature(op, (), (w_in,), (sequence,), w_out, sequence)
    return ProgramNode(signature, (source,), *_with_size(parameters))


def _with_size(parameters: Iterable[Parameter]) -> tuple[tuple[Parameter, ...], int]:
    own = tuple(parameters)
    return own, sum([parameter.size for parameter in own])
