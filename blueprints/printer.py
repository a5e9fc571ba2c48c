"""From a graph back to tokens: the inverse of parsing, up to isomorphism."""

from blueprints.errors import TamiyoError
from blueprints.graph import ADD, MUL, Graph
from blueprints.language import LANGUAGE, Language
from blueprints.vocabulary import (
    BRANCH_SEP,
    BRANCH_START,
    GATE_END,
    GATE_START,
    MERGES,
    RES_END,
    RES_START,
)


def to_tokens(graph: Graph, language: Language = LANGUAGE) -> tuple[str, ...]:
    """Return a program whose graph is isomorphic to `graph`.

    Raises:
        TamiyoError: when the graph is not made of nested blocks, so that no program spells it.
    """
    return _Printer(graph, language).between(0, graph.output)


class _Printer:
    """Prints the part of a graph between a node and one that it dominates."""

    def __init__(self, graph: Graph, language: Language) -> None:
        self.graph = graph
        self.language = language
        self.dominator = _immediate_dominators(graph)

    def between(self, start: int, end: int) -> tuple[str, ...]:
        """Return the tokens that lead from the value of `start` to the value of `end`."""
        pieces: list[tuple[str, ...]] = []
        while end != start:
            node = self.graph.nodes[end]
            if len(node.inputs) == 1:
                pieces.append(self._op(end))
                end = node.inputs[0]
            else:
                split = self.dominator[end]
                if split < start:
                    raise self._not_nested(end)
                pieces.append(self._block(split, end))
                end = split
        return tuple(token for piece in reversed(pieces) for token in piece)

    def _op(self, index: int) -> tuple[str, ...]:
        node = self.graph.nodes[index]
        row = self.language.ops[node.op]
        values = dict(node.attributes)
        attributes = (
            next(token for token, value in attribute.tokens.items() if value == values[attribute.name])
            for attribute in row.attributes
        )
        return (node.op, *attributes)

    def _block(self, split: int, end: int) -> tuple[str, ...]:
        node = self.graph.nodes[end]
        first, second = node.inputs
        if split in (first, second):
            body = second if first == split else first
            if body != split and node.op == ADD:
                return (RES_START, *self.between(split, body), RES_END)
            if body != split and node.op == MUL and self.graph.nodes[body].op == "SIGMOID":
                inside = self.graph.nodes[body].inputs[0]
                if inside != split:
                    return (GATE_START, *self.between(split, inside), GATE_END)
            raise self._not_nested(end)
        merge = next((token for token, op in MERGES.items() if op == node.op), None)
        if merge is None:
            raise self._not_nested(end)
        branches = (*self.between(split, first), BRANCH_SEP, *self.between(split, second))
        return (BRANCH_START, *branches, merge)

    def _not_nested(self, index: int) -> TamiyoError:
        node = self.graph.nodes[index]
        return TamiyoError(
            f"node %{index} ({node.label} of {', '.join(f'%{i}' for i in node.inputs)}) closes no "
            "nested block; only graphs of nested RES, GATE and BRANCH blocks can be written as tokens"
        )


def _immediate_dominators(graph: Graph) -> list[int]:
    """Return, for each node, the last node that every path from the input to it passes (itself excluded)."""
    dominators = [0] * len(graph.nodes)
    for index, node in enumerate(graph.nodes[1:], start=1):
        common = node.inputs[0]
        for other in node.inputs[1:]:
            while common != other:
                if common > other:
                    common = dominators[common]
                else:
                    other = dominators[other]
        dominators[index] = common
    return dominators
