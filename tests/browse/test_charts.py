"""Charts in a real browser: focus by pointer and keys, zoom, filters, live curves; looks are left to eyes."""

import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import servers

from blueprints import parse, random_program
from hall_of_fame.store import Store

sync_api = pytest.importorskip("playwright.sync_api", reason="charts are tried in a browser: playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="charts are tried in a browser: chromium")

#: A machine may be busy; what takes longer is broken.
PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a library of some 70 random blueprints, to which tests may add generations."""
    rng = random.Random(5)
    found = {one.id: one for one in (parse(random_program(rng, max_ops=4)) for _ in range(70))}
    return servers.write_library(tmp_path_factory.mktemp("charts") / "library.db", list(found.values()))


@pytest.fixture(scope="module")
def address(path: Path) -> Iterator[str]:
    with servers.browsing(path) as client:
        yield str(client.base_url)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Open pages of the server; whatever they write to the console as an error fails the test."""
    contexts, errors = [], []

    def visit(path: str, **settings: Any) -> Any:
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, **settings)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address.rstrip('/')}{path}")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not errors


def count(page: Any) -> int:
    """Return how many points a plot says that it shows."""
    return int(re.match(r"[\d,]+", page.inner_text("[data-count]"))[0].replace(",", ""))


def picture(page: Any) -> str:
    return page.evaluate("document.querySelector('.plot canvas').toDataURL()")


def wait_for_picture(page: Any, wanted: str) -> None:
    """Wait until the plot is drawn as it was; a browser tells of pointers when it comes to it."""
    end = time.monotonic() + PATIENCE_MS / 1000
    while picture(page) != wanted:
        assert time.monotonic() < end
        page.wait_for_timeout(50)


def focus_one(page: Any) -> str:
    """Put the focus on a point with the keys; return what is told of it."""
    page.wait_for_selector("[data-count]:not(:empty)")
    page.focus(".plot canvas")
    page.keyboard.press("ArrowRight")
    return page.text_content("[data-told]")


def test_keys_go_from_point_to_point_show_it_and_open_it(visit: Callable[..., Any]) -> None:
    page = visit("/pareto")
    first = focus_one(page)
    page.keyboard.press("ArrowRight")
    second = page.text_content("[data-told]")
    assert first != second
    id_ = second.partition(" ")[0]
    page.wait_for_selector(f"[data-shown] a:text('{id_}')")
    assert page.is_visible("[data-shown] svg.blueprint")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"/blueprints/{id_}"))


def test_a_pointer_finds_the_point_below_it(visit: Callable[..., Any]) -> None:
    page = visit("/pareto")
    page.wait_for_selector("[data-count]:not(:empty)")
    box = page.locator(".plot canvas").bounding_box()
    for step in range(40):
        page.mouse.move(box["x"] + 60 + step * (box["width"] - 80) / 40, box["y"] + box["height"] * 0.3)
        for part in range(20):
            page.mouse.move(
                box["x"] + 60 + step * (box["width"] - 80) / 40,
                box["y"] + 45 + part * (box["height"] - 95) / 20,
            )
            if page.is_visible("[data-tip]"):
                assert re.match(r"[0-9a-f]{12} · score ", page.text_content("[data-tip]"))
                return
    pytest.fail("no point was found")


def test_a_frame_zooms_and_the_button_shows_everything_again(visit: Callable[..., Any]) -> None:
    page = visit("/pareto")
    page.wait_for_selector("[data-count]:not(:empty)")
    whole = picture(page)
    box = page.locator(".plot canvas").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + 300, steps=4)
    page.mouse.up()
    page.mouse.move(1, 1)
    assert picture(page) != whole
    page.click("[data-zoom=all]")
    page.mouse.move(1, 1)
    wait_for_picture(page, whole)


def test_families_are_taken_away_and_axes_changed(visit: Callable[..., Any]) -> None:
    page = visit("/pareto")
    page.wait_for_selector("[data-count]:not(:empty)")
    before, whole = count(page), picture(page)
    page.uncheck("[name=family] >> nth=0")
    assert 0 < count(page) < before
    page.check("[name=family] >> nth=0")
    assert count(page) == before
    page.check("[name=cost][value=latency_us]", force=True)
    assert picture(page) != whole
    assert "µs" in focus_one(page)


def test_the_map_comes_by_itself_and_can_be_filtered(visit: Callable[..., Any]) -> None:
    page = visit("/map")
    page.wait_for_selector(".plot canvas")
    page.wait_for_selector("[data-count]:not(:empty)")
    everything, tsne = count(page), picture(page)
    assert page.locator("[data-cluster]").count() >= 5
    page.check("[name=projection][value=pca]", force=True)
    assert picture(page) != tsne
    page.fill("[name=least]", "50")
    assert 0 < count(page) < everything
    assert re.match(r"[0-9a-f]{12} · reward 0\.\d{3} · ", focus_one(page))


def test_a_map_that_was_not_answered_once_is_asked_for_again(visit: Callable[..., Any], address: str) -> None:
    page = visit("/map")
    page.wait_for_selector("[data-count]:not(:empty)")
    asked = []

    def answer(route: Any) -> None:
        asked.append(route)
        if len(asked) == 1:
            route.fulfill(status=200, body="a proxy's page")
        else:
            route.continue_()

    page.route("**/api/v1/map", answer)
    page.goto(f"{address.rstrip('/')}/map")
    page.wait_for_selector("[data-phase]:text('The page asks again.')")
    page.wait_for_selector("[data-count]:not(:empty)")
    assert len(asked) == 2
    assert not page.is_visible("[data-status]")


def test_a_cluster_is_shown_while_its_row_is_pointed_at(visit: Callable[..., Any]) -> None:
    page = visit("/map")
    page.wait_for_selector(".plot canvas")
    page.wait_for_selector("[data-count]:not(:empty)")
    before = picture(page)
    page.hover("[data-cluster] >> nth=0")
    assert picture(page) != before
    page.hover("h1")
    wait_for_picture(page, before)


def test_cells_of_the_heat_map_are_told_and_walked_through(visit: Callable[..., Any]) -> None:
    page = visit("/heat")
    page.focus("[data-heat] td >> nth=0")
    first = page.text_content("[data-heat-told]")
    assert re.match(r"[0-9a-f]{12} · \w+ · −?\d\.\d{3}", first)
    page.keyboard.press("ArrowRight")
    second = page.text_content("[data-heat-told]")
    assert first.split(" · ")[0] == second.split(" · ")[0]
    assert first.split(" · ")[1] != second.split(" · ")[1]
    page.keyboard.press("ArrowDown")
    assert page.text_content("[data-heat-told]").split(" · ")[1] == second.split(" · ")[1]


def test_curves_go_on_while_the_run_does(visit: Callable[..., Any], path: Path) -> None:
    page = visit("/runs/demo")
    page.wait_for_selector(".uplot canvas")
    assert page.locator("svg.curve").count() == 0
    assert "Generation 1;" in page.text_content("[data-curves-told]")
    with Store.open(path) as store:
        store.commit_generation(
            "demo",
            2,
            stage="xor",
            metrics={"generation": 2, "reward_mean": 0.8},
            candidates=[],
            blueprints=[],
            evaluations=[],
            tasks=servers.TASKS,
        )
    page.wait_for_selector("[data-curves-told]:has-text('Generation 2, just now')")


def test_without_scripts_there_are_tables_and_drawings_and_no_dead_controls(
    visit: Callable[..., Any],
) -> None:
    page = visit("/pareto", java_script_enabled=False)
    assert not page.is_visible(".plot")
    assert not page.is_visible(".controls")
    assert page.is_visible("table a.id >> nth=0")
    page = visit("/runs/demo", java_script_enabled=False)
    assert page.is_visible("svg.curve >> nth=0")
    page = visit("/heat", java_script_enabled=False)
    assert page.is_visible("td.number >> nth=0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page_path", ["/pareto", "/map", "/heat", "/runs/demo"])
def test_no_page_is_wider_than_a_phone(visit: Callable[..., Any], page_path: str, scheme: str) -> None:
    page = visit(page_path, color_scheme=scheme)
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 400
