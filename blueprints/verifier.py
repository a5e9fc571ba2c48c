"""Checks a graph that did not come from the parser against the op table; repairs nothing."""

from blueprints.errors import TamiyoError
from blueprints.graph import Graph
from blueprints.language import LANGUAGE, Language
from blueprints.types import INPUT_TYPE


class VerificationError(TamiyoError):
    """A graph that breaks the op table's typing: names the node, what it has and what it should have."""


def verify(graph: Graph, language: Language = LANGUAGE) -> None:
    """Check ops, attributes, arities and types of every node, and the output's width.

    Raises:
        VerificationError: at the first node that breaks a rule.
    """
    for index, node in enumerate(graph.nodes[1:], start=1):
        where = f"node %{index} ({node.label})"
        if node.op not in language.ops:
            raise VerificationError(f"{where} is no op of this language; known: {', '.join(language.ops)}")
        row = language.ops[node.op]
        if len(node.inputs) != row.arity:
            raise VerificationError(f"{where} has {len(node.inputs)} inputs, expected {row.arity}")
        values = dict(node.attributes)
        expected = tuple(attribute.name for attribute in row.attributes)
        if tuple(values) != expected:
            raise VerificationError(f"{where} has attributes {tuple(values)}, expected {expected}")
        for attribute in row.attributes:
            allowed = tuple(attribute.tokens.values())
            if values[attribute.name] not in allowed:
                raise VerificationError(
                    f"{where} has {attribute.name} {values[attribute.name]}, expected one of "
                    + ", ".join(map(str, allowed))
                )
        inputs = graph.input_types(index)
        if len({x.width for x in inputs}) > 1:
            raise VerificationError(f"{where} merges widths {', '.join(str(x.width) for x in inputs)}")
        if row.needs_sequence and inputs[0].time == "single":
            raise VerificationError(f"{where} needs a sequence, its input is {inputs[0]}")
        inferred = row.infer(inputs, values)
        if inferred != node.type:
            raise VerificationError(f"{where} is typed {node.type}, expected {inferred}")
    if graph.type.width != INPUT_TYPE.width:
        raise VerificationError(f"the output is {graph.type}, expected the input's width D")
