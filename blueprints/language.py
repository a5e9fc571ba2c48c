"""A language: an op table with its budgets, and what follows from them; leaves legality to grammar.py."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property, lru_cache

from blueprints.errors import TamiyoError
from blueprints.graph import ADD, LOOP, MUL, SCAN, Graph, Node
from blueprints.ops import CORE_OPS, OPS, Attribute, Op, Parameter
from blueprints.types import MAX_WIDTH, WIDTHS
from blueprints.typing_table import COST_WIDTH, TypingTable
from blueprints.vocabulary import (
    BLOCK_STARTS,
    BODY_ATTRIBUTES,
    BRANCH_START,
    GATE_START,
    LOAD,
    RES_START,
    SAVE,
    Registers,
    Vocabulary,
)

__all__ = ["CORE_LANGUAGE", "COST_WIDTH", "LANGUAGE", "Language", "resolve"]

#: Blocks whose end applies ops that need not be written, with those ops.
BLOCK_OPS = {RES_START: (ADD,), GATE_START: ("SIGMOID", MUL)}


@dataclass(frozen=True, eq=False)
class Language:
    """The op table that a program is read with, and the largest program it allows.

    Attributes:
        ops: the rows of the op table; a user's own stand behind the built-in: `Language(OPS + (my_op,))`.
        max_length: most tokens of a program, the end marker excluded.
        max_flops: most forward FLOPs of one time step of one example in a host of width 16.
        num_taps: registers that name values, so that any graph can be written.
        num_states: previous states that a scan's body sees.
        max_width: widest value, as a rational of the host's width D.
        widths: the ratios of D that ops and scans can be as wide as, by the end of their tokens:
            `Language(widths={**WIDTHS, "SESQUI": Fraction(3, 2)})` has `OUT_DIM_SESQUI`.
        blocks: the tokens that open a block.
        settings: token that opens a loop or a scan to the attribute that follows it.

    Raises:
        TamiyoError: for a ratio beyond `max_width`, or one that is no multiple of 1/16; for a block that is
            unknown or needs an op that is missing; for two tokens of one name.
    """

    ops: tuple[Op, ...] = field(default=OPS, repr=False)
    max_length: int = 48
    max_flops: int = 32_768
    num_taps: int = 4
    num_states: int = 3
    max_width: Fraction = MAX_WIDTH
    widths: Mapping[str, Fraction] = field(default_factory=lambda: WIDTHS, repr=False)
    blocks: tuple[str, ...] = tuple(BLOCK_STARTS)
    settings: Mapping[str, Attribute] = field(init=False, repr=False)
    table: Mapping[str, Op] = field(init=False, repr=False)
    registers: Registers = field(init=False, repr=False)
    vocabulary: Vocabulary = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check_blocks(self.blocks, self.ops)
        bodies = [token for token in BODY_ATTRIBUTES if token in self.blocks]
        settings = {token: _at_widths(BODY_ATTRIBUTES[token], self.widths) for token in bodies}
        object.__setattr__(self, "settings", settings)
        if self.widths != WIDTHS:
            object.__setattr__(self, "ops", tuple(_row_at_widths(op, self.widths) for op in self.ops))
        object.__setattr__(self, "table", {op.name: op for op in self.ops})
        object.__setattr__(self, "registers", Registers(self.num_taps, self.num_states))
        object.__setattr__(self, "vocabulary", Vocabulary.of(self.ops, self.blocks, settings, self.registers))
        for attribute in self._width_attributes():
            _check_ratios(attribute, self.max_width)

    @property
    def tokens(self) -> tuple[str, ...]:
        """Token names in the order of the vocabulary; the first is the end marker."""
        return self.vocabulary.tokens

    @cached_property
    def typing(self) -> TypingTable:
        """The types that values can have."""
        return TypingTable(self.ops, self._width_attributes(), self.max_width)

    @cached_property
    def version_hash(self) -> str:
        """SHA-256 over all that decides which programs are legal and what they mean."""
        rows = [
            [
                op.name,
                [[a.name, str(a.default), [[t, str(v)] for t, v in a.tokens.items()]] for a in op.attributes],
                [op.formula, op.arity, op.widths, op.commutative, op.needs_sequence, op.pools, op.causal],
                sorted(op.no_op_after),
            ]
            for op in self.ops
        ]
        budgets = [self.max_length, self.max_flops, self.num_taps, self.num_states, str(self.max_width)]
        widths = [[name, str(ratio)] for name, ratio in self.widths.items()]
        text = json.dumps([rows, self.tokens, budgets, widths], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def _width_attributes(self) -> list[Attribute]:
        attributes = (*self.settings.values(), *(a for op in self.ops for a in op.attributes))
        return [a for a in attributes if a.name == "width"]

    def num_operands(self, name: str) -> int:
        """Return how many tokens an op, a block with a setting, SAVE or LOAD needs after its own."""
        if name in BODY_ATTRIBUTES or name in (SAVE, LOAD):
            return 1
        op = self.table[name]
        return op.arity - 1 if op.arity > 1 else len(op.required)

    def parameters(self, graph: Graph, width: int) -> tuple[tuple[Parameter, ...], ...]:
        """Return the trainable tensors of each node of `graph` in a host of width `width`."""
        return tuple(tuple(self._node_parameters(graph, index, width)) for index in range(len(graph.nodes)))

    def _node_parameters(self, graph: Graph, index: int, width: int) -> Iterable[Parameter]:
        node = graph.nodes[index]
        if node.body is not None:
            return body_parameters(self, node.body, width)
        w_in = graph.nodes[node.inputs[0]].type.channels(width) if node.inputs else 0
        attributes = tuple(resolve(node, width).items())
        return op_parameters(self, node.op, w_in, node.type.channels(width), attributes)


@lru_cache(maxsize=4096)
def op_parameters(
    language: Language, op: str, w_in: int, w_out: int, attributes: tuple[tuple[str, int], ...]
) -> tuple[Parameter, ...]:
    """Return the tensors of an op at these widths: programs differ, their nodes repeat."""
    return tuple(language.table[op].parameters(w_in, w_out, dict(attributes))) if op in language.table else ()


def body_parameters(language: Language, body: Graph, width: int) -> Iterable[Parameter]:
    """Yield the tensors of a body, named as its module `body.ops` names them."""
    for index, row in enumerate(language.parameters(body, width)[1:]):
        for parameter in row:
            yield parameter.renamed(f"body.ops.{index}.{parameter.name}")


def resolve(node: Node, width: int) -> dict[str, int]:
    """Return a node's attributes as integers in a host of width `width`: widths become channels."""
    return {
        name: node.type.channels(width) if name == "width" else int(value) for name, value in node.attributes
    }


def _row_at_widths(op: Op, widths: Mapping[str, Fraction]) -> Op:
    return replace(op, attributes=tuple(_at_widths(a, widths) for a in op.attributes))


def _at_widths(attribute: Attribute, widths: Mapping[str, Fraction]) -> Attribute:
    """Return an attribute whose tokens name the ratios of `WIDTHS` with a token for each of `widths`."""
    stem = next(iter(attribute.tokens)).removesuffix(next(iter(WIDTHS)))
    named = attribute.tokens == {stem + name: ratio for name, ratio in WIDTHS.items()}
    if attribute.name != "width" or not named:
        return attribute
    return replace(attribute, tokens={stem + name: ratio for name, ratio in widths.items()})


def _check_ratios(attribute: Attribute, max_width: Fraction) -> None:
    for token, ratio in attribute.tokens.items():
        if not 0 < ratio <= max_width or (Fraction(ratio) * COST_WIDTH).denominator != 1:
            raise TamiyoError(
                f"{token} is {ratio} of D; expected a multiple of 1/{COST_WIDTH}, above 0 and at most the "
                f"max_width of {max_width}"
            )


def _check_blocks(blocks: tuple[str, ...], ops: tuple[Op, ...]) -> None:
    """Refuse a block that nothing could close."""
    names = {op.name for op in ops}
    for block in blocks:
        if block not in BLOCK_STARTS:
            raise TamiyoError(f"{block!r} opens no block; expected some of {', '.join(BLOCK_STARTS)}")
        missing = [name for name in BLOCK_OPS.get(block, ()) if name not in names]
        if block == BRANCH_START and not any(op.arity > 1 for op in ops):
            missing = ["an op that merges"]
        if missing:
            others = tuple(other for other in blocks if other != block)
            raise TamiyoError(
                f"{block} needs {' and '.join(missing)}, which the ops lack; put that among them, or "
                f"leave the block out with blocks={others}"
            )


assert {LOOP, SCAN}.isdisjoint(op.name for op in OPS)
#: The language with the built-in ops and default budgets.
LANGUAGE = Language()
#: Nested blocks of the core ops alone: what the benchmarks sample, so that their figures stay comparable.
CORE_LANGUAGE = Language(
    ops=CORE_OPS,
    max_length=24,
    num_taps=0,
    num_states=0,
    blocks=(RES_START, GATE_START, BRANCH_START),
)
