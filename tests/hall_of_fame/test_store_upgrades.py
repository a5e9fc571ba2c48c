"""A ledger of any earlier revision is brought up to date on any database, and keeps every row and value."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import ledgers
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, Engine, MetaData, Table, create_engine, event, types

from hall_of_fame import database, schema
from hall_of_fame.catalogue import Catalogue, CatalogueQuery
from hall_of_fame.database import dump_json, open_database, parse_url
from hall_of_fame.store import Store

SCRIPTS = str(Path(database.__file__).parent / "migrations")
#: Every revision, the first one first.
REVISIONS = [script.revision for script in ScriptDirectory(SCRIPTS).walk_revisions()][::-1]
ROWS = 3

Rows = dict[str, list[dict[str, Any]]]


def engine_on(url: str) -> Engine:
    """Return an engine that knows nothing of ledgers, but leaves transactions to whoever begins them."""
    engine = create_engine(parse_url(url), json_serializer=dump_json)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _connect(connection: Any, _record: object) -> None:
            connection.isolation_level = None
            connection.execute("PRAGMA foreign_keys = ON")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN")

    return engine


def tables_of(connection: Connection) -> list[Table]:
    """Return the tables that are there, those that others refer to first."""
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def value(column: Column[Any], number: int) -> Any:
    """Return an invented value of a column, another one for each number."""
    kind = column.type
    if isinstance(kind, types.JSON):
        return {"z": [number, 0.1 + 0.2, None], "a": column.name}
    if isinstance(kind, types.LargeBinary):
        return bytes(range(number, 256))
    if isinstance(kind, types.Boolean):
        return number % 2 == 0
    if isinstance(kind, types.BigInteger):
        return 2**40 + number
    if isinstance(kind, types.Integer):
        return 1 + number
    if isinstance(kind, types.Float):
        return number + 1 / 3
    assert isinstance(kind, types.String), f"{column} is of a kind, {kind!r}, that this test does not know"
    return f"{number} \u00e9 {column.name}"[: kind.length]


def fill(connection: Connection) -> Rows:
    """Write `ROWS` rows into each table, the last one with nothing where nothing is allowed; return them."""
    written: Rows = {}
    for table in tables_of(connection):
        written[table.name] = []
        for number in range(ROWS):
            row = {column.name: value(column, number) for column in table.columns}
            if number == ROWS - 1:
                row |= {column.name: None for column in table.columns if column.nullable}
            for constraint in table.foreign_key_constraints:
                target = written[constraint.referred_table.name][number]
                for element in constraint.elements:
                    if row[element.parent.name] is not None:
                        row[element.parent.name] = target[element.column.name]
            connection.execute(table.insert(), row)
            written[table.name].append(row)
    return written


def rows_of(connection: Connection) -> Rows:
    return {
        table.name: [
            dict(row) for row in connection.execute(table.select().order_by(*table.primary_key)).mappings()
        ]
        for table in tables_of(connection)
    }


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_a_ledger_of_an_earlier_revision_keeps_every_row(library_url: str, revision: str) -> None:
    engine = engine_on(library_url)
    with engine.begin() as connection:
        database.migrate(connection, revision)
        written = fill(connection)
        assert rows_of(connection) == written
        assert len(written) >= 7
    Store.open(library_url).close()
    with engine.begin() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == schema.HEAD
        found = rows_of(connection)
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()
    derived = {table.name for table in schema.metadata.sorted_tables} - {
        table.name for table in schema.LEDGER
    }
    for name, rows in written.items():
        if name in derived:
            continue  # made anew of the rows of the others, of which these invented ones do not follow
        kept = [{column: row[column] for column in rows[0]} for row in found[name]]
        assert [row for row in rows if row not in kept] == [], f"{name} lost rows of revision {revision}"
        assert len(kept) == len(rows) or name == "audit", f"{name} grew, and only the audit trail may"


def test_the_migrations_make_exactly_the_tables_of_the_schema(library_url: str) -> None:
    engine = open_database(library_url, create=True)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()
    assert REVISIONS[-1] == schema.HEAD


def test_an_upgrade_that_fails_leaves_the_earlier_revision_whole(
    library_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_on(library_url)
    with engine.begin() as connection:
        database.migrate(connection, REVISIONS[0])
        written = fill(connection)
    engine.dispose()

    class Interrupted(BaseException):
        """Ends an upgrade after its last step and before its commit."""

    migrate = database.migrate

    def interrupted(connection: Connection) -> None:
        migrate(connection)
        raise Interrupted

    monkeypatch.setattr(database, "migrate", interrupted)
    with pytest.raises(Interrupted):
        Store.open(library_url)
    with engine.begin() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == REVISIONS[0]
        assert rows_of(connection) == written
    engine.dispose()


@pytest.mark.parametrize("is_catalogued", [False, True])
def test_a_catalogue_is_made_anew_where_an_earlier_schema_had_none(
    library_url: str, is_catalogued: bool
) -> None:
    place = REVISIONS.index(database.CATALOGUED)
    with Store.open(library_url, create=True) as store:
        store.add_run(ledgers.run_record())
        assert ledgers.commit(store, 0, ledgers.random_generation(0))
        rows = Catalogue(store).page(CatalogueQuery()).rows
        with store.writing("spoil") as connection:
            connection.execute(schema.catalogue.update().values(strategy="spoilt"))
            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", SCRIPTS)
            command.downgrade(config, REVISIONS[place if is_catalogued else place - 1])
    with Store.open(library_url) as store:
        found = Catalogue(store).page(CatalogueQuery()).rows
    assert found == (tuple(replace(row, strategy="spoilt") for row in rows) if is_catalogued else rows)
    assert {row.strategy for row in rows} == {""}
