"""The one definition of legality: which tokens may follow a prefix; builds no graph and no module.

A token is legal when no rule (rules.py) forbids it *and* the shortest completion after it (completion.py)
fits the budgets, so a walk over legal tokens never meets a dead end. Where only a LOAD could complete a
program within the budgets, the tokens before it are refused. `BatchWalk` (batch_walk.py) gives the same
answers for many prefixes at once.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from blueprints.completion import MERGE, NEVER, TOKEN, Completion
from blueprints.language import COST_WIDTH, LANGUAGE, Language
from blueprints.prefix import Prefix, Registers, Stepper
from blueprints.rules import Broken, Rules
from blueprints.vocabulary import END, LOAD, SAVE
from blueprints.walk_tables import WalkTables


class Cursor(NamedTuple):
    """A prefix and what it spent: its tokens, and forward FLOPs of a time step in a host of width 16."""

    prefix: Prefix
    length: int = 0
    flops: int = 0


class Option(NamedTuple):
    """The cheapest way on through a structurally legal token.

    Attributes:
        tokens: tokens from it to the end of that program, itself included.
        flops: FLOPs of that program, its own included.
    """

    tokens: int
    flops: int


class Grammar:
    """Walks programs of one language. All of its tables are caches; it holds no state of a walk."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._table = language.typing
        self._stepper = Stepper(language, self._table)
        self._rules = Rules(language, self._table, self._stepper)
        self._completion = Completion(language, self._table, self._stepper, self._rules)
        self._unary = frozenset(op.name for op in language.ops if op.arity == 1)
        self._merging = tuple(op for op in language.ops if op.arity > 1)
        self._options = lru_cache(maxsize=200_000)(self._find_options)
        self._step = lru_cache(maxsize=200_000)(self._stepper.step)
        self._start = Cursor(self._stepper.start())

    @cached_property
    def walk_tables(self) -> WalkTables:
        """The same answers as arrays, for `BatchWalk`."""
        return WalkTables(self.language, self._stepper, self._completion, self._rules)

    def start(self) -> Cursor:
        """Return the cursor of the empty prefix."""
        return self._start

    def legal(self, cursor: Cursor, max_length: int | None = None) -> tuple[str, ...]:
        """Return the legal next tokens, `END` included, in the order of the vocabulary."""
        room = self._max_length(max_length) - cursor.length
        spare = self.language.max_flops - cursor.flops
        return tuple(
            token
            for token, (tokens, flops) in self._options(cursor.prefix).items()
            if tokens <= room and flops <= spare
        )

    def advance(self, cursor: Cursor, token: str) -> Cursor:
        """Return the cursor after `token`, which must be legal and not `END`."""
        step = self._step(cursor.prefix, token)
        return Cursor(step.prefix, cursor.length + 1, cursor.flops + step.flops)

    def shortest(self, cursor: Cursor) -> int:
        """Return how many more tokens the shortest completion takes."""
        return min(option.tokens for option in self._options(cursor.prefix).values())

    def broken_rule(
        self, cursor: Cursor, token: str, max_length: int | None = None
    ) -> tuple[str, str] | None:
        """Return (rule, reason) when `token` is illegal at `cursor`, else None."""
        if token not in self.language.vocabulary.ids:
            return "unknown-token", f"{token!r} (token {cursor.length}) is not in the vocabulary"
        broken: Broken | None = self._rules.broken(cursor.prefix, token)
        what = "the program ends" if token == END else f"{token} (token {cursor.length})"
        if broken is not None:
            return broken[0], f"{what} {broken[1]}"
        limit = self._max_length(max_length)
        option = self._options(cursor.prefix).get(token)
        if option is None or cursor.length + option.tokens > limit:
            return "too-long", f"{what} leaves no room to complete the program within {limit} tokens"
        flops = cursor.flops + option.flops
        if flops > self.language.max_flops:
            return (
                "over-cost",
                f"{what} brings the shortest completion to {flops:,} FLOPs a step at width {COST_WIDTH}, "
                f"over the cap of {self.language.max_flops:,}",
            )
        return None

    def _max_length(self, max_length: int | None) -> int:
        return self.language.max_length if max_length is None else max_length

    # -- options -------------------------------------------------------------------------------------------

    def _find_options(self, prefix: Prefix) -> dict[str, Option]:
        """Return every token that some budget allows, in the order of the vocabulary."""
        ways = self._operand_ways(prefix) if prefix.pending else self._free_ways(prefix)
        ids = self.language.vocabulary.ids
        known = sorted((ids[token], token, int(price) % MERGE) for token, price in ways if price < NEVER)
        return {token: Option(*divmod(price, TOKEN)) for _, token, price in known}

    def _operand_ways(self, prefix: Prefix) -> Iterator[tuple[str, int]]:
        """Yield the tokens that the pending op, block or move takes, each with the price from it on."""
        name, times = prefix.pending, prefix.times
        wanted = [t for t in self._rules.operands(prefix) if self._rules.broken(prefix, t) is None]
        if name in self._unary:
            outside = self._outside(prefix)
            for token in wanted:
                tokens = (*prefix.attributes, token)
                after = self._completion.after_op(prefix.value.type, name, tokens, times)
                yield token, TOKEN + int((after + outside).min())
            return
        for token in wanted:
            step = self._step(prefix, token)
            rest = self._merge_price(step.prefix, name) if step.prefix.pending else self._price(step.prefix)
            yield token, TOKEN + step.flops + rest

    def _free_ways(self, prefix: Prefix) -> Iterator[tuple[str, int]]:
        """Yield the tokens that may follow when nothing is pending, each with the price from it on."""
        rules, completion, times = self._rules, self._completion, prefix.times
        outside = self._outside(prefix)
        starts, prices = completion.starts(prefix.value, times)
        yield from zip(starts, (prices + outside).min(1).tolist(), strict=True)
        for op in self._merging:
            yield op.name, TOKEN + self._merge_price(prefix, op.name)
        here = self._price(prefix)
        for token in rules.optional(prefix):
            yield token, TOKEN + here
        yield SAVE, self._save_price(prefix)
        yield LOAD, self._load_price(prefix)
        if prefix.frames:
            frame = prefix.frames[-1]
            for token in rules.closers(frame.kind, frame.part):
                if rules.broken(prefix, token) is None:
                    step = self._step(prefix, token)
                    yield token, TOKEN + step.flops + self._price(step.prefix)
        elif rules.broken(prefix, END) is None:
            yield END, 0

    def _price(self, prefix: Prefix) -> int:
        """Return the price of the shortest completion, the cheapest among the shortest."""
        body = self._completion.body(prefix.value, prefix.can_close, prefix.times)
        return int((body + self._outside(prefix)).min())

    def _save_price(self, prefix: Prefix) -> int:
        """Return the price of saving into the best register."""
        registers = self._rules.savable(prefix)
        here = self._price(prefix)
        if registers and here < MERGE:
            return 2 * TOKEN + here
        pending = self._step(prefix, SAVE).prefix
        after = {self._step(pending, token).prefix._replace(held=frozenset()) for token in registers}
        return 2 * TOKEN + min(map(self._price, after), default=NEVER)

    def _load_price(self, prefix: Prefix) -> int:
        """Return the price of loading the best register."""
        indices = self.language.vocabulary.registers
        values = {prefix.registers[indices[token]] for token in self._rules.loadable(prefix)}
        after = (prefix._replace(value=value, empty=False) for value in values if value is not None)
        return 2 * TOKEN + min(map(self._price, after), default=NEVER)

    def _outside(self, prefix: Prefix) -> np.ndarray:
        """Return, for each type at which the innermost block may end, the price of the rest."""
        return self._completion.outside(prefix.frames, (*map(_held, prefix.scopes), _held(prefix.registers)))

    def _merge_price(self, prefix: Prefix, name: str) -> int:
        """Return the price from the next register of a merge on, whose first ones may be given."""
        choices = _held(prefix.registers)
        if not choices:
            return NEVER
        given = self._stepper.register_types(prefix, prefix.attributes if prefix.pending else ())
        after = self._completion.after_merge(prefix.value.type, name, given, choices, prefix.times)
        return int(np.min(after + self._outside(prefix)))


@lru_cache(maxsize=100_000)
def _held(registers: Registers) -> frozenset[int]:
    """Return the types that registers hold."""
    return frozenset(value.type for value in registers if value is not None)


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
    cursor = grammar.start()
    for token in prefix:
        if token not in grammar.legal(cursor, max_length):
            rule = grammar.broken_rule(cursor, token, max_length)
            raise ValueError(f"the prefix is illegal itself: {rule and rule[1]}; parse() explains it in full")
        cursor = grammar.advance(cursor, token)
    return grammar.legal(cursor, max_length)
