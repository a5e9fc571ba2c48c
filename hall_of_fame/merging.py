"""Puts the rows of archives and of other libraries into a library, in one transaction, or says why not.

Rows are united by their keys: a row that comes twice is there once. A row that differs from the one on record
under its key is refused, and nothing is written then. Some rows are facts of whoever was first, so what is
on record stays: who found a blueprint, its measured latency on a device, its proof under a protocol. The
trainings of a proof come and stay with it.
"""

import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Select, Table, create_engine, select

from blueprints import LANGUAGE
from hall_of_fame import audit, schema
from hall_of_fame.archive import Archive, Encoded, columns, decode, encode, key_columns, read_rows
from hall_of_fame.database import (
    MIGRATIONS,
    dump_json,
    migrate,
    open_database,
    parse_url,
    reading,
    show,
    translated,
    writing,
)
from hall_of_fame.errors import StoreError
from hall_of_fame.store import Store

#: Tables whose rows tell who was first.
FIRST_STAYS = ("blueprints", "latencies", "proofs")

_ROWS_AT_ONCE = 500

Rows = Iterable[tuple[Table, Encoded]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What a library was given.

    Attributes:
        added: new rows by table, without the one that tells of this in the audit trail.
        known: rows by table that were on record already.
        notices: what the caller should hear about.
    """

    added: dict[str, int]
    known: dict[str, int]
    notices: tuple[str, ...] = ()


def restore(archive: Archive, path_or_url: str | Path) -> Merged:
    """Make the library that an archive holds, where there is none or an empty one.

    Killed at any moment it leaves an empty library, or none, or the whole one.
    """
    with _made(path_or_url) as store, _rows_of(archive) as rows:
        merged = _absorb(store, [(str(archive.path), rows)], "restore", _described(archive), fresh=True)
    return _with_notices(merged, archive)


def import_(archive: Archive, store: Store) -> Merged:
    """Add the rows of an archive to a library that exists."""
    with _rows_of(archive) as rows:
        merged = _absorb(store, [(str(archive.path), rows)], "import", _described(archive))
    return _with_notices(merged, archive)


def merge(sources: Sequence[Store], path_or_url: str | Path) -> Merged:
    """Unite libraries in one that exists or is made; each is read as it is at one moment."""
    with _made(path_or_url) as store:
        rows = [(source.name, _rows_of_library(source)) for source in sources]
        return _absorb(store, rows, "merge", ", ".join(source.name for source in sources))


@contextmanager
def _made(path_or_url: str | Path) -> Iterator[Store]:
    """Give the library, made if need be; a file that was made is taken away again if what follows fails."""
    url = parse_url(path_or_url)
    file = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
    is_new = file is not None and not file.exists()
    try:
        with Store.open(path_or_url, create=True) as store:
            yield store
    except BaseException:
        if is_new and file is not None:
            for suffix in ("", "-wal", "-shm"):
                with suppress(OSError):
                    file.with_name(file.name + suffix).unlink()
        raise


def _absorb(
    store: Store, sources: Sequence[tuple[str, Rows]], verb: str, note: str, *, fresh: bool = False
) -> Merged:
    """Write the rows of all sources and what the trail tells of it, in one transaction."""
    counts = _Counts()
    with translated(f"{verb} into", store.engine.url), writing(store.engine) as connection:
        if fresh:
            _check_empty(connection)
        for source, rows in sources:
            proved: set[tuple[str, str]] = set()
            for table, group in groupby(rows, key=lambda pair: pair[0]):
                while batch := [row for _, row in islice(group, _ROWS_AT_ONCE)]:
                    new = batch if fresh else _unknown(connection, table, batch, source)
                    new = _with_their_proofs(table, new, proved)
                    _insert(connection, table, new, source)
                    counts.added[table.name] += len(new)
                    counts.known[table.name] += len(batch) - len(new)
        added = dict(+counts.added)
        if added:
            audit.record(connection, verb, counts=added, note=note)
    return Merged(added=added, known=dict(+counts.known))


@dataclass
class _Counts:
    added: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)


def _with_their_proofs(table: Table, new: list[Encoded], proved: set[tuple[str, str]]) -> list[Encoded]:
    """Return `new` without trainings of a proof that stays out; `proved` collects the proofs that come in."""
    if table is schema.proofs:
        proved.update((row["blueprint_id"], row["protocol"]) for row in new)
    if table is schema.proof_trainings:
        return [row for row in new if (row["blueprint_id"], row["protocol"]) in proved]
    return new


def _check_empty(connection: Connection) -> None:
    """Refuse a library that holds more than the trail of how it was made."""
    for table in schema.metadata.sorted_tables:
        if table is not schema.audit and connection.execute(select(table).limit(1)).first() is not None:
            raise StoreError(
                f"{show(connection.engine.url)} holds {table.name} already",
                expected="a new or an empty library",
                mend="restore under another name, or add to this one with `tamiyo library import`",
            )


def _unknown(connection: Connection, table: Table, batch: list[Encoded], source: str) -> list[Encoded]:
    """Return the rows that are not on record, each once; refuse one that differs from what is."""
    names = [column.name for column in key_columns(table)]
    record = _on_record(connection, table, batch)
    new = []
    for row in batch:
        key = tuple(row[name] for name in names)
        known = record.setdefault(key, row)
        if known is row:
            new.append(row)
        elif known != row and table.name not in (*FIRST_STAYS, "proof_trainings"):
            raise _conflict(table, dict(zip(names, key, strict=True)), known, row, source)
    return new


def _on_record(connection: Connection, table: Table, batch: list[Encoded]) -> dict[tuple[Any, ...], Encoded]:
    """Return the rows on record under the keys of `batch`, by key."""
    names = [column.name for column in key_columns(table)]
    found = connection.execute(looked_up(table, batch)).mappings()
    return {tuple(row[name] for name in names): row for row in (encode(table, row) for row in found)}


def looked_up(table: Table, batch: list[Encoded]) -> Select[Any]:
    """Return the query for all rows under the keys of `batch`, and perhaps some more.

    Asked for column by column, since SQLite looks through the whole table for keys of several columns.
    """
    query = select(*columns(table))
    for column in key_columns(table):
        query = query.where(column.in_({row[column.name] for row in batch}))
    return query


def _conflict(table: Table, key: Encoded, ours: Encoded, theirs: Encoded, source: str) -> StoreError:
    name = next(name for name in ours if ours[name] != theirs[name])
    where = ", ".join(f"{column} {value}" for column, value in key.items())
    return StoreError(
        f"{source} has other {table.name} under {where}: {name} {_short(theirs[name])}",
        expected=f"{_short(ours[name])}, which is on record",
        mend="nothing was written; keep these libraries apart, or export a run of it with --run",
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _insert(connection: Connection, table: Table, new: list[Encoded], source: str) -> None:
    if not new:
        return
    rows = [decode(table, row) for row in new]
    if connection.dialect.name == "sqlite":
        for row in rows:
            for name, value in row.items():
                if isinstance(value, float) and math.isnan(value):
                    raise StoreError(
                        f"{source} has no number in {table.name}.{name}",
                        expected="a number or nothing, which is all that SQLite can hold",
                        mend="put it into PostgreSQL",
                    )
    connection.execute(table.insert(), rows)


# Sources


def _rows_of_library(source: Store) -> Iterator[tuple[Table, Encoded]]:
    with translated("read", source.engine.url), reading(source.engine) as connection:
        yield from read_rows(connection)


@contextmanager
def _rows_of(archive: Archive) -> Iterator[Rows]:
    """Give the rows of an archive for the tables of this version, upgraded on the way if need be."""
    if archive.header.revision == schema.HEAD:
        yield archive.rows({table.name: table for table in schema.metadata.sorted_tables})
        return
    known = [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()]
    if archive.header.revision not in known:
        raise StoreError(
            f"{archive.path} has tables of schema {archive.header.revision}",
            expected=f"{schema.HEAD} or an older one",
            mend="use the newer version of this package that wrote it",
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "earlier.db"
        _fill_earlier(archive, path)
        engine = open_database(path, create=False)
        try:
            with translated("read", engine.url), reading(engine) as connection:
                yield read_rows(connection)
        finally:
            engine.dispose()


def _fill_earlier(archive: Archive, path: Path) -> None:
    """Make a database of the archive's own schema and put its rows there."""
    engine = create_engine(f"sqlite:///{path}", json_serializer=dump_json)
    try:
        with translated("upgrade a copy of the rows in", engine.url), engine.begin() as connection:
            migrate(connection, archive.header.revision)
            tables = MetaData()
            tables.reflect(connection)
            named = {table.name: table for table in tables.sorted_tables if table.name != "alembic_version"}
            for table, group in groupby(archive.rows(named), key=lambda pair: pair[0]):
                while batch := [row for _, row in islice(group, _ROWS_AT_ONCE)]:
                    _insert(connection, table, batch, str(archive.path))
    finally:
        engine.dispose()


def _described(archive: Archive) -> str:
    return f"{archive.path.name}, sha256 {archive.header.sha256}"


def _with_notices(merged: Merged, archive: Archive) -> Merged:
    header, notices = archive.header, []
    if header.language != LANGUAGE.version_hash:
        notices.append(
            f"written under language {header.language[:12]}, this is {LANGUAGE.version_hash[:12]}; "
            "its blueprints keep theirs"
        )
    if header.revision != schema.HEAD:
        notices.append(f"its tables were of schema {header.revision} and are now of {schema.HEAD}")
    if header.run_id is not None or header.top is not None:
        notices.append("it holds a part of a library")
    return Merged(added=merged.added, known=merged.known, notices=tuple(notices))
