"""The routes of blueprints; leaves what they say to answers.py and kin.py."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from hall_of_fame.catalogue import LIMIT, CatalogueQuery
from hall_of_fame.records import Status
from tamiyo.api import answers, kin, shapes
from tamiyo.api.context import InContext
from tamiyo.api.errors import documented
from tamiyo.api.graphs import GraphAnswer

router = APIRouter(prefix="/api/v1", tags=["blueprints"])

#: The type of a path's id: hexadecimal digits, all 64 or a unique beginning.
BlueprintId = Annotated[
    str,
    Path(
        pattern="^[0-9a-f]{1,64}$", description="a blueprint's id, or the beginning of one", examples=["3f2a"]
    ),
]
OtherId = Annotated[str, Query(pattern="^[0-9a-f]{1,64}$", description="an id, or the beginning of one")]
#: What the catalogue sorts by (its `SORTS`).
Sort = Literal["standing", "score", "reward", "num_parameters", "latency_us", "length", "depth", "newest"]


def _bound(description: str) -> Any:
    return Field(default=None, ge=-(2**53), le=2**53, description=description)


class BlueprintFilter(BaseModel):
    """Which blueprints to list, and how; what is left out asks for nothing. Bounds are included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    search: str = Field(
        default="",
        max_length=256,
        description="words; each a token of the program or the beginning of one",
    )
    status: Status | None = Field(default=None, description="where it stands")
    family: str | None = Field(default=None, max_length=64, description="how it carries information")
    stage: str | None = Field(default=None, max_length=64, description="the stage that brought it")
    run_id: str | None = Field(default=None, max_length=128, description="the run that brought it")
    min_reward: float | None = _bound("best reward, at least")
    max_reward: float | None = _bound("best reward, at most")
    min_score: float | None = _bound("score, at least")
    max_score: float | None = _bound("score, at most")
    min_num_parameters: float | None = _bound("trainable scalars, at least")
    max_num_parameters: float | None = _bound("trainable scalars, at most")
    min_latency_us: float | None = _bound("predicted latency in microseconds, at least")
    max_latency_us: float | None = _bound("predicted latency in microseconds, at most")
    min_length: float | None = _bound("tokens, at least")
    max_length: float | None = _bound("tokens, at most")
    min_depth: float | None = _bound("ops on the longest path, at least")
    max_depth: float | None = _bound("ops on the longest path, at most")
    sort: Sort = Field(default="standing", description="standing: the proved first, then by score")
    descending: bool = Field(default=True, description="the largest first")
    cursor: str | None = Field(default=None, max_length=256, description="`next_cursor` of the page before")
    limit: int = Field(default=24, ge=1, le=LIMIT, description="rows at most")

    def query(self) -> CatalogueQuery:
        """Return the catalogue's query.

        Raises:
            QueryError: for what no catalogue can be asked.
        """
        return CatalogueQuery(**self.model_dump())


@router.get("/blueprints", responses=documented(422), operation_id="list_blueprints")
def list_blueprints(context: InContext, asked: Annotated[BlueprintFilter, Query()]) -> shapes.BlueprintPage:
    """List blueprints that meet every condition, a page at a time."""
    return answers.page_of_blueprints(context.catalogue, asked.query())


@router.get("/facets", operation_id="get_facets")
def get_facets(context: InContext) -> shapes.Facets:
    """Count blueprints by family, status, stage and run."""
    return answers.facets(context.catalogue)


@router.get("/blueprints/{blueprint_id}", responses=documented(404, 422), operation_id="get_blueprint")
def get_blueprint(context: InContext, blueprint_id: BlueprintId) -> shapes.BlueprintDetail:
    """Tell what is on record about one blueprint."""
    return answers.detail(context.library, blueprint_id)


@router.get("/blueprints/{blueprint_id}/graph", responses=documented(404, 422), operation_id="get_graph")
def get_graph(context: InContext, blueprint_id: BlueprintId) -> GraphAnswer:
    """Return its typed graph."""
    return answers.graph(context.library, blueprint_id)


@router.get("/blueprints/{blueprint_id}/source", responses=documented(404, 422), operation_id="get_source")
def get_source(context: InContext, blueprint_id: BlueprintId) -> shapes.SourceAnswer:
    """Return it as ordinary PyTorch."""
    return answers.source(context.library, blueprint_id)


@router.get(
    "/blueprints/{blueprint_id}/source.py",
    responses={
        200: {"content": {"text/x-python": {"schema": {"type": "string"}}}, "description": "a file"},
        **documented(404, 422),
    },
    response_class=Response,
    operation_id="download_source",
)
def download_source(context: InContext, blueprint_id: BlueprintId) -> Response:
    """Return it as a file of ordinary PyTorch."""
    found = answers.source(context.library, blueprint_id)
    named = {"Content-Disposition": f'attachment; filename="{found.file_name}"'}
    return Response(found.source, media_type="text/x-python", headers=named)


@router.get("/blueprints/{blueprint_id}/lineage", responses=documented(404, 422), operation_id="get_lineage")
def get_lineage(context: InContext, blueprint_id: BlueprintId) -> shapes.LineageAnswer:
    """Tell what it was made from, and what was made from it."""
    return kin.lineage(context.library, blueprint_id)


@router.get(
    "/blueprints/{blueprint_id}/neighbours", responses=documented(404, 422), operation_id="get_neighbours"
)
def get_neighbours(
    context: InContext,
    blueprint_id: BlueprintId,
    limit: Annotated[int, Query(ge=1, le=32, description="neighbours at most")] = 6,
) -> shapes.NeighboursAnswer:
    """Return the blueprints that are built most like it, and what differs."""
    return kin.neighbours(context.library, blueprint_id, limit)


@router.get(
    "/blueprints/{blueprint_id}/evaluations", responses=documented(404, 422), operation_id="get_trainings"
)
def get_trainings(
    context: InContext,
    blueprint_id: BlueprintId,
    limit: Annotated[int, Query(ge=1, le=1000, description="trainings at most")] = 200,
) -> shapes.TrainingsAnswer:
    """Return its trainings, by task and seed."""
    return answers.trainings(context.library, blueprint_id, limit)


@router.get("/compare", responses=documented(404, 422), operation_id="compare_blueprints")
def compare_blueprints(context: InContext, a: OtherId, b: OtherId) -> shapes.CompareAnswer:
    """Set two blueprints side by side."""
    return kin.comparison(context.library, a, b)
