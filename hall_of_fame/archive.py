"""Ledgers as files: writes JSON Lines of every row, plain, packed or sealed, and reads them back exactly.

    {"format": "tamiyo ledger 1", "revision": "0005", ..., "counts": {"runs": 1, ...}, "sha256": "..."}
    {"table": "runs", "id": "demo", "seed": 7, ...}
    {"table": "generations", ...}

The first line tells how many rows of which table follow and the SHA-256 of all that follows. Then comes a
line a row, a table after those that it refers to. Floats are written so that they are read back bit for bit,
as text where they are no finite numbers ("NaN", "Infinity"); bytes are base64. The surrogate key of the
evaluations is left out: rows come in its order. `gzip -dc` unpacks a backup without a passphrase. Rows pass
one by one, whatever the size of the ledger; putting them into a library is left to `merging.py`.
"""

import base64
import gzip
import hashlib
import io
import json
import math
import os
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Column, Connection, Float, LargeBinary, Table, UniqueConstraint, select
from sqlalchemy.types import TypeEngine

from blueprints import LANGUAGE
from hall_of_fame import schema, sealing
from hall_of_fame.database import reading, translated
from hall_of_fame.errors import StoreError
from hall_of_fame.selection import Selection
from hall_of_fame.store import Store

FORMAT = "tamiyo ledger 1"

#: A row as its line tells it: JSON values by the names of the columns.
Encoded = dict[str, Any]

_GZIP = b"\x1f\x8b"
_MAX_HEADER_BYTES = 1 << 20
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first line of an archive.

    Attributes:
        format: of the file.
        revision: of the tables.
        language: version hash of the package that wrote it; each blueprint carries its own besides.
        created: when, in UTC.
        run_id: the run that it is limited to; None holds every run.
        top: how many of the best blueprints it is limited to; None holds them all.
        counts: rows by table, in the order of the tables.
        sha256: of all bytes after the first line.
    """

    format: str = FORMAT
    revision: str = schema.HEAD
    language: str = LANGUAGE.version_hash
    created: str
    run_id: str | None
    top: int | None
    counts: dict[str, int]
    sha256: str

    def to_line(self) -> bytes:
        """Return the line, its end included."""
        return _line(asdict(self))

    @classmethod
    def from_line(cls, line: bytes) -> "Header":
        """Return what a line says; raise ValueError or TypeError for anything else."""
        values = json.loads(line)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ValueError("no header")
        return cls(**values)


def write(
    store: Store,
    path: Path,
    *,
    run_id: str | None = None,
    top: int | None = None,
    passphrase: str | None = None,
    packed: bool = True,
    replace: bool = False,
) -> Header:
    """Write a library, as it is at one moment, and return the file's header; writers may go on meanwhile.

    The file appears whole or not at all. While it is written, as much space again is needed beside it.

    Args:
        store: the library.
        path: the file.
        run_id: limit it to what belongs to this run.
        top: limit it to so many of the best blueprints.
        passphrase: encrypt it.
        packed: compress it; a file with a passphrase always is.
        replace: take the place of a file that exists.
    """
    if path.exists() and not replace:
        raise StoreError(f"{path} exists", expected="a new file", mend="give another name, or --force")
    seal = None if passphrase is None else sealing.Seal.new(passphrase)
    selection = Selection.of(store, run_id=run_id, top=top)
    part = path.with_name(f"{path.name}.part")
    with _written(path), tempfile.TemporaryFile(dir=path.parent) as body:
        lines = _Lines()
        with (
            _packing(body, seal, packed) as file,
            translated("read", store.engine.url),
            reading(store.engine) as connection,
        ):
            for table, row in read_rows(connection, selection):
                file.write(lines.add(table.name, row))
        header = Header(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            run_id=run_id,
            top=top,
            counts={table.name: lines.counts[table.name] for table in schema.LEDGER},
            sha256=lines.digest.hexdigest(),
        )
        try:
            with part.open("wb") as file:
                file.write(_head(header, seal, packed))
                body.seek(0)
                shutil.copyfileobj(body, file, 1 << 20)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            with suppress(OSError):
                part.unlink()
    return header


@dataclass
class _Lines:
    """What was written so far: rows by table and the digest of their lines."""

    counts: Counter[str] = field(default_factory=Counter)
    digest: Any = field(default_factory=hashlib.sha256)

    def add(self, table: str, row: Encoded) -> bytes:
        """Return the line of a row, counted."""
        line = _line({"table": table, **row})
        self.counts[table] += 1
        self.digest.update(line)
        return line


@contextmanager
def _packing(body: IO[bytes], seal: sealing.Seal | None, packed: bool) -> Iterator[IO[bytes]]:
    """Give a stream whose bytes go into `body` packed and sealed; the header's frame comes before them."""
    if seal is None and not packed:
        yield body
        return
    below = None if seal is None else sealing.SealingWriter(body, seal, first=1)
    fileobj: Any = below or body
    with gzip.GzipFile(filename="", fileobj=fileobj, mode="wb", compresslevel=6, mtime=0) as file:
        yield file  # pyright: ignore[reportReturnType] - a binary file in all but name
    if below is not None:
        below.finish()


def _head(header: Header, seal: sealing.Seal | None, packed: bool) -> bytes:
    """Return the bytes that come before the body: packed streams may follow one another."""
    line = header.to_line()
    if seal is None:
        return gzip.compress(line, mtime=0) if packed else line
    return seal.head + seal.close(gzip.compress(line, mtime=0), 0, is_last=False)


class Archive:
    """A file that `write` wrote, found whole and unchanged.

    Attributes:
        path: where it lies.
        header: its first line.
        is_sealed: whether it needed a passphrase.
    """

    def __init__(self, path: Path, passphrase: str | None = None) -> None:
        """Read all of it once; raise StoreError for what is no archive, was changed or stays shut."""
        self.path = path
        self._seal: sealing.Seal | None = None
        with self._reading():
            with path.open("rb") as file:
                self.is_sealed = file.read(len(sealing.MAGIC)) == sealing.MAGIC
                if self.is_sealed:
                    file.seek(0)
                    self._seal = sealing.Seal.of(file, self._needed(passphrase))
            self.header = self._verified()

    def rows(self, tables: Mapping[str, Table]) -> Iterator[tuple[Table, Encoded]]:
        """Yield the rows in their order, each with its table among `tables`."""
        order = list(tables)
        last = 0
        with self._reading(), self._opened() as file:
            file.readline()
            for number, line in enumerate(file, 2):
                row = json.loads(line)
                table = tables.get(row.pop("table", ""))
                if table is None or row.keys() != set(names_of(table)):
                    raise self._refusal(
                        f"line {number} is no row of a table of schema {self.header.revision}"
                    )
                if order.index(table.name) < last:
                    raise self._refusal(f"line {number}, a row of {table.name}, comes after {order[last]}")
                last = order.index(table.name)
                yield table, row

    def _verified(self) -> Header:
        digest, num = hashlib.sha256(), 0
        with self._opened() as file:
            try:
                header = Header.from_line(file.readline(_MAX_HEADER_BYTES))
            except (ValueError, TypeError) as error:
                raise StoreError(
                    f"{self.path} is no archive of a library",
                    expected="a file that `tamiyo library backup` or `export` wrote",
                    mend="check the path",
                ) from error
            for line in file:
                digest.update(line)
                num += 1
        if digest.hexdigest() != header.sha256:
            total = sum(header.counts.values())
            raise self._refusal(f"holds {num} of {total} rows" if num < total else "its rows were changed")
        return header

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        """Give the lines, unsealed and unpacked."""
        with self.path.open("rb") as file:
            if self._seal is not None:
                file.seek(len(self._seal.head))
                below: Any = io.BufferedReader(sealing.SealedReader(file, self._seal), 1 << 17)
            else:
                below = file
            if self._seal is None and file.peek(2)[:2] != _GZIP:
                yield file
                return
            with gzip.GzipFile(fileobj=below, mode="rb") as unpacked:
                yield io.BufferedReader(unpacked, 1 << 17)  # pyright: ignore[reportArgumentType, reportReturnType]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sealing.SealedError as error:
            raise StoreError(
                f"{self.path}: {error.came}", expected=error.expected, mend=error.mend
            ) from error
        except EOFError as error:
            raise self._refusal("ends too early") from error
        except (gzip.BadGzipFile, zlib.error, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise self._refusal("cannot be unpacked") from error
        except OSError as error:
            raise StoreError(
                f"cannot read {self.path}: {error.strerror}",
                expected="a file that can be read",
                mend="check its path and permissions",
            ) from error

    def _needed(self, passphrase: str | None) -> str:
        if passphrase is None:
            raise StoreError(
                f"{self.path} is encrypted",
                expected="its passphrase",
                mend="give --passphrase-file, or $TAMIYO_PASSPHRASE",
            )
        return passphrase

    def _refusal(self, problem: str) -> StoreError:
        return StoreError(
            f"{self.path}: {problem}",
            expected="the file as it was written",
            mend="nothing of it was taken; take another copy",
        )


# Rows


@cache
def columns(table: Table) -> tuple[Column[Any], ...]:
    """Return the columns that an archive holds: all but a surrogate key."""
    return tuple(column for column in table.columns if column is not table.autoincrement_column)


def key_columns(table: Table) -> list[Column[Any]]:
    """Return the columns that tell one row from another wherever it is."""
    if table.autoincrement_column is None:
        return list(table.primary_key.columns)
    [unique] = [found for found in table.constraints if isinstance(found, UniqueConstraint)]
    return list(unique.columns)


def read_rows(connection: Connection, selection: Selection | None = None) -> Iterator[tuple[Table, Encoded]]:
    """Yield every row, or the selected ones, a table after those that it refers to."""
    for table in schema.LEDGER:
        query = select(*columns(table)).order_by(*_order(table))
        if selection is not None:
            query = query.where(*selection.where(table))
        found = connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE))
        for row in found.mappings():
            yield table, encode(table, row)


def encode(table: Table, row: Mapping[Any, Any]) -> Encoded:
    """Return a row as JSON values; `decode` is the inverse."""
    encoded = {name: row[name] for name in names_of(table)}
    for name in names_of(table, LargeBinary):
        if encoded[name] is not None:
            encoded[name] = base64.b64encode(encoded[name]).decode()
    for name in names_of(table, Float):
        value = encoded[name]
        if value is not None and not math.isfinite(value):
            encoded[name] = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return encoded


def decode(table: Table, row: Encoded) -> dict[str, Any]:
    """Return the row that `encode` was given."""
    decoded = dict(row)
    for name in names_of(table, LargeBinary):
        if decoded[name] is not None:
            decoded[name] = base64.b64decode(decoded[name])
    for name in names_of(table, Float):
        if isinstance(decoded[name], str):
            decoded[name] = float(decoded[name])
    return decoded


@cache
def names_of(table: Table, kind: type[TypeEngine[Any]] = TypeEngine) -> tuple[str, ...]:
    """Return the names of the columns of one kind."""
    return tuple(column.name for column in columns(table) if isinstance(column.type, kind))


def _order(table: Table) -> list[Column[Any]]:
    """Return what rows are ordered by: the surrogate key, time for the trail, else the key."""
    if table.autoincrement_column is not None:
        return [table.autoincrement_column]
    return ([table.c.created] if table is schema.audit else []) + list(table.primary_key.columns)


def _line(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, allow_nan=False, separators=(",", ":")).encode() + b"\n"


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Raise what the file system refuses as one clear line."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror}",
            expected="a folder with space that can be written",
            mend="check its space and permissions",
        ) from error
