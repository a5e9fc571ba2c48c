"""From a graph back to tokens: the inverse of parsing, up to isomorphism; minds no budget.

What nests is printed as blocks. The rest is printed node after node: a value with several users, or with a
user that comes later, gets a tap; of several orders the one with the fewest tokens is kept.
"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property

from blueprints.errors import TamiyoError
from blueprints.graph import ADD, INPUT, LOOP, MUL, STATE, Graph
from blueprints.language import LANGUAGE, Language
from blueprints.vocabulary import (
    BLOCK_STARTS,
    BODY_ATTRIBUTES,
    BRANCH_SEP,
    BRANCH_START,
    GATE_END,
    GATE_START,
    LOAD,
    LOOP_END,
    LOOP_START,
    MERGE,
    RES_END,
    RES_START,
    SAVE,
    SCAN_END,
    SCAN_START,
)

Tokens = tuple[str, ...]

#: Orders that are tried for what does not nest, of which the shortest is kept; and before it is given up.
TRIES, MOST_TRIES = 16, 400


_UNSAID = "and no program says so"


class _OutOfTapsError(Exception):
    """An order needs more taps than are free."""


def to_tokens(graph: Graph, language: Language = LANGUAGE) -> Tokens:
    """Return a program whose graph is isomorphic to `graph`; it may be longer than one that it came from.

    Raises:
        TamiyoError: when more values wait for their users than the language has taps, or when the graph holds
            what no program says: an op where the rule `no-op` refuses it, a body that gives back what it was
            given, or a state that takes itself.
    """
    _refuse_what_no_program_says(graph, language)
    try:
        return _Printer(graph, language).program()
    except _OutOfTapsError:
        raise TamiyoError(
            f"a graph of {len(graph.nodes)} nodes needs more than the language's {language.num_taps} taps to "
            "be written; print it with Language(num_taps=...)"
        ) from None


def _refuse_what_no_program_says(graph: Graph, language: Language) -> None:
    for node in graph.nodes[1:]:
        before = graph.nodes[node.inputs[0]].op if node.inputs else ""
        row = language.table.get(node.op)
        if row is not None and before in row.no_op_after:
            raise TamiyoError(f"{node.label} stands directly after {before}, {_UNSAID}: leave it out")
        if node.body is not None:
            _refuse_what_no_body_says(node.body, node.label)
            _refuse_what_no_program_says(node.body, language)


def _refuse_what_no_body_says(body: Graph, where: str) -> None:
    given = body.nodes[body.output]
    if given.op in (INPUT, STATE):
        raise TamiyoError(f"the body of {where} ends with {given.label}, {_UNSAID}: end it with an op")
    for state, source in enumerate(body.stores):
        node = body.nodes[source]
        if node.op == STATE and node.attribute("index") == state:
            raise TamiyoError(f"state {state} of {where} takes itself, {_UNSAID}: store another value in it")


class _Printer:
    """Prints one scope: a program, or the body of a loop or scan."""

    def __init__(self, graph: Graph, language: Language) -> None:
        self.graph = graph
        self.language = language

    def program(self) -> Tokens:
        """Return the tokens of the whole scope."""
        taps = self.language.registers.tokens[: self.language.num_taps]
        if not self.graph.stores:
            return _without_idle_saves(self.between(0, self.graph.output, taps))
        nodes = [i for i, node in enumerate(self.graph.nodes) if i and node.op != STATE]
        return _without_idle_saves(self.in_order(0, nodes, self.graph.output, taps))

    def between(self, start: int, end: int, free: Sequence[str]) -> Tokens:
        """Return the tokens that lead from the value of `start` to the value of `end`, which it dominates."""
        pieces: list[Tokens] = []
        while end != start:
            source = self.chained(end)
            if source is not None:
                pieces.append(self.op(end, self.operands(end, source)))
                end = source
                continue
            split = self.dominators[end]
            block = self.block(split, end, free)
            if block is None:
                block = self.in_order(split, sorted(self.region(split, end)), end, free)
            pieces.append(block)
            end = split
        return tuple(token for piece in reversed(pieces) for token in piece)

    # -- single ops ------------------------------------------------------------------------------------------

    def op(self, index: int, operands: Iterable[str] = ()) -> Tokens:
        """Return the tokens of one node, whose first input is the current value."""
        node = self.graph.nodes[index]
        if node.body is not None:
            start, end = (LOOP_START, LOOP_END) if node.op == LOOP else (SCAN_START, SCAN_END)
            attribute = self.language.settings[start]
            setting = _token(attribute.tokens, node.attribute(attribute.name))
            return (start, setting, *_Printer(node.body, self.language).program(), end)
        attributes = [
            _token(attribute.tokens, node.attribute(attribute.name))
            for attribute in self.language.table[node.op].attributes
            if node.attribute(attribute.name) != attribute.default
        ]
        return (node.op, *attributes, *operands)

    def is_commutative(self, index: int) -> bool:
        """Say whether the order of a node's inputs is without meaning."""
        row = self.language.table.get(self.graph.nodes[index].op)
        return row is not None and row.commutative

    def chained(self, index: int) -> int | None:
        """Return the input that alone must be current for this node, where all others are states."""
        inputs = self.graph.nodes[index].inputs
        computed = [i for i in inputs if self.graph.nodes[i].op != STATE]
        if len(computed) != 1 or (computed[0] != inputs[0] and not self.is_commutative(index)):
            return None
        return computed[0]

    def operands(self, index: int, current: int) -> list[str]:
        """Return the registers of the inputs but the current one, all of them states."""
        others = list(self.graph.nodes[index].inputs)
        others.remove(current)
        return [f"STATE_{self.graph.nodes[i].attribute('index')}" for i in others]

    # -- blocks ----------------------------------------------------------------------------------------------

    @cached_property
    def users(self) -> list[list[int]]:
        """The users of each node; what is stored has the user -1."""
        users: list[list[int]] = [[] for _ in self.graph.nodes]
        for index, node in enumerate(self.graph.nodes):
            for source in node.inputs:
                users[source].append(index)
        for source in self.graph.stores:
            users[source].append(-1)
        return users

    @cached_property
    def dominators(self) -> list[int]:
        """For each node the last one before it that every path from the input passes, states aside."""
        dominators = [0] * len(self.graph.nodes)
        for index, node in enumerate(self.graph.nodes[1:], start=1):
            sources = [i for i in node.inputs if self.graph.nodes[i].op != STATE]
            if not sources:
                continue
            common = sources[0]
            for other in sources[1:]:
                while common != other:
                    if common > other:
                        common = dominators[common]
                    else:
                        other = dominators[other]
            dominators[index] = common
        return dominators

    def region(self, split: int, end: int) -> set[int]:
        """Return the nodes after `split` up to `end`, states aside."""
        found: set[int] = set()
        pending = [end]
        while pending:
            index = pending.pop()
            if index != split and index not in found and self.graph.nodes[index].op != STATE:
                found.add(index)
                pending += self.graph.nodes[index].inputs
        return found

    def block(self, split: int, end: int, free: Sequence[str]) -> Tokens | None:
        """Return the part from `split` to the merge `end` as one block, or None where it is none."""
        node = self.graph.nodes[end]
        parts = [(i, self.region(split, i)) for i in node.inputs]
        if not all(self.is_closed(part, end) for _, part in parts):
            return None
        if sum(len(part) for _, part in parts) != len(set().union(*(part for _, part in parts))):
            return None
        if any(self.graph.nodes[i].op == STATE for i in node.inputs):
            return None
        if self.is_commutative(end):
            parts.sort(key=lambda part: not part[1])
        if not parts[0][1]:
            return None
        body = parts[0][0]
        if len(parts) == 2 and not parts[1][1]:
            if node.op == ADD:
                return (RES_START, *self.between(split, body, free), RES_END)
            inside = self.graph.nodes[body].inputs[0]
            if node.op == MUL and self.graph.nodes[body].op == "SIGMOID" and inside != split:
                return (GATE_START, *self.between(split, inside, free), GATE_END)
        branches = [self.between(split, i, free) for i, _ in parts]
        joined = [token for branch in branches for token in (*branch, BRANCH_SEP)][:-1]
        return (BRANCH_START, *joined, MERGE + node.op)

    def is_closed(self, part: set[int], end: int) -> bool:
        """Say whether nothing but `end` uses the values of a part from outside, and starts it from states."""
        inputs_known = all(
            any(self.graph.nodes[i].op != STATE for i in self.graph.nodes[index].inputs) for index in part
        )
        return (
            inputs_known
            and 0 not in part
            and all(user == end or user in part for index in part for user in self.users[index])
        )

    # -- one after the other ---------------------------------------------------------------------------------

    def in_order(self, start: int, nodes: Sequence[int], end: int, free: Sequence[str]) -> Tokens:
        """Return the tokens of `nodes` one after the other, in the best order that was found."""
        found = []
        for seed in range(MOST_TRIES):
            if seed >= TRIES and found:
                break
            try:
                found.append(_Sequence(self, start, nodes, end, free, random.Random(seed)).tokens)
            except _OutOfTapsError:
                continue
        if not found:
            raise _OutOfTapsError
        return min(found, key=len)


class _Sequence:
    """One order of some nodes, with taps for values that are not used at once."""

    def __init__(
        self,
        printer: _Printer,
        start: int,
        nodes: Sequence[int],
        end: int,
        free: Sequence[str],
        rng: random.Random,
    ) -> None:
        self.printer = printer
        self.graph = printer.graph
        self.free = list(free)
        self.rng = rng
        self.current = start
        self.end = end
        self.written: list[str] = []
        self.registers = {
            i: f"STATE_{node.attribute('index')}"
            for i, node in enumerate(self.graph.nodes)
            if node.op == STATE
        }
        self.sources = self._units(start, nodes, free)
        self.uses = Counter(i for sources in self.sources.values() for i in sources)
        self.uses[end] += 1
        self._store_what_is_given()
        while self.sources:
            self._emit(self._next())
        if self.current != end:
            self._load(end)

    @property
    def tokens(self) -> Tokens:
        """What was written."""
        return tuple(self.written)

    def _units(self, start: int, nodes: Sequence[int], free: Sequence[str]) -> dict[int, tuple[int, ...]]:
        """Return the inputs of each node; a block that nests is one node, with the block's input."""
        known = {start, *nodes}
        sources = {index: self.graph.nodes[index].inputs for index in nodes}
        self.blocks: dict[int, int] = {}
        for index in reversed(nodes):
            split = self.printer.dominators[index]
            if index not in sources or len(sources[index]) < 2 or split not in known:
                continue
            if split != start or index != self.end or self.graph.stores:
                try:
                    block = self.printer.block(split, index, free)
                except _OutOfTapsError:
                    continue
                if block is not None:
                    self.blocks[index] = split
                    for inner in self.printer.region(split, index) - {index}:
                        del sources[inner]
                    sources[index] = (split,)
        return sources

    def _next(self) -> int:
        """Return a node whose inputs are there: best one that takes the current value and frees others."""
        ready = [i for i, inputs in self.sources.items() if not any(j in self.sources for j in inputs)]

        def rank(index: int) -> tuple:
            inputs = self.sources[index]
            last = sum(self.uses[i] == inputs.count(i) for i in set(inputs))
            return self._wanted(index) != self.current, -last, self.rng.random()

        return min(ready, key=rank)

    def _wanted(self, index: int) -> int:
        """Return the input that has to be current for a node."""
        inputs = self.sources[index]
        if index not in self.blocks and self.printer.is_commutative(index):
            if self.current in inputs:
                return self.current
            return next((i for i in inputs if self.graph.nodes[i].op != STATE), inputs[0])
        return inputs[0]

    def _emit(self, index: int) -> None:
        wanted = self._wanted(index)
        inputs = self.sources.pop(index)
        if wanted != self.current:
            self._keep(self.current)
            self._load(wanted)
        others = list(inputs)
        others.remove(wanted)
        self.uses.subtract([wanted])
        self._keep(wanted)
        operands = [self._register(i) for i in others]
        self.uses.subtract(others)
        for source in set(inputs):
            self._release(source)
        if index in self.blocks:
            block = self.printer.block(self.blocks[index], index, self.free)
            assert block is not None, "a block stays one"
            self.written += block
        else:
            self.written += self.printer.op(index, operands)
        self.current = index
        self._store(index)

    def _keep(self, index: int) -> None:
        """Save the current value where something still needs it."""
        if self.uses[index] > 0 and index not in self.registers:
            if not self.free:
                raise _OutOfTapsError
            self.registers[index] = self.free.pop(0)
            self.written += [SAVE, self.registers[index]]

    def _register(self, index: int) -> str:
        return self.registers[index]

    def _load(self, index: int) -> None:
        self.written += [LOAD, self.registers[index]]
        self.current = index

    def _release(self, index: int) -> None:
        if self.uses[index] == 0 and self.graph.nodes[index].op != STATE and index in self.registers:
            self.free.insert(0, self.registers.pop(index))

    def _store(self, index: int) -> None:
        """Write the current value into the states that take it, but the first, which takes the output."""
        for state, source in enumerate(self.graph.stores):
            if state and source == index:
                self.written += [SAVE, f"STATE_{state}"]

    def _store_what_is_given(self) -> None:
        """Store the input and states where a state takes them; the state before is what one takes anyway."""
        self._store(self.current)
        for state, source in enumerate(self.graph.stores):
            node = self.graph.nodes[source]
            if state and node.op == STATE and node.attribute("index") != state - 1:
                self._keep(self.current)
                self._load(source)
                self.written += [SAVE, f"STATE_{state}"]


def _without_idle_saves(tokens: Tokens) -> Tokens:
    """Return the tokens of a scope without saving a value where it stands already, or loading one in vain."""
    kept: list[str] = []
    registers: dict[str, int] = {}
    value = depth = 0
    position = 0
    while position < len(tokens):
        token = tokens[position]
        length = 2 if token in (SAVE, LOAD) else 1
        depth += (token in BODY_ATTRIBUTES) - (token in (LOOP_END, SCAN_END))
        idle = False
        if depth == 0 and token == SAVE:
            idle = registers.get(tokens[position + 1]) == value
            registers[tokens[position + 1]] = value
        elif depth == 0 and token == LOAD:
            value = registers.get(tokens[position + 1], position + 1)
        elif token not in BLOCK_STARTS:
            value = position + 1
        if depth == 0 and token == LOAD and kept[-2:-1] == [LOAD]:
            del kept[-2:]
        kept += () if idle else tokens[position : position + length]
        position += length
    return tuple(kept)


def _token(tokens, value) -> str:
    return next(token for token, meaning in tokens.items() if meaning == value)
