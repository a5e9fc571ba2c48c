"""One HTTP request through a maker's client, within its time and size; knows no provider's format.

The clients of makers know time-outs between two bytes alone, follow redirects with keys at hand, and take
headers from the environment. Here a request has one deadline for the whole answer, which may be so long and
no longer, comes from the host that was asked, and carries the headers that are meant and no others. The key
is put on at the last step, so that no client, log or error of theirs ever holds it.
"""

import asyncio
import concurrent.futures
import email.utils
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from math import isfinite
from typing import TYPE_CHECKING, Any

from tamiyo.providers.contract import FailureKind, ProviderError, ProviderSettingError
from tamiyo.providers.hiding import keep_out_of_logs, one_line

if TYPE_CHECKING:
    import httpx2

#: Most bytes of an answer; the longest answers of today's models have about a megabyte.
MOST_BYTES = 8 << 20
#: Packages that log what servers say.
_TALKATIVE = ("anthropic", "httpcore2", "httpx2", "openai")
#: Seconds beyond its time after which a request is given up, even if its thread cannot be ended.
GRACE_S = 1.0
#: What a request may carry besides what is put on.
_HEADERS = {
    "host",
    "accept",
    "connection",
    "content-type",
    "content-length",
    "transfer-encoding",
    "user-agent",
    "anthropic-version",
    "x-stainless-raw-response",  # by which the clients know that the bytes are wanted
}
_DAY_S = 86_400.0
_BY_STATUS: Mapping[int, FailureKind] = {
    400: "refused",
    401: "unauthorised",
    402: "over_budget",
    403: "unauthorised",
    404: "unknown_model",
    405: "unknown_model",
    413: "refused",
    422: "refused",
    429: "rate_limited",
}


class AnswerRefusedError(Exception):
    """An answer that is too long or packed; raised where it comes in."""


def ask(
    call: Callable[["httpx2.AsyncClient"], Awaitable[bytes]],
    *,
    headers: Mapping[str, str],
    secrets: tuple[str, ...],
    timeout_s: float,
    is_local: bool,
    error_type: type[Exception],
) -> bytes | ProviderError:
    """Return the body that `call` gets through the client that it is given, or why there is none.

    Args:
        call: makes one request.
        headers: put on the request; no others but those that HTTP needs are sent.
        secrets: those among them; they are kept out of the logs.
        timeout_s: seconds until the whole body must be there.
        is_local: whether proxies of the environment are passed by.
        error_type: what the maker's client raises; anything else but what the net raises is passed on.
    """

    async def work() -> bytes:
        async with asyncio.timeout(timeout_s), _client(headers, timeout_s, is_local) as client:
            keep_out_of_logs(secrets, _TALKATIVE)
            return await call(client)

    done: concurrent.futures.Future[bytes] = concurrent.futures.Future()

    def run() -> None:
        try:
            done.set_result(asyncio.run(work()))
        except BaseException as error:  # whatever it is, it belongs to who waits for it
            done.set_exception(error)

    threading.Thread(target=run, name="provider", daemon=True).start()
    try:
        return done.result(timeout_s + GRACE_S)
    except (error_type, OSError, AnswerRefusedError) as error:  # a TimeoutError is an OSError
        return _failure(error, secrets, timeout_s)


def _client(headers: Mapping[str, str], timeout_s: float, is_local: bool) -> "httpx2.AsyncClient":
    import httpx2

    class Bounded(httpx2.AsyncByteStream):
        """The bytes of an answer, up to the most that there may be."""

        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            count = 0
            async for chunk in self._stream:
                count += len(chunk)
                if count > MOST_BYTES:
                    raise AnswerRefusedError(f"the answer is longer than {MOST_BYTES} bytes")
                yield chunk

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def send(request: httpx2.Request) -> None:
        for name in [name for name in request.headers if name.lower() not in _HEADERS]:
            del request.headers[name]
        request.headers.update({**headers, "accept-encoding": "identity"})

    async def receive(response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise AnswerRefusedError("the answer is packed, though asked for as it is")
        response.stream = Bounded(response.stream)

    return httpx2.AsyncClient(
        timeout=timeout_s,
        follow_redirects=False,
        trust_env=not is_local,
        event_hooks={"request": [send], "response": [receive]},
    )


def _failure(error: BaseException, secrets: tuple[str, ...], timeout_s: float) -> ProviderError:
    """Return what an exception of a maker's client means.

    Raises:
        BaseException: `error` itself, when it says nothing about the request.
    """
    import httpx2

    if isinstance(error, TimeoutError) or type(error).__name__ == "APITimeoutError":
        return ProviderError("timed_out", f"no whole answer in {timeout_s:.1f} s")
    if (status := getattr(error, "status_code", None)) is not None:
        return _turned_down(error, int(status), secrets)
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, AnswerRefusedError):
            return ProviderError("garbage", str(cause))
    for cause in causes:
        if isinstance(cause, httpx2.HTTPError | httpx2.StreamError | OSError):
            is_unspent = isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout)
            said = one_line(f"{type(cause).__name__}: {cause}", secrets)
            return ProviderError("unavailable", f"no answer came: {said}", is_unspent=is_unspent)
    raise error


def _causes(error: BaseException) -> list[BaseException]:
    causes: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in causes:
        causes.append(step)
        step = step.__cause__ or step.__context__
    return causes


def _turned_down(error: BaseException, status: int, secrets: tuple[str, ...]) -> ProviderError:
    response: Any = vars(error)["response"]  # an error with a status has one
    said = one_line(message_of(response.text) or response.text, secrets)
    kind = _BY_STATUS.get(status, "unavailable")
    if kind == "rate_limited" and "insufficient_quota" in response.text:
        kind = "over_budget"
    return ProviderError(
        kind,
        f"the server says {status}: {said or 'nothing more'}",
        retry_after_s(response.headers),
        is_unspent=400 <= status < 500 or status in (503, 529),
    )


def message_of(body: str) -> str:
    """Return the message of an error's body, where it has one in a known place; empty otherwise."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    inner = found.get("error", found) if isinstance(found, dict) else {}
    if isinstance(inner, str):
        return inner
    said = [inner.get(key) for key in ("param", "message", "detail")] if isinstance(inner, dict) else []
    return ": ".join(str(part) for part in said if part)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait that an answer's headers ask for, up to a day; None for none or nonsense."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name, "")
        try:
            seconds = float(text) * scale
        except ValueError:
            continue
        return min(seconds, _DAY_S) if isfinite(seconds) and seconds >= 0 else None
    try:
        moment = email.utils.parsedate_to_datetime(headers.get("retry-after", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(moment - time.time(), 0.0), _DAY_S)


def load(package: str) -> Any:
    """Return a maker's client; it takes seconds to load, which belong to no request's time.

    Raises:
        ProviderSettingError: when it is not installed.
    """
    check_installed(package)
    return import_module(package)


def check_installed(package: str) -> None:
    """Refuse to begin without a package of the extras.

    Raises:
        ProviderSettingError: with the command that installs it.
    """
    if find_spec(package) is None:
        raise ProviderSettingError(
            f"this provider needs {package}, which is not installed: pip install 'tamiyo[llm,expand]'"
        )
