"""Whether the server and its library are well, for machines that watch it; tells nothing of the library."""

from fastapi import APIRouter

from tamiyo.api import shapes
from tamiyo.api.context import InContext
from tamiyo.api.errors import documented

router = APIRouter(tags=["server"])


@router.get("/healthz", responses=documented(503), operation_id="get_health")
def get_health(context: InContext) -> shapes.Health:
    """Read one row of the library."""
    context.library.store.ids(limit=1)
    return shapes.Health(status="ok")
