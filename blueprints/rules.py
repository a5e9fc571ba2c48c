"""The named rules that a token can break whatever the budgets; the grammar asks them, errors quote them."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import takewhile

from blueprints.graph import STATE
from blueprints.language import Language
from blueprints.ops import Op
from blueprints.prefix import Frame, Prefix, Stepper, Value, stored
from blueprints.typing_table import TypingTable
from blueprints.vocabulary import (
    BLOCK_STARTS,
    BODY_ATTRIBUTES,
    BRANCH_SEP,
    BRANCH_START,
    END,
    LOAD,
    LOOP_END,
    LOOP_START,
    SAVE,
    SCAN_START,
)

#: A rule's name and what is wrong, to be read after "TOKEN (token 3) " or, of `END`, "the program ends ".
Broken = tuple[str, str]


class Rules:
    """Says which rule a token breaks after a prefix."""

    def __init__(self, language: Language, table: TypingTable, stepper: Stepper) -> None:
        self._language = language
        self._vocabulary = language.vocabulary
        self._table = table
        self._stepper = stepper
        self.closers = lru_cache(maxsize=None)(self._find_closers)

    def broken(self, prefix: Prefix, token: str) -> Broken | None:
        """Return the rule that `token` breaks after `prefix`, or None when only budgets could forbid it."""
        return self._broken_at_once(prefix, token) or self._dead_end(prefix, token)

    def _broken_at_once(self, prefix: Prefix, token: str) -> Broken | None:
        if prefix.pending:
            return self._operand(prefix, token)
        if token in self._vocabulary.attribute_tokens:
            return self._optional(prefix, token)
        if token in self._vocabulary.registers:
            return "register-fits-op", "comes where no SAVE, LOAD or merge takes it"
        if token in self._language.table:
            op = self._language.table[token]
            return self.op(prefix.value, op) if op.arity == 1 else self._merge(prefix, op, ())
        if token in (SAVE, LOAD):
            return self._move(prefix, token)
        if token in BLOCK_STARTS:
            return self.block_start(prefix.value, token)
        return self._end(prefix) if token == END else self._closer(prefix, token)

    def op(self, value: Value, op: Op) -> Broken | None:
        """Return the rule that an op of one input breaks on a value."""
        if op.needs_sequence and self._table[value.type].time == "single":
            return "needs-sequence", "needs a sequence, but the value is a single step"
        if value.op in op.no_op_after:
            return "no-op", f"changes nothing directly after {value.op}"
        return None

    def block_start(self, value: Value, token: str) -> Broken | None:
        """Return the rule that opening a block at a value breaks."""
        if token == SCAN_START and self._table[value.type].time == "single":
            return "needs-sequence", "needs a sequence, but the value is a single step"
        return None

    def optional(self, prefix: Prefix) -> Sequence[str]:
        """Return the optional attribute tokens that may follow."""
        if not prefix.modified:
            return ()
        attributes = [a for a in self._language.table[prefix.modified].attributes if a.default is not None]
        used = [i for i, a in enumerate(attributes) for token in prefix.attributes if token in a.tokens]
        return [token for a in attributes[max(used, default=-1) + 1 :] for token in a.tokens]

    # -- tokens that something before them asks for ----------------------------------------------------------

    def _operand(self, prefix: Prefix, token: str) -> Broken | None:
        name = prefix.pending
        wanted = self.operands(prefix)
        if token in self._vocabulary.registers and wanted[0] in self._vocabulary.registers:
            return self._register(prefix, name, token)
        if token in wanted:
            return None
        named = self._named(prefix, wanted)
        if token in self._vocabulary.registers:
            return "register-fits-op", f"follows {name}, which takes {named} here"
        if token in self._vocabulary.attribute_tokens:
            return "attribute-fits-op", f"follows {name}, which takes {named} here"
        kind = "register-missing" if wanted[0] in self._vocabulary.registers else "attribute-missing"
        return kind, f"{'' if token == END else 'comes '}before {name} has its {named}"

    def _named(self, prefix: Prefix, tokens: Sequence[str]) -> str:
        """Return in short which tokens are wanted: `TAP_*` for all that begin so."""
        if tokens[0] in self._vocabulary.registers and not prefix.has_states:
            tokens = tokens[: self._language.num_taps]
        stems = (token.rpartition("_")[0] for token in tokens)
        names = (f"{stem}_*" if stem else token for stem, token in zip(stems, tokens, strict=True))
        return " or ".join(dict.fromkeys(names))

    def operands(self, prefix: Prefix) -> Sequence[str]:
        """Return the tokens that the pending op, block or move takes next, rules about registers aside."""
        name = prefix.pending
        if name in BODY_ATTRIBUTES:
            return tuple(self._language.settings[name].tokens)
        if name in (SAVE, LOAD) or self._language.table[name].arity > 1:
            return tuple(self._vocabulary.registers)
        return tuple(self._language.table[name].required[len(prefix.attributes)].tokens)

    def _optional(self, prefix: Prefix, token: str) -> Broken | None:
        if token in self.optional(prefix):
            return None
        return "attribute-fits-op", "comes where no op takes it"

    def _register(self, prefix: Prefix, name: str, token: str) -> Broken | None:
        index = self._vocabulary.registers[token]
        state = self._language.registers.state(index)
        if state is not None and not prefix.has_states:
            return "state-outside-scan", f"follows {name}, but only the body of a SCAN_START has states"
        if name == SAVE:
            return self._save(prefix, token, index, state)
        value = prefix.registers[index]
        if value is None:
            return "empty-register", f"follows {name}, but nothing was saved in {token} here"
        if name == LOAD:
            return (
                ("no-op", f"follows LOAD, but {token} is the current value") if index in prefix.held else None
            )
        return self._merge(prefix, self._language.table[name], (*prefix.attributes, token))

    def _save(self, prefix: Prefix, token: str, index: int, state: int | None) -> Broken | None:
        if not prefix.held.isdisjoint((index, stored(index))):
            return "no-op", f"follows SAVE, but {token} holds the current value"
        if state is None:
            named = prefix.loaded or prefix.value.op == STATE
            return ("no-op", "follows SAVE, but the value has a name already") if named else None
        if state == 0:
            return "state-0-is-output", "follows SAVE, but state 0 takes what the body ends with"
        states = range(self._language.num_taps, len(prefix.registers))
        if prefix.value.op == STATE and prefix.held.isdisjoint(states):
            return "no-op", f"follows SAVE, but the value may be {token} itself: load a state first"
        have, want = prefix.value.type, self._scan(prefix).ends[0]
        return self._width("takes", have, "the scan's states have", want)

    # -- values by name --------------------------------------------------------------------------------------

    def savable(self, prefix: Prefix) -> Sequence[str]:
        """Return the registers that the current value may be saved in."""
        return self._allowed(prefix, SAVE)

    def loadable(self, prefix: Prefix) -> Sequence[str]:
        """Return the registers that may be loaded."""
        return () if prefix.loaded else self._allowed(prefix, LOAD)

    def _allowed(self, prefix: Prefix, name: str) -> Sequence[str]:
        return [t for t in self._vocabulary.registers if self._register(prefix, name, t) is None]

    def _move(self, prefix: Prefix, name: str) -> Broken | None:
        if name == SAVE:
            return None if self.savable(prefix) else ("no-op", "would only name a value that has a name")
        if prefix.loaded:
            return "no-op", "drops the value that was just loaded"
        if self.loadable(prefix):
            return None
        if not any(prefix.registers):
            return "empty-register", "loads a register, and nothing was saved here yet"
        return "empty-register", "comes where no register holds another value"

    def _merge(self, prefix: Prefix, op: Op, tokens: Sequence[str]) -> Broken | None:
        """Return the rule that merging with the registers `tokens`, and any others to come, breaks."""
        given = self._stepper.register_types(prefix, tokens)
        held = {value.type for value in prefix.registers if value is not None}
        if len(tokens) < op.arity - 1 and not held:
            return "empty-register", "merges with a register, and nothing was saved here yet"
        if self.can_merge(op, (prefix.value.type, *given), held):
            return None
        widths = ", ".join(str(self._table[code]) for code in given or sorted(held))
        what = f"{self._table[prefix.value.type]} with {widths}"
        if op.widths == "sum":
            return "too-wide", f"makes more than {self._language.max_width}D of {what}"
        return "width-mismatch", f"merges {what}"

    def can_merge(self, op: Op, codes: tuple[int, ...], held: set[int]) -> bool:
        """Say whether a merge of values of these types, and more from registers, is possible."""
        if len(codes) == op.arity:
            return self._table.merge(op.name, codes) is not None
        return any(self.can_merge(op, (*codes, code), held) for code in held)

    # -- loops -----------------------------------------------------------------------------------------------

    def _dead_end(self, prefix: Prefix, token: str) -> Broken | None:
        """Return the rule that a token breaks after which the body of a loop can no longer end as it began.

        Every budget forbids such a token too: this says why. A single step becomes a sequence only by a merge
        with one, or by what was saved before.
        """
        loop = self._open_loop(prefix)
        if loop is None or not self._is_sequence(loop.entry.type):
            return None
        leaves = token == LOOP_END or prefix.pending in BODY_ATTRIBUTES
        if leaves or any(map(self._is_sequence, self._at_hand(self._stepper.step(prefix, token).prefix))):
            return None
        began = self._table[loop.entry.type]
        return "loop-changes-type", f"leaves the loop no sequence to end at, where LOOP_START came at {began}"

    def _open_loop(self, prefix: Prefix) -> Frame | None:
        """Return the loop whose body is the innermost, or None where there is none or a scan's is."""
        frame = next((frame for frame in reversed(prefix.frames) if frame.kind in BODY_ATTRIBUTES), None)
        return frame if frame is not None and frame.kind == LOOP_START else None

    def _at_hand(self, prefix: Prefix) -> Iterator[int]:
        """Yield the types of the values that what follows in the innermost body can be made of."""
        yield prefix.value.type
        yield from (value.type for value in prefix.registers if value is not None)
        for frame in takewhile(lambda frame: frame.kind not in BODY_ATTRIBUTES, reversed(prefix.frames)):
            yield from frame.ends
            if frame.kind != BRANCH_START or BRANCH_SEP in self.closers(frame.kind, frame.part):
                yield frame.entry.type

    def _is_sequence(self, code: int) -> bool:
        return self._table[code].time == "sequence"

    # -- ends ------------------------------------------------------------------------------------------------

    def _end(self, prefix: Prefix) -> Broken | None:
        if prefix.frames:
            return "unclosed-block", f"inside {prefix.frames[-1].kind}"
        if not prefix.can_close:
            what = "before its first op" if prefix.empty else "with its input unchanged"
            return "empty-program", what
        return self._width("at", prefix.value.type, "its input has", 0)

    def _closer(self, prefix: Prefix, token: str) -> Broken | None:
        frame = prefix.frames[-1] if prefix.frames else None
        if frame is None:
            return "block-mismatch", "comes where no block is open"
        if token not in self.closers(frame.kind, frame.part):
            return "block-mismatch", self._mismatch(frame, token)
        if not prefix.can_close:
            what = "holds no op" if prefix.empty else "returns a value that it was given"
            return "empty-block", f"closes {frame.kind}, which {what}"
        if token == BRANCH_SEP or self._stepper.closed(frame, prefix.value.type, token) is not None:
            return self._more_branches(frame, prefix) if token == BRANCH_SEP else None
        return self._misfit(frame, prefix.value.type, token)

    def _mismatch(self, frame: Frame, token: str) -> str:
        """Say why a token does not end the current part of the innermost block."""
        merge = self._vocabulary.merges.get(token)
        if token == BRANCH_SEP or merge is not None:
            if frame.kind != BRANCH_START:
                return f"ends a branch, but {frame.kind} is open"
            if merge is None:
                return f"ends branch {frame.part}, but no merge takes more branches"
            return f"merges {self._language.table[merge].arity} branches, but {frame.kind} has {frame.part}"
        kind = next(start for start, end in BLOCK_STARTS.items() if end == token)
        return f"closes {kind}, but {frame.kind} is open"

    def _more_branches(self, frame: Frame, prefix: Prefix) -> Broken | None:
        """Return the rule that a third branch breaks: merges of three want one width."""
        if not frame.ends:
            return None
        return self._width("comes at", prefix.value.type, "the first branch has", frame.ends[0])

    def _misfit(self, frame: Frame, end: int, token: str) -> Broken:
        table, entry = self._table, frame.entry.type
        if frame.kind == LOOP_START and table.same_width(end, entry):
            return "loop-changes-type", f"comes at {table[end]}, where LOOP_START came at {table[entry]}"
        wide = token in self._vocabulary.merges
        if wide and self._language.table[self._vocabulary.merges[token]].widths == "sum":
            widths = ", ".join(str(table[code]) for code in (*frame.ends, end))
            return "too-wide", f"makes more than {self._language.max_width}D of {widths}"
        if frame.kind == SCAN_START:
            whose, want = "the scan's states have", frame.ends[0]
        elif frame.kind == BRANCH_START:
            whose, want = "the first branch has", frame.ends[0]
        else:
            whose, want = "its block's input has", entry
        broken = self._width("comes at", end, whose, want)
        assert broken is not None, "an end that fits closes its block"
        return broken

    def _width(self, comes: str, have: int, whose: str, want: int) -> Broken | None:
        if self._table.same_width(have, want):
            return None
        return "width-mismatch", f"{comes} {self._table[have]}, where {whose} {self._table[want]}"

    def _scan(self, prefix: Prefix) -> Frame:
        return next(frame for frame in reversed(prefix.frames) if frame.kind == SCAN_START)

    def _find_closers(self, kind: str, parts: int) -> Sequence[str]:
        """Return the tokens that may end part number `parts` of a block, types aside."""
        if kind != BRANCH_START:
            return (BLOCK_STARTS[kind],)
        table = self._language.table
        merges = [token for token, op in self._vocabulary.merges.items() if table[op].arity == parts]
        deeper = any(table[op].arity > parts for op in self._vocabulary.merges.values())
        return (*([BRANCH_SEP] if deeper else []), *merges)
