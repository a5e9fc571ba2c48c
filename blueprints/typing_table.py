"""All types that values of a language can have, as small integers, and what ops and merges make of them.

Codes leave causality out: no rule of the grammar asks for it. The table is closed under ops and merges.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from blueprints.graph import AttributeValue
from blueprints.ops import Attribute, Op
from blueprints.types import INPUT_TYPE, ValueType, merge_types

#: Width of the host in which a program's cost is measured against the language's cap.
COST_WIDTH = 16


class Made(NamedTuple):
    """What an op makes: the code of its output's type, and its FLOPs for one time step."""

    type: int
    flops: int


class TypingTable:
    """Codes of types; code 0 is the type of a program's input."""

    def __init__(self, ops: Sequence[Op], widths: Sequence[Attribute], max_width: Fraction) -> None:
        self._ops = {op.name: op for op in ops}
        self._max_width = max_width
        self.types: list[ValueType] = []
        self._codes: dict[ValueType, int] = {}
        self.apply = lru_cache(maxsize=None)(self._find_applied)
        self.merge = lru_cache(maxsize=None)(self._find_merged)
        self._close_under_ops(ops, widths)

    def __len__(self) -> int:
        return len(self.types)

    def __getitem__(self, code: int) -> ValueType:
        return self.types[code]

    def code(self, value: ValueType) -> int:
        """Return the code of a type."""
        return self._codes[replace(value, causal=True)]

    def single(self, code: int) -> int:
        """Return the code of a single step of that width."""
        return self.code(replace(self.types[code], time="single"))

    def sequence(self, code: int) -> int:
        """Return the code of a sequence of that width."""
        return self.code(replace(self.types[code], time="sequence"))

    def of_width(self, width: AttributeValue) -> int:
        """Return the code of a single step of width `width`."""
        return self.code(ValueType(time="single", width=Fraction(width)))

    def same_width(self, a: int, b: int) -> bool:
        """Say whether two types have one width."""
        return self.types[a].width == self.types[b].width

    def _find_applied(self, code: int, name: str, tokens: tuple[str, ...]) -> Made:
        """Return what the op `name`, with the tokens of its required attributes, makes of a type."""
        op = self._ops[name]
        x = self.types[code]
        values = attribute_values(op, tokens)
        y = op.infer((x,), values)
        w_out = y.channels(COST_WIDTH)
        resolved = {key: w_out if key == "width" else int(value) for key, value in values.items()}
        return Made(self.code(y), op.flops(x.channels(COST_WIDTH), w_out, resolved))

    def _find_merged(self, name: str, codes: tuple[int, ...]) -> Made | None:
        """Return what a merge makes of its inputs, or None where their widths do not allow it."""
        op = self._ops[name]
        inputs = tuple(self.types[code] for code in codes)
        if op.widths == "equal" and len({x.width for x in inputs}) > 1:
            return None
        y = merge_types(*inputs, widths=op.widths)
        if y.width > self._max_width:
            return None
        w_out = y.channels(COST_WIDTH)
        return Made(self.code(y), op.flops(w_out, w_out, {}))

    def _close_under_ops(self, ops: Sequence[Op], widths: Sequence[Attribute]) -> None:
        """Find every type that ops and merges reach from the input's, and give each a code."""
        named = {Fraction(ratio) for attribute in widths for ratio in attribute.tokens.values()}
        found = {INPUT_TYPE.width} | {r for r in named if r <= self._max_width}
        sums = any(op.arity > 1 and op.widths == "sum" for op in ops)
        while sums:
            more = {a + b for a in found for b in found if a + b <= self._max_width} - found
            if not more:
                break
            found |= more
        for time in ("sequence", "single"):
            for width in (INPUT_TYPE.width, *sorted(found - {INPUT_TYPE.width})):
                value = ValueType(time=time, width=width)
                self._codes[value] = len(self.types)
                self.types.append(value)


def attribute_values(op: Op, tokens: Sequence[str]) -> Mapping[str, AttributeValue]:
    """Return every attribute of `op` by name; those without a token in `tokens` have their default."""
    values: dict[str, AttributeValue] = {}
    for attribute in op.attributes:
        given = next((attribute.tokens[token] for token in tokens if token in attribute.tokens), None)
        value = attribute.default if given is None else given
        assert value is not None, f"{op.name} needs its {attribute.name}"
        values[attribute.name] = value
    return values
