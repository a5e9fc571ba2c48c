"""From tokens to a blueprint: asks the grammar token by token, builds the typed graph as it goes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from blueprints.canonical import canonical_form, structural_hash
from blueprints.errors import BlueprintError, TamiyoError
from blueprints.grammar import Cursor, Grammar, grammar_of
from blueprints.graph import (
    ADD,
    IDENTITY_GRAPH,
    INPUT,
    INPUT_NODE,
    LOOP,
    MUL,
    SCAN,
    AttributeValue,
    Graph,
    Node,
    state_node,
)
from blueprints.html_form import card, counts
from blueprints.language import LANGUAGE, Language
from blueprints.types import INPUT_TYPE, ValueType
from blueprints.typing_table import attribute_values
from blueprints.vocabulary import (
    BLOCK_STARTS,
    BODY_ATTRIBUTES,
    BRANCH_SEP,
    BRANCH_START,
    END,
    GATE_END,
    LOAD,
    LOOP_END,
    RES_END,
    SAVE,
    SCAN_END,
    SCAN_START,
)


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

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the drawing with counts and tokens."""
        return card(self.id[:12], self.graph, self.tokens, counts(self.graph))


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens `start` up to, not including, `end` of a program; they made one node."""

    start: int
    end: int


def parse(tokens: Sequence[str], language: Language = LANGUAGE) -> Blueprint:
    """Return the blueprint that `tokens` spell.

    Raises:
        BlueprintError: naming the broken rule, its position, and the tokens that were expected there.
        TamiyoError: for a text, which `from_text` reads.
    """
    graph, _ = parse_graph(tokens, language)
    canonical = canonical_form(graph, language)
    return Blueprint(tuple(tokens), canonical, structural_hash(canonical), language.version_hash)


def parse_graph(tokens: Sequence[str], language: Language = LANGUAGE) -> tuple[Graph, tuple[Span, ...]]:
    """Return the graph in the order of the tokens, and the span of each node but the input.

    Raises:
        BlueprintError: as `parse`.
        TamiyoError: as `parse`.
    """
    if isinstance(tokens, str):
        raise TamiyoError(f"{tokens!r} is a text, expected a sequence of tokens; read it with from_text")
    grammar = grammar_of(language)
    cursor = grammar.start()
    builder = _Builder(language)
    for position, token in enumerate(tokens):
        if token == END or token not in grammar.legal(cursor):
            raise _error(grammar, cursor, tokens, position, token)
        cursor = grammar.advance(cursor, token)
        builder.take(position, token)
    if END not in grammar.legal(cursor):
        raise _error(grammar, cursor, tokens, len(tokens), END)
    graph = builder.scope.graph()
    return graph, tuple(builder.scope.spans[: graph.output])


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
    """An open block: its opening token, where that stands, its input node, and the ends of its branches."""

    kind: str
    start: int
    entry: int
    ends: tuple[int, ...] = ()


@dataclass(slots=True)
class _Scope:
    """The program, or the body of a loop or scan, while it is being read.

    Attributes:
        nodes: the nodes so far.
        spans: the tokens of each node but the input.
        current: index of the node of the current value.
        blocks: the blocks open in it.
        registers: register token to the node whose value it names.
        stores: number of a scan's state to the node that is stored there.
        setting: of a body, the attribute after its opening token.
        state: of a scan's body, the type of its states.
        start: position of its opening token.
    """

    nodes: list[Node]
    spans: list[Span] = field(default_factory=list)
    current: int = 0
    blocks: list[_Open] = field(default_factory=list)
    registers: dict[str, int] = field(default_factory=dict)
    stores: dict[int, int] = field(default_factory=dict)
    setting: tuple[tuple[str, AttributeValue], ...] = ()
    state: ValueType | None = None
    start: int = 0

    def append(self, node: Node, span: Span) -> int:
        """Add a node and make it the current one; return its index."""
        self.nodes.append(node)
        self.spans.append(span)
        self.current = len(self.nodes) - 1
        return self.current

    def graph(self) -> Graph:
        """Return the graph up to the current value; what was computed after it feeds nothing."""
        return Graph(tuple(self.nodes[: self.current + 1]))


class _Builder:
    """Builds nodes from tokens that the grammar accepted."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.scopes = [_Scope([INPUT_NODE])]
        self.pending: tuple[int, str] | None = None
        self.operands: list[str] = []

    @property
    def scope(self) -> _Scope:
        """The innermost scope."""
        return self.scopes[-1]

    def take(self, position: int, token: str) -> None:
        """Take the token at `position`."""
        scope, vocabulary = self.scope, self.language.vocabulary
        if self.pending is not None:
            self.operands.append(token)
            self._apply_if_complete(position)
        elif token in vocabulary.attribute_tokens:
            self._modify(position, token)
        elif token in self.language.table or token in BODY_ATTRIBUTES or token in (SAVE, LOAD):
            self.pending, self.operands = (position, token), []
            self._apply_if_complete(position)
        elif token in BLOCK_STARTS:
            scope.blocks.append(_Open(token, position, scope.current))
        elif token == BRANCH_SEP:
            block = scope.blocks[-1]
            scope.blocks[-1] = replace(block, ends=(*block.ends, scope.current))
            scope.current = block.entry
        elif token in (LOOP_END, SCAN_END):
            self._close_scope(position)
        else:
            self._close(position, token)

    def _apply_if_complete(self, position: int) -> None:
        assert self.pending is not None
        start, name = self.pending
        if len(self.operands) < self.language.num_operands(name):
            return
        span, operands = Span(start, position + 1), tuple(self.operands)
        self.pending = None
        if name in BODY_ATTRIBUTES:
            self._open_scope(start, name, operands[0])
        elif name == SAVE:
            self._save(operands[0])
        elif name == LOAD:
            self.scope.current = self._read(operands[0])
        elif self.language.table[name].arity > 1:
            inputs = (self.scope.current, *(self._read(token) for token in operands))
            self._append(name, inputs, span)
        else:
            attributes = attribute_values(self.language.table[name], operands)
            self._append(name, (self.scope.current,), span, tuple(attributes.items()))

    def _modify(self, position: int, token: str) -> None:
        """Give the op just written an optional attribute."""
        scope = self.scope
        node, span = scope.nodes[-1], scope.spans[-1]
        row = self.language.table[node.op]
        name, value = next((a.name, a.tokens[token]) for a in row.attributes if token in a.tokens)
        attributes = {**dict(node.attributes), name: value}
        type_ = row.infer(tuple(scope.nodes[i].type for i in node.inputs), attributes)
        scope.nodes[-1] = replace(node, attributes=tuple(attributes.items()), type=type_)
        scope.spans[-1] = Span(span.start, position + 1)

    def _save(self, token: str) -> None:
        state = self._state(token)
        if state is None:
            self.scope.registers[token] = self.scope.current
        else:
            self.scope.stores[state] = self.scope.current

    def _read(self, token: str) -> int:
        state = self._state(token)
        return self.scope.registers[token] if state is None else self._state_node(state)

    def _state(self, token: str) -> int | None:
        return self.language.registers.state(self.language.vocabulary.registers[token])

    def _state_node(self, state: int) -> int:
        """Return the node that reads a state; the first to ask makes it."""
        scope = self.scope
        name = f"STATE {state}"
        if name not in scope.registers:
            assert scope.state is not None, "only a scan has states"
            scope.nodes.append(state_node(state, scope.state))
            scope.spans.append(Span(scope.start, scope.start + 1))
            scope.registers[name] = len(scope.nodes) - 1
        return scope.registers[name]

    def _open_scope(self, start: int, name: str, token: str) -> None:
        entry = self.scope.nodes[self.scope.current].type
        attribute = self.language.settings[name]
        value = attribute.tokens[token]
        state = None
        if name == SCAN_START:
            entry = replace(entry, time="single")
            state = replace(entry, width=Fraction(value))
        scope = _Scope(
            [Node(INPUT, (), (), entry)], setting=((attribute.name, value),), state=state, start=start
        )
        self.scopes.append(scope)

    def _close_scope(self, position: int) -> None:
        scope = self.scope
        span, op = Span(scope.start, position + 1), LOOP
        if scope.state is None:
            body, time = scope.graph(), scope.nodes[scope.current].type.time
        else:
            stores = self._stores(scope)
            op, body, time = SCAN, Graph(tuple(scope.nodes), stores), "sequence"
        self.scopes.pop()
        inputs = (self.scope.current,)
        self.scope.append(Node(op, scope.setting, inputs, replace(body.type, time=time), body), span)

    def _stores(self, scope: _Scope) -> tuple[int, ...]:
        """Return the node that each state takes; one that nothing was stored in takes the state before it."""
        stores = [scope.current]
        read = (int(name.split()[1]) for name in scope.registers if name.startswith("STATE "))
        last = max((*scope.stores, *read), default=0)
        for state in range(1, last + 1):
            stores.append(scope.stores[state] if state in scope.stores else self._state_node(state - 1))
        return tuple(stores)

    def _close(self, position: int, token: str) -> None:
        scope = self.scope
        block = scope.blocks.pop()
        span = Span(block.start, position + 1)
        if token == GATE_END:
            self._append("SIGMOID", (scope.current,), span)
        op = {RES_END: ADD, GATE_END: MUL}.get(token) or self.language.vocabulary.merges[token]
        others = block.ends if block.kind == BRANCH_START else (block.entry,)
        self._append(op, (*others, scope.current), span)

    def _append(
        self,
        op: str,
        inputs: tuple[int, ...],
        span: Span,
        attributes: tuple[tuple[str, AttributeValue], ...] = (),
    ) -> None:
        types = tuple(self.scope.nodes[i].type for i in inputs)
        result = self.language.table[op].infer(types, dict(attributes))
        self.scope.append(Node(op, attributes, inputs, result), span)


#: The blueprint of the empty program: the floor that every task is checked against. `parse` refuses it.
IDENTITY = Blueprint((), IDENTITY_GRAPH, structural_hash(IDENTITY_GRAPH), LANGUAGE.version_hash)
assert IDENTITY_GRAPH.type == INPUT_TYPE
