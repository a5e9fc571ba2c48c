"""The routes of the pages; what each shows comes from tamiyo/api/answers.py, and how from the templates."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from tamiyo.api.context import InContext
from tamiyo.api.errors import ErrorBody
from tamiyo.api.evaluations import InJobs, JobId, cancel, job_detail, start
from tamiyo.api.guard import identity_of, operator
from tamiyo.api.runs import run_list
from tamiyo.api.sessions import Identity
from tamiyo.web.comparison import comparison_view
from tamiyo.web.detail import detail_view
from tamiyo.web.gallery import NUM_CARDS, gallery_view
from tamiyo.web.playground import asked_job, job_view, playground_view
from tamiyo.web.rendering import page, page_in_parts, query

#: Runs that are listed.
NUM_RUNS = 100

#: The cards of a page of the gallery that are ticked, as its form sends them.
PickedIds = Annotated[tuple[str, ...], Query(alias="id", max_length=NUM_CARDS)]

router = APIRouter(include_in_schema=False, default_response_class=Response)


@router.get("/")
def gallery(request: Request, context: InContext) -> Response:
    """Show the library as cards that can be searched, filtered and ordered."""
    return page(request, "gallery", here="/", **gallery_view(context, request.query_params))


@router.get("/blueprints/{blueprint_id}")
def blueprint(request: Request, context: InContext, blueprint_id: str) -> Response:
    """Show everything on record about one blueprint."""
    return page_in_parts(request, "blueprint", **detail_view(context, blueprint_id))


@router.get("/compare")
def compare(
    request: Request, context: InContext, a: str = "", b: str = "", picked: PickedIds = ()
) -> Response:
    """Show two blueprints side by side, or ask which: of those that were picked in the gallery, if any."""
    if len(picked) == 2:
        return RedirectResponse(f"/compare{query({'a': picked[0], 'b': picked[1]})}", status_code=303)
    if not (a and b):
        return page(request, "choose", a=a or "".join(picked[:1]), b=b, picked=picked)
    return page(request, "compare", **comparison_view(context, a, b))


@router.get("/runs")
def runs(request: Request, context: InContext) -> Response:
    """Show the library's searches."""
    found = run_list(context.library.store, context.catalogue, NUM_RUNS)
    return page(request, "runs", here="/runs", runs=found, twin=f"/api/v1/runs?limit={NUM_RUNS}")


@router.get("/playground")
def playground(
    request: Request, context: InContext, jobs: InJobs, identity: Annotated[Identity, Depends(identity_of)]
) -> Response:
    """Show what somebody types as a program, and what may follow."""
    if jobs.is_on and identity.role == "operator":
        jobs.warm()
    return page(
        request, "playground", here="/playground", **playground_view(context, jobs, request.query_params)
    )


@router.post("/evaluations", dependencies=[Depends(operator)])
async def start_job(request: Request, jobs: InJobs) -> Response:
    """Send the playground's program to the Crucible, and go to the page that follows it."""
    form = (await request.body()).decode("utf-8", "replace")
    job = await run_in_threadpool(lambda: start(jobs, asked_job(form)))
    return RedirectResponse(f"/evaluations/{job.id}", status_code=303)


@router.get("/evaluations/{job_id}")
def job(request: Request, jobs: InJobs, job_id: JobId) -> Response:
    """Show how far a job is and what came out so far."""
    return page(request, "evaluation", here="/playground", **job_view(job_detail(jobs, job_id)))


@router.post("/evaluations/{job_id}/cancel", dependencies=[Depends(operator)])
def cancel_job(jobs: InJobs, job_id: JobId) -> Response:
    """End a job."""
    return RedirectResponse(f"/evaluations/{cancel(jobs, job_id).id}", status_code=303)


def error_page(request: Request, status: int, body: ErrorBody) -> Response:
    """Show what went wrong and how to mend it, as the envelope says it."""
    return page(request, "error", status=status, error=body, number=status)


def sign_in_page(request: Request, wanted: str, wrong: str) -> Response:
    """Show the form that opens a session, and what was wrong with the last attempt."""
    return page(request, "sign_in", wanted=wanted, wrong=wrong)
