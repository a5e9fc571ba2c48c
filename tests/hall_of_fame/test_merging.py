"""Restoring, importing and merging: rows are united by their keys, all or nothing, on either database."""

import json
import math
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import archives
import pytest
from archives import all_rows, fill, sign
from ledgers import TEMPORAL, XOR, commit, random_generation, run_record, without_curves
from sqlalchemy import Float, Integer, LargeBinary, String, Table, Text

from hall_of_fame import database, merging, schema
from hall_of_fame.archive import Archive, Encoded, key_columns, write
from hall_of_fame.database import reading, writing
from hall_of_fame.errors import StoreError
from hall_of_fame.merging import FIRST_STAYS, import_, looked_up, merge, restore
from hall_of_fame.store import Store


@pytest.fixture
def open_store() -> Iterator[Any]:
    """Give a function that opens a library, closed after the test."""
    with ExitStack() as stack:
        yield lambda path: stack.enter_context(Store.open(path))


@pytest.fixture
def runs(tmp_path: Path, open_store) -> tuple[Store, Store]:
    """Give two libraries, of a run each; half of their blueprints are in both."""
    for name, seed in (("a", 0), ("b", 1)):
        fill(tmp_path / f"{name}.db", name, seed=seed)
    return open_store(tmp_path / "a.db"), open_store(tmp_path / "b.db")


def keyed(store: Store, *without: str) -> set[str]:
    """Return every row of a library as text, those of the tables `without` by their key alone."""
    found = set()
    for name, row in all_rows(store):
        keys = [column.name for column in schema.metadata.tables[name].primary_key]
        found.add(json.dumps([name, [row[key] for key in keys] if name in without else row], sort_keys=True))
    return found


def made_row(table: Table, **values: Any) -> dict[str, Any]:
    """Return a row with something in every column that needs it."""
    row = {}
    for column in table.columns:
        if not column.nullable:
            kinds = ((Integer, 1), (Float, 0.5), (LargeBinary, b""), (String, "x"), (Text, "x"))
            row[column.name] = next((value for kind, value in kinds if isinstance(column.type, kind)), {})
    return row | values


def add_proof(store: Store, blueprint_id: str, run_id: str, score: float, seeds: tuple[int, ...]) -> None:
    """Write a proof of a blueprint with a training a seed."""
    of = {"blueprint_id": blueprint_id, "protocol": "p"}
    with writing(store.engine) as connection:
        proof = made_row(schema.proofs, **of, run_id=run_id, generation=0, mean=score)
        connection.execute(schema.proofs.insert(), [proof])
        trainings = [
            made_row(schema.proof_trainings, **of, task_key=XOR.key, seed=seed, score=score) for seed in seeds
        ]
        connection.execute(schema.proof_trainings.insert(), trainings)


def refusal(action: Any, *arguments: Any) -> str:
    """Return the one line that an action ends with."""
    with pytest.raises(StoreError) as raised:
        action(*arguments)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# Merging


def test_two_runs_libraries_become_one(runs: tuple[Store, Store], library_url: str, open_store) -> None:
    merged = merge(runs, library_url)
    store = open_store(library_url)
    assert keyed(store, "blueprints", "latencies") == keyed(runs[0], "blueprints", "latencies") | keyed(
        runs[1], "blueprints", "latencies"
    )
    for run_id, source in zip("ab", runs, strict=True):
        for generation in (0, 1):
            assert store.candidates(run_id, generation) == source.candidates(run_id, generation)
        own = [row for row in store.evaluations() if row.run_id == run_id]
        assert {repr(row) for row in own} == {repr(row) for row in source.evaluations()}
    assert merged.known["blueprints"] > 0
    assert merged.added["blueprints"] == store.counts().blueprints
    first = set(runs[0].ids())
    for id_ in store.ids():
        assert store.blueprint(id_) == runs[0 if id_ in first else 1].blueprint(id_)
    [told] = [row for row in store.audit_trail() if row.verb == "merge"]
    assert told.counts == merged.added
    assert [row.run_id for row in store.audit_trail()].count("b") == len(runs[1].audit_trail())


def test_merging_again_changes_nothing(runs: tuple[Store, Store], library_url: str, open_store) -> None:
    first = merge(runs, library_url)
    before = all_rows(open_store(library_url))
    again = merge(runs[::-1], library_url)
    store = open_store(library_url)
    assert again.added == {}
    assert sum(again.known.values()) == sum(first.added.values()) + sum(first.known.values())
    assert all_rows(store) == before
    assert [row.verb for row in store.audit_trail()].count("merge") == 1


def test_the_order_of_libraries_decides_only_who_was_first(
    runs: tuple[Store, Store], tmp_path: Path, open_store
) -> None:
    merge(runs, tmp_path / "ab.db")
    merge(runs[::-1], tmp_path / "ba.db")
    ways = [open_store(tmp_path / name) for name in ("ab.db", "ba.db")]
    one, other = (keyed(store, "blueprints", "latencies") for store in ways)
    assert one == other


def test_an_earlier_copy_of_a_library_adds_what_came_since(tmp_path: Path, library_url: str) -> None:
    fill(tmp_path / "a.db")
    with Store.open(tmp_path / "a.db") as store:
        write(store, tmp_path / "first")
        commit(store, 2, random_generation(2))
        write(store, tmp_path / "second")
        restore(Archive(tmp_path / "first"), library_url)
        with Store.open(library_url) as other:
            added = import_(Archive(tmp_path / "second"), other).added
            assert (added["generations"], added["candidates"], added["audit"]) == (1, 16, 1)
            assert all_rows(other) == all_rows(store)


def test_a_row_that_differs_is_refused_with_the_difference_and_nothing_is_written(
    runs: tuple[Store, Store], library_url: str, tmp_path: Path, open_store
) -> None:
    merge(runs, library_url)
    before = all_rows(open_store(library_url))
    write(runs[0], tmp_path / "file", packed=False)
    header, *lines = (tmp_path / "file").read_bytes().splitlines(keepends=True)
    for table, column, changed in (
        ("runs", "seed", 8),
        ("tasks", "knobs", {"num_train": 65}),
        ("generations", "metrics", {"reward_mean": 0.25}),
        ("candidates", "tokens", "GELU"),
        ("evaluations", "score", 2.5),
        ("fingerprints", "scale", 7.0),
        ("audit", "who", "somebody@else"),
    ):
        index = max(i for i, line in enumerate(lines) if f'"table":"{table}"'.encode() in line)
        row = json.loads(lines[index])
        forged = [*lines[:index], json.dumps({**row, column: changed}).encode() + b"\n", *lines[index + 1 :]]
        path = sign(tmp_path / "forged", header, forged)
        with Store.open(library_url) as store:
            message = refusal(import_, Archive(path), store)
            assert all_rows(store) == before
        assert f"{path} has other {table} under " in message
        assert f": {column} {changed!r}; expected {row[column]!r}"[:60] in message
        assert "nothing was written" in message


def test_a_proof_on_record_stays_with_its_own_trainings(
    runs: tuple[Store, Store], library_url: str, open_store
) -> None:
    one, other = runs
    both = sorted(set(one.ids()) & set(other.ids()))
    alone = sorted(set(other.ids()) - set(one.ids()))
    add_proof(one, both[0], "a", 0.5, (1, 2))
    add_proof(other, both[0], "b", 0.75, (2, 3))
    add_proof(other, alone[0], "b", 0.25, (2,))
    merged = merge(runs, library_url)
    assert merged.added["proofs"] == 2
    found = [row for name, row in all_rows(open_store(library_url)) if name == "proof_trainings"]
    trainings = {(row["blueprint_id"], row["seed"], row["score"]) for row in found}
    assert trainings == {(both[0], 1, 0.5), (both[0], 2, 0.5), (alone[0], 2, 0.25)}


# All or nothing


def test_a_killed_restore_leaves_an_empty_library_or_the_whole(tmp_path: Path) -> None:
    fill(tmp_path / "a.db", num=4)
    with Store.open(tmp_path / "a.db") as store:
        total = sum(write(store, tmp_path / "file").counts.values())
        expected = all_rows(store)
    into = tmp_path / "b.db"
    words = [sys.executable, archives.__file__, "restore", tmp_path / "file", into]
    for last in (0, 1, total // 3, total // 2, total - 1):
        done = subprocess.run([*words, str(last)])
        assert done.returncode == -signal.SIGKILL
        with Store.open(into) as store:
            assert all_rows(store) == []
    subprocess.run([*words, str(total)], check=True)
    with Store.open(into) as store:
        assert all_rows(store) == expected


def test_a_killed_import_is_told_of_holds_its_run_and_goes_on(tmp_path: Path, library_url: str) -> None:
    fill(tmp_path / "a.db", num=4)
    with Store.open(tmp_path / "a.db") as store:
        total = sum(write(store, tmp_path / "file").counts.values())
        expected = keyed(store, *FIRST_STAYS)
    with Store.open(library_url, create=True) as store:
        store.add_run(run_record("mine"))
    words = [sys.executable, archives.__file__, "import"]
    for number, last in enumerate((2 * archives.ROWS_A_TURN + 1, total // 2, total - 1)):
        done = subprocess.run([*words, tmp_path / "file", library_url, str(last)])
        assert done.returncode == -signal.SIGKILL
        with Store.open(library_url) as store:
            there = keyed(store, *FIRST_STAYS) & expected
            assert archives.ROWS_A_TURN <= len(there) <= last
            assert {(row.verb, row.run_id) for row in store.unfinished()} == {("import begun", "run")}
            assert commit(store, number, random_generation(number), run_id="mine")
    with Store.open(library_url) as store:
        last_generation = store.last_generation("run")
        assert last_generation is not None
        message = refusal(commit, store, last_generation.generation + 1, random_generation(9))
        assert "run run is there in part: import begun at " in message
        assert "; end it with the same command: " in message
    (tmp_path / "file").rename(tmp_path / "renamed")
    subprocess.run([*words, tmp_path / "renamed", library_url, str(total)], check=True)
    with Store.open(library_url) as store:
        assert store.unfinished() == []
        assert keyed(store, *FIRST_STAYS) >= expected
        assert store.counts("mine").generations == 3
        assert commit(store, 4, random_generation(9))


def test_a_killed_merge_goes_on_with_proofs_and_all(
    runs: tuple[Store, Store], tmp_path: Path, monkeypatch, open_store
) -> None:
    add_proof(runs[0], runs[0].ids()[0], "a", 0.5, (1, 2, 3))
    write(runs[0], tmp_path / "file")
    archive = Archive(tmp_path / "file")
    total = sum(archive.header.counts.values())
    merge(runs[1:], tmp_path / "whole.db")
    import_(archive, open_store(tmp_path / "whole.db"))
    expected = keyed(open_store(tmp_path / "whole.db"))
    monkeypatch.setattr(merging, "ROWS_A_TURN", 1)
    monkeypatch.setattr(merging, "PAUSE_S", 0.0)

    class Stopping(archives.Dying):
        def die(self) -> None:
            raise KeyboardInterrupt

    proofs = [table.name for table in schema.metadata.sorted_tables].index("proofs")
    before = sum(list(archive.header.counts.values())[: proofs + 1])
    for last in range(before - 1, total, 2):
        merge(runs[1:], tmp_path / f"{last}.db")
        stopping = Stopping(tmp_path / "file")
        stopping.last = total + last
        with Store.open(tmp_path / f"{last}.db") as store:
            with pytest.raises(KeyboardInterrupt):
                import_(stopping, store)
            assert [row.run_id for row in store.unfinished()] == ["a"]
            import_(archive, store)
            assert (keyed(store), store.unfinished()) == (expected, [])


def test_an_import_lets_a_writer_in_between_its_turns(
    runs: tuple[Store, Store], tmp_path: Path, monkeypatch, library_url: str
) -> None:
    """The writer comes while the import reads on, and waits so short that any lock left would end it."""
    write(runs[0], tmp_path / "file")
    with Store.open(library_url, create=True) as store:
        store.add_run(run_record("mine"))
    monkeypatch.setattr(merging, "ROWS_A_TURN", 25)
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.2)
    passes: list[int] = []

    class Beside(Archive):
        """An archive beside whose reader somebody else writes, every 25 rows."""

        def rows(self, tables: Mapping[str, Table]) -> Iterator[tuple[Table, Encoded]]:
            passes.append(0)
            for number, row in enumerate(super().rows(tables)):
                if number % 25 == 10:
                    with Store.open(library_url) as writer:
                        assert commit(writer, sum(passes), random_generation(0, num=1), run_id="mine")
                    passes[-1] += 1
                yield row

    with Store.open(library_url) as store:
        import_(Beside(tmp_path / "file"), store)
        assert len(passes) == 2
        assert passes[-1] >= 5
        assert store.counts("mine").generations == sum(passes)
        assert keyed(store, *FIRST_STAYS) >= keyed(runs[0], *FIRST_STAYS)
        assert store.unfinished() == []


def test_a_restore_that_fails_takes_its_file_away_again(tmp_path: Path) -> None:
    fill(tmp_path / "a.db")
    with Store.open(tmp_path / "a.db") as store:
        write(store, tmp_path / "file", packed=False)
    header, *lines = (tmp_path / "file").read_bytes().splitlines(keepends=True)
    twice = sign(tmp_path / "twice", header, [*lines, lines[-1]])
    assert "cannot restore into" in refusal(restore, Archive(twice), tmp_path / "b.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.db", "file", "twice"]


def test_a_full_disk_ends_a_restore_in_one_line(tmp_path: Path) -> None:
    fill(tmp_path / "a.db", num=4)
    with Store.open(tmp_path / "a.db") as store:
        write(store, tmp_path / "file")
    archive = Archive(tmp_path / "file")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "a.db").stat().st_size // 2, limit[1]))
    try:
        message = refusal(restore, archive, tmp_path / "b.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    assert message.startswith("cannot restore into ")
    assert "what was recorded before is still there" in message
    assert not (tmp_path / "b.db").exists()


def test_only_an_empty_library_is_restored_into(
    runs: tuple[Store, Store], tmp_path: Path, library_url: str
) -> None:
    write(runs[0], tmp_path / "file")
    with Store.open(library_url, create=True) as store:
        store.add_run(run_record("mine"))
        before = all_rows(store)
    message = refusal(restore, Archive(tmp_path / "file"), library_url)
    assert "holds runs already; expected a new or an empty library" in message
    with Store.open(library_url) as store:
        assert all_rows(store) == before


def test_a_run_goes_on_while_another_is_imported(
    runs: tuple[Store, Store], tmp_path: Path, library_url
) -> None:
    write(runs[0], tmp_path / "file")
    errors = []
    with Store.open(library_url, create=True) as store:
        store.add_run(run_record("run"))

    def search() -> None:
        try:
            with Store.open(library_url) as store:
                for number in range(6):
                    commit(store, number, random_generation(number))
        except StoreError as error:
            errors.append(error)

    thread = threading.Thread(target=search)
    thread.start()
    with Store.open(library_url) as store:
        import_(Archive(tmp_path / "file"), store)
    thread.join()
    assert errors == []
    with Store.open(library_url) as store:
        assert [store.counts(run_id).generations for run_id in ("run", "a")] == [6, 2]
        assert store.counts("a").evaluations == runs[0].counts().evaluations


def test_sqlite_refuses_what_it_would_change(tmp_path: Path) -> None:
    fill(tmp_path / "a.db")
    with Store.open(tmp_path / "a.db") as store:
        write(store, tmp_path / "file", packed=False)
    header, *lines = (tmp_path / "file").read_bytes().splitlines(keepends=True)
    row = json.loads(lines[-1])
    assert math.isfinite(row["ratio"])
    path = sign(tmp_path / "nan", header, [*lines[:-1], json.dumps({**row, "ratio": "NaN"}).encode() + b"\n"])
    message = refusal(restore, Archive(path), tmp_path / "b.db")
    assert "has no number in latencies.ratio; expected a number or nothing" in message


# Parts


def test_a_runs_part_is_a_library_of_its_own(runs: tuple[Store, Store], tmp_path: Path, open_store) -> None:
    merge(runs, tmp_path / "both.db")
    both = open_store(tmp_path / "both.db")
    add_proof(both, sorted(set(runs[0].ids()) & set(runs[1].ids()))[0], "b", 0.5, (1,))
    header = write(both, tmp_path / "part", run_id="b")
    restored = restore(Archive(tmp_path / "part"), tmp_path / "part.db")
    assert restored.notices == ("it holds a part of a library",)
    part = open_store(tmp_path / "part.db")
    assert (part.counts("b"), part.metrics("b")) == (both.counts("b"), both.metrics("b"))
    assert part.counts("a").evaluations == part.counts("a").candidates == 0
    assert {entry.id for entry in part.top(99)} == {entry.id for entry in runs[1].top(99)}
    assert part.audit_trail("b") == both.audit_trail("b")
    assert header.counts["proof_trainings"] == header.counts["proofs"] == 1
    assert header.counts["tasks"] == len([TEMPORAL, XOR])


def test_the_best_are_a_part_too(runs: tuple[Store, Store], tmp_path: Path, open_store) -> None:
    merge(runs, tmp_path / "both.db")
    both = open_store(tmp_path / "both.db")
    write(both, tmp_path / "part", top=3)
    restore(Archive(tmp_path / "part"), tmp_path / "part.db")
    part = open_store(tmp_path / "part.db")
    assert part.ids() == sorted(entry.id for entry in both.top(3))
    assert [entry.performance for entry in part.top(9)] == [entry.performance for entry in both.top(3)]
    assert repr([part.evaluations(id_) for id_ in part.ids()]) == repr(
        [both.evaluations(id_) for id_ in part.ids()]
    )
    write(both, tmp_path / "both", run_id="b", top=2)
    added = import_(Archive(tmp_path / "both"), part).added
    assert set(part.ids()) == {entry.id for entry in [*both.top(3), *both.top(2, run_id="b")]}
    assert added.get("audit", 0) == len(both.audit_trail("b"))


# Other versions


def test_an_archive_of_an_earlier_schema_is_upgraded_on_the_way(tmp_path: Path, library_url: str) -> None:
    fill(tmp_path / "a.db")
    with Store.open(tmp_path / "a.db") as store:
        ids, top = store.ids(), store.top(5)
        evaluations = without_curves({id_: store.evaluations(id_) for id_ in ids})
        write(store, tmp_path / "file", packed=False)
    header, *lines = (tmp_path / "file").read_bytes().splitlines(keepends=True)
    rows = [json.loads(line) for line in lines]
    earlier = []
    for row in rows:
        if row["table"] == "candidates":
            del row["parents"]
        if row["table"] == "evaluations":
            del row["planned_steps"], row["loss_curve"]
        if row["table"] != "audit":
            earlier.append(json.dumps(row).encode() + b"\n")
    path = sign(tmp_path / "earlier", header, earlier, revision="0004")
    restored = restore(Archive(path), library_url)
    assert restored.notices == (f"its tables were of schema 0004 and are now of {schema.HEAD}",)
    with Store.open(library_url) as store:
        assert store.top(5) == top
        assert repr({id_: store.evaluations(id_) for id_ in ids}) == repr(evaluations)
        assert [row.verb for row in store.audit_trail()] == ["upgrade", "restore"]


def test_the_columns_of_an_earlier_schema_are_those_that_its_migrations_made(tmp_path: Path) -> None:
    fill(tmp_path / "a.db")
    with Store.open(tmp_path / "a.db") as store:
        write(store, tmp_path / "file", packed=False)
    header, *lines = (tmp_path / "file").read_bytes().splitlines(keepends=True)
    path = sign(tmp_path / "earlier", header, lines, revision="0004")
    message = refusal(restore, Archive(path), tmp_path / "b.db")
    assert "line 2 is no row of a table of schema 0004" in message


def test_an_archive_of_a_newer_schema_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "a.db")
    with Store.open(tmp_path / "a.db") as store:
        write(store, tmp_path / "file", packed=False)
    header, *lines = (tmp_path / "file").read_bytes().splitlines(keepends=True)
    path = sign(tmp_path / "newer", header, lines, revision="9999")
    message = refusal(restore, Archive(path), tmp_path / "b.db")
    assert f"has tables of schema 9999; expected {schema.HEAD} or an older one; use the newer" in message


def test_an_archive_of_another_language_is_taken_and_told(tmp_path: Path) -> None:
    fill(tmp_path / "a.db")
    with Store.open(tmp_path / "a.db") as store:
        write(store, tmp_path / "file", packed=False)
    header, *lines = (tmp_path / "file").read_bytes().splitlines(keepends=True)
    path = sign(tmp_path / "other", header, lines, language="f" * 64)
    [notice] = restore(Archive(path), tmp_path / "b.db").notices
    assert notice.startswith("written under language ffffffffffff, this is ")
    with Store.open(tmp_path / "b.db") as store, Store.open(tmp_path / "a.db") as source:
        assert all_rows(store) == all_rows(source)


def test_rows_are_looked_up_by_an_index_in_every_table(tmp_path: Path) -> None:
    fill(tmp_path / "a.db")
    with Store.open(tmp_path / "a.db") as store, reading(store.engine) as connection:
        for table in schema.LEDGER:
            keys = key_columns(table)
            batch = [
                {key.name: n if isinstance(key.type, Integer) else str(n) for key in keys} for n in range(3)
            ]
            query = looked_up(table, batch).compile(
                dialect=store.engine.dialect, compile_kwargs={"literal_binds": True}
            )
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all()
            steps = [step[-1] for step in plan]
            assert [step for step in steps if step.startswith(f"SEARCH {table.name} USING")], steps
            assert not [step for step in steps if "SCAN" in step], steps
