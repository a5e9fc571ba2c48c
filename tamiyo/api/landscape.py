"""The whole library at one glance: the Pareto front and the heat map, as answers and as routes."""

from typing import Annotated

from fastapi import APIRouter, Query

from hall_of_fame import overviews
from hall_of_fame.catalogue import Catalogue, CatalogueQuery, CatalogueRow
from hall_of_fame.records import Status
from hall_of_fame.store import Store
from tamiyo.api import shapes
from tamiyo.api.answers import row_shape
from tamiyo.api.context import InContext
from tamiyo.api.errors import documented

router = APIRouter(prefix="/api/v1", tags=["landscape"])


@router.get("/pareto", responses=documented(422), operation_id="get_pareto")
def get_pareto(
    context: InContext,
    limit: Annotated[int, Query(ge=1, le=2000, description="points at most, the front beside")] = 500,
) -> shapes.ParetoAnswer:
    """Return blueprints by score and cost, and which of them no other beats."""
    return pareto(context.library.store, context.catalogue, limit)


@router.get("/heat", responses=documented(422), operation_id="get_heat")
def get_heat(
    context: InContext,
    limit: Annotated[int, Query(ge=1, le=100, description="blueprints at most")] = 40,
    status: Annotated[Status | None, Query(description="only these")] = None,
    family: Annotated[str | None, Query(max_length=32, description="only of this family")] = None,
) -> shapes.HeatAnswer:
    """Return the best blueprints' scores on every task."""
    return heat(context.library.store, context.catalogue, limit=limit, status=status, family=family)


def pareto(store: Store, catalogue: Catalogue, limit: int = 500) -> shapes.ParetoAnswer:
    """Return the `limit` best by standing, and the front of all in score, parameters and latency."""
    front = overviews.front(store)
    on_front = {row.blueprint_id for row in front.rows}
    shown = {row.blueprint_id: row for row in (*catalogue.sample(limit), *front.rows)}.values()
    return shapes.ParetoAnswer(
        points=tuple(
            _point(row, row.blueprint_id in on_front) for row in sorted(shown, key=lambda row: -row.score)
        ),
        total=front.num,
        is_whole=front.is_whole,
    )


def heat(
    store: Store,
    catalogue: Catalogue,
    *,
    limit: int = 40,
    status: Status | None = None,
    family: str | None = None,
) -> shapes.HeatAnswer:
    """Return the scores by task of the best blueprints that a status and a family leave."""
    page = catalogue.page(CatalogueQuery(status=status, family=family, limit=limit))
    found = overviews.heat(store, ids=[row.blueprint_id for row in page.rows])
    return shapes.HeatAnswer(
        tasks=tuple(
            shapes.HeatTask(task=task.name, task_key=task.key, chance=task.chance, solved=task.solved)
            for task in found.tasks
        ),
        rows=tuple(
            shapes.HeatRow(blueprint=row_shape(row), scores=scores)
            for row, scores in zip(found.rows, found.scores, strict=True)
        ),
    )


def _point(row: CatalogueRow, is_front: bool) -> shapes.Point:
    shown = row_shape(row).model_dump(include=set(shapes.Point.model_fields))
    return shapes.Point(**shown, is_front=is_front)
