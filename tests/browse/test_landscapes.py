"""Pages of front, map, heat map and runs without scripts, and the map as JSON; leaves charts to a browser."""

import random
import re
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import servers

from blueprints import parse, random_program
from hall_of_fame.catalogue import Catalogue
from hall_of_fame.library import Library
from tamiyo.api import atlas
from tamiyo.web import curves
from tamiyo.web.landscapes import _ordered, heat_step


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a library of some 70 random blueprints."""
    rng = random.Random(5)
    found = {one.id: one for one in (parse(random_program(rng, max_ops=4)) for _ in range(70))}
    return servers.write_library(tmp_path_factory.mktemp("large") / "library.db", list(found.values()))


@pytest.fixture(scope="module")
def browser(large: Path) -> Iterator[httpx.Client]:
    with servers.browsing(large) as client:
        yield client


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", page)))


def written(score: float) -> str:
    return f"{score:.3f}".replace("-", "−")


def drawn(client: httpx.Client) -> dict:
    """Return the map when it is there; the limit is generous, for a machine may be busy."""
    end = time.monotonic() + 300
    while (answer := client.get("/api/v1/map").json())["status"] == "computing":
        assert time.monotonic() < end, answer
        time.sleep(0.1)
    return answer


def test_the_map_is_computed_on_the_side_and_then_answered(browser: httpx.Client) -> None:
    first = browser.get("/api/v1/map").json()
    assert first["status"] == "computing"
    assert first["points"] == []
    assert "The map is being drawn" in text_of(browser.get("/map").text)
    found = drawn(browser)
    assert found["status"] == "ready"
    total = browser.get("/api/v1/blueprints").json()["total"]
    assert len(found["points"]) == found["num_blueprints"] == total
    page = text_of(browser.get("/map").text)
    for cluster in found["clusters"]:
        assert f" {cluster['label']} " in page
        assert cluster["best_id"][:12] in page
    assert f"{len(found['points'])} of {total} are on it" in page


def test_a_library_too_small_for_a_map_says_so(client: httpx.Client) -> None:
    assert drawn(client)["status"] == "failed"
    page = text_of(client.get("/map").text)
    assert "12 blueprints make no map; expected at least 50" in page


def test_the_sample_is_the_best_and_others_by_their_hashes(large: Path) -> None:
    with Library.open(large) as library:
        catalogue = Catalogue(library.store)
        members = atlas.sample(library.store, catalogue, 10, 20)
        best = [row.blueprint_id for row in catalogue.sample(10)]
        others = sorted(set(library.store.ids()) - set(best))
        ids = [member.id for member in members]
        assert ids[:10] == best
        assert len(ids) == len(set(ids)) == 30
        assert sorted(ids[10:]) == others[:20]
        row = catalogue.row(ids[0])
        assert row is not None
        assert (members[0].tokens, members[0].family, members[0].reward) == (
            row.tokens,
            row.family,
            row.reward,
        )


def test_the_front_is_a_table_without_scripts(browser: httpx.Client) -> None:
    points = browser.get("/api/v1/pareto", params={"limit": 1000}).json()["points"]
    front = [point for point in points if point["is_front"]]
    page = browser.get("/pareto").text
    assert 0 < len(front) < len(points)
    rows = page.partition("<tbody>")[2].partition("</tbody>")[0].split("<tr>")[1:]
    assert len(rows) == min(len(front), 50)
    for point, row in zip(front, rows, strict=False):
        assert point["id"] in row
        assert written(point["score"]) in row
        assert f"{point['num_parameters']:,d}" in row


def test_every_family_on_the_plot_has_a_box_with_colour_and_mark(browser: httpx.Client) -> None:
    points = browser.get("/api/v1/pareto", params={"limit": 1000}).json()["points"]
    boxes = re.findall(
        r'name="family" value="(\w*)" data-colour="(\w+)" data-shape="(\w+)"', browser.get("/pareto").text
    )
    assert {family for family, _, _ in boxes} == {point["family"] for point in points}
    assert len({(colour, shape) for _, colour, shape in boxes}) == len(boxes)


def test_the_heat_map_is_a_table_of_every_score(browser: httpx.Client) -> None:
    found = browser.get("/api/v1/heat", params={"limit": 60}).json()
    page = browser.get("/heat").text
    rows = page.partition("<tbody>")[2].partition("</tbody>")[0].split("<tr>")[1:]
    assert len(rows) == len(found["rows"])
    for row, html in zip(found["rows"], rows, strict=True):
        scores = [*row["scores"], row["blueprint"]["score"]]
        assert re.findall(r'data-score="([^"]*)"', html) == [written(score) for score in scores]
        steps = [
            heat_step(score, task["chance"])
            for score, task in zip(row["scores"], found["tasks"], strict=True)
        ]
        assert re.findall(r"heat-(\d+)", html) == [str(step) for step in steps]


def test_the_heat_map_can_be_ordered_by_a_task(browser: httpx.Client) -> None:
    task = browser.get("/api/v1/heat").json()["tasks"][1]
    page = browser.get("/heat", params={"order": task["task_key"]}).text
    rows = page.partition("<tbody>")[2].partition("</tbody>")[0].split("<tr>")[1:]
    scores = [float(re.findall(r'data-score="([^"]*)"', row)[1].replace("−", "-")) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert page.count("aria-sort") == 1


def test_blueprints_that_a_task_never_saw_come_last_in_its_order() -> None:
    rows = [SimpleNamespace(scores=(score,)) for score in (0.9, None, 0.5, 1.0, 0.0)]
    found: Any = SimpleNamespace(tasks=[SimpleNamespace(task_key="xor-a")], rows=rows)
    assert [row.scores[0] for row in _ordered(found, "xor-a")] == [1.0, 0.9, 0.5, 0.0, None]
    assert _ordered(found, "another") == rows


def test_the_heat_map_s_form_may_ask_for_a_family_and_any_status(browser: httpx.Client) -> None:
    family = next(row["blueprint"]["family"] for row in browser.get("/api/v1/heat").json()["rows"])
    asked, plain = (browser.get("/heat", params={"family": family, **more}) for more in ({"status": ""}, {}))
    assert asked.status_code == 200
    assert asked.text.count('<th scope="row"') == plain.text.count('<th scope="row"') > 0


@pytest.mark.parametrize(
    ("score", "step"), [(None, None), (0.2, 0), (0.5, 0), (0.75, 5), (1.0, 10), (1.5, 10)]
)
def test_colour_runs_from_chance_to_perfect(score: float | None, step: int | None) -> None:
    assert heat_step(score, 0.5) == step


def test_filters_that_nothing_fits_say_how_to_go_on(browser: httpx.Client) -> None:
    page = text_of(browser.get("/heat", params={"status": "entrant"}).text)
    assert "No blueprint fits both" in page


def test_a_run_has_its_curves_drawn_its_numbers_and_its_command(client: httpx.Client) -> None:
    page = client.get("/runs/demo").text
    assert page.count('<svg class="curve"') == page.count("data-curve=") > 0
    assert "python scripts/train_architect.py seed=7" in text_of(page)
    assert "reward: mean" in text_of(page)
    assert " 0.600 " in text_of(page)


@pytest.mark.parametrize("path", ["/runs/none", "/blueprints/ffff/card"])
def test_what_there_is_not_is_answered_with_404(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["mend"]


def test_a_card_is_a_part_of_a_page(client: httpx.Client) -> None:
    [row, *_] = client.get("/api/v1/blueprints").json()["rows"]
    card = client.get(f"/blueprints/{row['id']}/card").text
    assert "<html" not in card
    assert '<svg xmlns="http://www.w3.org/2000/svg" class="blueprint' in card
    assert f'href="/blueprints/{row["id"]}"' in card


@pytest.mark.parametrize("path", ["/pareto", "/map", "/heat", "/runs/demo"])
def test_pages_hold_no_script_and_no_style_of_their_own(client: httpx.Client, path: str) -> None:
    page = client.get(path)
    assert page.status_code == 200
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page.text)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page.text))
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
        assert client.get(unescape(address)).status_code == 200


# Curves


ROWS = [
    {
        "generation": n,
        "reward_mean": 0.1 * n,
        "term_task_mean": 0.5,
        "term_latency_mean": 0.2,
        "evaluate_s": 2.0,
    }
    for n in range(5)
]


def test_every_term_of_the_reward_is_a_line() -> None:
    by_name = {curve.name: curve for curve in curves.curves_of(ROWS)}
    assert [series.label for series in by_name["terms"].series] == ["task", "latency"]
    assert "scores" not in by_name


def test_times_that_are_no_phase_are_not_drawn() -> None:
    rows = [{**row, "generation_s": 9.0, "blueprints_per_s": 7.0} for row in ROWS]
    [time_] = [curve for curve in curves.curves_of(rows) if curve.name == "time"]
    assert [series.field for series in time_.series] == ["evaluate_s"]


def test_missing_values_leave_gaps_and_lonely_ones_a_dot() -> None:
    rows = [{**row, "reward_mean": None if row["generation"] == 2 else row["reward_mean"]} for row in ROWS]
    [reward, *_] = curves.curves_of(rows)
    assert curves.curve_svg(reward, rows).count("M") == 2
    assert "<circle" in curves.curve_svg(
        reward, [*rows[:2], *({**row, "reward_mean": None} for row in rows[2:])][1:]
    )


def test_a_drawn_line_has_a_bounded_number_of_points() -> None:
    rows = [{"generation": n, "reward_mean": float(n)} for n in range(10_000)]
    [reward] = curves.curves_of(rows)
    assert curves.curve_svg(reward, rows).count("M") <= 200


def test_names_of_runs_and_terms_are_escaped() -> None:
    rows = [{"generation": n, "term_<script>_mean": 0.5} for n in range(2)]
    [terms] = curves.curves_of(rows)
    assert terms.series[0].label == "<script>"
    assert "<script>" not in curves.curve_svg(terms, rows)
