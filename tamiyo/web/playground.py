"""What the playground shows of what somebody types, and of a job that trains it; trains nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from blueprints import HUMAN_BLUEPRINTS, LANGUAGE, human, legal_tokens
from blueprints.vocabulary import END
from tamiyo.api.context import Context
from tamiyo.api.errors import AnswerError
from tamiyo.api.evaluations import JobRunner, page_of_jobs
from tamiyo.api.job_shapes import EvaluationAsk, JobShape
from tamiyo.api.programs import CheckRequest, CheckShape, check, read_tokens
from tamiyo.jobs_records import DEFAULT_SUITE, MAX_SEEDS
from tamiyo.web.source import highlighted
from tamiyo.web.tokens import coloured

#: Widths of a host that costs are given for.
WIDTHS = (16, 32, 64, 128)
#: Seeds that can be asked for, and the jobs that are listed.
NUMS_SEEDS, NUM_JOBS = (1, 2, 3, 4, 8), 6
#: Fields of the form at most.
_MAX_FIELDS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The legal next tokens of one family."""

    family: str
    tokens: Sequence[str]


def playground_view(context: Context, jobs: JobRunner, asked: Mapping[str, str]) -> dict[str, Any]:
    """Return what the playground shows for the parameters of a request.

    Raises:
        AnswerError: for more tokens than are read.
        UnknownBlueprintError: when it starts from an id that names none, or more than one.
    """
    tokens = _tokens(context, asked)
    width = int(asked["width"]) if asked.get("width", "") in map(str, WIDTHS) else WIDTHS[0]
    found = check(context.library, CheckRequest(tokens=list(tokens), width=width)) if tokens else None
    place = _place(asked, tokens, found)
    return {
        "text": " ".join(tokens),
        "width": width,
        "widths": WIDTHS,
        "checked": found,
        "source": highlighted(found.blueprint.source) if found and found.blueprint else None,
        "offers": _offers(tokens[:place]),
        "place": place,
        "humans": HUMAN_BLUEPRINTS,
        "vocabulary": LANGUAGE.vocabulary.tokens[1:],
        "most": LANGUAGE.max_length,
        "jobs": (jobs_page := page_of_jobs(jobs)),
        "recent": jobs_page.rows[:NUM_JOBS],
        "nums_seeds": NUMS_SEEDS,
    }


def asked_job(form: str) -> EvaluationAsk:
    """Return the job that the playground's form asks for.

    Raises:
        AnswerError: for a form that is not the playground's.
    """
    try:
        fields = {name: values[0] for name, values in parse_qs(form, max_num_fields=_MAX_FIELDS).items()}
        task = fields.get("task", "")
        return EvaluationAsk(
            programs=[fields.get("tokens", "")],
            seeds=list(range(min(int(fields.get("seeds", "3")), MAX_SEEDS + 1))),
            max_seconds=float(fields.get("max_seconds", "120")),
            suite=DEFAULT_SUITE if task else fields.get("suite", DEFAULT_SUITE),
            tasks=[task] if task else [],
        )
    except ValueError as error:
        raise AnswerError(
            422,
            "invalid-request",
            "the form says something that the Crucible cannot be asked",
            expected="a program, a suite or a task, a number of seeds and of seconds",
            mend="go back to the playground and send it again",
        ) from error


def job_view(job: JobShape) -> dict[str, Any]:
    """Return what the page of a job shows: of each blueprint its result, once there is one, and its tasks."""
    results = {result.blueprint_id: result for result in job.results}
    blueprints = [
        {"id": id_, "tokens": tokens, "result": results.get(id_), "rows": _rows(job, id_)}
        for id_, tokens in zip(job.blueprint_ids, job.programs, strict=True)
    ]
    is_over = job.state not in ("queued", "running")
    twin = f"/api/v1/evaluations/{job.id}"
    return {"job": job, "blueprints": blueprints, "is_over": is_over, "told": _told(job), "twin": twin}


def _rows(job: JobShape, blueprint_id: str) -> list[dict[str, Any]]:
    """Return how far a blueprint is on each task, and its score where it is done."""
    results = [result for result in job.results if result.blueprint_id == blueprint_id]
    scores = {score.task: score for result in results for score in result.tasks}
    return [
        {
            **{name: getattr(row, name) for name in ("task", "num_done", "num_seeds", "mean")},
            "std": score and score.std,
            "low": score and score.interval_low,
            "high": score and score.interval_high,
            "chance": score and score.chance,
        }
        for row in job.progress
        if row.blueprint_id == blueprint_id
        for score in [scores.get(row.task)]
    ]


def _told(job: JobShape) -> str:
    """Return in a line how a job stands."""
    done = f"{job.num_done} of {job.num_trainings} trainings"
    left = "" if job.seconds_left is None else f", about {job.seconds_left:.0f} s more"
    others = f"It waits behind {job.place} other{'' if job.place == 1 else 's'}."
    return {
        "queued": others if job.place else "Its worker process begins.",
        "running": f"It trains: {done}{left}.",
        "done": f"Done: {done}.",
        "failed": f"It failed after {done}.",
        "timed_out": f"Its time ran out after {done}.",
        "cancelled": f"It was cancelled after {done}.",
    }[job.state]


def _tokens(context: Context, asked: Mapping[str, str]) -> tuple[str, ...]:
    """Return the program to show: what was typed, one of people's or of the library's, and what to add."""
    if asked.get("human"):
        return human(asked["human"]).tokens
    if asked.get("id"):
        return read_tokens(context.library.get(asked["id"]).tokens)
    return read_tokens(f"{asked.get('tokens', '')} {asked.get('add', '')}")


def _place(asked: Mapping[str, str], tokens: Sequence[str], found: CheckShape | None) -> int:
    """Return before which token the next one is offered: where the caret is, as far as that is legal."""
    num_legal = found.num_legal if found else 0
    at = asked.get("at", "")
    return min(int(at), num_legal) if at.isdecimal() and at.isascii() else num_legal


def _offers(prefix: Sequence[str]) -> list[Offer]:
    """Return the tokens that may follow a legal prefix, by family; an attribute's is that of its op."""
    by_family: dict[str, list[str]] = {}
    for token in legal_tokens(prefix):
        if token != END:
            by_family.setdefault(coloured((*prefix, token))[-1].family, []).append(token)
    return [Offer(family=family, tokens=found) for family, found in by_family.items()]
