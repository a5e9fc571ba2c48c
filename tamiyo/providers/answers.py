"""What came is checked before it is believed: JSON, text, schema and counts of tokens; sends nothing."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Never

from tamiyo.providers.budget import most_prompt_tokens
from tamiyo.providers.contract import Answer, ProviderError, Request
from tamiyo.providers.hiding import hide, one_line
from tamiyo.providers.objects import ExtractionError, json_in, said

#: Tokens by which an answer may pass its most, as some servers count the ends of messages.
EXTRA_TOKENS = 16
_FENCED = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL | re.IGNORECASE)


def check_request(request: Request) -> None:
    """Refuse a question that cannot be sent.

    Raises:
        ProviderError: `refused`, when a message holds what is no text.
    """
    for message in request.messages:
        if not _is_text(message.text):
            raise ProviderError("refused", "the question holds characters that are no text", is_unspent=True)


def read_object(body: bytes, secrets: tuple[str, ...]) -> dict[str, Any]:
    """Return the JSON object that a server answered.

    Raises:
        ProviderError: `garbage`, with the beginning of what came instead.
    """
    try:
        found = _loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        began = one_line(body[:200].decode("utf-8", "replace"), secrets, most=80)
        raise ProviderError("garbage", f"the server answered no JSON object, but {began!r}")
    return found


def read_answer(
    text: str,
    told: Mapping[str, int | None] | None,
    request: Request,
    *,
    model: Any,
    seconds: float,
    secrets: tuple[str, ...],
) -> Answer:
    """Return an answer with its counts, which are checked, and its text, which is not yet.

    Args:
        text: what the model said.
        told: tokens as the server tells them, by `prompt` and `completion`; anything may be there.
        request: what was asked.
        model: the model as the server names it; anything may be there.
        seconds: from question to answer.
        secrets: texts that the answer may not hold.

    Raises:
        ProviderError: `garbage`, when the counts cannot be.
    """
    most = {"prompt": most_prompt_tokens(request), "completion": request.max_tokens + EXTRA_TOKENS}
    counts = {key: (told or {}).get(key) for key in most}
    is_told = all(count not in (None, 0) for count in counts.values())
    answer = Answer(
        text=hide(text, secrets),
        model=one_line(model, secrets, most=200) if isinstance(model, str) and model.strip() else "unnamed",
        prompt_tokens=most["prompt"],
        completion_tokens=request.max_tokens,
        cost_usd=None,
        seconds=seconds,
        is_usage_told=False,
    )
    for key, count in counts.items():
        if count is not None and not (type(count) is int and 0 <= count <= most[key]):
            said = f"{one_line(repr(count), secrets, most=40)} tokens of the {_PARTS[key]}"
            refuse("garbage", f"the server counts {said}, of which there can be at most {most[key]}", answer)
    if not is_told:
        return answer
    return replace(
        answer,
        prompt_tokens=counts["prompt"],
        completion_tokens=counts["completion"],
        is_usage_told=True,
    )


_PARTS = {"prompt": "question", "completion": "answer"}


def checked(answer: Answer, request: Request) -> Answer:
    """Return `answer` with its text as it may be used: JSON alone where a schema was asked for.

    Raises:
        ProviderError: `garbage`, when it is empty, no text, or does not meet the schema.
    """
    if not answer.text.strip():
        refuse("garbage", "the answer is empty", answer)
    if not _is_text(answer.text):
        refuse("garbage", "the answer holds characters that are no text", answer)
    if request.schema is None:
        return answer
    try:
        text = _json_of(answer.text)
    except ExtractionError as error:
        refuse(
            "garbage", one_line(f"the answer does not meet the schema: no JSON: {error}", most=600), answer
        )
    if fault := _fault(text, request.schema):
        refuse("garbage", f"the answer does not meet the schema: {fault}", answer)
    return replace(answer, text=text)


def refuse(kind: Any, message: str, answer: Answer) -> Never:
    """Raise a failure that has been paid for."""
    raise ProviderError(kind, message, answer=answer)


def _json_of(text: str) -> str:
    """Return the JSON of an answer: all of it, or all between back quotes, or the one object in it.

    Raises:
        ExtractionError: there is none, or more than one.
    """
    text = said(text)
    if fenced := _FENCED.fullmatch(text):
        text = fenced.group(1).strip()
    try:
        _loads(text)
    except (ValueError, RecursionError):
        return json_in(text)
    return text


def _fault(text: str, schema: Mapping[str, Any]) -> str:
    """Return why `text` does not meet `schema`; empty when it does."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    try:
        error = best_match(Draft202012Validator(schema).iter_errors(_loads(text)))
    except (ValueError, RecursionError) as broken:
        return one_line(f"no JSON: {broken}")
    return "" if error is None else one_line(f"at {error.json_path}: {error.message}", most=500)


def _loads(text: str) -> Any:
    def constant(name: str) -> Never:
        raise ValueError(f"{name} is no JSON")

    return json.loads(text, parse_constant=constant)


def _is_text(text: str) -> bool:
    """Return whether a file and every database can hold it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in text
