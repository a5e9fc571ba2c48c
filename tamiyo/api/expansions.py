"""The routes of expansions, and what they say; leaves making them to the command line."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field

from hall_of_fame.expansions import ExpansionBook, ExpansionCall, ExpansionRecord
from hall_of_fame.library import Library
from tamiyo.api.blueprints import BlueprintId
from tamiyo.api.context import InContext
from tamiyo.api.errors import documented
from tamiyo.api.shapes import Shape
from tamiyo.expansion.provenance import tag_of

router = APIRouter(prefix="/api/v1", tags=["expansions"])

#: The type of a path's id: hexadecimal digits, all 64 or a unique beginning.
ExpansionId = Annotated[
    str,
    Path(
        pattern="^[0-9a-f]{1,64}$",
        description="an expansion's id, or the beginning of one",
        examples=["3f2a"],
    ),
]


class ExpansionPart(Shape):
    """The plan or a unit: who made it."""

    name: str = Field(description="`plan` or the unit's name; `unknown` of a command cut short")
    author: str = Field(description="template, or provider and model")
    attempts: int = Field(description="how often its author, or whoever was asked before, tried")
    cause: str = Field(description="why the template made it instead, in a word; empty otherwise")
    reason: str = Field(description="the same with the exact error")


class ExpansionCheck(Shape):
    """One check of the whole architecture."""

    name: str = Field(description="what was checked")
    is_passed: bool = Field(description="whether it held")
    detail: str = Field(description="the figure, or the exact error")
    seconds: float = Field(description="how long it took")


class ExpansionUse(Shape):
    """What the examination used in the sandbox."""

    wall_s: float = Field(description="seconds by the clock")
    cpu_s: float = Field(description="seconds of computing")
    peak_bytes: int = Field(description="most memory at a time")


class CallRow(Shape):
    """One question to a language model; prompts and answers are told by `tamiyo expansions ID --json`."""

    subject: str = Field(description="`plan` or the unit's name")
    attempt: int = Field(description="number of the attempt, from 1")
    provider: str = Field(description="provider and model that were asked")
    prompt_tokens: int = Field(description="tokens of the question")
    completion_tokens: int = Field(description="tokens of the answer")
    cost_usd: float | None = Field(description="its price; null where it is unknown")
    seconds: float = Field(description="from question to answer or error")
    error: str = Field(description="why no usable answer came; empty otherwise")
    verdict: str = Field(description="of the attempt: passed, failed or none")
    detail: str = Field(description="the exact error of the check that failed")


class ExpansionRow(Shape):
    """One expansion of a blueprint."""

    id: str = Field(description="64 hexadecimal digits")
    blueprint_id: str = Field(description="the blueprint")
    created: str = Field(description="ISO 8601 time, in UTC")
    target: str = Field(description="what the architecture is for")
    designer: str = Field(description="who was asked: template, or provider and model")
    verdict: str = Field(description="passed or failed")
    reason: str = Field(description="why the template made all of it instead; empty otherwise")
    num_parameters: int = Field(description="of the whole architecture")
    commit_hash: str | None = Field(
        description="in the repository of generated code; null where there is none"
    )
    tag: str | None = Field(description="of that commit")
    tree_hash: str | None = Field(description="the folder's, as git names trees")
    sandbox: str = Field(description="where the checks ran")
    usage: ExpansionUse = Field(description="what they used there")
    parts: tuple[ExpansionPart, ...] = Field(description="who made the plan and each unit")
    checks: tuple[ExpansionCheck, ...] = Field(description="in their order")
    files: dict[str, str] = Field(description="SHA-256 of each file by its path")


class ExpansionsAnswer(Shape):
    """The expansions of a blueprint, newest first."""

    rows: tuple[ExpansionRow, ...] = Field(description="the newest, as many as were asked for")


class ExpansionDetail(ExpansionRow):
    """Everything about one expansion but its prompts and answers."""

    run_id: str = Field(description="the run that found the blueprint")
    generation: int = Field(description="the generation of that run")
    plan: dict[str, Any] = Field(description="the decisions around the block")
    settings: dict[str, Any] = Field(description="what decided the outcome beside the blueprint")
    environment: dict[str, Any] = Field(description="versions and machine that the figures depend on")
    calls: tuple[CallRow, ...] = Field(description="those made for it, in their order")


@router.get(
    "/blueprints/{blueprint_id}/expansions",
    responses=documented(404, 422),
    operation_id="list_expansions",
)
def list_expansions(
    context: InContext,
    blueprint_id: BlueprintId,
    limit: Annotated[int, Query(ge=1, le=100, description="expansions at most")] = 24,
) -> ExpansionsAnswer:
    """Tell what architectures a blueprint was expanded into, newest first."""
    return expansions_of(context.library, blueprint_id, limit)


@router.get("/expansions/{expansion_id}", responses=documented(404, 422), operation_id="get_expansion")
def get_expansion(context: InContext, expansion_id: ExpansionId) -> ExpansionDetail:
    """Tell what is on record about one expansion."""
    book = ExpansionBook(context.library.store)
    record = book.get(expansion_id)
    return _detail(record, book.calls(record.id))


def expansions_of(library: Library, blueprint_id: str, limit: int) -> ExpansionsAnswer:
    """Return the newest expansions of a blueprint.

    Raises:
        UnknownBlueprintError: when the id names none, or more than one.
    """
    found = ExpansionBook(library.store).expansions(library.id_of(blueprint_id), limit=limit)
    return ExpansionsAnswer(rows=tuple(ExpansionRow(**_row(record)) for record in found))


def _row(record: ExpansionRecord) -> dict[str, Any]:
    names = ExpansionRow.model_fields.keys() - {"tag", "parts", "checks", "usage"}
    tag = None
    if record.commit_hash is not None and record.tree_hash is not None:
        tag = tag_of(record.run_id, record.blueprint_id, record.target, record.tree_hash)
    parts = [{name: unit[name] for name in ExpansionPart.model_fields} for unit in record.units]
    told = {"tag": tag, "parts": parts, "checks": record.checks, "usage": record.usage}
    return {**{name: getattr(record, name) for name in names}, **told}


def _detail(record: ExpansionRecord, calls: Sequence[ExpansionCall]) -> ExpansionDetail:
    own = ("run_id", "generation", "plan", "settings", "environment")
    rows = tuple(CallRow(**{name: getattr(call, name) for name in CallRow.model_fields}) for call in calls)
    return ExpansionDetail(**_row(record), **{name: getattr(record, name) for name in own}, calls=rows)
