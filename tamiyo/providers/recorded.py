"""Answers without a model: calls played again from a file, and answers given beforehand; no server."""

import hashlib
import json
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from tamiyo.providers.contract import (
    Answer,
    CallRecord,
    Message,
    ProviderError,
    ProviderSettingError,
    Request,
)

#: What a request's digest is made of: all that can change the answer.
_ASKED = ("messages", "schema", "max_tokens", "temperature", "seed")


def digest(request: Request) -> str:
    """Return the identity of what is asked: equal for requests that differ in their time alone."""
    asked = {key: value for key, value in asdict(request).items() if key in _ASKED}
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of(call: CallRecord) -> str:
    """Return the digest of what a call asked, whatever was hidden of it on record."""
    return call.digest or digest(call.request)


class RecordedProvider:
    """Plays calls again: each request meets what came of the same request then, in the order of then."""

    def __init__(self, calls: Iterable[CallRecord], name: str = "recorded") -> None:
        self._name = name
        self._calls: defaultdict[str, deque[CallRecord]] = defaultdict(deque)
        for call in calls:
            self._calls[digest_of(call)].append(call)

    @property
    def name(self) -> str:
        """As given."""
        return self._name

    def complete(self, request: Request) -> Answer:
        """Return the recorded answer to `request`.

        Raises:
            ProviderError: the recorded failure; or `unavailable` when no call of this request is left.
        """
        left = self._calls.get(digest(request))
        if not left:
            said = request.messages[-1].text[:60] if request.messages else ""
            known = "no such request is recorded" if left is None else "its recorded calls are used up"
            raise ProviderError("unavailable", f"{self._name}: {known}: {said!r}", is_unspent=True)
        return _outcome(left.popleft())


class ScriptedProvider:
    """Gives texts and failures in the order in which they were given to it, whatever is asked.

    Attributes:
        requests: what it was asked so far.
    """

    def __init__(self, script: Sequence[str | Answer | ProviderError], name: str = "scripted") -> None:
        self._name, self._left = name, deque(script)
        self.requests: list[Request] = []

    @property
    def name(self) -> str:
        """As given."""
        return self._name

    def complete(self, request: Request) -> Answer:
        """Return the next of the script; a text counts a token a word.

        Raises:
            ProviderError: the next of the script is one, or none is left (`unavailable`).
        """
        self.requests.append(request)
        if not self._left:
            raise ProviderError("unavailable", f"{self._name}: the script is at its end", is_unspent=True)
        said = self._left.popleft()
        if isinstance(said, ProviderError):
            raise said
        if isinstance(said, Answer):
            return said
        asked = sum(len(message.text.split()) for message in request.messages)
        return Answer(
            text=said,
            model=self._name,
            prompt_tokens=asked,
            completion_tokens=len(said.split()),
            cost_usd=None,
            seconds=0.0,
        )


def _outcome(call: CallRecord) -> Answer:
    answer = Answer(
        text=call.answer,
        model=call.model,
        prompt_tokens=call.prompt_tokens,
        completion_tokens=call.completion_tokens,
        cost_usd=call.cost_usd,
        seconds=call.seconds,
        is_usage_told=call.usage == "told",
    )
    if call.error is None:
        return answer
    came = answer if call.model else None
    raise ProviderError(call.error, call.detail, answer=came, is_unspent=call.usage == "none")


def call_data(call: CallRecord) -> dict[str, Any]:
    """Return a call as what JSON can say."""
    return asdict(call)


def call_from_data(data: Mapping[str, Any]) -> CallRecord:
    """Return the call that `call_data` told.

    Raises:
        ProviderSettingError: for other keys, or values of other types.
    """
    try:
        return _call(data)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise ProviderSettingError(f"not a recorded call: {type(error).__name__}: {error}") from None


def _call(data: Mapping[str, Any]) -> CallRecord:
    asked = dict(data["request"])
    asked["messages"] = tuple(Message(**message) for message in asked["messages"])
    call = CallRecord(**{**data, "request": Request(**asked)})
    texts = {field.name: getattr(call, field.name) for field in fields(call) if field.type is str}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise TypeError(f"{name!r} is {value!r}, expected a text")
    return call


def write_calls(path: Path, calls: Iterable[CallRecord]) -> None:
    """Write calls to a file, one JSON object a line."""
    lines = [json.dumps(call_data(call)) + "\n" for call in calls]
    path.write_text("".join(lines), encoding="utf-8")


def read_calls(path: Path) -> list[CallRecord]:
    """Return the calls of a file that `write_calls` wrote.

    Raises:
        ProviderSettingError: when it cannot be read, or a line is none of ours; it names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ProviderSettingError(f"recording {path} cannot be read: {error}") from None
    calls = []
    for number, line in enumerate(lines, start=1):
        try:
            calls.append(call_from_data(json.loads(line)))
        except (ValueError, RecursionError, ProviderSettingError) as error:
            raise ProviderSettingError(f"recording {path}, line {number}: {error}") from None
    return calls
