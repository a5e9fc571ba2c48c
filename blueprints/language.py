"""A language: an op table with its budgets, and what follows from them; leaves legality to grammar.py."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from blueprints.graph import Graph, Node
from blueprints.ops import OPS, Op, Parameter
from blueprints.vocabulary import Vocabulary

#: Width of the host in which a program's cost is measured against the language's cap.
COST_WIDTH = 16


@dataclass(frozen=True, eq=False)
class Language:
    """The op table that a program is read with, and the largest program it allows.

    Attributes:
        rows: the op table.
        max_length: most tokens of a program, the end marker excluded.
        max_flops: most forward FLOPs of one time step of one example in a host of width 16.
    """

    rows: tuple[Op, ...] = OPS
    max_length: int = 24
    max_flops: int = 32_768
    ops: Mapping[str, Op] = field(init=False, repr=False)
    vocabulary: Vocabulary = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ops", {op.name: op for op in self.rows})
        object.__setattr__(self, "vocabulary", Vocabulary.of(self.rows))

    @property
    def tokens(self) -> tuple[str, ...]:
        """Token names in the order of the vocabulary; the first is the end marker."""
        return self.vocabulary.tokens

    @cached_property
    def version_hash(self) -> str:
        """SHA-256 over all that decides which programs are legal and what they mean."""
        rows = [
            [
                op.name,
                [[a.name, [[t, str(v)] for t, v in a.tokens.items()]] for a in op.attributes],
                [op.formula, op.arity, op.commutative, op.needs_sequence, op.pools, op.causal],
                sorted(op.no_op_after),
            ]
            for op in self.rows
        ]
        text = json.dumps([rows, self.max_length, self.max_flops], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def parameters(self, graph: Graph, width: int) -> tuple[tuple[Parameter, ...], ...]:
        """Return the trainable tensors of each node of `graph` in a host of width `width`."""
        return tuple(self._node_parameters(graph, index, width) for index in range(len(graph.nodes)))

    def _node_parameters(self, graph: Graph, index: int, width: int) -> tuple[Parameter, ...]:
        node = graph.nodes[index]
        if node.op not in self.ops:
            return ()
        w_in = graph.nodes[node.inputs[0]].type.channels(width)
        return self.ops[node.op].parameters(w_in, node.type.channels(width), resolve(node, width))


def resolve(node: Node, width: int) -> dict[str, int]:
    """Return a node's attributes as integers in a host of width `width`: widths become channels."""
    return {
        name: node.type.channels(width) if name == "width" else int(value) for name, value in node.attributes
    }


#: The language with the built-in ops and default budgets.
LANGUAGE = Language()
