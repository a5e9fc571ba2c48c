"""Checking what people type: right about every program, quick to say so, and calm about what is hostile."""

import random
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import servers

from blueprints import (
    EXPLANATIONS,
    HUMAN_BLUEPRINTS,
    LANGUAGE,
    BlueprintError,
    flops,
    legal_tokens,
    num_parameters,
    parse,
    random_program,
)

RESIDUAL = "RES_START CONV1D KERNEL_5 CHANNELS_IN GELU LINEAR OUT_DIM_IN RES_END"


def checked(client: httpx.Client, tokens: object, **asked: object) -> dict:
    answer = client.post("/api/v1/check", json={"tokens": tokens, **asked})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_program_is_told_with_its_graph_its_cost_and_its_source(client):
    told = checked(client, RESIDUAL, width=32, time=8)
    blueprint = parse(RESIDUAL.split())
    found = told["blueprint"]
    assert (told["status"], told["fault"], told["may_end"]) == ("legal", None, True)
    assert found["id"] == blueprint.id
    assert found["num_parameters"] == num_parameters(blueprint.graph, 32)
    assert found["flops"] == flops(blueprint.graph, 32, 8)
    assert found["is_causal"]
    assert [node["op"] for node in found["graph"]["nodes"]] == ["INPUT", "CONV1D", "GELU", "LINEAR", "ADD"]
    assert found["graph"]["nodes"][1]["attributes"] == {"kernel": 5, "width": "1", "dilation": 1}
    edges = [(edge["source"], edge["target"], edge["place"]) for edge in found["graph"]["edges"]]
    assert edges == [(0, 1, 0), (1, 2, 0), (2, 3, 0), (0, 4, 0), (3, 4, 1)]
    assert found["graph"]["edges"][0]["type"] == {"time": "sequence", "width": "1", "causal": True}
    assert found["graph_text"] == str(blueprint.graph)
    assert parse(found["canonical_tokens"]).id == blueprint.id
    assert found["drawing"].startswith("<svg")
    compile(found["source"], "block.py", "exec")


def test_bodies_stand_in_their_nodes(client):
    program = next(human.tokens for human in HUMAN_BLUEPRINTS if "SCAN_START" in human.tokens)
    nodes = checked(client, list(program))["blueprint"]["graph"]["nodes"]
    [scan] = [node for node in nodes if node["op"] == "SCAN"]
    assert scan["body"]["nodes"][0]["op"] == "INPUT"
    assert scan["body"]["stores"]


def test_a_broken_program_is_told_with_rule_caret_explanation_and_a_repair(client):
    told = checked(client, "LINEAR KERNEL_5")
    fault, error = told["fault"], told["fault"]["error"]
    [explained] = [row for row in EXPLANATIONS if row.rule == "attribute-fits-op"]
    assert (told["status"], told["blueprint"], told["num_legal"]) == ("illegal", None, 1)
    assert (error["code"], error["rule"], error["position"]) == ("not-a-blueprint", "attribute-fits-op", 1)
    assert error["expected_tokens"] == told["next_tokens"]
    assert fault["caret"].splitlines()[:2] == ["LINEAR KERNEL_5", "       ^^^^^^^^"]
    assert (fault["meaning"], fault["reason"]) == (explained.meaning, explained.reason)
    assert fault["suggestion"]["tokens"] == ["LINEAR", "OUT_DIM_IN"]
    assert fault["suggestion"]["edits"] == 1
    assert fault["suggestion"]["drawing"].startswith("<svg")


@pytest.mark.parametrize("separated", [" ", ", ", "\n", "', '"])
def test_tokens_are_read_as_people_write_them(client, separated):
    assert checked(client, separated.join(RESIDUAL.split()))["tokens"] == RESIDUAL.split()
    assert checked(client, str(RESIDUAL.split()))["status"] == "legal"


def test_while_a_program_is_typed_every_next_token_is_foretold(client):
    rng = random.Random(7)
    for program in (RESIDUAL.split(), *(random_program(rng, max_ops=4) for _ in range(4))):
        for length in range(len(program)):
            told = checked(client, list(program[:length]))
            assert told["num_legal"] == length
            assert (*told["next_tokens"], *["END"] * told["may_end"]) == tuple(
                sorted(legal_tokens(program[:length]), key=lambda t: (t == "END", LANGUAGE.vocabulary.ids[t]))
            )
            assert program[length] in told["next_tokens"]
            assert told["status"] == ("legal" if told["may_end"] and length else "incomplete")
            if told["fault"] is not None:
                parse(told["fault"]["suggestion"]["tokens"])


def test_check_and_parse_agree_on_whatever_comes(client):
    rng = random.Random(11)
    for _ in range(60):
        tokens = [rng.choice(LANGUAGE.tokens) for _ in range(rng.randint(0, 30))]
        told = checked(client, tokens)
        assert (told["blueprint"] or {}).get("id") == _id_of(tokens)
        if told["fault"] is not None:
            error = told["fault"]["error"]
            with pytest.raises(BlueprintError) as caught:
                parse(tokens)
            assert (error["rule"], error["position"]) == (caught.value.rule, caught.value.position)


def _id_of(tokens: list[str]) -> str | None:
    try:
        return parse(tokens).id
    except BlueprintError:
        return None


def test_the_library_says_whether_it_knows_a_blueprint(client):
    known = servers.human_blueprints(1)[0]
    assert checked(client, list(known.tokens))["blueprint"]["is_known"]
    assert not checked(client, RESIDUAL + " TANH")["blueprint"]["is_known"]


HOSTILE = {
    "a right-to-left mark": "\u202eLINEAR",
    "a face": "\U0001f600 LINEAR OUT_DIM_IN",
    "a zero": "LINEAR\x00OUT_DIM_IN",
    "a script": "<script>alert(1)</script>",
    "SQL": "LINEAR'; DROP TABLE blueprints; --",
    "a path": "../../../../etc/passwd",
    "the end": "END",
    "small letters": "linear out_dim_in",
    "blocks without an end": ["RES_START"] * 96,
    "branches without an end": ["BRANCH_START"] * 96,
    "loops without an end": ["LOOP_START", "REPEAT_2"] * 48,
    "strangers": ["\u00fc" * 64] * 96,
    "an empty token": ["", "LINEAR"],
    "spaces in a token": ["LINEAR OUT_DIM_IN"],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_program_is_gets_a_named_rule_and_a_program_near_it(client, name):
    told = checked(client, HOSTILE[name])
    assert told["status"] in ("illegal", "incomplete")
    assert told["fault"]["meaning"]
    parse(told["fault"]["suggestion"]["tokens"])


REFUSED = {
    "a text too long": b'{"tokens": "%s"}' % (b"A" * 4097),
    "tokens too many in a text": b'{"tokens": "%s"}' % (b"A " * 97),
    "a token too long in a text": b'{"tokens": "%s"}' % (b"A" * 65),
    "tokens too many in a list": b'{"tokens": [%s "A"]}' % (b'"A",' * 96),
    "a token too long in a list": b'{"tokens": ["%s"]}' % (b"A" * 65),
    "half a character": b'{"tokens": "\\ud800 LINEAR"}',
    "half a character in a list": b'{"tokens": ["\\ud800"]}',
    "a number": b'{"tokens": 1}',
    "a list of lists": b'{"tokens": [["LINEAR"]]}',
    "nothing": b"{}",
    "more than asked for": b'{"tokens": "RELU", "path": "/etc/passwd"}',
    "a width that no host has": b'{"tokens": "RELU", "width": 17}',
    "a width beyond all": b'{"tokens": "RELU", "width": 1e400}',
    "no time": b'{"tokens": "RELU", "time": 0}',
    "no JSON": b'{"tokens": ',
    "no text": b'{"tokens": "\xff"}',
    "a nest of lists": b"[" * 30_000,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_request_is_refused_in_the_envelope(client, name):
    answer = client.post("/api/v1/check", content=REFUSED[name], headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["code"] in ("bad-request", "invalid-request", "too-long")
    assert len(answer.content) < 4096


def test_many_who_type_at_once_get_what_each_would_get_alone(client):
    rng = random.Random(13)
    soups = [[rng.choice(LANGUAGE.tokens[1:]) for _ in range(20)] for _ in range(24)]
    alone = [checked(client, soup) for soup in soups]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda soup: checked(client, soup), soups)) == alone
