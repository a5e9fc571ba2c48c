"""Servers that speak Anthropic's Messages: the maker's own, or one of one's own; no streaming, no tools.

An answer by JSON schema is asked for as such, and where the server refuses that, as the input of a tool that
the model must use. What neither says is checked all the same.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from tamiyo.providers.answers import checked, read_answer, read_object, refuse
from tamiyo.providers.contract import Answer, ProviderError, Request
from tamiyo.providers.dialect import Dialect
from tamiyo.providers.hiding import one_line

KEY_VARIABLE = "ANTHROPIC_API_KEY"
MAKER_URL = "https://api.anthropic.com"
_TOOL = "answer"
_DONE = ("end_turn", "stop_sequence", "tool_use")
_CUT = ("max_tokens", "model_context_window_exceeded")

#: How an answer by schema is asked for.
Form = Literal["schema", "tool"]


@dataclass(frozen=True)
class _Way:
    form: Form
    takes_temperature: bool = True


class AnthropicMessages(Dialect[_Way]):
    """A model behind a server that speaks Anthropic's Messages; the seed of a request plays no part."""

    def __init__(
        self, model: str, *, base_url: str = MAKER_URL, key: str | None = None, form: Form = "schema"
    ) -> None:
        """Open no connection yet; `form` is how an answer by schema is asked for first.

        Raises:
            ProviderSettingError: for an address or a key that cannot be, or a missing package.
        """
        root = base_url.rstrip("/").removesuffix("/v1")
        super().__init__("anthropic", model, root, key, variable=KEY_VARIABLE, way=_Way(form))

    def _call(self, request: Request, way: _Way, timeout_s: float) -> Callable[[Any], Awaitable[bytes]]:
        parameters = self._parameters(request, way)

        async def call(http: Any) -> bytes:
            client = self._sdk.AsyncAnthropic(
                api_key="put-on-later",
                base_url=self._address.url,
                max_retries=0,
                http_client=http,
                open_telemetry=False,
            )
            raw = await client.messages.with_raw_response.create(**parameters, timeout=timeout_s)
            return raw.http_response.content

        return call

    def _parameters(self, request: Request, way: _Way) -> dict[str, Any]:
        system = "\n\n".join(message.text for message in request.messages if message.role == "system")
        messages = [
            {"role": message.role, "content": message.text}
            for message in request.messages
            if message.role != "system"
        ]
        asked: dict[str, Any] = {"model": self._model, "max_tokens": request.max_tokens, "messages": messages}
        if system:
            asked["system"] = system
        if way.takes_temperature:
            asked["extra_body"] = {"temperature": request.temperature}
        if request.schema is not None:
            asked |= self._asked_form(request.schema, way.form)
        return asked

    def _asked_form(self, schema: Mapping[str, Any], form: Form) -> dict[str, Any]:
        """Return the parameters that ask for an answer by `schema`."""
        if form == "schema":
            with suppress(ValueError):  # of a schema that the client cannot put into the server's words
                described = self._sdk.transform_schema(json.loads(json.dumps(schema)))
                return {"output_config": {"format": {"type": "json_schema", "schema": described}}}
        tool = {"name": _TOOL, "description": "Takes the answer.", "input_schema": dict(schema)}
        return {"tools": [tool], "tool_choice": {"type": "tool", "name": _TOOL}}

    def _other_way(self, way: _Way, said: str, request: Request) -> _Way | None:
        if way.takes_temperature and re.search(r"\btemperature\b", said):
            return replace(way, takes_temperature=False)
        if request.schema is not None and way.form == "schema" and re.search(r"output_config|schema", said):
            return replace(way, form="tool")
        return None

    def _read(self, body: bytes, request: Request, seconds: float) -> Answer:
        found = read_object(body, self._secrets)
        answer = read_answer(
            _text(found),
            _told(found.get("usage")),
            request,
            model=found.get("model"),
            seconds=seconds,
            secrets=self._secrets,
        )
        reason = found.get("stop_reason")
        if reason == "refusal":
            refuse("refused", "the model refuses", answer)
        if reason in _CUT:
            refuse("cut_off", f"the answer was cut off after {request.max_tokens} tokens ({reason})", answer)
        if reason not in _DONE:
            said = one_line(repr(reason), self._secrets, most=60)
            refuse("garbage", f"the answer ended for {said}, expected one of {', '.join(_DONE)}", answer)
        return checked(answer, request)


def _text(found: Mapping[str, Any]) -> str:
    """Return the text of an answer: the input of its tool, or all of its texts one after the other."""
    blocks = found.get("content")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise ProviderError("garbage", "the server's answer has no content")
    for block in blocks:
        if block.get("type") == "tool_use" and block.get("name") == _TOOL:
            return json.dumps(block.get("input"), ensure_ascii=False)
    texts = [block.get("text") for block in blocks if block.get("type") == "text"]
    return "".join(text for text in texts if isinstance(text, str))


def _told(usage: Any) -> dict[str, Any] | None:
    if not isinstance(usage, dict):
        return None
    return {"prompt": usage.get("input_tokens"), "completion": usage.get("output_tokens")}
