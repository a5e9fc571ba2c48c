"""What the pages say, read as HTML over a real socket; leaves what a browser makes of them to other tests."""

import re
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import httpx
import pytest
import servers
import torch
from fastapi import Request, Response

from blueprints.drawing import FAMILY_COLOURS
from hall_of_fame.store import Store
from tamiyo.api.app import create_app
from tamiyo.api.settings import BrowseSettings
from tamiyo.api.shapes import BlueprintRow, Relative
from tamiyo.web import rendering
from tamiyo.web.detail import detail_view
from tamiyo.web.gallery import NUM_CHOICES, _offered
from tamiyo.web.pictures import family_tree
from tamiyo.web.rendering import moment, number, quantity, shown_name, signed
from tamiyo.web.source import highlighted
from tamiyo.web.tokens import coloured, difference

STYLE = Path(rendering.__file__).parent / "static" / "style.css"
#: Every page that needs no id.
PAGES = ("/", "/compare", "/runs", "/playground")


class _Outline(HTMLParser):
    """Collects what a strict content policy would refuse, and the ids that are used."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []
        self.ids: list[str] = []
        self.scripts: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.refused += [f"{tag} {name}" for name in named if name == "style" or name.startswith("on")]
        self.refused += [tag] if tag == "style" else []
        self.scripts += [named.get("src")] if tag == "script" else []
        self.ids += [named["id"] or ""] if "id" in named else []


def _outline(text: str) -> _Outline:
    outline = _Outline()
    outline.feed(text)
    return outline


@pytest.mark.parametrize("path", PAGES)
def test_a_page_holds_nothing_that_a_strict_content_policy_refuses(client: httpx.Client, path: str) -> None:
    answer = client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    outline = _outline(answer.text)
    assert outline.refused == []
    assert outline.scripts
    assert all(src and src.startswith("/static/") for src in outline.scripts)
    assert len(outline.ids) == len(set(outline.ids))


def test_the_gallery_shows_each_blueprint_drawn_with_its_figures(client: httpx.Client) -> None:
    text = client.get("/").text
    rows = client.get("/api/v1/blueprints").json()["rows"]
    for row in rows:
        assert f'href="/blueprints/{row["id"]}"' in text
        assert f"{row['score']:.3f}" in text
    assert text.count('<svg xmlns="http://www.w3.org/2000/svg" class="blueprint"') == len(rows)


def test_the_families_have_the_same_colours_in_the_style_sheet_as_in_drawings() -> None:
    found = dict(re.findall(r"--family-(\w+): (#[0-9a-f]{6});", STYLE.read_text(encoding="utf-8")))
    assert {name: found.get(name) for name in FAMILY_COLOURS} == FAMILY_COLOURS
    classes = re.findall(r"^\.family-(\w+) \{ --family: var\(--family-(\w+)\); \}", STYLE.read_text(), re.M)
    assert {name for name, _ in classes} >= FAMILY_COLOURS.keys()
    assert all(name == colour for name, colour in classes)


def test_a_path_that_nobody_knows_is_answered_with_a_page_to_a_person(client: httpx.Client) -> None:
    answer = client.get("/nowhere", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert "Nothing is here" in answer.text
    assert 'href="/"' in answer.text


def test_a_blueprint_is_shown_with_its_source_evidence_and_command(client: httpx.Client) -> None:
    row = client.get("/api/v1/blueprints").json()["rows"][0]
    text = client.get(f"/blueprints/{row['id'][:12]}").text
    assert _outline(text).refused == []
    assert "class</span>" in text
    assert ">Block<" in text
    assert "python scripts/train_architect.py seed=7" in text
    assert 'class="wire"' in text
    assert all(
        f">{task['task']}</th>" in text
        for task in client.get(f"/api/v1/blueprints/{row['id']}").json()["tasks"]
    )


def test_the_source_that_is_downloaded_is_a_module_that_runs(client: httpx.Client) -> None:
    row = client.get("/api/v1/blueprints").json()["rows"][0]
    answer = client.get(f"/api/v1/blueprints/{row['id']}/source.py")
    assert answer.headers["content-disposition"] == f'attachment; filename="blueprint_{row["id"][:12]}.py"'
    names: dict[str, Any] = {}
    exec(compile(answer.text, "blueprint.py", "exec"), names)
    assert names["Block"](16)(torch.zeros(2, 4, 16)).shape[-1] == 16


def test_two_blueprints_stand_side_by_side_with_what_differs_marked(client: httpx.Client) -> None:
    first, second = (row for row in client.get("/api/v1/blueprints").json()["rows"][:2])
    text = client.get(f"/compare?a={first['id'][:10]}&b={second['id'][:10]}").text
    assert _outline(text).refused == []
    assert f'href="/blueprints/{first["id"]}"' in text
    assert f'href="/blueprints/{second["id"]}"' in text
    gone = set(first["tokens"]) - set(second["tokens"])
    assert all(re.search(rf'class="token [^"]*gone">.*?{token}</li>', text) for token in gone)
    same = client.get(f"/compare?a={first['id']}&b={first['id']}").text
    assert "Both are the same blueprint" in same
    assert not re.search(r'class="token [^"]*(gone|come)', same)


def test_a_comparison_without_ids_asks_for_them(client: httpx.Client) -> None:
    assert 'placeholder="second id"' in client.get("/compare?a=abc").text


def test_an_unknown_id_is_answered_with_those_near_it(client: httpx.Client) -> None:
    row = client.get("/api/v1/blueprints").json()["rows"][0]
    answer = client.get(f"/blueprints/{row['id'][:8]}zz", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert f'href="/blueprints/{row["id"][:12]}"' in answer.text


def test_script_in_a_path_or_a_query_is_shown_as_text(client: httpx.Client) -> None:
    script = "<script>alert(1)"
    for path in (f"/blueprints/{quote(script)}", f"/?search={quote(script)}", f"/compare?a={quote(script)}"):
        text = client.get(path, headers={"Accept": "text/html"}).text
        assert script not in text
        assert "&lt;script&gt;" in text


def _ids(text: str) -> list[str]:
    return re.findall(r'<h2><a href="/blueprints/(\w+)">', text)


def test_the_gallery_filters_orders_and_pages_as_its_json_twin_does(client: httpx.Client) -> None:
    text = client.get(
        "/", params={"search": "linear", "order": "parameters", "min_num_parameters": "110"}
    ).text
    [twin] = re.findall(r'href="(/api/v1/blueprints[^"]*)">This page as JSON', text)
    rows = client.get(unescape(twin)).json()["rows"]
    assert _ids(text) == [row["id"] for row in rows]
    assert [row["num_parameters"] for row in rows] == sorted(row["num_parameters"] for row in rows)
    assert all("LINEAR" in row["tokens"] for row in rows)
    assert "LINEAR <span" in text
    assert "parameters at least 110 <span" in text


def test_a_filter_is_taken_away_by_its_chip(client: httpx.Client) -> None:
    text = client.get("/?search=linear&min_score=0.5").text
    [without] = re.findall(r'<a class="chip" href="([^"]+)">LINEAR', text)
    assert unescape(without) == "/?min_score=0.5"


def test_pages_of_the_gallery_follow_each_other_without_script(tmp_path: Path) -> None:
    blueprints = servers.human_blueprints(30)
    library = servers.write_library(tmp_path / "library.db", blueprints)
    with servers.browsing(library) as client:
        first = client.get("/").text
        [address] = re.findall(r'href="([^"]+)" rel="next"', first)
        second = client.get(unescape(address)).text
    assert sorted(_ids(first) + _ids(second)) == sorted({blueprint.id for blueprint in blueprints})
    assert 'rel="first"' in second
    assert 'rel="next"' not in second


def test_an_empty_library_says_how_to_fill_it(tmp_path: Path) -> None:
    with Store.open(tmp_path / "library.db", create=True):
        pass
    with servers.browsing(tmp_path / "library.db") as client:
        text = client.get("/").text
        assert "This library is empty" in text
        assert "python scripts/train_architect.py" in text
        assert "No search has written here yet" in client.get("/runs").text


def test_where_nothing_is_found_the_gallery_says_which_filter_to_relax(client: httpx.Client) -> None:
    text = client.get("/?search=linear&min_score=2").text
    assert "Nothing fits all of these" in text
    [address] = re.findall(r'href="([^"]+)">without score at least 2', text)
    assert _ids(client.get(unescape(address)).text)
    text = client.get("/?status=refused&family=experts&min_score=2&search=linear").text
    assert re.search(r'href="/\?search=linear">LINEAR alone: \d+', text)


def test_a_filter_that_is_no_number_is_refused_with_its_name(client: httpx.Client) -> None:
    answer = client.get("/?min_score=much", headers={"Accept": "text/html"})
    assert answer.status_code == 422
    assert "min_score is &#39;much&#39;" in answer.text


def test_a_filter_that_is_set_is_offered_however_many_others_there_are() -> None:
    counts = {f"r{number}": 200 - number for number in range(150)}
    assert list(_offered(counts, None)) == [f"r{number}" for number in range(NUM_CHOICES)]
    assert list(_offered(counts, "r3")) == [f"r{number}" for number in range(NUM_CHOICES)]
    assert [*_offered(counts, "r149").items()][-1] == ("r149", 51)
    assert _offered(counts, "gone")["gone"] == 0


def test_what_takes_long_is_sent_after_the_rest_of_a_page(client: httpx.Client) -> None:
    row = client.get("/api/v1/blueprints").json()["rows"][0]
    with client.stream("GET", f"/blueprints/{row['id']}") as answer:
        assert "content-length" not in answer.headers
        text = answer.read().decode()
    assert "\0" not in text
    assert text.index('id="provenance"') < text.index('id="neighbours"') < text.index("</html>")


def test_a_page_whose_last_part_fails_says_so_and_ends(tmp_path: Path) -> None:
    path = servers.write_library(tmp_path / "library.db")
    app = create_app(BrowseSettings(library=str(path)))
    context = app.state.context

    @app.get("/failing")
    def failing(request: Request) -> Response:
        view = detail_view(context, servers.human_blueprints(1)[0].id)
        for file in path.parent.iterdir():
            file.write_bytes(b"no database at all" * 1000)
        return rendering.page_in_parts(request, "blueprint", **view)

    with servers.serving(app) as address:
        text = httpx.get(f"{address}/failing", timeout=servers.PATIENCE_S).text
    assert "They could not be found in time." in text
    assert text.rstrip().endswith("</html>")


def test_a_page_whose_first_part_fails_is_an_error_in_the_envelope(library: Path) -> None:
    app = create_app(BrowseSettings(library=str(library)))

    @app.get("/api/v1/failing")
    def failing(request: Request) -> Response:
        return rendering.page_in_parts(request, "blueprint")

    with servers.serving(app) as address:
        answer = httpx.get(f"{address}/api/v1/failing", timeout=servers.PATIENCE_S)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")


def test_neighbours_say_what_differs_and_lead_to_a_comparison(client: httpx.Client) -> None:
    row = client.get("/api/v1/blueprints").json()["rows"][0]
    text = client.get(f"/blueprints/{row['id']}").text
    [nearest, *_] = client.get(f"/api/v1/blueprints/{row['id']}/neighbours").json()["neighbours"]
    other = nearest["blueprint"]["id"]
    assert f'href="/compare?a={row["id"]}&amp;b={other}"' in text
    come = [edit["tokens"] for edit in nearest["edits"] if edit["kind"] == "insert"]
    assert all(
        f'<span class="visually-hidden">with </span>{token}' in text for part in come for token in part
    )


def test_runs_are_listed_with_how_far_they_are(client: httpx.Client) -> None:
    text = client.get("/runs").text
    assert 'href="/runs/demo"' in text
    assert ">reinforce<" in text


@pytest.mark.parametrize("name", ["sweep/lr=0.1/seed 3", "50 % #1?", "a/metrics-of-b", "ünï"])
def test_a_run_is_found_whatever_its_name_holds(tmp_path: Path, name: str) -> None:
    path = servers.write_library(tmp_path / "library.db", run_id=name)
    with servers.browsing(path) as client:
        [found] = re.findall(r'<th scope="row"><a href="(/runs/[^"]+)">', client.get("/runs").text)
        page = client.get(unescape(found))
        assert page.status_code == 200
        assert f"<h1>{escape(name)}" in page.text
        [twin] = re.findall(r'<a href="(/api/v1/runs/[^"]+)">This page as JSON', page.text)
        assert client.get(unescape(twin)).json()["id"] == name
        [curves] = re.findall(r'data-curves="([^"]+)"', page.text)
        assert client.get(unescape(curves)).json()["num_generations"] == 2
        [best] = re.findall(r'href="(/\?[^"]*run_id=[^"]+)"', page.text)
        assert _ids(client.get(unescape(best)).text)
        encoded = quote(name, safe="")
        assert client.get(f"/api/v1/runs/{encoded}/metrics").json()["num_generations"] == 2


def test_a_difference_turns_one_program_into_the_other() -> None:
    first, second = "LINEAR OUT_DIM_HALF RELU".split(), "GELU LINEAR OUT_DIM_IN RELU".split()
    line = difference(first, second)
    assert [token.text for token in line if token.change != "come"] == first
    assert [token.text for token in line if token.change != "gone"] == second
    assert [(token.text, token.change) for token in line if token.change] == [
        ("GELU", "come"),
        ("OUT_DIM_HALF", "gone"),
        ("OUT_DIM_IN", "come"),
    ]
    assert all(token.family == "mixing" for token in line if token.is_attribute)


@pytest.mark.parametrize(
    ("token", "family"),
    [
        ("GRU", "recurrent"),
        ("RES_END", "merge"),
        ("MERGE_MUL", "merge"),
        ("LOOP_START", "loop"),
        ("SCAN_START", "scan"),
        ("STATE_1", "state"),
        ("NOTHING", "other"),
    ],
)
def test_a_token_has_the_family_of_its_node(token: str, family: str) -> None:
    assert coloured([token])[0].family == family
    assert family in {*FAMILY_COLOURS, "other"}


def test_source_is_marked_in_families_and_escaped() -> None:
    html = highlighted('x = F.gelu(self.gru_1("<b>"))')
    assert '<span class="op family-activation">gelu</span>' in html
    assert '<span class="op family-recurrent">gru_1</span>' in html
    assert "<b>" not in html


def test_a_family_tree_links_all_but_the_blueprint_itself(client: httpx.Client) -> None:
    rows = [BlueprintRow.model_validate(row) for row in client.get("/api/v1/blueprints").json()["rows"][:3]]
    levels = [
        [Relative(blueprint=row, step=-1, parents=(), edits=()) for row in rows[:2]],
        [Relative(blueprint=rows[2], step=0, parents=tuple(row.id for row in rows[:2]), edits=())],
    ]
    svg = family_tree(levels)
    assert re.findall(r'href="/blueprints/(\w+)"', svg) == [row.id for row in rows[:2]]
    assert svg.count('class="branch"') == 2
    ElementTree.fromstring(svg)


def test_a_database_s_password_is_not_shown() -> None:
    assert (
        shown_name("postgresql+psycopg://me:secret@host/db?password=secret") == "postgresql+psycopg://host/db"
    )
    assert shown_name("runs/a@b") == "runs/a@b"


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, "–"), (940, "940"), (26_612, "26.6 k"), (999_499, "999 k"), (999_900, "1.00 M"), (2e9, "2.00 G")],
)
def test_large_numbers_are_written_in_three_digits(value: float | None, written: str) -> None:
    assert quantity(value) == written


def test_numbers_that_there_are_none_of_are_dashes() -> None:
    assert (number(None), number(float("nan")), number(-0.5), signed(0.25)) == ("–", "–", "−0.500", "+0.250")
    assert moment("2026-11-21T12:10:30+01:00") == "2026-11-21 11:10 UTC"
