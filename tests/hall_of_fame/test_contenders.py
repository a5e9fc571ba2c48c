"""A ranking of the few that can stand in it equals the ranking of all; what the narrowing leaves out."""

import random
from pathlib import Path

import pytest
from ledgers import ENGINE, TEMPORAL, XOR, commit, evaluation, run_record
from sqlalchemy import Connection, event

from blueprints import parse, random_program
from crucible.evaluation import TaskResult
from hall_of_fame import contenders, queries
from hall_of_fame.database import open_database, reading
from hall_of_fame.store import Store

#: How scores are drawn, in 64ths, whose sums are exact in any order: anything, all at the floor, mostly
#: perfect, few good ones.
DRAWS = {
    "even": lambda rng: rng.randrange(65),
    "floor": lambda rng: rng.choice((0, 20, 32)),
    "saturated": lambda rng: rng.choice((64, 64, 64, 60)),
    "rare": lambda rng: rng.randrange(58, 65) if rng.random() < 0.1 else rng.randrange(30, 36),
}
WEIGHTS = ({}, {"xor-a": 0.0}, {"xor-a": 0.0, "temporal-a": 0.0}, {"xor-a": 1.0, "temporal-a": 3.0})


def fill(path: Path, draw: str, *, num: int = 40) -> None:
    """Commit generations of two runs, whose blueprints partly meet both tasks and both runs."""
    rng = random.Random(draw)
    blueprints = list({b.id: b for b in (parse(random_program(rng, max_ops=4)) for _ in range(num))}.values())
    with Store.open(path, create=True) as store:
        for run_id in ("run", "other"):
            store.add_run(run_record(run_id))
            batch = []
            for blueprint in rng.sample(blueprints, len(blueprints) * 2 // 3):
                tasks = ("xor", "temporal") if rng.random() < 0.8 else (rng.choice(("xor", "temporal")),)
                results = []
                for task in tasks:
                    for seed in range(rng.choice((1, 1, 2, 4))):
                        failed = rng.random() < 0.1
                        score = 0.0 if failed else DRAWS[draw](rng) / 64
                        status = "diverged" if failed else "ok"
                        results.append(TaskResult(task=task, seed=seed, score=score, status=status))
                costs = {"num_parameters": rng.randrange(5)}
                batch.append((blueprint, evaluation(blueprint, *results, **costs)))
            commit(store, 0, batch, run_id=run_id)


def connect(path: Path):
    return reading(open_database(path, create=False))


def everyone(connection: Connection) -> list[str]:
    return list(connection.exec_driver_sql("SELECT id FROM blueprints").scalars())


@pytest.mark.parametrize(("many", "few"), [(5, 2000), (50_000, 2), (50_000, 2000)])
@pytest.mark.parametrize("draw", DRAWS)
def test_the_ranking_of_those_that_can_stand_in_it_is_the_ranking_of_all(
    tmp_path: Path, monkeypatch, draw: str, many: int, few: int
) -> None:
    monkeypatch.setattr(contenders, "MANY", many)
    monkeypatch.setattr(contenders, "FEW", few)
    fill(tmp_path / "library.db", draw)
    wheres = ({}, {"run_id": "run"}, {"engine_id": ENGINE}, {"run_id": "other", "engine_id": "another"})
    with connect(tmp_path / "library.db") as connection:
        ids = everyone(connection)
        for where in wheres:
            for weights in WEIGHTS:
                for keys in (None, ["xor-a"], ["temporal-a", "never seen"]):
                    for k in (0, 1, 12, 1000):
                        asked = (connection, k, keys, where, weights)
                        found, expected = queries.ranking(*asked), queries.ranking(*asked, ids=ids)
                        assert list(found.items()) == list(expected.items()), (where, weights, keys, k)


def test_few_of_many_are_ranked_where_few_are_good(tmp_path: Path) -> None:
    fill(tmp_path / "library.db", "rare", num=300)
    asked: list[list[str]] = []
    with connect(tmp_path / "library.db") as connection:

        def rank(conditions) -> dict[str, float]:
            table = queries.schema.evaluations
            query = queries.select(table.c.blueprint_id).where(*conditions).distinct()
            asked.append(list(connection.scalars(query)))
            return queries.ranking(connection, 5, ["temporal-a"], {}, ids=asked[-1])

        found = contenders.ranked(connection, 5, {"temporal-a": 1.0}, None, rank)
        assert found == queries.ranking(connection, 5, ["temporal-a"], {}, ids=everyone(connection))
        assert 5 <= len(asked[-1]) < 0.5 * len(everyone(connection))


@pytest.mark.parametrize("few", [0, 2000])
def test_who_is_ranked_reaches_every_task_and_is_sought_by_id(tmp_path: Path, monkeypatch, few: int) -> None:
    monkeypatch.setattr(contenders, "FEW", few)
    fill(tmp_path / "library.db", "even", num=300)
    engine = open_database(tmp_path / "library.db", create=False)
    table = queries.schema.evaluations
    asked, statements = [], []

    @event.listens_for(engine, "before_cursor_execute")
    def _keep(connection, cursor, statement, parameters, context, many) -> None:
        statements.append((statement, parameters))

    with reading(engine) as connection:

        def rank(conditions) -> dict[str, float]:
            asked.append(conditions)
            return queries.ranking(connection, 5, None, {}, ids=everyone(connection))

        contenders.ranked(connection, 5, {XOR.key: 0.5, TEMPORAL.key: 0.5}, None, rank)
        rows = connection.execute(queries.select(table).where(*asked[-1])).mappings().all()
        found = {row["blueprint_id"] for row in rows}
        assert 5 <= len(found) < 0.5 * len(everyone(connection))
        for key in (XOR.key, TEMPORAL.key):
            reaching = {row["blueprint_id"] for row in rows if row["task_key"] == key and row["score"] > 0.6}
            assert reaching == found
        seeking = [asked for asked in statements if "EXISTS" in asked[0] and "evaluations_2" in asked[0]]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {seeking[0][0]}", seeking[0][1]).fetchall()
    engine.dispose()
    assert any("evaluations_2 USING INDEX sqlite_autoindex" in row[-1] for row in plan), plan
    assert any("evaluations_1 USING INDEX ix_evaluations_task_key" in row[-1] for row in plan), plan


def test_keys_on_record_are_those_of_trainings_that_fulfil_the_conditions(tmp_path: Path) -> None:
    fill(tmp_path / "library.db", "even")
    table = queries.schema.evaluations
    with connect(tmp_path / "library.db") as connection:
        assert contenders.recorded_keys(connection, []) == {XOR.key, TEMPORAL.key}
        assert contenders.recorded_keys(connection, [table.c.task_key == XOR.key]) == {XOR.key}
        assert contenders.recorded_keys(connection, [table.c.run_id == "nobody's"]) == set()


def test_a_batch_is_looked_up_by_its_ids_and_never_by_its_run(tmp_path: Path) -> None:
    """Both plans give the same rows; only one of them does not grow with the run."""
    fill(tmp_path / "library.db", "even")
    engine = open_database(tmp_path / "library.db", create=False)
    statements = []

    @event.listens_for(engine, "before_cursor_execute")
    def _keep(connection, cursor, statement, parameters, context, many) -> None:
        statements.append((statement, parameters))

    with reading(engine) as connection:
        ids = everyone(connection)
        statements.clear()
        queries.evaluations(connection, ids, ["xor-a"], run_id="run", engine_id=ENGINE)
        [(statement, parameters)] = statements
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
    assert any("blueprint_id=?" in row[-1] for row in plan), plan
    assert not any("run_id=?" in row[-1] or "SCAN evaluations" in row[-1] for row in plan), plan


def test_who_first_brought_a_blueprint_is_looked_up_by_its_id(tmp_path: Path) -> None:
    """Through its generation the same rows are found, a thousand times as many being read."""
    fill(tmp_path / "library.db", "even")
    blueprints, candidates = queries.schema.blueprints, queries.schema.candidates
    with connect(tmp_path / "library.db") as connection:
        query = queries.select(blueprints.c.id, candidates.c.run_id)
        query = query.join_from(blueprints, candidates, queries.is_first(connection))
        found = {(id_, run_id) for id_, run_id in connection.execute(query)}
        known = connection.execute(queries.select(blueprints.c.id, blueprints.c.run_id))
        assert found == {(id_, run_id) for id_, run_id in known}
        text = query.where(blueprints.c.id.in_(["a", "b"])).compile(
            connection, compile_kwargs={"literal_binds": True}
        )
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").fetchall()
    assert any("ix_candidates_blueprint_id (blueprint_id=?)" in row[-1] for row in plan), plan
