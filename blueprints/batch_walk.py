"""Many programs walked at once: what `Grammar.legal` answers for one prefix, as masks for a batch of them.

It looks up what walk_tables.py wrote down from the rules and prices of the grammar, so there is one
definition of legality; it names no rule. Axes: N programs, n some of them, D open blocks, R registers.
"""

from typing import NamedTuple

import numpy as np

from blueprints.completion import MERGE, NEVER, TOKEN
from blueprints.grammar import grammar_of
from blueprints.language import LANGUAGE, Language
from blueprints.vocabulary import BRANCH_SEP, BRANCH_START, END, LOAD, LOOP_START, SAVE, SCAN_START
from blueprints.walk_tables import (
    APPLIES,
    CLOSES,
    ENDS,
    MODIFIES,
    OPENS,
    SEPARATES,
    TAKES_REGISTER,
    WAITS,
    Merge,
    WalkTables,
)

_BRANCH, _LOOP, _SCAN = map(WalkTables.kind, (BRANCH_START, LOOP_START, SCAN_START))
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
        self._depths = deepest = self._max_length // 2 + 2
        C, R = tables.num_types, len(language.registers.tokens)
        self.ended = np.zeros(num, bool)
        self._length = np.zeros(num, np.int64)
        self._flops = np.zeros(num, np.int64)
        # The current value and what is known of it; `held` has a bit a register, then a bit a stored state.
        self._value = np.zeros(num, np.int64)
        self._empty = np.ones(num, bool)
        self._held = np.zeros(num, np.int64)
        self._loaded = np.zeros(num, bool)
        self._modifier = np.zeros(num, np.int64)
        self._waiting = np.zeros(num, np.int64)
        self._given = np.zeros((num, max([1, *(op.arity for op in language.ops)])), np.int64)
        # Open blocks; depth 0 is the program itself.
        self._depth = np.zeros(num, np.int64)
        self._kind = np.full((num, deepest), -1)
        self._entry = np.zeros((num, deepest), np.int64)
        self._ends = np.full((num, deepest, 2), -1)
        self._frame = np.zeros((num, deepest), np.int64)
        self._times = np.ones((num, deepest), np.int64)
        # Scopes, the program's first: the depth of each, its registers, and the type of a scan's states.
        self._scope = np.zeros(num, np.int64)
        self._base = np.zeros((num, deepest), np.int64)
        self._registers = np.full((num, deepest, R), -1)
        self._state_type = np.full((num, deepest), -1)
        # Prices of the rest by the type at which the block at each depth ends, and with at most one op or two
        # before that; and whether registers may count in them.
        self._needs = np.zeros((num, deepest), bool)
        self._prices = np.full((num * deepest, 3, C), NEVER)
        if num:
            self._enter(np.arange(num), np.zeros(num, np.int64))

    def _rest(self, rows: np.ndarray, depth: np.ndarray) -> Rest:
        """Return what is known of the rest outside the blocks at some depth."""
        place = rows * self._depths + depth
        C = self._tables.num_types
        return Rest(self._prices.reshape(-1), place * 3 * C, C, self._times.reshape(-1).take(place))

    # -- masks -----------------------------------------------------------------------------------------------

    def legal(self) -> np.ndarray:
        """Return the masks `[N, V]` of the legal next tokens, the end marker included."""
        mask = np.zeros((len(self.ended), len(self._language.tokens)), bool)
        mask[self.ended, self._language.vocabulary.ids[END]] = True
        free = np.flatnonzero(~self.ended & (self._waiting == 0))
        if free.size:
            self._mark_free(mask, free)
        waiting = np.flatnonzero(~self.ended & (self._waiting > 0))
        if waiting.size:
            self._mark_waiting(mask, waiting)
        return mask

    def _fits(self, rows: np.ndarray, prices: np.ndarray) -> np.ndarray:
        """Say which prices `[n, ...]` fit what is left of the budgets."""
        shape = (-1, *(1 for _ in prices.shape[1:]))
        room = (self._max_length - self._length[rows]).reshape(shape)
        spare = (self._language.max_flops - self._flops[rows]).reshape(shape)
        tokens = (prices >> _SHIFT) & _TOKENS
        return (tokens <= room) & ((prices & _FLOPS) <= spare) & (prices < NEVER)

    def _mark(self, mask: np.ndarray, rows: np.ndarray, name: str, prices: np.ndarray) -> None:
        """Mark the token `name` in rows where its price `[n]` fits."""
        mask[rows, self._language.vocabulary.ids[name]] = self._fits(rows, prices)

    def _mark_free(self, mask: np.ndarray, rows: np.ndarray) -> None:
        """Mark what may follow where nothing waits."""
        tables, depth, value = self._tables, self._depth[rows], self._value[rows]
        rest, keys = self._rest(rows, depth), value >> 1
        tables.meet(keys)
        prices = tables.starts.cost(keys, rest.times)
        prices += rest.at(_AFTER_TWO, tables.starts.land.take(keys, 0))
        prices = np.minimum.reduceat(prices, tables.start_first, axis=1)
        mask[rows[:, None], tables.start_tokens] = self._fits(rows, prices)

        can_close = self._can_close(rows)
        here = self._price(value, can_close, rest)
        modified = np.flatnonzero(self._modifier[rows])
        if modified.size:
            some = rows[modified]
            fit = self._fits(some, here[modified] + TOKEN)
            mask[some] |= tables.modifies[self._modifier[some]] & fit[:, None]
        ending = rows[can_close & (depth == 0)]
        types = tables.type_of(self._value[ending])
        mask[ending, self._language.vocabulary.ids[END]] = tables.program_ends[types] == 0
        if self._registers.shape[2]:
            self._mark_registers(mask, rows, here, rest)
        self._mark_closers(mask, rows[can_close & (depth > 0)])

    def _mark_registers(self, mask: np.ndarray, rows: np.ndarray, here: np.ndarray, rest: Rest) -> None:
        """Mark SAVE, LOAD and merges with registers; `here` `[n]` are the prices of going on."""
        savable = self._savable(rows)
        price = np.where(savable.any(1), here, NEVER)
        needy = np.flatnonzero((here >= MERGE) & savable.any(1))
        if needy.size:
            price[needy] = self._after_save(rows[needy]).min(1)
        self._mark(mask, rows, SAVE, price + 2 * TOKEN)
        held = np.flatnonzero((self._registers[rows, self._scope[rows]] >= 0).any(1))
        if not held.size:
            return
        some, rest = rows[held], rest.some(held)
        for merge in self._tables.merges:
            fit = self._fits(some, self._through_merge(some, merge, 0, rest) + TOKEN)
            for name in merge.names:
                mask[some, self._language.vocabulary.ids[name]] = fit
        loading = some[~self._loaded[some]]
        if loading.size:
            self._mark(mask, loading, LOAD, self._after_load(loading).min(1) + 2 * TOKEN)

    def _mark_closers(self, mask: np.ndarray, rows: np.ndarray) -> None:
        """Mark what may close or separate the innermost block, which holds enough for it."""
        if not rows.size:
            return
        tables, frames, depth = self._tables, self._tables.frames, self._depth[rows]
        number, types = self._frame[rows, depth], tables.type_of(self._value[rows])
        rest, ways, ids = (
            self._rest(rows, depth - 1),
            number * tables.num_types + types,
            frames.tokens[number],
        )
        after = tables.code(frames.ways.land.take(ways, 0), tables.closing_ops[ids], 1)
        price = frames.ways.cost(ways, rest.times) + self._price(after, True, rest)
        fit = self._fits(rows, price)
        for place in range(ids.shape[1]):
            mask[rows, ids[:, place]] |= fit[:, place]
        some = rows[frames.separates[number, types]]
        if some.size:
            depth = self._depth[some]
            outer = self._rest(some, depth - 1)
            inside = self._inside(some, depth, self._separated(some), outer)
            entry = self._entry[some, depth]
            price = self._price(entry, True, Rest.of(inside, self._times[some, depth]))
            self._mark(mask, some, BRANCH_SEP, price + TOKEN)

    def _mark_waiting(self, mask: np.ndarray, rows: np.ndarray) -> None:
        """Mark what ops, blocks, moves and merges wait for."""
        tables, state = self._tables, self._waiting[rows]
        has_options = tables.has_options[state]
        chosen = rows[has_options]
        if chosen.size:
            state = state[has_options]
            rest = self._rest(chosen, self._depth[chosen])
            ways = state * tables.num_types + tables.type_of(self._value[chosen])
            price = tables.options.cost(ways, rest.times)
            price += rest.at(_AFTER_TWO, tables.options.land.take(ways, 0))
            tokens = tables.option_tokens[state]
            fit = self._fits(chosen, price.reshape(*tokens.shape, -1).min(2) + TOKEN)
            for place in range(tokens.shape[1]):
                mask[chosen, tokens[:, place]] |= fit[:, place]
        others = rows[~has_options]
        ids = self._language.vocabulary.ids
        columns = [ids[token] for token in self._language.registers.tokens]
        waiting = self._waiting[others]
        for index in np.unique(waiting).tolist():
            some = others[waiting == index]
            mask[some[:, None], columns] = self._fits(some, self._after_register(some, index) + TOKEN)

    # -- prices ----------------------------------------------------------------------------------------------

    def _can_close(self, rows: np.ndarray) -> np.ndarray:
        """Say where the innermost block holds enough to end here, types aside."""
        depth = self._depth[rows]
        later = (self._kind[rows, depth] == _BRANCH) & (self._ends[rows, depth, 0] >= 0)
        return np.where(self._is_body(rows), (self._value[rows] & 1) == 1, ~self._empty[rows] | later)

    def _is_body(self, rows: np.ndarray) -> np.ndarray:
        """Say where the innermost block is the program, a loop or a scan."""
        return self._depth[rows] == self._base[rows, self._scope[rows]]

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
        times = self._times[rows, depth]
        return self._with_registers(rows, times, self._onward(rest, times), registers)

    def _with_registers(
        self, rows: np.ndarray, times: np.ndarray, levels: np.ndarray, registers: np.ndarray | None
    ) -> np.ndarray:
        """Return prices with merges with registers where ops alone lead to no end."""
        needy = np.flatnonzero(self._tables.strands(levels[:, _AFTER_TWO]))
        if not (needy.size and self._registers.shape[2]):
            return levels
        some = rows[needy]
        held = self._registers[some, self._scope[some]] if registers is None else registers[needy]
        types, times = self._tables.type_of(held), times[needy]
        rest, better = Rest.of(levels[needy], times), levels[needy, _AT_ONCE]
        for merge in self._tables.merges:
            if merge.arity == 2:
                land = merge.land[:, types].transpose(1, 0, 2)
                flops = merge.flops[:, types].transpose(1, 0, 2) * times[:, None, None]
                price = MERGE + 2 * TOKEN + flops + rest.at(_AFTER_TWO, land)
                better = np.minimum(better, np.where(land < 0, NEVER, price).min(2))
        levels[needy] = self._onward(better, times)
        return levels

    # -- registers -------------------------------------------------------------------------------------------

    def _held_bits(self, rows: np.ndarray, first: int) -> np.ndarray:
        """Return `[n, R]` of the bits that say what holds the current value."""
        return (self._held[rows, None] >> (first + np.arange(self._registers.shape[2]))) & 1 == 1

    def _savable(self, rows: np.ndarray) -> np.ndarray:
        """Say `[n, R]` which registers the current value may be saved in."""
        num_taps, R = self._language.num_taps, self._registers.shape[2]
        open_ = ~self._held_bits(rows, 0)
        open_[:, :num_taps] &= ~self._loaded[rows, None]
        if self._language.num_states:
            state_type = self._state_type[rows, self._scope[rows]]
            types = self._tables.type_of(self._value[rows])
            fits = (state_type >= 0) & self._tables.same_width[types, state_type]
            open_[:, num_taps:] &= fits[:, None] & ~self._held_bits(rows, R)[:, num_taps:]
            open_[:, num_taps] = False
        return open_

    def _after_register(self, rows: np.ndarray, index: int) -> np.ndarray:
        """Return the prices `[n, R]` after each register that the state `index` waits for."""
        state = self._tables.waiting[index]
        assert state is not None
        if state.name == SAVE:
            return self._after_save(rows)
        if state.name == LOAD:
            return self._after_load(rows)
        merge = self._tables.merge_of[state.name]
        types = self._register_types(rows)
        if state.num_registers + 2 < merge.arity:
            rest = self._rest(rows, self._depth[rows])
            prices = [
                self._through_merge(rows, merge, state.num_registers, rest, types[:, register])
                for register in range(types.shape[1])
            ]
            return np.stack(prices, 1)
        rest = self._rest(rows, self._depth[rows])
        land, flops = self._merged(rows, merge, state.num_registers, types)
        after = self._tables.code(land, merge.op, 1)
        price = flops * rest.times[:, None] + self._price(after, True, rest)
        return np.where(land < 0, NEVER, price)

    def _after_save(self, rows: np.ndarray) -> np.ndarray:
        """Return the prices `[n, R]` after saving in each register."""
        rest, can_close, savable = (
            self._rest(rows, self._depth[rows]),
            self._can_close(rows),
            self._savable(rows),
        )
        here = self._price(self._value[rows], can_close, rest)
        prices = np.where(savable, here[:, None], NEVER)
        changing = savable & (here >= MERGE)[:, None]
        changing[:, self._language.num_taps :] = False
        registers = self._registers[rows, self._scope[rows]]
        # Saving in one empty tap or in another is the same to what follows.
        empty = registers < 0
        again = empty & (empty.cumsum(1) > 1)
        at, tap = np.nonzero(changing & ~again)
        if at.size:
            some, after = rows[at], registers[at]
            after[np.arange(len(some)), tap] = self._value[some]
            levels = self._relevel(some, after, keep=False)
            rest = Rest.of(levels, rest.times[at])
            prices[at, tap] = self._price(self._value[some], can_close[at], rest)
            same = prices[np.arange(len(rows)), empty.argmax(1)]
            prices = np.where(changing & again, same[:, None], prices)
        return prices

    def _after_load(self, rows: np.ndarray) -> np.ndarray:
        """Return the prices `[n, R]` after loading each register."""
        registers = self._registers[rows, self._scope[rows]]
        can_close = ~self._is_body(rows)[:, None] | (registers & 1 == 1)
        prices = self._price(registers, can_close, self._rest(rows, self._depth[rows]))
        return np.where((registers >= 0) & ~self._held_bits(rows, 0), prices, NEVER)

    def _register_types(self, rows: np.ndarray) -> np.ndarray:
        """Return the types `[n, R]` that registers hold, or -1."""
        return self._tables.type_of(self._registers[rows, self._scope[rows]])

    def _merged(
        self, rows: np.ndarray, merge: Merge, num_given: int, *more: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the types after a merge and its FLOPs; `more` are types `[n, ...]` beside those given."""
        shape = np.broadcast_shapes(*(types.shape for types in more))
        types = self._tables.type_of(self._value[rows])
        index = [types, *self._given[rows, :num_given].T]
        index = [np.broadcast_to(i.reshape(-1, *(1 for _ in shape[1:])), shape) for i in index]
        return merge.land[(*index, *more)], merge.flops[(*index, *more)]

    def _through_merge(
        self, rows: np.ndarray, merge: Merge, num_given: int, rest: Rest, given: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the prices `[n]` of the registers that a merge still needs, and all after it.

        `given` are types `[n]` that it has beside its first `num_given`.
        """
        types = self._register_types(rows)
        more = [types[:, :, None], types[:, None, :]] if merge.arity - num_given == 3 else [types]
        num_missing = merge.arity - 1 - num_given
        if given is not None:
            more, num_missing = [given[:, None], types], num_missing - 1
        land, flops = self._merged(rows, merge, num_given, *more)
        times = rest.times.reshape(-1, *(1 for _ in land.shape[1:]))
        price = num_missing * TOKEN + flops * times + rest.at(_AFTER_TWO, land)
        return np.where(land < 0, NEVER, price).reshape(len(rows), -1).min(1)

    # -- steps -----------------------------------------------------------------------------------------------

    def advance(self, tokens: np.ndarray) -> None:
        """Move each program on by its token of `tokens` `[N]`, which must be legal."""
        rows = np.flatnonzero(~self.ended)
        tokens = np.asarray(tokens)[rows]
        action = self._tables.action[self._waiting[rows], tokens]
        number = self._tables.number[self._waiting[rows], tokens]
        self.ended[rows[action == ENDS]] = True
        self._length[rows[action != ENDS]] += 1
        steps = {
            WAITS: self._wait,
            APPLIES: self._apply,
            MODIFIES: self._modify,
            OPENS: self._open,
            SEPARATES: self._separate,
            CLOSES: self._close,
            TAKES_REGISTER: self._take_register,
        }
        for kind, step in steps.items():
            some = np.flatnonzero(action == kind)
            if some.size:
                step(rows[some], number[some], tokens[some])

    def _wait(self, rows: np.ndarray, number: np.ndarray, tokens: np.ndarray) -> None:
        self._waiting[rows] = number
        self._modifier[rows] = 0

    def _become(self, rows: np.ndarray, value: np.ndarray) -> None:
        """Make other values the current ones, held by no register."""
        self._value[rows] = value
        self._held[rows] = 0
        self._loaded[rows] = False
        self._waiting[rows] = 0
        self._modifier[rows] = 0

    def _apply(self, rows: np.ndarray, number: np.ndarray, tokens: np.ndarray) -> None:
        tables, types = self._tables, self._tables.type_of(self._value[rows])
        self._flops[rows] += tables.made_flops[number, types] * self._times[rows, self._depth[rows]]
        self._become(rows, tables.code(tables.made[number, types], tables.made_op[number], 1))
        self._empty[rows] = False
        self._modifier[rows] = tables.made_modifier[number]

    def _modify(self, rows: np.ndarray, number: np.ndarray, tokens: np.ndarray) -> None:
        self._modifier[rows] = self._tables.modified[self._modifier[rows], tokens]

    def _open(self, rows: np.ndarray, number: np.ndarray, tokens: np.ndarray) -> None:
        tables, value = self._tables, self._value[rows]
        scoped = tables.opening_scope[number]
        self._waiting[rows] = 0
        self._modifier[rows] = 0
        self._depth[rows] += 1
        depth = self._depth[rows]
        self._kind[rows, depth] = tables.opening_kind[number]
        self._times[rows, depth] = self._times[rows, depth - 1] * tables.opening_times[number]
        self._ends[rows, depth] = -1
        self._loaded[rows] = False
        self._empty[rows] = True
        types = tables.type_of(value)
        entry = np.where(scoped, tables.opening_entry[number, types], value)
        self._entry[rows, depth] = entry
        self._become(rows[scoped], entry[scoped])
        self._open_scope(rows[scoped], tables.opening_state[number, types][scoped])
        self._enter(rows, self._frame_numbers(rows))

    def _open_scope(self, rows: np.ndarray, state_type: np.ndarray) -> None:
        self._scope[rows] += 1
        scope, depth, num_taps = self._scope[rows], self._depth[rows], self._language.num_taps
        self._base[rows, scope] = depth
        self._state_type[rows, scope] = state_type
        self._registers[rows, scope] = -1
        scans = state_type >= 0
        self._ends[rows[scans], depth[scans], 0] = state_type[scans]
        states = self._tables.code(state_type[scans], 0, 0)[:, None]
        self._registers[rows[scans], scope[scans], num_taps:] = states

    def _frame_numbers(self, rows: np.ndarray) -> np.ndarray:
        """Return the numbers of the innermost frames in the tables."""
        depth = self._depth[rows]
        kind, first, second = self._kind[rows, depth], *self._ends[rows, depth].T
        return self._number_frames(kind, self._entry[rows, depth], first, second)

    def _number_frames(
        self, kind: np.ndarray, entry: np.ndarray, first: np.ndarray, second: np.ndarray
    ) -> np.ndarray:
        """Return the numbers of frames, which mostly depend on no more than the entry's type."""
        plain = self._tables.code(self._tables.type_of(entry), 0, 0)
        entry = np.where((kind == _BRANCH) & (first < 0), entry, plain)
        return self._tables.frames.numbers(kind, np.where(first < 0, entry, 0), first, second)

    def _enter(self, rows: np.ndarray, frame: np.ndarray) -> None:
        """Work out the prices at the innermost depth, whose frame is new."""
        depth = self._depth[rows]
        self._frame[rows, depth] = frame
        self._keep(rows, depth, self._inside(rows, depth, frame, self._rest(rows, np.maximum(depth - 1, 0))))

    def _keep(self, rows: np.ndarray, depth: np.ndarray, levels: np.ndarray) -> None:
        """Remember the prices `[n, 3, C]` at some depth of the current scope."""
        inherited = (self._base[rows, self._scope[rows]] < depth) & self._needs[rows, depth - 1]
        self._needs[rows, depth] = self._tables.strands(levels[:, _AFTER_TWO]) | inherited
        self._prices[rows * self._depths + depth] = levels

    def _separated(self, rows: np.ndarray) -> np.ndarray:
        """Return the numbers of the innermost frames once their current part ends here."""
        depth, types = self._depth[rows], self._tables.type_of(self._value[rows])
        first = self._ends[rows, depth, 0]
        ends = np.where(first < 0, types, first), np.where(first < 0, -1, types)
        return self._number_frames(self._kind[rows, depth], self._entry[rows, depth], *ends)

    def _separate(self, rows: np.ndarray, number: np.ndarray, tokens: np.ndarray) -> None:
        depth, types = self._depth[rows], self._tables.type_of(self._value[rows])
        frame = self._separated(rows)
        place = (self._ends[rows, depth, 0] >= 0).astype(np.int64)
        self._ends[rows, depth, place] = types
        self._become(rows, self._entry[rows, depth])
        self._empty[rows] = True
        self._enter(rows, frame)

    def _close(self, rows: np.ndarray, number: np.ndarray, tokens: np.ndarray) -> None:
        depth, types = self._depth[rows], self._tables.type_of(self._value[rows])
        frames, frame = self._tables.frames, self._frame[rows, depth]
        place = (frames.tokens[frame] == tokens[:, None]).argmax(1)
        way = frame * self._tables.num_types + types
        land, flops = frames.ways.land[way, place], frames.ways.flops[way, place]
        self._flops[rows] += flops * self._times[rows, depth - 1]
        self._scope[rows] -= np.isin(self._kind[rows, depth], (_LOOP, _SCAN))
        self._depth[rows] -= 1
        self._become(rows, self._tables.code(land, number, 1))
        self._empty[rows] = False

    def _take_register(self, rows: np.ndarray, number: np.ndarray, tokens: np.ndarray) -> None:
        waiting = self._waiting[rows]
        for index in np.unique(waiting).tolist():
            some = np.flatnonzero(waiting == index)
            self._move(rows[some], number[some], index)

    def _move(self, rows: np.ndarray, register: np.ndarray, index: int) -> None:
        """Save, load or merge with a register, as the state `index` waits for."""
        state, scope = self._tables.waiting[index], self._scope[rows]
        assert state is not None
        self._waiting[rows] = 0
        if state.name == LOAD:
            self._value[rows] = self._registers[rows, scope, register]
            self._held[rows] = 1 << register
            self._loaded[rows] = True
            self._empty[rows] = False
        elif state.name == SAVE:
            self._save(rows, register)
        else:
            merge = self._tables.merge_of[state.name]
            self._given[rows, state.num_registers] = self._tables.type_of(
                self._registers[rows, scope, register]
            )
            if state.num_registers + 2 == merge.arity:
                self._merge(rows, merge)
            else:
                self._waiting[rows] = index + 1

    def _save(self, rows: np.ndarray, register: np.ndarray) -> None:
        self._loaded[rows] = False
        states = register >= self._language.num_taps
        R = self._registers.shape[2]
        self._held[rows] |= 1 << np.where(states, register + R, register)
        taps, register = rows[~states], register[~states]
        self._registers[taps, self._scope[taps], register] = self._value[taps]
        needy = taps[self._needs[taps, self._depth[taps]]]
        if needy.size:
            self._relevel(needy, self._registers[needy, self._scope[needy]], keep=True)

    def _merge(self, rows: np.ndarray, merge: Merge) -> None:
        given = self._given[rows, merge.arity - 2]
        land, flops = self._merged(rows, merge, merge.arity - 2, given)
        self._flops[rows] += flops * self._times[rows, self._depth[rows]]
        self._become(rows, self._tables.code(land, merge.op, 1))
        self._empty[rows] = False

    def _relevel(self, rows: np.ndarray, registers: np.ndarray, *, keep: bool) -> np.ndarray:
        """Work out the prices at all depths of the current scope with other registers; return the innermost.

        With `keep` they are remembered.
        """
        base, depth = self._base[rows, self._scope[rows]], self._depth[rows]
        levels = np.empty((len(rows), 3, self._tables.num_types), np.int64)
        for step in range(int((depth - base).max()) + 1):
            at = np.flatnonzero(base + step <= depth)
            some, deep = rows[at], base[at] + step
            outer = self._rest(some, np.maximum(deep - 1, 0))
            if step:
                outer = Rest.of(levels[at], outer.times)
            levels[at] = self._inside(some, deep, self._frame[some, deep], outer, registers[at])
            if keep:
                self._keep(some, deep, levels[at])
        return levels
