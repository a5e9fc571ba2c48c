"""Servers that speak OpenAI's chat completions: hosted, vLLM, Ollama, llama.cpp, ours; no streaming.

Servers differ in what they take. A parameter that one names in a refusal is left out from then on: the
answer is checked against the schema whether or not the server knows of schemas.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tamiyo.providers.addresses import read_address
from tamiyo.providers.answers import checked, read_answer, read_object, refuse
from tamiyo.providers.contract import Answer, ProviderError, Request
from tamiyo.providers.dialect import Dialect
from tamiyo.providers.hiding import one_line

KEY_VARIABLE = "OPENAI_API_KEY"
MAKER_URL = "https://api.openai.com/v1"
#: What servers call the most tokens of an answer.
_MOST_NAMES = ("max_tokens", "max_completion_tokens")


@dataclass(frozen=True)
class _Way:
    most_name: str
    left_out: frozenset[str] = frozenset()


class OpenAiCompatible(Dialect[_Way]):
    """A model behind a server that speaks OpenAI's chat completions."""

    def __init__(self, model: str, *, base_url: str = MAKER_URL, key: str | None = None) -> None:
        """Open no connection yet.

        Raises:
            ProviderSettingError: for an address or a key that cannot be, or a missing package.
        """
        is_maker = read_address(base_url).url == MAKER_URL
        way = _Way("max_completion_tokens" if is_maker else "max_tokens")
        super().__init__("openai", model, base_url, key, variable=KEY_VARIABLE, way=way)

    def _call(self, request: Request, way: _Way, timeout_s: float) -> Callable[[Any], Awaitable[bytes]]:
        parameters = self._parameters(request, way)

        async def call(http: Any) -> bytes:
            client = self._sdk.AsyncOpenAI(
                api_key="put-on-later", base_url=self._address.url, max_retries=0, http_client=http
            )
            raw = await client.chat.completions.with_raw_response.create(**parameters, timeout=timeout_s)
            return raw.content

        return call

    def _parameters(self, request: Request, way: _Way) -> dict[str, Any]:
        optional: dict[str, Any] = {"temperature": request.temperature, "seed": request.seed}
        if request.schema is not None:
            form = {"name": "answer", "schema": dict(request.schema), "strict": is_strict(request.schema)}
            optional["response_format"] = {"type": "json_schema", "json_schema": form}
        messages = [{"role": message.role, "content": message.text} for message in request.messages]
        taken = {name: value for name, value in optional.items() if name not in way.left_out}
        return {"model": self._model, "messages": messages, way.most_name: request.max_tokens, **taken}

    def _other_way(self, way: _Way, said: str, request: Request) -> _Way | None:
        """Leave out what the server named, but for the most tokens of an answer, which has two names."""
        sent = {way.most_name, "response_format", "temperature", "seed"} - way.left_out
        named = {name for name in sent if re.search(rf"\b{name}\b", said)}
        if not named:
            return None
        way = replace(way, left_out=way.left_out | named)
        if way.most_name in named:
            way = replace(way, most_name=next(name for name in _MOST_NAMES if name != way.most_name))
        return way if way.most_name not in way.left_out else None  # answers must have an end

    def _read(self, body: bytes, request: Request, seconds: float) -> Answer:
        found = read_object(body, self._secrets)
        choice = _choice(found)
        message = choice.get("message")
        message = message if isinstance(message, dict) else {}
        text = message.get("content")
        answer = read_answer(
            text if isinstance(text, str) else "",
            _told(found.get("usage")),
            request,
            model=found.get("model"),
            seconds=seconds,
            secrets=self._secrets,
        )
        refusal, reason = message.get("refusal"), choice.get("finish_reason")
        if refusal or reason == "content_filter":
            said = one_line(str(refusal or "its filter stopped it"), self._secrets)
            refuse("refused", f"the model refuses: {said}", answer)
        if reason == "length":
            refuse("cut_off", f"the answer was cut off after {request.max_tokens} tokens", answer)
        if reason != "stop":
            said = one_line(repr(reason), self._secrets, most=60)
            refuse("garbage", f"the answer ended for {said}, expected 'stop'", answer)
        return checked(answer, request)


def _choice(found: Mapping[str, Any]) -> dict[str, Any]:
    choices = found.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ProviderError("garbage", "the server's answer has no choice")
    return choices[0]


def _told(usage: Any) -> dict[str, Any] | None:
    if not isinstance(usage, dict):
        return None
    return {"prompt": usage.get("prompt_tokens"), "completion": usage.get("completion_tokens")}


def is_strict(schema: Any) -> bool:
    """Return whether every object of a schema needs all of its properties and allows no other."""
    if isinstance(schema, list):
        return all(is_strict(part) for part in schema)
    if not isinstance(schema, Mapping):
        return True
    if schema.get("type") == "object" and (
        schema.get("additionalProperties") is not False
        or set(schema.get("required", ())) != set(schema.get("properties", ()))
    ):
        return False
    return all(is_strict(part) for part in schema.values())
