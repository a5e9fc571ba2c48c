"""The selections that several of the store's reads share, on an open connection; writes nothing."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any

import numpy as np
from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Select,
    Subquery,
    Table,
    and_,
    case,
    cast,
    exists,
    func,
    select,
)

from crucible.evaluation import MeasuredLatency
from curricula.weights import counted_weights, gates
from hall_of_fame import contenders, rows, schema
from hall_of_fame.records import CandidateRecord, Entry

#: Ids bound to one statement at most; below every database's limit on variables.
_CHUNK = 1000

#: Column names and the value each must have; None stands for any.
Where = Mapping[str, str | None]


def last_generation(connection: Connection, run_id: str) -> int | None:
    """Return the number of the last committed generation of a run."""
    table = schema.generations
    return connection.scalar(select(func.max(table.c.generation)).where(table.c.run_id == run_id))


def candidates(connection: Connection, run_id: str, generation: int) -> list[CandidateRecord]:
    """Return the batch of a generation in its order."""
    table = schema.candidates
    query = select(table).where(table.c.run_id == run_id, table.c.generation == generation)
    found = connection.execute(query.order_by(table.c.position)).mappings()
    return [rows.candidate_record(row) for row in found]


def task_names(connection: Connection) -> dict[str, str]:
    """Return the name of every task by its key."""
    query = select(schema.tasks.c.key, schema.tasks.c.name)
    return {row.key: row.name for row in connection.execute(query)}


def evaluations(
    connection: Connection, ids: Iterable[str], task_keys: Iterable[str] | None = None, **where: str | None
) -> list[rows.Row]:
    """Return the rows of trainings of `ids`, by blueprint, task key, seed and age."""
    table = schema.evaluations
    query = select(table).order_by(*(table.c[name] for name in ("blueprint_id", "task_key", "seed", "id")))
    return [
        row
        for chunk in chunks(ids)
        for row in connection.execute(
            query.where(table.c.blueprint_id.in_(chunk), *_filters(connection, table, task_keys, where))
        ).mappings()
    ]


def fingerprints(
    connection: Connection, ids: Iterable[str], task_keys: Iterable[str], **where: str | None
) -> dict[tuple[str, str], tuple[int, np.ndarray]]:
    """Return, by blueprint and task key, the seed of the oldest fingerprint kept, and the fingerprint."""
    table = schema.fingerprints
    query = select(table).order_by(*(table.c[name] for name in ("generation", "run_id", "engine_id")))
    found: dict[tuple[str, str], tuple[int, np.ndarray]] = {}
    for chunk in chunks(ids):
        conditions = _filters(connection, table, task_keys, where)
        for row in connection.execute(query.where(table.c.blueprint_id.in_(chunk), *conditions)).mappings():
            key = (row["blueprint_id"], row["task_key"])
            if key not in found:
                found[key] = (row["seed"], rows.unpack_fingerprint(row))
    return found


def latencies(connection: Connection, ids: Iterable[str]) -> dict[str, list[MeasuredLatency]]:
    """Return the measured latencies of each of `ids`, by device and width."""
    table = schema.latencies
    query = select(table).order_by(table.c.device, table.c.width)
    found: dict[str, list[MeasuredLatency]] = defaultdict(list)
    for chunk in chunks(ids):
        for row in connection.execute(query.where(table.c.blueprint_id.in_(chunk))).mappings():
            found[row["blueprint_id"]].append(rows.measured_latency(row))
    return found


def is_first(connection: Connection) -> ColumnElement[bool]:
    """Return whether a candidate is of the generation that first brought its blueprint, to join them by.

    SQLite is to find the candidates of a blueprint, not to look through those of a whole generation for it.
    """
    table, own = schema.blueprints, schema.candidates
    run_id, generation = own.c.run_id, own.c.generation
    if connection.dialect.name == "sqlite":
        run_id, generation = func.coalesce(run_id, ""), func.coalesce(generation, 0)
    return and_(own.c.blueprint_id == table.c.id, run_id == table.c.run_id, generation == table.c.generation)


def weights(connection: Connection, run_id: str | None) -> dict[str, float]:
    """Return what the latest run, or this one, gave each task by its key in `weight_NAME` of its metrics."""
    table, runs = schema.catalogue_tasks, schema.runs
    query = select(table.c.task_key, table.c.weight).join_from(table, runs, runs.c.id == table.c.run_id)
    query = query.where(table.c.generation >= 0, *_conditions(table, None, {"run_id": run_id}))
    found = connection.execute(query.order_by(runs.c.created, table.c.generation, runs.c.id))
    return {row.task_key: row.weight for row in found}


def top(
    connection: Connection,
    k: int,
    task_keys: Iterable[str] | None,
    where: Where,
    weights: Mapping[str, float] = MappingProxyType({}),
    ids: Collection[str] | None = None,
) -> list[Entry]:
    """Return the `k` best entries that were trained well at least once, among `ids` or all."""
    ranked = ranking(connection, k, task_keys, where, weights, ids=ids)
    return entries(connection, ranked, task_keys, where)


def ranking(
    connection: Connection,
    k: int,
    task_keys: Iterable[str] | None,
    where: Where,
    weights: Mapping[str, float] = MappingProxyType({}),
    *,
    least_ok: int = 1,
    ids: Collection[str] | None = None,
) -> dict[str, float]:
    """Return the performance of the `k` best ids, best first; ties go to fewer parameters, then to the id.

    A task weighs what `weights` says of its key, else 1; where all weigh 0, they weigh alike. Each id has at
    least `least_ok` trainings whose status is `ok`; `ids` leaves all others out. With the same evidence this
    is the task term of the reward. What has no evidence on a task has 0 there; of gates only on those of the
    runs that trained it, since a curriculum that it never met cannot tell whether it passes.
    """
    table = schema.evaluations
    task_keys = None if task_keys is None else set(task_keys)
    conditions = _conditions(table, task_keys, where)
    recorded = contenders.recorded_keys(connection, conditions)
    keys = sorted(recorded.union(task_keys or ()))
    counted = counted_weights(keys, weights)
    gated = sorted(recorded & gates(keys, weights))

    def rank(own: Sequence[ColumnElement[bool]]) -> dict[str, float]:
        of_them = _filters(connection, table, task_keys, where) if own else conditions
        query = _ranked(of_them, own, counted, gated, least_ok).limit(k)
        return {row.blueprint_id: float(row.performance) for row in connection.execute(query)}

    if ids is not None:
        return rank([table.c.blueprint_id.in_(list(ids))])
    shares = {key: weight / sum(counted.values()) for key, weight in counted.items()}
    return contenders.ranked(connection, k, shares, where.get("run_id"), rank)


def _ranked(
    conditions: Sequence[ColumnElement[bool]],
    own: Sequence[ColumnElement[bool]],
    counted: Mapping[str, float],
    gated: Sequence[str],
    least_ok: int,
) -> Select[tuple[str, float]]:
    """Select id and performance of the blueprints that fulfil `own`, best first."""
    met = [_meets(key, conditions) for key in gated]
    scores = _scores([*conditions, *own], met)
    weight = case(counted, value=scores.c.task_key) if counted else 1.0
    total = cast(sum(counted.values()) or 1.0, Float(53))
    performance = func.sum(weight * scores.c.mean) / total
    if gated:
        performance = performance * _share_passed(scores, gated)
    return (
        select(scores.c.blueprint_id)
        .group_by(scores.c.blueprint_id)
        .add_columns(performance.label("performance"))
        .having(func.sum(scores.c.num_ok) >= least_ok)
        .order_by(performance.desc(), func.max(scores.c.num_parameters), scores.c.blueprint_id)
    )


def _meets(gate: str, conditions: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    """Return whether a training is of a run that trained this gate; asked once, not training by training."""
    table, runs = schema.evaluations, schema.runs
    trained = exists().where(table.c.run_id == runs.c.id, table.c.task_key == gate, *conditions)
    return table.c.run_id.in_(select(runs.c.id).where(trained.correlate(runs)).correlate(None))


def _scores(conditions: Sequence[ColumnElement[bool]], met: Sequence[ColumnElement[bool]]) -> Subquery:
    """Select each blueprint's mean normalised score on each task, and the one that solves the task.

    `asked_0` and so on are 1 where a training behind it meets the first of `met`, and so on, else 0.
    """
    table, tasks = schema.evaluations, schema.tasks
    above = (table.c.score - tasks.c.chance) / (1.0 - tasks.c.chance)
    asked = [func.max(case((is_met, 1), else_=0)).label(f"asked_{i}") for i, is_met in enumerate(met)]
    return (
        select(
            table.c.blueprint_id,
            table.c.task_key,
            func.avg(case((above > 0.0, above), else_=0.0)).label("mean"),
            func.max((tasks.c.solved - tasks.c.chance) / (1.0 - tasks.c.chance)).label("solved"),
            func.max(table.c.num_parameters).label("num_parameters"),
            func.sum(case((table.c.status == "ok", 1), else_=0)).label("num_ok"),
            *asked,
        )
        .join_from(table, tasks, tasks.c.key == table.c.task_key)
        .where(*conditions)
        .group_by(table.c.blueprint_id, table.c.task_key)
        .subquery()
    )


def _share_passed(scores: Subquery, gated: Sequence[str]) -> ColumnElement[float]:
    """Return the least share of a blueprint's gates, 0 where it lacks one of those it is asked for.

    It is asked for those that were trained in the runs that trained it.
    """
    is_gate = scores.c.task_key.in_(gated)
    share = case((scores.c.mean >= scores.c.solved, 1.0), else_=scores.c.mean / scores.c.solved)
    num_met = func.sum(case((is_gate, 1), else_=0))
    num_asked = sum(
        (func.max(scores.c[f"asked_{i}"]) for i in range(1, len(gated))), func.max(scores.c.asked_0)
    )
    least = func.coalesce(func.min(case((is_gate, share))), 1.0)
    return case((num_met < num_asked, 0.0), else_=least)


def entries(
    connection: Connection, performances: Mapping[str, float], task_keys: Iterable[str] | None, where: Where
) -> list[Entry]:
    """Return the entries of the ids in `performances`, in its order, with their evidence."""
    ids = list(performances)
    table = schema.blueprints
    written = {
        row["id"]: rows.blueprint_record(row)
        for chunk in chunks(ids)
        for row in connection.execute(select(table).where(table.c.id.in_(chunk))).mappings()
    }
    rewards = _best_rewards(connection, ids, where.get("run_id"))
    names = task_names(connection)
    measured = latencies(connection, ids)
    evidence = defaultdict(list)
    for row in evaluations(connection, ids, task_keys, **where):
        evidence[row["blueprint_id"]].append(rows.evaluation_record(row, names[row["task_key"]]))
    found = []
    for rank, id_ in enumerate(ids, start=1):
        records = evidence[id_]
        predicted = [record.latency_us for record in records if record.latency_us is not None]
        found.append(
            Entry(
                rank=rank,
                id=id_,
                tokens=written[id_].tokens,
                language_version=written[id_].language_version,
                performance=performances[id_],
                reward=rewards.get(id_),
                num_parameters=max((record.num_parameters for record in records), default=None),
                flops=max((record.flops for record in records), default=None),
                latency_us=sum(predicted) / len(predicted) if predicted else None,
                tasks=tuple(rows.task_score(group) for _, group in groupby(records, lambda r: r.task_key)),
                num_evaluations=len(records),
                run_id=written[id_].run_id,
                generation=written[id_].generation,
                measured=tuple(measured.get(id_, ())),
            )
        )
    return found


def _best_rewards(connection: Connection, ids: Sequence[str], run_id: str | None) -> dict[str, float]:
    table = schema.candidates
    query = select(table.c.blueprint_id, func.max(table.c.reward)).group_by(table.c.blueprint_id)
    own = _filters(connection, table, None, {"run_id": run_id})
    return {
        id_: reward
        for chunk in chunks(ids)
        for id_, reward in connection.execute(query.where(table.c.blueprint_id.in_(chunk), *own))
    }


def _conditions(table: Table, task_keys: Iterable[str] | None, where: Where) -> list[ColumnElement[bool]]:
    conditions = [table.c[name] == value for name, value in where.items() if value is not None]
    return conditions if task_keys is None else [*conditions, table.c.task_key.in_(list(task_keys))]


def _filters(
    connection: Connection, table: Table, task_keys: Iterable[str] | None, where: Where
) -> list[ColumnElement[bool]]:
    """Return the conditions for where ids have chosen the rows already: no index of SQLite serves them.

    SQLite knows no shares of rows, and would read all of a run to find a thousand blueprints in it.
    PostgreSQL knows them, unless they are hidden: it then expects a row where there are thousands.
    """
    if connection.dialect.name != "sqlite":
        return _conditions(table, task_keys, where)
    hidden = {name: func.coalesce(table.c[name], "") for name in where}
    filters = [hidden[name] == value for name, value in where.items() if value is not None]
    if task_keys is None:
        return filters
    return [*filters, func.coalesce(table.c.task_key, "").in_(list(task_keys))]


def chunks(ids: Iterable[Any]) -> Iterator[Collection[Any]]:
    """Return `ids`, sorted, in portions that one statement can bind."""
    ordered = sorted(ids)
    return (ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK))
