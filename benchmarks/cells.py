"""Published recurrent cells as blueprints, and a plain interpreter of their recipes; reads no op's module.

A recipe is JSON: node name to `{"op": ..., "input": [...]}` over `x` and the previous states `h_prev_0`,
`h_prev_1`, ...; its nodes `h_new_k` become the states, and `h_new_0` is the cell's output (Klyuchnikov et al.
2020). The interpreter knows the language no more than the language knows it, so that one can judge the other.

Axes: T time, B examples, W width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from blueprints import Graph, Language, Node, TamiyoError
from blueprints.graph import INPUT, INPUT_NODE, SCAN, state_node
from blueprints.types import ValueType

#: A node's op and its inputs, by name.
Recipe = Mapping[str, Mapping]
#: Weight `[W, inputs' widths]` and bias `[W]` of each linear node.
Weights = Mapping[str, tuple[np.ndarray, np.ndarray]]

INPUT_NAME, PREVIOUS, NEW = "x", "h_prev_", "h_new_"
OUTPUT = f"{NEW}0"
#: A state beside the recipe's own.
SPARE = f"{PREVIOUS}spare"
LINEAR = "linear"
#: Elementwise recipe op to its op in the language, the least inputs and the most; None: any number.
OPS: Mapping[str, tuple[str, int, int | None]] = {
    "elementwise_sum": ("ADD", 2, None),
    "elementwise_prod": ("MUL", 2, None),
    "blend": ("BLEND", 3, 3),
    "activation_tanh": ("TANH", 1, 1),
    "activation_sigm": ("SIGMOID", 1, 1),
    "activation_leaky_relu": ("LEAKY_RELU", 1, 1),
}
#: What torch's leaky ReLU multiplies negative values by.
SLOPE = 0.01


class CellError(TamiyoError):
    """A recipe that is no cell, or none that the language can hold; the message names the node and why."""


# -- recipes -------------------------------------------------------------------------------------------------


def check_recipe(recipe: Recipe) -> None:
    """Raise unless every node's op and inputs are known and nothing depends on itself.

    Raises:
        CellError: naming the node.
    """
    if OUTPUT not in recipe:
        raise CellError(f"there is no {OUTPUT}, the cell's output")
    for name, node in recipe.items():
        op, inputs = node["op"], node["input"]
        if op != LINEAR and op not in OPS:
            raise CellError(f"{name} is a {op!r}; expected {LINEAR} or one of {', '.join(OPS)}")
        _, least, most = OPS.get(op, (op, 1, None))
        if len(inputs) < least or (most is not None and len(inputs) > most):
            raise CellError(f"{name} is a {op} of {len(inputs)} inputs; expected {least if most else 'more'}")
        for source in inputs:
            if source not in recipe and source != INPUT_NAME and _state(source) is None:
                raise CellError(f"{name} reads {source}, which is neither a node nor an input")
    for _ in in_order(recipe):
        pass


def in_order(recipe: Recipe) -> Iterator[str]:
    """Yield the nodes so that each comes after the nodes that it reads, whatever their order in the recipe.

    Raises:
        CellError: when a node depends on itself.
    """
    done: set[str] = set()
    waiting = list(recipe)
    while waiting:
        ready = [n for n in waiting if all(i in done or i not in recipe for i in recipe[n]["input"])]
        if not ready:
            raise CellError(f"{', '.join(waiting)} depend on themselves")
        yield from ready
        done.update(ready)
        waiting = [n for n in waiting if n not in done]


def _state(name: str) -> int | None:
    """Return the number of the previous state that `name` reads, if it is one."""
    number = name.removeprefix(PREVIOUS)
    return int(number) if name.startswith(PREVIOUS) and number.isdigit() else None


def linear_widths(recipe: Recipe, name: str, input_width: int, width: int) -> list[int]:
    """Return the widths of the inputs of a linear node in a cell of `width` behind `input_width` features."""
    return [input_width if source == INPUT_NAME else width for source in recipe[name]["input"]]


# -- into the language ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A recipe as the body of a scan.

    Attributes:
        body: its graph, dead nodes included.
        linear: name of each linear node to its index in `body`.
    """

    body: Graph
    linear: Mapping[str, int]


@dataclass(slots=True)
class _Body:
    """The nodes of a scan's body while they are being made."""

    language: Language
    nodes: list[Node]

    def add(self, op: str, inputs: Sequence[int], **attributes: Fraction) -> int:
        """Add a node and return its index; one that would change nothing is the node that it reads."""
        row = self.language.table[op]
        types = tuple(self.nodes[i].type for i in inputs)
        if row.arity > 1 and row.widths == "equal" and len({x.width for x in types}) > 1:
            raise CellError(f"{op} merges the widths {', '.join(str(x.width) for x in types)} of D")
        if self.nodes[inputs[0]].op in row.no_op_after:
            return inputs[0]
        node = Node(op, tuple(attributes.items()), tuple(inputs), row.infer(types, attributes))
        self.nodes.append(node)
        return len(self.nodes) - 1

    def chain(self, op: str, inputs: Sequence[int]) -> int:
        """Add a merge of two, as often as it takes to merge all inputs; return the last one's index."""
        value = inputs[0]
        for other in inputs[1:]:
            value = self.add(op, (value, other))
        return value


def cell_of(recipe: Recipe, language: Language, input_width: Fraction, width: Fraction) -> Cell:
    """Return the recipe as the body of a scan from `input_width` to `width`, both rationals of D.

    States are numbered anew without gaps. Those that are read and never stored stay at zero: they and a spare
    one take each other's value in a ring.

    Raises:
        CellError: for what no body can hold, such as the sum of values of two widths.
    """
    check_recipe(recipe)
    numbers, takes = _states(recipe)
    if len(numbers) > language.num_states:
        raise CellError(f"the cell has {len(numbers)} states, the language {language.num_states}")
    step = ValueType(time="single", width=input_width)
    body = _Body(language, [Node(INPUT, (), (), step)])
    values = {INPUT_NAME: 0}
    read = {*takes, *(i for node in recipe.values() for i in node["input"])}
    for name, number in ((n, k) for n, k in numbers.items() if n in read):
        body.nodes.append(state_node(number, ValueType(time="single", width=width)))
        values[name] = len(body.nodes) - 1
    linear = {}
    for name in in_order(recipe):
        op, inputs = recipe[name]["op"], [values[i] for i in recipe[name]["input"]]
        if op == LINEAR:
            values[name] = linear[name] = body.add("LINEAR", (body.chain("CONCAT", inputs),), width=width)
        elif OPS[op][1] == 2:
            values[name] = body.chain(OPS[op][0], inputs)
        else:
            values[name] = body.add(OPS[op][0], inputs)
    for name in takes:
        if body.nodes[values[name]].type.width != width:
            raise CellError(f"{name} is as wide as the cell's input, {input_width} of D, not {width}")
    return Cell(body=Graph(tuple(body.nodes), tuple(values[name] for name in takes)), linear=linear)


def _states(recipe: Recipe) -> tuple[dict[str, int], list[str]]:
    """Return the number of each state by the name that reads it, and the name of what each number takes."""
    read = {i for node in recipe.values() for i in node["input"] if _state(i) is not None}
    stored = {
        name.replace(NEW, PREVIOUS) for name in recipe if _state(name.replace(NEW, PREVIOUS)) is not None
    }
    kept = sorted(stored, key=lambda name: _state(name) or 0)
    never = sorted(read - stored)
    ring = [*never, SPARE] if never else []
    takes = [name.replace(PREVIOUS, NEW) for name in kept] + [*ring[-1:], *ring[:-1]]
    return {name: number for number, name in enumerate((*kept, *ring))}, takes


def stacked(cells: Sequence[Cell]) -> Graph:
    """Return the graph of scans that run one after the other."""
    nodes = [INPUT_NODE]
    for cell in cells:
        width = cell.body.type.width
        type_ = ValueType(width=width)
        nodes.append(Node(SCAN, (("width", width),), (len(nodes) - 1,), type_, cell.body))
    return Graph(tuple(nodes))


# -- by hand -------------------------------------------------------------------------------------------------


def draw_weights(
    recipe: Recipe, input_width: int, width: int, rng: np.random.Generator
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return weights of every linear node, uniform within 1 / sqrt(inputs)."""
    weights = {}
    for name, node in recipe.items():
        if node["op"] == LINEAR:
            fan_in = sum(linear_widths(recipe, name, input_width, width))
            bound = fan_in**-0.5
            weights[name] = (rng.uniform(-bound, bound, (width, fan_in)), rng.uniform(-bound, bound, width))
    return weights


def run_cell(recipe: Recipe, weights: Weights, x_TBW: np.ndarray, width: int) -> np.ndarray:
    """Return the cell's outputs `[T, B, W]`; states start at zero, and stay there when nothing is stored."""
    zero = np.zeros((x_TBW.shape[1], width))
    states: dict[str, np.ndarray] = {}
    outputs = []
    for x_BW in x_TBW:
        values = {INPUT_NAME: x_BW}
        for name in in_order(recipe):
            inputs = [values[i] if i in values else states.get(i, zero) for i in recipe[name]["input"]]
            values[name] = _evaluate(recipe[name]["op"], inputs, weights.get(name))
        states = {name.replace(NEW, PREVIOUS): v for name, v in values.items() if name.startswith(NEW)}
        outputs.append(values[OUTPUT])
    return np.stack(outputs)


def _evaluate(
    op: str, inputs: Sequence[np.ndarray], weights: tuple[np.ndarray, np.ndarray] | None
) -> np.ndarray:
    first = inputs[0]
    if weights is not None:
        edges = np.cumsum([0, *(x.shape[1] for x in inputs)])
        maps = [x @ weights[0][:, a:b].T for x, (a, b) in zip(inputs, pairwise(edges), strict=True)]
        return np.sum(maps, axis=0) + weights[1]
    if op == "elementwise_sum":
        return np.sum(inputs, axis=0)
    if op == "elementwise_prod":
        return np.prod(inputs, axis=0)
    if op == "blend":
        return first * inputs[1] + (1 - first) * inputs[2]
    if op == "activation_tanh":
        return np.tanh(first)
    if op == "activation_sigm":
        return 0.5 * (1 + np.tanh(first / 2))
    assert op == "activation_leaky_relu", f"{op} was checked"
    return np.where(first > 0, first, SLOPE * first)
