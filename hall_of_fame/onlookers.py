"""Databases as onlookers open them: nothing can be written, and no query takes for ever; queries nothing."""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, event

from hall_of_fame.errors import StoreError
from hall_of_fame.schema import HEAD

#: Steps of SQLite's machine from one look at the clock to the next: a millisecond or less.
_STEPS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Onlooker:
    """Whoever reads a database that others write.

    Attributes:
        query_s: seconds that one query may take; then it is ended, as a `SlowQueryError`.
    """

    query_s: float


def opener(path: str | Path, timeout_s: float) -> Callable[[], sqlite3.Connection]:
    """Return what opens a file of SQLite, and makes none where it is gone.

    Not as `mode=ro`: who closes a library last copies its log back into it, so that it is one file again, and
    that may be the onlooker.
    """
    address = f"{Path(path).absolute().as_uri()}?mode=rw"
    return lambda: sqlite3.connect(address, uri=True, timeout=timeout_s, check_same_thread=False)


def restrict(engine: Engine, onlooker: Onlooker) -> None:
    """Have a database's connections refuse to write, and end slow queries."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only = ON"))
        _end_slow_queries(engine, onlooker.query_s)
    else:
        settings = {"transaction_read_only": "on", "statement_timeout": round(1000 * onlooker.query_s)}
        asked = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(f"SELECT {asked}"))


def check_schema(name: str, revision: str) -> None:
    """Refuse a database of another schema than this version reads: an onlooker upgrades nothing.

    Raises:
        StoreError: which says how it is brought up to date, or that it is newer.
    """
    if revision == HEAD:
        return
    raise StoreError(
        f"{name} has schema {revision}",
        expected=f"schema {HEAD}",
        mend=f"bring it up to date with: tamiyo library upgrade --library {name}"
        if revision < HEAD
        else "open it with the newer version of this package that wrote it",
    )


def is_slow(error: BaseException) -> bool:
    """Return whether a driver's error says that a query was ended for the time that it took."""
    is_cancelled = getattr(error, "sqlstate", None) == "57014"
    return is_cancelled or (isinstance(error, sqlite3.OperationalError) and str(error) == "interrupted")


def _end_slow_queries(engine: Engine, query_s: float) -> None:
    """Look at the clock while SQLite works: it has no time limit of its own."""

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, record: object) -> None:
        info = record.info  # type: ignore[attr-defined]
        connection.set_progress_handler(lambda: time.monotonic() > info.get("ends", float("inf")), _STEPS)

    @event.listens_for(engine, "before_cursor_execute")
    def _begin(connection: Connection, *_: object) -> None:
        connection.info["ends"] = time.monotonic() + query_s
