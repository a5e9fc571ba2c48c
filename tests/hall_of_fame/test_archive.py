"""Archives: every row of every table comes back exactly; what was changed or stays shut is refused."""

import gzip
import hashlib
import json
import math
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import writers
from archives import all_rows, fill
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledgers import commit, random_generation
from sqlalchemy import JSON, Float, Integer, LargeBinary, Table, select

from blueprints import LANGUAGE
from hall_of_fame import archive, schema, sealing
from hall_of_fame.archive import Archive, Header, columns, write
from hall_of_fame.database import reading, writing
from hall_of_fame.errors import StoreError
from hall_of_fame.merging import restore
from hall_of_fame.store import Store

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def store(tmp_path: Path):
    fill(tmp_path / "source.db")
    with Store.open(tmp_path / "source.db") as store:
        yield store


def assert_refused(path: Path, *parts: str, passphrase: str | None = None) -> None:
    """Assert that a file is refused in one line that holds `parts`."""
    with pytest.raises(StoreError) as raised:
        Archive(path, passphrase)
    message = str(raised.value)
    assert "\n" not in message
    for part in (str(path), *parts):
        assert part in message


@pytest.mark.parametrize("how", [{}, {"packed": False}, {"passphrase": PASSPHRASE}])
def test_a_library_comes_back_row_by_row(
    store: Store, tmp_path: Path, library_url: str, how: dict[str, Any]
) -> None:
    header = write(store, tmp_path / "file", **how)
    found = Archive(tmp_path / "file", how.get("passphrase"))
    assert found.header == header
    assert header.counts["evaluations"] == store.counts().evaluations
    assert set(header.counts) == {table.name for table in schema.LEDGER}
    restored = restore(found, library_url)
    assert restored.notices == ()
    with Store.open(library_url) as other:
        assert all_rows(other) == all_rows(store)
        assert other.top(5) == store.top(5)
        [told] = [row for row in other.audit_trail() if row.verb == "restore"]
        assert told.counts == restored.added
        assert header.sha256 in told.note


def test_a_restored_library_is_written_on(store: Store, tmp_path: Path, library_url: str) -> None:
    write(store, tmp_path / "file")
    restore(Archive(tmp_path / "file"), library_url)
    with Store.open(library_url) as other:
        assert commit(other, 2, random_generation(2))
        assert other.counts().generations == 3


# Any row


def texts(length: int | None) -> st.SearchStrategy[str]:
    """Return strings that any database takes: no NUL, which PostgreSQL refuses, and no half characters."""
    alphabet = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
    return st.text(alphabet, max_size=min(12, length or 12))


FLOATS = st.sampled_from(
    [0.1 + 0.2, 5e-324, -2.2250738585072014e-308, 1.7976931348623157e308, math.inf, -math.inf, 1e23]
) | st.floats(allow_nan=False)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts(None),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(None), inner, max_size=3),
    max_leaves=6,
)


def value(column: Any) -> st.SearchStrategy[Any]:
    """Return what a column may hold."""
    if isinstance(column.type, Float):
        values = FLOATS
    elif isinstance(column.type, Integer):
        bits = 63 if type(column.type).__name__ == "BigInteger" else 31
        values = st.integers(-(2**bits), 2**bits - 1)
    elif isinstance(column.type, LargeBinary):
        values = st.binary(max_size=40)
    elif isinstance(column.type, JSON):
        return VALUES
    else:
        values = texts(column.type.length)
    return st.none() | values if column.nullable else values


@st.composite
def ledgers_of_any_rows(draw: st.DrawFn) -> list[tuple[Table, list[dict[str, Any]]]]:
    """Return rows for every table, keys unique, what they refer to among them."""
    drawn: dict[str, list[dict[str, Any]]] = {}
    for table in schema.LEDGER:
        rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        for _ in range(draw(st.integers(1, 3))):
            row = {column.name: draw(value(column)) for column in columns(table)}
            for constraint in table.foreign_key_constraints:
                target = draw(st.sampled_from(drawn[constraint.referred_table.name]))
                for key in constraint.elements:
                    row[key.parent.name] = target[key.column.name]
            rows.setdefault(tuple(row[key.name] for key in archive.key_columns(table)), row)
        drawn[table.name] = list(rows.values())
    return [(schema.metadata.tables[name], rows) for name, rows in drawn.items()]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ledgers_of_any_rows())
def test_any_row_of_any_table_comes_back_exactly(rows, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    with Store.open(folder / "a.db", create=True) as store:
        with writing(store.engine) as connection:
            for table, values in rows:
                connection.execute(table.insert(), values)
        write(store, folder / "file")
        restore(Archive(folder / "file"), folder / "b.db")
        with (
            Store.open(folder / "b.db") as other,
            reading(store.engine) as mine,
            reading(other.engine) as theirs,
        ):
            for table, values in rows:
                query = select(*columns(table)).order_by(*archive.key_columns(table))
                found = [repr(row) for row in mine.execute(query)]
                restored = [repr(row) for row in theirs.execute(query)]
                assert len(found) == len(values)
                assert len(restored) == len(values) + (table is schema.audit)
                assert set(found) <= set(restored)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 0.1 + 0.2])
def test_a_float_is_written_to_the_bit(number: float) -> None:
    table = schema.fingerprints
    row = {column.name: 0 for column in columns(table)} | {"scale": number, "data": b"\x00\xff\n"}
    line = json.dumps(archive.encode(table, row), allow_nan=False)
    back = archive.decode(table, json.loads(line))
    assert back["data"] == row["data"]
    assert repr(back["scale"]) == repr(number)


# One moment


def test_a_backup_is_of_one_moment_while_a_writer_goes_on(tmp_path: Path, library_url: str) -> None:
    path = tmp_path / "file"
    with writers.Writers() as crew:
        pid = crew.start(library_url, "run")
        while crew.hear()["event"] != "committed":
            pass
        seen: list[int] = []
        with Store.open(library_url) as store:
            until = time.monotonic() + 200
            while len(set(seen)) < 3 and time.monotonic() < until:
                counts = write(store, path, replace=True).counts
                assert counts["candidates"] == writers.NUM * counts["generations"]
                with gzip.open(path) as file:
                    verbs = [
                        json.loads(line)["verb"] for line in file if line.startswith(b'{"table":"audit"')
                    ]
                assert verbs.count("generation") == counts["generations"]
                seen.append(counts["generations"])
        os.kill(pid, signal.SIGKILL)
        list(crew.hear_until_ended())
    assert len(set(seen)) >= 3
    assert restore(Archive(path), tmp_path / "restored.db").added["generations"] == seen[-1]


def test_equal_libraries_have_equal_digests(store: Store, tmp_path: Path) -> None:
    first = write(store, tmp_path / "a", packed=False)
    assert write(store, tmp_path / "b", passphrase=PASSPHRASE).sha256 == first.sha256
    body = (tmp_path / "a").read_bytes().split(b"\n", 1)[1]
    assert hashlib.sha256(body).hexdigest() == first.sha256
    commit(store, 2, random_generation(2))
    assert write(store, tmp_path / "c").sha256 != first.sha256


# Refusals


def test_a_changed_plain_file_is_refused(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(store, path, packed=False)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for name, changed in {
        "a score": whole.replace(b'"status":"ok"', b'"status":"no"', 1),
        "two rows swapped": b"".join([*lines[:-2], lines[-1], lines[-2]]),
        "a row twice": whole + lines[-1],
        "the end of the last line": whole[:-1],
    }.items():
        assert changed != whole, name
        path.write_bytes(changed)
        assert_refused(path, "its rows were changed", "take another copy")


def test_a_file_that_was_cut_off_is_refused(store: Store, tmp_path: Path) -> None:
    plain, packed, sealed = tmp_path / "plain", tmp_path / "packed", tmp_path / "sealed"
    total = sum(write(store, plain, packed=False).counts.values())
    write(store, packed)
    write(store, sealed, passphrase=PASSPHRASE)
    lines = plain.read_bytes().splitlines(keepends=True)
    plain.write_bytes(b"".join(lines[:5]))
    assert_refused(plain, f"holds 4 of {total} rows")
    for keep in (len(packed.read_bytes()) // 2, len(packed.read_bytes()) - 3):
        packed.write_bytes(packed.read_bytes()[:keep])
        assert_refused(packed, "ends too early")
    for lost in (1, 1000):
        sealed.write_bytes(sealed.read_bytes()[:-lost])
        assert_refused(sealed, "changed or cut off", passphrase=PASSPHRASE)
    sealed.write_bytes(sealed.read_bytes()[:20])
    assert_refused(sealed, "cut off in its head", passphrase=PASSPHRASE)


def test_a_packed_file_with_a_flipped_bit_is_refused(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(store, path)
    whole = path.read_bytes()
    for position in range(len(whole) // 3, len(whole), len(whole) // 5):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        assert_refused(path, "take another copy")


def test_a_sealed_file_opens_to_its_passphrase_alone(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(store, path, passphrase=PASSPHRASE)
    assert Archive(path, PASSPHRASE).is_sealed
    assert_refused(path, "is encrypted", "--passphrase-file")
    assert_refused(path, "a passphrase that does not open it", passphrase=PASSPHRASE + " ")
    whole = path.read_bytes()
    assert b"run" not in whole
    assert PASSPHRASE.encode() not in whole
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    assert_refused(path, "frame 1 is not the one that was written", passphrase=PASSPHRASE)
    with pytest.raises(StoreError, match="an empty passphrase"):
        write(store, tmp_path / "other", passphrase="")


def test_two_sealed_files_of_one_library_share_no_bytes_but_the_head(store: Store, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(store, tmp_path / name, passphrase=PASSPHRASE)
    one, two = ((tmp_path / name).read_bytes()[33:] for name in ("a", "b"))
    assert abs(len(one) - len(two)) < 100
    equal = sum(a == b for a, b in zip(one, two, strict=False)) / len(one)
    assert equal < 0.02  # 1 / 256 by chance


def test_frames_cannot_be_swapped_left_out_or_taken_from_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "FRAME_BYTES", 10)
    path = tmp_path / "file"

    def sealed(data: bytes, seal: sealing.Seal) -> list[bytes]:
        with path.open("wb") as file:
            writer = sealing.SealingWriter(file, seal, first=0)
            writer.write(data)
            writer.finish()
        found = path.read_bytes()
        return [found[start : start + 30] for start in range(0, len(found), 30)]

    def opened(frames: list[bytes]) -> bytes:
        path.write_bytes(b"".join(frames))
        with path.open("rb") as file:
            return sealing.SealedReader(file, seal).read()

    seal = sealing.Seal.new(PASSPHRASE)
    frames = sealed(b"0123456789abcdefghijABCDE", seal)
    others = sealed(b"0123456789abcdefghijABCDE", sealing.Seal.new(PASSPHRASE))
    assert opened(frames) == b"0123456789abcdefghijABCDE"
    first, second, last = frames
    for wrong in ([second, first, last], [first, last], [first, second], [first, second, others[2]], [last]):
        with pytest.raises(sealing.SealedError):
            opened(wrong)


def test_what_is_no_archive_is_refused(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"", b"hello\n", b"[1]\n", b'{"format": "another"}\n', b"\x00" * 3000, b"5"):
        path.write_bytes(content)
        assert_refused(path, "is no archive of a library")
    assert_refused(Path(store.name), "is no archive of a library")
    assert_refused(tmp_path / "missing", "cannot read", "No such file")
    assert_refused(tmp_path, "cannot read", "Is a directory")


def test_rows_in_a_wrong_order_are_refused(store: Store, tmp_path: Path) -> None:
    path, wrong = tmp_path / "file", tmp_path / "wrong"
    header = write(store, path, packed=False)
    lines = path.read_bytes().splitlines(keepends=True)[1:]
    for body, problem in (
        (sorted(lines, key=lambda line: b'"table":"audit"' in line), "a row of audit, comes after "),
        ([b'{"table":"cats","name":"Tama"}\n', *lines], "line 2 is no row of a table of schema"),
        ([lines[0].replace(b'"who"', b'"why"'), *lines[1:]], "line 2 is no row of a table of schema"),
    ):
        digest = hashlib.sha256(b"".join(body)).hexdigest()
        forged = Header(**{**json.loads(header.to_line()), "sha256": digest})
        wrong.write_bytes(forged.to_line() + b"".join(body))
        with pytest.raises(StoreError, match=problem):
            restore(Archive(wrong), tmp_path / "new.db")
        assert not (tmp_path / "new.db").exists()


# Writing


def test_an_existing_file_is_replaced_only_when_asked(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(StoreError, match=r"file exists; expected a new file"):
        write(store, path)
    assert path.read_text() == "precious"
    write(store, path, replace=True)
    assert Archive(path).header.language == LANGUAGE.version_hash


def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StoreError, match=r"cannot write .*No such file or directory; expected a folder"):
        write(store, tmp_path / "missing" / "file")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
    try:
        ways: list[dict[str, Any]] = [{}, {"packed": False}, {"passphrase": PASSPHRASE}]
        for how in ways:
            with pytest.raises(StoreError, match=r"cannot write .*; expected a folder with space"):
                write(store, tmp_path / "file", **how)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    assert [path for path in sorted(tmp_path.iterdir()) if path not in before] == []


def test_without_the_library_that_encrypts_a_passphrase_is_one_line(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(StoreError, match=r"without the package 'cryptography'.*the extra 'backup'"):
        write(store, tmp_path / "file", passphrase=PASSPHRASE)
    assert not (tmp_path / "file").exists()
