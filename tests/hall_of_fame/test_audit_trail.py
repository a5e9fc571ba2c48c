"""The audit trail: a row for each transaction that writes, which no statement changes or removes."""

import getpass
import socket
from dataclasses import replace
from pathlib import Path

import archives
import ledgers
import pytest
from alembic import command
from alembic.config import Config
from ledgers import commit, random_generation, run_record
from sqlalchemy import text

from crucible.evaluation import TaskResult
from hall_of_fame import audit, database
from hall_of_fame.database import open_database, translated, writing
from hall_of_fame.errors import StoreError
from hall_of_fame.expansions import ExpansionBook
from hall_of_fame.proofs import ProofBook
from hall_of_fame.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "library.db"
    with Store.open(path, create=True) as store:
        store.add_run(run_record())
        commit(store, 0, random_generation(0))
    return path


def test_every_writing_transaction_leaves_a_row_that_counts_what_it_added(path: Path) -> None:
    with Store.open(path) as store:
        found = store.top(1)[0].id
        assert commit(store, 1, random_generation(0))
        store.add_latencies("run", 1, {found: ledgers.measured()})
        counts = store.counts()
        trail = store.audit_trail()
        assert store.audit_trail("run") == trail
        assert store.audit_trail("another") == []
    assert [(row.verb, row.run_id, row.generation) for row in trail] == [
        ("run", "run", None),
        ("generation", "run", 0),
        ("generation", "run", 1),
        ("latencies", "run", 1),
    ]
    assert trail[0].counts == {"runs": 1}
    assert trail[1].counts["blueprints"] == counts.blueprints
    assert trail[1].counts["evaluations"] == counts.evaluations
    assert trail[1].counts["candidates"] == trail[2].counts["candidates"] == 16
    assert trail[2].counts["blueprints"] == trail[2].counts["evaluations"] == 0
    assert trail[3].counts == {"latencies": 1}
    assert {row.who for row in trail} == {f"{getpass.getuser()}@{socket.gethostname()}"}
    assert all(row.is_genuine for row in trail)


def test_what_writes_nothing_leaves_no_row(path: Path) -> None:
    with Store.open(path) as store:
        before = store.audit_trail()
        store.add_run(run_record())
        commit(store, 0, random_generation(0))
        with pytest.raises(StoreError, match="expected generation 1"):
            commit(store, 5, random_generation(5))
        store.add_latencies("run", 0, {})
        assert store.audit_trail() == before


def test_a_changed_row_no_longer_has_the_id_of_its_content(path: Path) -> None:
    with Store.open(path) as store:
        row = store.audit_trail()[1]
    assert row.is_genuine
    assert not replace(row, counts={"evaluations": 10**6}).is_genuine
    assert not replace(row, who="somebody@else").is_genuine


#: Tables whose rows stay as they are, each with a column to try that on.
GUARDED = {
    "audit": "run_id",
    "evaluations": "run_id",
    "proofs": "verdict",
    "proof_trainings": "status",
    "expansions": "verdict",
    "expansion_calls": "answer",
}


@pytest.mark.parametrize("table", GUARDED)
@pytest.mark.parametrize("change", ["UPDATE {0} SET {1} = 'mine'", "DELETE FROM {0}", "TRUNCATE {0} CASCADE"])
def test_the_database_refuses_to_change_or_delete_a_row(library_url: str, table: str, change: str) -> None:
    with Store.open(library_url, create=True) as store:
        store.add_run(run_record())
        [(blueprint, _), *_] = generation = random_generation(0)
        commit(store, 0, generation)
        trainings = {ledgers.XOR.key: [TaskResult(task="xor", seed=7, score=0.5)]}
        assert ProofBook(store).add(ledgers.proof(blueprint.id), trainings, [ledgers.XOR])
        ExpansionBook(store).add(ledgers.expansion(blueprint.id), [ledgers.expansion_call("head")])
        before = archives.all_rows(store)
    engine = open_database(library_url, create=False)
    if "TRUNCATE" in change and engine.dialect.name == "sqlite":
        message = "syntax error"  # there is no such statement
    else:
        message = f"{table} is append-only.*; expected rows that are added"
    with pytest.raises(StoreError, match=message), translated("change", engine.url):  # noqa: SIM117
        with writing(engine) as connection:
            connection.execute(text(change.format(table, GUARDED[table])))
    engine.dispose()
    with Store.open(library_url) as store:
        assert archives.all_rows(store) == before


def test_a_ledger_of_before_the_trail_is_upgraded_with_its_rows_and_says_so(path: Path) -> None:
    with Store.open(path) as store:
        counts, before = store.counts(), store.top(5)
    engine = open_database(path, create=False)
    with writing(engine) as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
        command.downgrade(config, "0004")
    engine.dispose()
    with Store.open(path) as store:
        assert (store.counts(), store.top(5)) == (counts, before)
        [row] = store.audit_trail()
        assert (row.verb, row.note) == ("upgrade", f"from schema 0004 to {database.HEAD}")
    with Store.open(path) as store:
        assert len(store.audit_trail()) == 1
    engine = open_database(path, create=False)
    with pytest.raises(StoreError, match="append-only"), translated("change", engine.url):  # noqa: SIM117
        with writing(engine) as connection:
            connection.execute(text("DELETE FROM evaluations"))
    engine.dispose()


def test_the_trail_holds_no_password() -> None:
    line = "train db=postgresql://me:secret@host/name 'x://h/n?user=me&password=secret&b=1' sqlite:///a@b"
    assert audit.without_passwords(line) == (
        "train db=postgresql://me:***@host/name 'x://h/n?user=me&password=***&b=1' sqlite:///a@b"
    )
