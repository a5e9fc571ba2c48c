"""Writers of one library at once, in each other's way, or killed: nothing that was committed is lost."""

import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path

import ledgers
import pytest
import writers

from benchmarks.library_server import Server
from hall_of_fame import database
from hall_of_fame.errors import StoreError
from hall_of_fame.store import Store


@pytest.fixture(scope="module")
def crew() -> Iterator[writers.Writers]:
    with writers.Writers() as crew:
        yield crew


def kill_at_random(crew: writers.Writers, url: str, rng: random.Random) -> tuple[int, int]:
    """Kill a writer at a random moment; return how many generations are committed, and how many begun.

    The moment follows its birth, and so lies in its opening or the library's creation, or else it follows the
    beginning or the commit of one of its first generations.
    """
    pid = crew.start(url, "run")
    heard = [crew.hear() for _ in range(rng.randrange(6))]
    time.sleep(rng.uniform(0.0, 0.03 if heard else 0.2))
    os.kill(pid, signal.SIGKILL)
    heard += crew.hear_until_ended()
    assert heard[-1]["status"] == -signal.SIGKILL
    told = {line["event"]: line["generation"] + 1 for line in heard if "generation" in line}
    return told.get("committed", 0), told.get("begun", 0)


def assert_undamaged(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.slow
def test_a_file_whose_writers_are_killed_fifty_times_loses_nothing_committed(
    crew: writers.Writers, tmp_path: Path
) -> None:
    rng = random.Random(6)
    midway = 0
    for library in range(5):
        path = tmp_path / f"{library}.db"
        committed = begun = 0
        for _ in range(10):
            told = kill_at_random(crew, str(path), rng)
            midway += told[1] > told[0]
            committed, begun = max(committed, told[0]), max(begun, told[1])
            assert_undamaged(path)
            with Store.open(path, create=True) as store:
                assert committed <= writers.assert_whole(store, "run") <= begun
    assert midway > 5, "hardly a kill came while a generation was written: the moments are badly chosen"


def test_a_file_stays_whole_for_a_reader_that_sees_its_writers_killed(
    crew: writers.Writers, tmp_path: Path
) -> None:
    rng = random.Random(7)
    path = tmp_path / "library.db"
    committed = 0
    with Store.open(path, create=True) as store:
        for _ in range(8):
            committed = max(committed, kill_at_random(crew, str(path), rng)[0])
            assert committed <= writers.assert_whole(store, "run")
    assert committed > 0
    assert_undamaged(path)


def test_a_server_whose_clients_are_killed_loses_nothing_committed(
    crew: writers.Writers, postgres_url: str
) -> None:
    rng = random.Random(8)
    committed = begun = midway = 0
    with Store.open(postgres_url, create=True) as store:
        for _ in range(10):
            told = kill_at_random(crew, postgres_url, rng)
            midway += told[1] > told[0]
            committed, begun = max(committed, told[0]), max(begun, told[1])
            assert committed <= writers.assert_whole(store, "run") <= begun
    assert committed > 0
    assert midway > 0


def test_a_server_that_is_killed_while_it_writes_loses_nothing_committed(
    crew: writers.Writers, postgres: Server, postgres_url: str
) -> None:
    with Store.open(postgres_url, create=True) as store:
        committed = 0
        for _ in range(3):
            crew.start(postgres_url, "run")
            while crew.hear()["event"] != "committed":
                pass
            for process in postgres.processes_of(postgres_url):
                with suppress(
                    ProcessLookupError
                ):  # once one of them is dead the server ends the others itself
                    os.kill(process, signal.SIGKILL)
            *heard, ended = crew.hear_until_ended()
            assert ended["status"] == writers.REFUSED
            assert heard[-1]["line"].startswith("cannot write generation ")
            assert "a server that answers; see that it runs" in heard[-1]["line"]
            assert "\n" not in heard[-1]["line"]
            postgres.wait()
            whole = writers.assert_whole(store, "run")
            assert whole > committed
            committed = whole


def test_two_runs_write_into_a_new_library_at_once_without_loss(
    crew: writers.Writers, library_url: str
) -> None:
    runs, num = ("a", "b"), 15
    at = time.time() + 0.5
    for run_id in runs:
        crew.start(library_url, run_id, generations=num, at=at, rest=0.02)
    heard = list(crew.hear_until_ended(len(runs)))
    assert [line["status"] for line in heard if line["event"] == "ended"] == [0, 0], heard
    order = [line["run_id"] for line in heard if line["event"] == "committed"]
    assert sum(one != next_ for one, next_ in pairwise(order)) > 1, "the runs wrote one after the other"
    with Store.open(library_url) as store:
        assert [writers.assert_whole(store, run_id) for run_id in runs] == [num, num]
        written = {b.id for run_id in runs for n in range(num) for b, _ in writers.generation(run_id, n)}
        assert set(store.ids()) == written
        firsts = [store.blueprint(id_) for id_ in written]
        assert {first.run_id for first in firsts if first is not None} == set(runs)


def test_a_reader_sees_whole_generations_while_another_process_writes(
    crew: writers.Writers, library_url: str
) -> None:
    pid = crew.start(library_url, "run")
    while crew.hear()["event"] != "committed":
        pass
    with Store.open(library_url) as store:
        seen = set()
        until = time.monotonic() + 200
        while len(seen) < 4 and time.monotonic() < until:
            counts = store.counts()
            assert counts.candidates == writers.NUM * counts.generations
            assert store.top(3)
            seen.add(counts.generations)
    assert len(seen) >= 4
    os.kill(pid, signal.SIGKILL)
    list(crew.hear_until_ended())


def test_a_writer_that_waits_too_long_says_so_in_one_line(
    library_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    with Store.open(library_url, create=True) as store:
        store.add_run(ledgers.run_record())
        other = database.open_database(library_url, create=False)
        with database.writing(other):
            with pytest.raises(StoreError, match=r"cannot write .*wait for the other writer") as raised:
                ledgers.commit(store, 0, ledgers.random_generation(0))
            assert "\n" not in str(raised.value)
            assert store.last_generation("run") is None
        other.dispose()
        assert ledgers.commit(store, 0, ledgers.random_generation(0))


def test_a_reader_of_a_file_that_is_locked_wholly_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "library.db"
    Store.open(path, create=True).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"cannot open .*locked.*wait for the other writer to end"):
            Store.open(path)
    Store.open(path).close()


def test_a_reader_of_a_locked_table_of_a_server_says_so_in_one_line(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    psycopg = pytest.importorskip("psycopg")
    with Store.open(postgres_url, create=True) as store, psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreError, match=r"cannot read .*lock timeout.*wait for the other writer to end"):
            store.runs()
        other.rollback()
        assert store.runs() == []
