"""Keeps the catalogue true to the ledger, in the transaction that changes the ledger; answers no question.

A row says of one blueprint what pages list, filter and sort by. Whatever changes that calls a function of
this file before it commits: a generation, a proof, rows of other libraries, an upgrade. `rebuild` makes the
same rows from nothing.

A performance depends on more than a blueprint's own trainings: on which tasks the library knows, what they
weigh and which of them are gates (see `weighing.py`). When a generation changes that, as a new stage does,
all rows are judged anew after its transaction, some at a time, so that others may write in between
(`catch_up`); until then those not reached yet say what held before. How far that has come is on record, and
whoever commits next goes on where a killed process stopped.
"""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from blueprints import LANGUAGE, Blueprint
from blueprints.graph import Graph
from crucible.evaluation import Evaluation
from hall_of_fame import queries, schema
from hall_of_fame.records import CandidateRecord
from hall_of_fame.views import shape_of, shape_of_graph
from hall_of_fame.weighing import Weighing, finite, gather_tasks, note_tasks, upsert, weight_of

#: What stands for a number that is not known, so that it comes last of the least costs and the best rewards.
UNKNOWN_COUNT, UNKNOWN_COST, UNKNOWN_REWARD = 2**62, math.inf, -math.inf
#: What is listed first; a standing is twice this and the score, so that no score leaves its class.
CLASSES = MappingProxyType({"refused": 0, "candidate": 1, "entrant": 2})
#: Columns by whose values rows are counted, and what those counts are called.
COUNTED = MappingProxyType({"family": "family", "status": "status", "stage": "stage", "run_id": "run"})
#: Bands of a cost in a cell, two an octave; the last one is of costs that are not known.
BANDS = 64
#: Costs of the first band end here: a parameter, and so many microseconds.
_FIRST_PARAMETERS, _FIRST_LATENCY_US = 1.0, 0.125

_VOCABULARY = frozenset(LANGUAGE.tokens)

Row = Mapping[Any, Any]
_ROWS_AT_ONCE = 500
#: Rows that are judged anew in one transaction, and those of a run that its own transaction may take on.
_A_TURN, _FEW = 3000, 2000
#: Seconds between two such on SQLite, whose waiting writers form no queue but look each tenth of a second.
PAUSE_S = 0.15
#: One of the counts is the number of the last row that is to be judged anew; rows are from the last.
_STALE = schema.catalogue_counts


def add_generation(
    connection: Connection,
    run_id: str,
    generation: int,
    *,
    metrics: Mapping[str, Any],
    keys: Mapping[str, str],
    brought: tuple[Iterable[Any], Sequence[CandidateRecord], Sequence[Evaluation]],
) -> bool:
    """Bring up to date what a generation changed that was just written; return whether others are due.

    They are then to be judged anew after the transaction, by `judge_in_turns`.

    Args:
        connection: that of the transaction.
        run_id: its run.
        generation: its number.
        metrics: its line of metrics, which says what tasks weigh.
        keys: of the stage's tasks, by name.
        brought: its blueprints, candidates and trainings. Blueprints with their graph need no parsing.
    """
    blueprints, candidates, evaluations = brought
    graphs = {b.id: b.graph if isinstance(b, Blueprint) else None for b in blueprints}
    ids = {*graphs, *(evaluation.blueprint_id for evaluation in evaluations)}
    ids.update(candidate.blueprint_id for candidate in candidates if candidate.blueprint_id)
    trained = {result.task for evaluation in evaluations for result in evaluation.results}
    before = Weighing.of(connection)
    rows = [
        {
            "run_id": run_id,
            "task_key": key,
            "generation": generation,
            "weight": weight_of(metrics, name),
            "is_trained": name in trained,
        }
        for name, key in keys.items()
    ]
    note_tasks(connection, rows)
    after = Weighing.of(connection)
    if not after.weighs_like(before):
        _mark_stale(connection)
    elif after.trained != before.trained:
        own = _ids_of_run(connection, run_id, limit=_FEW + 1)
        if len(own) > _FEW:
            _mark_stale(connection)
        else:
            ids.update(own)
    _refresh(connection, sorted(ids), after, graphs=graphs)
    return bool(_num_due(connection))


def judge_in_turns(writing: Callable[[str], AbstractContextManager[Connection]]) -> None:
    """Judge anew all rows that are due, some a transaction, leaving others the time to write in between.

    Args:
        writing: gives the connection of a transaction, whose failure names what was done.
    """
    more = True
    while more:
        with writing("bring up to date the catalogue of") as connection:
            more = catch_up(connection)
        time.sleep(PAUSE_S if connection.dialect.name == "sqlite" else 0.0)


def catch_up(connection: Connection) -> bool:
    """Judge some rows anew that a change of what tasks weigh concerns; return whether there are more."""
    table = schema.catalogue
    left = _num_due(connection)
    if not left:
        return False
    names = ("number", "blueprint_id", "performance", "proof_mean", "status")
    query = select(*(table.c[name] for name in names)).where(table.c.number <= left)
    rows = connection.execute(query.order_by(table.c.number.desc()).limit(_A_TURN)).mappings().all()
    weighing = Weighing.of(connection)
    changed = []
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        chunk = rows[start : start + _ROWS_AT_ONCE]
        trainings = _trainings(connection, [row["blueprint_id"] for row in chunk])
        for row in chunk:
            performance = weighing.performance(trainings[row["blueprint_id"]])
            if performance != row["performance"]:
                proved = None if row["proof_mean"] is None else (row["status"], row["proof_mean"])
                judged = {"performance": performance, **_stand(performance, proved)}
                changed.append({"at": row["number"], **judged})
    if changed:
        connection.execute(table.update().where(table.c.number == bindparam("at")), changed)
    left = rows[-1]["number"] - 1 if len(rows) == _A_TURN else 0
    connection.execute(_STALE.update().where(_STALE.c.kind == "stale").values(num=left))
    return left > 0


def _num_due(connection: Connection) -> int:
    return connection.scalar(select(_STALE.c.num).where(_STALE.c.kind == "stale")) or 0


def _mark_stale(connection: Connection) -> None:
    """Record that all rows there are have to be judged anew."""
    last = connection.scalar(select(func.max(schema.catalogue.c.number)))
    upsert(connection, _STALE, [{"kind": "stale", "name": "", "num": last or 0}], ("num",))


def add_proof(connection: Connection, blueprint_id: str, supersedes: Iterable[str]) -> None:
    """Bring up to date whose status a proof changed that was just written."""
    ids = {blueprint_id, *supersedes}
    _refresh(connection, sorted(ids), Weighing.of(connection), standings=_standings(connection))


def absorb(connection: Connection, ids: Iterable[str]) -> None:
    """Bring up to date what rows of other libraries changed; `ids` are the blueprints that they are about."""
    refresh(connection, sorted(set(ids)) if gather(connection) else all_ids(connection))


def gather(connection: Connection) -> bool:
    """Read anew what runs say of their tasks; return whether each performance on record stays what it was."""
    before = Weighing.of(connection)
    gather_tasks(connection)
    after = Weighing.of(connection)
    return after.weighs_like(before) and after.trained == before.trained


def refresh(connection: Connection, ids: Iterable[str]) -> None:
    """Make the rows of these blueprints what the ledger says."""
    _refresh(connection, ids, Weighing.of(connection), standings=_standings(connection))


def rebuild(connection: Connection) -> None:
    """Make the whole catalogue from the ledger."""
    for table in (
        schema.catalogue,
        schema.catalogue_counts,
        schema.catalogue_lineage,
        schema.catalogue_tasks,
    ):
        connection.execute(table.delete())
    gather_tasks(connection)
    refresh(connection, all_ids(connection))


def cell_of(num_parameters: int | None, latency_us: float | None) -> int:
    """Return the cell of costs: all that lie in it are less than a factor of 1.5 apart."""
    return BANDS * _band(num_parameters, _FIRST_PARAMETERS) + _band(latency_us, _FIRST_LATENCY_US)


def cheapest_of(cell: int) -> tuple[float, float]:
    """Return parameters and latency in microseconds that no row of a cell is below."""
    parameters, latency_us = divmod(cell, BANDS)
    return _cheapest(parameters, _FIRST_PARAMETERS), _cheapest(latency_us, _FIRST_LATENCY_US)


def _cheapest(band: int, first: float) -> float:
    """Return what costs of a band are not below; a little less, since bands are told by logarithms."""
    return 0.0 if not band else first * 2.0 ** ((band - 1) / 2) * (1.0 - 1e-9)


def _band(cost: float | None, first: float) -> int:
    if cost is None or not cost < math.inf:
        return BANDS - 1
    return 0 if cost <= first else min(BANDS - 2, math.ceil(2 * (math.log2(cost) - math.log2(first))))


# Rows


def _refresh(
    connection: Connection,
    ids: Iterable[str],
    weighing: Weighing,
    *,
    standings: Mapping[str, tuple[str, float]] | None = None,
    graphs: Mapping[str, Graph | None] = MappingProxyType({}),
) -> None:
    """Make the rows of `ids` what the ledger says; without `standings` they keep their status and proof."""
    ids = list(ids)
    num: Counter[tuple[str, str]] = Counter()
    for start in range(0, len(ids), _ROWS_AT_ONCE):
        chunk = ids[start : start + _ROWS_AT_ONCE]
        known = _rows_on_record(connection, chunk)
        rows = _rows(connection, chunk, weighing)
        new, changed = [], []
        for id_, row in rows.items():
            old = known.get(id_)
            proved = (standings or {}).get(id_)
            if standings is None and old is not None:
                proved = None if old["proof_mean"] is None else (old["status"], old["proof_mean"])
            row |= _stand(row["performance"], proved)
            if old is None:
                row |= _shape(row["tokens"], graphs.get(id_))
                new.append(row)
            elif any(old[name] != value for name, value in row.items()):
                changed.append({**old, **row})
        _count(num, new, 1)
        _count(num, changed, 1)
        _count(num, [known[row["blueprint_id"]] for row in changed], -1)
        _write(connection, new, changed)
        _note_parents(connection, [row["blueprint_id"] for row in new] if standings is None else chunk)
    _add_counts(connection, num)


def _rows_on_record(connection: Connection, ids: Sequence[str]) -> dict[str, Row]:
    table = schema.catalogue
    found = connection.execute(select(table).where(table.c.blueprint_id.in_(ids))).mappings()
    return {row["blueprint_id"]: row for row in found}


def _rows(connection: Connection, ids: Sequence[str], weighing: Weighing) -> dict[str, dict[str, Any]]:
    """Return what the ledger says of each of `ids`, by id and in their order; without status and shape."""
    blueprints, generations, candidates = schema.blueprints.c, schema.generations.c, schema.candidates.c
    reward = (
        select(func.max(candidates.reward)).where(candidates.blueprint_id == blueprints.id).scalar_subquery()
    )
    query = (
        select(blueprints.id, blueprints.tokens, blueprints.run_id, blueprints.generation)
        .add_columns(generations.stage, reward.label("reward"))
        .join_from(
            schema.blueprints,
            schema.generations,
            (generations.run_id == blueprints.run_id) & (generations.generation == blueprints.generation),
        )
        .where(blueprints.id.in_(ids))
    )
    found = {row["id"]: row for row in connection.execute(query).mappings()}
    strategies = _strategies(connection, {row["run_id"] for row in found.values()})
    trainings = _trainings(connection, ids)
    return {
        row["id"]: {
            "blueprint_id": row["id"],
            "tokens": row["tokens"],
            "run_id": row["run_id"],
            "generation": row["generation"],
            "stage": row["stage"],
            "strategy": strategies[row["run_id"]],
            "reward": UNKNOWN_REWARD if row["reward"] is None else finite(row["reward"], UNKNOWN_REWARD),
            **_costs(trainings[row["id"]]),
            "num_evaluations": len(trainings[row["id"]]),
            "performance": weighing.performance(trainings[row["id"]]),
        }
        for row in (found[id_] for id_ in ids if id_ in found)
    }


def _strategies(connection: Connection, run_ids: Iterable[str]) -> dict[str, str]:
    """Return the strategy of each run; nothing where its configuration does not say."""
    runs = schema.runs.c
    found = connection.execute(select(runs.id, runs.config).where(runs.id.in_(list(run_ids))))
    return {
        id_: str(config.get("strategy", "")) if isinstance(config, Mapping) else "" for id_, config in found
    }


def _trainings(connection: Connection, ids: Sequence[str]) -> Mapping[str, list[Row]]:
    """Return the trainings of each of `ids`, in the order in which they came."""
    table = schema.evaluations.c
    names = ("id", "blueprint_id", "task_key", "run_id", "score", "num_parameters", "flops", "latency_us")
    query = select(*(table[name] for name in names)).where(table.blueprint_id.in_(ids))
    found: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(connection.execute(query).mappings(), key=lambda row: row["id"]):
        found[row["blueprint_id"]].append(row)
    return found


def _costs(trainings: Sequence[Row]) -> dict[str, Any]:
    """Return the costs of a blueprint as an `Entry` has them."""
    predicted = [row["latency_us"] for row in trainings if row["latency_us"] is not None]
    latency_us = finite(sum(predicted) / len(predicted), UNKNOWN_COST) if predicted else UNKNOWN_COST
    num_parameters = max((row["num_parameters"] for row in trainings), default=None)
    return {
        "num_parameters": UNKNOWN_COUNT if num_parameters is None else num_parameters,
        "flops": max((row["flops"] for row in trainings), default=UNKNOWN_COUNT),
        "latency_us": latency_us,
        "cell": cell_of(num_parameters, latency_us),
    }


def _stand(performance: float, proved: tuple[str, float] | None) -> dict[str, Any]:
    status, proof_mean = ("candidate", None) if proved is None else proved
    score = performance if proof_mean is None else proof_mean
    standing = 2.0 * CLASSES[status] + min(1.0, max(0.0, score))
    return {"status": status, "proof_mean": proof_mean, "score": score, "standing": standing}


def _shape(text: str, graph: Graph | None) -> dict[str, Any]:
    """Return family, length and depth; of a graph at hand only where a rebuild could read it as well."""
    tokens = tuple(text.split())
    if graph is None or not _VOCABULARY.issuperset(tokens):
        family, depth = shape_of(tokens)
    else:
        family, depth = shape_of_graph(graph)
    return {"family": family, "length": len(tokens), "depth": depth}


def _write(connection: Connection, new: Sequence[Row], changed: Sequence[Row]) -> None:
    table = schema.catalogue
    if new:
        connection.execute(table.insert(), list(new))
    if changed:
        statement = table.update().where(table.c.number == bindparam("at"))
        values = [{("at" if name == "number" else name): row[name] for name in row} for row in changed]
        connection.execute(statement, values)


def _note_parents(connection: Connection, ids: Sequence[str]) -> None:
    """Write what blueprints were made from, as the candidate says that first brought each."""
    blueprints, candidates = schema.blueprints.c, schema.candidates.c
    first = queries.is_first(connection)
    query = select(blueprints.id, candidates.position, candidates.parents)
    query = query.join_from(schema.blueprints, schema.candidates, first).where(blueprints.id.in_(ids))
    parents: dict[str, tuple[str, ...]] = {}
    for id_, _, text in sorted(map(tuple, connection.execute(query))):
        parents.setdefault(id_, tuple(text.split()))
    rows = [
        {"parent_id": parent, "child_id": id_}
        for id_, found in parents.items()
        for parent in sorted(set(found) - {id_})
    ]
    upsert(connection, schema.catalogue_lineage, rows, ())


# Status


def _standings(connection: Connection) -> dict[str, tuple[str, float]]:
    """Return status and mean of the newest proof of every proved blueprint, as `proofs.standings` says."""
    table = schema.proofs.c
    query = select(table.blueprint_id, table.verdict, table.mean, table.supersedes)
    stand: dict[str, tuple[str, float]] = {}
    for id_, verdict, mean, supersedes in connection.execute(
        query.order_by(table.created, table.blueprint_id, table.protocol)
    ):
        stand[id_] = ("entrant" if verdict == "entered" else "refused", finite(mean, 0.0))
        for left in supersedes.split() if verdict == "entered" else ():
            if left in stand:
                stand[left] = ("refused", stand[left][1])
    return stand


# Counts


def _count(num: Counter[tuple[str, str]], rows: Iterable[Row], step: int) -> None:
    for row in rows:
        num["all", ""] += step
        for column, kind in COUNTED.items():
            num[kind, row[column]] += step


def _add_counts(connection: Connection, num: Mapping[tuple[str, str], int]) -> None:
    table = schema.catalogue_counts
    known = {(row.kind, row.name): row.num for row in connection.execute(select(table))}
    rows = [
        {"kind": kind, "name": name, "num": known.get((kind, name), 0) + step}
        for (kind, name), step in num.items()
        if step
    ]
    upsert(connection, table, rows, ("num",))


def all_ids(connection: Connection) -> list[str]:
    """Return every id in the order in which generations brought them."""
    table, runs = schema.blueprints.c, schema.runs
    query = select(table.id).join_from(schema.blueprints, runs, runs.c.id == table.run_id)
    return list(connection.scalars(query.order_by(runs.c.created, table.run_id, table.generation, table.id)))


def _ids_of_run(connection: Connection, run_id: str, limit: int) -> list[str]:
    table = schema.evaluations.c
    query = select(table.blueprint_id).distinct().where(table.run_id == run_id).limit(limit)
    return list(connection.scalars(query))
