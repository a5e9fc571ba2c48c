"""What one request may be: its host, its size, the time it takes to come; who makes it is for guard.py."""

import asyncio
import ipaddress
from collections.abc import Collection

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tamiyo.api import errors
from tamiyo.api.errors import AnswerError
from tamiyo.api.settings import BrowseSettings, Limits

_SAFE = ("GET", "HEAD", "OPTIONS")


class Envelope:
    """Answers in the envelope what the guards inside raise, and what nobody foresaw."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal is_started
            is_started = is_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception as error:
            if is_started:
                raise
            response = errors.failed(Request(scope), error)
            await response(scope, receive, send)


class Bounds:
    """Refuses requests for other hosts or from other sites, and those too large, too slow or too many."""

    def __init__(self, app: ASGIApp, settings: BrowseSettings) -> None:
        self._app = app
        self._limits = settings.limits
        self._names = {"localhost", settings.host.lower(), *(name.lower() for name in settings.names)}
        self._num_in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        _check_target(scope, self._limits.max_target_bytes)
        request = Request(scope)
        _check_host(request, self._names)
        _check_origin(request)
        if self._num_in_flight >= self._limits.max_in_flight:
            raise AnswerError(
                503,
                "busy",
                "the server answers as many requests as it can",
                expected=f"at most {self._limits.max_in_flight} at a time",
                mend="try again in a moment",
                headers={"Retry-After": "1"},
            )
        self._num_in_flight += 1
        try:
            body = await _body(request, receive, self._limits)
            await self._app(scope, _replayed(body, receive), send)
        finally:
            self._num_in_flight -= 1


def _check_target(scope: Scope, limit: int) -> None:
    size = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
    if size > limit:
        raise AnswerError(
            414,
            "address-too-long",
            f"the path and its query are {size} bytes",
            expected=f"at most {limit}",
            mend="ask for less at once",
        )


def _check_host(request: Request, names: Collection[str]) -> None:
    """Refuse names that are not this server's: a page elsewhere may have its name point here (rebinding)."""
    host = request.headers.get("host", "")
    name, port = (host.rpartition(":")[::2]) if not host.endswith("]") and ":" in host else (host, "0")
    if (name.lower() in names or _is_address(name.strip("[]"))) and port.isdecimal():
        return
    raise AnswerError(
        421,
        "unknown-host",
        "the name of the host is none of this server's",
        expected="an address, localhost, or a name that the server was told",
        mend="start it with `--name NAME` for each name by which it is reached",
        where="header.host",
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _check_origin(request: Request) -> None:
    """Refuse requests that change something and were made by a page of another site."""
    origin = request.headers.get("origin")
    if request.method in _SAFE or origin is None:
        return
    if origin.partition("://")[2] != request.headers.get("host"):
        raise AnswerError(
            403,
            "cross-origin",
            "the request was made by a page of another site",
            expected="a page of this server, or a program, which sends no Origin",
            mend="open the server's own address",
            where="header.origin",
        )


async def _body(request: Request, receive: Receive, limits: Limits) -> bytes:
    """Return the body of a request, read no further than it may be long, nor longer than it may take."""
    length = request.headers.get("content-length", "0")
    if "transfer-encoding" in request.headers and "content-length" in request.headers:
        raise AnswerError(
            400,
            "ambiguous-body",
            "the body has a length and is chunked too",
            expected="either",
            mend="send one of the headers",
            headers={"Connection": "close"},
        )
    if length.isdecimal() and int(length) > limits.max_body_bytes:
        raise _too_large(limits)
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            return await _read(receive, limits)
    except TimeoutError:
        raise AnswerError(
            408,
            "too-slow",
            "the body did not come in time",
            expected=f"all of it within {limits.body_timeout_s:g} s",
            mend="send it faster",
        ) from None


async def _read(receive: Receive, limits: Limits) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise AnswerError(400, "disconnected", "the client left before it had sent the body")
        body += message.get("body", b"")
        if len(body) > limits.max_body_bytes:
            raise _too_large(limits)
        if not message.get("more_body", False):
            return bytes(body)


def _too_large(limits: Limits) -> AnswerError:
    return AnswerError(
        413,
        "body-too-large",
        "the body is too large",
        expected=f"at most {limits.max_body_bytes} bytes",
        mend="send less at once",
    )


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a channel that gives the body once, then what comes after it."""
    is_given = False

    async def replay() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
