"""Answers that set blueprints beside each other: lineage, neighbours, comparisons; trains and judges none."""

from collections.abc import Sequence

from blueprints import edit_distance
from hall_of_fame import kinship
from hall_of_fame.catalogue import CatalogueRow
from hall_of_fame.library import Library
from tamiyo.api import answers, shapes
from tamiyo.comparing import Sizes, TaskComparison, compare, edits


def lineage(library: Library, blueprint_id: str) -> shapes.LineageAnswer:
    """Return what a blueprint was made from, and what was made from it.

    Raises:
        UnknownBlueprintError: when the id names none, or more than one.
        AnswerError: while an import brings it.
    """
    id_ = library.id_of(blueprint_id)
    answers.row_of(library, id_)  # who is not in the catalogue yet has no relatives there either
    found = kinship.lineages(library.store, id_)
    shown = sorted(found.rows, key=lambda id_: (-found.steps[id_], id_))
    return shapes.LineageAnswer(
        relatives=tuple(_relative(found, id_) for id_ in shown), is_whole=found.is_whole
    )


def neighbours(library: Library, blueprint_id: str, limit: int = 6) -> shapes.NeighboursAnswer:
    """Return the blueprints that are built most alike, nearest first; raises as `lineage` does."""
    id_ = library.id_of(blueprint_id)
    own, found = library.store.blueprint(id_), kinship.neighbours(library.store, id_, limit)
    assert own is not None, "an id that is on record has a blueprint"
    return shapes.NeighboursAnswer(
        neighbours=tuple(
            shapes.Neighbour(
                blueprint=answers.row_shape(other.row),
                likeness=other.likeness,
                edit_distance=edit_distance(own.tokens, other.row.tokens),
                edits=_edits(edits(own.tokens, other.row.tokens)),
            )
            for other in found.found
        ),
        num_considered=found.num_compared,
    )


def comparison(library: Library, first_id: str, second_id: str) -> shapes.CompareAnswer:
    """Return two blueprints side by side.

    Raises:
        UnknownBlueprintError: when an id names none, or more than one.
    """
    found = compare(library, first_id, second_id)
    first, second = (answers.detail(library, entry.id) for entry in found.entries)
    first_sizes, second_sizes = map(_sizes, found.sizes)
    return shapes.CompareAnswer(
        first=first,
        second=second,
        first_sizes=first_sizes,
        second_sizes=second_sizes,
        likeness=found.likeness,
        edit_distance=found.edit_distance,
        edits=_edits(found.edits),
        tasks=tuple(_task(key, task) for key, task in found.tasks.items()),
    )


def _relative(found: kinship.Lineages, id_: str) -> shapes.Relative:
    row, parents = found.rows[id_], found.parents[id_]
    parent: CatalogueRow | None = next((found.rows[p] for p in parents if p in found.rows), None)
    return shapes.Relative(
        blueprint=answers.row_shape(row),
        step=found.steps[id_],
        parents=parents,
        edits=() if parent is None else _edits(edits(parent.tokens, row.tokens)),
    )


def _task(key: str, task: TaskComparison) -> shapes.TaskComparison:
    first, second = task.scores
    named = {"task": task.task, "task_key": key, "difference": task.difference, "cka": task.cka}
    return shapes.TaskComparison.model_validate({**named, "first": first, "second": second})


def _sizes(sizes: Sizes | None) -> shapes.Sizes | None:
    return None if sizes is None else shapes.Sizes.model_validate(sizes)


def _edits(found: Sequence[tuple[str, tuple[str, ...]]]) -> tuple[shapes.Edit, ...]:
    return tuple(shapes.Edit(kind=kind, tokens=tokens) for kind, tokens in found)
