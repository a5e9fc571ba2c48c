"""The tokens of the language, derived from an op table; knows names and values, not what may follow what."""

from collections.abc import Iterable
from dataclasses import dataclass

from blueprints.ops import Attribute, Op

#: Ends a program; token 0 of every vocabulary, never part of a blueprint's tokens.
END = "END"

RES_START, RES_END = "RES_START", "RES_END"
GATE_START, GATE_END = "GATE_START", "GATE_END"
BRANCH_START, BRANCH_SEP = "BRANCH_START", "BRANCH_SEP"
#: Tokens that close the second branch, with the merge op that they stand for.
MERGES = {"MERGE_ADD": "ADD", "MERGE_MUL": "MUL"}
#: Block-opening token to the token that closes it or its first part.
BLOCK_STARTS = {RES_START: RES_END, GATE_START: GATE_END, BRANCH_START: BRANCH_SEP}
BLOCK_TOKENS = (*BLOCK_STARTS, RES_END, GATE_END, BRANCH_SEP, *MERGES)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All tokens in a fixed order, and what each attribute token can be.

    Attributes:
        tokens: names; `tokens[0]` is `END`.
        ids: name to index in `tokens`.
        attribute_tokens: names that give an attribute's value.
    """

    tokens: tuple[str, ...]
    ids: dict[str, int]
    attribute_tokens: frozenset[str]

    @classmethod
    def of(cls, ops: Iterable[Op]) -> "Vocabulary":
        """Return the vocabulary of an op table: end, unary ops, attribute values, block tokens."""
        unary = [op for op in ops if op.arity == 1]
        attributes: list[Attribute] = [attribute for op in unary for attribute in op.attributes]
        values = dict.fromkeys(token for attribute in attributes for token in attribute.tokens)
        tokens = (END, *(op.name for op in unary), *values, *BLOCK_TOKENS)
        assert len(set(tokens)) == len(tokens), "two tokens share a name"
        return cls(tokens, {token: index for index, token in enumerate(tokens)}, frozenset(values))
