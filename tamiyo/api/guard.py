"""Who may do what: finds out who makes a request, counts it and refuses it; opens no session itself."""

import logging
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tamiyo.api import errors
from tamiyo.api.errors import AnswerError
from tamiyo.api.limits import RateLimits, client_of
from tamiyo.api.sessions import Identity, SessionError, Sessions
from tamiyo.api.settings import BrowseSettings

#: What may be read without signing in: what is needed to sign in, and whether the server is well.
OPEN_PATHS = ("/healthz", "/sign-in", "/api/v1/token")
OPEN_FOLDERS = ("/static/",)
_LOG = logging.getLogger("tamiyo.browse")


class Guard:
    """Lets pass who signed in, or everybody where the server is open; counts requests of each client."""

    def __init__(
        self, app: ASGIApp, *, settings: BrowseSettings, limits: RateLimits, sessions: Sessions | None
    ) -> None:
        self._app = app
        self._cookie = cookie_name(settings)
        self._limits = limits
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        identity = self._identity(request)
        request.state.identity = identity
        client = f"name {identity.name}" if identity is not None and identity.name else address_of(request)
        self._limits.request(client, request.method)
        path: str = scope["path"]  # not of `request.url`, which is put together with the header Host
        if identity is None and path not in OPEN_PATHS and not path.startswith(OPEN_FOLDERS):
            if not errors.wants_page(request) or request.method != "GET":
                raise _unauthorised()
            response = RedirectResponse(f"/sign-in?next={quote(path)}", status_code=303)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _identity(self, request: Request) -> Identity | None:
        """Return who makes a request; None for nobody, or a session that is not accepted."""
        if self._sessions is None:
            return Identity()
        scheme, _, session = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            session = request.cookies.get(self._cookie, "")
        if not session:
            return None
        try:
            return self._sessions.identity(session.strip())
        except SessionError as error:
            _LOG.info("session refused: %s", error, extra={"correlation_id": request.state.correlation_id})
            return None


def cookie_name(settings: BrowseSettings) -> str:
    """Return the name of the cookie of a browser's session; a host's servers share their cookies."""
    return f"tamiyo_{settings.port}"


def identity_of(request: Request) -> Identity:
    """Return who makes a request that passed the guard."""
    identity = request.state.identity
    if identity is None:
        raise _unauthorised()
    return identity


def operator(identity: Annotated[Identity, Depends(identity_of)]) -> Identity:
    """Return who makes a request, who must be an operator; a route's dependency."""
    if identity.role != "operator":
        raise AnswerError(
            403,
            "forbidden",
            f"'{identity.name}' is a {identity.role}",
            expected="an operator",
            mend="ask for a token with the role operator",
        )
    return identity


def address_of(request: Request) -> str:
    """Return whom the address of a request stands for."""
    return client_of(request.client.host if request.client else "")


def _unauthorised() -> AnswerError:
    return AnswerError(
        401,
        "unauthorised",
        "nobody is signed in, or the session has ended",
        expected="a session, as `Authorization: Bearer SESSION`",
        mend="open one with POST /api/v1/token, or in a browser at /sign-in",
        headers={"WWW-Authenticate": 'Bearer realm="tamiyo"'},
    )
