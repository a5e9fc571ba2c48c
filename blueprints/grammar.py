"""The one definition of legality: which tokens may follow a prefix; builds no graph and no module.

A prefix is summarised by a `Cursor`: the open blocks, the type of the current value, the op that made it, an
op still waiting for attributes, and what was spent. A token is legal when no rule forbids it *and* the
shortest completion after it fits the budgets, so a walk over legal tokens never meets a dead end.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from blueprints.graph import ADD, INPUT, MUL, AttributeValue
from blueprints.language import COST_WIDTH, LANGUAGE, Language
from blueprints.ops import Op
from blueprints.types import INPUT_TYPE, ValueType, merge_types
from blueprints.vocabulary import (
    BLOCK_STARTS,
    BRANCH_SEP,
    BRANCH_START,
    END,
    GATE_END,
    MERGES,
    RES_END,
)

#: Tokens and FLOPs of a completion in one number, `tokens * _TOKEN + FLOPs`: adds and compares in that order.
Price = int
_TOKEN = 1 << 40


class Frame(NamedTuple):
    """An open block: its kind (opening token, or the separator once passed), and its input.

    Types are codes of the grammar's own table, so that prefixes hash fast.

    Attributes:
        kind: `RES_START`, `GATE_START`, `BRANCH_START` (first branch) or `BRANCH_SEP` (second branch).
        entry: type of the value at the block's start.
        entry_op: the op that made that value.
        first: type at the end of the first branch, in the second branch only.
    """

    kind: str
    entry: int
    entry_op: str
    first: int | None = None


class Prefix(NamedTuple):
    """What legality depends on, budgets aside; equal for many token sequences, hence worth caching.

    Attributes:
        frames: open blocks, outermost first.
        type: type of the current value.
        last_op: the op that made it, where a rule looks back at it; otherwise `INPUT`.
        empty: whether the innermost block (or the program) has no op yet.
        pending: op waiting for attributes, or the empty string.
        attributes: its attribute tokens so far.
    """

    frames: tuple[Frame, ...] = ()
    type: int = 0
    last_op: str = INPUT
    empty: bool = True
    pending: str = ""
    attributes: tuple[str, ...] = ()


class Cursor(NamedTuple):
    """A prefix and what it spent: its tokens, and forward FLOPs of a time step in a host of width 16."""

    prefix: Prefix = Prefix()
    length: int = 0
    flops: int = 0


class Option(NamedTuple):
    """What a structurally legal token leads to.

    Attributes:
        following: the prefix after it.
        flops: what it commits.
        least_tokens: tokens from it to the end of the shortest program on, itself included.
        least_flops: FLOPs of that program, its own included.
    """

    following: Prefix
    flops: int
    least_tokens: int
    least_flops: int


class Grammar:
    """Walks programs of one language. All of its tables are caches; it holds no state of a walk."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._types: list[ValueType] = [INPUT_TYPE]
        self._codes: dict[ValueType, int] = {INPUT_TYPE: 0}
        self._looked_back_at = frozenset().union(*(op.no_op_after for op in language.rows))
        self._apply = lru_cache(maxsize=None)(self._find_applied)
        self._merge = lru_cache(maxsize=None)(self._find_merged)
        self._completion = lru_cache(maxsize=200_000)(self._find_completion)
        self._options = lru_cache(maxsize=200_000)(self._find_options)
        self._edges = lru_cache(maxsize=None)(self._find_edges)
        self._pending_edges = lru_cache(maxsize=None)(self._find_pending_edges)
        self._body_reach = lru_cache(maxsize=None)(self._find_body_reach)
        self._ways_to_close = lru_cache(maxsize=None)(self._find_ways_to_close)
        self._ways_out = lru_cache(maxsize=200_000)(self._find_ways_out)

    def legal(self, cursor: Cursor, max_length: int | None = None) -> tuple[str, ...]:
        """Return the legal next tokens, `END` included, in the order of the vocabulary."""
        room = self._max_length(max_length) - cursor.length
        spare = self.language.max_flops - cursor.flops
        return tuple(
            token
            for token, option in self._options(cursor.prefix).items()
            if option.least_tokens <= room and option.least_flops <= spare
        )

    def advance(self, cursor: Cursor, token: str) -> Cursor:
        """Return the cursor after `token`, which must be legal and not `END`."""
        option = self._options(cursor.prefix)[token]
        return Cursor(option.following, cursor.length + 1, cursor.flops + option.flops)

    def shortest(self, cursor: Cursor) -> int:
        """Return how many more tokens the shortest completion takes."""
        return min(option.least_tokens for option in self._options(cursor.prefix).values())

    def broken_rule(
        self, cursor: Cursor, token: str, max_length: int | None = None
    ) -> tuple[str, str] | None:
        """Return (rule, reason) when `token` is illegal at `cursor`, else None."""
        if token not in self.language.vocabulary.ids:
            return "unknown-token", f"{token!r} (token {cursor.length}) is not in the vocabulary"
        rule = self._structural_rule(cursor.prefix, token)
        what = "the program ends" if token == END else f"{token} (token {cursor.length})"
        if rule is not None:
            return rule[0], f"{what} {rule[1]}"
        limit = self._max_length(max_length)
        option = self._options(cursor.prefix).get(token)
        if option is None or cursor.length + option.least_tokens > limit:
            return "too-long", f"{what} leaves no room to complete the program within {limit} tokens"
        flops = cursor.flops + option.least_flops
        if flops > self.language.max_flops:
            return (
                "over-cost",
                f"{what} brings the shortest completion to {flops:,} FLOPs a step at width {COST_WIDTH}, "
                f"over the cap of {self.language.max_flops:,}",
            )
        return None

    def _max_length(self, max_length: int | None) -> int:
        return self.language.max_length if max_length is None else max_length

    def _code(self, value: ValueType) -> int:
        """Return the code of a type; types that differ in causality alone share one."""
        value = ValueType(time=value.time, width=value.width)
        if value not in self._codes:
            self._codes[value] = len(self._types)
            self._types.append(value)
        return self._codes[value]

    # -- rules ---------------------------------------------------------------------------------------------

    def _structural_rule(self, prefix: Prefix, token: str) -> tuple[str, str] | None:
        """Return (rule, what is wrong) when no budget could make `token` legal here."""
        vocabulary = self.language.vocabulary
        if prefix.pending:
            op = self.language.ops[prefix.pending]
            attribute = op.attributes[len(prefix.attributes)]
            if token in attribute.tokens:
                return None
            stem = next(iter(attribute.tokens)).rsplit("_", 1)[0]
            if token in vocabulary.attribute_tokens:
                return "attribute-fits-op", f"follows {op.name}, which takes {stem}_* here"
            return "attribute-missing", f"comes before {op.name} has its {stem}_*"
        if token in vocabulary.attribute_tokens:
            return "attribute-fits-op", "follows no op that takes it"
        if token in self.language.ops:
            return self._op_rule(prefix.type, prefix.last_op, self.language.ops[token])
        return self._block_rule(prefix, token)

    def _op_rule(self, code: int, last_op: str, op: Op) -> tuple[str, str] | None:
        if op.needs_sequence and self._types[code].time == "single":
            return "needs-sequence", "needs a sequence, but the value is a single step"
        if last_op in op.no_op_after:
            return "no-op", f"changes nothing directly after {last_op}"
        return None

    def _block_rule(self, prefix: Prefix, token: str) -> tuple[str, str] | None:
        if token in BLOCK_STARTS:
            return None
        frame = prefix.frames[-1] if prefix.frames else None
        if token == END:
            if frame is not None:
                return "unclosed-block", f"inside {frame.kind}"
            if prefix.empty:
                return "empty-program", "before its first op"
            return self._width_rule(prefix.type, 0, "the program's input")
        if frame is None or token not in _closers(frame):
            what = f"{frame.kind} is open" if frame else "no block is open"
            return "block-mismatch", f"closes no open block of its kind: {what}"
        if prefix.empty:
            return "empty-block", f"closes {frame.kind}, which holds no op"
        if frame.kind == BRANCH_START:
            return None
        whose = "its block's input" if frame.first is None else "the first branch"
        return self._width_rule(prefix.type, _target(frame), whose)

    def _width_rule(self, have: int, want: int, whose: str) -> tuple[str, str] | None:
        if self._types[have].width == self._types[want].width:
            return None
        return "width-mismatch", f"at {self._types[have]}, where {whose} has {self._types[want]}"

    # -- successors ----------------------------------------------------------------------------------------

    def _find_options(self, prefix: Prefix) -> dict[str, Option]:
        options = {}
        for token in self.language.tokens:
            if self._structural_rule(prefix, token) is not None:
                continue
            if token == END:
                options[token] = Option(prefix, 0, 0, 0)
                continue
            following, flops = self._step(prefix, token)
            rest = self._completion(following)
            if rest is not None:
                tokens, least_flops = divmod(rest + _TOKEN + flops, _TOKEN)
                options[token] = Option(following, flops, tokens, least_flops)
        return options

    def _step(self, prefix: Prefix, token: str) -> tuple[Prefix, int]:
        """Return the prefix after a structurally legal token, and the FLOPs it commits."""
        if prefix.pending:
            return self._continue_op(prefix, prefix.pending, (*prefix.attributes, token))
        if token in self.language.ops:
            return self._continue_op(prefix, token, ())
        if token in BLOCK_STARTS:
            frame = Frame(token, prefix.type, prefix.last_op)
            return prefix._replace(frames=(*prefix.frames, frame), empty=True), 0
        outer, frame = prefix.frames[:-1], prefix.frames[-1]
        if token == BRANCH_SEP:
            second = frame._replace(kind=BRANCH_SEP, first=prefix.type)
            return Prefix((*outer, second), frame.entry, frame.entry_op), 0
        merged, flops = self._merge(_target(frame), prefix.type, token)
        return Prefix(outer, merged, self._remembered(_merge_op(token)), empty=False), flops

    def _continue_op(self, prefix: Prefix, name: str, attributes: tuple[str, ...]) -> tuple[Prefix, int]:
        op = self.language.ops[name]
        if len(attributes) < len(op.attributes):
            return prefix._replace(pending=name, attributes=attributes), 0
        result, flops = self._apply(prefix.type, name, attributes)
        return Prefix(prefix.frames, result, self._remembered(name), empty=False), flops

    def _find_applied(self, code: int, name: str, attributes: tuple[str, ...]) -> tuple[int, int]:
        """Return the type after an op and its FLOPs."""
        op = self.language.ops[name]
        x = self._types[code]
        values: dict[str, AttributeValue] = {
            attribute.name: attribute.tokens[token]
            for attribute, token in zip(op.attributes, attributes, strict=True)
        }
        y = op.infer((x,), values)
        w_out = y.channels(COST_WIDTH)
        resolved = {name: w_out if name == "width" else int(value) for name, value in values.items()}
        return self._code(y), op.flops(x.channels(COST_WIDTH), w_out, resolved)

    def _remembered(self, op: str) -> str:
        """Return `op` when some rule looks back at it, else a common name, so that prefixes coincide."""
        return op if op in self._looked_back_at else INPUT

    def _find_merged(self, a: int, b: int, token: str) -> tuple[int, int]:
        """Return the type after the closing `token`, and its FLOPs with those of a gate's sigmoid."""
        merged = merge_types(self._types[a], self._types[b])
        width = merged.channels(COST_WIDTH)
        ops = [_merge_op(token), *(["SIGMOID"] if token == GATE_END else [])]
        return self._code(merged), sum(self.language.ops[op].flops(width, width, {}) for op in ops)

    # -- completions ---------------------------------------------------------------------------------------

    def _find_completion(self, prefix: Prefix) -> Price | None:
        """Return the price of the shortest program on from `prefix`, the cheapest among the shortest."""
        ends = self._body_reach(prefix._replace(frames=()))
        out = self._ways_out(prefix.frames)
        return min((price + out[end] for end, price in ends.items() if end in out), default=None)

    def _find_body_reach(self, body: Prefix) -> dict[int, Price]:
        """Return the types at which the innermost body can end, each at its lowest price."""
        if body.pending:
            start = self._pending_edges(body.type, body.pending, body.attributes)
        else:
            start = {} if body.empty else {body.type: 0}
            start = _cheapest(start, self._edges(body.type, body.last_op))
        reach = dict(start)
        for code, price in start.items():
            reach = _cheapest(reach, self._edges(code, INPUT), price)
        return reach

    def _find_ways_out(self, frames: tuple[Frame, ...]) -> dict[int, Price]:
        """Return, for each type at which the innermost body may end, the price of the rest of the program."""
        if not frames:
            return {code: 0 for code in self._all_codes() if self._types[code].width == INPUT_TYPE.width}
        outside = self._ways_out(frames[:-1])
        out: dict[int, Price] = {}
        for end in self._all_codes():
            for merged, price in self._ways_to_close(frames[-1], end).items():
                onward = [outside[merged]] if merged in outside else []
                for code, more in self._edges(merged, INPUT).items():
                    if code in outside:
                        onward.append(more + outside[code])
                if onward:
                    out = _cheapest(out, {end: price + min(onward)})
        return out

    def _find_ways_to_close(self, frame: Frame, end: int) -> dict[int, Price]:
        """Return the types after closing `frame` when its body ends at `end`, each at its lowest price."""
        closed: dict[int, Price] = {}
        if frame.kind == BRANCH_START:
            for second, price in self._edges(frame.entry, frame.entry_op).items():
                rest = self._ways_to_close(frame._replace(kind=BRANCH_SEP, first=end), second)
                closed = _cheapest(closed, rest, price + _TOKEN)
            return closed
        if self._types[end].width == self._types[_target(frame)].width:
            for token in _closers(frame):
                merged, flops = self._merge(_target(frame), end, token)
                closed = _cheapest(closed, {merged: _TOKEN + flops})
        return closed

    def _all_codes(self) -> list[int]:
        """Return every type that ops can reach from the input."""
        known = 0
        while known < len(self._types):
            known = len(self._types)
            for code in range(known):
                self._edges(code, INPUT)
        return list(range(known))

    def _find_edges(self, code: int, last_op: str) -> dict[int, Price]:
        """Return the types that one op reaches from a type, each at its lowest price."""
        edges: dict[int, Price] = {}
        for op in self.language.rows:
            if op.arity == 1 and self._op_rule(code, last_op, op) is None:
                edges = _cheapest(edges, self._pending_edges(code, op.name, ()), _TOKEN)
        return edges

    def _find_pending_edges(self, code: int, name: str, attributes: tuple[str, ...]) -> dict[int, Price]:
        """Return the types that the missing attributes of an op lead to, each at its lowest price."""
        op = self.language.ops[name]
        missing = op.attributes[len(attributes) :]
        edges: dict[int, Price] = {}
        for tokens in product(*(attribute.tokens for attribute in missing)):
            end, flops = self._apply(code, name, (*attributes, *tokens))
            edges = _cheapest(edges, {end: len(missing) * _TOKEN + flops})
        return edges


def _cheapest(prices: dict[int, Price], others: dict[int, Price], extra: Price = 0) -> dict[int, Price]:
    """Return the lower price of each type, where `others` cost `extra` more."""
    result = dict(prices)
    for code, price in others.items():
        total = price + extra
        if code not in result or total < result[code]:
            result[code] = total
    return result


def _target(frame: Frame) -> int:
    """Return the type whose width the body's end must have."""
    return frame.entry if frame.first is None else frame.first


def _closers(frame: Frame) -> tuple[str, ...]:
    return tuple(MERGES) if frame.kind == BRANCH_SEP else (BLOCK_STARTS[frame.kind],)


def _merge_op(token: str) -> str:
    return {RES_END: ADD, GATE_END: MUL, **MERGES}[token]


@lru_cache(maxsize=16)
def grammar_of(language: Language) -> Grammar:
    """Return the grammar of `language`, with its caches."""
    return Grammar(language)


def legal_tokens(
    prefix: Sequence[str], max_length: int | None = None, language: Language = LANGUAGE
) -> tuple[str, ...]:
    """Return the tokens that may follow the legal `prefix`, `END` included, within `max_length` tokens.

    Each can be continued to a complete program within the length and the cost cap; there is always one.
    Tools that walk step by step use `Grammar.legal` and `Grammar.advance`, which this calls.
    """
    grammar = grammar_of(language)
    cursor = Cursor()
    for token in prefix:
        if token not in grammar.legal(cursor, max_length):
            rule = grammar.broken_rule(cursor, token, max_length)
            raise ValueError(f"the prefix is illegal itself: {rule and rule[1]}; parse() explains it in full")
        cursor = grammar.advance(cursor, token)
    return grammar.legal(cursor, max_length)
