"""A library that an attacker wrote, with markup wherever text may stand: shown as text by every page."""

from collections.abc import Iterator
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import servers

from blueprints import Blueprint

RUN = "<script>alert('run')</scr" + 'ipt "x" onerror=alert(1) &'
MARKUP = (
    "<script>alert('token')</script>",
    '"><img',
    "src=x",
    "onerror=alert(1)>",
    "{{7*7}}",
    "javascript:1",
)
ID = "e" * 64


class _Tags(HTMLParser):
    """Collects tags that run something: scripts without a file, and attributes that are code."""

    def __init__(self) -> None:
        super().__init__()
        self.running: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        is_data = named.get("type") == "application/json"
        if tag == "script" and not (named.get("src") or "").startswith("/static/") and not is_data:
            self.running.append(tag)
        self.running += [name for name in named if name.startswith("on")]
        self.running += [v for v in named.values() if v and v.strip().lower().startswith("javascript:")]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Give a client of a server on such a library."""
    made: Any = SimpleNamespace(id=ID, tokens=MARKUP, language_version="<b>")
    blueprints: list[Blueprint] = [made, *servers.human_blueprints(3)]
    path = tmp_path_factory.mktemp("hostile") / "library.db"
    servers.write_library(path, blueprints, run_id=RUN.replace("/", ""))
    with servers.browsing(path) as client:
        yield client


@pytest.mark.parametrize(
    "page",
    [
        "/",
        f"/blueprints/{ID}",
        f"/compare?a={ID}&b={ID}",
        "/pareto",
        "/heat",
        "/map",
        "/runs",
        "RUN",
        "/?search=%3Cscript%3Ealert(2)",
    ],
)
def test_markup_in_names_and_programs_is_shown_as_text(hostile: httpx.Client, page: str) -> None:
    name = RUN.replace("/", "")
    path = f"/runs/{quote(name, safe='')}" if page == "RUN" else page
    answer = hostile.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text[:500]
    assert "<script>alert" not in answer.text
    assert "<img" not in answer.text
    tags = _Tags()
    tags.feed(answer.text)
    assert tags.running == []


def test_braces_in_a_program_are_no_template(hostile: httpx.Client) -> None:
    assert "{{7*7}}" in hostile.get("/").text


def test_json_has_markup_as_it_is_and_is_never_taken_for_a_page(hostile: httpx.Client) -> None:
    for path in (f"/api/v1/blueprints/{ID}", "/api/v1/blueprints", "/api/v1/runs"):
        answer = hostile.get(path, headers={"Accept": "text/html"})
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert hostile.get(f"/api/v1/blueprints/{ID}").json()["tokens"] == list(MARKUP)
    assert hostile.get("/api/v1/runs").json()["rows"][0]["id"] == RUN.replace("/", "")


def test_what_this_language_cannot_read_is_said_so(hostile: httpx.Client) -> None:
    for part in ("graph", "source", "source.py"):
        answer = hostile.get(f"/api/v1/blueprints/{ID}/{part}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "refused")
        assert "was written in language <b>" in answer.json()["error"]["message"]
    assert hostile.get(f"/api/v1/blueprints/{ID}/neighbours").json()["neighbours"] == []
    compared = hostile.get("/api/v1/compare", params={"a": ID, "b": ID}).json()
    assert (compared["likeness"], compared["first_sizes"]) == (None, None)
