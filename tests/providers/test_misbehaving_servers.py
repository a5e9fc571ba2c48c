"""Whatever a server does, a named failure comes of it in time, and no secret; in both dialects, over TCP."""

import gzip
import json
import time
from typing import Any

import pytest
from chat_servers import (
    ANTHROPIC,
    GOOD_HALF,
    OPENAI,
    REQUEST,
    WITH_SCHEMA,
    Behaviour,
    Dialect,
    ask,
    dialects,
    drips,
    failure,
    floods,
    hangs,
    head,
    says,
    sends,
    serving,
)

from tamiyo.providers.contract import Message, ProviderError, Request

#: Within this a request of half a second must have ended, however busy the machine is.
SOON_S = 20.0


@dialects
def test_a_good_answer_comes_with_its_counts(dialect: Dialect) -> None:
    answer = ask(dialect, says(dialect.good()))
    assert (answer.text, answer.model, answer.cost_usd) == ("fine", "tiny-1", None)
    assert (answer.prompt_tokens, answer.completion_tokens, answer.is_usage_told) == (7, 3, True)
    assert 0 < answer.seconds < SOON_S


HALF_HEADED = b"HTTP/1.1 200 OK\r\nx-slow: "
SLOW = {
    "hangs": hangs,
    "drips its body": drips(head(200, 1_000_000, {})),
    "drips without end": drips(head(200, None, {})),
    "drips its head": drips(HALF_HEADED),
    "drips an error": drips(head(500, 1_000_000, {})),
}


@dialects
@pytest.mark.parametrize("behave", SLOW.values(), ids=SLOW)
def test_a_server_that_takes_for_ever_is_left_in_time(dialect: Dialect, behave: Behaviour) -> None:
    request = Request(messages=REQUEST.messages, timeout_s=0.5)
    started = time.monotonic()
    error = failure(dialect, behave, request)
    assert time.monotonic() - started < SOON_S
    assert error.kind == "timed_out"
    assert str(error) == "no whole answer in 0.5 s"
    assert not error.is_unspent
    assert error.answer is None


GONE = {
    "drops the connection at once": (sends(b""), "unavailable"),
    "drops it in mid-answer": (sends(GOOD_HALF), "unavailable"),
    "drops it in mid-chunk": (
        sends(head(200, None, {"transfer-encoding": "chunked"}) + b"ff\r\n{"),
        "unavailable",
    ),
    "speaks another language": (sends(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "unavailable"),
    "sends two lengths": (
        sends(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nabcde"),
        "unavailable",
    ),
    "floods": (floods, "garbage"),
    "sends a bomb": (
        says(gzip.compress(b" " * 50_000_000), headers={"content-encoding": "gzip"}),
        "garbage",
    ),
}


@dialects
@pytest.mark.parametrize(("behave", "kind"), GONE.values(), ids=GONE)
def test_a_connection_that_breaks_or_bursts_is_named(dialect: Dialect, behave: Behaviour, kind: str) -> None:
    error = failure(dialect, behave)
    assert error.kind == kind
    assert not error.is_unspent


@dialects
def test_a_server_that_is_not_there_is_unavailable_and_costs_nothing(dialect: Dialect) -> None:
    with serving(hangs) as server:
        url = server.url
    with pytest.raises(ProviderError) as caught:
        dialect.make(url).complete(REQUEST)
    assert (caught.value.kind, caught.value.is_unspent) == ("unavailable", True)


NONSENSE = {
    "html": b"<!doctype html><html><h1>Welcome to nginx!</h1></html>",
    "nothing": b"",
    "half of it": json.dumps(OPENAI.good()).encode()[:40],
    "a list": b"[]",
    "a number": b"3",
    "null": b"null",
    "not a number": b'{"choices": NaN}',
    "no text": b"\xff\xfe\x00",
    "a deep hole": b"[" * 200_000,
    "an object of nothing": b"{}",
    "no choice": b'{"choices": [], "content": []}',
    "a choice of null": b'{"choices": [null], "content": [null]}',
    "choices of another kind": b'{"choices": {"a": 1}, "content": 5}',
    "an empty choice": b'{"choices": [{}], "content": [{}]}',
}


@dialects
@pytest.mark.parametrize("body", NONSENSE.values(), ids=NONSENSE)
def test_an_answer_that_is_none_is_garbage(dialect: Dialect, body: bytes) -> None:
    error = failure(dialect, says(body))
    assert error.kind == "garbage"
    assert "\n" not in str(error)
    assert len(str(error)) < 400


@dialects
def test_html_is_told_by_its_beginning(dialect: Dialect) -> None:
    error = failure(dialect, says(NONSENSE["html"], headers={"content-type": "text/html"}))
    assert str(error) == (
        "the server answered no JSON object, but '<!doctype html><html><h1>Welcome to nginx!</h1></html>'"
    )


EMPTY = {"no text": None, "an empty text": "", "blanks": " \n ", "a list": ["fine"], "a number": 3}


@dialects
@pytest.mark.parametrize("text", EMPTY.values(), ids=EMPTY)
def test_an_empty_answer_is_garbage_that_was_paid_for(dialect: Dialect, text: Any) -> None:
    error = failure(dialect, says(dialect.good(text)))
    assert (error.kind, str(error)) == ("garbage", "the answer is empty")
    assert error.answer is not None
    assert error.answer.completion_tokens == 3


@dialects
@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"], ids=["zero", "half a character"])
def test_characters_that_are_no_text_are_garbage(dialect: Dialect, text: str) -> None:
    assert str(failure(dialect, says(dialect.good(text)))) == "the answer holds characters that are no text"


@dialects
def test_an_answer_that_was_cut_off_says_so_and_is_kept(dialect: Dialect) -> None:
    error = failure(dialect, says(dialect.good("def f(", dialect.length)), WITH_SCHEMA)
    assert error.kind == "cut_off"
    assert "cut off after 100 tokens" in str(error)
    assert error.answer is not None
    assert error.answer.text == "def f("


@dialects
@pytest.mark.parametrize("reason", [None, 3, "tool_calls", "pause_turn", ["stop"]])
def test_an_answer_that_ended_otherwise_is_garbage(dialect: Dialect, reason: Any) -> None:
    error = failure(dialect, says(dialect.good("fine", reason)))
    assert error.kind == "garbage"
    assert "the answer ended for" in str(error)


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (OPENAI, OPENAI.good(None, refusal="I'd rather not.")),
        (OPENAI, OPENAI.good("", "content_filter")),
        (ANTHROPIC, ANTHROPIC.good("No.", "refusal")),
    ],
    ids=["refusal", "filter", "stop reason"],
)
def test_a_model_that_refuses_is_named(dialect: Dialect, body: dict[str, Any]) -> None:
    error = failure(dialect, says(body))
    assert error.kind == "refused"
    assert error.answer is not None


LIES = {
    "negative": (-7, 3),
    "negative answer": (7, -1),
    "absurd": (10**15, 3),
    "longer than allowed": (7, 10_000),
    "a fraction": (7.5, 3),
    "a text": ("7", 3),
    "a truth": (True, 3),
    "a list": ([7], 3),
    "beyond all numbers": (7, 10**400),
}


@dialects
@pytest.mark.parametrize("usage", LIES.values(), ids=LIES)
def test_counts_that_cannot_be_are_garbage_and_count_at_their_most(
    dialect: Dialect, usage: tuple[Any, Any]
) -> None:
    error = failure(dialect, says(dialect.good(usage=usage)))
    assert error.kind == "garbage"
    assert "the server counts" in str(error)
    assert len(str(error)) < 200
    answer = error.answer
    assert answer is not None
    assert (answer.prompt_tokens, answer.completion_tokens) == (12 + 16 + 1024, 100)
    assert not answer.is_usage_told


@dialects
@pytest.mark.parametrize("usage", [None, {}, [], (0, 0), (None, 3), (0, 3)], ids=repr)
def test_counts_that_are_missing_are_taken_at_their_most(dialect: Dialect, usage: Any) -> None:
    answer = ask(dialect, says(dialect.good(usage=usage)))
    assert (answer.prompt_tokens, answer.completion_tokens) == (12 + 16 + 1024, 100)
    assert not answer.is_usage_told


STATUSES = {
    401: ("unauthorised", True),
    403: ("unauthorised", True),
    404: ("unknown_model", True),
    402: ("over_budget", True),
    429: ("rate_limited", True),
    400: ("refused", True),
    413: ("refused", True),
    409: ("unavailable", True),
    302: ("unavailable", False),
    500: ("unavailable", False),
    502: ("unavailable", False),
    503: ("unavailable", True),
    529: ("unavailable", True),
}


@dialects
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(
    "body",
    [{"error": {"message": "so\u202e it\n is"}}, {"error": "so it is"}, b"so it is"],
    ids=["object", "text", "plain"],
)
def test_a_status_is_named_with_what_the_server_says(dialect: Dialect, status: int, body: Any) -> None:
    error = failure(dialect, says(body, status, {"location": "http://127.0.0.1:9/elsewhere"}))
    assert (error.kind, error.is_unspent) == STATUSES[status]
    assert str(error) == f"the server says {status}: so it is"
    assert error.retry_after_s is None


@dialects
def test_an_error_of_html_or_nothing_is_told_in_a_line(dialect: Dialect) -> None:
    assert str(failure(dialect, says(b"", 500))) == "the server says 500: nothing more"
    said = str(failure(dialect, says(b"<html>\n" + b"x" * 100_000, 500)))
    assert said.startswith("the server says 500: <html> xxx")
    assert len(said) < 330


@dialects
def test_an_account_without_credit_is_not_asked_again(dialect: Dialect) -> None:
    body = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
    assert failure(dialect, says(body, 429)).kind == "over_budget"


@dialects
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "17"}, 17.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2099 07:28:00 GMT"}, 86_400.0),
        ({"retry-after": "1e300"}, 86_400.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_too_many_requests_tell_how_long_to_wait(
    dialect: Dialect, headers: dict[str, str], seconds: float | None
) -> None:
    error = failure(dialect, says({"error": {"message": "slow down"}}, 429, headers))
    assert (error.kind, error.retry_after_s) == ("rate_limited", seconds)


FAULTS = {
    "{": "no JSON",
    "depth is 3": "no JSON",
    "[3]": "at $: [3] is not of type 'object'",
    '{"depth": "3"}': "at $.depth: '3' is not of type 'integer'",
    '{"depth": 0}': "at $.depth: 0 is less than the minimum of 1",
    '{"depth": NaN}': "no JSON: NaN is no JSON",
    "{}": "at $: 'depth' is a required property",
    '{"depth": 1, "x": 1}': "at $: Additional properties are not allowed",
    "[" * 50_000: "no JSON",
}


@dialects
@pytest.mark.parametrize(("text", "fault"), FAULTS.items(), ids=[text[:20] for text in FAULTS])
def test_an_answer_that_does_not_meet_the_schema_is_garbage_with_the_reason(
    dialect: Dialect, text: str, fault: str
) -> None:
    error = failure(dialect, says(dialect.good(text)), WITH_SCHEMA)
    assert error.kind == "garbage"
    assert str(error).startswith(f"the answer does not meet the schema: {fault}")
    assert error.answer is not None
    assert error.answer.text == text


@dialects
@pytest.mark.parametrize("text", ["{}", " {}\n", "```json\n{}\n```", "```\n{}\n```\n"])
def test_an_answer_that_meets_the_schema_is_its_json_alone(dialect: Dialect, text: str) -> None:
    behave = says(dialect.good(text.replace("{}", '{"depth": 3}')))
    assert ask(dialect, behave, WITH_SCHEMA).text == '{"depth": 3}'


@dialects
@pytest.mark.parametrize(
    "text",
    [
        "<think>One or {} or\nthree?</think>\n{}",
        "<think>Three.</think>```json\n{}\n```",
        "The plan:\n\n```json\n{}\n```\n\nIt is {{deep}} enough.",
        "Here you are: {} Yours.",
    ],
)
def test_an_object_is_found_in_an_answer_that_thinks_aloud(dialect: Dialect, text: str) -> None:
    behave = says(dialect.good(text.replace("{}", '{"depth": 3}')))
    assert ask(dialect, behave, WITH_SCHEMA).text == '{"depth": 3}'


@dialects
@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('{"depth": 3} or {"depth": 4}', "several-objects"),
        ('<think>{"depth": 3}', "thought-unfinished"),
        ("<think></think>", "answer-empty"),
    ],
)
def test_an_answer_of_two_objects_or_of_thoughts_alone_is_garbage(
    dialect: Dialect, text: str, rule: str
) -> None:
    error = failure(dialect, says(dialect.good(text)), WITH_SCHEMA)
    assert error.kind == "garbage"
    assert str(error).startswith(f"the answer does not meet the schema: no JSON: rule '{rule}'")


@dialects
def test_a_question_that_is_no_text_is_not_sent(dialect: Dialect) -> None:
    request = Request(messages=(Message(role="user", text="\ud800"),))
    with serving(says(dialect.good())) as server:
        with pytest.raises(ProviderError, match="the question holds characters that are no text"):
            dialect.make(server.url).complete(request)
        assert not server.asked
