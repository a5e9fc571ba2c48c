"""What a blueprint's page shows: its record, source, neighbours, family and trainings; writes no HTML."""

import logging
import shlex
from typing import Any

from markupsafe import Markup

from hall_of_fame.errors import StoreError
from hall_of_fame.library import Library
from tamiyo.api import answers, kin, shapes
from tamiyo.api.context import Context
from tamiyo.api.expansions import expansions_of
from tamiyo.reading import UnreadableError
from tamiyo.web.learning import learning_of
from tamiyo.web.rendering import shown_name
from tamiyo.web.source import highlighted

#: Sections of the page, in order.
CONTENTS = (
    ("tokens", "Tokens"),
    ("evidence", "Evidence"),
    ("proof", "Proof"),
    ("source", "Source"),
    ("lineage", "Lineage"),
    ("learning", "Learning"),
    ("trainings", "Trainings"),
    ("expansions", "Expansions"),
    ("provenance", "Provenance"),
    ("neighbours", "Neighbours"),
)
#: Expansions that are shown.
NUM_EXPANSIONS = 8
#: Trainings and neighbours that are listed; generations of a family before and after, and how many of each.
NUM_TRAININGS, NUM_NEIGHBOURS, NUM_LEVELS, NUM_RELATIVES = 48, 6, 2, 8
_LOG = logging.getLogger("tamiyo.browse")


def detail_view(context: Context, blueprint_id: str) -> dict[str, Any]:
    """Return what a blueprint's page shows.

    Raises:
        UnknownBlueprintError: when the id names none, or more than one.
    """
    library = context.library
    it = answers.detail(library, blueprint_id)
    lineage = kin.lineage(library, it.id)
    where = shlex.quote(shown_name(context.settings.library))
    return {
        "it": it,
        "contents": CONTENTS,
        "source": _source(context, it.id),
        "neighbours": lambda: _neighbours(library, it.id),
        "levels": (levels := _levels(lineage)),
        "num_shown": sum(map(len, levels)),
        "num_relatives": len(lineage.relatives),
        "parents": _parents(lineage),
        "learning": learning_of(library.store.evaluations(it.id)),
        "trainings": answers.trainings(library, it.id, NUM_TRAININGS),
        "prove_command": f"tamiyo prove --library {where}",
        "export_command": f"tamiyo export {it.id[:12]} blueprint_{it.id[:12]}.py --library {where}",
        "expansions": expansions_of(library, it.id, NUM_EXPANSIONS),
        "expand_command": f"tamiyo expand {it.id[:12]} --library {where}",
        "twin": f"/api/v1/blueprints/{it.id}",
    }


def _neighbours(library: Library, blueprint_id: str) -> shapes.NeighboursAnswer | None:
    """Return the neighbours, or None where the library fails: the page has been sent in part by then."""
    try:
        return kin.neighbours(library, blueprint_id, NUM_NEIGHBOURS)
    except StoreError:
        _LOG.exception("no neighbours of %s", blueprint_id[:12])
        return None


def _source(context: Context, blueprint_id: str) -> Markup | None:
    """Return the source, or None where this version of the language does not read the program."""
    try:
        return highlighted(answers.source(context.library, blueprint_id).source)
    except UnreadableError:
        return None


def _levels(lineage: shapes.LineageAnswer) -> list[list[shapes.Relative]]:
    """Return the generations of a family around a blueprint, the oldest first, the best of each."""
    levels: dict[int, list[shapes.Relative]] = {}
    for of in lineage.relatives:
        if -NUM_LEVELS <= of.step <= NUM_LEVELS:
            levels.setdefault(of.step, []).append(of)
    ranked = (sorted(level, key=lambda of: -of.blueprint.score) for _, level in sorted(levels.items()))
    return [level[:NUM_RELATIVES] for level in ranked]


def _parents(lineage: shapes.LineageAnswer) -> list[shapes.BlueprintRow]:
    """Return the parents of the blueprint itself."""
    return [of.blueprint for of in lineage.relatives if of.step == -1]
