"""Proofs and lineage: what is written and read of them, and who is an entrant; trains and judges nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, func, select

from crucible.evaluation import TaskResult
from hall_of_fame import audit, cataloguing, queries, rows, schema
from hall_of_fame.records import Lineage, Proof, Selected, Standing, TaskProof, TaskRecord
from hall_of_fame.store import Store

_TRAINING_COLUMNS = ("seed", "status", "reason", "score", "validation_score", "num_steps", "loss_last")


class ProofBook:
    """The proofs of a ledger: rows are added, never changed, and the search's evidence knows nothing of them.

    Their trainings have a table of their own, so that no statistic of a search counts them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self,
        proof: Proof,
        trainings: Mapping[str, Sequence[TaskResult]],
        tasks: Sequence[TaskRecord],
        fingerprint: np.ndarray | None = None,
        *,
        seen: int | None = None,
    ) -> bool:
        """Write a proof with its trainings in one transaction, and return whether it was.

        Nothing is written, and False returned, where this blueprint has a proof under this protocol, or where
        others were added since there were `seen` proofs: its verdict may then be another.

        Args:
            proof: of a blueprint, and after a generation, on record.
            trainings: by the key of their task; a key names a learning rate too.
            tasks: the tasks of those keys.
            fingerprint: `[probes, D]`, on the last task of the search; left out where not finite.
            seen: how many proofs the verdict took into account; None for however many there are.
        """
        of = {"blueprint_id": proof.blueprint_id, "protocol": proof.protocol}
        with self._store.writing(f"write a proof of {proof.blueprint_id[:12]} to") as connection:
            table = schema.proofs
            num = connection.scalar(select(func.count()).select_from(table))
            known = [table.c[name] == value for name, value in of.items()]
            if (seen is not None and num != seen) or connection.scalar(select(table.c.run_id).where(*known)):
                return False
            on_record = set(connection.scalars(select(schema.tasks.c.key)))
            new = {task.key: asdict(task) for task in tasks if task.key not in on_record}
            connection.execute(table.insert(), [_proof_row(proof, fingerprint)])
            results = [{**of, **row} for row in _training_rows(trainings)]
            for into, values in ((schema.tasks, list(new.values())), (schema.proof_trainings, results)):
                if values:
                    connection.execute(into.insert(), values)
            cataloguing.add_proof(connection, proof.blueprint_id, proof.supersedes)
            after = {"run_id": proof.run_id, "generation": proof.generation}
            counts = {"proofs": 1, "tasks": len(new), "proof_trainings": len(results)}
            audit.record(
                connection, "proof", **after, counts=counts, note=f"{proof.blueprint_id[:12]} {proof.verdict}"
            )
        return True

    def proofs(self) -> list[Proof]:
        """Return every proof, oldest first."""
        with self._store.reading() as connection:
            return proofs(connection)

    def newest(self, ids: Iterable[str]) -> dict[str, Proof]:
        """Return the newest proof of each of these blueprints that has one, by id."""
        is_asked = schema.proofs.c.blueprint_id.in_
        with self._store.reading() as connection:
            found = (
                _proof(row)
                for chunk in queries.chunks(ids)
                for row in connection.execute(_oldest_first().where(is_asked(chunk))).mappings()
            )
            return {proof.blueprint_id: proof for proof in found}

    def standings(self) -> dict[str, Standing]:
        """Return where every blueprint that was proved stands, by id."""
        return standings(self.proofs())

    def fingerprints(self, found: Iterable[Proof]) -> dict[str, np.ndarray]:
        """Return the `[probes, D]` fingerprint of each of these proofs that has one, by blueprint."""
        table = schema.proofs
        wanted = {proof.blueprint_id: proof.protocol for proof in found}
        query = select(table).where(table.c.data.is_not(None))
        with self._store.reading() as connection:
            return {
                row["blueprint_id"]: rows.unpack_fingerprint(row)
                for chunk in queries.chunks(wanted)
                for row in connection.execute(query.where(table.c.blueprint_id.in_(chunk))).mappings()
                if wanted[row["blueprint_id"]] == row["protocol"]
            }

    def num_trainings(self, run_id: str) -> int:
        """Return how many trainings the proofs of a run's candidates took."""
        table, own = schema.proofs, schema.proof_trainings
        same = (own.c.blueprint_id == table.c.blueprint_id) & (own.c.protocol == table.c.protocol)
        query = select(func.count()).select_from(own.join(table, same)).where(table.c.run_id == run_id)
        with self._store.reading() as connection:
            return connection.scalar(query) or 0

    def trainings(self, proof: Proof) -> dict[str, list[TaskResult]]:
        """Return the trainings of a proof by task key, each in the order of its seeds."""
        table = schema.proof_trainings
        own = (table.c.blueprint_id == proof.blueprint_id, table.c.protocol == proof.protocol)
        found: dict[str, list[TaskResult]] = {}
        with self._store.reading() as connection:
            names = queries.task_names(connection)
            query = select(table).where(*own).order_by(table.c.task_key, table.c.seed)
            for row in connection.execute(query).mappings():
                values = {name: row[name] for name in _TRAINING_COLUMNS}
                loss = float("nan") if row["loss_last"] is None else row["loss_last"]
                result = TaskResult(task=names[row["task_key"]], **{**values, "loss_last": loss})
                found.setdefault(row["task_key"], []).append(result)
        return found

    def selected(self, run_id: str, task_keys: Sequence[str], protocol: str) -> list[Selected]:
        """Return the blueprints that a run judged on exactly these tasks, best reward there first.

        Ties go to the id; what no training went well of is left out.
        """
        with self._store.reading() as connection:
            return _selected(connection, run_id, task_keys, protocol)

    def lineages(self, ids: Iterable[str]) -> dict[str, Lineage]:
        """Return, for each of `ids`, the strategy that first brought it and what it made it from."""
        with self._store.reading() as connection:
            return _lineages(connection, ids)


def proofs(connection: Connection) -> list[Proof]:
    """Return every proof, oldest first, on an open connection."""
    return [_proof(row) for row in connection.execute(_oldest_first()).mappings()]


def _oldest_first() -> Select[Any]:
    table = schema.proofs
    query = select(*(table.c[entry.name] for entry in fields(Proof)))
    return query.order_by(table.c.created, table.c.blueprint_id, table.c.protocol)


def standings(found: Iterable[Proof]) -> dict[str, Standing]:
    """Return where each blueprint that was proved stands, by its newest proof; `found` is oldest first."""
    stand: dict[str, Standing] = {}
    for proof in found:
        status = "entrant" if proof.verdict == "entered" else "refused"
        stand[proof.blueprint_id] = Standing(status=status, reason=proof.reason, proof=proof)
        for left in proof.supersedes if proof.verdict == "entered" else ():
            reason = f"superseded by {proof.blueprint_id[:12]}, which does the same and better"
            stand[left] = Standing(status="refused", reason=reason, proof=stand[left].proof)
    return stand


def _proof_row(proof: Proof, fingerprint: np.ndarray | None) -> dict[str, Any]:
    packed = {}
    if fingerprint is not None and np.isfinite(fingerprint).all():
        packed = rows.pack_fingerprint(fingerprint)
    texts = {"supersedes": " ".join(proof.supersedes), "shrinkage": proof.shrinkage}
    return {"num_probes": None, "scale": None, "data": None, **asdict(proof), **texts, **packed}


def _proof(row: rows.Row) -> Proof:
    supersedes = tuple(row["supersedes"].split())
    tasks = tuple(TaskProof(**{**task, "traits": tuple(task.get("traits", ()))}) for task in row["tasks"])
    return Proof(**{**row, "supersedes": supersedes, "tasks": tasks})


def _training_rows(trainings: Mapping[str, Sequence[TaskResult]]) -> Iterator[dict[str, Any]]:
    for key, results in trainings.items():
        for result in results:
            loss = None if np.isnan(result.loss_last) else result.loss_last
            values = {name: getattr(result, name) for name in _TRAINING_COLUMNS}
            yield {"task_key": key, **values, "loss_last": loss}


def _selected(connection: Connection, run_id: str, task_keys: Sequence[str], protocol: str) -> list[Selected]:
    table, generations = schema.candidates, schema.generations
    query = select(generations.c.generation, generations.c.task_keys).where(generations.c.run_id == run_id)
    judged = [number for number, keys in connection.execute(query) if sorted(keys) == sorted(task_keys)]
    best: dict[str, float] = {}
    of_run = select(table.c.blueprint_id, func.max(table.c.reward)).where(
        table.c.run_id == run_id, table.c.status == "ok", table.c.blueprint_id.is_not(None)
    )
    for chunk in queries.chunks(judged):
        of_chunk = of_run.where(table.c.generation.in_(chunk)).group_by(table.c.blueprint_id)
        for id_, reward in connection.execute(of_chunk):
            best[id_] = max(reward, best.get(id_, reward))
    own = schema.proofs
    proved = set(connection.scalars(select(own.c.blueprint_id).where(own.c.protocol == protocol)))
    return [
        Selected(blueprint_id=id_, rank=rank, reward=best[id_], is_proved=id_ in proved)
        for rank, id_ in enumerate(sorted(best, key=lambda id_: (-best[id_], id_)), start=1)
    ]


def _lineages(connection: Connection, ids: Iterable[str]) -> dict[str, Lineage]:
    blueprints, candidates, runs = schema.blueprints, schema.candidates, schema.runs
    strategies = {
        row.id: str(row.config.get("strategy", ""))
        for row in connection.execute(select(runs.c.id, runs.c.config))
    }
    query = (
        select(blueprints.c.id, blueprints.c.run_id, candidates.c.parents)
        .join_from(blueprints, candidates, queries.is_first(connection))
        .order_by(candidates.c.position)
    )
    found: dict[str, Lineage] = {}
    for chunk in queries.chunks(ids):
        for id_, run_id, parents in connection.execute(query.where(blueprints.c.id.in_(chunk))):
            lineage = Lineage(strategy=strategies[run_id], parents=tuple(parents.split()))
            found.setdefault(id_, lineage)
    return found
