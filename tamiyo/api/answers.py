"""Answers about blueprints, as plain functions that JSON routes and pages share; knows no HTTP."""

from math import isfinite, sqrt
from typing import Any

from blueprints import Blueprint, emit
from hall_of_fame.catalogue import Catalogue, CatalogueQuery, CatalogueRow
from hall_of_fame.library import SHORT_ID, Library
from hall_of_fame.records import EvaluationRecord, TaskRecord, TaskScore
from hall_of_fame.views import niche_of
from tamiyo.api import shapes
from tamiyo.api.errors import AnswerError
from tamiyo.api.graphs import GraphAnswer, graph_shape
from tamiyo.intervals import student_t
from tamiyo.reading import readable

#: Class of the emitted module.
CLASS_NAME = "Block"


def row_shape(row: CatalogueRow) -> shapes.BlueprintRow:
    """Return a row of the catalogue as it is answered."""
    values = _fields(row)
    return shapes.BlueprintRow(id=values.pop("blueprint_id"), **values)


def page_of_blueprints(catalogue: Catalogue, query: CatalogueQuery) -> shapes.BlueprintPage:
    """Return the rows of a query that follow its cursor.

    Raises:
        CursorError: for a cursor that is none, or of another query.
    """
    page = catalogue.page(query)
    return shapes.BlueprintPage(
        rows=tuple(map(row_shape, page.rows)),
        next_cursor=page.next_cursor,
        total=page.total,
        at_least=page.at_least,
    )


def facets(catalogue: Catalogue) -> shapes.Facets:
    """Return how many blueprints each family, status, stage and run has."""
    return shapes.Facets.model_validate(catalogue.facets())


def detail(library: Library, blueprint_id: str) -> shapes.BlueprintDetail:
    """Return what is on record about one blueprint, named by its id or the beginning of it.

    Raises:
        UnknownBlueprintError: when that names none, or more than one.
        AnswerError: while an import brings it.
    """
    entry = library.get(blueprint_id)
    row, run = row_of(library, entry.id), library.store.run(entry.run_id)
    assert run is not None, "a blueprint on record belongs to a run on record"
    tasks = {task.key: task for task in library.store.tasks()}
    proof = entry.standing.proof
    return shapes.BlueprintDetail(
        **row_shape(row).model_dump(),
        language_version=entry.language_version,
        size=niche_of(entry).size,
        tasks=tuple(_evidence(score, tasks[score.task_key]) for score in entry.tasks),
        measured=tuple(map(shapes.LatencyShape.model_validate, entry.measured)),
        reason=entry.standing.reason,
        proof=None if proof is None else shapes.ProofShape.model_validate(proof),
        parents=entry.lineage.parents,
        created=run.created,
        seed=run.seed,
        code_version=run.code_version,
        command=run.command,
    )


def row_of(library: Library, blueprint_id: str) -> CatalogueRow:
    """Return the row that the catalogue has of a blueprint on record.

    Raises:
        AnswerError: while an import brings it; its rows come first, and the catalogue's when it is whole.
    """
    row = Catalogue(library.store).row(blueprint_id)
    if row is None:
        raise AnswerError(
            503,
            "being-imported",
            f"blueprint '{blueprint_id}' is not in the catalogue yet",
            expected="an import that has ended",
            mend="try again when it has; one that was cut short goes on when it is asked for again",
            headers={"Retry-After": "10"},
        )
    return row


def trainings(library: Library, blueprint_id: str, limit: int = 200) -> shapes.TrainingsAnswer:
    """Return the trainings of one blueprint, by task and seed; raises as `detail` does."""
    records = library.store.evaluations(library.id_of(blueprint_id))
    return shapes.TrainingsAnswer(rows=tuple(map(_training, records[:limit])), total=len(records))


def graph(library: Library, blueprint_id: str) -> GraphAnswer:
    """Return a blueprint's typed graph.

    Raises:
        UnknownBlueprintError: when the id names none, or more than one.
        UnreadableError: when this version of the language cannot read its program.
    """
    found = _blueprint(library, blueprint_id)
    return GraphAnswer(
        id=found.id, tokens=found.tokens, text=str(found.graph), graph=graph_shape(found.graph)
    )


def source(library: Library, blueprint_id: str) -> shapes.SourceAnswer:
    """Return a blueprint as a PyTorch module that imports torch alone; raises as `graph` does."""
    found = _blueprint(library, blueprint_id)
    return shapes.SourceAnswer(
        id=found.id,
        file_name=f"blueprint_{found.id[:SHORT_ID]}.py",
        class_name=CLASS_NAME,
        source=f"# Blueprint {found.id}\n{emit(found, CLASS_NAME)}",
    )


def _blueprint(library: Library, blueprint_id: str) -> Blueprint:
    record = library.store.blueprint(library.id_of(blueprint_id))
    assert record is not None, "an id that is on record has a blueprint"
    return readable(record.id, record.tokens, record.language_version)


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}


def _evidence(score: TaskScore, task: TaskRecord) -> shapes.TaskEvidence:
    known = {**_fields(score), "chance": task.chance, "solved": task.solved, "interval": _interval(score)}
    return shapes.TaskEvidence.model_validate(known)


def _interval(score: TaskScore) -> shapes.IntervalShape:
    """Return the 95 % interval of a mean, as far as it lies where scores can."""
    low = high = None
    if score.num_seeds > 1:  # the standard error, from the spread of the trainings themselves
        half = student_t(score.num_seeds - 1) * score.std / sqrt(score.num_seeds - 1)
        low, high = max(0.0, score.mean - half), min(1.0, score.mean + half)
    return shapes.IntervalShape(mean=score.mean, low=low, high=high, num_seeds=score.num_seeds)


def _training(record: EvaluationRecord) -> shapes.Training:
    result = record.result
    values = {name: getattr(result, name) for name in shapes.Training.model_fields if hasattr(result, name)}
    finite: dict[str, Any] = {
        name: None if isinstance(value, float) and not isfinite(value) else value
        for name, value in values.items()
    }
    return shapes.Training(
        **finite,
        task_key=record.task_key,
        engine_id=record.engine_id,
        run_id=record.run_id,
        generation=record.generation,
    )
