"""A blueprint as a JSON document and back; blueprint.schema.json beside this file describes the form.

The graph in a document is for readers that do not know the language. Reading one back parses its tokens and
checks that the document says nothing else.
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from reprlib import repr as short
from typing import Any

from blueprints.errors import BlueprintError, TamiyoError
from blueprints.graph import Graph, Node
from blueprints.language import LANGUAGE, Language
from blueprints.parser import Blueprint, parse

FORMAT, FORMAT_VERSION = "tamiyo-blueprint", 1
#: The fields of a document, with what each must be.
FIELDS: Mapping[str, type] = {
    "format": str,
    "format_version": int,
    "id": str,
    "language_version": str,
    "tokens": list,
    "graph": dict,
}


class DocumentError(TamiyoError):
    """A document that is no blueprint: names the field, what came and what was expected."""


class LanguageMismatchError(TamiyoError):
    """A blueprint of another language version, which is no program of this one, or another."""


def to_json(blueprint: Blueprint) -> dict[str, Any]:
    """Return a blueprint as plain JSON types: dictionaries, lists, strings, integers, booleans.

    Ratios are strings such as "1/2". A body stands in its node, with the nodes that a scan stores.
    """
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "id": blueprint.id,
        "language_version": blueprint.language_version,
        "tokens": list(blueprint.tokens),
        "graph": _graph(blueprint.graph),
    }


def from_json(document: Mapping[str, Any], language: Language = LANGUAGE) -> Blueprint:
    """Return the blueprint of a document; its id, tokens and graph must say the same.

    A document of another language version is accepted when its tokens spell the same blueprint in `language`.

    Raises:
        DocumentError: when a field is missing, unknown, of a wrong type, or in contradiction to the tokens.
        LanguageMismatchError: when the document is of another language version and its tokens are no program
            in `language`, or spell another blueprint.
    """
    _check_fields(document)
    blueprint = _read_tokens(document, language)
    if blueprint.id != document["id"]:
        raise DocumentError(
            f"id is {document['id'][:64]}, but the tokens spell {blueprint.id}: the document was changed"
        )
    for where, came, expected in _differences(document["graph"], _graph(blueprint.graph), "graph"):
        raise DocumentError(
            f"{where} is {short(came)}, but the tokens spell {short(expected)}: write the document anew"
        )
    return blueprint


def _graph(graph: Graph) -> dict[str, Any]:
    return {"nodes": [_node(node) for node in graph.nodes], "stores": list(graph.stores)}


def _node(node: Node) -> dict[str, Any]:
    value = {
        "op": node.op,
        "attributes": {name: str(v) if isinstance(v, Fraction) else v for name, v in node.attributes},
        "inputs": list(node.inputs),
        "type": {"time": node.type.time, "width": str(node.type.width), "causal": node.type.causal},
    }
    return value if node.body is None else {**value, "body": _graph(node.body)}


def _check_fields(document: Mapping[str, Any]) -> None:
    if not isinstance(document, Mapping):
        raise DocumentError(f"a {type(document).__name__} came, expected an object: what json.load returns")
    if document.get("format") != FORMAT:
        raise DocumentError(f"format is {short(document.get('format'))}, expected {FORMAT!r}")
    if document.get("format_version") != FORMAT_VERSION:
        raise DocumentError(
            f"format_version is {short(document.get('format_version'))}, expected {FORMAT_VERSION}: read the "
            "document with the version of the package that wrote it"
        )
    if set(document) != set(FIELDS):
        raise DocumentError(f"the fields are {short(sorted(document))}, expected {', '.join(FIELDS)}")
    for name, kind in FIELDS.items():
        if not isinstance(document[name], kind):
            raise DocumentError(f"{name} is a {type(document[name]).__name__}, expected a {kind.__name__}")
    for index, token in enumerate(document["tokens"]):
        if not isinstance(token, str):
            raise DocumentError(f"tokens[{index}] is {short(token)}, expected a string")


def _read_tokens(document: Mapping[str, Any], language: Language) -> Blueprint:
    """Return the blueprint that the tokens spell; of another language version, only the same blueprint."""
    is_other = document["language_version"] != language.version_hash
    try:
        blueprint = parse(document["tokens"], language)
    except BlueprintError as error:
        if is_other:
            raise _mismatch(document, language, f"they are no program: {error}") from error
        raise DocumentError(f"the tokens are no program: {error}") from error
    if is_other and blueprint.id != document["id"]:
        raise _mismatch(document, language, f"they spell another blueprint, {blueprint.id[:12]}")
    return blueprint


def _mismatch(document: Mapping[str, Any], language: Language, what: str) -> LanguageMismatchError:
    return LanguageMismatchError(
        f"blueprint {document['id'][:12]} was written in language {document['language_version'][:12]}, this "
        f"is {language.version_hash[:12]}; its tokens mean something else here: {what}. Read it with the "
        "Language(...) or the version of the package that wrote it"
    )


def _differences(came: Any, expected: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield where a JSON value differs from what was expected, innermost, with both."""
    if isinstance(came, dict) and isinstance(expected, dict) and set(came) == set(expected):
        for name in expected:
            yield from _differences(came[name], expected[name], f"{where}.{name}")
    elif isinstance(came, list) and isinstance(expected, list) and len(came) == len(expected):
        for index, pair in enumerate(zip(came, expected, strict=True)):
            yield from _differences(*pair, f"{where}[{index}]")
    elif type(came) is not type(expected) or came != expected:
        yield where, came, expected
