"""Checks a graph that did not come from the parser against the op table; repairs nothing."""

from dataclasses import replace
from fractions import Fraction

from blueprints.errors import TamiyoError
from blueprints.graph import INPUT, INPUT_NODE, LOOP, SCAN, STATE, AttributeValue, Graph, Node
from blueprints.language import LANGUAGE, Language
from blueprints.ops import Attribute
from blueprints.types import INPUT_TYPE, ValueType
from blueprints.vocabulary import LOOP_START, SCAN_START

#: Ops with a body, with the tokens that open it.
BODIES = {LOOP: LOOP_START, SCAN: SCAN_START}


class VerificationError(TamiyoError):
    """A graph that breaks the op table's typing: names the node, what it has and what it should have."""


def verify(graph: Graph, language: Language = LANGUAGE) -> None:
    """Check ops, attributes, arities and types of every node, bodies included, and the output's width.

    Raises:
        VerificationError: at the first node that breaks a rule.
    """
    if graph.nodes[0] != INPUT_NODE:
        raise VerificationError(
            f"node %0 is {graph.nodes[0].label} {graph.nodes[0].type}, expected the input"
        )
    if graph.stores:
        raise VerificationError("only the body of a SCAN stores states")
    _verify_nodes(graph, language, "", None)
    if graph.type.width != INPUT_TYPE.width:
        raise VerificationError(f"the output is {graph.type}, expected the input's width D")


def _verify_nodes(graph: Graph, language: Language, path: str, state: ValueType | None) -> None:
    """Check the nodes of a graph; `state` is the type of its states when it is a scan's body."""
    for index, node in enumerate(graph.nodes[1:], start=1):
        where = f"node {path}%{index} ({node.label})"
        if node.op == STATE:
            _verify_state(graph, node, state, where)
        elif node.op in BODIES:
            _verify_body(graph, index, language, f"{path}%{index} ", where)
        elif node.op in language.table:
            _verify_op(graph, index, language, where)
        else:
            raise VerificationError(f"{where} is no op of this language; known: {', '.join(language.table)}")


def _verify_op(graph: Graph, index: int, language: Language, where: str) -> None:
    node, inputs = graph.nodes[index], graph.input_types(index)
    row = language.table[node.op]
    if node.body is not None:
        raise VerificationError(f"{where} has a body, which only LOOP and SCAN have")
    if len(node.inputs) != row.arity:
        raise VerificationError(f"{where} has {len(node.inputs)} inputs, expected {row.arity}")
    values = dict(node.attributes)
    expected = tuple(attribute.name for attribute in row.attributes)
    if tuple(values) != expected:
        raise VerificationError(f"{where} has attributes {tuple(values)}, expected {expected}")
    for attribute in row.attributes:
        optional = () if attribute.default is None else (attribute.default,)
        _verify_value(attribute, values[attribute.name], optional, where)
    if row.widths == "equal" and len({x.width for x in inputs}) > 1:
        raise VerificationError(f"{where} merges widths {', '.join(str(x.width) for x in inputs)}")
    if row.needs_sequence and inputs[0].time == "single":
        raise VerificationError(f"{where} needs a sequence, its input is {inputs[0]}")
    if node.type.width > language.max_width:
        raise VerificationError(f"{where} is {node.type}, wider than the {language.max_width}D allowed")
    _verify_type(node, row.infer(inputs, values), where)


def _verify_body(graph: Graph, index: int, language: Language, path: str, where: str) -> None:
    node, inputs = graph.nodes[index], graph.input_types(index)
    attribute = language.settings[BODIES[node.op]]
    if node.body is None or len(inputs) != 1 or tuple(dict(node.attributes)) != (attribute.name,):
        raise VerificationError(f"{where} needs one input, its {attribute.name} and a body")
    _verify_value(attribute, node.attribute(attribute.name), (), where)
    body, x = node.body, inputs[0]
    if node.op == LOOP:
        _verify_input(body, x, where)
        _verify_nodes(body, language, path, None)
        if body.stores or replace(body.type, causal=True) != replace(x, causal=True):
            raise VerificationError(f"{where} turns {x} into {body.type}; a loop keeps the type")
        _verify_type(node, body.type, where)
        return
    if x.time == "single":
        raise VerificationError(f"{where} needs a sequence, its input is {x}")
    step = replace(x, time="single")
    state = replace(step, width=Fraction(node.attribute("width")))
    _verify_input(body, step, where)
    _verify_nodes(body, language, path, state)
    if not body.stores or any(body.nodes[i].type.width != state.width for i in body.stores):
        raise VerificationError(f"{where} must store values of width {state.width} in its states")
    _verify_type(node, replace(body.type, time="sequence"), where)


def _verify_input(body: Graph, expected: ValueType, where: str) -> None:
    if body.nodes[0] != Node(INPUT, (), (), expected):
        raise VerificationError(f"{where} has a body for {body.nodes[0].type}, its input is {expected}")


def _verify_state(graph: Graph, node: Node, state: ValueType | None, where: str) -> None:
    if state is None:
        raise VerificationError(f"{where} stands outside the body of a SCAN")
    if node.inputs or node.body is not None:
        raise VerificationError(f"{where} has inputs or a body; a state is read, not computed")
    values = dict(node.attributes)
    if tuple(values) != ("index",) or values["index"] not in range(len(graph.stores)):
        raise VerificationError(f"{where} is no state of this scan, which stores {len(graph.stores)}")
    _verify_type(node, state, where)


def _verify_value(
    attribute: Attribute, value: AttributeValue, optional: tuple[AttributeValue, ...], where: str
) -> None:
    allowed = (*optional, *attribute.tokens.values())
    if value not in allowed:
        raise VerificationError(
            f"{where} has {attribute.name} {value}, expected one of " + ", ".join(map(str, allowed))
        )


def _verify_type(node: Node, expected: ValueType, where: str) -> None:
    if node.type != expected:
        raise VerificationError(f"{where} is typed {node.type}, expected {expected}")
