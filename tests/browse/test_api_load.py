"""Clients that are slow, and many at once, against a real server; speeds are measured elsewhere."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import servers

from tamiyo.api.settings import Limits

#: How /proc/net/tcp names the state of a connection that both sides hold.
ESTABLISHED = "01"
IMPATIENT = Limits(header_timeout_s=1.5, body_timeout_s=1.5, send_timeout_s=1.5)
HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 100
POST = b"POST /api/v1/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def impatient(library: Path) -> Iterator[httpx.Client]:
    """Give a client of a server that gives others 1.5 s."""
    with servers.browsing(library, limits=IMPATIENT) as client:
        yield client


def connected(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=20)


def drip(connection: socket.socket, data: bytes, every_s: float = 0.2) -> tuple[float, bytes]:
    """Send a byte at a time until the server answers or leaves; return how long it took, and what came."""
    started, came = time.monotonic(), b""
    connection.settimeout(every_s)
    for byte in data:
        try:
            connection.send(bytes([byte]))
            came = connection.recv(65536)
        except TimeoutError:
            continue
        except OSError:
            came = b""
        break
    return time.monotonic() - started, came


def test_a_client_that_sends_its_head_a_byte_at_a_time_is_left(impatient: httpx.Client) -> None:
    with closing(connected(impatient)) as slow:
        seconds, came = drip(slow, HEAD)
        assert 1.0 < seconds < 10
        assert came == b""
        assert impatient.get("/healthz").status_code == 200


def test_a_client_that_sends_nothing_is_left(impatient: httpx.Client) -> None:
    with closing(connected(impatient)) as silent:
        started = time.monotonic()
        assert _rest(silent) == b""
        assert time.monotonic() - started < 10


def test_a_second_head_has_no_more_time_than_the_first(impatient: httpx.Client) -> None:
    with closing(connected(impatient)) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while not answer.endswith(b'{"status":"ok"}'):
            answer += slow.recv(65536)
        seconds, came = drip(slow, HEAD)
        assert 1.0 < seconds < 10
        assert came == b""


def test_a_client_that_sends_its_body_a_byte_at_a_time_is_told_so(impatient: httpx.Client) -> None:
    for head in (POST + b"Content-Length: 500\r\n\r\n", POST + b"Transfer-Encoding: chunked\r\n\r\n1f4\r\n"):
        with closing(connected(impatient)) as slow:
            slow.sendall(head)
            seconds, came = drip(slow, b"x" * 200)
            assert 1.0 < seconds < 10
            assert came.startswith(b"HTTP/1.1 408")
            assert b'"too-slow"' in came + _rest(slow)


def test_a_client_that_goes_on_sending_after_its_answer_is_left(impatient: httpx.Client) -> None:
    with closing(connected(impatient)) as endless:
        endless.sendall(POST + b"Content-Length: 1000000000\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}}"):
            answer += endless.recv(65536)
        assert answer.startswith(b"HTTP/1.1 413")
        seconds, came = drip(endless, b"x" * 1000, every_s=0.05)
        assert 1.0 < seconds < 10
        assert came == b""


def test_a_client_that_takes_no_answer_is_left(tmp_path: Path) -> None:
    library = servers.write_library(tmp_path / "library.db", servers.human_blueprints(60))
    with servers.browsing(library, limits=IMPATIENT) as client, closing(socket.socket()) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(20)
        deaf.connect((client.base_url.host, client.base_url.port or 80))
        asked = b"GET /api/v1/blueprints?limit=200 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        deaf.sendall(asked * 600)  # 16 MB of answers: far more than the kernel keeps for either side
        assert _is_left(deaf), "the server still holds the connection"
        assert _rest(deaf).count(b"HTTP/1.1 200") < 600
        assert client.get("/healthz").status_code == 200


def test_what_is_no_request_is_answered_in_the_envelope(impatient: httpx.Client) -> None:
    nonsense = (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 40_000,
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    )
    for text in nonsense:
        with closing(connected(impatient)) as connection:
            connection.sendall(text)
            came = _rest(connection)
            assert came.startswith((b"HTTP/1.1 400", b"HTTP/1.1 4")), came[:80]
            assert b'{"error":{"code":' in came
            assert came.count(b"HTTP/1.1 ") == 1, "nothing was smuggled in behind it"


def test_two_hundred_readers_are_all_answered(library: Path) -> None:
    num, paths = 200, ("/api/v1/blueprints", "/healthz", "/api/v1/facets", "/static/style.css")
    together = threading.Barrier(num)

    def read(number: int) -> int:
        with httpx.Client(base_url=client.base_url, timeout=servers.PATIENCE_S) as own:
            together.wait()
            return own.get(paths[number % len(paths)]).status_code

    with servers.browsing(library) as client:
        client.get("/api/v1/blueprints")
        before = _resident_bytes()
        with ThreadPoolExecutor(num) as pool:
            assert list(pool.map(read, range(num))) == [200] * num
        grown = _resident_bytes() - before
    assert grown < 300e6, "readers and server together"


def test_more_requests_than_are_answered_at_once_are_told_to_wait(tmp_path: Path, library: Path) -> None:
    with servers.browsing(library, limits=Limits(max_in_flight=2)) as client:
        holding = [connected(client) for _ in range(2)]
        try:
            for connection in holding:
                connection.sendall(POST + b"Content-Length: 100\r\n\r\n")
            time.sleep(0.5)
            refused = client.get("/healthz")
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "busy")
            assert refused.headers["Retry-After"] == "1"
        finally:
            for connection in holding:
                connection.close()
        time.sleep(0.5)
        assert client.get("/healthz").status_code == 200


def _rest(connection: socket.socket) -> bytes:
    """Return all that still comes before the connection ends."""
    came = b""
    try:
        while part := connection.recv(65536):
            came += part
    except OSError:
        pass
    return came


def _is_left(connection: socket.socket) -> bool:
    """Say whether the server gives up a connection of which nothing is read, however busy the machine is."""
    port = f":{connection.getsockname()[1]:04X}"
    for _ in range(600):
        time.sleep(0.2)
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        if not any(remote.endswith(port) and state == ESTABLISHED for _, _, remote, state, *_ in lines):
            return True
    return False


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
