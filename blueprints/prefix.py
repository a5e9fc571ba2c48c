"""What is remembered of a prefix of a program, and how a legal token changes it; knows no rule, no budget."""

from collections.abc import Sequence
from typing import NamedTuple

from blueprints.graph import ADD, INPUT, MUL, STATE
from blueprints.language import Language
from blueprints.typing_table import TypingTable
from blueprints.vocabulary import (
    BLOCK_STARTS,
    BODY_ATTRIBUTES,
    BRANCH_SEP,
    BRANCH_START,
    GATE_END,
    LOAD,
    LOOP_START,
    RES_END,
    SAVE,
    SCAN_START,
)


class Value(NamedTuple):
    """A value as far as the grammar cares.

    Attributes:
        type: code of its type in the grammar's table, so that prefixes hash fast.
        op: the op that made it, where a rule looks back at it; otherwise `INPUT`.
        made: whether an op of the scope computed it; the scope's input and its states are not made.
    """

    type: int = 0
    op: str = INPUT
    made: bool = False


class Frame(NamedTuple):
    """An open block.

    Attributes:
        kind: its opening token.
        entry: the value at its start, inside a loop or scan as its body sees it.
        ends: types at the ends of earlier branches; of a scan, the type of its states.
        times: how often a step of it runs for one step of the program.
    """

    kind: str
    entry: Value
    ends: tuple[int, ...] = ()
    times: int = 1

    @property
    def part(self) -> int:
        """Number of the current part of a branch block, from 1."""
        return 1 + len(self.ends)


Registers = tuple[Value | None, ...]


class Prefix(NamedTuple):
    """What legality depends on, budgets aside; equal for many token sequences, hence worth caching.

    Attributes:
        frames: open blocks, outermost first.
        value: the current value.
        registers: what each register of this scope holds, taps first, then a scan's states.
        empty: whether the innermost block (or branch, or the program) has no op yet.
        held: registers known to hold the current value; a state that it was stored in by another number.
        loaded: whether the last token but an attribute was LOAD.
        modified: op whose optional attributes may follow, or the empty string.
        pending: op or block still waiting for tokens that it needs, or the empty string.
        attributes: tokens after `pending` so far, or optional ones after `modified`.
        scopes: the registers that the open loops and scans hide.
    """

    frames: tuple[Frame, ...] = ()
    value: Value = Value()
    registers: Registers = ()
    empty: bool = True
    held: frozenset[int] = frozenset()
    loaded: bool = False
    modified: str = ""
    pending: str = ""
    attributes: tuple[str, ...] = ()
    scopes: tuple[Registers, ...] = ()

    @property
    def times(self) -> int:
        """How often the current step runs for one step of the program."""
        return self.frames[-1].times if self.frames else 1

    @property
    def has_states(self) -> bool:
        """Whether the innermost scope is a scan."""
        return next((f.kind == SCAN_START for f in reversed(self.frames) if f.kind in BODY_ATTRIBUTES), False)

    @property
    def can_close(self) -> bool:
        """Whether the innermost block holds enough to end here, types aside."""
        frame = self.frames[-1] if self.frames else None
        if frame is None or frame.kind in BODY_ATTRIBUTES:
            return self.value.made
        return not self.empty or (frame.kind == BRANCH_START and bool(frame.ends))


def stored(register: int) -> int:
    """Return the number that says in `Prefix.held` that a state takes the value."""
    return -1 - register


class Step(NamedTuple):
    """The prefix after a token, and the FLOPs that the token commits."""

    prefix: Prefix
    flops: int


class Stepper:
    """Applies tokens that the rules allow."""

    def __init__(self, language: Language, table: TypingTable) -> None:
        self._language = language
        self._table = table
        self._looked_back_at = frozenset().union(*(op.no_op_after for op in language.ops))

    def start(self) -> Prefix:
        """Return the empty prefix."""
        return Prefix(registers=(None,) * len(self._language.registers.tokens))

    def step(self, prefix: Prefix, token: str) -> Step:
        """Return what a token that no rule forbids leads to."""
        language = self._language
        if prefix.pending:
            return self._continue(prefix, prefix.pending, (*prefix.attributes, token))
        if token in language.vocabulary.attribute_tokens:
            return Step(prefix._replace(attributes=(*prefix.attributes, token)), 0)
        prefix = prefix._replace(modified="", attributes=())
        if token in language.table or token in BODY_ATTRIBUTES or token in (SAVE, LOAD):
            return self._continue(prefix, token, ())
        if token in BLOCK_STARTS:
            frame = self.frame(token, prefix.value, None, prefix.times)
            return Step(prefix._replace(frames=(*prefix.frames, frame), empty=True, loaded=False), 0)
        if token == BRANCH_SEP:
            frame = prefix.frames[-1]
            frame = frame._replace(ends=(*frame.ends, prefix.value.type))
            return Step(self._at(prefix, frame.entry, frames=(*prefix.frames[:-1], frame), empty=True), 0)
        return self._close(prefix, token)

    def closed(self, frame: Frame, end: int, token: str) -> tuple[int, int] | None:
        """Return the type after `token` closes `frame` at a body of type `end`, and FLOPs, or None."""
        table = self._table
        if frame.kind == LOOP_START:
            return (end, 0) if end == frame.entry.type else None
        if frame.kind == SCAN_START:
            return (table.sequence(end), 0) if end == frame.ends[0] else None
        op = {RES_END: ADD, GATE_END: MUL}.get(token) or self._language.vocabulary.merges[token]
        parts = (*frame.ends, end) if frame.kind == BRANCH_START else (frame.entry.type, end)
        made = table.merge(op, parts)
        if made is None:
            return None
        gate = table.apply(end, "SIGMOID", ()).flops if token == GATE_END else 0
        return made.type, made.flops + gate

    def remembered(self, op: str) -> str:
        """Return `op` when some rule looks back at it, else a common name, so that prefixes coincide."""
        return op if op in self._looked_back_at else INPUT

    def _at(self, prefix: Prefix, value: Value, **changes) -> Prefix:
        """Return the prefix at another value."""
        return prefix._replace(value=value, held=frozenset(), loaded=False, **changes)

    def _made(self, prefix: Prefix, type_: int, op: str) -> Prefix:
        return self._at(prefix, Value(type_, self.remembered(op), True), empty=False)

    def _continue(self, prefix: Prefix, name: str, tokens: tuple[str, ...]) -> Step:
        """Take the tokens that an op, block or move needs, and apply it once it has them all."""
        if len(tokens) < self._language.num_operands(name):
            return Step(prefix._replace(pending=name, attributes=tokens), 0)
        prefix = prefix._replace(pending="", attributes=())
        if name in BODY_ATTRIBUTES:
            return Step(self._open_scope(prefix, name, tokens[0]), 0)
        if name in (SAVE, LOAD):
            return Step(self._move(prefix, name, tokens[0]), 0)
        op = self._language.table[name]
        if op.arity == 1:
            made = self._table.apply(prefix.value.type, name, tokens)
            optional = name if len(op.required) < len(op.attributes) else ""
            return Step(
                self._made(prefix, made.type, name)._replace(modified=optional), made.flops * prefix.times
            )
        made = self._table.merge(name, (prefix.value.type, *self.register_types(prefix, tokens)))
        assert made is not None, "the rules allow merges of fitting widths only"
        return Step(self._made(prefix, made.type, name), made.flops * prefix.times)

    def register_types(self, prefix: Prefix, tokens: Sequence[str]) -> tuple[int, ...]:
        """Return the types of what registers hold."""
        held = (prefix.registers[self._language.vocabulary.registers[token]] for token in tokens)
        return tuple(value.type for value in held if value is not None)

    def _move(self, prefix: Prefix, name: str, token: str) -> Prefix:
        index = self._language.vocabulary.registers[token]
        if name == LOAD:
            value = prefix.registers[index]
            assert value is not None, "the rules allow loading what was saved"
            return prefix._replace(value=value, held=frozenset({index}), loaded=True, empty=False)
        if self._language.registers.state(index) is not None:
            return prefix._replace(held=prefix.held | {stored(index)}, loaded=False)
        registers = (*prefix.registers[:index], prefix.value, *prefix.registers[index + 1 :])
        return prefix._replace(registers=registers, held=prefix.held | {index}, loaded=False)

    def frame(self, token: str, value: Value, setting: str | None, times: int) -> Frame:
        """Return the frame of a block that starts at a value; loops and scans have a setting."""
        if setting is None:
            return Frame(token, value, times=times)
        given = self._language.settings[token].tokens[setting]
        if token == LOOP_START:
            return Frame(token, Value(value.type), times=times * int(given))
        entry = Value(self._table.single(value.type))
        return Frame(token, entry, (self._table.of_width(given),), times)

    def _open_scope(self, prefix: Prefix, name: str, token: str) -> Prefix:
        registers = self._language.registers
        frame = self.frame(name, prefix.value, token, prefix.times)
        states: Registers = (None,) * registers.num_states
        if name == SCAN_START:
            states = (Value(frame.ends[0], STATE),) * registers.num_states
        return self._at(
            prefix,
            frame.entry,
            frames=(*prefix.frames, frame),
            empty=True,
            registers=((None,) * registers.num_taps + states),
            scopes=(*prefix.scopes, prefix.registers),
        )

    def _close(self, prefix: Prefix, token: str) -> Step:
        frame = prefix.frames[-1]
        closed = self.closed(frame, prefix.value.type, token)
        assert closed is not None, "the rules allow closing at fitting types only"
        type_, flops = closed
        if frame.kind in BODY_ATTRIBUTES:
            prefix = prefix._replace(registers=prefix.scopes[-1], scopes=prefix.scopes[:-1])
        prefix = prefix._replace(frames=prefix.frames[:-1])
        op = self._language.vocabulary.merges.get(token, token)
        return Step(self._made(prefix, type_, op), flops * prefix.times)
