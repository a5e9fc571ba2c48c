"""What the server tells of itself: a correlation id and a log line a request, metrics; keeps no secret.

A line has the path without its query, and neither cookies nor bodies.
"""

import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blueprints.errors import TamiyoError

LOG = logging.getLogger("tamiyo.browse")
#: A correlation id that a client may bring: nothing in it can break a line or a header.
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,64}")
#: Seconds of the histogram's buckets.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0)
#: What a log record has beside what is passed in `extra`.
_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}


class Telemetry:
    """The metrics of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "tamiyo_requests", "Requests answered", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "tamiyo_request_seconds",
            "From a request to the end of its answer",
            ("route",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "tamiyo_requests_in_flight", "Requests not yet answered", registry=self.registry
        )

    def count(
        self, name: str, text: str, label: str, read: Callable[[], Mapping[str, int]], *, fresh_s: float = 0.0
    ) -> None:
        """Tell numbers that `read` returns by label; those of the last `fresh_s` seconds are told again."""
        self.registry.register(_Counts(name, text, label, read, fresh_s))

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class _Counts(Collector):
    """Numbers by label, read on demand and kept for a while: to count many rows takes time."""

    def __init__(
        self, name: str, text: str, label: str, read: Callable[[], Mapping[str, int]], fresh_s: float
    ) -> None:
        self._names = name, text, label
        self._read = read
        self._fresh_s = fresh_s
        self._known: tuple[float, Mapping[str, int]] | None = None

    def collect(self) -> Iterable[Metric]:
        if self._known is None or time.monotonic() - self._known[0] >= self._fresh_s:
            self._known = time.monotonic(), self._counted()
        name, text, label = self._names
        family = GaugeMetricFamily(name, text, labels=(label,))
        for key, value in self._known[1].items():
            family.add_metric((key,), value)
        yield family

    def _counted(self) -> Mapping[str, int]:
        """Return the numbers; none where they cannot be read, which is no reason to tell nothing else."""
        try:
            return self._read()
        except TamiyoError:
            LOG.exception("not counted: %s", self._names[0])
            return {}

    def describe(self) -> Iterable[Metric]:
        return []


class Telling:
    """Gives each request its correlation id, and tells log and metrics how it ended."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        correlation_id = _correlation_id(Headers(scope=scope).get("x-request-id", ""))
        scope.setdefault("state", {})["correlation_id"] = correlation_id
        status, started, method = 0, time.perf_counter(), scope["method"]
        if method == "HEAD":  # answered as GET; the server leaves the body out
            scope = {**scope, "method": "GET"}

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = correlation_id
            await send(message)

        with self._telemetry.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, send_and_note)
            finally:
                self._tell(scope, method, status, time.perf_counter() - started)

    def _tell(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path_format", "none")
        method = method if method in _METHODS else "other"
        self._telemetry.note(method, route, status, seconds)
        identity = scope["state"].get("identity")
        LOG.info(
            "request",
            extra={
                "correlation_id": scope["state"]["correlation_id"],
                "method": method,
                "path": scope["path"][:256],
                "route": route,
                "status": status,
                "duration_ms": round(1000 * seconds, 1),
                "client": scope["client"][0] if scope.get("client") else "",
                "who": identity.name if identity else "",
            },
        )


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class JsonFormatter(logging.Formatter):
    """Writes a log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _PLAIN}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def telemetry_router(telemetry: Telemetry) -> APIRouter:
    """Return the route of the metrics."""
    router = APIRouter(tags=["server"])

    @router.get(
        "/metrics",
        operation_id="get_metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    def get_metrics(_request: Request) -> Response:
        """Tell the server's numbers in the format of Prometheus."""
        return Response(generate_latest(telemetry.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router


def _correlation_id(brought: str) -> str:
    return brought if _WELL_FORMED.fullmatch(brought) else secrets.token_hex(8)
