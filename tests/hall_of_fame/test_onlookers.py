"""Libraries opened by onlookers: they write nothing, wait for no query for ever, and upgrade nothing."""

import time
from pathlib import Path

import pytest
from ledgers import commit, random_generation, run_record
from sqlalchemy import text

from hall_of_fame import database
from hall_of_fame.errors import SlowQueryError, StoreError
from hall_of_fame.library import Library
from hall_of_fame.onlookers import Onlooker
from hall_of_fame.schema import HEAD
from hall_of_fame.store import Store

PATIENT, HASTY = Onlooker(query_s=60.0), Onlooker(query_s=0.2)
#: A query that takes far longer than any test, by the name of the database.
ENDLESS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(3600)",
}


@pytest.fixture
def filled(library_url: str) -> str:
    """Return where a ledger of one generation is."""
    with Store.open(library_url, create=True) as store:
        store.add_run(run_record())
        commit(store, 0, random_generation(0))
    return library_url


def set_schema(url: str, revision: str) -> None:
    engine = database.open_database(url)
    with database.writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    engine.dispose()


def test_an_onlooker_reads_what_others_write_and_writes_nothing(filled: str) -> None:
    with Library.open(filled, onlooker=PATIENT) as library, Store.open(filled) as store:
        counts = library.store.counts()
        with pytest.raises(StoreError, match=r"cannot record a run in .*read-?only"):
            library.store.add_run(run_record("mine"))
        with pytest.raises(StoreError, match=r"read-?only"), library.store.reading() as connection:
            connection.execute(text("DELETE FROM candidates"))
        assert store.counts() == library.store.counts() == counts
        assert commit(store, 1, random_generation(1))
        assert library.store.counts().generations == counts.generations + 1


def test_a_query_that_takes_too_long_is_ended_and_the_next_one_answered(filled: str) -> None:
    with Store.open(filled, onlooker=HASTY) as store:
        for _ in range(2):
            start = time.monotonic()
            with pytest.raises(SlowQueryError, match="took too long"), store.reading() as connection:
                connection.execute(text(ENDLESS[store.engine.dialect.name])).all()
            assert 0.2 <= time.monotonic() - start < 30
            assert store.ids(limit=1)
    with Store.open(filled, onlooker=PATIENT) as store:
        assert store.ids(limit=1)


def test_an_earlier_schema_is_refused_with_what_mends_it_and_left_as_it_is(filled: str) -> None:
    set_schema(filled, "0006")
    refused = rf"has schema 0006; expected schema {HEAD}; bring it up to date with: tamiyo library upgrade"
    for _ in range(2):
        with pytest.raises(StoreError, match=refused):
            Store.open(filled, onlooker=PATIENT)


def test_a_newer_schema_is_refused_with_what_mends_it(filled: str) -> None:
    set_schema(filled, "9999")
    with pytest.raises(StoreError, match=r"has schema 9999; .*; open it with the newer version"):
        Store.open(filled, onlooker=PATIENT)


@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_an_onlooker_makes_no_library(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "library.db"
    if kind == "empty":
        path.touch()
    with pytest.raises(StoreError, match=r"no database at|holds no ledger"):
        Store.open(path, onlooker=PATIENT)
    assert [*tmp_path.iterdir()] == ([path] if kind == "empty" else [])
    assert not path.exists() or path.read_bytes() == b""


def test_a_file_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "library.db"
    Store.open(path, create=True).close()
    with Store.open(path, onlooker=PATIENT) as store:
        store.engine.dispose()
        path.unlink()
        with pytest.raises(StoreError, match="unable to open"):
            store.ids()
    assert [*tmp_path.iterdir()] == []


def test_an_onlooker_who_closes_last_leaves_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a folder % of mine" / "library.db"
    path.parent.mkdir()
    with Store.open(path, create=True) as store, Store.open(path, onlooker=PATIENT) as onlooker:
        store.add_run(run_record())
        assert onlooker.runs()
        store.close()
        assert onlooker.runs()
    assert [*path.parent.iterdir()] == [path]
    with Store.open(path) as store:
        assert [run.id for run in store.runs()] == ["run"]
