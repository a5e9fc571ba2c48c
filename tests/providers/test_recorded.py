"""Recorded calls come back as they were, from memory and from a file; scripts are played in their order."""

from dataclasses import replace
from pathlib import Path

import pytest

from tamiyo.providers.contract import (
    Answer,
    CallRecord,
    Message,
    ProviderError,
    ProviderSettingError,
    Request,
)
from tamiyo.providers.recorded import (
    RecordedProvider,
    ScriptedProvider,
    call_data,
    call_from_data,
    digest,
    read_calls,
    write_calls,
)

REQUEST = Request(messages=(Message(role="system", text="s"), Message(role="user", text="wie geht’s?")))
CALL = CallRecord(
    provider="openai:m",
    request=REQUEST,
    attempt=1,
    answer="gut",
    model="m-1",
    prompt_tokens=3,
    completion_tokens=1,
    cost_usd=0.5,
    usage="told",
    seconds=0.25,
)
TIMED_OUT = replace(CALL, answer="", model="", usage="assumed", error="timed_out", detail="no answer in 1 s")
CUT_OFF = replace(CALL, answer="gu", error="cut_off", detail="cut off")
WITH_SCHEMA = replace(CALL, request=replace(REQUEST, schema={"type": "object", "required": ["a"]}))


def test_calls_are_played_again_in_the_order_of_equal_requests() -> None:
    provider = RecordedProvider([TIMED_OUT, CALL, CUT_OFF])
    with pytest.raises(ProviderError, match="no answer in 1 s") as caught:
        provider.complete(REQUEST)
    assert (caught.value.kind, caught.value.answer, caught.value.is_unspent) == ("timed_out", None, False)
    answer = provider.complete(replace(REQUEST, timeout_s=1.0))
    assert answer == Answer(
        text="gut", model="m-1", prompt_tokens=3, completion_tokens=1, cost_usd=0.5, seconds=0.25
    )
    with pytest.raises(ProviderError) as caught:
        provider.complete(REQUEST)
    assert caught.value.answer is not None
    assert caught.value.answer.text == "gu"
    with pytest.raises(ProviderError, match="recorded calls are used up") as caught:
        provider.complete(REQUEST)
    assert caught.value.kind == "unavailable"


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, messages=REQUEST.messages[:1]),
        replace(REQUEST, schema={}),
        replace(REQUEST, max_tokens=1),
        replace(REQUEST, temperature=0.5),
        replace(REQUEST, seed=1),
    ],
)
def test_another_request_has_no_answer(other: Request) -> None:
    assert digest(other) != digest(REQUEST)
    with pytest.raises(ProviderError, match="no such request is recorded"):
        RecordedProvider([CALL]).complete(other)


def test_a_recording_survives_its_file(tmp_path: Path) -> None:
    calls = [CALL, TIMED_OUT, CUT_OFF, WITH_SCHEMA]
    write_calls(tmp_path / "calls.jsonl", calls)
    assert read_calls(tmp_path / "calls.jsonl") == calls
    assert call_from_data(call_data(CALL)) == CALL


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        "[]",
        "null",
        "{",
        "[" * 100_000,
        '{"request": {"messages": 3}}',
        '{"request": {"messages": []}}',
    ],
)
def test_a_line_that_is_no_call_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "calls.jsonl"
    write_calls(path, [CALL])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ProviderSettingError, match=r"recording .*calls.jsonl, line 2: "):
        read_calls(path)


def test_a_value_of_another_type_is_named() -> None:
    with pytest.raises(ProviderSettingError, match="'answer' is 3, expected a text"):
        call_from_data(call_data(CALL) | {"answer": 3})


def test_a_recording_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProviderSettingError, match="cannot be read"):
        read_calls(tmp_path / "none.jsonl")


def test_a_script_is_played_in_its_order_whatever_is_asked() -> None:
    provider = ScriptedProvider(["one two", ProviderError("refused", "no"), "three"])
    assert provider.complete(REQUEST).completion_tokens == 2
    with pytest.raises(ProviderError, match="no"):
        provider.complete(REQUEST)
    assert provider.complete(REQUEST).text == "three"
    with pytest.raises(ProviderError, match="at its end"):
        provider.complete(REQUEST)
    assert provider.requests == [REQUEST] * 4
