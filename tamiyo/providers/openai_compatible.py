"""Servers that speak OpenAI's chat completions: hosted, vLLM, Ollama, llama.cpp, ours; no streaming.

Servers differ in what they take. A parameter that one names in a refusal is left out from then on: the
answer is checked against the schema whether or not the server knows of schemas.
"""

import re
import time
from collections.abc import Mapping
from typing import Any

from tamiyo.providers.addresses import Address, check_key, read_address
from tamiyo.providers.answers import check_request, checked, read_answer, read_object, refuse
from tamiyo.providers.contract import Answer, ProviderError, Request
from tamiyo.providers.hiding import one_line
from tamiyo.providers.wire import ask, check_installed, load

KEY_VARIABLE = "OPENAI_API_KEY"
MAKER_URL = "https://api.openai.com/v1"
#: What servers call the most tokens of an answer.
_MOST_NAMES = ("max_tokens", "max_completion_tokens")


class OpenAiCompatible:
    """A model behind a server that speaks OpenAI's chat completions."""

    def __init__(self, model: str, *, base_url: str = MAKER_URL, key: str | None = None) -> None:
        """Open no connection yet.

        Raises:
            ProviderSettingError: for an address or a key that cannot be, or a missing package.
        """
        check_installed("jsonschema")
        self._sdk = load("openai")
        self._model, self._address = model, read_address(base_url)
        check_key(key, KEY_VARIABLE, self._address)
        self._secrets = (key,) if key else ()
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._not_taken: set[str] = set()
        is_maker = self._address.url == MAKER_URL
        self._most_name = "max_completion_tokens" if is_maker else "max_tokens"

    @property
    def name(self) -> str:
        """`openai:MODEL`."""
        return f"openai:{self._model}"

    @property
    def address(self) -> Address:
        """Where the server is."""
        return self._address

    def complete(self, request: Request) -> Answer:
        """Return the answer to `request`.

        Raises:
            ProviderError: none came, or none that can be used.
        """
        check_request(request)
        started = time.monotonic()
        known = self._most_name, frozenset(self._not_taken)
        while True:
            outcome = self._ask(request, started + request.timeout_s - time.monotonic())
            if isinstance(outcome, bytes):
                return self._read(outcome, request, time.monotonic() - started)
            if not self._leave_out(outcome):
                self._most_name, self._not_taken = known[0], set(known[1])  # it was none of these
                raise outcome

    def _ask(self, request: Request, timeout_s: float) -> bytes | ProviderError:
        parameters = self._parameters(request)

        async def call(http: Any) -> bytes:
            client = self._sdk.AsyncOpenAI(
                api_key="put-on-later", base_url=self._address.url, max_retries=0, http_client=http
            )
            raw = await client.chat.completions.with_raw_response.create(**parameters, timeout=timeout_s)
            return raw.content

        return ask(
            call,
            headers=self._headers,
            secrets=self._secrets,
            timeout_s=timeout_s,
            is_local=self._address.is_local,
            error_type=self._sdk.APIError,
        )

    def _parameters(self, request: Request) -> dict[str, Any]:
        optional: dict[str, Any] = {"temperature": request.temperature, "seed": request.seed}
        if request.schema is not None:
            form = {"name": "answer", "schema": dict(request.schema), "strict": is_strict(request.schema)}
            optional["response_format"] = {"type": "json_schema", "json_schema": form}
        messages = [{"role": message.role, "content": message.text} for message in request.messages]
        taken = {name: value for name, value in optional.items() if name not in self._not_taken}
        return {"model": self._model, "messages": messages, self._most_name: request.max_tokens, **taken}

    def _leave_out(self, error: ProviderError) -> bool:
        """Leave out what the server named in its refusal; False when there is nothing to leave out."""
        if error.kind != "refused":
            return False
        sent = {self._most_name, "response_format", "temperature", "seed"} - self._not_taken
        named = sorted(name for name in sent if re.search(rf"\b{name}\b", str(error)))
        self._not_taken.update(named)
        if self._most_name in named:  # the other name for it, as answers must have an end
            self._most_name = next(name for name in _MOST_NAMES if name != self._most_name)
        return bool(named) and self._most_name not in self._not_taken

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
