"""The routes of pages that show a library or a run at one glance: front, map, heat map, curves, a card."""

from typing import Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from hall_of_fame.records import Status
from tamiyo.api import answers, atlas, landscape, runs, shapes
from tamiyo.api.context import Context, InContext
from tamiyo.api.errors import AnswerError
from tamiyo.web import curves
from tamiyo.web.rendering import page, query

router = APIRouter(include_in_schema=False, default_response_class=Response)

#: Families of blueprints in the order of legends, each with the family of ops that colours it and its mark.
FAMILIES = (
    ("attention", "mixing", "diamond"),
    ("recurrent", "recurrent", "triangle"),
    ("convolution", "mixing", "square"),
    ("experts", "mixing", "wedge"),
    ("linear", "mixing", "circle"),
    ("elementwise", "activation", "circle"),
    ("", "other", "circle"),
)
#: Points of the scatter plot beside the front, and rows of the heat map, at most.
NUM_POINTS, NUM_ROWS = 1000, 60
#: Rows of the tables beneath plots.
NUM_LISTED = 50
#: Steps of the heat map's colour.
_STEPS = 10


@router.get("/pareto")
def pareto_page(request: Request, context: InContext) -> Response:
    """Show score against cost, and the blueprints that no other beats."""
    found = landscape.pareto(context.library.store, context.catalogue, NUM_POINTS)
    front = [point for point in found.points if point.is_front]
    return page(
        request,
        "pareto",
        here="/pareto",
        twin=f"/api/v1/pareto?limit={NUM_POINTS}",
        front=front[:NUM_LISTED],
        num_front=len(front),
        num_points=len(found.points),
        total=found.total,
        is_whole=found.is_whole,
        marks=_marks(point.family for point in found.points),
    )


@router.get("/map")
def map_page(request: Request, context: InContext) -> Response:
    """Show blueprints that a network finds alike beside each other."""
    found = atlas.map_answer(context.space.state())
    return page(
        request,
        "map",
        here="/map",
        twin="/api/v1/map",
        found=found,
        total=context.catalogue.facets().num,
        marks=_marks(point.family for point in found.points) if found.points else _all_marks(),
    )


@router.get("/heat")
def heat_page(
    request: Request, context: InContext, status: Status | Literal[""] = "", family: str = "", order: str = ""
) -> Response:
    """Show the best blueprints' scores on every task."""
    found = landscape.heat(
        context.library.store, context.catalogue, limit=NUM_ROWS, status=status or None, family=family or None
    )
    asked = {"status": status, "family": family}
    facets = context.catalogue.facets()
    return page(
        request,
        "heat",
        here="/heat",
        twin=f"/api/v1/heat{query({**asked, 'limit': NUM_ROWS})}",
        tasks=found.tasks,
        rows=_ordered(found, order),
        order=order,
        asked=asked,
        statuses=facets.status,
        families_found=facets.family,
        total=facets.num,
        step=heat_step,
        num_steps=_STEPS,
    )


@router.get("/runs/{run_id:path}")
def run_page(request: Request, context: InContext, run_id: str) -> Response:
    """Show a search: its curves, how it was started, what it found."""
    view = _run_view(context, run_id)
    return page(request, "run", here="/runs", twin=f"/api/v1/runs/{quote(run_id)}", **view)


@router.get("/blueprints/{blueprint_id}/card")
def card(request: Request, context: InContext, blueprint_id: str) -> Response:
    """Give the card of one blueprint as a part of a page, for the panel beside a plot."""
    row = context.catalogue.row(blueprint_id)
    if row is None:
        raise AnswerError(
            404,
            "unknown-blueprint",
            f"no blueprint '{blueprint_id[:64]}'",
            expected="the whole id of one in the library",
            mend="reload the page that named it",
        )
    return page(request, "card", it=answers.row_shape(row))


def heat_step(score: float | None, chance: float) -> int | None:
    """Return the step of a score's colour: 0 at chance or below, the last when perfect; None without one."""
    if score is None:
        return None
    return round(_STEPS * min(max((score - chance) / (1 - chance), 0.0), 1.0))


def _run_view(context: Context, run_id: str) -> dict[str, Any]:
    """Return what a run's page shows; raises as `runs.run_detail` does."""
    store = context.library.store
    it = runs.run_detail(store, context.catalogue, run_id)
    found = runs.metrics(store, run_id)
    rows = found.rows
    drawn = curves.curves_of(rows)
    return {
        "it": it,
        "rows": rows[-NUM_LISTED:],
        "stride": found.stride,
        "curves": [(curve, curves.curve_svg(curve, rows)) for curve in drawn],
        "definitions": curves.definitions(drawn),
        "query_best": query({"run_id": run_id, "order": "score"}),
    }


def _ordered(found: shapes.HeatAnswer, order: str) -> list[shapes.HeatRow]:
    """Return the rows by the scores on a task, those without one last; without such a task as they come."""
    place = next((place for place, task in enumerate(found.tasks) if task.task_key == order), None)
    if place is None:
        return list(found.rows)
    return sorted(found.rows, key=lambda row: 1.0 if (s := row.scores[place]) is None else -s)


def _marks(families: Any) -> list[tuple[str, str, str]]:
    """Return the families that occur, with their looks."""
    there = set(families)
    return [mark for mark in FAMILIES if mark[0] in there]


def _all_marks() -> list[tuple[str, str, str]]:
    return list(FAMILIES)
