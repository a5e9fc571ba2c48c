"""Puts the application together: routes, guards, error envelope around one open library; serves nothing."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware

from hall_of_fame.catalogue import Catalogue
from hall_of_fame.library import Library
from hall_of_fame.onlookers import Onlooker
from tamiyo.api import (
    atlas,
    blueprints,
    errors,
    evaluations,
    expansions,
    health,
    landscape,
    programs,
    runs,
    signing_in,
)
from tamiyo.api.assets import Assets, assets_router
from tamiyo.api.bounds import Bounds, Envelope
from tamiyo.api.compression import Compression
from tamiyo.api.context import Context
from tamiyo.api.guard import OPEN_PATHS, Guard
from tamiyo.api.headers import SecurityHeaders
from tamiyo.api.limits import RateLimits
from tamiyo.api.sessions import Sessions
from tamiyo.api.settings import BrowseSettings
from tamiyo.api.telemetry import Telemetry, Telling, telemetry_router
from tamiyo.web import landscapes, pages

#: Every router of the API; a new one is added here.
ROUTERS = (
    blueprints.router,
    expansions.router,
    landscape.router,
    atlas.router,
    runs.router,
    programs.router,
    evaluations.router,
    health.router,
    signing_in.router,
    pages.router,
    landscapes.router,
)
#: Where the pages' files lie.
STATIC = Path(__file__).parents[1] / "web" / "static"
#: Seconds for which counted rows are told again.
_COUNTED_S = 30.0
#: What the guards may answer to any request.
GUARDED = (400, 408, 413, 414, 421, 429, 500, 503)


def create_app(settings: BrowseSettings) -> FastAPI:
    """Return the application on the library of `settings`, which is open until the application ends.

    `app.state.context` is the `Context`; `app.state.assets` the files of the pages.

    Raises:
        StoreError: when there is no library, it cannot be read, or an earlier version has written it.
        TokenError: when there is a file of tokens, and nobody could sign in with it.
    """
    sessions = None if settings.tokens is None else Sessions(settings.tokens)
    library = Library.open(settings.library, onlooker=Onlooker(query_s=settings.limits.query_timeout_s))
    catalogue = Catalogue(library.store)
    context = Context(
        settings=settings,
        library=library,
        catalogue=catalogue,
        space=atlas.space_service(library.store, catalogue),
        limits=RateLimits(settings.limits),
        sessions=sessions,
        telemetry=Telemetry(),
    )
    app = FastAPI(
        title="Tamiyo",
        summary="Browse a library of discovered blueprints",
        version="1",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(context),
        middleware=_guards(context),
        responses=errors.documented(*GUARDED, *(() if settings.is_open else (401, 403))),
    )
    app.state.context = context
    app.state.assets = Assets(STATIC)
    app.state.error_page = pages.error_page
    app.state.sign_in_page = pages.sign_in_page
    for router in (*ROUTERS, telemetry_router(context.telemetry), assets_router(app.state.assets)):
        app.include_router(router)
    errors.add_handlers(app)
    _count(app, context)
    if not settings.is_open:
        _document_sessions(app)
    return app


def _guards(context: Context) -> list[Middleware]:
    """Return what every request passes, outermost first."""
    settings = context.settings
    return [
        Middleware(Telling, telemetry=context.telemetry),
        Middleware(SecurityHeaders, is_open=settings.is_open),
        Middleware(Compression),
        Middleware(Envelope),
        Middleware(Bounds, settings=settings),
        Middleware(Guard, settings=settings, limits=context.limits, sessions=context.sessions),
    ]


def _lifespan(context: Context) -> Any:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            context.space.close()
            context.library.close()

    return lifespan


def _count(app: FastAPI, context: Context) -> None:
    """Have the metrics tell how many rows the library has, counted twice a minute, and how jobs stand."""
    count, library = context.telemetry.count, context.library
    count("tamiyo_library_rows", "Rows of the library", "table", lambda: _rows(library), fresh_s=_COUNTED_S)


def _rows(library: Library) -> Mapping[str, int]:
    counts = asdict(library.store.counts())
    return {name: number for name, number in counts.items() if name != "ok"}


def _document_sessions(app: FastAPI) -> None:
    """Say in the schema that a session is needed, and where it is not."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        schema = plain()
        schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["session"] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        schema["security"] = [{"session": []}]
        for path in schema["paths"].keys() & set(OPEN_PATHS):
            for operation in schema["paths"][path].values():
                operation["security"] = []
        return schema

    app.openapi = openapi
