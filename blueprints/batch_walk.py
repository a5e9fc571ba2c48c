"""Many programs walked at once: what `Grammar.legal` answers for one prefix, as masks for a batch of them.

It looks up what walk_tables.py wrote down from the rules and prices of the grammar, so there is one
definition of legality. Axes: N programs, n some of them, C types, R registers, V tokens.
"""

from typing import NamedTuple

import numpy as np

from blueprints.completion import MERGE, NEVER, TOKEN
from blueprints.grammar import grammar_of
from blueprints.language import LANGUAGE, Language
from blueprints.vocabulary import BRANCH_SEP, END, LOAD, SAVE
from blueprints.walk_state import WalkState
from blueprints.walk_tables import Merge

#: Where the tokens of a price begin, and which bits are its FLOPs.
_SHIFT, _TOKENS, _FLOPS = TOKEN.bit_length() - 1, MERGE // TOKEN - 1, TOKEN - 1
#: The rest of a program from where a block ends, and from at most one op before that, or two.
_AT_ONCE, _AFTER_ONE, _AFTER_TWO = range(3)


class Rest(NamedTuple):
    """What the rest of some programs costs, by the type at which a block of theirs ends.

    Attributes:
        prices: any number of prices.
        start: `[n]` where the prices `[3, C]` of each program begin.
        num_types: C.
        times: `[n]` how often a step inside the block runs.
    """

    prices: np.ndarray
    start: np.ndarray
    num_types: int
    times: np.ndarray

    @classmethod
    def of(cls, levels: np.ndarray, times: np.ndarray) -> "Rest":
        """Return what `[n, 3, C]` prices say."""
        start = np.arange(len(levels)) * 3 * levels.shape[2]
        return cls(levels.ravel(), start, levels.shape[2], times)

    def at(self, ops: int, codes: np.ndarray) -> np.ndarray:
        """Return the prices at types `[n, ...]` after at most `ops` ops; at a type below 0, any price."""
        start = (self.start + ops * self.num_types).reshape(-1, *(1 for _ in codes.shape[1:]))
        return self.prices.take(start + codes, mode="clip")

    def some(self, rows: np.ndarray) -> "Rest":
        """Return it for some of the programs."""
        return self._replace(start=self.start[rows], times=self.times[rows])


class BatchWalk:
    """Prefixes of `num` programs; a program that took its end marker may only take it again.

    Attributes:
        ended: `[N]` which programs are complete.
    """

    def __init__(self, num: int, language: Language = LANGUAGE, max_length: int | None = None) -> None:
        self._tables = tables = grammar_of(language).walk_tables
        self._language = language
        self._max_length = language.max_length if max_length is None else max_length
        self._ids = language.vocabulary.ids
        self._registers = [self._ids[token] for token in language.registers.tokens]
        self._state = WalkState(num, tables, self._max_length)
        # Prices of the rest by the type at which the block at each depth ends, and with at most one op or two
        # before that; and whether registers may count in them.
        self._needs = np.zeros((num, self._state.num_depths), bool)
        self._prices = np.full((num * self._state.num_depths, 3, tables.num_types), NEVER)
        if num:
            self._enter(np.arange(num))

    @property
    def ended(self) -> np.ndarray:
        """`[N]` which programs are complete."""
        return self._state.ended

    def _rest(self, rows: np.ndarray, depth: np.ndarray) -> Rest:
        """Return what is known of the rest outside the blocks at some depth."""
        place = rows * self._state.num_depths + depth
        C = self._tables.num_types
        return Rest(self._prices.reshape(-1), place * 3 * C, C, self._state.times.reshape(-1).take(place))

    # -- masks -----------------------------------------------------------------------------------------------

    def legal(self) -> np.ndarray:
        """Return the masks `[N, V]` of the legal next tokens, the end marker included."""
        state = self._state
        prices = np.full((len(state.ended), len(self._ids)), NEVER)
        active = np.flatnonzero(~state.ended)
        waits = state.waiting[active] > 0
        if not waits.all():
            self._price_free(prices, active[~waits])
        if waits.any():
            self._price_waiting(prices, active[waits])
        mask = np.zeros(prices.shape, bool)
        mask[state.ended, self._ids[END]] = True
        mask[active] = self._fits(active, prices[active])
        return mask

    def _fits(self, rows: np.ndarray, prices: np.ndarray) -> np.ndarray:
        """Say which prices `[n, V]` fit what is left of the budgets."""
        room = self._max_length - self._state.length[rows, None]
        spare = self._language.max_flops - self._state.flops[rows, None]
        tokens = (prices >> _SHIFT) & _TOKENS
        return (tokens <= room) & ((prices & _FLOPS) <= spare) & (prices < NEVER)

    def _price_free(self, prices: np.ndarray, rows: np.ndarray) -> None:
        """Write down what the tokens cost that may follow where nothing waits."""
        tables, state = self._tables, self._state
        depth, value, can_close = state.depth[rows], state.value[rows], state.can_close(rows)
        rest, keys = self._rest(rows, depth), value >> 1
        tables.meet(keys)
        price = tables.starts.cost(keys, rest.times)
        price += rest.at(_AFTER_TWO, tables.starts.land.take(keys, 0))
        prices[rows[:, None], tables.start_tokens] = np.minimum.reduceat(price, tables.start_first, axis=1)
        here = self._price(value, can_close, rest)
        modified = np.flatnonzero(state.modifier[rows])
        if modified.size:
            some = rows[modified]
            at, token = np.nonzero(tables.modifies[state.modifier[some]])
            prices[some[at], token] = here[modified[at]] + TOKEN
        ending = rows[can_close & (depth == 0)]
        prices[ending, self._ids[END]] = tables.program_ends[tables.type_of(state.value[ending])]
        if self._registers:
            self._price_registers(prices, rows, here, rest)
        closing = rows[can_close & (depth > 0)]
        if closing.size:
            self._price_closers(prices, closing)

    def _price_registers(self, prices: np.ndarray, rows: np.ndarray, here: np.ndarray, rest: Rest) -> None:
        """Write down what SAVE, LOAD and merges cost; `here` `[n]` are the prices of going on."""
        savable = self._state.savable(rows).any(1)
        price = np.where(savable, here, NEVER)
        needy = np.flatnonzero(savable & (here >= MERGE))
        if needy.size:
            price[needy] = self._after_save(rows[needy]).min(1)
        prices[rows, self._ids[SAVE]] = price + 2 * TOKEN
        held = np.flatnonzero((self._state.registers[rows, self._state.scope[rows]] >= 0).any(1))
        if not held.size:
            return
        some, rest = rows[held], rest.some(held)
        for merge in self._tables.merges:
            price = self._through_merge(some, merge, 0, rest) + TOKEN
            for name in merge.names:
                prices[some, self._ids[name]] = price
        loading = some[~self._state.loaded[some]]
        if loading.size:
            prices[loading, self._ids[LOAD]] = self._after_load(loading).min(1) + 2 * TOKEN

    def _price_closers(self, prices: np.ndarray, rows: np.ndarray) -> None:
        """Write down what it costs to close or separate the innermost block, which holds enough for it."""
        tables, frames, state = self._tables, self._tables.frames, self._state
        depth, types = state.depth[rows], tables.type_of(state.value[rows])
        number = state.frame[rows, depth]
        ways, tokens, rest = (
            number * tables.num_types + types,
            frames.tokens[number],
            self._rest(rows, depth - 1),
        )
        after = tables.code(frames.ways.land.take(ways, 0), tables.closing_ops[tokens], 1)
        price = frames.ways.cost(ways, rest.times) + self._price(after, True, rest)
        for place in range(tokens.shape[1]):
            prices[rows, tokens[:, place]] = price[:, place]
        some = rows[frames.separates[number, types]]
        if some.size:
            depth = state.depth[some]
            inside = self._inside(some, depth, state.separated(some), self._rest(some, depth - 1))
            rest = Rest.of(inside, state.times[some, depth])
            prices[some, self._ids[BRANCH_SEP]] = self._price(state.entry[some, depth], True, rest) + TOKEN

    def _price_waiting(self, prices: np.ndarray, rows: np.ndarray) -> None:
        """Write down what the tokens cost that ops, blocks, moves and merges wait for."""
        tables, waiting = self._tables, self._state.waiting[rows]
        has_options = tables.has_options[waiting]
        some, kind = rows[has_options], waiting[has_options]
        if some.size:
            rest = self._rest(some, self._state.depth[some])
            ways = kind * tables.num_types + tables.type_of(self._state.value[some])
            price = tables.options.cost(ways, rest.times)
            price += rest.at(_AFTER_TWO, tables.options.land.take(ways, 0))
            tokens = tables.option_tokens[kind]
            price = price.reshape(*tokens.shape, -1).min(2) + TOKEN
            for place in range(tokens.shape[1]):
                prices[some, tokens[:, place]] = price[:, place]
        others, kind = rows[~has_options], waiting[~has_options]
        for index in np.unique(kind).tolist():
            some = others[kind == index]
            prices[some[:, None], self._registers] = self._after_register(some, index) + TOKEN

    # -- prices ----------------------------------------------------------------------------------------------

    def _price(self, value: np.ndarray, can_close: np.ndarray | bool, rest: Rest) -> np.ndarray:
        """Return the prices of going on from values `[n, ...]`: of at least one op, or of closing at once."""
        tables = self._tables
        value = np.maximum(value, 0)
        keys = (value >> 1).ravel()
        tables.meet(keys)
        times = rest.times if value.ndim == 1 else np.repeat(rest.times, value.shape[1])
        shape = (*value.shape, tables.edges.land.shape[1])
        price = tables.edges.cost(keys, times).reshape(shape)
        price += rest.at(_AFTER_ONE, tables.edges.land.take(keys, 0).reshape(shape))
        at_once = rest.at(_AT_ONCE, tables.type_of(value))
        return np.minimum(price.min(-1), np.where(can_close, at_once, NEVER))

    def _onward(self, rest: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return the prices `[n, 3, C]` with at most no op, one or two before a rest `[n, C]`."""
        tables = self._tables
        levels = np.empty((len(rest), 3, tables.num_types), np.int64)
        levels[:, _AT_ONCE] = rest
        cost = tables.plain_edges.once + tables.plain_edges.flops * (times[:, None, None] - 1)
        for ops in (_AFTER_ONE, _AFTER_TWO):
            after = levels[:, ops - 1].take(tables.plain_edges.land, 1)
            after += cost
            np.minimum(rest, after.min(2), out=levels[:, ops])
        return levels

    def _inside(
        self,
        rows: np.ndarray,
        depth: np.ndarray,
        frame: np.ndarray,
        outer: Rest,
        registers: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the prices `[n, 3, C]` of the rest inside frames, the program itself at depth 0.

        `registers` are the rows' current ones without them.
        """
        tables, frames = self._tables, self._tables.frames
        ends = np.arange(tables.num_types)
        rest = np.empty((len(rows), tables.num_types), np.int64)
        first = frames.has_parts[frame]
        for some, ways in ((np.flatnonzero(~first), frames.ways), (np.flatnonzero(first), frames.parts)):
            if some.size:
                inner = outer.some(some)
                at = (frame[some, None] * tables.num_types + ends).ravel()
                shape = (len(some), len(ends), ways.land.shape[1])
                price = ways.cost(at, np.repeat(inner.times, len(ends))).reshape(shape)
                price += inner.at(_AFTER_TWO, ways.land.take(at, 0).reshape(shape))
                rest[some] = np.minimum(price.min(2), NEVER)
        rest[depth == 0] = tables.program_ends
        times = self._state.times[rows, depth]
        return self._with_merges(rows, times, self._onward(rest, times), registers)

    def _with_merges(
        self, rows: np.ndarray, times: np.ndarray, levels: np.ndarray, registers: np.ndarray | None
    ) -> np.ndarray:
        """Return prices with branch blocks and merges with registers where ops alone lead to no end."""
        needy = np.flatnonzero(self._tables.strands(levels[:, _AFTER_TWO]))
        if not needy.size:
            return levels
        some, times = rows[needy], times[needy]
        forked = self._with_forks(levels[needy], times)
        if self._registers:
            held = registers[needy] if registers is not None else None
            if held is None:
                held = self._state.registers[some, self._state.scope[some]]
            forked = self._with_forks(self._with_registers(forked, times, held), times)
        levels[needy] = forked
        return levels

    def _with_forks(self, levels: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return prices with branch blocks before the rest."""
        forks = np.empty((len(levels), levels.shape[2], levels.shape[2]), np.int64)
        for often in np.unique(times).tolist():
            forks[times == often] = self._tables.forks(often)
        while True:
            after = (forks + levels[:, _AFTER_TWO, None]).min(2)
            better = np.minimum(levels[:, _AT_ONCE], np.minimum(after, NEVER))
            if np.array_equal(better, levels[:, _AT_ONCE]):
                return levels
            levels = self._onward(better, times)

    def _with_registers(self, levels: np.ndarray, times: np.ndarray, held: np.ndarray) -> np.ndarray:
        """Return prices with a merge with one of the registers `[n, R]` before the rest."""
        types, rest, better = self._tables.type_of(held), Rest.of(levels, times), levels[:, _AT_ONCE]
        for merge in self._tables.merges:
            if merge.arity == 2:
                land = merge.land[:, types].transpose(1, 0, 2)
                flops = merge.flops[:, types].transpose(1, 0, 2) * times[:, None, None]
                price = MERGE + 2 * TOKEN + flops + rest.at(_AFTER_TWO, land)
                better = np.minimum(better, np.where(land < 0, NEVER, price).min(2))
        return self._onward(better, times)

    # -- registers -------------------------------------------------------------------------------------------

    def _after_register(self, rows: np.ndarray, index: int) -> np.ndarray:
        """Return the prices `[n, R]` after each register that the state `index` waits for."""
        state = self._tables.waiting[index]
        assert state is not None
        if state.name == SAVE:
            return self._after_save(rows)
        if state.name == LOAD:
            return self._after_load(rows)
        merge = self._tables.merge_of[state.name]
        types = self._state.register_types(rows)
        if state.num_registers + 2 < merge.arity:
            rest = self._rest(rows, self._state.depth[rows])
            prices = [
                self._through_merge(rows, merge, state.num_registers, rest, types[:, register])
                for register in range(types.shape[1])
            ]
            return np.stack(prices, 1)
        rest = self._rest(rows, self._state.depth[rows])
        land, flops = self._state.merged(rows, merge, state.num_registers, types)
        after = self._tables.code(land, merge.op, 1)
        price = flops * rest.times[:, None] + self._price(after, True, rest)
        return np.where(land < 0, NEVER, price)

    def _after_save(self, rows: np.ndarray) -> np.ndarray:
        """Return the prices `[n, R]` after saving in each register."""
        rest, can_close, savable = (
            self._rest(rows, self._state.depth[rows]),
            self._state.can_close(rows),
            self._state.savable(rows),
        )
        here = self._price(self._state.value[rows], can_close, rest)
        prices = np.where(savable, here[:, None], NEVER)
        changing = savable & (here >= MERGE)[:, None]
        changing[:, self._language.num_taps :] = False
        registers = self._state.registers[rows, self._state.scope[rows]]
        # Saving in one empty tap or in another is the same to what follows.
        empty = registers < 0
        again = empty & (empty.cumsum(1) > 1)
        at, tap = np.nonzero(changing & ~again)
        if at.size:
            some, after = rows[at], registers[at]
            after[np.arange(len(some)), tap] = self._state.value[some]
            levels = self._relevel(some, after, keep=False)
            rest = Rest.of(levels, rest.times[at])
            prices[at, tap] = self._price(self._state.value[some], can_close[at], rest)
            same = prices[np.arange(len(rows)), empty.argmax(1)]
            prices = np.where(changing & again, same[:, None], prices)
        return prices

    def _after_load(self, rows: np.ndarray) -> np.ndarray:
        """Return the prices `[n, R]` after loading each register."""
        registers = self._state.registers[rows, self._state.scope[rows]]
        can_close = ~self._state.is_body(rows)[:, None] | (registers & 1 == 1)
        prices = self._price(registers, can_close, self._rest(rows, self._state.depth[rows]))
        return np.where((registers >= 0) & ~self._state.held_bits(rows, 0), prices, NEVER)

    def _through_merge(
        self, rows: np.ndarray, merge: Merge, num_given: int, rest: Rest, given: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the prices `[n]` of the registers that a merge still needs, and all after it.

        `given` are types `[n]` that it has beside its first `num_given`.
        """
        types = self._state.register_types(rows)
        more = [types[:, :, None], types[:, None, :]] if merge.arity - num_given == 3 else [types]
        num_missing = merge.arity - 1 - num_given
        if given is not None:
            more, num_missing = [given[:, None], types], num_missing - 1
        land, flops = self._state.merged(rows, merge, num_given, *more)
        times = rest.times.reshape(-1, *(1 for _ in land.shape[1:]))
        price = num_missing * TOKEN + flops * times + rest.at(_AFTER_TWO, land)
        return np.where(land < 0, NEVER, price).reshape(len(rows), -1).min(1)

    # -- steps -----------------------------------------------------------------------------------------------

    def advance(self, tokens: np.ndarray) -> None:
        """Move each program on by its token of `tokens` `[N]`, which must be legal."""
        entered, saved = self._state.advance(tokens)
        if entered.size:
            self._enter(entered)
        needy = saved[self._needs[saved, self._state.depth[saved]]]
        if needy.size:
            self._relevel(needy, self._state.registers[needy, self._state.scope[needy]], keep=True)

    def _enter(self, rows: np.ndarray) -> None:
        """Work out the prices at the innermost depth, whose frame is new."""
        depth = self._state.depth[rows]
        frame, outer = self._state.frame[rows, depth], self._rest(rows, np.maximum(depth - 1, 0))
        self._keep(rows, depth, self._inside(rows, depth, frame, outer))

    def _keep(self, rows: np.ndarray, depth: np.ndarray, levels: np.ndarray) -> None:
        """Remember the prices `[n, 3, C]` at some depth of the current scope."""
        inherited = (self._state.base[rows, self._state.scope[rows]] < depth) & self._needs[rows, depth - 1]
        self._needs[rows, depth] = self._tables.strands(levels[:, _AFTER_TWO]) | inherited
        self._prices[rows * self._state.num_depths + depth] = levels

    def _relevel(self, rows: np.ndarray, registers: np.ndarray, *, keep: bool) -> np.ndarray:
        """Work out the prices at all depths of the current scope with other registers; return the innermost.

        With `keep` they are remembered.
        """
        base, depth = self._state.base[rows, self._state.scope[rows]], self._state.depth[rows]
        levels = np.empty((len(rows), 3, self._tables.num_types), np.int64)
        for step in range(int((depth - base).max()) + 1):
            at = np.flatnonzero(base + step <= depth)
            some, deep = rows[at], base[at] + step
            outer = self._rest(some, np.maximum(deep - 1, 0))
            if step:
                outer = Rest.of(levels[at], outer.times)
            levels[at] = self._inside(some, deep, self._state.frame[some, deep], outer, registers[at])
            if keep:
                self._keep(some, deep, levels[at])
        return levels
