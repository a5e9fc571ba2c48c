"""What every answer needs: settings, library, what is built once at the start; holds no request's state."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from hall_of_fame.catalogue import Catalogue
from hall_of_fame.library import Library
from tamiyo.api.limits import RateLimits
from tamiyo.api.sessions import Sessions
from tamiyo.api.settings import BrowseSettings
from tamiyo.api.telemetry import Telemetry
from tamiyo.space_service import SpaceService


@dataclass(slots=True, kw_only=True)
class Context:
    """One server's belongings; `app.state.context`.

    Attributes:
        settings: what it was told.
        library: open while the server runs.
        catalogue: of its blueprints.
        space: keeps the map of it at hand.
        limits: what clients have done in the last minute.
        sessions: who may sign in; None where nobody has to.
        telemetry: the server's metrics.
    """

    settings: BrowseSettings
    library: Library
    catalogue: Catalogue
    space: SpaceService
    limits: RateLimits
    sessions: Sessions | None
    telemetry: Telemetry


def context_of(request: Request) -> Context:
    """Return the context of the server that answers a request."""
    return request.app.state.context


#: The type of a route's parameter that is given the context.
InContext = Annotated[Context, Depends(context_of)]
