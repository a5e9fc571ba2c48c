"""Text, JSON and vectors, with their inverses, which give back the very program.

What contradicts itself, or means something else in this language, is refused.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known import KNOWN, OWN
from programs import programs

import blueprints
from blueprints import LANGUAGE, BlueprintError, Language, TamiyoError, grammar_of, human, parse
from blueprints.json_form import DocumentError, LanguageMismatchError, from_json, to_json
from blueprints.text import from_text, to_text
from blueprints.vector import VectorError, decode_vector, encode_vector

laws = settings(max_examples=100, deadline=None)

# -- text ----------------------------------------------------------------------------------------------------


@laws
@given(programs())
def test_text_is_the_tokens_and_reads_back(tokens):
    blueprint = parse(tokens)
    assert to_text(blueprint) == " ".join(tokens)
    assert from_text(to_text(blueprint)) == blueprint


def test_a_text_may_have_lines_and_comments():
    text = "# the MLP\nRES_START  LINEAR OUT_DIM_QUAD # wide\n\tGELU\n\nLINEAR OUT_DIM_IN RES_END"
    assert from_text(text).tokens == tuple(
        "RES_START LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN RES_END".split()
    )


def test_a_text_is_read_in_the_language_that_is_named():
    assert from_text("TANH GAIN_9", OWN).language_version == OWN.version_hash


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nothing", "rule 'empty-program': the program ends before its first op"),
        (
            "LINEAR # width?\n RELU",
            "rule 'attribute-missing': RELU (token 1) comes before LINEAR has its OUT_DIM_*",
        ),
    ],
)
def test_a_text_that_is_no_program_is_refused_by_rule_and_token(text, message):
    with pytest.raises(BlueprintError) as caught:
        from_text(text)
    assert str(caught.value).startswith(message)


# -- JSON ----------------------------------------------------------------------------------------------------

SCHEMA = json.loads(Path(blueprints.__path__[0], "blueprint.schema.json").read_text(encoding="utf-8"))
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
KEYWORDS = {
    *("$schema", "$defs", "title", "description", "$ref", "type", "const", "enum", "required", "properties"),
    *("additionalProperties", "items", "minItems", "pattern", "minimum"),
}


def conforms(value: Any, schema: dict[str, Any]) -> bool:
    """Say whether a value conforms to a schema, for the keywords that the blueprint's schema uses."""
    assert set(schema) <= KEYWORDS, "teach this function the new keyword"
    if "$ref" in schema and not conforms(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]):
        return False
    types = schema.get("type", [])
    kinds = [TYPES[name] for name in ([types] if isinstance(types, str) else types)]
    if kinds and type(value) not in kinds:
        return False
    if ("const" in schema and value != schema["const"]) or ("enum" in schema and value not in schema["enum"]):
        return False
    if isinstance(value, str):
        return re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, list):
        return len(value) >= schema.get("minItems", 0) and all(
            conforms(v, schema.get("items", {})) for v in value
        )
    if isinstance(value, dict):
        named, other = schema.get("properties", {}), schema.get("additionalProperties", {})
        if other is False and not set(value) <= set(named):
            return False
        return set(schema.get("required", ())) <= set(value) and all(
            conforms(v, named.get(name, other)) for name, v in value.items()
        )
    return value >= schema.get("minimum", value)


@laws
@given(programs())
def test_a_document_survives_json_and_follows_the_schema(tokens):
    blueprint = parse(tokens)
    document = json.loads(json.dumps(to_json(blueprint)))
    assert document == to_json(blueprint)
    assert conforms(document, SCHEMA)
    assert from_json(document) == blueprint


def test_known_blueprints_survive_json_with_sorted_keys():
    for blueprint in KNOWN:
        document = json.loads(json.dumps(to_json(blueprint), sort_keys=True))
        assert conforms(document, SCHEMA), str(blueprint)
        assert from_json(document) == blueprint


def test_a_document_shows_ratios_as_strings_and_bodies_in_their_nodes():
    blueprint = parse("LOOP_START REPEAT_2 LINEAR OUT_DIM_HALF LINEAR OUT_DIM_IN LOOP_END".split())
    kind = {"time": "sequence", "width": "1", "causal": True}
    inside = [
        {"op": "INPUT", "attributes": {}, "inputs": [], "type": kind},
        {"op": "LINEAR", "attributes": {"width": "1/2"}, "inputs": [0], "type": {**kind, "width": "1/2"}},
        {"op": "LINEAR", "attributes": {"width": "1"}, "inputs": [1], "type": kind},
    ]
    body = {"nodes": inside, "stores": []}
    loop = {"op": "LOOP", "attributes": {"repeat": 2}, "inputs": [0], "type": kind, "body": body}
    assert to_json(blueprint) == {
        "format": "tamiyo-blueprint",
        "format_version": 1,
        "id": blueprint.id,
        "language_version": LANGUAGE.version_hash,
        "tokens": list(blueprint.tokens),
        "graph": {"nodes": [inside[0], loop], "stores": []},
    }


def leaves(value: Any, path: tuple = ()) -> list[tuple]:
    """Return the path to every value in a JSON document that holds no other."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [leaf for key, inner in items for leaf in leaves(inner, (*path, key))] or [path]


@laws
@given(programs(), st.data())
def test_a_document_changed_anywhere_is_refused(tokens, data):
    document = json.loads(json.dumps(to_json(parse(tokens))))
    paths = [path for path in leaves(document) if path != ("language_version",)]
    *path, last = data.draw(st.sampled_from(paths))
    place = document
    for key in path:
        place = place[key]
    changes = [None, [], {}, "no such value", 7, -1, True, False]
    place[last] = data.draw(st.sampled_from([c for c in changes if c != place[last]]))
    with pytest.raises(DocumentError):
        from_json(document)


MLP = human("mlp")
REFUSED = [
    ({"format": "svg"}, "format is 'svg', expected 'tamiyo-blueprint'"),
    (
        {"format_version": 2},
        "format_version is 2, expected 1: read the document with the version of the package that wrote it",
    ),
    (
        {"name": "mlp"},
        "the fields are ['format', 'format_version', 'graph', 'id', 'language_version', 'name', ...], "
        "expected format, format_version, id, language_version, tokens, graph",
    ),
    ({"tokens": "RELU"}, "tokens is a str, expected a list"),
    ({"tokens": ["RELU", 3]}, "tokens[1] is 3, expected a string"),
    ({"tokens": ["RELU", "RELU"]}, "the tokens are no program: rule 'no-op': RELU (token 1) changes nothing"),
    (
        {"id": "0" * 64},
        f"id is {'0' * 64}, but the tokens spell {MLP.id}: the document was changed",
    ),
    ({"tokens": ["RELU"]}, f"id is {MLP.id}, but the tokens spell {parse(['RELU']).id}"),
    (
        {"graph": {"nodes": [], "stores": []}},
        "graph.nodes is [], but the tokens spell [{'attributes': ",
    ),
    ({"graph": {}}, "graph is {}, but the tokens spell {'nodes': "),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_a_document_that_contradicts_itself_is_refused_by_field(changes, message):
    with pytest.raises(DocumentError) as caught:
        from_json({**to_json(MLP), **changes})
    assert str(caught.value).startswith(message)


def test_a_node_that_the_tokens_do_not_spell_is_named():
    document = to_json(MLP)
    document["graph"]["nodes"][1]["type"]["width"] = "1"
    with pytest.raises(DocumentError) as caught:
        from_json(document)
    assert str(caught.value) == (
        "graph.nodes[1].type.width is '1', but the tokens spell '2': write the document anew"
    )


@pytest.mark.parametrize("value", [None, 3, "RELU", ["RELU"]])
def test_what_is_no_object_is_no_document(value):
    with pytest.raises(DocumentError, match=f"a {type(value).__name__} came, expected an object"):
        from_json(value)


def test_a_document_of_another_language_is_read_where_it_means_the_same():
    blueprint = from_json(to_json(parse(MLP.tokens, OWN)))
    assert blueprint == MLP
    assert blueprint.language_version == LANGUAGE.version_hash != OWN.version_hash


@pytest.mark.parametrize(
    ("blueprint", "language", "what"),
    [
        (
            MLP,
            Language(max_length=4),
            "they are no program: rule 'too-long': RELU (token 2) leaves no room",
        ),
        (
            parse(["TANH"]),
            OWN,
            f"they spell another blueprint, {parse(['TANH'], OWN).id[:12]}. Read it with the "
            "Language(...) or the version of the package that wrote it",
        ),
    ],
)
def test_a_document_that_means_something_else_here_names_both_languages(blueprint, language, what):
    with pytest.raises(LanguageMismatchError) as caught:
        from_json(to_json(blueprint), language)
    assert isinstance(caught.value, TamiyoError)
    assert str(caught.value).startswith(
        f"blueprint {blueprint.id[:12]} was written in language {LANGUAGE.version_hash[:12]}, this is "
        f"{language.version_hash[:12]}; its tokens mean something else here: {what}"
    )


# -- vectors -------------------------------------------------------------------------------------------------

SHORT = Language(max_length=3)


@laws
@given(programs(max_length=LANGUAGE.max_length))
def test_encoding_then_decoding_a_program_changes_nothing(tokens):
    vector = encode_vector(tokens)
    assert len(vector) == LANGUAGE.max_length
    assert decode_vector(vector) == tokens
    assert decode_vector(np.array(vector, np.float32)) == tokens


@laws
@given(st.lists(st.floats(0, 1), min_size=LANGUAGE.max_length, max_size=LANGUAGE.max_length))
def test_every_vector_is_a_legal_program_and_its_centre_the_same_one(vector):
    tokens = decode_vector(vector)
    parse(tokens)
    assert decode_vector(encode_vector(tokens)) == tokens


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_corners_and_the_centre_of_the_cube_are_programs(value):
    parse(decode_vector([value] * LANGUAGE.max_length))


def test_a_coordinate_cuts_the_interval_into_equal_parts_in_the_order_of_the_vocabulary():
    legal = grammar_of(SHORT).legal(grammar_of(SHORT).start())
    width = 1 / len(legal)
    for index, token in enumerate(legal):
        for value in ((index + 0.01) * width, (index + 0.99) * width):
            assert decode_vector([value, 0.0, 0.0], SHORT)[0] == token


def test_a_program_of_full_length_needs_no_coordinate_for_its_end():
    tokens = ("TANH", "SILU", "RELU")
    vector = encode_vector(tokens, SHORT)
    assert len(vector) == 3
    assert decode_vector(vector, SHORT) == tokens
    assert encode_vector(("TANH",), SHORT)[2] == 0.5


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([0.5] * 2, "a vector of 2 coordinates came, expected 3: the language's max_length"),
        ([0.5, float("nan"), 0.5], "coordinate 1 is nan, expected a number in [0, 1]: clip the vector first"),
        ([0.5, 0.5, 1.25], "coordinate 2 is 1.25, expected a number in [0, 1]: clip the vector first"),
        (np.array([-1, 0, 0]), "coordinate 0 is -1, expected a number in [0, 1]: clip the vector first"),
    ],
)
def test_what_is_no_point_of_the_cube_is_refused(vector, message):
    with pytest.raises(VectorError) as caught:
        decode_vector(vector, SHORT)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value) == message


def test_only_programs_have_a_vector():
    with pytest.raises(BlueprintError, match="rule 'attribute-missing'"):
        encode_vector(["LINEAR", "RELU"])
