"""Opens the ledger's database, old or new, and makes every driver's error one clear line; queries nothing."""

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from hall_of_fame import audit, cataloguing, onlookers
from hall_of_fame.errors import SlowQueryError, StoreError
from hall_of_fame.onlookers import Onlooker
from hall_of_fame.schema import HEAD

#: Seconds that a connection waits for another one's write, and for a server to answer.
BUSY_TIMEOUT_S = 30.0
#: The number of PostgreSQL's advisory lock that a writer holds, so that ledgers are written one at a time.
WRITER_LOCK = 0x7A3170

#: The schema since which the catalogue says what it says: after an earlier one it is made anew.
CATALOGUED = "0009"
#: Where the migrations lie.
MIGRATIONS = Path(__file__).parent / "migrations"


def open_database(
    path_or_url: str | Path, *, create: bool = False, onlooker: Onlooker | None = None
) -> Engine:
    """Return an engine on the database at `path_or_url`, its schema up to date.

    A path, or a URL of SQLite, names a file; any other URL a server (`postgresql://user@host/name`).
    With `create` a file that is missing is made and an empty database is filled; without it both are errors.
    An earlier schema is brought up to date, but not for an onlooker, who can write nothing.
    """
    url = parse_url(path_or_url)
    if url.get_backend_name() == "sqlite":
        _check_file(url, create)
    try:
        engine = create_engine(url, json_serializer=dump_json, **_arguments(url, onlooker))
    except (ImportError, NoSuchModuleError) as error:
        raise StoreError(
            f"no driver for the database {show(url)} ({error})",
            expected="a URL of sqlite or postgresql with its driver installed",
            mend="PostgreSQL needs the extra 'postgres' of this package",
        ) from error
    if engine.dialect.name == "sqlite":
        _configure_sqlite(engine)
    elif engine.dialect.name == "postgresql":
        _configure_postgresql(engine)
    if onlooker is not None:
        onlookers.restrict(engine, onlooker)
    try:
        with translated("open", url):
            _bring_up_to_date(engine, create=create, is_onlooker=onlooker is not None)
    except BaseException:
        engine.dispose()
        raise
    return engine


def parse_url(path_or_url: str | Path) -> URL:
    """Return the URL of a path or of the text of a URL."""
    if "://" not in str(path_or_url):
        return URL.create("sqlite", database=str(path_or_url))
    try:
        url = make_url(str(path_or_url))
    except ArgumentError as error:
        raise StoreError(
            "a database URL that cannot be read",
            expected="a path or a URL such as postgresql://user@host/name",
            mend="check its spelling",
        ) from error
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def show(url: URL) -> str:
    """Return the URL as an error may print it: a file by its path, a server without the password."""
    return (
        str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
    )


@contextmanager
def translated(action: str, url: URL) -> Iterator[None]:
    """Raise what the driver raises inside as a StoreError that says what could not be done, and why."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        if onlookers.is_slow(cause):
            raise SlowQueryError(
                "the query took too long, and was ended",
                expected="a question that is answered in a few seconds",
                mend="ask for less, or again when the database is less busy",
            ) from error
        reason = " ".join(str(cause).split())
        expected, mend = _advice(reason)
        raise StoreError(f"cannot {action} {show(url)}: {reason}", expected=expected, mend=mend) from error


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection inside one read transaction: all that is read in it was true at one moment."""
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Give a connection inside one write transaction: all of it is committed, or nothing of it.

    One writes at a time, on either database, and waits for its turn: no two can block each other or fail to
    be put in an order, so nothing need be tried twice.
    """
    with engine.connect() as connection:
        connection = connection.execution_options(tamiyo_writes=True)
        with connection.begin():
            yield connection


def dump_json(value: Any, indent: int | None = None) -> str:
    """Return `value` as strict JSON; numbers that are not finite become null."""
    return json.dumps(_finite(value), allow_nan=False, default=str, indent=indent)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _check_file(url: URL, create: bool) -> None:
    """Refuse what SQLite would turn into an empty new file, and folders."""
    path = Path(url.database or "")
    if not url.database or path.is_dir():
        raise StoreError(
            f"{path} is a folder",
            expected="a database file",
            mend="name the file, such as library.db, inside it",
        )
    if not create and not path.exists():
        raise StoreError(
            f"no database at {path}", expected="an existing file", mend="check the path, or start a run"
        )


def _arguments(url: URL, onlooker: Onlooker | None) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        if onlooker is not None:
            return {"creator": onlookers.opener(url.database or "", BUSY_TIMEOUT_S)}
        return {"connect_args": {"timeout": BUSY_TIMEOUT_S}}
    patience = {} if "connect_timeout" in url.query else {"connect_timeout": int(BUSY_TIMEOUT_S)}
    return {"pool_pre_ping": True, "connect_args": patience}


def _configure_sqlite(engine: Engine) -> None:
    """Take transactions out of the driver's hands: schema changes join them, writers lock at the start."""

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("tamiyo_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _configure_postgresql(engine: Engine) -> None:
    """Make writers wait for each other before they write, and nobody for longer than the time allowed.

    Each statement is planned for the values that it asks for: whether a score or a run picks out few rows or
    nearly all is what decides the plan, and one that is kept for any values reads a million rows for few.
    """

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        settings = {"lock_timeout": round(1000 * BUSY_TIMEOUT_S), "plan_cache_mode": "force_custom_plan"}
        asked = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())
        connection.exec_driver_sql(f"SELECT {asked}")
        if connection.get_execution_options().get("tamiyo_writes", False):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")


def _bring_up_to_date(engine: Engine, *, create: bool, is_onlooker: bool) -> None:
    with engine.connect() as connection:
        found = _revision(connection)
    if found == HEAD:
        return
    if found is None and not create:
        raise StoreError(
            f"{show(engine.url)} holds no ledger",
            expected="a database that a run has written",
            mend="check the path",
        )
    if found is not None and is_onlooker:
        onlookers.check_schema(show(engine.url), found)
    if engine.dialect.name == "sqlite":
        raw = engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA journal_mode = WAL")
        finally:
            raw.close()
    with writing(engine) as connection:
        found = _revision(connection)
        migrate(connection)
        if found is not None and found < CATALOGUED:
            cataloguing.rebuild(connection)
        if found not in (None, HEAD):
            audit.record(connection, "upgrade", counts={}, note=f"from schema {found} to {HEAD}")


def _revision(connection: Connection) -> str | None:
    """Return the schema's revision, None for a database without tables."""
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" in tables:
        return connection.scalar(text("SELECT version_num FROM alembic_version"))
    if tables:
        raise StoreError(
            f"{show(connection.engine.url)} holds other tables ({', '.join(sorted(tables)[:3])}, ...)",
            expected="an empty database or a ledger",
            mend="give the ledger a database of its own",
        )
    return None


def migrate(connection: Connection, revision: str = "head") -> None:
    """Run the migrations that are missing up to a revision, inside the caller's transaction."""
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        raise StoreError(
            f"{show(connection.engine.url)} has a schema that this version does not know ({error})",
            expected=f"schema {HEAD} or an older one",
            mend="open it with the newer version of this package that wrote it",
        ) from error


_SPACE = ("space on the disk", "free some; what was recorded before is still there")
_TURN = (f"a database free within {BUSY_TIMEOUT_S:.0f} s", "wait for the other writer to end")
#: What a driver says, what was expected, and what to do about it; the first row that fits is taken.
_ADVICE = (
    ("not a database", "a database file of SQLite", "check the path; the file was left as it is"),
    ("malformed", "an undamaged database", "restore a copy, or save its rows with `sqlite3 FILE .recover`"),
    ("is full", *_SPACE),
    ("disk space", *_SPACE),
    ("disk i/o", "a disk that can be written", "check its space; what was recorded before is still there"),
    ("readonly", "a file that can be written", "check its permissions"),
    ("unable to open", "a folder that exists and can be written", "create it, or check its permissions"),
    ("append-only", "rows that are added, never changed", "record what is new as a new row"),
    ("is locked", *_TURN),
    ("lock timeout", *_TURN),
    ('fatal: database "', "a database of that server", "create it with createdb, or check the URL"),
    ("fatal: role", "a user of that server", "check the user in the URL"),
    ("authentication failed", "a user and password that the server knows", "check the URL"),
    ("permission denied", "a user that may create tables and write", "make the user owner of the database"),
    ("connection", "a server that answers", "see that it runs; what was recorded before is still there"),
    ("", "a working database", "see the reason given"),
)


def _advice(reason: str) -> tuple[str, str]:
    """Return what was expected, and how to mend it, for a driver's message."""
    return next((expected, mend) for part, expected, mend in _ADVICE if part in reason.lower())
