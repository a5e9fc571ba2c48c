"""Databases for the store's tests: files of SQLite, and a PostgreSQL server started for the session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import library_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[library_server.Server]:
    """Give a real server; skip, saying why, where there can be none."""
    if missing := library_server.missing():
        pytest.skip(missing)
    with library_server.started(library_server.FOR_TESTS) as server:
        yield server


@pytest.fixture
def postgres_url(postgres: library_server.Server) -> Iterator[str]:
    """Give the URL of an empty database of PostgreSQL."""
    with postgres.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def library_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where a library may be created: on SQLite, and on PostgreSQL."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    return str(tmp_path / "library.db")
