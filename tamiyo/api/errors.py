"""The one envelope in which everything that goes wrong is answered; leaves pages of errors to tamiyo/web."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from blueprints.errors import BlueprintError, TamiyoError
from hall_of_fame.errors import SlowQueryError, StoreError, UnknownBlueprintError, UnknownExpansionError

#: Characters of what came that an error repeats.
_SHOWN = 200
_LOG = logging.getLogger("tamiyo.browse")
#: Documents of a route, as FastAPI takes them.
Responses = dict[int | str, dict[str, Any]]


class ErrorBody(BaseModel):
    """What went wrong, what would have been right, and how to mend it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = Field(description="name of the kind of error, which programs may rely on")
    message: str = Field(description="what came and what is wrong with it")
    expected: str = Field(default="", description="what would have been right")
    mend: str = Field(default="", description="what to do about it")
    where: str = Field(default="", description="the parameter, field or token at fault")
    correlation_id: str = Field(default="", description="names this request in the server's log")
    rule: str | None = Field(default=None, description="of a program: the rule of the language it breaks")
    position: int | None = Field(default=None, description="of a program: index of the token at fault")
    expected_tokens: tuple[str, ...] | None = Field(
        default=None, description="of a program: tokens that would have been legal there"
    )


class ErrorEnvelope(BaseModel):
    """How every error is answered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    error: ErrorBody


class AnswerError(TamiyoError):
    """An error with its status and body, for a route or a guard to raise."""

    def __init__(
        self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> None:
        self.status = status
        self.body = ErrorBody(code=code, message=message, **fields)
        self.headers = dict(headers or {})
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error ready to be answered."""

    status: int
    body: ErrorBody
    headers: Mapping[str, str]


def documented(*statuses: int) -> Responses:
    """Return the documentation of a route's error statuses, for `responses=`."""
    return {status: {"model": ErrorEnvelope, "description": HTTPStatus(status).phrase} for status in statuses}


def problem(error: Exception) -> Problem:
    """Return how an exception is answered; of one that nobody foresaw, nothing but that it happened."""
    if isinstance(error, AnswerError):
        return Problem(error.status, error.body, error.headers)
    if isinstance(error, BlueprintError):
        return Problem(422, blueprint_body(error), {})
    if isinstance(error, RequestValidationError):
        return Problem(422, _validation_body(error), {})
    if isinstance(error, HTTPException):
        return Problem(error.status_code, _http_body(error), error.headers or {})
    if isinstance(error, UnknownBlueprintError):
        return Problem(404, _store_body("unknown-blueprint", error), {})
    if isinstance(error, UnknownExpansionError):
        return Problem(404, _store_body("unknown-expansion", error), {})
    if isinstance(error, SlowQueryError):
        return Problem(503, _store_body("query-too-slow", error), {"Retry-After": "5"})
    if isinstance(error, StoreError):
        return _store_problem(error)
    if isinstance(error, TamiyoError):
        return Problem(422, ErrorBody(code="refused", message=str(error)), {})
    return Problem(
        500,
        ErrorBody(
            code="internal",
            message="the server failed to answer",
            mend="look for the correlation id in the server's log",
        ),
        {},
    )


def blueprint_body(error: BlueprintError) -> ErrorBody:
    """Return the body for a program that is not a blueprint."""
    return ErrorBody(
        code="not-a-blueprint",
        message=error.reason,
        expected=f"one of {', '.join(error.expected)}" if error.expected else "no token here",
        mend=f"`tamiyo check --explain {error.rule}` says what the rule means",
        where=f"token {error.position}",
        rule=error.rule,
        position=error.position,
        expected_tokens=error.expected,
    )


def answer(request: Request, found: Problem) -> Response:
    """Return the envelope, or for a person's browser the page that shows it."""
    body = found.body.model_copy(update={"correlation_id": _correlation_id(request.scope)})
    page = getattr(request.app.state, "error_page", None)
    if page is not None and wants_page(request):
        response: Response = page(request, found.status, body)
        response.headers.update(found.headers)
        return response
    return JSONResponse(
        {"error": body.model_dump(exclude_none=True, mode="json")},
        status_code=found.status,
        headers=dict(found.headers),
    )


def wants_page(request: Request) -> bool:
    """Return whether a request comes from a person's browser and not from a program."""
    is_page = not request.scope["path"].startswith(("/api/", "/static/", "/healthz", "/metrics"))
    return is_page and "text/html" in request.headers.get("accept", "")


def failed(request: Request, error: Exception) -> Response:
    """Return the answer to an exception, and write what nobody but the server may know into its log."""
    found = problem(error)
    if found.status >= 500 and not isinstance(error, AnswerError):
        extra = {"correlation_id": _correlation_id(request.scope)}
        _LOG.error("failed: %s", found.body.code, exc_info=error, extra=extra)
    return answer(request, found)


def add_handlers(app: FastAPI) -> None:
    """Have what routes raise answered in the envelope; what nobody foresaw is left to the guards."""

    async def handle(request: Request, error: Exception) -> Response:
        return failed(request, error)

    for kind in (TamiyoError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, handle)


def _correlation_id(scope: Mapping[str, Any]) -> str:
    return scope.get("state", {}).get("correlation_id", "")


def _validation_body(error: RequestValidationError) -> ErrorBody:
    """Return the first of the faults that a request's parameters and body have."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    came = repr(first.get("input"))[:_SHOWN]
    return ErrorBody(
        code="invalid-request",
        message=f"{where} is {came}: {first['msg']}",
        expected=str(first["msg"])[:_SHOWN],
        mend="see /api/v1/openapi.json for what each parameter may be",
        where=where,
    )


def _http_body(error: HTTPException) -> ErrorBody:
    name = HTTPStatus(error.status_code).phrase.lower()
    known = {
        404: ("a path of this server", "see / or /api/v1/openapi.json for those there are"),
        405: ("a method of this path", "the header Allow names those there are"),
    }
    expected, mend = known.get(error.status_code, ("", ""))
    return ErrorBody(code=name.replace(" ", "-"), message=name, expected=expected, mend=mend)


def _store_body(code: str, error: StoreError) -> ErrorBody:
    return ErrorBody(code=code, message=error.came, expected=error.expected, mend=error.mend)


def _store_problem(error: StoreError) -> Problem:
    """Return a caller's mistake in its words; a database's failure, which names files and hosts, without."""
    if error.__cause__ is None:
        return Problem(422, _store_body("refused", error), {})
    body = ErrorBody(
        code="library-unavailable",
        message="the library cannot be read at this moment",
        expected="a database that answers",
        mend="try again; the server's log says why",
    )
    return Problem(503, body, {"Retry-After": "5"})
