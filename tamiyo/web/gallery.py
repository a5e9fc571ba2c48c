"""What the gallery shows for a query: cards, filters with their counts, and what to relax; writes no HTML."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from blueprints import LANGUAGE
from hall_of_fame.catalogue import CatalogueQuery
from hall_of_fame.errors import QueryError
from tamiyo.api import answers, shapes
from tamiyo.api.context import Context
from tamiyo.web.rendering import query, shown_name

#: Cards of a page, and choices of a filter.
NUM_CARDS, NUM_CHOICES = 24, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order of the cards: its name in the address, its title, and what the catalogue sorts by."""

    value: str
    title: str
    sort: str
    descending: bool
    is_best_first: bool = False
    is_chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A pair of fields between which a number lies, as they were filled in."""

    name: str
    title: str
    unit: str
    low: str = ""
    high: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A value that a filter may take, and how many blueprints have it."""

    value: str
    number: int
    is_chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """A filter of one column and its choices."""

    name: str
    title: str
    choices: Sequence[Choice]
    is_asked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A filter that is set: what it says, the other fields, and the address with those alone."""

    text: str
    kept: Mapping[str, str]
    without: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxed:
    """A query with fewer filters that finds something: what it says, where it is, and how much it finds."""

    text: str
    address: str
    number: int
    is_exact: bool


ORDERS = (
    Order(value="", title="proved, then best", sort="standing", descending=True, is_best_first=True),
    Order(value="score", title="best score", sort="score", descending=True, is_best_first=True),
    Order(value="reward", title="best reward", sort="reward", descending=True, is_best_first=True),
    Order(value="parameters", title="fewest parameters", sort="num_parameters", descending=False),
    Order(value="latency", title="lowest latency", sort="latency_us", descending=False),
    Order(value="length", title="shortest program", sort="length", descending=False),
    Order(value="depth", title="deepest", sort="depth", descending=True),
    Order(value="newest", title="newest", sort="newest", descending=True),
)
RANGES = (
    Range(name="score", title="Score", unit=""),
    Range(name="reward", title="Reward", unit=""),
    Range(name="num_parameters", title="Parameters", unit=""),
    Range(name="latency_us", title="Latency", unit="µs"),
    Range(name="length", title="Length", unit="tokens"),
    Range(name="depth", title="Depth", unit="ops"),
)
FACETS = (("status", "Status"), ("family", "Family"), ("stage", "Stage"), ("run_id", "Run"))


def gallery_view(context: Context, asked: Mapping[str, str]) -> dict[str, Any]:
    """Return what the gallery's template shows for the parameters of a request.

    Raises:
        QueryError: for what no catalogue can be asked.
        CursorError: for a cursor that is none, or of another query.
    """
    kept = {name: text.strip() for name, text in asked.items() if text.strip()}
    order = next((of for of in ORDERS if of.value == kept.get("order", "")), ORDERS[0])
    asked_for = catalogue_query(kept)
    found = answers.page_of_blueprints(context.catalogue, asked_for)
    facets = answers.facets(context.catalogue)
    proofs = context.library.proofs.newest(row.id for row in found.rows if row.status != "candidate")
    chips = _chips(kept)
    is_found = bool(found.rows or found.next_cursor)
    return {
        "search": kept.get("search", ""),
        "vocabulary": LANGUAGE.vocabulary.tokens[1:],
        "facets": _facets(kept, facets),
        "ranges": [_filled(of, kept) for of in RANGES],
        "orders": [replace(of, is_chosen=of is order) for of in ORDERS],
        "chips": chips,
        "rows": found.rows,
        "proofs": proofs,
        "first_rank": 1 if order.is_best_first and "cursor" not in kept else None,
        "told": _told(found),
        "is_later": "cursor" in kept,
        "first_page": query(kept, cursor=None),
        "next_page": query(kept, cursor=found.next_cursor) if found.next_cursor else "",
        "limit": NUM_CARDS,
        "relaxed": [] if is_found else _relaxed(context, kept, chips),
        "where": shlex.quote(shown_name(context.settings.library)),
        "twin": "/api/v1/blueprints"
        + query(_of_catalogue(kept), descending=str(order.descending).lower(), limit=NUM_CARDS),
    }


def catalogue_query(kept: Mapping[str, str], limit: int = NUM_CARDS) -> CatalogueQuery:
    """Return the catalogue's query for filled-in fields.

    Raises:
        QueryError: for what no catalogue can be asked.
    """
    values: dict[str, Any] = {**_of_catalogue(kept), "limit": limit}
    for name in (f"{end}_{of.name}" for of in RANGES for end in ("min", "max")):
        if name in values:
            values[name] = _number(name, values[name])
    return CatalogueQuery(**values)


def _of_catalogue(kept: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields that the catalogue knows, with the sort that the order names."""
    names = {"search", "cursor", *(name for name, _ in FACETS)}
    names |= {f"{end}_{of.name}" for of in RANGES for end in ("min", "max")}
    order = next((of for of in ORDERS if of.value == kept.get("order", "")), ORDERS[0])
    known = {name: text for name, text in kept.items() if name in names}
    return {**known, "sort": order.sort, "descending": order.descending}


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise QueryError(
            f"{name} is '{text[:40]}'", expected="a number", mend="write it with digits and a point"
        ) from None


def _filled(of: Range, kept: Mapping[str, str]) -> Range:
    return replace(of, low=kept.get(f"min_{of.name}", ""), high=kept.get(f"max_{of.name}", ""))


def _chips(kept: Mapping[str, str]) -> list[Chip]:
    """Return a chip for each filter that is set, in the order of the form."""
    chips = []
    if "search" in kept:
        chips.append(_chip(kept, kept["search"].upper(), "search"))
    for name, title in FACETS:
        if name in kept:
            chips.append(_chip(kept, f"{title.lower()} {kept[name]}", name))
    for of in RANGES:
        low, high = kept.get(f"min_{of.name}", ""), kept.get(f"max_{of.name}", "")
        if low or high:
            bounds = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"
            text = f"{of.title.lower()} {bounds} {of.unit}".strip()
            chips.append(_chip(kept, text, f"min_{of.name}", f"max_{of.name}"))
    return chips


def _chip(kept: Mapping[str, str], text: str, *names: str) -> Chip:
    left = {name: value for name, value in kept.items() if name not in (*names, "cursor")}
    return Chip(text=text, kept=left, without=query(left))


def _facets(kept: Mapping[str, str], counted: shapes.Facets) -> list[Facet]:
    """Return the filters that have more than one choice, or are set."""
    counts = {name: getattr(counted, "run" if name == "run_id" else name) for name, _ in FACETS}
    return [
        Facet(
            name=name,
            title=title,
            choices=[
                Choice(value=value, number=number, is_chosen=kept.get(name) == value)
                for value, number in _offered(counts[name], kept.get(name)).items()
                if value
            ],
            is_asked=name in kept,
        )
        for name, title in FACETS
        if len(counts[name]) > 1 or name in kept
    ]


def _offered(counts: Mapping[str, int], chosen: str | None) -> dict[str, int]:
    """Return the first choices of a filter, and the one that is chosen wherever it stands."""
    offered = dict([*counts.items()][:NUM_CHOICES])
    return offered if chosen is None else {**offered, chosen: counts.get(chosen, 0)}


def _relaxed(context: Context, kept: Mapping[str, str], chips: Sequence[Chip]) -> list[Relaxed]:
    """Return queries without one of the filters that find something; else those with one of them alone."""
    without = [(f"without {chip.text}", chip.kept) for chip in chips]
    alone = [
        (f"{chip.text} alone", {name: kept[name] for name in kept.keys() - chip.kept.keys() - {"cursor"}})
        for chip in chips
        if len(chips) > 2
    ]
    for queries in (without, alone):
        found = [relaxed for text, fields in queries if (relaxed := _relax(context, text, fields))]
        if found:
            return sorted(found, key=lambda relaxed: -relaxed.number)
    return []


def _relax(context: Context, text: str, fields: Mapping[str, str]) -> Relaxed | None:
    found = context.catalogue.page(catalogue_query(fields, limit=1))
    if not found.at_least:
        return None
    return Relaxed(text=text, address=query(fields), number=found.at_least, is_exact=found.total is not None)


def _told(found: shapes.BlueprintPage) -> str:
    """Return in a line how much was found."""
    if not found.rows and found.next_cursor:
        return "None among those looked at so far; go on to look further."
    number = found.at_least if found.total is None else found.total
    words = f"{number:,d} blueprint{'' if number == 1 else 's'}"
    return words if found.total is not None else f"More than {words}"
