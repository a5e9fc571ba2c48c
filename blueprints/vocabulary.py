"""The tokens of the language, derived from an op table; knows names and values, not what may follow what."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from blueprints.errors import TamiyoError
from blueprints.ops import Attribute, Op
from blueprints.ops.core import OUT_DIM

#: Ends a program; token 0 of every vocabulary, never part of a blueprint's tokens.
END = "END"

RES_START, RES_END = "RES_START", "RES_END"
GATE_START, GATE_END = "GATE_START", "GATE_END"
BRANCH_START, BRANCH_SEP = "BRANCH_START", "BRANCH_SEP"
LOOP_START, LOOP_END = "LOOP_START", "LOOP_END"
SCAN_START, SCAN_END = "SCAN_START", "SCAN_END"
#: Block-opening token to the token that closes it or its first part.
BLOCK_STARTS = {
    RES_START: RES_END,
    GATE_START: GATE_END,
    BRANCH_START: BRANCH_SEP,
    LOOP_START: LOOP_END,
    SCAN_START: SCAN_END,
}
#: Blocks whose body is a graph of its own, with the attribute that follows the opening token.
BODY_ATTRIBUTES = {
    LOOP_START: Attribute(name="repeat", tokens={f"REPEAT_{k}": k for k in (2, 3, 4)}),
    SCAN_START: OUT_DIM,
}
#: Names the current value, and makes a named value the current one again.
SAVE, LOAD = "SAVE", "LOAD"
MERGE = "MERGE_"


@dataclass(frozen=True, slots=True)
class Registers:
    """Names for values: taps, and inside a scan its previous states; an index covers both, taps first."""

    num_taps: int
    num_states: int

    @property
    def tokens(self) -> tuple[str, ...]:
        """Their tokens, `TAP_0` and so on, then `STATE_0` and so on."""
        taps = (f"TAP_{i}" for i in range(self.num_taps))
        return (*taps, *(f"STATE_{i}" for i in range(self.num_states)))

    def state(self, index: int) -> int | None:
        """Return which state the register `index` is, if it is one."""
        return index - self.num_taps if index >= self.num_taps else None


@dataclass(frozen=True)
class Vocabulary:
    """All tokens in a fixed order, and what each of them can be.

    Attributes:
        tokens: names; `tokens[0]` is `END`.
        ids: name to index in `tokens`.
        attribute_tokens: names that give an attribute's value.
        merges: token that closes a branch block to the op it stands for.
        registers: token to index among the registers.
    """

    tokens: tuple[str, ...]
    ids: dict[str, int]
    attribute_tokens: frozenset[str]
    merges: Mapping[str, str]
    registers: Mapping[str, int]

    @classmethod
    def of(
        cls,
        ops: Iterable[Op],
        blocks: Iterable[str],
        settings: Mapping[str, Attribute],
        registers: Registers,
    ) -> "Vocabulary":
        """Return the vocabulary of an op table: end, ops, attribute values, blocks, merges, registers.

        Raises:
            TamiyoError: when two tokens have one name.
        """
        ops = tuple(ops)
        unary = [op for op in ops if op.arity == 1]
        merging = [op for op in ops if op.arity > 1]
        attributes = [attribute for op in unary for attribute in op.attributes]
        values = dict.fromkeys(
            token for attribute in (*attributes, *settings.values()) for token in attribute.tokens
        )
        blocks = tuple(blocks)
        merges = {MERGE + op.name: op.name for op in merging if BRANCH_START in blocks}
        ends = dict.fromkeys(BLOCK_STARTS[block] for block in blocks)
        names = registers.tokens
        moves = (SAVE, LOAD, *(op.name for op in merging), *names) if names else ()
        tokens = (END, *(op.name for op in unary), *values, *blocks, *ends, *merges, *moves)
        twice = sorted({token for token, count in Counter(tokens).items() if count > 1})
        if twice:
            raise TamiyoError(
                f"two tokens are called {' and '.join(twice)}; give each op and value its own name"
            )
        return cls(
            tokens=tokens,
            ids={token: index for index, token in enumerate(tokens)},
            attribute_tokens=frozenset(values),
            merges=merges,
            registers={token: index for index, token in enumerate(registers.tokens)},
        )
