"""Whatever writes into a library keeps its catalogue true: as an entry says, and as a rebuild makes it."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from ledgers import TEMPORAL, XOR, commit, evaluation, proof, random_generation, run_record
from sqlalchemy import select

from blueprints import HUMAN_BLUEPRINTS, parse
from crucible.evaluation import TaskResult
from hall_of_fame import archive, cataloguing, merging, schema
from hall_of_fame.archive import Archive
from hall_of_fame.catalogue import Catalogue
from hall_of_fame.library import Library
from hall_of_fame.proofs import ProofBook
from hall_of_fame.records import CandidateRecord
from hall_of_fame.store import Store

TABLES = [table for table in schema.metadata.sorted_tables if table not in schema.LEDGER]

VERDICTS = ("entered", "refused", "entered", "entered")


@pytest.fixture
def store(library_url: str) -> Iterator[Store]:
    with Store.open(library_url, create=True) as store:
        yield store


def fill(store: Store, run_id: str, *, seed: int = 0, created: str = "2026-01-01") -> None:
    """Commit a run whose second task is new in its second generation and makes the first one a gate."""
    rng = random.Random(seed)
    store.add_run(run_record(run_id, created=created, config={"strategy": "evolution"}))
    judged: list[Any] = []
    for generation, tasks in enumerate(([XOR], [XOR, TEMPORAL], [XOR, TEMPORAL])):
        known = rng.sample(judged, 3) if judged else []
        judged = [(b, outcome(rng, b, tasks, generation)) for b, _ in random_generation(seed + generation, 9)]
        judged += [(b, outcome(rng, b, tasks, generation)) for b, _ in known]
        weights = {"weight_xor": 0.0, "weight_temporal": 1.0}
        candidates = [
            CandidateRecord(
                position=position,
                tokens=b.tokens,
                blueprint_id=b.id,
                reward=rng.random(),
                parents=tuple(parent.id for parent, _ in known[:2]),
            )
            for position, (b, _) in enumerate(judged)
        ]
        commit(
            store,
            generation,
            judged,
            run_id=run_id,
            tasks=tasks,
            metrics=weights,
            stage=tasks[-1].name,
            candidates=candidates,
        )


def outcome(rng: random.Random, blueprint: Any, tasks: list[Any], seed: int) -> Any:
    results = [TaskResult(task=task.name, seed=seed, score=rng.choice([0.3, 0.6, 1.0])) for task in tasks]
    costs = {"num_parameters": rng.randrange(300), "latency_us": rng.choice([None, 3.0, 7.0])}
    return evaluation(blueprint, *results, **costs)


def rows(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of the tables of the catalogue, without the numbers of its rows."""
    with store.reading() as connection:
        return {
            table.name: sorted(
                tuple(repr(row[column]) for column in table.columns if column.name != "number")
                for row in connection.execute(select(table)).mappings()
                if row.get("kind") != "stale"
            )
            for table in TABLES
        }


def assert_true(store: Store) -> None:
    """Assert that the catalogue says what entries do, and that a rebuild makes the same one."""
    found, library = Catalogue(store), Library(store)
    for id_ in store.ids():
        entry, row = library.get(id_), found.row(id_)
        assert row is not None
        assert (row.tokens, row.run_id, row.generation) == (entry.tokens, entry.run_id, entry.generation)
        assert (row.num_parameters, row.flops, row.num_evaluations, row.reward) == (
            entry.num_parameters,
            entry.flops,
            entry.num_evaluations,
            entry.reward,
        )
        assert (row.latency_us or 0.0) == pytest.approx(entry.latency_us or 0.0, rel=1e-12)
        assert (row.latency_us is None) == (entry.latency_us is None)
        assert row.performance == pytest.approx(entry.performance, abs=1e-12)
        assert row.score == pytest.approx(entry.score, abs=1e-12)
        assert (row.status, row.strategy) == (entry.standing.status, entry.lineage.strategy)
        with store.reading() as connection:
            lineage = schema.catalogue_lineage.c
            parents = connection.scalars(select(lineage.parent_id).where(lineage.child_id == id_)).all()
        assert set(parents) == set(entry.lineage.parents) - {id_}
    assert found.facets().num == store.counts().blueprints
    kept = rows(store)
    with store.writing("rebuild the catalogue of") as connection:
        cataloguing.rebuild(connection)
    assert rows(store) == kept


def test_a_generation_brings_its_rows_up_to_date(store: Store) -> None:
    fill(store, "a")
    assert_true(store)
    performances = {row.performance for row in Catalogue(store).sample(100)}
    assert len(performances) > 3
    fill(store, "b", seed=40, created="2026-01-02")
    assert_true(store)


def test_a_run_that_weighs_tasks_in_another_way_changes_every_performance(store: Store) -> None:
    fill(store, "a")
    before = Catalogue(store).sample(100)
    store.add_run(run_record("b", created="2026-01-02"))
    metrics = {"weight_xor": 1.0, "weight_temporal": 0.25}
    commit(store, 0, random_generation(77, 4), run_id="b", tasks=[XOR, TEMPORAL], metrics=metrics)
    after = {row.blueprint_id: row.performance for row in Catalogue(store).sample(100)}
    assert sum(after[row.blueprint_id] != row.performance for row in before) > len(before) / 2
    assert_true(store)


def test_a_gate_that_a_run_trains_late_is_asked_of_all_that_it_trained(store: Store) -> None:
    fill(store, "a")
    store.add_run(run_record("b", created="2025-01-01"))
    early, late = random_generation(50, 4), random_generation(51, 4)
    results = TaskResult(task="temporal", seed=0, score=1.0)
    commit(store, 0, [(b, evaluation(b, results)) for b, _ in early], run_id="b")
    [row] = [Catalogue(store).row(early[0][0].id)]
    assert row is not None
    assert row.performance > 0.9
    commit(store, 1, late, run_id="b")
    row = Catalogue(store).row(early[0][0].id)
    assert row is not None
    assert row.performance == 0.0
    assert_true(store)


def test_a_proof_changes_the_status_of_all_whom_it_concerns(store: Store) -> None:
    fill(store, "a")
    book = ProofBook(store)
    ids = store.ids()[:4]
    for number, (id_, verdict) in enumerate(zip(ids, VERDICTS, strict=True)):
        supersedes = (ids[0],) if number == 3 else ()
        proved = proof(id_, verdict=verdict, supersedes=supersedes, run_id="a", mean=0.1 * number + 0.2)
        assert book.add(proved, {}, [])
        assert_true(store)
    statuses = [row.status for row in map(Catalogue(store).row, ids) if row is not None]
    assert statuses == ["refused", "refused", "entrant", "entrant"]
    assert [row.blueprint_id for row in Catalogue(store).sample(2)] == [ids[3], ids[2]]
    facets = Catalogue(store).facets()
    assert (facets.status["entrant"], facets.status["refused"]) == (2, 2)
    fill(store, "b", created="2026-01-02")
    assert_true(store)


@pytest.mark.parametrize("at_once", [5000, 25])
def test_rows_of_other_libraries_are_catalogued(
    store: Store, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(merging, "ROWS_A_TURN", at_once)
    monkeypatch.setattr(merging, "BLUEPRINTS_A_TURN", at_once)
    monkeypatch.setattr(merging, "PAUSE_S", 0.0)
    fill(store, "a")
    with Store.open(tmp_path / "b.db", create=True) as other:
        fill(other, "b", seed=1, created="2026-01-02")
        ProofBook(other).add(proof(other.ids()[0], run_id="b"), {}, [])
        merging.merge([other], str(store.engine.url.render_as_string(hide_password=False)))
        assert_true(store)
        archive.write(other, tmp_path / "b.gz")
    merging.restore(Archive(tmp_path / "b.gz"), tmp_path / "c.db")
    with Store.open(tmp_path / "c.db") as restored:
        assert_true(restored)
        assert Catalogue(restored).facets().status["entrant"] == 1


def test_an_archive_holds_evidence_alone(store: Store, tmp_path: Any) -> None:
    fill(store, "a")
    header = archive.write(store, tmp_path / "a.gz")
    assert not [name for name in header.counts if name.startswith("catalogue")]
    assert {table.name for table in TABLES} | header.counts.keys() == schema.metadata.tables.keys()


def test_a_program_of_a_language_that_is_not_known_has_no_family(store: Store) -> None:
    store.add_run(run_record())
    blueprint = replace(parse(HUMAN_BLUEPRINTS[0].tokens), tokens=("SOME_OP", "OF_A_USER"))
    commit(store, 0, [(blueprint, evaluation(blueprint, TaskResult(task="xor", seed=0, score=0.5)))])
    row = Catalogue(store).row(blueprint.id)
    assert row is not None
    assert (row.family, row.depth, row.length) == ("", 0, 2)
    assert_true(store)


def test_an_earlier_ledger_is_catalogued_when_it_is_opened(store: Store, library_url: str) -> None:
    fill(store, "a")
    kept = rows(store)
    with store.writing("go back in") as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
        command.downgrade(config, "0008")
    with Store.open(library_url) as again:
        assert rows(again) == kept


def test_what_a_killed_process_left_to_judge_is_judged_by_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Ends a process between two transactions."""

    fill(store, "a")
    store.add_run(run_record("b", created="2026-01-02"))
    metrics = {"weight_xor": 1.0, "weight_temporal": 0.25}
    monkeypatch.setattr(cataloguing, "_A_TURN", 5)
    monkeypatch.setattr(cataloguing, "PAUSE_S", 0.0)
    turns = []

    def turn_or_death(connection: Any) -> bool:
        turns.append(connection)
        if len(turns) == 3:
            raise Killed
        return catch_up(connection)

    catch_up = cataloguing.catch_up
    monkeypatch.setattr(cataloguing, "catch_up", turn_or_death)
    tasks = [XOR, TEMPORAL]
    with pytest.raises(Killed):
        commit(store, 0, random_generation(77, 4), run_id="b", tasks=tasks, metrics=metrics)
    assert store.last_generation("b") is not None
    kept = rows(store)["catalogue"]
    assert commit(store, 1, [], run_id="b", tasks=tasks, metrics=metrics)
    assert rows(store)["catalogue"] != kept
    assert len(turns) > 5
    assert_true(store)
