"""Narrows a ranking to the blueprints that can stand in it, found by an index on scores; ranks nothing.

A performance is at most the weighted mean of a blueprint's best normalised scores, each at most 1. One of at
least `p` therefore needs, on each task, a score of at least 1 - (1 - p) / w where `w` is its share of all
weight: of a large ledger few blueprints have them all (the threshold of Fagin, Lotem and Naor 2003, without
its cursors).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, FromClause, exists, func, literal, select

from hall_of_fame import schema

#: Performances that the least of the best may have, tried in this order until enough blueprints reach one.
BARS = (1.0, 255 / 256, 63 / 64, 15 / 16, 3 / 4, 1 / 2)
#: Rows with a high enough score above which all rows are read as fast.
MANY = 50_000
#: Blueprints that are named one by one: no planner then has to guess how many they are.
FEW = 2000
#: What rounding may take from a performance.
_ROUNDING = 1e-9
#: Runs bound to one statement at most.
_MANY_RUNS = 1000

Condition = ColumnElement[bool]


def recorded_keys(connection: Connection, conditions: Sequence[Condition]) -> set[str]:
    """Return the keys of the tasks with a training that fulfils the conditions on evaluations."""
    tasks, table = schema.tasks, schema.evaluations
    query = select(tasks.c.key).where(exists().where(table.c.task_key == tasks.c.key, *conditions))
    return set(connection.scalars(query))


def ranked(
    connection: Connection,
    k: int,
    shares: Mapping[str, float],
    run_id: str | None,
    rank: Callable[[Sequence[Condition]], dict[str, float]],
) -> dict[str, float]:
    """Return what `rank` says of all blueprints, having asked it about as few as suffice.

    Args:
        connection: an open one.
        k: how many `rank` returns at most.
        shares: of each task's key in the performance, summing to 1.
        run_id: the one run whose evidence counts; None where that of all does.
        rank: returns the performance of the `k` best ids that fulfil conditions on evaluations, best first.
    """
    if not k:
        return {}
    narrowing = _Narrowing.of(connection, shares, run_id)
    for bar in BARS:
        among, num = narrowing.conditions(bar, MANY)
        if num < k:
            continue
        if num >= MANY:
            break
        found = rank(among)
        if len(found) < k:
            continue
        least = min(found.values())
        return found if least >= bar else rank(narrowing.conditions(least, MANY)[0])
    return rank([])


@dataclass(frozen=True, slots=True)
class _Narrowing:
    """Which blueprints have a score high enough, task by task.

    Attributes:
        connection: an open one.
        shares: of each task that counts.
        chances: its score of guessing.
        run_ids: runs whose evidence counts; None where they are too many to name.
    """

    connection: Connection
    shares: Mapping[str, float]
    chances: Mapping[str, float]
    run_ids: Sequence[str] | None

    @classmethod
    def of(cls, connection: Connection, shares: Mapping[str, float], run_id: str | None) -> "_Narrowing":
        tasks = schema.tasks
        chances = {row.key: row.chance for row in connection.execute(select(tasks.c.key, tasks.c.chance))}
        counted = {key: share for key, share in shares.items() if share > 0.0 and key in chances}
        if run_id is not None:
            return cls(connection, counted, chances, [run_id])
        runs = list(connection.scalars(select(schema.runs.c.id).limit(_MANY_RUNS + 1)))
        return cls(connection, counted, chances, runs if len(runs) <= _MANY_RUNS else None)

    def conditions(self, bar: float, limit: int) -> tuple[list[Condition], int]:
        """Return conditions without which no performance reaches `bar`, and how many at most fulfil them.

        A score has to be high enough on every task that counts: on the task which the fewest reach, and of
        those on the others. Where `limit` or more reach each task, there is no condition.
        """
        asked: list[tuple[int, str, float]] = []
        for key, share in self.shares.items():
            scaled = 1.0 - (1.0 - bar) / share - _ROUNDING
            if scaled > 0.0:
                score = self.chances[key] + scaled * (1.0 - self.chances[key])
                rows = select(literal(1)).where(*self._reach(schema.evaluations, key, score)).limit(limit)
                num = self.connection.scalar(select(func.count()).select_from(rows.subquery())) or 0
                asked.append((num, key, score))
        asked.sort()
        if not asked or asked[0][0] >= limit:
            return [], limit
        [(num, key, score), *others] = asked
        table = schema.evaluations.alias()
        reached = select(table.c.blueprint_id).where(*self._reach(table, key, score))
        for _, key, score in others:
            other = schema.evaluations.alias()
            own = [other.c.blueprint_id == table.c.blueprint_id, *self._reach(other, key, score, seek=False)]
            reached = reached.where(exists().where(*own))
        ids = list(self.connection.scalars(reached.distinct().limit(FEW + 1)))
        if len(ids) > FEW:
            return [schema.evaluations.c.blueprint_id.in_(reached)], num
        return [schema.evaluations.c.blueprint_id.in_(sorted(ids))], len(ids)

    def _reach(self, table: FromClause, key: str, score: float, *, seek: bool = True) -> list[Condition]:
        """Return the conditions of a score on a task that is high enough.

        Unless to `seek` by them, the index on scores is hidden from SQLite, which would choose it.
        """
        run_id, own_score = table.c.run_id, table.c.score
        if not seek and self.connection.dialect.name == "sqlite":
            run_id, own_score = func.coalesce(run_id, ""), func.coalesce(own_score, 0.0)
        reach = [table.c.task_key == key, own_score >= score]
        return reach if self.run_ids is None else [*reach, run_id.in_(self.run_ids)]
