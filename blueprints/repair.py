"""Turns any tokens into a program close to them; leaves saying what was wrong with them to the parser.

The grammar is walked as an automaton, its prefixes as states, along the tokens: each is kept, dropped or
replaced, or another is written before it. Ways with fewer edits go first. All ways with one edit are tried,
so that a program one edit away is found; past that a beam follows the ways that read furthest, and what it
finds is near, not always nearest. Where a budget binds, a second search looks at what every way spends.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from typing import NamedTuple

from blueprints.grammar import Cursor, Grammar, grammar_of
from blueprints.language import LANGUAGE, Language
from blueprints.prefix import Prefix, Stepper
from blueprints.rules import Rules
from blueprints.vocabulary import END

Tokens = tuple[str, ...]

#: So many of the ways with one edit are followed further; of those with n edits an n-th part, but not fewer
#: than the narrowest beam.
BEAM, NARROWEST = 24, 4
#: Tokens past so many times the longest program are dropped unread.
FARTHEST = 4
#: States that an automaton remembers before it starts anew.
MOST_STATES = 5_000


@dataclass(frozen=True, slots=True)
class Repair:
    """A legal program close to given tokens.

    Attributes:
        tokens: the program.
        edits: its Levenshtein distance from the given tokens (Levenshtein 1966): the fewest tokens inserted,
            deleted or replaced that turn one into the other.
    """

    tokens: Tokens
    edits: int


def repair(
    tokens: Sequence[str], language: Language = LANGUAGE, max_edits_tried: int | None = None
) -> Repair:
    """Return a legal program close to `tokens`, which may be anything; a legal program is returned as it is.

    Equal tokens give equal programs. Unknown tokens are also read as the ones that they resemble. Who answers
    strangers bounds the edits that are tried, and takes the nearest program found by then; it is legal too.
    """
    given = tuple(tokens)
    meant = tuple(_meant(token, language) for token in given)
    automaton = _automaton_of(language)
    found = (_near(automaton, reading, max_edits_tried) for reading in dict.fromkeys((meant, given)))
    return min((Repair(program, edit_distance(given, program)) for program in found), key=lambda r: r.edits)


def forget_walks() -> None:
    """Give back the memory that walks and repairs remember prefixes in; the next ones begin anew."""
    grammar_of.cache_clear()
    _automaton_of.cache_clear()


def edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the Levenshtein distance between two sequences of tokens."""
    above = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        row = [i]
        for j, y in enumerate(b, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
        above = row
    return above[-1]


def _near(automaton: "Automaton", tokens: Tokens, max_edits_tried: int | None) -> Tokens:
    """Return a program close to tokens: themselves when legal, else what the searches find."""
    if _is_legal(automaton.grammar, tokens):
        return tokens
    tokens = tokens[: FARTHEST * automaton.language.max_length]
    shortest = automaton.completion(automaton.grammar.start())
    assert shortest is not None, "a language has programs"
    found = min(_greedy(automaton, tokens), shortest, key=lambda program: edit_distance(tokens, program))
    bound = edit_distance(tokens, found) + 1
    for is_careful in (False, True):
        search = _Search(automaton, tokens, bound, is_careful, max_edits_tried)
        nearer = search.run()
        if nearer is not None:
            found, bound = nearer, search.bound
        if not search.met_budget:
            break
    return found


def _is_legal(grammar: Grammar, tokens: Tokens) -> bool:
    cursor = grammar.start()
    for token in tokens:
        if token == END or token not in grammar.legal(cursor):
            return False
        cursor = grammar.advance(cursor, token)
    return END in grammar.legal(cursor)


def _greedy(automaton: "Automaton", tokens: Tokens) -> Tokens:
    """Return the program that keeps each token where that is legal, drops the others, and then ends."""
    kept: list[str] = []
    grammar = automaton.grammar
    cursor = grammar.start()
    for token in tokens:
        if token != END and token in grammar.legal(cursor):
            kept.append(token)
            cursor = grammar.advance(cursor, token)
    end = automaton.completion(cursor)
    assert end is not None, "a legal prefix can be completed"
    return (*kept, *end)


class Way(NamedTuple):
    """A token that may be written at a state: it, the state after it, and its FLOPs."""

    token: str
    state: "State"
    flops: int


@dataclass(eq=False, slots=True)
class State:
    """A prefix as a state of the automaton, with what is known of its ways on.

    Attributes:
        prefix: what the grammar remembers of it.
        after: token to the way that it opens; None where a rule forbids it.
        ways: one way, the cheapest, to each state that a single token leads to; empty until asked for.
    """

    prefix: Prefix
    after: dict[str, Way | None] = field(default_factory=dict)
    ways: tuple[Way, ...] = ()


class Automaton:
    """The rules of a language as states and ways, made as they are asked for; knows no budget."""

    def __init__(self, language: Language) -> None:
        self.grammar = grammar_of(language)
        self.language = language
        self._stepper = Stepper(language, language.typing)
        self._rules = Rules(language, language.typing, self._stepper)
        self._states: dict[Prefix, State] = {}
        self._free_tokens = _free_tokens(language)

    def start(self) -> State:
        """Return the state of the empty prefix."""
        if len(self._states) > MOST_STATES:
            self._states.clear()
        return self._state(self._stepper.start())

    def way(self, state: State, token: str) -> Way | None:
        """Return the way that a token opens, or None when it is unknown or a rule forbids it."""
        try:
            return state.after[token]
        except KeyError:
            way = state.after[token] = self._find_way(state, token)
            return way

    def ways(self, state: State) -> tuple[Way, ...]:
        """Return a way, the cheapest, to each state that a token worth writing leads to."""
        if not state.ways:
            cheapest: dict[int, Way] = {}
            for token in self._worth_writing(state.prefix):
                way = self.way(state, token)
                if way is not None:
                    known = cheapest.get(id(way.state))
                    cheapest[id(way.state)] = way if known is None or way.flops < known.flops else known
            state.ways = tuple(cheapest.values())
        return state.ways

    def completion(self, cursor: Cursor) -> Tokens | None:
        """Return one of the shortest completions; None where the shortest is over a budget."""
        tokens: list[str] = []
        if not self.grammar.legal(cursor):
            return None
        limit = cursor.length + self.grammar.shortest(cursor)
        while END not in (legal := self.grammar.legal(cursor, limit)):
            if not legal:
                return None
            token = next((token for token in self._worth_writing(cursor.prefix) if token in legal), legal[0])
            tokens.append(token)
            cursor = self.grammar.advance(cursor, token)
        return tuple(tokens)

    def _worth_writing(self, prefix: Prefix) -> Sequence[str]:
        if prefix.pending:
            return self._rules.operands(prefix)
        return (*self._free_tokens, *self._rules.optional(prefix))

    def _find_way(self, state: State, token: str) -> Way | None:
        if token == END or token not in self.language.vocabulary.ids:
            return None
        if self._rules.broken(state.prefix, token) is not None:
            return None
        step = self._stepper.step(state.prefix, token)
        return Way(token, self._state(step.prefix), step.flops)

    def _state(self, prefix: Prefix) -> State:
        state = self._states.get(prefix)
        if state is None:
            state = self._states[prefix] = State(prefix)
        return state


def _free_tokens(language: Language) -> tuple[str, ...]:
    """Return the tokens worth writing where nothing is pending, in the order in which they are tried.

    Ops without attributes lead to the same states, but for the rules that look back at them, so one that no
    rule looks back at stands for all that keep the sequence, and one for those that pool it.
    """
    looked_back_at = frozenset().union(*(op.no_op_after for op in language.ops))
    plain = [op for op in language.ops if op.arity == 1 and not op.attributes]
    plain.sort(key=lambda op: (op.pools, op.needs_sequence, op.name in looked_back_at, bool(op.no_op_after)))
    first = [next((op.name for op in plain if op.pools == pools), "") for pools in (False, True)]
    vocabulary = language.vocabulary
    aside = vocabulary.attribute_tokens.union(vocabulary.registers, (op.name for op in plain))
    others = (token for token in vocabulary.tokens[1:] if token not in aside)
    return (*filter(None, first), *others)


@lru_cache(maxsize=16)
def _automaton_of(language: Language) -> Automaton:
    return Automaton(language)


class _Node(NamedTuple):
    """A place of the search: so many tokens read, and the program that was written meanwhile.

    Attributes:
        position: how many of the given tokens were read.
        state: where the written tokens lead.
        length: how many were written.
        flops: what they spend.
        token: the last of them, or the empty string when the last given token was dropped.
        parent: the node before.
    """

    position: int
    state: State
    length: int = 0
    flops: int = 0
    token: str = ""
    parent: "_Node | None" = None

    def tokens(self) -> Tokens:
        """Return what was written."""
        written = []
        node: _Node | None = self
        while node is not None:
            if node.token:
                written.append(node.token)
            node = node.parent
        return tuple(reversed(written))


class _Search:
    """One search for a program nearer to the tokens than `bound` edits."""

    def __init__(
        self,
        automaton: Automaton,
        tokens: Tokens,
        bound: int,
        is_careful: bool,
        max_edits_tried: int | None = None,
    ) -> None:
        self.automaton = automaton
        self.tokens = tokens
        self.bound = bound
        self._num_left = float("inf") if max_edits_tried is None else max_edits_tried
        self.met_budget = False
        self._found: Tokens | None = None
        self._is_careful = is_careful
        self._language = automaton.language
        self._seen: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def run(self) -> Tokens | None:
        """Return the nearest program found, or None when none is nearer than the bound."""
        front = self._keep(_Node(0, self.automaton.start()), 0)
        edits = 0
        while front and edits < self.bound:
            following: list[_Node] = []
            for node in front:
                for edited in self._edited(node):
                    self._num_left -= 1
                    if self._num_left < 0:
                        return self._found
                    following += self._keep(edited, edits + 1)
                    if self.bound <= edits + 1:
                        return self._found
            edits += 1
            following.sort(key=_promise)
            front = following[: max(BEAM // edits, NARROWEST)]
        return self._found

    def _keep(self, node: _Node, edits: int) -> list[_Node]:
        """Return the new nodes from one on along given tokens that are kept, the furthest first."""
        nodes: list[_Node] = []
        tokens, way_of = self.tokens, self.automaton.way
        while self._is_new(node):
            nodes.append(node)
            if node.position == len(tokens):
                self._finish(node, edits)
                break
            way = way_of(node.state, tokens[node.position])
            if way is None:
                break
            node = _written(node, way, 1)
        return nodes[::-1]

    def _edited(self, node: _Node) -> Iterator[_Node]:
        """Yield the nodes one edit further: a token written, or the next one dropped or replaced.

        What an op still needs is written before anything is dropped, anything else after.
        """
        inserted = (_written(node, way, 0) for way in self.automaton.ways(node.state))
        if node.state.prefix.pending:
            yield from inserted
        if node.position < len(self.tokens):
            yield node._replace(position=node.position + 1, token="", parent=node)
            for way in self.automaton.ways(node.state):
                yield _written(node, way, 1)
        yield from inserted

    def _is_new(self, node: _Node) -> bool:
        """Say whether a node fits the budgets and none like it was met with fewer edits, or as many."""
        spent = node.length, node.flops
        if spent[0] > self._language.max_length or spent[1] > self._language.max_flops:
            self.met_budget = True
            return False
        key = node.position, id(node.state)
        known = self._seen.get(key)
        if known is None:
            self._seen[key] = [spent]
            return True
        if not self._is_careful or any(a <= spent[0] and b <= spent[1] for a, b in known):
            return False
        known.append(spent)
        return True

    def _finish(self, node: _Node, edits: int) -> None:
        """Complete a node at the end of the given tokens, if that can be nearer than what was found."""
        prefix = node.state.prefix
        if edits + len(prefix.frames) + bool(prefix.pending) >= self.bound:
            return
        end = self.automaton.completion(Cursor(prefix, node.length, node.flops))
        if end is not None and edits + len(end) >= self.bound:
            return
        program = None if end is None else (*node.tokens(), *end)
        if program is None or not _is_legal(self.automaton.grammar, program):
            self.met_budget = True
            return
        self._found, self.bound = program, edits + len(end or ())


def _promise(node: _Node) -> tuple[int, int]:
    """Order nodes of equally many edits: those that read most first, of them those with least left open."""
    return -node.position, len(node.state.prefix.frames) + bool(node.state.prefix.pending)


def _written(node: _Node, way: Way, num_read: int) -> _Node:
    return _Node(
        node.position + num_read, way.state, node.length + 1, node.flops + way.flops, way.token, node
    )


@lru_cache(maxsize=1_000)
def _meant(token: str, language: Language) -> str:
    """Return the token that an unknown one resembles most, if one does, else the token itself."""
    if token in language.vocabulary.ids:
        return token
    return next(iter(get_close_matches(token.upper(), language.tokens[1:], n=1, cutoff=0.7)), token)
