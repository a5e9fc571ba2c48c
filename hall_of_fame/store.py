"""The ledger: what is written and read, a generation at a time; leaves selections to `queries.py`."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from sqlalchemy import ColumnElement, Connection, Engine, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite

from crucible.evaluation import Evaluation, MeasuredLatency, TaskResult
from hall_of_fame import audit, cataloguing, queries, rows, schema
from hall_of_fame.database import dump_json, open_database, reading, translated, writing
from hall_of_fame.errors import StoreError
from hall_of_fame.onlookers import Onlooker
from hall_of_fame.records import (
    BlueprintRecord,
    CandidateRecord,
    Counts,
    Entry,
    EvaluationRecord,
    GenerationRecord,
    RunRecord,
    Snapshot,
    TaskRecord,
)

#: Endings of the metrics that a repeated generation need not repeat.
TIMING_SUFFIXES = ("_s", "_per_s")
#: Comes after every hexadecimal digit, in the order of bytes and in people's.
_AFTER_DIGITS = "g"


class Store:
    """A ledger of runs, generations, candidates, blueprints and evaluations; rows are added, never changed.

    One transaction writes a generation, so it is there whole or not at all, whatever ended the process.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, path_or_url: str | Path, *, create: bool = False, onlooker: Onlooker | None = None) -> Self:
        """Open the ledger in a file or at a database URL; with `create` make it where there is none.

        An onlooker can write nothing, and is told of a query that takes too long with a `SlowQueryError`.
        """
        return cls(open_database(path_or_url, create=create, onlooker=onlooker))

    @property
    def name(self) -> str:
        """The file of an SQLite ledger, else its URL without the password."""
        url = self._engine.url
        return str(url.database) if url.drivername.startswith("sqlite") else url.render_as_string()

    @property
    def engine(self) -> Engine:
        """The database, for what reads and writes tables of its own."""
        return self._engine

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Writing

    def add_run(self, run: RunRecord) -> bool:
        """Record a run; return False, and change nothing, when its id is on record already."""
        with self.writing("record a run in") as connection:
            added = self._insert(connection, schema.runs, [asdict(run)])
            if added:
                audit.record(connection, "run", run_id=run.id, counts={"runs": added})
            return bool(added)

    def commit_generation(
        self,
        run_id: str,
        generation: int,
        *,
        stage: str,
        metrics: Mapping[str, Any],
        candidates: Sequence[CandidateRecord],
        blueprints: Iterable[Any] = (),
        evaluations: Iterable[Evaluation] = (),
        tasks: Sequence[TaskRecord] = (),
        checkpoint: str = "",
        max_fingerprints: int | None = None,
    ) -> bool:
        """Write everything that a generation brought, in one transaction, and return True.

        A generation that is on record already is compared, timings aside: equal, nothing happens and False is
        returned; different, a StoreError says so. The same holds for each training of an evaluation.

        Args:
            run_id: a recorded run.
            generation: one more than the last; the first may be any.
            stage: the curriculum's stage.
            metrics: its line of metrics.
            candidates: the whole batch.
            blueprints: those of the batch, anything with `id`, `tokens` and `language_version`; known ones
                are left as they are.
            evaluations: trainings done for this generation.
            tasks: the stage's tasks; every evaluation's task is among them.
            checkpoint: file name of the checkpoint that belongs to it.
            max_fingerprints: keep the fingerprints of so many blueprints, those with the highest mean scores;
                None keeps all. Only the first of a blueprint and task is kept: 8 KB for 256 probes of 16.
        """
        evaluations = list(evaluations)
        keys = {task.name: task.key for task in tasks}
        of = {"run_id": run_id, "generation": generation}
        row = {**of, "stage": stage, "metrics": dict(metrics), "checkpoint": checkpoint}
        written = {blueprint.id: blueprint for blueprint in blueprints}
        with self.writing(f"write generation {generation} to") as connection:
            last = queries.last_generation(connection, run_id)
            if last is not None and generation <= last:
                self._check_repeated(connection, run_id, generation, stage, metrics, candidates)
                return False
            audit.check_whole(connection, run_id)
            if last is not None and generation != last + 1:
                raise StoreError(
                    f"generation {generation} of run {run_id}",
                    expected=f"generation {last + 1}, the last on record being {last}",
                    mend="commit generations in their order",
                )
            added = {"tasks": self._insert(connection, schema.tasks, [asdict(task) for task in tasks])}
            connection.execute(schema.generations.insert(), [{**row, "task_keys": list(keys.values())}])
            added["blueprints"] = self._insert(
                connection,
                schema.blueprints,
                [
                    {"id": b.id, "tokens": " ".join(b.tokens), "language_version": b.language_version, **of}
                    for b in written.values()
                ],
            )
            added["candidates"] = self._insert(
                connection,
                schema.candidates,
                [rows.candidate_row(candidate, run_id, generation) for candidate in candidates],
            )
            added["evaluations"] = self._insert_evaluations(connection, of, evaluations, keys)
            prints = self._insert_fingerprints(connection, of, evaluations, keys, max_fingerprints)
            audit.record(connection, "generation", **of, counts={**added, "fingerprints": prints})
            brought = (written.values(), candidates, evaluations)
            due = cataloguing.add_generation(connection, **of, metrics=metrics, keys=keys, brought=brought)
        if due:
            cataloguing.judge_in_turns(self.writing)
        return True

    def add_latencies(self, run_id: str, generation: int, latencies: Mapping[str, MeasuredLatency]) -> None:
        """Write what was measured, by blueprint id; the first of a blueprint, device and width stays.

        Args:
            run_id: the run that measured.
            generation: the committed generation of that run after which it did.
            latencies: by the id of a blueprint on record.
        """
        of = {"run_id": run_id, "generation": generation}
        values = [{"blueprint_id": id_, **of, **asdict(latency)} for id_, latency in latencies.items()]
        if values:
            with self.writing("write latencies to") as connection:
                added = self._insert(connection, schema.latencies, values)
                if added:
                    audit.record(connection, "latencies", **of, counts={"latencies": added})

    def _check_repeated(
        self,
        connection: Connection,
        run_id: str,
        generation: int,
        stage: str,
        metrics: Mapping[str, Any],
        candidates: Sequence[CandidateRecord],
    ) -> None:
        """Refuse a generation that differs from the one on record under its number."""
        table = schema.generations
        query = select(table).where(table.c.run_id == run_id, table.c.generation == generation)
        found = connection.execute(query).mappings().one_or_none()
        programs = [(candidate.tokens, candidate.reward) for candidate in candidates]
        recorded = [(c.tokens, c.reward) for c in queries.candidates(connection, run_id, generation)]
        if (
            found is None
            or found["stage"] != stage
            or _untimed(found["metrics"]) != _untimed(json.loads(dump_json(dict(metrics))))
            or recorded != programs
        ):
            raise StoreError(
                f"another generation {generation} of run {run_id}",
                expected="the one on record, which stays",
                mend="go on after the last generation on record, or start a run of a new id",
            )

    def _insert_evaluations(
        self,
        connection: Connection,
        of: Mapping[str, Any],
        evaluations: Sequence[Evaluation],
        keys: Mapping[str, str],
    ) -> int:
        """Insert the trainings that are not on record for this run; refuse one with another outcome."""
        known = {
            _training(row): (row["status"], row["score"])
            for row in queries.evaluations(
                connection, {evaluation.blueprint_id for evaluation in evaluations}, run_id=of["run_id"]
            )
        }
        new = []
        for evaluation in evaluations:
            for row in rows.evaluation_rows(evaluation, keys):
                outcome = (row["status"], row["score"])
                if known.setdefault(_training(row), outcome) != outcome:
                    raise StoreError(
                        f"{outcome} of {row['blueprint_id'][:12]} on {row['task_key']}, seed {row['seed']}",
                        expected=f"{known[_training(row)]}, which is on record",
                        mend="a changed engine needs another engine_id, for one engine repeats its results",
                    )
                new.append({**row, **of})
        return self._insert(connection, schema.evaluations, new)

    def _insert_fingerprints(
        self,
        connection: Connection,
        of: Mapping[str, Any],
        evaluations: Sequence[Evaluation],
        keys: Mapping[str, str],
        limit: int | None,
    ) -> int:
        """Insert the first finite fingerprint of each blueprint and task, of the `limit` best blueprints."""

        def order(evaluation: Evaluation) -> tuple[float, str]:
            scores = [result.score for result in evaluation.results]
            return -sum(scores) / max(1, len(scores)), evaluation.blueprint_id

        firsts: dict[tuple[str, str, str], dict[str, Any]] = {}
        for evaluation in sorted(evaluations, key=order)[:limit]:
            for result in evaluation.results:
                if result.fingerprint is not None and np.isfinite(result.fingerprint).all():
                    key = (evaluation.blueprint_id, keys[result.task], evaluation.engine_id)
                    columns = dict(zip(("blueprint_id", "task_key", "engine_id"), key, strict=True))
                    packed = rows.pack_fingerprint(result.fingerprint)
                    firsts.setdefault(key, {**columns, **of, "seed": result.seed, **packed})
        return self._insert(connection, schema.fingerprints, list(firsts.values()))

    def _insert(self, connection: Connection, table: Table, values: Sequence[Mapping[str, Any]]) -> int:
        """Insert the rows whose key is not there yet; return how many those are."""
        if not values:
            return 0
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        statement = insert(table).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
        return connection.execute(statement, list(values)).rowcount

    def audit_trail(self, run_id: str | None = None) -> list[audit.AuditRecord]:
        """Return who wrote what and when, for one run or for all, oldest first."""
        with self.reading() as connection:
            return audit.records(connection, run_id)

    def unfinished(self) -> list[audit.AuditRecord]:
        """Return the imports and merges that have begun and not ended: what they bring is there in part."""
        with self.reading() as connection:
            return audit.unfinished(connection)

    # What a run needs to go on

    def run(self, run_id: str) -> RunRecord | None:
        """Return a run; None when it is not on record."""
        return next((run for run in self.runs() if run.id == run_id), None)

    def runs(self) -> list[RunRecord]:
        """Return every run, oldest first."""
        with self.reading() as connection:
            found = [rows.run_record(row) for row in connection.execute(select(schema.runs)).mappings()]
        return sorted(found, key=lambda run: (run.created, run.id))  # a server orders texts in its own way

    def last_generation(self, run_id: str) -> GenerationRecord | None:
        """Return the last committed generation of a run; None before the first."""
        found = self.generations(run_id, most=1)
        return found[0] if found else None

    def generations(
        self, run_id: str, *, most: int | None = None, after: int | None = None
    ) -> list[GenerationRecord]:
        """Return generations of a run in order, so many at most: the latest, or those next `after` one."""
        table, is_back = schema.generations, after is None
        order = table.c.generation.desc() if is_back else table.c.generation
        query = select(table).where(table.c.run_id == run_id).order_by(order).limit(most)
        if after is not None:
            query = query.where(table.c.generation > after)
        with self.reading() as connection:
            found = [rows.generation_record(row) for row in connection.execute(query).mappings()]
        return found[::-1] if is_back else found

    def metrics(self, run_id: str) -> list[dict[str, Any]]:
        """Return the line of metrics of every committed generation, in their order."""
        return [dict(record.metrics) for record in self.generations(run_id)]

    def candidates(self, run_id: str, generation: int) -> list[CandidateRecord]:
        """Return the batch of a generation in its order."""
        with self.reading() as connection:
            return queries.candidates(connection, run_id, generation)

    def known_results(
        self,
        ids: Iterable[str],
        engine_id: str,
        task_keys: Iterable[str],
        *,
        run_id: str | None = None,
        with_fingerprints: bool = False,
    ) -> dict[str, list[TaskResult]]:
        """Return the trainings on record of each of `ids` that has any, by task key and seed.

        Args:
            ids: blueprint ids.
            engine_id: only results of this engine build.
            task_keys: only results under these tasks and knobs.
            run_id: only what this run paid for, which makes a run repeatable in a database that others write.
            with_fingerprints: give each result its fingerprint, where one is kept.
        """
        ids, task_keys = set(ids), set(task_keys)
        known: dict[str, dict[tuple[str, int], TaskResult]] = defaultdict(dict)
        with self.reading() as connection:
            prints = (
                queries.fingerprints(connection, ids, task_keys, engine_id=engine_id, run_id=run_id)
                if with_fingerprints
                else {}
            )
            names = queries.task_names(connection)
            for row in queries.evaluations(connection, ids, task_keys, engine_id=engine_id, run_id=run_id):
                found = prints.get((row["blueprint_id"], row["task_key"]))
                array = found[1] if found and found[0] == row["seed"] else None
                result = rows.task_result(row, names[row["task_key"]], array)
                known[row["blueprint_id"]].setdefault((row["task_key"], row["seed"]), result)
        return {id_: list(results.values()) for id_, results in known.items()}

    # The hall of fame, a view of the ledger

    def top(
        self,
        k: int,
        *,
        task_keys: Iterable[str] | None = None,
        run_id: str | None = None,
        engine_id: str | None = None,
        weights: Mapping[str, float] | None = None,
        ids: Collection[str] | None = None,
    ) -> list[Entry]:
        """Return the `k` best blueprints, unique by isomorphism, that were trained well at least once.

        Args:
            k: how many at most.
            task_keys: rank by these tasks; None takes every task with evidence.
            run_id: only evidence of this run.
            engine_id: only evidence of this engine build.
            weights: of the tasks in the performance, by key, 1 where there is none, 0 of a gate; None takes
                what the latest run gave them.
            ids: only these blueprints.
        """
        with self.reading() as connection:
            where = {"run_id": run_id, "engine_id": engine_id}
            weights = queries.weights(connection, run_id) if weights is None else weights
            return queries.top(connection, k, task_keys, where, weights, ids)

    def snapshot(
        self,
        k: int,
        task_keys: Iterable[str],
        *,
        run_id: str | None = None,
        engine_id: str | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> Snapshot:
        """Return `top` with the fingerprints of its entries on each task, read in one transaction."""
        task_keys = list(task_keys)
        of = {"run_id": run_id, "engine_id": engine_id}
        with self.reading() as connection:
            weights = queries.weights(connection, run_id) if weights is None else weights
            entries = queries.top(connection, k, task_keys, of, weights)
            prints = queries.fingerprints(connection, {entry.id for entry in entries}, set(task_keys), **of)
            names = queries.task_names(connection)
        arrays: dict[str, dict[str, np.ndarray]] = {names[key]: {} for key in task_keys if key in names}
        for entry in entries:
            for key in task_keys:
                if (entry.id, key) in prints:
                    arrays[names[key]][entry.id] = prints[entry.id, key][1]
        return Snapshot(entries=tuple(entries), fingerprints=arrays)

    def entry(self, blueprint_id: str) -> Entry | None:
        """Return one blueprint with all its evidence, good or bad; None when it is not on record."""
        with self.reading() as connection:
            if not connection.scalar(
                select(schema.blueprints.c.id).where(schema.blueprints.c.id == blueprint_id)
            ):
                return None
            weights = queries.weights(connection, None)
            ranked = queries.ranking(connection, 1, None, {}, weights, least_ok=0, ids=[blueprint_id])
            [entry] = queries.entries(connection, ranked or {blueprint_id: 0.0}, None, {})
            return replace(entry, rank=0)

    def evaluations(self, blueprint_id: str | None = None) -> list[EvaluationRecord]:
        """Return every training of a blueprint, or of all, with its provenance, by id, task key and seed."""
        with self.reading() as connection:
            names = queries.task_names(connection)
            ids = (
                connection.scalars(select(schema.blueprints.c.id)) if blueprint_id is None else {blueprint_id}
            )
            found = queries.evaluations(connection, ids)
            return [rows.evaluation_record(row, names[row["task_key"]]) for row in found]

    def ids(self, prefix: str = "", *, limit: int | None = None) -> list[str]:
        """Return the ids that begin with `prefix`, sorted, at most `limit`."""
        column = schema.blueprints.c.id
        # Ids are hexadecimal: an index finds what lies between the beginning and its last sequel.
        query = select(column).where(column.startswith(prefix, autoescape=True)).order_by(column).limit(limit)
        if prefix:
            query = query.where(column >= prefix, column < prefix + _AFTER_DIGITS)
        with self.reading() as connection:
            return list(connection.scalars(query))

    def near_ids(self, text: str, *, num: int = 2) -> list[str]:
        """Return the `num` ids just before and the `num` just after `text` in sorted order."""
        column = schema.blueprints.c.id
        with self.reading() as connection:
            before = connection.scalars(
                select(column).where(column < text).order_by(column.desc()).limit(num)
            )
            after = connection.scalars(select(column).where(column >= text).order_by(column).limit(num))
            return [*reversed(list(before)), *after]

    def blueprint(self, blueprint_id: str) -> BlueprintRecord | None:
        """Return a blueprint as it was first written; None when it is not on record."""
        query = select(schema.blueprints).where(schema.blueprints.c.id == blueprint_id)
        with self.reading() as connection:
            row = connection.execute(query).mappings().one_or_none()
            return None if row is None else rows.blueprint_record(row)

    def tasks(self) -> list[TaskRecord]:
        """Return every task on record, by key."""
        with self.reading() as connection:
            found = [TaskRecord(**row) for row in connection.execute(select(schema.tasks)).mappings()]
        return sorted(found, key=lambda task: task.key)

    def stages(self) -> dict[str, tuple[str, ...]]:
        """Return the keys of each stage's tasks, stages in the order of their names."""
        table = schema.generations
        keys: dict[str, set[str]] = defaultdict(set)
        with self.reading() as connection:
            for stage, task_keys in connection.execute(select(table.c.stage, table.c.task_keys)):
                keys[stage].update(task_keys)
        return {stage: tuple(sorted(keys[stage])) for stage in sorted(keys)}

    def counts(self, run_id: str | None = None) -> Counts:
        """Return how many rows there are, of one run or of all."""
        with self.reading() as connection:

            def count(table: Table, column: str, *where: ColumnElement[bool]) -> int:
                own = () if run_id is None else (table.c[column] == run_id,)
                return connection.scalar(select(func.count()).select_from(table).where(*own, *where)) or 0

            return Counts(
                runs=count(schema.runs, "id"),
                generations=count(schema.generations, "run_id"),
                candidates=count(schema.candidates, "run_id"),
                blueprints=count(schema.blueprints, "run_id"),
                evaluations=count(schema.evaluations, "run_id"),
                ok=count(schema.evaluations, "run_id", schema.evaluations.c.status == "ok"),
            )

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that reads one moment of the ledger; what fails is a StoreError."""
        with translated("read", self._engine.url), reading(self._engine) as connection:
            yield connection

    @contextmanager
    def writing(self, action: str) -> Iterator[Connection]:
        """Give a connection whose block is one transaction; a failure is a StoreError that names `action`."""
        with translated(action, self._engine.url), writing(self._engine) as connection:
            yield connection


def _untimed(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if not name.endswith(TIMING_SUFFIXES)}


def _training(row: Mapping[str, Any]) -> tuple[str, str, int, str]:
    return row["blueprint_id"], row["task_key"], row["seed"], row["engine_id"]
