"""`tamiyo library` from outside: what its verbs print, refuse and leave behind."""

import json
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from alembic import command
from alembic.config import Config

from blueprints import HUMAN_BLUEPRINTS, parse
from crucible.evaluation import TaskResult
from hall_of_fame.catalogue import Catalogue
from hall_of_fame.database import MIGRATIONS
from hall_of_fame.onlookers import Onlooker
from hall_of_fame.schema import HEAD
from hall_of_fame.store import Store
from tamiyo.cli import main
from tests.hall_of_fame.ledgers import XOR, candidates, commit, evaluation, run_record


@pytest.fixture
def library(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Return a function that runs `tamiyo library ...` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("TAMIYO_LIBRARY", "TAMIYO_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> SimpleNamespace:
        try:
            status = main(["library", *map(str, arguments)])
        except SystemExit as exit_:
            status = exit_.code
        captured = capsys.readouterr()
        return SimpleNamespace(status=status, out=captured.out, err=captured.err)

    return run


def write_run(path: Path | str, run_id: str, first: int, num: int = 3, score: float = 0.5) -> None:
    """Write a run of one generation about `num` human blueprints from the `first` on."""
    blueprints = [parse(row.tokens) for row in HUMAN_BLUEPRINTS[first : first + num]]
    found = [
        (blueprint, evaluation(blueprint, TaskResult(task="xor", seed=0, score=score + i / 100)))
        for i, blueprint in enumerate(blueprints)
    ]
    with Store.open(path, create=True) as store:
        store.add_run(run_record(run_id))
        commit(
            store, 0, found, run_id=run_id, candidates=candidates([(b, 0.5) for b in blueprints]), tasks=[XOR]
        )


def assert_one_line(done: SimpleNamespace, *parts: str) -> None:
    """Assert that a command failed with one line on standard error that holds `parts`."""
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    for part in parts:
        assert part in done.err


def test_a_backup_is_restored(library) -> None:
    write_run("a.db", "a", 0)
    done = library("backup", "a.gz", "--library", "a.db")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("a.gz: 2 audit, 1 runs, 1 tasks, 1 generations, 3 blueprints, 3 candidates, ")
    done = library("restore", "a.gz", "--into", "b.db")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("b.db: added 2 audit, 1 runs, ")
    assert done.out.endswith("; 0 rows were there\n")
    with Store.open("a.db") as one, Store.open("b.db") as other:
        assert one.top(9) == other.top(9)
    assert_one_line(
        library("restore", "a.gz", "--into", "b.db"), "tamiyo library restore: ", "an empty library"
    )
    assert_one_line(library("backup", "a.gz", "--library", "a.db"), "tamiyo library backup: a.gz exists")
    assert library("backup", "a.gz", "--library", "a.db", "--force").status == 0


def test_results_come_as_json(library) -> None:
    write_run("a.db", "a", 0)
    saved = json.loads(library("backup", "a.gz", "--library", "a.db", "--json").out)
    assert (saved["file"], saved["is_encrypted"], saved["counts"]["blueprints"]) == ("a.gz", False, 3)
    assert saved["bytes"] == Path("a.gz").stat().st_size
    restored = json.loads(library("restore", "a.gz", "--into", "b.db", "--json").out)
    assert restored["library"] == "b.db"
    assert restored["added"] == {table: num for table, num in saved["counts"].items() if num}
    assert (restored["known"], restored["notices"]) == ({}, [])
    again = json.loads(library("import", "a.gz", "--into", "b.db", "--json").out)
    assert (again["added"], again["known"]) == ({}, restored["added"])
    merged = json.loads(library("merge", "a.db", "b.db", "--into", "c.db", "--json").out)
    assert merged["added"]["evaluations"] == merged["known"]["evaluations"] == 3
    trail = json.loads(library("audit", "--library", "c.db", "--json").out)
    assert [row["verb"] for row in trail] == ["run", "generation", "restore", "merge"]
    assert all(row["is_genuine"] for row in trail)
    exported = json.loads(library("export", "a.jsonl", "--library", "a.db", "--json").out)
    assert exported["sha256"] == saved["sha256"]


def test_a_backup_with_a_passphrase_opens_with_it_alone(library, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run("a.db", "a", 0)
    Path("secret").write_text("open sesame\n")
    done = library("backup", "a.sealed", "--library", "a.db", "--passphrase-file", "secret")
    assert (done.status, ", encrypted, " in done.out) == (0, True)
    assert_one_line(library("restore", "a.sealed", "--into", "b.db"), "is encrypted", "$TAMIYO_PASSPHRASE")
    monkeypatch.setenv("TAMIYO_PASSPHRASE", "wrong")
    assert_one_line(
        library("restore", "a.sealed", "--into", "b.db"), "does not open it", "check the passphrase"
    )
    assert not Path("b.db").exists()
    monkeypatch.setenv("TAMIYO_PASSPHRASE", "open sesame")
    assert library("restore", "a.sealed", "--into", "b.db").status == 0
    missing = library("backup", "c", "--library", "a.db", "--passphrase-file", "none")
    assert_one_line(missing, "tamiyo library backup: cannot read the passphrase in none: No such file")
    Path("bytes").write_bytes(b"\xff\xfe")
    unreadable = library("backup", "c", "--library", "a.db", "--passphrase-file", "bytes")
    assert_one_line(unreadable, "it is not text")


def test_runs_folders_are_merged(library) -> None:
    for number, run_id in enumerate("ab"):
        Path(run_id).mkdir()
        write_run(f"{run_id}/library.db", run_id, number)
    done = library("merge", "a", "b", "--into", "c.db")
    assert (done.status, done.err) == (0, "")
    with Store.open("c.db") as store:
        assert [run.id for run in store.runs()] == ["a", "b"]
        assert store.counts().blueprints == 4
        assert store.counts().evaluations == 6
    write_run("other.db", "a", 0, score=0.75)
    refused = library("merge", "other.db", "--into", "c.db")
    assert_one_line(
        refused, "other.db has other evaluations under ", "score 0.75; expected 0.5", "nothing was"
    )


def test_a_part_is_exported_and_imported(library) -> None:
    write_run("a.db", "a", 0)
    write_run("a.db", "b", 2)
    write_run("c.db", "c", 4)
    done = library("export", "part.jsonl", "--library", "a.db", "--run", "b", "--top", 2)
    assert (done.status, " 2 blueprints, " in done.out) == (0, True)
    assert json.loads(Path("part.jsonl").read_text().splitlines()[0])["run_id"] == "b"
    done = library("import", "part.jsonl", "--into", "c.db")
    assert (done.status, done.err) == (0, "tamiyo library import: it holds a part of a library\n")
    with Store.open("c.db") as store:
        assert store.counts("b").evaluations == 2
    assert_one_line(
        library("export", "x", "--library", "a.db", "--run", "z"), "no run 'z'; expected one of a, b"
    )
    assert_one_line(library("import", "part.jsonl", "--into", "no.db"), "no database at no.db")


def test_the_trail_is_printed(library) -> None:
    write_run("a.db", "a", 0)
    done = library("audit", "--library", "a.db", "--run", "a")
    assert (done.status, done.err, done.out.count("\n")) == (0, "", 2)
    assert (
        "  generation run a, generation 0; 1 tasks, 3 blueprints, 3 candidates, 3 evaluations\n" in done.out
    )
    assert library("audit", "--library", "a.db", "--run", "z").out == ""


def test_a_library_of_an_earlier_version_is_upgraded(library) -> None:
    write_run("a.db", "a", 0)
    done = library("upgrade", "--library", "a.db")
    assert (done.status, done.out) == (0, f"a.db has schema {HEAD}, the newest\n")
    with Store.open("a.db") as store, store.writing("downgrade") as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.downgrade(config, "0008")
    changed = f"from schema 0008 to {HEAD}"
    done = library("upgrade", "--library", "a.db")
    assert (done.status, done.out) == (0, f"a.db has schema {HEAD}, the newest (last change: {changed})\n")
    told = json.loads(library("upgrade", "--library", "a.db", "--json").out)
    assert told == {"library": "a.db", "schema": HEAD, "note": changed}
    with Store.open("a.db", onlooker=Onlooker(query_s=60.0)) as store:
        assert store.counts().blueprints == Catalogue(store).facets().num == 3


def test_wrong_usage_exits_with_2(library) -> None:
    for arguments in (
        [],
        ["fly"],
        ["restore", "a.gz"],
        ["merge", "--into", "a.db"],
        ["export", "x", "--top", "0"],
    ):
        done = library(*arguments)
        assert (done.status, done.out) == (2, "")
        assert "Traceback" not in done.err


def test_reading_a_library_as_a_file_loads_no_torch(library) -> None:
    write_run("a.db", "a", 0)
    code = (
        "import sys; from tamiyo.cli import main;"
        "assert main(['library', 'backup', 'a.gz', '--library', 'a.db']) == 0;"
        "assert main(['library', 'restore', 'a.gz', '--into', 'b.db']) == 0;"
        "assert not {'torch', 'cryptography'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert stat.S_ISREG(Path("b.db").stat().st_mode)
