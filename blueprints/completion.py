"""What completing a prefix costs at least: fewest merges, then shortest, then cheapest.

The search may add ops and close blocks. Where these alone lead to no end (a loop over a sequence that was
pooled, a block at a width that no attribute names), it may add branch blocks, and merge once with a register
of the innermost scope; it never loads one, so it can miss a completion that only a LOAD would give. Prices
are vectors over the codes of types at which the innermost block may end. Names no rule.
"""

from functools import lru_cache
from itertools import product

import numpy as np

from blueprints.language import Language
from blueprints.prefix import Frame, Stepper, Value
from blueprints.rules import Rules
from blueprints.types import INPUT_TYPE
from blueprints.typing_table import TypingTable
from blueprints.vocabulary import BODY_ATTRIBUTES, BRANCH_SEP, BRANCH_START

#: What a completion costs in one number, `merges * MERGE + tokens * TOKEN + FLOPs`, adding and comparing in
#: that order; `merges` are branch blocks and merges with registers that the search came to need.
TOKEN = 1 << 40
MERGE = 1 << 52
#: A price that no completion has; the sum of three is still a 64-bit number.
NEVER = 1 << 61

Prices = np.ndarray


class Completion:
    """Prices of completions in one language. All of its tables are caches."""

    def __init__(self, language: Language, table: TypingTable, stepper: Stepper, rules: Rules) -> None:
        self._language = language
        self._table = table
        self._stepper = stepper
        self._rules = rules
        self._unary = tuple(op for op in language.ops if op.arity == 1)
        self.after_op = lru_cache(maxsize=None)(self._find_after_op)
        self.after_merge = lru_cache(maxsize=None)(self._find_after_merge)
        self.body = lru_cache(maxsize=None)(self._find_body)
        self._merges = lru_cache(maxsize=10_000)(self._find_merges)
        self.forks = lru_cache(maxsize=None)(self._find_forks)
        self.outside = lru_cache(maxsize=100_000)(self._find_outside)
        self.starts = lru_cache(maxsize=None)(self._find_starts)
        self.edges = lru_cache(maxsize=None)(self._find_edges)
        self._second_branches = lru_cache(maxsize=None)(self._find_second_branches)
        self._last_part = lru_cache(maxsize=20_000)(self._find_last_part)
        self._all_onward = lru_cache(maxsize=None)(self._find_all_onward)
        self._onward = lru_cache(maxsize=None)(self._find_onward)

    def _find_after_op(self, code: int, name: str, tokens: tuple[str, ...], times: int) -> Prices:
        """Return the prices from an op on: the tokens that it still needs, its FLOPs, and what may follow."""
        op = self._language.table[name]
        missing = op.required[len(tokens) :]
        best = self._never()
        for more in product(*(attribute.tokens for attribute in missing)):
            made = self._table.apply(code, name, (*tokens, *more))
            price = len(missing) * TOKEN + made.flops * times
            best = np.minimum(best, self._onward(made.type, times) + price)
        return _capped(best)

    def _find_after_merge(
        self, code: int, name: str, given: tuple[int, ...], choices: frozenset[int], times: int
    ) -> Prices:
        """Return the prices from a merge with registers on; `choices` are the types that registers hold."""
        num_missing = self._language.table[name].arity - 1 - len(given)
        best = self._never()
        for more in product(choices, repeat=num_missing):
            made = self._table.merge(name, (code, *given, *more))
            if made is not None:
                price = num_missing * TOKEN + made.flops * times
                best = np.minimum(best, self._onward(made.type, times) + price)
        return _capped(best)

    def _find_body(self, value: Value, can_close: bool, times: int) -> Prices:
        """Return the prices of the ends of the innermost block from a current value on."""
        first = self.edges(value, times)
        best = self._then_one_more(first, times)
        if can_close:
            best[value.type] = 0
        return best

    def _find_starts(self, value: Value, times: int) -> tuple[tuple[str, ...], np.ndarray]:
        """Return the ops and block starts that may follow a value, and prices `[tokens, codes]` from them."""
        ops = [op.name for op in self._unary if self._rules.op(value, op) is None]
        blocks = [token for token in self._language.blocks if self._rules.block_start(value, token) is None]
        rows = [self.after_op(value.type, name, (), times) + TOKEN for name in ops]
        rows += [self._find_after_block(value, token, times) for token in blocks]
        return (*ops, *blocks), np.stack(rows)

    def _find_after_block(self, value: Value, token: str, times: int) -> Prices:
        """Return the prices from a block's start on, its body and end included."""
        ends = self.any_block_ends(value, token, times)
        return _capped((self._all_onward(times) + ends[:, None]).min(0))

    def any_block_ends(self, value: Value, token: str, times: int) -> Prices:
        """Return the prices of the types right after a block, its start and any setting included."""
        settings: tuple[str | None, ...] = (
            tuple(self._language.settings[token].tokens) if token in BODY_ATTRIBUTES else (None,)
        )
        ends = [self.block_ends(value, token, setting, times) for setting in settings]
        return np.minimum.reduce(ends) + (1 + (token in BODY_ATTRIBUTES)) * TOKEN

    def block_ends(self, value: Value, token: str, setting: str | None, times: int) -> Prices:
        """Return the prices of the types right after a block from the start of its body on."""
        frame = self._stepper.frame(token, value, setting, times)
        body = self.body(frame.entry, False, frame.times)
        return _capped((self.closings(frame, times) + body[:, None]).min(0))

    def _find_outside(self, frames: tuple[Frame, ...], scopes: tuple[frozenset[int], ...]) -> Prices:
        """Return, for each type at which the innermost block may end, the price of the rest of the program.

        `scopes` are the types that registers hold, in the innermost scope last.
        """
        times = frames[-1].times if frames else 1
        if not frames:
            prices = self.program_ends()
        else:
            outer, frame = frames[:-1], frames[-1]
            outer_times = outer[-1].times if outer else 1
            rest = self.outside(outer, scopes[:-1] if frame.kind in BODY_ATTRIBUTES else scopes)
            onward = _capped((self._all_onward(outer_times) + rest).min(1))
            prices = _capped((self.closings(frame, outer_times) + onward).min(1))
        prices = self._with_forks(prices, times)
        if not scopes[-1]:
            return prices
        onward = _capped((self._all_onward(times) + prices).min(1))
        merged = np.minimum(prices, _capped((self._merges(scopes[-1], times) + onward).min(1)))
        return self._with_forks(merged, times)

    def _with_forks(self, prices: Prices, times: int) -> Prices:
        """Return the prices of the rest with branch blocks before it where ops alone lead to no end."""
        while True:
            onward = _capped((self._all_onward(times) + prices).min(1))
            if (onward < MERGE).all():
                return prices
            better = np.minimum(prices, _capped((self.forks(times) + onward).min(1)))
            if np.array_equal(better, prices):
                return prices
            prices = better

    def _find_forks(self, times: int) -> np.ndarray:
        """Return the prices `[codes, codes]` of turning one type into another by a branch block."""
        if BRANCH_START not in self._language.blocks:
            return np.full((len(self._table), len(self._table)), NEVER, np.int64)
        values = (Value(code) for code in range(len(self._table)))
        return _capped(np.stack([self.any_block_ends(v, BRANCH_START, times) for v in values]) + MERGE)

    def program_ends(self) -> Prices:
        """Return the prices of ending the program: nothing at the width of its input."""
        widths = [self._table[code].width == INPUT_TYPE.width for code in range(len(self._table))]
        return np.where(widths, 0, NEVER)

    def _find_merges(self, choices: frozenset[int], times: int) -> np.ndarray:
        """Return the prices `[codes, codes]` of turning one type into another by a merge with a register."""
        prices = np.full((len(self._table), len(self._table)), NEVER, np.int64)
        pairs = [op.name for op in self._language.ops if op.arity == 2]
        for name, code, choice in product(pairs, range(len(self._table)), choices):
            made = self._table.merge(name, (code, choice))
            if made is not None:
                price = MERGE + 2 * TOKEN + made.flops * times
                prices[code, made.type] = min(prices[code, made.type], price)
        return prices

    def closings(self, frame: Frame, times: int) -> np.ndarray:
        """Return the prices `[codes, codes]` of closing `frame` from an end to a type after it."""
        if frame.kind == BRANCH_START and not frame.ends:
            second = self.body(frame.entry, True, frame.times) + TOKEN
            return _capped((self._second_branches(times) + second[:, None]).min(1))
        return self._last_part(frame.kind, frame.entry.type, frame.ends, times)

    def _find_second_branches(self, times: int) -> np.ndarray:
        """Return the prices `[codes, codes, codes]` of closing after a second branch, by first ends."""
        ends = range(len(self._table))
        return np.stack([self._last_part(BRANCH_START, 0, (end,), times) for end in ends])

    def _find_last_part(self, kind: str, entry: int, ends: tuple[int, ...], times: int) -> np.ndarray:
        """Return the prices `[codes, codes]` of closing a block without another branch."""
        frame = Frame(kind, Value(entry), ends)
        tokens = [token for token in self._rules.closers(frame.kind, frame.part) if token != BRANCH_SEP]
        prices = np.full((len(self._table), len(self._table)), NEVER, np.int64)
        for end in range(len(self._table)):
            for token in tokens:
                closed = self._stepper.closed(frame, end, token)
                if closed is not None:
                    prices[end, closed[0]] = min(prices[end, closed[0]], TOKEN + closed[1] * times)
        return prices

    def _find_edges(self, value: Value, times: int) -> Prices:
        """Return the prices of the types that one op reaches from a value."""
        best = self._never()
        for op in self._unary:
            if self._rules.op(value, op) is not None:
                continue
            for tokens in product(*(attribute.tokens for attribute in op.required)):
                made = self._table.apply(value.type, op.name, tokens)
                price = (1 + len(tokens)) * TOKEN + made.flops * times
                best[made.type] = min(best[made.type], price)
        return best

    def _find_onward(self, code: int, times: int) -> Prices:
        """Return the prices of the types that at most two ops reach from a made value, whatever made it."""
        best = self._then_one_more(self.edges(Value(code), times), times)
        best[code] = 0
        return best

    def _find_all_onward(self, times: int) -> np.ndarray:
        return np.stack([self._onward(code, times) for code in range(len(self._table))])

    def _then_one_more(self, first: Prices, times: int) -> Prices:
        """Return the prices of the types that one op more, or none, reaches."""
        best = first.copy()
        for code in np.flatnonzero(first < NEVER):
            best = np.minimum(best, self.edges(Value(int(code)), times) + first[code])
        return _capped(best)

    def _never(self) -> Prices:
        return np.full(len(self._table), NEVER, np.int64)


def _capped(prices: Prices) -> Prices:
    return np.minimum(prices, NEVER)
