"""Jobs over HTTP: blueprints sent to the Crucible, watched and cancelled; leaves carrying out to jobs.py."""

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path, Request, Response

from tamiyo.api.errors import AnswerError, ErrorBody, documented
from tamiyo.api.guard import operator
from tamiyo.api.job_shapes import (
    EvaluationAsk,
    JobPage,
    JobRow,
    JobShape,
    ProgressShape,
    ResultShape,
    TrainingShape,
)
from tamiyo.api.programs import read_tokens
from tamiyo.jobs import JobRunner
from tamiyo.jobs_records import (
    HOST_WIDTH,
    MAX_PROGRAMS,
    MAX_SEEDS,
    MAX_TRAININGS,
    SUITES,
    TASKS,
    EvaluationRequest,
    Job,
    JobError,
    JobSettings,
    JobsOffError,
    QueueFullError,
    UnknownJobError,
)

#: The run's own op latencies, beside its library: with them and their width of the host, rewards of jobs are
#: what its search would have given.
LATENCY_TABLE = "latency_table.json"
_STATUSES: dict[type[JobError], int] = {QueueFullError: 429, UnknownJobError: 404, JobsOffError: 403}


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    """Carry out jobs while the application runs; at its end no process is left."""
    app.state.jobs = runner = JobRunner(job_settings(app))
    app.state.context.telemetry.count(
        "tamiyo_jobs",
        "Jobs that are remembered",
        "state",
        lambda: Counter(job.state for job in runner.jobs()),
    )
    try:
        yield
    finally:
        runner.close()


router = APIRouter(prefix="/api/v1", tags=["evaluations"], lifespan=_running)


def job_settings(app: FastAPI) -> JobSettings:
    """Return how an application's jobs are carried out."""
    settings = app.state.context.settings
    named = FilePath(settings.library)
    table = (named if named.is_dir() else named.parent) / LATENCY_TABLE
    width = None if "://" in settings.library else _width_of(table)
    return JobSettings(
        num_workers=settings.num_jobs,
        library=settings.library,
        latency_table="" if width is None else str(table),
        width=width or HOST_WIDTH,
        user_tasks=str(settings.user_tasks or ""),
    )


def _width_of(table: FilePath) -> int | None:
    """Return the width of the host that a latency table was measured for; None where there is none."""
    try:
        width = json.loads(table.read_text())["width"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return width if type(width) is int and width > 0 and width % 16 == 0 else None


def jobs_of(request: Request) -> JobRunner:
    """Return who carries out the jobs of the server that answers a request."""
    return request.app.state.jobs


#: The type of a route's parameter that is given the runner.
InJobs = Annotated[JobRunner, Depends(jobs_of)]
#: The type of a path's id.
JobId = Annotated[
    str, Path(pattern="^[0-9a-f]{16}$", description="a job's id", examples=["0123456789abcdef"])
]


@router.post(
    "/evaluations",
    status_code=202,
    responses=documented(403, 422, 429),
    operation_id="start_evaluation",
    dependencies=[Depends(operator)],
)
def start_evaluation(jobs: InJobs, ask: EvaluationAsk, response: Response) -> JobShape:
    """Send blueprints to the Crucible; nothing is written to the library."""
    found = start(jobs, ask)
    response.headers["Location"] = f"/api/v1/evaluations/{found.id}"
    return found


@router.get("/evaluations", operation_id="list_evaluations")
def list_evaluations(jobs: InJobs) -> JobPage:
    """List the jobs that are remembered, and what may be asked for."""
    return page_of_jobs(jobs)


@router.get("/evaluations/{job_id}", responses=documented(404, 422), operation_id="get_evaluation")
def get_evaluation(jobs: InJobs, job_id: JobId) -> JobShape:
    """Tell how far a job is and what came out so far."""
    return job_detail(jobs, job_id)


@router.delete(
    "/evaluations/{job_id}",
    responses=documented(403, 404, 422),
    operation_id="cancel_evaluation",
    dependencies=[Depends(operator)],
)
def cancel_evaluation(jobs: InJobs, job_id: JobId) -> JobShape:
    """End a job, its processes included; one that is over stays as it is."""
    return cancel(jobs, job_id)


def start(jobs: JobRunner, ask: EvaluationAsk) -> JobShape:
    """Take a job and return it.

    Raises:
        AnswerError: for what cannot be taken.
        BlueprintError: for a program that is none.
    """
    with _told():
        request = EvaluationRequest(
            programs=tuple(read_tokens(program) for program in ask.programs),
            suite=ask.suite,
            stage=ask.stage,
            tasks=tuple(ask.tasks),
            seeds=tuple(ask.seeds),
            max_seconds=ask.max_seconds,
        )
        return _job(jobs.submit(request))


def page_of_jobs(jobs: JobRunner) -> JobPage:
    """Return the jobs that are remembered, and what may be asked for."""
    return JobPage(
        rows=tuple(JobRow.model_validate(_row(job)) for job in jobs.jobs()),
        is_on=jobs.is_on,
        suites=dict(SUITES),
        tasks=(*TASKS, *jobs.user_tasks),
        max_programs=MAX_PROGRAMS,
        max_seeds=MAX_SEEDS,
        max_trainings=MAX_TRAININGS,
        max_seconds=jobs.settings.max_seconds,
        max_queued=jobs.settings.max_queued,
    )


def job_detail(jobs: JobRunner, job_id: str) -> JobShape:
    """Return a job as it stands.

    Raises:
        AnswerError: when there is none of that id, or none any more.
    """
    with _told():
        return _job(jobs.job(job_id))


def cancel(jobs: JobRunner, job_id: str) -> JobShape:
    """End a job and return it.

    Raises:
        AnswerError: when there is none of that id, or none any more.
    """
    with _told():
        return _job(jobs.cancel(job_id))


@contextmanager
def _told() -> Iterator[None]:
    """Answer what a runner refuses in the envelope of every error."""
    try:
        yield
    except JobError as error:
        headers = {"Retry-After": f"{error.retry_after_s:.0f}"} if isinstance(error, QueueFullError) else {}
        raise AnswerError(
            _STATUSES.get(type(error), 422),
            error.code,
            error.came,
            expected=error.expected,
            mend=error.mend,
            headers=headers,
        ) from error


def _job(job: Job) -> JobShape:
    return JobShape.model_validate(
        {
            **_row(job),
            "engine_id": job.engine_id,
            "progress": tuple(_progress(job)),
            "trainings": tuple(TrainingShape.model_validate(row) for row in job.trainings),
            "results": tuple(ResultShape.model_validate(row) for row in job.results),
        }
    )


def _row(job: Job) -> dict[str, Any]:
    request = job.request
    return {
        "id": job.id,
        "state": job.state,
        "programs": request.programs,
        "blueprint_ids": job.blueprint_ids,
        "suite": "" if request.tasks else request.suite,
        "tasks": request.task_names,
        "seeds": request.seeds,
        "max_seconds": request.max_seconds,
        "created": _time(job.created),
        "started": _time(job.started),
        "ended": _time(job.ended),
        "place": job.place,
        "num_trainings": request.num_trainings,
        "num_done": len(job.trainings),
        "seconds_left": job.seconds_left(time.time()),
        "error": ErrorBody.model_validate(job.error) if job.error else None,
    }


def _progress(job: Job) -> Iterator[ProgressShape]:
    for blueprint_id in job.blueprint_ids:
        for task in job.request.task_names:
            scores = [
                row["score"]
                for row in job.trainings
                if (row["blueprint_id"], row["task"]) == (blueprint_id, task)
            ]
            yield ProgressShape(
                blueprint_id=blueprint_id,
                task=task,
                num_done=len(scores),
                num_seeds=len(job.request.seeds),
                mean=sum(scores) / len(scores) if scores else None,
            )


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
