"""Our server says by name what it cannot do, and serves any provider; the openai client asks, or bytes."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest

from tamiyo.providers import serving
from tamiyo.providers.contract import Answer, ProviderError
from tamiyo.providers.recorded import ScriptedProvider
from tamiyo.providers.serving import MOST_BYTES, CompletionServer

ASKED = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.fixture
def script() -> list[str | Answer | ProviderError]:
    return ["fine"] * 3


@pytest.fixture
def provider(script: Sequence[str | Answer | ProviderError]) -> ScriptedProvider:
    return ScriptedProvider(script)


@pytest.fixture
def server(provider: ScriptedProvider) -> Iterator[CompletionServer]:
    with CompletionServer(provider, model="m") as server:
        yield server


def post(
    server: CompletionServer, body: Any, path: str = "/chat/completions", **headers: str
) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"content-type": "application/json"} | {key.replace("_", "-"): headers[key] for key in headers}
    request = urllib.request.Request(server.base_url + path, data, fields)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["error"]


def test_the_openai_client_is_answered(server: CompletionServer, provider: ScriptedProvider) -> None:
    with openai.OpenAI(api_key="none", base_url=server.base_url, max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["m"]
        form = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
        answer = client.chat.completions.create(
            model="m",
            messages=[{"role": "developer", "content": "be brief"}, {"role": "user", "content": "hello"}],
            max_completion_tokens=9,
            temperature=0.5,
            seed=3,
            response_format=form,
        )
    assert answer.choices[0].message.content == "fine"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        3,
        1,
        4,
    )
    (asked,) = provider.requests
    assert (asked.max_tokens, asked.temperature, asked.seed, asked.schema) == (9, 0.5, 3, SCHEMA)
    assert [(message.role, message.text) for message in asked.messages] == [
        ("system", "be brief"),
        ("user", "hello"),
    ]


def test_what_is_not_asked_is_as_usual(server: CompletionServer, provider: ScriptedProvider) -> None:
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    usual = {"stream": False, "n": 1, "top_p": 1, "logprobs": None, "response_format": {"type": "text"}}
    post(server, ASKED | usual | {"messages": [{"role": "user", "content": parts}]})
    (asked,) = provider.requests
    assert (asked.max_tokens, asked.temperature, asked.seed, asked.schema) == (1024, 1.0, 0, None)
    assert asked.messages[0].text == "hello"
    post(server, ASKED | {"response_format": {"type": "json_object"}})
    assert provider.requests[1].schema == {"type": "object"}


BAD = [
    ({"stream": True}, "stream"),
    ({"n": 2}, "n"),
    ({"tools": []}, "tools"),
    ({"stop": ["x"]}, "stop"),
    ({"model": None}, "model"),
    ({"messages": []}, "messages"),
    ({"messages": "hello"}, "messages"),
    ({"messages": [3]}, "messages"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages"),
    ({"messages": [{"role": ["user"], "content": "x"}]}, "messages"),
    ({"messages": [{"role": "user", "content": None}]}, "messages"),
    ({"messages": [{"role": "user", "content": []}]}, "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"temperature": -1}, "temperature"),
    ({"temperature": float("nan")}, "temperature"),
    ({"seed": 1.5}, "seed"),
    ({"response_format": {"type": "json_schema"}}, "response_format"),
    ({"response_format": 3}, "response_format"),
]


@pytest.mark.parametrize(("change", "parameter"), BAD, ids=[json.dumps(change)[:50] for change, _ in BAD])
def test_what_cannot_be_done_is_refused_by_name(
    server: CompletionServer, provider: ScriptedProvider, change: dict[str, Any], parameter: str
) -> None:
    status, error = post(server, ASKED | change)
    assert status == 400
    assert error["param"] == parameter
    assert f"'{parameter}'" in error["message"]
    assert not provider.requests


@pytest.mark.parametrize(
    ("body", "path", "headers", "status"),
    [
        (b"{", "/chat/completions", {}, 400),
        (b"[]", "/chat/completions", {}, 400),
        (b"[" * 200_000, "/chat/completions", {}, 400),
        (ASKED, "/completions", {}, 404),
        (ASKED | {"model": "other"}, "/chat/completions", {}, 404),
        (ASKED, "/chat/completions", {"content_type": "text/plain"}, 415),
        (ASKED, "/chat/completions", {"host": "evil.example"}, 403),
        (ASKED, "/chat/completions", {"host": "evil.example:80"}, 403),
    ],
)
def test_a_request_that_is_none_of_its_own_is_turned_down(
    server: CompletionServer, provider: ScriptedProvider, body: Any, path: str, headers: Any, status: int
) -> None:
    assert post(server, body, path, **headers)[0] == status
    assert not provider.requests


@pytest.mark.parametrize("length", ["-1", "x", "", str(MOST_BYTES + 1), "9" * 5000, "²"])
def test_a_length_that_cannot_be_is_turned_down_unread(server: CompletionServer, length: str) -> None:
    host, port = server.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode("utf-8"))
        assert b" 413 " in connection.makefile("rb").readline()


FAILURES = {
    "timed_out": 504,
    "unavailable": 503,
    "rate_limited": 429,
    "refused": 400,
    "garbage": 502,
    "over_budget": 402,
    "circuit_open": 503,
}


@pytest.mark.parametrize("script", [[ProviderError(kind, f"it is {kind}", 7.0)] for kind in FAILURES])
def test_a_failure_of_the_provider_has_its_status(server: CompletionServer, script: list[Any]) -> None:
    status, error = post(server, ASKED)
    assert status == FAILURES[script[0].kind]
    assert error["message"] == f"it is {error['code']}"


@pytest.mark.parametrize(
    "script",
    [
        [
            ProviderError(
                "cut_off",
                "cut",
                answer=Answer(
                    text="fi", model="m", prompt_tokens=1, completion_tokens=1, cost_usd=None, seconds=0.0
                ),
            )
        ]
    ],
)
def test_an_answer_that_was_cut_off_ends_for_its_length(server: CompletionServer) -> None:
    status, body = post(server, ASKED)
    assert status == 200
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["choices"][0]["message"]["content"] == "fi"


def test_connections_are_kept_for_further_requests(server: CompletionServer) -> None:
    with openai.OpenAI(api_key="none", base_url=server.base_url, max_retries=0) as client:
        for _ in range(3):
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
        with pytest.raises(openai.InternalServerError, match="the script is at its end"):
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])


def test_the_command_names_a_folder_without_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serving.main([str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"serving: local model {tmp_path}: it has no config.json\n"
