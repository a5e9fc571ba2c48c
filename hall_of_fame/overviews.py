"""What pages show of a whole library or run at once: front, heat map, curves; each reads boundedly many rows.

The front is exact. Rows lie in cells of parameters and latency whose ends are a factor of the square root of
2 apart (`cataloguing.cell_of`). What is best in each cell already beats most of the others, whatever they
hold; only rows of the rest that score above what beats their cell are read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Float, Integer, column, func, literal, select, values

from hall_of_fame import schema
from hall_of_fame.catalogue import CatalogueRow, catalogue_row, row_columns
from hall_of_fame.cataloguing import cheapest_of
from hall_of_fame.queries import chunks
from hall_of_fame.records import TaskRecord
from hall_of_fame.store import Store

#: Rows that a front is made of at most, and those it may read.
MAX_FRONT, READ = 512, 20_000
#: Rows of a heat map, and points of a curve, at most.
MAX_HEAT, MAX_POINTS = 200, 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The blueprints that no other beats or equals in all of score, parameters and predicted latency.

    Attributes:
        rows: best score first; of equals the first to come stays. A cost that is not known counts as
            infinite.
        num: blueprints of the library that were compared.
        is_whole: whether they were all; else rows were left out that come late in their cell of costs.
    """

    rows: tuple[CatalogueRow, ...]
    num: int
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """Mean scores of blueprints on tasks.

    Attributes:
        rows: the best blueprints by standing, or those asked for in their order.
        tasks: those with evidence on one of them, by key.
        scores: by row, then task: mean test score of all trainings on record; None where there is none.
    """

    rows: tuple[CatalogueRow, ...]
    tasks: tuple[TaskRecord, ...]
    scores: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """The lines of metrics of a run, thinned where they are many.

    Attributes:
        generations: the numbers of those that are given, ascending; the last one on record is among them.
        lines: their metrics.
        num: generations on record.
        stride: each so many-th one is given.
    """

    generations: tuple[int, ...]
    lines: tuple[Mapping[str, Any], ...]
    num: int
    stride: int


def front(store: Store) -> Front:
    """Return the Pareto front of the whole library."""
    with store.reading() as connection:
        best = _best_of_cells(connection)
        num = connection.scalar(_count()) or 0
        if not len(best):
            return Front(rows=(), num=0, is_whole=True)
        found = _unbeaten_rows(connection, best)
        numbers = _front(np.concatenate([best[:, 1:], found]))[:MAX_FRONT]
        rows = _rows(connection, "number", numbers)
    return Front(
        rows=tuple(rows[number] for number in numbers),
        num=num,
        is_whole=len(found) < READ and len(numbers) < MAX_FRONT,
    )


def heat(store: Store, num: int = 50, *, ids: Sequence[str] | None = None) -> Heat:
    """Return the mean score on every task of the `num` best blueprints, or of `ids`; at most 200."""
    table = schema.evaluations.c
    with store.reading() as connection:
        if ids is None:
            order = schema.catalogue.c.standing.desc(), schema.catalogue.c.number.desc()
            best = select(*row_columns(schema.catalogue.c)).order_by(*order).limit(min(num, MAX_HEAT))
            rows = [catalogue_row(row) for row in connection.execute(best)]
        else:
            known = _rows(connection, "blueprint_id", ids[:MAX_HEAT])
            rows = [known[id_] for id_ in ids[:MAX_HEAT] if id_ in known]
        query = select(table.blueprint_id, table.task_key, func.avg(table.score))
        query = query.where(table.blueprint_id.in_([row.blueprint_id for row in rows]))
        query = query.group_by(table.blueprint_id, table.task_key)
        means = {(id_, key): float(mean) for id_, key, mean in connection.execute(query)}
        keys = {key for _, key in means}
        tasks = select(schema.tasks).where(schema.tasks.c.key.in_(keys))
        records = [TaskRecord(**row) for row in connection.execute(tasks).mappings()]
    records = sorted(records, key=lambda task: task.key)
    return Heat(
        rows=tuple(rows),
        tasks=tuple(records),
        scores=tuple(tuple(means.get((row.blueprint_id, task.key)) for task in records) for row in rows),
    )


def curves(store: Store, run_id: str, *, points: int = 400) -> Curves:
    """Return the metrics of about `points` generations of a run, evenly spaced, and of the last one."""
    table = schema.generations.c
    points = max(1, min(points, MAX_POINTS))
    with store.reading() as connection:
        of_run = table.run_id == run_id
        bounds = select(func.count(), func.min(table.generation), func.max(table.generation)).where(of_run)
        num, first, last = tuple(connection.execute(bounds).one())
        if not num:
            return Curves(generations=(), lines=(), num=0, stride=1)
        stride = -(-(last - first + 1) // points)
        wanted = {*range(first, last + 1, stride), last}
        query = select(table.generation, table.metrics).where(of_run).order_by(table.generation)
        found = [
            (generation, metrics)
            for chunk in chunks(wanted)
            for generation, metrics in connection.execute(query.where(table.generation.in_(chunk)))
        ]
    return Curves(
        generations=tuple(generation for generation, _ in found),
        lines=tuple(dict(metrics) for _, metrics in found),
        num=num,
        stride=stride,
    )


def _count() -> Any:
    table = schema.catalogue_counts.c
    return select(table.num).where(table.kind == "all")


def _best_of_cells(connection: Connection) -> np.ndarray:
    """Return `[cells, 5]`: cell; number, score, parameters, latency of a row of the best score in it.

    An index leads from each cell to the next and to the best of it, so that no other row is read.
    """
    table, other = schema.catalogue, schema.catalogue.alias()
    cells = select(func.min(table.c.cell).label("cell")).cte("cells", recursive=True)
    following = select(func.min(other.c.cell)).where(other.c.cell > cells.c.cell).scalar_subquery()
    cells = cells.union_all(select(following).where(cells.c.cell.is_not(None)))
    best = (
        select(other.c.number)
        .where(other.c.cell == cells.c.cell)
        .order_by(other.c.score.desc())
        .limit(1)
        .correlate(cells)
        .scalar_subquery()
    )
    names = ("cell", "number", "score", "num_parameters", "latency_us")
    places = select(best.label("number")).select_from(cells).where(cells.c.cell.is_not(None)).subquery()
    query = select(*(table.c[name] for name in names))
    query = query.join_from(places, table, table.c.number == places.c.number)
    return np.array([tuple(row) for row in connection.execute(query)], float).reshape(-1, len(names))


def _unbeaten_rows(connection: Connection, best: np.ndarray) -> np.ndarray:
    """Return `[rows, 4]`: number, score, parameters, latency of what the best of no other cell beats."""
    cells, _, score, parameters, latency = best.T
    cheapest = np.array([cheapest_of(int(cell)) for cell in cells])
    beats = (parameters[None] <= cheapest[:, :1]) & (latency[None] <= cheapest[:, 1:])
    least = np.where(beats, score[None], -np.inf).max(axis=1)
    open_ = score > least
    wanted = values(column("cell", Integer), column("least", Float(53)), name="wanted").data(
        [(int(cell), max(float(bar), -1e300)) for cell, bar in zip(cells[open_], least[open_], strict=True)]
    )
    wanted = wanted.cte("wanted")
    table = schema.catalogue.c
    query = select(table.number, table.score, table.num_parameters, table.latency_us)
    query = query.join_from(
        wanted, schema.catalogue, (table.cell == wanted.c.cell) & (table.score > wanted.c.least)
    )
    found = connection.execute(query.limit(literal(READ)))
    return np.array([tuple(row) for row in found], float).reshape(-1, 4)


def _front(rows: np.ndarray) -> list[int]:
    """Return the numbers of the rows that no other beats or equals, best score first."""
    number, score, parameters, latency = rows.T
    kept: list[int] = []
    for place in np.lexsort((number, latency, parameters, -score)):
        if not ((parameters[kept] <= parameters[place]) & (latency[kept] <= latency[place])).any():
            kept.append(int(place))
    return [int(number[place]) for place in kept]


def _rows(connection: Connection, name: str, keys: Sequence[Any]) -> dict[Any, CatalogueRow]:
    """Return rows by the value of a column that no two of them share."""
    column = schema.catalogue.c[name]
    query = select(*row_columns(schema.catalogue.c), column.label("key"))
    return {
        row[-1]: catalogue_row(row)
        for chunk in chunks(set(keys))
        for row in connection.execute(query.where(column.in_(chunk)))
    }
