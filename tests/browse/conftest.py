"""A library to browse, a client of a server on it, and a browser; nothing that reads changes a library."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import browsers
import httpx
import judged_libraries
import pytest
import servers

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tamiyo.judging import Judge


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a library of twelve human blueprints of the run `demo`; for reading alone."""
    return servers.write_library(tmp_path_factory.mktemp("library") / "library.db")


@pytest.fixture(scope="session")
def client(library: Path) -> Iterator[httpx.Client]:
    """Give a client of a server on `library` that asks nobody to sign in."""
    with servers.browsing(library) as client:
        yield client


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a server process on a library with proofs, parents and more than one page."""
    path = servers.write_varied_library(tmp_path_factory.mktemp("site") / "library.db")
    with servers.started(path) as address:
        yield address


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, "Judge"]]:
    """Give a run's folder whose library holds an MLP, trained on XOR, and who judged it."""
    folder = tmp_path_factory.mktemp("run")
    with judged_libraries.judging(folder) as judge:
        yield folder, judge


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Give a Chromium for one file: while it runs, its thread can run no other event loop."""
    with browsers.chromium() as browser:
        yield browser


@pytest.fixture
def visitor(browser: "Browser", site: str) -> Iterator[browsers.Visitor]:
    """Give what opens pages of `site`, whatever they do wrong."""
    visitor = browsers.Visitor(browser, site)
    yield visitor
    visitor.close()


@pytest.fixture
def visit(visitor: browsers.Visitor) -> Iterator[browsers.Visitor]:
    """Give what opens pages of `site`; what they do wrong fails the test."""
    yield visitor
    visitor.close()
    assert visitor.problems == []
