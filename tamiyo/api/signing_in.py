"""The routes by which programs and browsers open and end a session; sessions.py checks the secrets."""

from collections.abc import Callable
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from tamiyo.api.context import Context, InContext
from tamiyo.api.errors import AnswerError, documented
from tamiyo.api.guard import address_of, cookie_name
from tamiyo.api.sessions import BROWSER_S, PROGRAM_S, Identity, SessionError
from tamiyo.api.shapes import Shape
from tamiyo.api.tokens import Role

#: Fields of the form at most.
_MAX_FIELDS = 8

router = APIRouter()
#: What draws the page: from the request, where to go afterwards, and what went wrong, empty at first.
SignInPage = Callable[[Request, str, str], Response]


class Credentials(Shape):
    """What opens a session."""

    name: Annotated[str, Field(min_length=1, max_length=32, description="the token's name")]
    secret: Annotated[str, Field(min_length=1, max_length=128, description="what was shown when it was made")]


class Session(Shape):
    """An open session."""

    session: str = Field(description="to be sent as `Authorization: Bearer SESSION`")
    expires_in_s: int = Field(description="seconds that it lasts")
    role: Role = Field(description="what it may do")


@router.post(
    "/api/v1/token", responses=documented(401, 409, 422), operation_id="open_session", tags=["server"]
)
def open_session(context: InContext, request: Request, response: Response, given: Credentials) -> Session:
    """Exchange a token's secret for a session, which every other request carries."""
    response.headers["Cache-Control"] = "no-store"
    session, identity = _open(context, request, given.name, given.secret, PROGRAM_S)
    return Session(session=session, expires_in_s=PROGRAM_S, role=identity.role)


@router.get("/sign-in", include_in_schema=False)
def show_sign_in(request: Request) -> Response:
    """Show the page."""
    return _page(request, _inside(request.query_params.get("next", "/")), "")


@router.post("/sign-in", include_in_schema=False)
async def sign_in(context: InContext, request: Request) -> Response:
    """Open a session for a browser, and go where it wanted to go."""
    try:
        form = parse_qs((await request.body()).decode("utf-8"), max_num_fields=_MAX_FIELDS)
    except ValueError:
        form = {}
    name, secret, wanted = (form.get(field, [""])[0] for field in ("name", "secret", "next"))
    wanted = _inside(wanted)
    try:
        session, _ = await run_in_threadpool(_open, context, request, name, secret, BROWSER_S)
    except AnswerError as error:
        page = _page(request, wanted, error.body.message)
        page.status_code = error.status
        page.headers.update(error.headers)
        return page
    response = RedirectResponse(wanted, status_code=303)
    response.set_cookie(
        cookie_name(context.settings),
        session,
        max_age=BROWSER_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/sign-out", include_in_schema=False)
def sign_out(context: InContext) -> Response:
    """Have the browser forget its session."""
    response = RedirectResponse("/sign-in", status_code=303)
    response.delete_cookie(cookie_name(context.settings), httponly=True, samesite="strict")
    return response


def _open(context: Context, request: Request, name: str, secret: str, lasting_s: int) -> tuple[str, Identity]:
    if context.sessions is None:
        raise AnswerError(
            409, "open-server", "nobody has to sign in here", mend="leave the session out of every request"
        )
    context.limits.sign_in(address_of(request), name)
    try:
        return context.sessions.open(name, secret, lasting_s)
    except SessionError as error:
        raise AnswerError(
            401,
            "wrong-credentials",
            "the name or the secret is wrong, or the token has expired",
            mend="ask whoever runs this server for a token",
            headers={"WWW-Authenticate": 'Bearer realm="tamiyo"'},
        ) from error


def _page(request: Request, wanted: str, wrong: str) -> Response:
    page: SignInPage = request.app.state.sign_in_page
    return page(request, wanted, wrong)


def _inside(path: str) -> str:
    """Return a path of this server, the front page in place of anything else."""
    is_inside = path.startswith("/") and path[1:2] not in ("/", "\\") and path.isprintable()
    return path if is_inside and "\\" not in path else "/"
