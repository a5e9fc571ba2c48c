"""What is remembered of many prefixes, as arrays, and how legal tokens change them; prices nothing.

The counterpart of prefix.py for `BatchWalk`. Axes: N programs, n some of them, D open blocks, R registers.
"""

import numpy as np

from blueprints.graph import STATE
from blueprints.vocabulary import BRANCH_START, LOAD, LOOP_START, SAVE, SCAN_START
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


class WalkState:
    """Prefixes of N programs.

    Attributes:
        ended: `[N]` which took their end marker.
        length: `[N]` tokens so far.
        flops: `[N]` FLOPs committed.
        value: `[N]` the current value, as an integer of the tables.
        empty: `[N]` whether the innermost block, branch or program has no op yet.
        held: `[N]` bits of what holds the current value: one a register, then one a stored state.
        loaded: `[N]` whether the last token but an attribute was LOAD.
        modifier: `[N]` op whose optional attributes may follow, and those given.
        waiting: `[N]` what waits for tokens.
        given: `[N, ...]` types of the registers that a waiting merge has.
        depth: `[N]` open blocks; depth 0 is the program itself.
        kind, entry, frame, times: `[N, D]` of each open block its opening token, the value at its start, its
            number in the tables, and how often a step of it runs.
        ends: `[N, D, 2]` types at the ends of earlier branches; of a scan, the type of its states.
        scope: `[N]` open loops and scans; scope 0 is the program's.
        base: `[N, D]` depth of each scope.
        registers: `[N, D, R]` values that its registers hold, or -1.
        state_type: `[N, D]` type of a scan's states, or -1.
    """

    def __init__(self, num: int, tables: WalkTables, max_length: int) -> None:
        self._tables = tables
        self._num_taps = tables.language.num_taps
        self._num_registers = len(tables.language.registers.tokens)
        self.num_depths = max_length // 2 + 2
        shape = (num, self.num_depths)
        self.ended = np.zeros(num, bool)
        self.length = np.zeros(num, np.int64)
        self.flops = np.zeros(num, np.int64)
        self.value = np.zeros(num, np.int64)
        self.empty = np.ones(num, bool)
        self.held = np.zeros(num, np.int64)
        self.loaded = np.zeros(num, bool)
        self.modifier = np.zeros(num, np.int64)
        self.waiting = np.zeros(num, np.int64)
        self.given = np.zeros((num, 1 + max(merge.arity for merge in tables.merges)), np.int64)
        self.depth = np.zeros(num, np.int64)
        self.kind = np.full(shape, -1)
        self.entry = np.zeros(shape, np.int64)
        self.ends = np.full((*shape, 2), -1)
        self.frame = np.zeros(shape, np.int64)
        self.times = np.ones(shape, np.int64)
        self.scope = np.zeros(num, np.int64)
        self.base = np.zeros(shape, np.int64)
        self.registers = np.full((*shape, self._num_registers), -1)
        self.state_type = np.full(shape, -1)
        self._entered: list[np.ndarray] = []
        self._saved: list[np.ndarray] = []

    # -- questions -------------------------------------------------------------------------------------------

    def can_close(self, rows: np.ndarray) -> np.ndarray:
        """Say where the innermost block holds enough to end here, types aside."""
        depth = self.depth[rows]
        later = (self.kind[rows, depth] == _BRANCH) & (self.ends[rows, depth, 0] >= 0)
        return np.where(self.is_body(rows), (self.value[rows] & 1) == 1, ~self.empty[rows] | later)

    def is_body(self, rows: np.ndarray) -> np.ndarray:
        """Say where the innermost block is the program, a loop or a scan."""
        return self.depth[rows] == self.base[rows, self.scope[rows]]

    def savable(self, rows: np.ndarray) -> np.ndarray:
        """Say `[n, R]` which registers the current value may be saved in."""
        num_taps, R = self._num_taps, self._num_registers
        open_ = ~self.held_bits(rows, 0)
        is_state = self._tables.op_of(self.value[rows]) == self._tables.op_index(STATE)
        open_[:, :num_taps] &= ~(self.loaded[rows] | is_state)[:, None]
        if num_taps < R:
            is_known = ~is_state | self.held_bits(rows, 0)[:, num_taps:].any(1)
            state_type = self.state_type[rows, self.scope[rows]]
            types = self._tables.type_of(self.value[rows])
            fits = (state_type >= 0) & self._tables.same_width[types, state_type] & is_known
            open_[:, num_taps:] &= fits[:, None] & ~self.held_bits(rows, R)[:, num_taps:]
            open_[:, num_taps] = False
        return open_

    def held_bits(self, rows: np.ndarray, first: int) -> np.ndarray:
        """Return `[n, R]` of the bits that say what holds the current value."""
        return (self.held[rows, None] >> (first + np.arange(self._num_registers))) & 1 == 1

    def register_types(self, rows: np.ndarray) -> np.ndarray:
        """Return the types `[n, R]` that registers hold, or -1."""
        return self._tables.type_of(self.registers[rows, self.scope[rows]])

    def merged(
        self, rows: np.ndarray, merge: Merge, num_given: int, *more: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the types after a merge and its FLOPs; `more` are types `[n, ...]` beside those given."""
        shape = np.broadcast_shapes(*(types.shape for types in more))
        types = self._tables.type_of(self.value[rows])
        index = [types, *self.given[rows, :num_given].T]
        index = [np.broadcast_to(i.reshape(-1, *(1 for _ in shape[1:])), shape) for i in index]
        return merge.land[(*index, *more)], merge.flops[(*index, *more)]

    # -- steps -----------------------------------------------------------------------------------------------

    def advance(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Move each program on by its token of `tokens` `[N]`, which must be legal.

        Returns:
            The programs whose innermost frame is new, and those with another value in a tap.
        """
        rows = np.flatnonzero(~self.ended)
        tokens = np.asarray(tokens)[rows]
        action = self._tables.action[self.waiting[rows], tokens]
        number = self._tables.number[self.waiting[rows], tokens]
        self.ended[rows[action == ENDS]] = True
        self.length[rows[action != ENDS]] += 1
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
        entered, saved = (np.concatenate([rows[:0], *parts]) for parts in (self._entered, self._saved))
        self._entered.clear()
        self._saved.clear()
        return entered, saved

    def _wait(self, rows: np.ndarray, number: np.ndarray, tokens: np.ndarray) -> None:
        self.waiting[rows] = number
        self.modifier[rows] = 0

    def _become(self, rows: np.ndarray, value: np.ndarray) -> None:
        """Make other values the current ones, held by no register."""
        self.value[rows] = value
        self.held[rows] = 0
        self.loaded[rows] = False
        self.waiting[rows] = 0
        self.modifier[rows] = 0

    def _apply(self, rows: np.ndarray, number: np.ndarray, tokens: np.ndarray) -> None:
        tables, types = self._tables, self._tables.type_of(self.value[rows])
        self.flops[rows] += tables.made_flops[number, types] * self.times[rows, self.depth[rows]]
        self._become(rows, tables.code(tables.made[number, types], tables.made_op[number], 1))
        self.empty[rows] = False
        self.modifier[rows] = tables.made_modifier[number]

    def _modify(self, rows: np.ndarray, number: np.ndarray, tokens: np.ndarray) -> None:
        self.modifier[rows] = self._tables.modified[self.modifier[rows], tokens]

    def _open(self, rows: np.ndarray, number: np.ndarray, tokens: np.ndarray) -> None:
        tables, value = self._tables, self.value[rows]
        scoped = tables.opening_scope[number]
        self.waiting[rows] = 0
        self.modifier[rows] = 0
        self.depth[rows] += 1
        depth = self.depth[rows]
        self.kind[rows, depth] = tables.opening_kind[number]
        self.times[rows, depth] = self.times[rows, depth - 1] * tables.opening_times[number]
        self.ends[rows, depth] = -1
        self.loaded[rows] = False
        self.empty[rows] = True
        types = tables.type_of(value)
        entry = np.where(scoped, tables.opening_entry[number, types], value)
        self.entry[rows, depth] = entry
        self._become(rows[scoped], entry[scoped])
        self._open_scope(rows[scoped], tables.opening_state[number, types][scoped])
        self._enter(rows, self._frame_numbers(rows))

    def _open_scope(self, rows: np.ndarray, state_type: np.ndarray) -> None:
        self.scope[rows] += 1
        scope, depth, num_taps = self.scope[rows], self.depth[rows], self._num_taps
        self.base[rows, scope] = depth
        self.state_type[rows, scope] = state_type
        self.registers[rows, scope] = -1
        scans = state_type >= 0
        self.ends[rows[scans], depth[scans], 0] = state_type[scans]
        states = self._tables.code(state_type[scans], self._tables.op_index(STATE), 0)[:, None]
        self.registers[rows[scans], scope[scans], num_taps:] = states

    def _enter(self, rows: np.ndarray, frame: np.ndarray) -> None:
        """Write down the numbers of new innermost frames."""
        self.frame[rows, self.depth[rows]] = frame
        self._entered.append(rows)

    def _frame_numbers(self, rows: np.ndarray) -> np.ndarray:
        """Return the numbers of the innermost frames in the tables."""
        depth = self.depth[rows]
        kind, first, second = self.kind[rows, depth], *self.ends[rows, depth].T
        return self._number_frames(kind, self.entry[rows, depth], first, second)

    def _number_frames(
        self, kind: np.ndarray, entry: np.ndarray, first: np.ndarray, second: np.ndarray
    ) -> np.ndarray:
        """Return the numbers of frames, which mostly depend on no more than the entry's type."""
        plain = self._tables.code(self._tables.type_of(entry), 0, 0)
        entry = np.where((kind == _BRANCH) & (first < 0), entry, plain)
        return self._tables.frames.numbers(kind, np.where(first < 0, entry, 0), first, second)

    def separated(self, rows: np.ndarray) -> np.ndarray:
        """Return the numbers of the innermost frames once their current part ends here."""
        depth, types = self.depth[rows], self._tables.type_of(self.value[rows])
        first = self.ends[rows, depth, 0]
        ends = np.where(first < 0, types, first), np.where(first < 0, -1, types)
        return self._number_frames(self.kind[rows, depth], self.entry[rows, depth], *ends)

    def _separate(self, rows: np.ndarray, number: np.ndarray, tokens: np.ndarray) -> None:
        depth, types = self.depth[rows], self._tables.type_of(self.value[rows])
        frame = self.separated(rows)
        place = (self.ends[rows, depth, 0] >= 0).astype(np.int64)
        self.ends[rows, depth, place] = types
        self._become(rows, self.entry[rows, depth])
        self.empty[rows] = True
        self._enter(rows, frame)

    def _close(self, rows: np.ndarray, number: np.ndarray, tokens: np.ndarray) -> None:
        depth, types = self.depth[rows], self._tables.type_of(self.value[rows])
        frames, frame = self._tables.frames, self.frame[rows, depth]
        place = (frames.tokens[frame] == tokens[:, None]).argmax(1)
        way = frame * self._tables.num_types + types
        land, flops = frames.ways.land[way, place], frames.ways.flops[way, place]
        self.flops[rows] += flops * self.times[rows, depth - 1]
        self.scope[rows] -= np.isin(self.kind[rows, depth], (_LOOP, _SCAN))
        self.depth[rows] -= 1
        self._become(rows, self._tables.code(land, number, 1))
        self.empty[rows] = False

    def _take_register(self, rows: np.ndarray, number: np.ndarray, tokens: np.ndarray) -> None:
        waiting = self.waiting[rows]
        for index in np.unique(waiting).tolist():
            some = np.flatnonzero(waiting == index)
            self._move(rows[some], number[some], index)

    def _move(self, rows: np.ndarray, register: np.ndarray, index: int) -> None:
        """Save, load or merge with a register, as the state `index` waits for."""
        state, scope = self._tables.waiting[index], self.scope[rows]
        assert state is not None
        self.waiting[rows] = 0
        if state.name == LOAD:
            self.value[rows] = self.registers[rows, scope, register]
            self.held[rows] = 1 << register
            self.loaded[rows] = True
            self.empty[rows] = False
        elif state.name == SAVE:
            self._save(rows, register)
        else:
            merge = self._tables.merge_of[state.name]
            self.given[rows, state.num_registers] = self._tables.type_of(
                self.registers[rows, scope, register]
            )
            if state.num_registers + 2 == merge.arity:
                self._merge(rows, merge)
            else:
                self.waiting[rows] = index + 1

    def _save(self, rows: np.ndarray, register: np.ndarray) -> None:
        self.loaded[rows] = False
        states = register >= self._num_taps
        R = self._num_registers
        self.held[rows] |= 1 << np.where(states, register + R, register)
        taps, register = rows[~states], register[~states]
        self.registers[taps, self.scope[taps], register] = self.value[taps]
        self._saved.append(taps)

    def _merge(self, rows: np.ndarray, merge: Merge) -> None:
        given = self.given[rows, merge.arity - 2]
        land, flops = self.merged(rows, merge, merge.arity - 2, given)
        self.flops[rows] += flops * self.times[rows, self.depth[rows]]
        self._become(rows, self._tables.code(land, merge.op, 1))
        self.empty[rows] = False
