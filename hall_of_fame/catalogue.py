"""The catalogue that pages list, filter, sort and search, a page at a time; `cataloguing.py` keeps it true.

No question reads the whole of it. A page is read along an index, and what the index does not answer (a word,
a second range) is asked of at most `VISITED` rows: where those hold too few hits, the page is shorter than
asked for and its cursor goes on after them. Totals are exact where a counter knows them, or where so many
rows suffice; else a page says how many there are at least.

A `Catalogue` may be shared by threads, and so may its `Store`: every call takes a connection of its own from
the store's pool for the time of the call. SQLite in its WAL mode lets readers go on while another process
writes, and PostgreSQL does; each call sees one moment, two calls may see two.
"""

import base64
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, fields
from operator import eq, ge, le
from typing import Any, get_args

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, literal, select, true, tuple_

from hall_of_fame import schema
from hall_of_fame.cataloguing import CLASSES, COUNTED, UNKNOWN_COST, UNKNOWN_COUNT, UNKNOWN_REWARD
from hall_of_fame.errors import CursorError, QueryError
from hall_of_fame.records import Status
from hall_of_fame.store import Store

#: What rows can be sorted by. A standing is the status, entrants first, and the score within it; `newest`
#: goes by the order in which the library got them.
SORTS = (
    "standing",
    "score",
    "reward",
    "num_parameters",
    "latency_us",
    "length",
    "depth",
    "newest",
)
#: Columns that have a least and a largest value in a query.
RANGES = ("reward", "score", "num_parameters", "latency_us", "length", "depth")
#: Most rows of a page, and rows that are looked at to fill one.
LIMIT, VISITED = 200, 5_000
#: A facet of so many rows at most is sorted as it is asked for.
_FEW = 2_500
#: Most words, and characters, of a search.
_WORDS, _CHARACTERS = 16, 256
_MOST = 2.0**53

_TABLE = schema.catalogue.c


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueQuery:
    """Which blueprints to list, and how; a field that is None or empty asks for nothing.

    Attributes:
        search: words; each is a token or the beginning of one, and a program has all of them.
        status: where it stands.
        family: how it carries information along time; see `views.Niche`.
        stage: stage of the generation that brought it.
        run_id: the run that brought it.
        min_reward: and the like: a least and a largest value of a column, both included.
        sort: one of `SORTS`.
        descending: the largest first.
        cursor: `next_cursor` of the page before, of the same query; None for the first one.
        limit: rows of a page, at most 200.

    Raises:
        QueryError: for what no catalogue can be asked.
    """

    search: str = ""
    status: Status | None = None
    family: str | None = None
    stage: str | None = None
    run_id: str | None = None
    min_reward: float | None = None
    max_reward: float | None = None
    min_score: float | None = None
    max_score: float | None = None
    min_num_parameters: float | None = None
    max_num_parameters: float | None = None
    min_latency_us: float | None = None
    max_latency_us: float | None = None
    min_length: float | None = None
    max_length: float | None = None
    min_depth: float | None = None
    max_depth: float | None = None
    sort: str = "standing"
    descending: bool = True
    cursor: str | None = None
    limit: int = 50

    def __post_init__(self) -> None:
        _check(self.sort in SORTS, f"no sort '{self.sort}'", f"one of {', '.join(SORTS)}")
        _check(
            self.status is None or self.status in get_args(Status),
            f"no status '{self.status}'",
            f"one of {', '.join(get_args(Status))}",
        )
        _check(1 <= self.limit <= LIMIT, f"a limit of {self.limit}", f"1 to {LIMIT} rows")
        _check(len(self.search) <= _CHARACTERS, "a long search", f"at most {_CHARACTERS} characters")
        _check(len(self.words) <= _WORDS, f"{len(self.words)} words", f"at most {_WORDS}")
        for name in ("search", "family", "stage", "run_id"):
            _check("\0" not in (getattr(self, name) or ""), f"a zero byte in {name}", "text")
        for name in RANGES:
            for bound in (getattr(self, f"min_{name}"), getattr(self, f"max_{name}")):
                fits = bound is None or abs(bound) <= _MOST
                _check(fits, f"{bound} as a bound of {name}", "a number within 2**53")

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the search as tokens are written, each once."""
        return tuple(sorted(set(self.search.upper().split())))

    @property
    def facets(self) -> dict[str, str]:
        """The columns that must have one value each, and those."""
        return {name: value for name in COUNTED if (value := getattr(self, name)) is not None}

    @property
    def ranges(self) -> dict[str, tuple[float | None, float | None]]:
        """The bounds of the columns that have any."""
        bounds = {name: (getattr(self, f"min_{name}"), getattr(self, f"max_{name}")) for name in RANGES}
        return {name: pair for name, pair in bounds.items() if pair != (None, None)}

    @property
    def digest(self) -> str:
        """A short hash of everything but the cursor and the limit."""
        values = {**asdict(self), "search": self.words, "cursor": None, "limit": None}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueRow:
    """One blueprint as pages list it; what is not known is None.

    Attributes:
        blueprint_id: canonical hash.
        tokens: the program that first brought it.
        family: how it carries information along time; see `views.Niche`.
        length: number of tokens.
        depth: ops on the longest path; see `views.Niche`.
        num_parameters: trainable scalars.
        flops: forward FLOPs of one example of the longest task seen.
        latency_us: mean predicted forward latency in microseconds.
        reward: the best that a candidate of this id was given.
        performance: in the search, over every task on record; see `Entry.performance`.
        score: the proof's mean where there is one, else the performance.
        status: where it stands.
        stage: stage of the generation that brought it.
        run_id: the run that brought it.
        generation: the generation of that run.
        strategy: the strategy of that run; empty where the run does not say.
        num_evaluations: trainings on record.
    """

    blueprint_id: str
    tokens: tuple[str, ...]
    family: str
    length: int
    depth: int
    num_parameters: int | None
    flops: int | None
    latency_us: float | None
    reward: float | None
    performance: float
    score: float
    status: Status
    stage: str
    run_id: str
    generation: int
    strategy: str
    num_evaluations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CataloguePage:
    """Some rows of a query.

    Attributes:
        rows: in the order asked for; fewer than the limit, or none, where the rows looked at held no more.
        next_cursor: where the next page goes on; None after the last row.
        total: how many rows the query has, as its first page found; None where that would take reading too
            many.
        at_least: how many it has at least, which is `total` where that is known.
    """

    rows: tuple[CatalogueRow, ...]
    next_cursor: str | None
    total: int | None
    at_least: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facets:
    """How many blueprints the catalogue has, by value, most first.

    Attributes:
        num: in all.
        family: by family.
        status: by status.
        stage: by the stage that brought them.
        run: by the run that brought them.
    """

    num: int = 0
    family: Mapping[str, int] = field(default_factory=dict)
    status: Mapping[str, int] = field(default_factory=dict)
    stage: Mapping[str, int] = field(default_factory=dict)
    run: Mapping[str, int] = field(default_factory=dict)


class Catalogue:
    """What a library holds, a row a blueprint."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def page(self, query: CatalogueQuery) -> CataloguePage:
        """Return the rows of a query that follow its cursor.

        Raises:
            CursorError: for a cursor that is none, or of another query.
        """
        cursor = None if query.cursor is None else _Cursor.read(query)
        with self._store.reading() as connection:
            facets = _facets(connection)
            walk = _Walk.of(query, facets)
            found = connection.execute(walk.hits(cursor, query.limit + 1)).all()
            rows: Sequence[Any] = found[: query.limit]
            last: Sequence[Any] | None = None
            if len(found) > query.limit:
                last = rows[-1][-2:]
            elif walk.residual:
                last = next((list(end) for end in connection.execute(walk.end(cursor))), None)
            if cursor is not None:
                total, at_least = cursor.total, cursor.at_least
            elif len(found) <= query.limit:  # every row was looked at that may be
                total, at_least = (len(rows) if last is None else None), len(rows)
            else:
                total, at_least = self._total(connection, query, facets, walk)
        following = None if last is None else _Cursor(last[0], last[1], total, at_least)
        return CataloguePage(
            rows=tuple(map(catalogue_row, rows)),
            next_cursor=None if following is None else following.write(query),
            total=total,
            at_least=at_least,
        )

    def facets(self) -> Facets:
        """Return how many blueprints each family, status, stage and run has; exact, from counters."""
        with self._store.reading() as connection:
            return _facets(connection)

    def sample(self, num: int) -> list[CatalogueRow]:
        """Return the `num` best rows by standing: entrants, candidates, the refused, each by score."""
        query = select(*row_columns(_TABLE)).order_by(_TABLE.standing.desc(), _TABLE.number.desc())
        with self._store.reading() as connection:
            return [catalogue_row(row) for row in connection.execute(query.limit(num))]

    def row(self, blueprint_id: str) -> CatalogueRow | None:
        """Return the row of a blueprint; None when it is not on record."""
        query = select(*row_columns(_TABLE)).where(_TABLE.blueprint_id == blueprint_id)
        with self._store.reading() as connection:
            row = connection.execute(query).one_or_none()
            return None if row is None else catalogue_row(row)

    def _total(
        self, connection: Connection, query: CatalogueQuery, facets: Facets, walk: "_Walk"
    ) -> tuple[int | None, int]:
        """Return how many rows a query has, where that is known, and how many at least."""
        if not query.words and not query.ranges and len(query.facets) < 2:
            num = facets.num
            for name, value in query.facets.items():
                num = getattr(facets, COUNTED[name]).get(value, 0)
            return num, num
        visited, hits = tuple(connection.execute(walk.counts()).one())
        return (hits if visited < VISITED else None), hits


def row_columns(columns: Any) -> list[ColumnElement[Any]]:
    """Return the columns of the table, or of a selection of it, that `catalogue_row` takes, in its order."""
    return [columns[name] for name in _NAMES]


def catalogue_row(row: Sequence[Any]) -> CatalogueRow:
    """Return the row that begins with these values."""
    values = dict(zip(_NAMES, row, strict=False))
    values["tokens"] = tuple(values["tokens"].split())
    for name, unknown in _UNKNOWN:
        if values[name] == unknown:
            values[name] = None
    return CatalogueRow(**values)


_NAMES = tuple(entry.name for entry in fields(CatalogueRow))
_UNKNOWN = (
    ("num_parameters", UNKNOWN_COUNT),
    ("flops", UNKNOWN_COUNT),
    ("latency_us", UNKNOWN_COST),
    ("reward", UNKNOWN_REWARD),
)

#: The name of a column, how it is compared, and with what.
_Condition = tuple[str, Callable[[Any, Any], ColumnElement[bool]], Any]


@dataclass(frozen=True, slots=True)
class _Walk:
    """How a query is answered: along which index, and what is left to ask of the rows on the way.

    Attributes:
        sort: the column that rows are ordered by, their number breaking ties.
        descending: the largest first.
        along: conditions that the index answers.
        residual: the others.
    """

    sort: str
    descending: bool
    along: Sequence[_Condition]
    residual: Sequence[_Condition]

    @classmethod
    def of(cls, query: CatalogueQuery, facets: Facets) -> "_Walk":
        sort = {"newest": "number"}.get(query.sort, query.sort)
        sort = "standing" if sort == "score" and query.status else sort
        num = {name: getattr(facets, COUNTED[name]).get(value, 0) for name, value in query.facets.items()}
        num.pop("status", None)
        rarest = min(num, key=num.__getitem__, default=None)
        along = {sort}
        if rarest is not None and (sort == "standing" or num[rarest] <= _FEW):
            along.add(rarest)
        conditions = _conditions(query, by_class=sort == "standing")
        return cls(
            sort,
            query.descending,
            [condition for condition in conditions if condition[0] in along],
            [condition for condition in conditions if condition[0] not in along],
        )

    def hits(self, after: "_Cursor | None", limit: int) -> Select[Any]:
        """Select the first rows that meet every condition, of those looked at, each with its place."""
        if not self.residual:
            return self._seen(after, *_NAMES, self.sort, "number").limit(limit)
        seen = self._seen(after, *{*_NAMES, self.sort, "number"}).limit(VISITED).subquery()
        query = select(*row_columns(seen.c), seen.c[self.sort], seen.c.number)
        return query.where(*_met(self.residual, seen.c)).limit(limit)

    def end(self, after: "_Cursor | None") -> Select[Any]:
        """Select the place where the rows looked at end; nothing where they were the last ones."""
        return self._seen(after, self.sort, "number").offset(VISITED - 1).limit(1)

    def counts(self) -> Select[int, int]:
        """Select how many rows are looked at from the start, and how many of them meet every condition."""
        names = {name for name, _, _ in self.residual}
        seen = self._seen(None, "number", *sorted(names)).limit(VISITED).subquery()
        hits = func.coalesce(func.sum(case((and_(true(), *_met(self.residual, seen.c)), 1), else_=0)), 0)
        return select(func.count(), hits).select_from(seen)

    def _seen(self, after: "_Cursor | None", *names: str) -> Select[Any]:
        """Select columns of the rows along the index, those after a place."""
        table = schema.catalogue.c
        place = (table[self.sort], table.number)
        query = select(*(table[name] for name in names))
        query = query.where(*_met(self.along, table))
        if after is not None:
            key, bound = tuple_(*place), tuple_(literal(after.value), literal(after.number))
            query = query.where(key < bound if self.descending else key > bound)
        return query.order_by(*(column.desc() if self.descending else column for column in place))


def _conditions(query: CatalogueQuery, *, by_class: bool) -> list[_Condition]:
    """Return what a row of a query must meet; with `by_class` a status is asked of the standing."""
    conditions: list[_Condition] = [
        (name, eq, value) for name, value in query.facets.items() if not (by_class and name == "status")
    ]
    if by_class and query.status:
        least = 2.0 * CLASSES[query.status]
        conditions += [("standing", ge, least), ("standing", le, least + 1.0)]
    for name, (least, most) in query.ranges.items():
        conditions += [] if least is None else [(name, ge, least)]
        conditions += [] if most is None else [(name, le, most)]
    return [*conditions, *(("tokens", _has_word, word) for word in query.words)]


def _met(conditions: Sequence[_Condition], columns: Any) -> list[ColumnElement[bool]]:
    return [compare(columns[name], value) for name, compare, value in conditions]


def _has_word(tokens: ColumnElement[str], word: str) -> ColumnElement[bool]:
    """Return whether a program has a token that begins with `word`."""
    return (literal(" ") + tokens).contains(f" {word}", autoescape=True)


def _facets(connection: Connection) -> Facets:
    table = schema.catalogue_counts.c
    num: dict[str, dict[str, int]] = {kind: {} for kind in ("all", *COUNTED.values())}
    query = select(table.kind, table.name, table.num).where(table.num > 0, table.kind.in_(num))
    for kind, name, count in sorted(connection.execute(query), key=lambda row: (-row.num, row.name)):
        num[kind][name] = count
    return Facets(num=num.pop("all").get("", 0), **num)


# Cursors


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Where a page ended.

    Attributes:
        value: of the column that rows are sorted by.
        number: of the last row.
        total: of the query, as its first page found.
        at_least: likewise.
    """

    value: float
    number: int
    total: int | None
    at_least: int

    def write(self, query: CatalogueQuery) -> str:
        """Return the cursor as text, good for this query alone."""
        text = json.dumps([query.digest, *astuple(self)], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def read(cls, query: CatalogueQuery) -> "_Cursor":
        """Return the cursor of a query, refusing what no page of it gave."""
        text = query.cursor or ""
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            digest, *values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            value, number, total, at_least = values
        except (ValueError, TypeError, RecursionError):
            raise _bad_cursor("a cursor that cannot be read") from None
        if digest != query.digest:
            raise _bad_cursor("a cursor of another query")
        whole = [value] if type(value) is int else []
        whole += [number, at_least, *([] if total is None else [total])]
        fits = all(type(number) is int and abs(number) < 2**63 for number in whole)
        if not fits or type(value) not in (int, float) or math.isnan(value):
            raise _bad_cursor("a cursor without a place")
        return cls(value, number, total, at_least)


def _bad_cursor(came: str) -> CursorError:
    return CursorError(
        came, expected="next_cursor of a page of the same query", mend="start again without a cursor"
    )


def _check(fits: bool, came: str, expected: str) -> None:
    if not fits:
        raise QueryError(came, expected=expected, mend="ask for less")
