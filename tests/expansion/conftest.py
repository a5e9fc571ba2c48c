"""A sandbox for the session, and small libraries."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_libraries import write_library

from tamiyo.sandbox.choosing import open_sandbox
from tamiyo.sandbox.contract import Sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Give the strongest sandbox of this machine."""
    found = open_sandbox("auto")
    yield found
    found.close()


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Return the folder of a library."""
    folder = tmp_path / "lib"
    folder.mkdir()
    write_library(folder / "library.db")
    return folder
