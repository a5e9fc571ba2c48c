"""From tokens to a blueprint: asks the grammar token by token, builds the typed graph as it goes."""

from collections.abc import Sequence
from dataclasses import dataclass

from blueprints.canonical import canonical_form, structural_hash
from blueprints.errors import BlueprintError
from blueprints.grammar import Cursor, Grammar, grammar_of
from blueprints.graph import IDENTITY_GRAPH, INPUT_NODE, MUL, AttributeValue, Graph, Node
from blueprints.language import LANGUAGE, Language
from blueprints.types import INPUT_TYPE
from blueprints.vocabulary import BLOCK_STARTS, BRANCH_SEP, END, GATE_END, MERGES, RES_END


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A legal program, verified and compiled to its canonical graph.

    Attributes:
        tokens: the program as written.
        graph: its canonical form; everything downstream sees this graph alone.
        id: SHA-256 of the canonical form, 64 hexadecimal digits; equal exactly for isomorphic graphs.
        language_version: `Language.version_hash` of the language that it was read with.
    """

    tokens: tuple[str, ...]
    graph: Graph
    id: str
    language_version: str

    def __str__(self) -> str:
        return " ".join(self.tokens)


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens `start` up to, not including, `end` of a program; they made one node."""

    start: int
    end: int


def parse(tokens: Sequence[str], language: Language = LANGUAGE) -> Blueprint:
    """Return the blueprint that `tokens` spell.

    Raises:
        BlueprintError: naming the broken rule, its position, and the tokens that were expected there.
    """
    graph, _ = parse_graph(tokens, language)
    canonical = canonical_form(graph, language)
    return Blueprint(tuple(tokens), canonical, structural_hash(canonical), language.version_hash)


def parse_graph(tokens: Sequence[str], language: Language = LANGUAGE) -> tuple[Graph, tuple[Span, ...]]:
    """Return the graph in the order of the tokens, and the span of each node but the input.

    Raises:
        BlueprintError: as `parse`.
    """
    grammar = grammar_of(language)
    cursor = Cursor()
    builder = _Builder(language)
    for position, token in enumerate(tokens):
        if token == END or token not in grammar.legal(cursor):
            raise _error(grammar, cursor, tokens, position, token)
        cursor = grammar.advance(cursor, token)
        builder.take(position, token)
    if END not in grammar.legal(cursor):
        raise _error(grammar, cursor, tokens, len(tokens), END)
    return Graph(tuple(builder.nodes)), tuple(builder.spans)


def _error(
    grammar: Grammar, cursor: Cursor, tokens: Sequence[str], position: int, token: str
) -> BlueprintError:
    expected = tuple("<end>" if t == END else t for t in grammar.legal(cursor))
    if token == END and position < len(tokens):
        broken = "unknown-token", f"{END} (token {position}) marks the end and is no token of a program"
    else:
        broken = grammar.broken_rule(cursor, token)
    assert broken is not None, "a token refused by the grammar must break a rule"
    return BlueprintError(*broken, position=position, tokens=tokens, expected=expected)


@dataclass(frozen=True, slots=True)
class _Open:
    """An open block: where it started, its input node, and the end of its first branch if passed."""

    start: int
    entry: int
    first: int | None = None


class _Builder:
    """Builds nodes from tokens that the grammar accepted; `current` is the node of the current value."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.nodes: list[Node] = [INPUT_NODE]
        self.spans: list[Span] = []
        self.current = 0
        self.blocks: list[_Open] = []
        self.pending: tuple[int, str] | None = None
        self.attributes: list[tuple[str, AttributeValue]] = []

    def take(self, position: int, token: str) -> None:
        if self.pending is not None:
            start, name = self.pending
            attribute = self.language.ops[name].attributes[len(self.attributes)]
            self.attributes.append((attribute.name, attribute.tokens[token]))
            self._apply_if_complete(start, position, name)
        elif token in self.language.ops:
            self.pending = (position, token)
            self._apply_if_complete(position, position, token)
        elif token in BLOCK_STARTS:
            self.blocks.append(_Open(position, self.current))
        elif token == BRANCH_SEP:
            block = self.blocks.pop()
            self.blocks.append(_Open(block.start, block.entry, first=self.current))
            self.current = block.entry
        else:
            self._close(position, token)

    def _apply_if_complete(self, start: int, position: int, name: str) -> None:
        if len(self.attributes) == len(self.language.ops[name].attributes):
            self._append(name, (self.current,), Span(start, position + 1), tuple(self.attributes))
            self.pending, self.attributes = None, []

    def _close(self, position: int, token: str) -> None:
        block = self.blocks.pop()
        span = Span(block.start, position + 1)
        if token == GATE_END:
            self._append("SIGMOID", (self.current,), span)
        merge = {RES_END: "ADD", GATE_END: MUL, **MERGES}[token]
        other = block.entry if block.first is None else block.first
        self._append(merge, (other, self.current), span)

    def _append(
        self,
        op: str,
        inputs: tuple[int, ...],
        span: Span,
        attributes: tuple[tuple[str, AttributeValue], ...] = (),
    ) -> None:
        types = tuple(self.nodes[i].type for i in inputs)
        result = self.language.ops[op].infer(types, dict(attributes))
        self.nodes.append(Node(op, attributes, inputs, result))
        self.spans.append(span)
        self.current = len(self.nodes) - 1


#: The blueprint of the empty program: the floor that every task is checked against. `parse` refuses it.
IDENTITY = Blueprint((), IDENTITY_GRAPH, structural_hash(IDENTITY_GRAPH), LANGUAGE.version_hash)
assert IDENTITY_GRAPH.type == INPUT_TYPE
