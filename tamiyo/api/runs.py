"""Runs and their curves, as answers and as routes; leaves what a metric means to tamiyo/metrics.py."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from hall_of_fame import overviews
from hall_of_fame.catalogue import Catalogue
from hall_of_fame.records import GenerationRecord, RunRecord
from hall_of_fame.store import Store
from tamiyo.api import shapes
from tamiyo.api.context import InContext
from tamiyo.api.errors import AnswerError, documented

#: Generations of one answer, and most of them.
NUM_POINTS, MAX_POINTS = 400, 1000

router = APIRouter(prefix="/api/v1", tags=["runs"])

#: A name may have slashes, so that routes of what is below a run come before its own.
RunId = Annotated[str, Path(min_length=1, max_length=128, description="a run's name")]


@router.get("/runs", responses=documented(422), operation_id="list_runs")
def list_runs(
    context: InContext, limit: Annotated[int, Query(ge=1, le=200, description="runs at most")] = 50
) -> shapes.RunList:
    """List runs, newest first."""
    return run_list(context.library.store, context.catalogue, limit)


@router.get("/runs/{run_id:path}/metrics", responses=documented(404, 422), operation_id="get_run_metrics")
def get_run_metrics(
    context: InContext,
    run_id: RunId,
    after: Annotated[int | None, Query(ge=-1, lt=1 << 31, description="only generations after this")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_POINTS, description="about so many of them")] = NUM_POINTS,
) -> shapes.MetricsAnswer:
    """Return the metrics of a run's generations: reward, its terms, scores, rates, times."""
    return metrics(context.library.store, run_id, after=after, limit=limit)


@router.get("/runs/{run_id:path}", responses=documented(404, 422), operation_id="get_run")
def get_run(context: InContext, run_id: RunId) -> shapes.RunDetail:
    """Tell how a run was started and how far it is."""
    return run_detail(context.library.store, context.catalogue, run_id)


def run_list(store: Store, catalogue: Catalogue, limit: int = 50) -> shapes.RunList:
    """Return the newest runs, each as far as it is."""
    runs = store.runs()
    counts = catalogue.facets().run
    rows = (_row(run, store.last_generation(run.id), counts.get(run.id, 0)) for run in runs[::-1][:limit])
    return shapes.RunList(rows=tuple(map(shapes.RunRow.model_validate, rows)), total=len(runs))


def run_detail(store: Store, catalogue: Catalogue, run_id: str) -> shapes.RunDetail:
    """Return one run.

    Raises:
        AnswerError: when there is none of this name.
    """
    run, last = _run(store, run_id), store.last_generation(run_id)
    row = _row(run, last, catalogue.facets().run.get(run_id, 0))
    return shapes.RunDetail(
        **row,
        command=run.command,
        code_version=run.code_version,
        language_version=run.language_version,
        config=dict(run.config),
        environment=dict(run.environment),
        metrics=dict(last.metrics) if last else {},
    )


def metrics(
    store: Store, run_id: str, *, after: int | None = None, limit: int = NUM_POINTS
) -> shapes.MetricsAnswer:
    """Return about `limit` of a run's lines of metrics, evenly spaced, or the next ones after a generation.

    Raises:
        AnswerError: when there is no run of this name.
    """
    _run(store, run_id)
    if after is None:
        found = overviews.curves(store, run_id, points=limit)
        lines = tuple(zip(found.generations, found.lines, strict=True))
        num, stride = found.num, found.stride
    else:
        records = store.generations(run_id, most=limit, after=after)
        lines = tuple((record.generation, record.metrics) for record in records)
        last, stride = store.last_generation(run_id), 1
        num = last.generation + 1 if last else 0
    return shapes.MetricsAnswer(
        rows=tuple({**line, "generation": generation} for generation, line in lines),
        stride=stride,
        num_generations=num,
        next_after=lines[-1][0] if lines else after,
    )


def _run(store: Store, run_id: str) -> RunRecord:
    found = store.run(run_id)
    if found is None:
        raise AnswerError(
            404,
            "unknown-run",
            f"no run '{run_id}'",
            expected="a run on record",
            mend="see /api/v1/runs for those there are",
        )
    return found


def _row(run: RunRecord, last: GenerationRecord | None, num_blueprints: int) -> dict[str, Any]:
    metrics = last.metrics if last else {}
    return {
        "id": run.id,
        "created": run.created,
        "seed": run.seed,
        "strategy": str(run.config.get("strategy", "")),
        "stage": last.stage if last else "",
        "num_generations": last.generation + 1 if last else 0,
        "num_blueprints": num_blueprints,
        "evaluations_total": metrics.get("evaluations_total"),
        "best_so_far": metrics.get("best_so_far"),
        "reward_mean": metrics.get("reward_mean"),
    }
