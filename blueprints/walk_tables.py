"""The rules and prices of a language as arrays, for `BatchWalk`; asks the grammar's parts, decides nothing.

What a completion costs grows with how often its steps run, so costs come in two arrays: `once`, its price
where a step runs once (`NEVER` where it is closed), and `flops`, the FLOPs in it, to be added for every
further run. Axes: C types, K values (a type and the op that a rule looks back at), V tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np

from blueprints.completion import MERGE, NEVER, TOKEN, Completion
from blueprints.graph import INPUT, STATE
from blueprints.language import Language
from blueprints.ops import Op
from blueprints.prefix import Frame, Prefix, Stepper, Value
from blueprints.rules import Rules
from blueprints.vocabulary import (
    BLOCK_STARTS,
    BODY_ATTRIBUTES,
    BRANCH_SEP,
    BRANCH_START,
    LOAD,
    SAVE,
)

#: What a token does to a prefix, given what it waits for.
ENDS, WAITS, APPLIES, MODIFIES, OPENS, SEPARATES, CLOSES, TAKES_REGISTER = range(8)


class Ways(NamedTuple):
    """Ways on, `[rows, W]`: the type that each lands at, and its cost in two arrays (see above)."""

    land: np.ndarray
    once: np.ndarray
    flops: np.ndarray

    def cost(self, rows: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return the costs `[n, W]` of some rows whose steps run `times` `[n]` often."""
        cost = self.once.take(rows, 0)
        often = np.flatnonzero(times > 1)
        if often.size:
            cost[often] += self.flops.take(rows[often], 0) * (times[often, None] - 1)
        return cost


class Waiting(NamedTuple):
    """What a prefix waits with: an op, block, SAVE, LOAD or merge, and the tokens or registers it has.

    Of a merge only the number of its registers counts; the walk remembers what they hold.
    """

    name: str
    given: tuple[str, ...] = ()
    num_registers: int = 0


@dataclass(frozen=True, slots=True)
class Merge:
    """Merging ops that make and cost the same.

    Attributes:
        names: their tokens.
        arity: how many values they merge.
        op: number under which they are looked back at.
        land: `[C, C + 1, ...]` type of the merged, or -1; the last index of an axis merges with nothing.
        flops: FLOPs in it.
    """

    names: tuple[str, ...]
    arity: int
    op: int
    land: np.ndarray
    flops: np.ndarray


class WalkTables:
    """All that a walk looks up; what depends on frames and values is filled as they are met."""

    def __init__(self, language: Language, stepper: Stepper, completion: Completion, rules: Rules) -> None:
        self.language = language
        self._stepper = stepper
        self._completion = completion
        self._rules = rules
        self._types = language.typing
        self.num_types = len(self._types)
        self.program_ends = completion.program_ends()
        self._list_ops_looked_back_at()
        self._list_waiting()
        self._list_modifiers()
        self._tabulate_actions()
        self._tabulate_applied()
        self._tabulate_options()
        self._tabulate_scopes()
        self._lay_out_starts()
        self.frames = Frames(self, stepper, completion, rules)

    # -- values ----------------------------------------------------------------------------------------------

    def _list_ops_looked_back_at(self) -> None:
        names = {op for row in self.language.ops for op in row.no_op_after} | {STATE}
        self._looked_back = {name: index for index, name in enumerate((INPUT, *sorted(names)))}
        self._op_bits = (len(self._looked_back) - 1).bit_length()

    def op_index(self, name: str) -> int:
        """Return the number under which an op is looked back at; 0 is any other."""
        return self._looked_back.get(name, 0)

    def code(self, type_: np.ndarray | int, op: np.ndarray | int, made: int) -> np.ndarray:
        """Return values as integers: from the low bits up, whether made, the op, and the type."""
        return np.asarray(((np.asarray(type_) << self._op_bits) + op) * 2 + made)

    def type_of(self, value: np.ndarray) -> np.ndarray:
        """Return the types of values; of no value, -1, that is -1 too."""
        return value >> (self._op_bits + 1)

    def op_of(self, value: np.ndarray) -> np.ndarray:
        """Return the numbers of the ops of values that a rule looks back at."""
        return (value >> 1) & ((1 << self._op_bits) - 1)

    def value(self, code: int) -> Value:
        """Return the value behind an integer."""
        key, made = divmod(code, 2)
        type_, op = divmod(key, 1 << self._op_bits)
        return Value(type_, list(self._looked_back)[op], bool(made))

    # -- tokens ----------------------------------------------------------------------------------------------

    def _list_waiting(self) -> None:
        """Number what a prefix may wait with; 0 is nothing."""
        language = self.language
        states: list[Waiting | None] = [None]
        for op in language.ops:
            if op.arity > 1:
                states += [Waiting(op.name, num_registers=k) for k in range(op.arity - 1)]
                continue
            for k in range(len(op.required)):
                states += [Waiting(op.name, given) for given in product(*(a.tokens for a in op.required[:k]))]
        states += [Waiting(token) for token in language.settings]
        if language.registers.tokens:
            states += [Waiting(SAVE), Waiting(LOAD)]
        self.waiting = states
        self.waiting_index = {state: index for index, state in enumerate(states)}

    def _list_modifiers(self) -> None:
        """Number the ops whose optional attributes may follow, with those given; 0 is none."""
        ids = self.language.vocabulary.ids
        states: dict[tuple[str, ...], int] = {(): 0}
        following: list[dict[int, tuple[str, ...]]] = [{}]
        queue: list[tuple[str, ...]] = [
            (op.name,) for op in self.language.ops if len(op.required) < len(op.attributes)
        ]
        while queue:
            state = queue.pop(0)
            if state in states:
                continue
            states[state] = len(states)
            tokens = self._rules.optional(Prefix(modified=state[0], attributes=state[1:]))
            following.append({ids[token]: (*state, token) for token in tokens})
            queue += following[-1].values()
        self.modifier_of = {state[0]: index for state, index in states.items() if len(state) == 1}
        self.modifies = np.zeros((len(states), len(ids)), bool)
        self.modified = np.zeros((len(states), len(ids)), np.int64)
        for index, after in enumerate(following):
            for token, state in after.items():
                self.modifies[index, token] = True
                self.modified[index, token] = states[state]

    def _tabulate_actions(self) -> None:
        """Write down what each token does and with which number, by what is waiting: `[waiting, V]`."""
        language, ids = self.language, self.language.vocabulary.ids
        self.action = np.full((len(self.waiting), len(ids)), ENDS)
        self.number = np.zeros_like(self.action)
        self.applied: list[tuple[Op, tuple[str, ...]]] = []
        self.openings: list[tuple[str, str | None]] = []
        for op in language.ops:
            self._set(0, op.name, *self._take(op.name, ()))
        for token in language.blocks:
            self._set(0, token, *self._take(token, ()))
        for token in language.vocabulary.attribute_tokens:
            self._set(0, token, MODIFIES, 0)
        if language.registers.tokens:
            self._set(0, SAVE, *self._take(SAVE, ()))
            self._set(0, LOAD, *self._take(LOAD, ()))
        ends = {BLOCK_STARTS[token] for token in language.blocks} - {BRANCH_SEP}
        for token in (*ends, *language.vocabulary.merges):
            self._set(0, token, CLOSES, self.op_index(language.vocabulary.merges.get(token, token)))
        if BRANCH_SEP in ids:
            self._set(0, BRANCH_SEP, SEPARATES, 0)
        for index, state in enumerate(self.waiting[1:], 1):
            assert state is not None
            for number, token in enumerate(self._wanted(state)):
                if token in language.vocabulary.registers:
                    self._set(index, token, TAKES_REGISTER, number)
                else:
                    self._set(index, token, *self._take(state.name, (*state.given, token)))

        self.closing_ops = np.where(self.action[0] == CLOSES, self.number[0], 0)

    def _set(self, waiting: int, token: str, action: int, number: int) -> None:
        column = self.language.vocabulary.ids.get(token)
        if column is not None:
            self.action[waiting, column], self.number[waiting, column] = action, number

    def _take(self, name: str, given: tuple[str, ...]) -> tuple[int, int]:
        """Return what happens to an op, block or move with the tokens that it has, and its number."""
        plain = name in BLOCK_STARTS and name not in BODY_ATTRIBUTES
        if not plain and len(given) < self.language.num_operands(name):
            return WAITS, self.waiting_index.get(Waiting(name, given), 0)
        if name in BLOCK_STARTS:
            self.openings.append((name, given[0] if given else None))
            return OPENS, len(self.openings) - 1
        self.applied.append((self.language.table[name], given))
        return APPLIES, len(self.applied) - 1

    def _wanted(self, state: Waiting) -> Sequence[str]:
        return self._rules.operands(Prefix(pending=state.name, attributes=state.given))

    # -- what tokens lead to ---------------------------------------------------------------------------------

    def _tabulate_applied(self) -> None:
        """Write down what each op with its attributes makes of a type: `[applied, C]`, and of values."""
        made = [
            [self._types.apply(code, op.name, tokens) for code in range(self.num_types)]
            for op, tokens in self.applied
        ]
        self.made = np.array([[m.type for m in row] for row in made], np.int64)
        self.made_flops = np.array([[m.flops for m in row] for row in made], np.int64)
        self.made_op = np.array([self.op_index(op.name) for op, _ in self.applied])
        self.made_modifier = np.array([self.modifier_of.get(op.name, 0) for op, _ in self.applied])

    @cached_property
    def merges(self) -> Sequence[Merge]:
        """The merging ops, those together that make and cost the same."""
        found: list[Merge] = []
        for op in self.language.ops:
            if op.arity > 1:
                merge = self._merge(op)
                place = next((i for i, other in enumerate(found) if _alike(other, merge)), len(found))
                names = (*(found[place].names if place < len(found) else ()), op.name)
                found[place : place + 1] = [replace(merge, names=names)]
        return found

    @cached_property
    def merge_of(self) -> Mapping[str, Merge]:
        """The merging ops by name."""
        return {name: merge for merge in self.merges for name in merge.names}

    def forks(self, times: int) -> np.ndarray:
        """Return the prices `[C, C]` of turning one type into another by a branch block."""
        return self._completion.forks(times)

    def strands(self, rest: np.ndarray) -> np.ndarray:
        """Say of which rests `[n, C]`, after two ops, some may lead to no end by ops alone."""
        return np.any(rest >= (0 if self._ops_fall_short else MERGE), axis=1)

    def _merge(self, op: Op) -> Merge:
        shape = (self.num_types, *[self.num_types + 1] * (op.arity - 1))
        land, flops = np.full(shape, -1), np.zeros(shape, np.int64)
        for codes in product(range(self.num_types), repeat=op.arity):
            made = self._types.merge(op.name, codes)
            if made is not None:
                land[codes], flops[codes] = made
        return Merge((op.name,), op.arity, self.op_index(op.name), land, flops)

    def _tabulate_options(self) -> None:
        """Write down the tokens that ops and settings wait for, and the ways `[waiting * C, J * W]` on."""
        ids = self.language.vocabulary.ids
        rows: dict[tuple[int, int, int], tuple[str, Mapping[int, int]]] = {}
        for index, state in enumerate(self.waiting[1:], 1):
            assert state is not None
            if state.name in (SAVE, LOAD) or self._is_merge(state.name):
                continue
            for number, token in enumerate(self._wanted(state)):
                for code in range(self.num_types):
                    rows[index, code, number] = token, self._landings(state, token, code)
        J = 1 + max((number for _, _, number in rows), default=0)
        W = max((len(landings) for _, landings in rows.values()), default=1)
        self.has_options = np.zeros(len(self.waiting), bool)
        self.option_tokens = np.zeros((len(self.waiting), J), np.int64)
        self.options = _ways((len(self.waiting) * self.num_types, J * W))
        for (index, code, number), (token, landings) in rows.items():
            self.has_options[index] = True
            self.option_tokens[index, number] = ids[token]
            _fill(self.options, index * self.num_types + code, landings, number * W)

    def _is_merge(self, name: str) -> bool:
        return name in self.language.table and self.language.table[name].arity > 1

    def _landings(self, state: Waiting, token: str, code: int) -> Mapping[int, int]:
        """Return the prices after `token` of the types that the op or block which waits leads to."""
        if state.name in BODY_ATTRIBUTES:
            value = Value(code)
            if self._rules.block_start(value, state.name) is not None:
                return {}
            return _finite(self._completion.block_ends(value, state.name, token, 1))
        return self._op_landings(self.language.table[state.name], (*state.given, token), code)

    def _op_landings(self, op: Op, given: tuple[str, ...], code: int) -> Mapping[int, int]:
        missing = op.required[len(given) :]
        best: dict[int, int] = {}
        for more in product(*(attribute.tokens for attribute in missing)):
            made = self._types.apply(code, op.name, (*given, *more))
            price = len(missing) * TOKEN + made.flops
            best[made.type] = min(best.get(made.type, NEVER), price)
        return best

    # -- values and what may follow them ---------------------------------------------------------------------

    def _lay_out_starts(self) -> None:
        """Lay out `edges`, what one op leads to `[K, E]`, and `starts`, what a token starts `[K, W]`."""
        K = self.num_types << self._op_bits
        codes, ids = range(self.num_types), self.language.vocabulary.ids
        values = [Value(code) for code in codes]
        names = [op.name for op in self.language.ops if op.arity == 1]
        rooms = [
            max(len(self._op_landings(self.language.table[name], (), c)) for c in codes) for name in names
        ]
        for token in self.language.blocks:
            names.append(token)
            ends = (self._completion.any_block_ends(value, token, 1) for value in values)
            rooms.append(max(len(_finite(prices)) for prices in ends))
        self.start_tokens = np.array([ids[name] for name in names])
        self.start_first = np.cumsum([0, *rooms[:-1]])
        self.starts = _ways((K, sum(rooms)))
        self.edges = _ways((K, max(len(_finite(self._completion.edges(value, 1))) for value in values)))
        self._known = np.zeros(K, bool)
        self._ops_fall_short = any(
            self._falls_short(Value(code, op)) for code in codes for op in self._looked_back
        )
        plain = np.arange(0, K, 1 << self._op_bits)
        self.meet(plain)
        self.plain_edges = Ways(*(array[plain] for array in self.edges))

    def _falls_short(self, value: Value) -> bool:
        """Say whether what made a value keeps ops from some type that they reach from others of its type."""
        reached = self._completion.body(value, False, 1) < NEVER
        return not np.array_equal(reached, self._completion.body(Value(value.type), True, 1) < NEVER)

    def meet(self, keys: np.ndarray) -> None:
        """Fill what may follow values met for the first time."""
        if not self._known[keys].all():
            for key in set(keys[~self._known[keys]].tolist()):
                self._meet(key)

    def _meet(self, key: int) -> None:
        value = self.value(2 * key)
        _fill(self.edges, key, _finite(self._completion.edges(value, 1)))
        first = dict(zip(self.start_tokens.tolist(), self.start_first.tolist(), strict=True))
        ids = self.language.vocabulary.ids
        for op in self.language.ops:
            if op.arity == 1 and self._rules.op(value, op) is None:
                landings = self._op_landings(op, (), value.type)
                _fill(self.starts, key, {c: p + TOKEN for c, p in landings.items()}, first[ids[op.name]])
        for token in self.language.blocks:
            if self._rules.block_start(value, token) is None:
                ends = self._completion.any_block_ends(value, token, 1)
                _fill(self.starts, key, _finite(ends), first[ids[token]])
        self._known[key] = True

    # -- blocks ----------------------------------------------------------------------------------------------

    def _tabulate_scopes(self) -> None:
        """Write down what openings do: their kind, entry values `[opening, C]`, runs, and a scan's states."""
        kinds = list(BLOCK_STARTS)
        frames = [
            [self._stepper.frame(kind, Value(code), setting, 1) for code in range(self.num_types)]
            for kind, setting in self.openings
        ]
        shape = (len(frames), self.num_types)
        self.opening_kind = np.array([kinds.index(kind) for kind, _ in self.openings], np.int64)
        self.opening_scope = np.array([kind in BODY_ATTRIBUTES for kind, _ in self.openings], bool)
        self.opening_times = np.array([row[0].times for row in frames], np.int64)
        entries = [frame.entry.type for row in frames for frame in row]
        states = [frame.ends[0] if frame.ends else -1 for row in frames for frame in row]
        self.opening_entry = self.code(np.array(entries, np.int64), 0, 0).reshape(shape)
        self.opening_state = np.array(states, np.int64).reshape(shape)
        widths = [self._types[code].width for code in range(self.num_types)]
        self.same_width = np.array([[a == b for b in widths] for a in widths])

    @staticmethod
    def kind(name: str) -> int:
        """Return the number of a block's opening token."""
        return list(BLOCK_STARTS).index(name)


class Frames:
    """How the frames met so far may be closed, by the type at the end of their last part.

    Attributes:
        tokens: `[frames, S]` ids of the closing tokens, 0 where there are fewer.
        ways: `[frames * C, S]` ways through them, a row for each type at the end.
        parts: `[frames * C, C]` ways from the end of a first branch to the types after the block.
        has_parts: `[frames]` whether it is in its first branch, and `parts` counts.
        separates: `[frames, C]` whether another branch may follow.
    """

    def __init__(
        self, tables: WalkTables, stepper: Stepper, completion: Completion, rules: Rules, room: int = 64
    ) -> None:
        self._tables = tables
        self._stepper = stepper
        self._completion = completion
        self._rules = rules
        self._numbers: dict[tuple[int, int, int, int], int] = {}
        merges = tables.language.vocabulary.merges.values()
        arities = [tables.language.table[op].arity for op in merges]
        C, S = tables.num_types, max([1, *(arities.count(arity) for arity in arities)])
        self.tokens = np.zeros((room, S), np.int64)
        self.ways = _ways((room * C, S))
        self.parts = _ways((room * C, C))
        self.has_parts = np.zeros(room, bool)
        self.separates = np.zeros((room, C), bool)

    def numbers(
        self, kind: np.ndarray, entry: np.ndarray, first: np.ndarray, second: np.ndarray
    ) -> np.ndarray:
        """Return the numbers of frames: kind, entry value, and types at the ends of their parts, or -1."""
        keys = zip(kind.tolist(), entry.tolist(), first.tolist(), second.tolist(), strict=True)
        known = self._numbers
        return np.array([known.get(key) or self._meet(key) for key in keys], np.int64)

    def _meet(self, key: tuple[int, int, int, int]) -> int:
        """Fill the next row for a frame; frames that close alike need not share one. Row 0 is no frame's."""
        number, C = len(self._numbers) + 1, self._tables.num_types
        self._numbers[key] = number
        if number == len(self.tokens):
            self._grow()
        kind, entry, *ends = key
        given = tuple(end for end in ends if end >= 0)
        frame = Frame(list(BLOCK_STARTS)[kind], self._tables.value(entry), given)
        closers = self._rules.closers(frame.kind, frame.part)
        if BRANCH_SEP in closers:
            self.separates[number] = self._tables.same_width[given[0]] if given else True
        tokens = [token for token in closers if token != BRANCH_SEP]
        for place, token in enumerate(tokens):
            self.tokens[number, place] = self._tables.language.vocabulary.ids[token]
            for end in range(C):
                closed = self._stepper.closed(frame, end, token)
                if closed is not None:
                    _fill(self.ways, number * C + end, {closed[0]: TOKEN + closed[1]}, place)
        self.has_parts[number] = frame.kind == BRANCH_START and not given
        if self.has_parts[number]:
            for end, prices in enumerate(self._completion.closings(frame, 1)):
                _fill(self.parts, number * C + end, _finite(prices))
        return number

    def _grow(self) -> None:
        self.tokens, self.has_parts, self.separates = map(
            _twice, (self.tokens, self.has_parts, self.separates)
        )
        self.ways, self.parts = (
            Ways(*map(np.concatenate, zip(ways, _ways(ways.land.shape), strict=True)))
            for ways in (self.ways, self.parts)
        )


def _twice(array: np.ndarray) -> np.ndarray:
    return np.concatenate([array, np.zeros_like(array)])


def _ways(shape: tuple[int, ...]) -> Ways:
    return Ways(np.zeros(shape, np.int64), np.full(shape, NEVER, np.int64), np.zeros(shape, np.int64))


def _alike(a: Merge, b: Merge) -> bool:
    """Say whether two merges make and cost the same, and look the same to what follows."""
    same = a.arity == b.arity and a.op == b.op
    return same and np.array_equal(a.land, b.land) and np.array_equal(a.flops, b.flops)


def _finite(prices: np.ndarray) -> dict[int, int]:
    """Return the prices of the types that can be reached, by their codes."""
    reached = np.flatnonzero(prices < NEVER)
    return dict(zip(reached.tolist(), prices[reached].tolist(), strict=True))


def _fill(ways: Ways, row: int, landings: Mapping[int, int], first: int = 0) -> None:
    """Write ways to types at their prices, from the place `first` on."""
    for place, (code, price) in enumerate(landings.items(), first):
        ways.land[row, place], ways.once[row, place], ways.flops[row, place] = code, price, price % TOKEN
