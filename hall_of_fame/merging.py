"""Puts the rows of archives and of other libraries into a library, a turn at a time, or says why not.

Rows are united by their keys: a row that comes twice is there once. A row that differs from the one on record
under its key is refused, and nothing is written then. Some rows are facts of whoever was first, so what is
on record stays: who found a blueprint, its measured latency on a device, its proof under a protocol, when an
expansion was made. The trainings of a proof come and stay with it. Of two rows of one training of which one
has no loss curve, which a version before curves wrote, that on record stays.

A restore is one transaction: nobody else has a library that is not there yet. An import or a merge leaves the
library to whoever else writes in it after each `ROWS_A_TURN` rows. The trail tells of each run that it has
begun to bring, and at last that it ended; in between the library counts as unfinished (`audit.unfinished`),
such a run takes no further generation, and the same command run again adds what is missing.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Float, MetaData, Select, Table, create_engine, select

from blueprints import LANGUAGE
from hall_of_fame import audit, cataloguing, schema
from hall_of_fame.archive import Archive, Encoded, columns, decode, encode, key_columns, names_of, read_rows
from hall_of_fame.database import (
    MIGRATIONS,
    dump_json,
    migrate,
    open_database,
    parse_url,
    reading,
    show,
    translated,
)
from hall_of_fame.errors import StoreError
from hall_of_fame.store import Store

#: Tables whose rows tell who was first.
FIRST_STAYS = ("blueprints", "latencies", "proofs", "expansions")
#: What a training says of its loss curve where it was written before curves were kept.
NO_CURVE = {"planned_steps": None, "loss_curve": None}

#: Rows that an import or a merge looks at in one transaction.
ROWS_A_TURN = 5000
#: Blueprints whose row in the catalogue it brings up to date in one transaction.
BLUEPRINTS_A_TURN = 1000
PAUSE_S = cataloguing.PAUSE_S

_ROWS_AT_ONCE = 500

Rows = Iterator[tuple[Table, Encoded]]


@dataclass(frozen=True, slots=True)
class Source:
    """What rows come from.

    Attributes:
        name: as an error tells it.
        rows: gives all of them, from the first one on each time, a table after those that it refers to.
        engine: the library that they are of; None for an archive.
    """

    name: str
    rows: Callable[[], Rows]
    engine: Engine | None = None


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
    done = _Counts()
    with _made(path_or_url) as store, _opened(archive) as source, store.writing("restore into") as connection:
        _check_empty(connection)
        for table, batch in _batches(source.rows()):
            _insert(connection, table, batch, source.name)
            done.add(table, batch, batch)
        if done.added:
            cataloguing.absorb(connection, done.blueprint_ids)
            audit.record(connection, "restore", counts=done.added, note=_described(archive))
    return _with_notices(Merged(added=dict(done.added), known={}), archive)


def import_(archive: Archive, store: Store) -> Merged:
    """Add the rows of an archive to a library that exists; interrupted, it goes on when called again."""
    with _opened(archive) as source:
        merged = _absorb(store, [source], "import", _described(archive))
    return _with_notices(merged, archive)


def merge(sources: Sequence[Store], path_or_url: str | Path) -> Merged:
    """Unite libraries in one that exists or is made; interrupted, it goes on when called again.

    Each is read as it is at one moment.
    """
    with _made(path_or_url) as store:
        named = [Source(source.name, partial(_rows_of, source.engine), source.engine) for source in sources]
        return _absorb(store, named, "merge", ", ".join(source.name for source in sources))


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


def _absorb(store: Store, sources: Sequence[Source], verb: str, note: str) -> Merged:
    """Write what the sources have and the library has not, and what the trail tells of it."""
    plan = _planned(store, sources)
    with store.reading() as connection:
        begun = [row.run_id for row in audit.unfinished(connection) if audit.is_begun(row, verb, note)]
    if not plan.added and not begun:
        return Merged(added={}, known=dict(plan.known))
    done = _Counts()
    turns = _turns(sources)
    first, second = next(turns), next(turns, None)
    if second is None:
        with store.writing(f"{verb} into") as connection:
            _write(connection, first, done)
            cataloguing.absorb(connection, done.blueprint_ids)
            audit.record(connection, verb, counts=done.added, note=note)
        return Merged(added=dict(done.added), known=dict(done.known))
    with store.writing(f"{verb} into") as connection:
        for run_id in [id_ for id_ in sorted(plan.run_ids) or [None] if id_ not in begun]:
            audit.record(connection, f"{verb}{audit.BEGUN}", run_id=run_id, counts={}, note=note)
    for turn in chain((first, second), turns):
        with _its_turn(store, verb) as connection:
            _write(connection, turn, done)
    _catalogue(store, verb, None if begun else done.blueprint_ids)
    with store.writing(f"{verb} into") as connection:
        audit.record(connection, verb, counts=done.added, note=note)
    return Merged(added=dict(done.added), known=dict(done.known))


@contextmanager
def _its_turn(store: Store, verb: str) -> Iterator[Connection]:
    """Give a connection for one transaction of many; leave others the time to have theirs after it."""
    with store.writing(f"{verb} into") as connection:
        yield connection
    if store.engine.dialect.name == "sqlite":
        time.sleep(PAUSE_S)


def _catalogue(store: Store, verb: str, ids: Iterable[str] | None) -> None:
    """Bring the catalogue up to date with the blueprints that rows were about; None for all of them.

    All of them are also judged anew where the rows changed what tasks weigh.
    """
    with _its_turn(store, verb) as connection:
        stays = cataloguing.gather(connection)
        found = sorted(ids) if stays and ids is not None else cataloguing.all_ids(connection)
    for start in range(0, len(found), BLUEPRINTS_A_TURN):
        with _its_turn(store, verb) as connection:
            cataloguing.refresh(connection, found[start : start + BLUEPRINTS_A_TURN])


@dataclass
class _Counts:
    """Rows by table, and the runs and blueprints that new ones are about."""

    added: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    run_ids: set[str] = field(default_factory=set)
    blueprint_ids: set[str] = field(default_factory=set)

    def add(self, table: Table, batch: Sequence[Encoded], new: Sequence[Encoded]) -> None:
        """Count a batch, of which some rows are new."""
        self.added += Counter({table.name: len(new)})
        self.known += Counter({table.name: len(batch) - len(new)})
        self.run_ids.update(row["run_id"] for row in new if row.get("run_id") is not None)
        self.blueprint_ids.update(_blueprints_of(table, new))


def _blueprints_of(table: Table, rows: Sequence[Encoded]) -> Iterator[str]:
    """Yield the ids of the blueprints that rows are about."""
    name = "id" if table is schema.blueprints else "blueprint_id"
    for row in rows:
        if row.get(name) is not None:
            yield row[name]
        yield from row["supersedes"].split() if table is schema.proofs else ()


@dataclass(frozen=True, slots=True, eq=False)
class _Origin:
    """Where some rows of a turn are from, and the keys of the proofs that it and the library agree on."""

    source: str
    proved: set[tuple[str, str]] = field(default_factory=set)


_Turn = Sequence[tuple[_Origin, tuple[Table, Encoded]]]


def _turns(sources: Sequence[Source]) -> Iterator[_Turn]:
    """Yield the rows of all sources in portions of what one transaction looks at."""
    origins = ((_Origin(source.name), source) for source in sources)
    rows = ((origin, row) for origin, source in origins for row in source.rows())
    while turn := list(islice(rows, ROWS_A_TURN)):
        yield turn


def _batches(rows: Iterable[tuple[Table, Encoded]]) -> Iterator[tuple[Table, list[Encoded]]]:
    for table, group in groupby(rows, key=lambda pair: pair[0]):
        while batch := [row for _, row in islice(group, _ROWS_AT_ONCE)]:
            yield table, batch


def _planned(store: Store, sources: Sequence[Source]) -> _Counts:
    """Return what there is to write, or more; refuse what could not be written, before anything is."""
    plan = _Counts()
    with ExitStack() as stack:
        grounds = [stack.enter_context(store.reading())]
        for source in sources:
            proved: list[set[tuple[str, str]]] = [set() for _ in grounds]
            for table, batch in _batches(source.rows()):
                asked = zip(grounds, proved, strict=True)
                new, *_ = [_wanted(ground, table, batch, source.name, own) for ground, own in asked]
                _check_numbers(store.engine, table, new, source.name)
                plan.add(table, batch, new)
            if source.engine is not None:
                grounds.append(stack.enter_context(reading(source.engine)))
    return plan


def _write(connection: Connection, turn: _Turn, done: _Counts) -> None:
    """Write what is new of a turn, and count it."""
    begun = bool(done.added or done.known)
    for origin, rows in groupby(turn, key=itemgetter(0)):
        for table, batch in _batches(row for _, row in rows):
            new = _wanted(connection, table, batch, origin.source, origin.proved, begun=begun)
            _insert(connection, table, new, origin.source)
            done.add(table, batch, new)


def _check_empty(connection: Connection) -> None:
    """Refuse a library that holds more than the trail of how it was made."""
    for table in schema.LEDGER:
        if table is not schema.audit and connection.execute(select(table).limit(1)).first() is not None:
            raise StoreError(
                f"{show(connection.engine.url)} holds {table.name} already",
                expected="a new or an empty library",
                mend="restore under another name, or add to this one with `tamiyo library import`",
            )


def _wanted(
    connection: Connection,
    table: Table,
    batch: list[Encoded],
    source: str,
    proved: set[tuple[str, str]],
    *,
    begun: bool = False,
) -> list[Encoded]:
    """Return the rows that are not on record, each once; refuse one that differs from what is.

    Trainings of a proof that stays out do so too: `proved` collects the keys of those that are, or come, in.
    """
    names = [column.name for column in key_columns(table)]
    record = _on_record(connection, table, batch)
    new = []
    for row in batch:
        key = tuple(row[name] for name in names)
        known = record.setdefault(key, row)
        if known is row:
            new.append(row)
        elif not _agree(table, known, row) and table.name not in (*FIRST_STAYS, "proof_trainings"):
            raise _conflict(table, dict(zip(names, key, strict=True)), known, row, source, begun=begun)
        if table is schema.proofs:
            (proved.add if known == row else proved.discard)((row["blueprint_id"], row["protocol"]))
    if table is schema.proof_trainings:
        return [row for row in new if (row["blueprint_id"], row["protocol"]) in proved]
    return new


def _agree(table: Table, known: Encoded, row: Encoded) -> bool:
    """Return whether rows under one key say the same, as far as both say anything of a loss curve."""
    if table is schema.evaluations and None in (known["loss_curve"], row["loss_curve"]):
        return known | NO_CURVE == row | NO_CURVE
    return known == row


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


def _conflict(
    table: Table, key: Encoded, ours: Encoded, theirs: Encoded, source: str, *, begun: bool
) -> StoreError:
    name = next(name for name in ours if ours[name] != theirs[name])
    where = ", ".join(f"{column} {value}" for column, value in key.items())
    return StoreError(
        f"{source} has other {table.name} under {where}: {name} {_short(theirs[name])}",
        expected=f"{_short(ours[name])}, which is on record",
        mend=f"{'what came before it' if begun else 'nothing'} was written; keep these libraries apart, "
        "or export a run of it with --run",
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _insert(connection: Connection, table: Table, new: list[Encoded], source: str) -> None:
    if new:
        _check_numbers(connection.engine, table, new, source)
        connection.execute(table.insert(), [decode(table, row) for row in new])


def _check_numbers(engine: Engine, table: Table, new: list[Encoded], source: str) -> None:
    """Refuse a row for SQLite with NaN, which it would turn into nothing."""
    if engine.dialect.name != "sqlite":
        return
    for row in new:
        for name in names_of(table, Float):
            if row[name] == "NaN":
                raise StoreError(
                    f"{source} has no number in {table.name}.{name}",
                    expected="a number or nothing, which is all that SQLite can hold",
                    mend="put it into PostgreSQL",
                )


# Sources


def _rows_of(engine: Engine) -> Rows:
    with translated("read", engine.url), reading(engine) as connection:
        yield from read_rows(connection)


@contextmanager
def _opened(archive: Archive) -> Iterator[Source]:
    """Give the rows of an archive for the tables of this version, upgraded on the way if need be."""
    name = str(archive.path)
    if archive.header.revision == schema.HEAD:
        yield Source(name, partial(archive.rows, {table.name: table for table in schema.LEDGER}))
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
            yield Source(name, partial(_rows_of, engine))
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
            for table, batch in _batches(archive.rows(named)):
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
