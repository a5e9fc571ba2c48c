"""A server that speaks OpenAI's chat completions around any provider; for one's own machine, without keys.

`python -m tamiyo.providers.serving FOLDER` serves a local model, whose answers meet the JSON schema of a
request by construction. What a request asks and this server cannot do, it refuses by name: nothing is left
out in silence. It answers requests that name it as a local host, and none from a page of a browser.
"""

import argparse
import json
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, Self

from blueprints.errors import TamiyoError
from tamiyo.providers.contract import Answer, FailureKind, Message, Provider, ProviderError, Request
from tamiyo.providers.local_llama import LocalLlama

#: Most bytes of a request.
MOST_BYTES = 4 << 20
#: Seconds that a client may take to send its request.
_SEND_S = 30.0
_ANSWER_S = 600.0
_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_STATUS: Mapping[FailureKind, int] = {
    "timed_out": 504,
    "unavailable": 503,
    "rate_limited": 429,
    "unauthorised": 502,
    "unknown_model": 404,
    "refused": 400,
    "garbage": 502,
    "over_budget": 402,
    "circuit_open": 503,
}
_TAKEN = {
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "seed",
    "response_format",
}
#: Parameters that may be there as long as they ask for what is done anyway.
_USUAL: Mapping[str, Any] = {"stream": False, "n": 1, "top_p": 1, "logprobs": False}


class _BadRequestError(Exception):
    """A request that cannot be read or done."""

    def __init__(self, status: int, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.status, self.parameter = status, parameter


class CompletionServer:
    """A provider as a server, in a thread of its own; it is there from the start and ends with `close`."""

    def __init__(self, provider: Provider, *, model: str, port: int = 0) -> None:
        """Serve `provider` under the name `model` on this machine; port 0 takes a free one."""

        class Handler(_Handler):
            served = provider
            served_name = model

        class Server(ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        """What clients are told."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def close(self) -> None:
        """Take no further request."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    served: Provider
    served_name: str
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "tamiyo", ""
    timeout = _SEND_S

    def do_GET(self) -> None:
        """List the one model."""
        if self.path != "/v1/models":
            self._refuse(_BadRequestError(404, f"no such path: {self.path}"))
            return
        model = {"id": self.served_name, "object": "model", "created": 0, "owned_by": "tamiyo"}
        self._send(200, {"object": "list", "data": [model]})

    def do_POST(self) -> None:
        """Answer a chat completion."""
        try:
            self._send(200, self._complete())
        except _BadRequestError as error:
            self._refuse(error)
        except ProviderError as error:
            wait = {} if error.retry_after_s is None else {"retry-after": f"{error.retry_after_s:.0f}"}
            self._fail(_STATUS.get(error.kind, 502), str(error), error.kind, None, wait)

    def _complete(self) -> dict[str, Any]:
        if self.path != "/v1/chat/completions":
            raise _BadRequestError(404, f"no such path: {self.path}")
        host = self.headers.get("host", "").rsplit(":", 1)[0] or "none"
        if host not in _HOSTS and self.headers.get("host") not in _HOSTS:
            raise _BadRequestError(403, f"host {host!r}, expected one of {', '.join(_HOSTS)}")
        asked = self._body()
        request = read_request(asked)
        if asked["model"] != self.served_name:
            raise _BadRequestError(404, f"model {asked['model']!r} is unknown, expected {self.served_name!r}")
        try:
            answer, reason = self.served.complete(request), "stop"
        except ProviderError as error:
            if error.kind != "cut_off" or error.answer is None:
                raise
            answer, reason = error.answer, "length"
        return _completion(answer, reason)

    def _body(self) -> dict[str, Any]:
        if self.headers.get_content_type() != "application/json":
            raise _BadRequestError(415, "expected content of type application/json")
        length = self.headers.get("content-length", "")
        if not re.fullmatch(r"[0-9]{1,10}", length) or int(length) > MOST_BYTES:
            raise _BadRequestError(413, f"expected a content-length of at most {MOST_BYTES}")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise _BadRequestError(400, f"no JSON: {error}") from None
        except TimeoutError:
            raise _BadRequestError(408, f"the request did not come in {_SEND_S:.0f} s") from None
        if not isinstance(body, dict):
            raise _BadRequestError(400, "expected a JSON object")
        return body

    def _refuse(self, error: _BadRequestError) -> None:
        self._fail(error.status, str(error), "invalid_request_error", error.parameter, {})

    def _fail(
        self, status: int, message: str, kind: str, parameter: str | None, headers: Mapping[str, str]
    ) -> None:
        self.close_connection = True  # the request may not have been read to its end
        error = {"message": message, "type": kind, "param": parameter, "code": kind}
        self._send(status, {"error": error}, headers)

    def _send(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the questions are nobody's business, and the answers are the client's."""


def read_request(asked: Mapping[str, Any]) -> Request:
    """Return what the body of a chat completion asks.

    Raises:
        _BadRequestError: naming the parameter that is missing, malformed or cannot be done.
    """
    for name, value in asked.items():
        if name not in _TAKEN and not (name in _USUAL and value in (None, _USUAL[name])):
            raise _BadRequestError(400, f"Unsupported parameter: '{name}'", name)
    if not isinstance(asked.get("model"), str):
        raise _BadRequestError(400, "'model' is missing, expected a name", "model")
    most = asked.get("max_completion_tokens", asked.get("max_tokens"))
    return Request(
        messages=_messages(asked.get("messages")),
        schema=_schema(asked.get("response_format")),
        max_tokens=int(_number(most, "max_tokens", int, 1024, 1, 1_000_000)),
        temperature=_number(asked.get("temperature"), "temperature", (int, float), 1.0, 0, 10),
        seed=int(_number(asked.get("seed"), "seed", int, 0, 0, 2**63 - 1)),
        timeout_s=_ANSWER_S,
    )


def _number(value: Any, name: str, kind: Any, usual: float, least: float, most: float) -> float:
    if value is None:
        return usual
    if not isinstance(value, kind) or isinstance(value, bool) or not least <= value <= most:
        raise _BadRequestError(400, f"'{name}' is {value!r:.40}, expected {least} to {most}", name)
    return value


def _messages(told: Any) -> tuple[Message, ...]:
    if not isinstance(told, list) or not told:
        raise _BadRequestError(400, "'messages' is empty, expected a list of messages", "messages")
    return tuple(_message(one) for one in told)


def _message(told: Any) -> Message:
    roles: dict[Any, Literal["system", "user", "assistant"]] = {
        "system": "system",
        "developer": "system",
        "user": "user",
        "assistant": "assistant",
    }
    if not isinstance(told, dict) or not isinstance(told.get("role"), str) or told["role"] not in roles:
        raise _BadRequestError(400, "'messages' has one without a role of " + ", ".join(roles), "messages")
    content = told.get("content")
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else None for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        content = "".join(texts) if texts and len(texts) == len(parts) else None
    if not isinstance(content, str):
        raise _BadRequestError(400, "'messages' has one without text", "messages")
    return Message(role=roles[told["role"]], text=content)


def _schema(form: Any) -> Mapping[str, Any] | None:
    if form is None or form == {"type": "text"}:
        return None
    if form == {"type": "json_object"}:
        return {"type": "object"}
    schema = form.get("json_schema") if isinstance(form, dict) and form.get("type") == "json_schema" else None
    inner = schema.get("schema") if isinstance(schema, dict) else None
    if not isinstance(inner, dict):
        raise _BadRequestError(
            400, "'response_format' is neither text, json_object nor json_schema", "response_format"
        )
    return inner


def _completion(answer: Answer, reason: str) -> dict[str, Any]:
    usage = {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.completion_tokens}
    choice = {
        "index": 0,
        "finish_reason": reason,
        "message": {"role": "assistant", "content": answer.text},
    }
    return {
        "id": f"chatcmpl-{time.time_ns():x}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": answer.model,
        "choices": [choice],
        "usage": usage | {"total_tokens": sum(usage.values())},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the model of a folder until interrupted; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tamiyo.providers.serving", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of a model as transformers saves it")
    parser.add_argument("--port", type=int, default=8000, help="port on this machine (default: 8000)")
    options = parser.parse_args(arguments)
    try:
        provider = LocalLlama(options.folder)
        server = CompletionServer(provider, model=options.folder.resolve().name, port=options.port)
    except (TamiyoError, OSError) as error:
        print(f"serving: {error}", file=sys.stderr)
        return 1
    with server:
        print(f"{provider.name} at {server.base_url}; end with Ctrl-C", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
