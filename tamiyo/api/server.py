"""Listens and serves an application, patient with slow clients up to a bound; answers nothing itself."""

import asyncio
import logging
import signal
import socket
import ssl
import sys
from pathlib import Path

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from tamiyo.api.errors import ErrorBody, ErrorEnvelope
from tamiyo.api.settings import BrowseSettings, Limits, SettingsError
from tamiyo.api.telemetry import JsonFormatter

#: Connections per request in flight: idle and slow ones count too.
_CONNECTIONS_PER_REQUEST = 2
#: Seconds that a connection without a request stays.
_KEEP_ALIVE_S = 5
#: Bytes of a request's head at most.
_MAX_HEAD_BYTES = 16 * 1024
_BACKLOG = 512


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that ends connections whose client takes too long to send a head, or to take an answer."""

    limits = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the client its time for the first head."""
        super().connection_made(transport)
        self._sending: asyncio.TimerHandle | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop every clock."""
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and see whether a request is still on its way."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Go on to the next request."""
        super().on_response_complete()
        if self.conn.their_state is not h11.IDLE or self.conn.trailing_data[0]:
            self._watch()

    def pause_writing(self) -> None:
        """Give the client its time to take what was sent."""
        super().pause_writing()
        self._sending = self.loop.call_later(self.limits.send_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that clock."""
        super().resume_writing()
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, at once where its client has not even taken the last answer."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """Answer in the envelope what is no request."""
        body = ErrorBody(code="bad-request", message=msg, expected="HTTP/1.1", mend="see RFC 9112")
        content = ErrorEnvelope(error=body).model_dump_json(exclude_none=True).encode()
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(content))),
            ("Connection", "close"),
        ]
        response = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for event in (response, h11.Data(data=content), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch(self) -> None:
        """Run the clock while the client owes a head, or still sends what was answered already."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering or self.transport.is_closing():
            self._stop_waiting()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(self.limits.header_timeout_s, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


def listen(settings: BrowseSettings) -> socket.socket:
    """Return a socket that listens where the settings say.

    Raises:
        SettingsError: when the address is none of this machine's, or the port is taken.
    """
    # Named as TCP, or asyncio leaves Nagle's algorithm on and each answer waits 40 ms to be acknowledged.
    kind = {"type": socket.SOCK_STREAM, "proto": socket.IPPROTO_TCP}
    try:
        family, type_, proto, _, address = socket.getaddrinfo(settings.host, settings.port, **kind)[0]
        listening = socket.socket(family, type_, proto)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
        return listening
    except OSError as error:
        raise SettingsError(
            f"cannot listen at {settings.host}:{settings.port} ({error.strerror})",
            expected="an address of this machine and a port that is free",
            mend="choose another with --port, or end the server that has it",
        ) from error


def url_of(settings: BrowseSettings, listening: socket.socket) -> str:
    """Return the address that a browser opens."""
    port = listening.getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    host = "localhost" if settings.host in ("0.0.0.0", "::") else host
    return f"{'https' if settings.certificate else 'http'}://{host}:{port}/"


def serve(app: FastAPI, settings: BrowseSettings, listening: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; answers in flight are given some seconds to end."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn hands the signal on when it has ended
    uvicorn.Server(server_config(app, settings)).run(sockets=[listening])


def check_certificate(settings: BrowseSettings) -> None:
    """Refuse a certificate that cannot be served with, before anything is promised.

    Raises:
        SettingsError: for a file that is no certificate, or a key that is not its own.
    """
    if settings.certificate is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            settings.certificate, settings.certificate_key, password=""
        )
    except OSError as error:  # an SSLError is one
        raise SettingsError(
            f"cannot serve with the certificate {settings.certificate} ({error.strerror or error})",
            expected="a certificate as PEM, and its key, without a passphrase",
            mend="name them with --certificate and --key",
        ) from error


def server_config(app: FastAPI, settings: BrowseSettings) -> uvicorn.Config:
    """Return how uvicorn serves an application under these settings."""
    limits = settings.limits
    protocol = type("Protocol", (PatientProtocol,), {"limits": limits})
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS_PER_REQUEST * limits.max_in_flight,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=round(limits.answer_timeout_s),
        h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.certificate_key,
    )


def set_up_logging(path: Path | None) -> None:
    """Write a line of JSON a request into a file, `-` being standard error; without one, failures alone.

    Raises:
        SettingsError: when the file cannot be written.
    """
    try:
        to_file = path is not None and str(path) != "-"
        handler = logging.FileHandler(path) if to_file and path else logging.StreamHandler(sys.stderr)
    except OSError as error:
        raise SettingsError(
            f"cannot write {path} ({error.strerror})",
            expected="a file that can be written",
            mend="choose another",
        ) from error
    handler.setFormatter(JsonFormatter())
    for name, level in (("tamiyo.browse", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.WARNING if path is None else level)
