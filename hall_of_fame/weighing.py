"""What decides a performance beside the trainings of a blueprint: tasks, what they weigh, which are gates.

Runs say in their metrics what tasks weigh. What each run said last, and which tasks it trained, has a table
of its own, so that judging reads no metrics; see `queries.ranking` for what a performance is.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from curricula.weights import counted_weights, gates
from hall_of_fame import schema

Row = Mapping[Any, Any]
_LINES_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Weighing:
    """What decides a performance beside the trainings of a blueprint.

    Attributes:
        counted: what each task weighs in the mean, by key.
        gated: keys of the gates.
        trained: the gates that were trained, by run.
        scales: chance of each task, and the score that solves it.
    """

    counted: Mapping[str, float]
    gated: frozenset[str]
    trained: Mapping[str, frozenset[str]]
    scales: Mapping[str, tuple[float, float]]

    @classmethod
    def of(cls, connection: Connection) -> "Weighing":
        """Return what holds now."""
        table, runs = schema.catalogue_tasks, schema.runs
        query = select(table, runs.c.created).join_from(table, runs, runs.c.id == table.c.run_id)
        rows = connection.execute(query).mappings().all()
        rows = sorted(rows, key=lambda row: (row["created"], row["generation"], row["run_id"]))
        keys = sorted({row["task_key"] for row in rows if row["is_trained"]})
        weights = {row["task_key"]: row["weight"] for row in rows if row["generation"] >= 0}
        gated = gates(keys, weights)
        trained: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            if row["is_trained"] and row["task_key"] in gated:
                trained[row["run_id"]].add(row["task_key"])
        tasks = schema.tasks.c
        scales = connection.execute(select(tasks.key, tasks.chance, tasks.solved))
        return cls(
            counted_weights(keys, weights),
            gated,
            {run_id: frozenset(found) for run_id, found in trained.items()},
            {key: (chance, solved) for key, chance, solved in scales},
        )

    def weighs_like(self, other: "Weighing") -> bool:
        """Return whether all performances stay, those in runs with newly trained gates aside."""
        return self.counted == other.counted and self.gated == other.gated

    def performance(self, trainings: Sequence[Row]) -> float:
        """Return what `queries.ranking` says of a blueprint with these trainings; 0 without any."""
        scores: dict[str, list[float]] = defaultdict(list)
        for row in trainings:
            scores[row["task_key"]].append(max(0.0, self._scaled(row["task_key"], row["score"])))
        means = {key: sum(found) / len(found) for key, found in scores.items()}
        total = sum(self.counted.values()) or 1.0
        mean = sum(weight * means.get(key, 0.0) for key, weight in self.counted.items()) / total
        asked = {key for row in trainings for key in self.trained.get(row["run_id"], ())}
        if not asked <= means.keys():
            return 0.0
        return finite(mean * min((self._share(key, means[key]) for key in asked), default=1.0), 0.0)

    def _share(self, key: str, mean: float) -> float:
        solved = self._scaled(key, self.scales[key][1])
        return 1.0 if mean >= solved else mean / solved

    def _scaled(self, key: str, score: float) -> float:
        chance = self.scales[key][0]
        return finite((score - chance) / (1.0 - chance), 0.0) if chance != 1.0 else 0.0


def weight_of(metrics: Any, name: str) -> float:
    """Return what a line of metrics says that a task of this name weighs; 1 where it says nothing."""
    value = metrics.get(f"weight_{name}", 1.0) if isinstance(metrics, Mapping) else 1.0
    return finite(float(value), 1.0) if isinstance(value, int | float) else 1.0


def note_tasks(connection: Connection, rows: Sequence[Row]) -> None:
    """Write what runs say of tasks; what was trained once stays so."""
    if not rows:
        return
    table = schema.catalogue_tasks
    run_ids = {row["run_id"] for row in rows}
    query = select(table).where(table.c.run_id.in_(run_ids), table.c.is_trained)
    trained = {(row["run_id"], row["task_key"]) for row in connection.execute(query).mappings()}
    values = [
        {**row, "is_trained": row["is_trained"] or (row["run_id"], row["task_key"]) in trained}
        for row in rows
    ]
    upsert(connection, table, values, ("generation", "weight", "is_trained"))


def gather_tasks(connection: Connection) -> None:
    """Write what all runs say of tasks, from their generations and trainings."""
    tasks = schema.tasks.c
    names = {row.key: row.name for row in connection.execute(select(tasks.key, tasks.name))}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for run_id in connection.scalars(select(schema.runs.c.id)).all():
        for generation, metrics, keys in _lines(connection, run_id):
            for key in keys if isinstance(keys, list) else ():
                if isinstance(key, str) and key in names:
                    weight = weight_of(metrics, names[key])
                    found[run_id, key] = {"generation": generation, "weight": weight, "is_trained": False}
        for key in _trained_keys(connection, run_id, names):
            unlisted = {"generation": -1, "weight": 1.0}
            found[run_id, key] = {**found.get((run_id, key), unlisted), "is_trained": True}
    rows = [{"run_id": run_id, "task_key": key, **row} for (run_id, key), row in found.items()]
    note_tasks(connection, rows)


def _lines(connection: Connection, run_id: str) -> Iterator[tuple[int, Any, Any]]:
    table = schema.generations.c
    query = select(table.generation, table.metrics, table.task_keys).where(table.run_id == run_id)
    found = connection.execute(query.order_by(table.generation).execution_options(yield_per=_LINES_AT_ONCE))
    return ((generation, metrics, keys) for generation, metrics, keys in found)


def _trained_keys(connection: Connection, run_id: str, keys: Iterable[str]) -> list[str]:
    table = schema.evaluations.c
    query = select(table.id).where(table.run_id == run_id).limit(1)
    return [key for key in keys if connection.scalar(query.where(table.task_key == key)) is not None]


def finite(value: float, otherwise: float) -> float:
    """Return a value that is finite, else the other one."""
    return value if math.isfinite(value) else otherwise


def upsert(connection: Connection, table: Any, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Write rows; of those whose key is on record, these columns, or nothing."""
    if not rows:
        return
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table)
    if columns:
        statement = statement.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={name: statement.excluded[name] for name in columns},
        )
    else:
        statement = statement.on_conflict_do_nothing()
    connection.execute(statement, list(rows))
