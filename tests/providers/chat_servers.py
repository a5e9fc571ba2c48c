"""Real local servers for tests: bytes over TCP as told, and what the two dialects of chat look like."""

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tamiyo.providers.anthropic_messages import AnthropicMessages
from tamiyo.providers.contract import Answer, Message, Provider, ProviderError, Request
from tamiyo.providers.openai_compatible import OpenAiCompatible


@dataclass
class Asked:
    """One request as it came over the wire."""

    line: str
    headers: dict[str, str]
    body: Any


class Server:
    """Answers each request with what `behave` writes to its connection; remembers all that it was asked."""

    def __init__(self, behave: "Behaviour") -> None:
        self.behave, self.asked, self.stopped = behave, [], threading.Event()
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                asked = _read(self.rfile)
                if asked is not None:
                    server.asked.append(asked)
                    server.behave(Connection(self.connection, server.stopped, asked, len(server.asked)))

        class Tcp(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: Any) -> None:
                """The other side is free to leave."""

        self._tcp = Tcp(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._tcp.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._tcp.server_address[1]}"

    def stop(self) -> None:
        self.stopped.set()
        self._tcp.shutdown()
        self._tcp.server_close()
        self._thread.join(30)


@dataclass
class Connection:
    """Where a behaviour writes: the socket, the end of the test, the request and its number from 1."""

    socket: socket.socket
    stopped: threading.Event
    asked: Asked
    number: int

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)


Behaviour = Callable[[Connection], None]


@contextmanager
def serving(behave: Behaviour) -> Iterator[Server]:
    server = Server(behave)
    try:
        yield server
    finally:
        server.stop()


def _read(stream: Any) -> Asked | None:
    line = stream.readline().decode("latin-1").strip()
    headers: dict[str, str] = {}
    while text := stream.readline().decode("latin-1").strip():
        name, _, value = text.partition(":")
        headers[name.lower()] = value.strip()
    if not line:
        return None
    body = stream.read(int(headers.get("content-length", "0")))
    return Asked(line=line, headers=headers, body=json.loads(body) if body else None)


def head(status: int, length: int | None, headers: dict[str, str]) -> bytes:
    fields = {"content-type": "application/json", **headers, "connection": "close"}
    if length is not None:
        fields["content-length"] = str(length)
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def says(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Behaviour:
    """Answer properly with `body`: bytes as they are, anything else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda connection: connection.send(head(status, len(data), headers or {}) + data)


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Behave otherwise at each request, and at the end as at the last."""
    return lambda connection: behaviours[min(connection.number, len(behaviours)) - 1](connection)


def hangs(connection: Connection) -> None:
    connection.stopped.wait(60)


def drips(first: bytes) -> Behaviour:
    """Send `first` and then a byte now and again for ever."""

    def behave(connection: Connection) -> None:
        connection.send(first)
        while not connection.stopped.wait(0.02):
            connection.send(b" ")

    return behave


def floods(connection: Connection) -> None:
    connection.send(head(200, None, {}))
    while not connection.stopped.is_set():
        connection.send(b" " * 65536)


def sends(data: bytes) -> Behaviour:
    """Send these bytes and close the connection."""
    return lambda connection: connection.send(data)


@dataclass(frozen=True)
class Dialect:
    """How a maker's servers speak: what a good answer is, and how the ends of answers are called."""

    name: str
    path: str
    make: Callable[..., Provider]
    good: Callable[..., dict[str, Any]]
    length: str
    done: str


def openai_body(
    text: Any = "fine", reason: Any = "stop", usage: Any = "told", **message: Any
) -> dict[str, Any]:
    body = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny-1",
        "choices": [
            {
                "index": 0,
                "finish_reason": reason,
                "message": {"role": "assistant", "content": text, **message},
            }
        ],
    }
    told = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return body | ({} if usage is None else {"usage": told if usage == "told" else _pair(usage, *told)})


def anthropic_body(text: Any = "fine", reason: Any = "end_turn", usage: Any = "told") -> Any:
    body = {
        "id": "1",
        "type": "message",
        "role": "assistant",
        "model": "tiny-1",
        "content": [{"type": "text", "text": text}],
        "stop_reason": reason,
    }
    told = {"input_tokens": 7, "output_tokens": 3}
    return body | ({} if usage is None else {"usage": told if usage == "told" else _pair(usage, *told)})


def _pair(usage: Any, prompt: str, completion: str, *_: str) -> Any:
    return {prompt: usage[0], completion: usage[1]} if isinstance(usage, tuple) else usage


OPENAI = Dialect(
    name="openai",
    path="/v1/chat/completions",
    make=lambda url, **fields: OpenAiCompatible("tiny", base_url=url + "/v1", **fields),
    good=openai_body,
    length="length",
    done="stop",
)
ANTHROPIC = Dialect(
    name="anthropic",
    path="/v1/messages",
    make=lambda url, **fields: AnthropicMessages("tiny", base_url=url, **fields),
    good=anthropic_body,
    length="max_tokens",
    done="end_turn",
)


def speaks_messages(provider: Provider) -> Behaviour:
    """Answer as Anthropic's Messages do, by what `provider` says; schemas come as such or as a tool."""

    def behave(connection: Connection) -> None:
        asked = connection.asked.body
        form = asked.get("output_config", {}).get("format", {})
        tools = asked.get("tools", [])
        system = [Message(role="system", text=asked["system"])] if "system" in asked else []
        rest = [Message(role=one["role"], text=one["content"]) for one in asked["messages"]]
        request = Request(
            messages=(*system, *rest),
            schema=form.get("schema") or (tools[0]["input_schema"] if tools else None),
            max_tokens=asked["max_tokens"],
            temperature=asked.get("temperature", 1.0),
        )
        try:
            answer, reason = provider.complete(request), "tool_use" if tools else "end_turn"
        except ProviderError as error:
            if error.kind != "cut_off" or error.answer is None:
                says({"type": "error", "error": {"message": str(error)}}, 400)(connection)
                return
            answer, reason = error.answer, "max_tokens"
        body = anthropic_body(answer.text, reason, (answer.prompt_tokens, answer.completion_tokens))
        if reason == "tool_use":
            used = {"type": "tool_use", "id": "1", "name": tools[0]["name"], "input": json.loads(answer.text)}
            body["content"] = [used]
        says(body)(connection)

    return behave


REQUEST = Request(messages=(Message(role="user", text="How are you?"),), max_tokens=100, timeout_s=30.0)
SCHEMA = {
    "type": "object",
    "properties": {"depth": {"type": "integer", "minimum": 1}},
    "required": ["depth"],
    "additionalProperties": False,
}
WITH_SCHEMA = Request(messages=REQUEST.messages, schema=SCHEMA, max_tokens=100, timeout_s=30.0)
KEY = "sk-very-secret-0123456789"
GOOD_HALF = head(200, 1000, {}) + b'{"choices": [{"mess'

dialects = pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=lambda dialect: dialect.name)


def ask(dialect: Dialect, behave: Behaviour, request: Request = REQUEST, **fields: Any) -> Answer:
    with serving(behave) as server:
        return dialect.make(server.url, **fields).complete(request)


def failure(dialect: Dialect, behave: Behaviour, request: Request = REQUEST, **fields: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        ask(dialect, behave, request, **fields)
    return caught.value
