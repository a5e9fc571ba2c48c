"""What is sent to a server, and that its key is seen nowhere else; how dialects take schemas."""

import logging
import traceback
from typing import Any

import pytest
from chat_servers import (
    ANTHROPIC,
    GOOD_HALF,
    KEY,
    OPENAI,
    REQUEST,
    SCHEMA,
    WITH_SCHEMA,
    Behaviour,
    Dialect,
    ask,
    dialects,
    failure,
    hangs,
    in_turn,
    says,
    sends,
    serving,
)

from tamiyo.providers.contract import Message, Provider, ProviderError, ProviderSettingError, Request


@dialects
def test_no_request_is_sent_twice_nor_elsewhere(dialect: Dialect) -> None:
    with serving(says(dialect.good())) as other:
        for status in (307, 429, 500):
            with serving(says(b"", status, {"location": f"{other.url}{dialect.path}"})) as server:
                with pytest.raises(ProviderError):
                    dialect.make(server.url, key=KEY).complete(REQUEST)
                assert len(server.asked) == 1
        assert not other.asked


@dialects
def test_only_what_is_meant_is_sent(dialect: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_CUSTOM_HEADERS", "ANTHROPIC_CUSTOM_HEADERS"):
        monkeypatch.setenv(variable, "Authorization: Bearer other-secret\nX-Other: other-secret")
    monkeypatch.setenv("OPENAI_ORG_ID", "other-secret")
    monkeypatch.setenv("OPENAI_API_KEY", "other-secret")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "other-secret")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "other-secret")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with serving(says(dialect.good())) as server:
        dialect.make(server.url).complete(REQUEST)
        dialect.make(server.url, key=KEY).complete(REQUEST)
    without, with_key = server.asked
    assert without.line == f"POST {dialect.path} HTTP/1.1"
    assert "other-secret" not in repr(server.asked)
    assert "authorization" not in without.headers
    assert "x-api-key" not in without.headers
    assert with_key.headers["authorization"] == f"Bearer {KEY}"
    assert with_key.headers["accept-encoding"] == "identity"
    allowed = {"host", "accept", "accept-encoding", "connection", "content-type", "content-length"}
    assert set(without.headers) <= allowed | {"user-agent", "anthropic-version", "x-stainless-raw-response"}


def echoes(dialect: Dialect, status: int, text: str) -> Behaviour:
    """Answer with all that was told it, the key among it, wherever an answer has room for it."""
    reason = KEY if text == "reason" else dialect.done
    body = dialect.good(f"{text} {KEY}", reason)
    body = body | {"model": f"m {KEY}", "error": {"message": f"bad key {KEY}", "param": KEY}}
    return says(body, status, {"x-echo": KEY, "retry-after": KEY})


@dialects
@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500])
@pytest.mark.parametrize("text", ["fine", "reason"])
@pytest.mark.parametrize("request_", [REQUEST, WITH_SCHEMA], ids=["text", "schema"])
def test_the_key_is_in_no_answer_error_log_or_representation(
    dialect: Dialect, status: int, text: str, request_: Request, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[object] = []
    with serving(echoes(dialect, status, text)) as server:
        provider = dialect.make(server.url, key=KEY)
        try:
            seen.append(provider.complete(request_))
        except ProviderError as error:
            seen += [error, error.args, error.answer, error.__context__, error.__cause__]
            seen.append("".join(traceback.format_exception(error)))
        assert KEY in server.asked[0].headers["authorization"]
        seen += [provider, provider.name, provider.address]
    assert KEY not in repr(seen)
    assert KEY not in str(seen)
    assert KEY not in caplog.text
    assert KEY not in repr([vars(record) for record in caplog.records])


@dialects
@pytest.mark.parametrize("breaks", [sends(GOOD_HALF), sends(b""), hangs, says(b"<html>" + KEY.encode())])
def test_the_key_is_in_no_error_of_a_connection(dialect: Dialect, breaks: Behaviour) -> None:
    request = Request(messages=REQUEST.messages, timeout_s=1.0)
    error = failure(dialect, breaks, request, key=KEY)
    assert KEY not in "".join(traceback.format_exception(error))
    assert error.__context__ is None
    assert error.__cause__ is None


SETTINGS = [
    ("ftp://localhost", None, "is none; expected one as http://localhost:8000/v1"),
    ("localhost:8000", None, "is none"),
    ("http://", None, "is none"),
    ("http://local host", None, "is none"),
    ("http://localhost:99999", None, "base URL: Port out of range"),
    ("http://me:secret-word@localhost", None, "keys come from the environment alone"),
    ("http://localhost/v1?key=secret-word", None, "keys come from the environment alone"),
    ("http://api.example.com", KEY, "in the clear"),
    ("https://api.example.com", None, "is not set, and api.example.com needs a key"),
    ("https://api.example.com", "secret-word\r\nx: y", "holds blanks or characters that no key has"),
    ("https://api.example.com", "", "holds blanks or characters that no key has"),
]


@dialects
@pytest.mark.parametrize(("url", "key", "said"), SETTINGS)
def test_a_setting_that_cannot_be_is_named_without_a_secret(
    dialect: Dialect, url: str, key: str | None, said: str
) -> None:
    with pytest.raises(ProviderSettingError) as caught:
        dialect.make(url, key=key)
    assert said in str(caught.value)
    assert KEY not in str(caught.value)
    assert "secret-word" not in str(caught.value)


@dialects
@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("http://localhost:11434", True),
        ("http://127.0.0.1", True),
        ("http://[::1]:8000", True),
        ("http://192.168.1.20:8000", True),
        ("http://ollama:11434", True),
        ("https://8.8.8.8", False),
        ("https://api.example.com", False),
    ],
)
def test_ones_own_servers_are_known(dialect: Dialect, url: str, is_local: bool) -> None:
    provider = dialect.make(url, key=KEY)
    assert provider.address.is_local is is_local
    assert provider.name == f"{dialect.name}:tiny"


def refusals(dialect: Dialect, names: dict[str, str]) -> Behaviour:
    """Refuse each parameter of `names`, by its message, as long as it is sent; then answer."""

    def behave(connection: Any) -> None:
        for name, message in names.items():
            if name in connection.asked.body:
                says({"error": {"message": message}}, 400)(connection)
                return
        says(dialect.good('{"depth": 2}'))(connection)

    return behave


@pytest.mark.parametrize(
    ("names", "sent"),
    [
        ({}, {"temperature", "seed", "max_tokens", "response_format"}),
        (
            {"temperature": "Unsupported value: 'temperature' does not support 0.0", "seed": "no seed here"},
            {"max_tokens", "response_format"},
        ),
        (
            {"max_tokens": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."},
            {"temperature", "seed", "max_completion_tokens", "response_format"},
        ),
        ({"response_format": "response_format is not supported"}, {"temperature", "seed", "max_tokens"}),
    ],
)
def test_a_parameter_that_a_server_names_in_its_refusal_is_left_out(
    names: dict[str, str], sent: set[str]
) -> None:
    with serving(refusals(OPENAI, names)) as server:
        provider = OPENAI.make(server.url)
        assert provider.complete(WITH_SCHEMA).text == '{"depth": 2}'
        assert set(server.asked[-1].body) - {"model", "messages"} == sent
        count = len(server.asked)
        provider.complete(WITH_SCHEMA)
        assert len(server.asked) == count + 1
    assert count == len(names) + 1


def test_a_server_that_refuses_everything_is_not_asked_for_ever() -> None:
    for said in ("temperature", "max_tokens", "max_tokens max_completion_tokens", "seed response_format"):
        with serving(says({"error": {"message": said}}, 400)) as server:
            provider = OPENAI.make(server.url)
            with pytest.raises(ProviderError, match="the server says 400") as caught:
                provider.complete(WITH_SCHEMA)
            assert caught.value.kind == "refused"
            assert len(server.asked) <= 3
            server.behave = says(OPENAI.good('{"depth": 2}'))
            provider.complete(WITH_SCHEMA)
            assert server.asked[-1].body == server.asked[0].body
            for asked in server.asked:
                assert {"max_tokens", "max_completion_tokens"} & set(asked.body)


def test_a_schema_is_asked_for_in_the_dialect_of_the_server() -> None:
    with serving(says(OPENAI.good('{"depth": 2}'))) as server:
        OPENAI.make(server.url).complete(WITH_SCHEMA)
    (asked,) = server.asked
    assert asked.body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    }
    with serving(says(ANTHROPIC.good('{"depth": 2}'))) as server:
        ANTHROPIC.make(server.url).complete(WITH_SCHEMA)
    form = server.asked[0].body["output_config"]["format"]
    assert form["type"] == "json_schema"
    assert form["schema"]["properties"]["depth"]["type"] == "integer"
    assert SCHEMA["properties"]["depth"] == {"type": "integer", "minimum": 1}


def test_a_schema_that_a_server_does_not_know_becomes_a_tool() -> None:
    used = ANTHROPIC.good() | {
        "stop_reason": "tool_use",
        "content": [
            {"type": "text", "text": "Here it is."},
            {"type": "tool_use", "id": "1", "name": "answer", "input": {"depth": 2}},
        ],
    }

    def behave(connection: Any) -> None:
        if "output_config" in connection.asked.body:
            says({"type": "error", "error": {"message": "output_config: not permitted"}}, 400)(connection)
        else:
            says(used)(connection)

    with serving(behave) as server:
        provider = ANTHROPIC.make(server.url)
        assert provider.complete(WITH_SCHEMA).text == '{"depth": 2}'
        assert provider.complete(WITH_SCHEMA).text == '{"depth": 2}'
    assert len(server.asked) == 3
    assert server.asked[-1].body["tool_choice"] == {"type": "tool", "name": "answer"}
    assert server.asked[-1].body["tools"][0]["input_schema"] == SCHEMA
    with serving(behave) as server:
        ANTHROPIC.make(server.url, form="tool").complete(WITH_SCHEMA)
    assert len(server.asked) == 1


def test_a_refusal_for_another_reason_changes_nothing() -> None:
    with serving(says({"error": {"message": "temperature: the schema is too hot"}}, 400)) as server:
        provider = ANTHROPIC.make(server.url)
        with pytest.raises(ProviderError, match="too hot"):
            provider.complete(WITH_SCHEMA)
        assert len(server.asked) == 3
        server.behave = says(ANTHROPIC.good('{"depth": 2}'))
        provider.complete(WITH_SCHEMA)
        assert server.asked[-1].body == server.asked[0].body


def test_a_schema_without_types_becomes_a_tool_at_once() -> None:
    request = Request(messages=REQUEST.messages, schema={"required": ["depth"]}, timeout_s=30.0)
    with serving(says(ANTHROPIC.good('{"depth": 2}'))) as server:
        ANTHROPIC.make(server.url).complete(request)
    assert server.asked[0].body["tools"][0]["input_schema"] == {"required": ["depth"]}


def test_a_tool_used_with_nonsense_is_garbage() -> None:
    body = ANTHROPIC.good() | {
        "stop_reason": "tool_use",
        "content": [{"type": "tool_use", "id": "1", "name": "answer", "input": "all"}],
    }
    assert "is not of type 'object'" in str(failure(ANTHROPIC, says(body), WITH_SCHEMA, form="tool"))


def test_a_model_without_temperature_is_asked_without() -> None:
    behave = refusals(ANTHROPIC, {"temperature": "temperature is not supported by this model"})
    with serving(behave) as server:
        provider = ANTHROPIC.make(server.url)
        assert provider.complete(WITH_SCHEMA).text == '{"depth": 2}'
        assert provider.complete(WITH_SCHEMA).text == '{"depth": 2}'
    assert ["temperature" in asked.body for asked in server.asked] == [True, False, False]


def test_systems_stand_apart_where_a_dialect_has_a_place_for_them() -> None:
    request = Request(
        messages=(
            Message(role="system", text="Be brief."),
            Message(role="user", text="a"),
            Message(role="assistant", text="b"),
            Message(role="user", text="c"),
        )
    )
    rest = [{"role": message.role, "content": message.text} for message in request.messages[1:]]
    with serving(says(ANTHROPIC.good())) as server:
        ANTHROPIC.make(server.url).complete(request)
    assert (server.asked[0].body["system"], server.asked[0].body["messages"]) == ("Be brief.", rest)
    with serving(says(OPENAI.good())) as server:
        OPENAI.make(server.url).complete(request)
    assert server.asked[0].body["messages"] == [{"role": "system", "content": "Be brief."}, *rest]


def test_thoughts_are_no_part_of_the_answer() -> None:
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "fi"},
        {"type": "text", "text": "ne"},
    ]
    assert ask(ANTHROPIC, says(ANTHROPIC.good() | {"content": content})).text == "fine"


def test_the_first_answer_counts_whatever_came_before() -> None:
    provider: Provider
    with serving(in_turn(hangs, says(OPENAI.good()))) as server:
        provider = OPENAI.make(server.url)
        with pytest.raises(ProviderError, match="no whole answer"):
            provider.complete(Request(messages=REQUEST.messages, timeout_s=0.3))
        assert provider.complete(REQUEST).text == "fine"
