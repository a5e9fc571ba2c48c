"""What the page of two blueprints shows: figures beside each other and which is better; writes no HTML."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tamiyo.api import kin, shapes
from tamiyo.api.context import Context
from tamiyo.web.tokens import edited, sides


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number of both; `judged` says whether the second's is `better` or `worse`, where it can be."""

    name: str
    unit: str
    digits: int
    first: float | None
    second: float | None
    difference: float | None
    judged: str


#: Field, name, unit, digits, and whether less is better (-1). A score is not judged by its mean alone.
_FIGURES = (
    ("score", "score", "", 3, 0),
    ("reward", "best reward", "", 3, 0),
    ("num_parameters", "parameters", "", 0, -1),
    ("flops", "FLOPs", "one example", 0, -1),
    ("latency_us", "latency, predicted", "µs", 1, -1),
    ("length", "tokens", "", 0, 0),
    ("num_evaluations", "trainings", "", 0, 0),
)


def comparison_view(context: Context, first_id: str, second_id: str) -> dict[str, Any]:
    """Return what the page of two blueprints shows.

    Raises:
        UnknownBlueprintError: when an id names none, or more than one.
    """
    found = kin.comparison(context.library, first_id, second_id)
    return {
        "found": found,
        "first": found.first,
        "second": found.second,
        "programs": sides(edited((edit.kind, edit.tokens) for edit in found.edits)),
        "figures": [*_figures(found)],
        "twin": f"/api/v1/compare?a={found.first.id}&b={found.second.id}",
    }


def _figures(found: shapes.CompareAnswer) -> Iterator[Figure]:
    for field, name, unit, digits, sense in _FIGURES:
        yield _figure(name, unit, digits, sense, getattr(found.first, field), getattr(found.second, field))
    for name in ("nodes", "edges", "depth"):
        values = (getattr(sizes, name, None) for sizes in (found.first_sizes, found.second_sizes))
        yield _figure(name, "ops" if name == "depth" else "", 0, 0, *values)


def _figure(
    name: str, unit: str, digits: int, sense: int, first: float | None, second: float | None
) -> Figure:
    difference = None if first is None or second is None else second - first
    judged = ("better" if difference * sense > 0 else "worse") if difference and sense else ""
    return Figure(
        name=name, unit=unit, digits=digits, first=first, second=second, difference=difference, judged=judged
    )
