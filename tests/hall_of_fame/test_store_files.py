"""Files missing, damaged, foreign or of another version: one clear error; leaves writers aside."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import ledgers
import pytest
from alembic import command
from alembic.config import Config
from ledgers import commit, random_generation, run_record, without_curves
from sqlalchemy import inspect

from hall_of_fame import database, schema
from hall_of_fame.database import open_database, show
from hall_of_fame.errors import StoreError
from hall_of_fame.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "library.db"
    with Store.open(path, create=True) as store:
        store.add_run(run_record())
        commit(store, 0, random_generation(0))
    return path


def assert_refused(path_or_url: Path | str, *parts: str, create: bool = True) -> None:
    """Assert that opening fails with a one-line error that holds `parts`."""
    with pytest.raises(StoreError) as raised:
        Store.open(path_or_url, create=create)
    message = str(raised.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_ledger_of_before_steps_were_counted_keeps_its_evidence(path: Path) -> None:
    with Store.open(path) as store:
        ids = store.ids()
        before = {id_: store.evaluations(id_) for id_ in ids}
    connection = sqlite3.connect(path)
    for name in ("num_steps", "gain", "retention_rise", "rival_gain", "planned_steps", "loss_curve"):
        connection.execute(f"ALTER TABLE evaluations DROP COLUMN {name}")
    for name in ("evaluations_no_update", "evaluations_no_delete"):
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("ALTER TABLE candidates DROP COLUMN parents")
    connection.execute("DROP INDEX ix_evaluations_task_key")
    catalogue = [table.name for table in schema.metadata.tables.values() if table not in schema.LEDGER]
    later = ("latencies", "audit", "proof_trainings", "proofs", "expansion_calls", "expansions")
    for name in (*later, *catalogue):
        connection.execute(f"DROP TABLE {name}")
    connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.commit()
    connection.close()
    with Store.open(path) as store:
        after = {id_: store.evaluations(id_) for id_ in ids}
    assert any(before.values())
    assert repr(after) == repr(without_curves(before))
    assert all(record.result.num_steps is None for records in after.values() for record in records)


def test_a_ledger_of_before_latencies_were_measured_keeps_its_evidence(path: Path) -> None:
    with Store.open(path) as store:
        before = store.top(5)
        counts = store.counts()
    engine = open_database(path, create=False)
    with database.writing(engine) as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
        command.downgrade(config, "0002")
        assert "latencies" not in inspect(connection).get_table_names()
    engine.dispose()
    with Store.open(path) as store:
        assert store.top(5) == before
        assert store.counts() == counts
        store.add_latencies("run", 0, {before[0].id: ledgers.measured()})
        assert store.top(1)[0].measured == (ledgers.measured(),)


def test_a_ledger_of_before_there_were_grafts_keeps_its_evidence(path: Path) -> None:
    with Store.open(path) as store:
        ids = store.ids()
        before = {id_: store.evaluations(id_) for id_ in ids}
    engine = open_database(path, create=False)
    with database.writing(engine) as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
        command.downgrade(config, "0003")
        assert "gain" not in {column["name"] for column in inspect(connection).get_columns("evaluations")}
    engine.dispose()
    with Store.open(path) as store:
        assert {id_: repr(store.evaluations(id_)) for id_ in ids} == {
            id_: repr(records) for id_, records in without_curves(before).items()
        }


def test_a_ledger_of_before_curves_were_kept_keeps_its_evidence_and_its_guards(path: Path) -> None:
    with Store.open(path) as store:
        ids = store.ids()
        before = {id_: store.evaluations(id_) for id_ in ids}
    assert any(record.result.loss_curve for records in before.values() for record in records)
    engine = open_database(path, create=False)
    with database.writing(engine) as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
        command.downgrade(config, "0010")
        names = {column["name"] for column in inspect(connection).get_columns("evaluations")}
        assert not names & {"planned_steps", "loss_curve"}
    engine.dispose()
    with Store.open(path) as store:
        assert repr({id_: store.evaluations(id_) for id_ in ids}) == repr(without_curves(before))
        with pytest.raises(StoreError, match="append-only"), store.writing("change") as connection:
            connection.execute(schema.evaluations.update().values(planned_steps=1))


def test_opening_an_up_to_date_ledger_loads_no_migration(path: Path) -> None:
    code = (
        "import sys; from hall_of_fame.store import Store; Store.open(sys.argv[1]).close();"
        "assert not {'alembic', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)


def test_a_ledger_is_in_wal_mode_and_leaves_one_file_behind(path: Path) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    assert [p.name for p in path.parent.iterdir()] == ["library.db"]


def test_a_path_that_is_missing_is_an_error_and_stays_missing(tmp_path: Path) -> None:
    assert_refused(tmp_path / "no.db", "no database at", "start a run", create=False)
    assert_refused(tmp_path / "no" / "no.db", "unable to open", "a folder that exists")
    assert_refused(tmp_path, "is a folder")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_filled_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "library.db"
    path.touch()
    assert_refused(path, "holds no ledger", create=False)
    Store.open(path, create=True).close()
    Store.open(path).close()


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "library.db"
    path.write_text("not a database " * 1000)
    before = path.read_bytes()
    assert_refused(path, "file is not a database", "left as it is")
    assert path.read_bytes() == before


def test_a_damaged_ledger_is_one_clear_error(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(StoreError, match=r"malformed.*recover"), Store.open(path) as store:
        store.top(5)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE cats (name)")
    connection.close()
    assert_refused(path, "holds other tables (cats", "a database of its own")


def test_a_newer_schema_is_refused_and_kept(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    assert_refused(path, "9999", f"schema {schema.HEAD} or an older one", "newer version of this package")


def test_a_url_that_cannot_be_used_is_one_clear_error(tmp_path: Path) -> None:
    assert_refused("nonsense://x", "no driver", "sqlite or postgresql")
    assert_refused("://", "cannot be read")
    Store.open(f"sqlite:///{tmp_path}/url.db", create=True).close()
    assert (tmp_path / "url.db").exists()


def test_a_password_is_never_shown() -> None:
    assert "secret" not in show(database.parse_url("postgresql://me:secret@host/name"))


def test_a_folder_that_cannot_be_written_is_one_clear_error(path: Path) -> None:
    assert_refused("/proc/library.db", "unable to open", "check its permissions")
    assert_refused(path / "library.db", "unable to open")


def test_a_full_disk_keeps_what_was_recorded(path: Path) -> None:
    code = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(ledgers.__file__).parent)!r})
from ledgers import commit, random_generation
from hall_of_fame.errors import StoreError
from hall_of_fame.store import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Store.open({str(path)!r}) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, ({path.stat().st_size // 2}, resource.RLIM_INFINITY))
    try:
        commit(store, 1, random_generation(1, num=200))
    except StoreError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert store.last_generation("run").generation == 0
    commit(store, 1, random_generation(1))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("cannot write generation 1 to ")
    assert "what was recorded before is still there" in done.stdout
    with Store.open(path) as store:
        assert store.last_generation("run").generation == 1
