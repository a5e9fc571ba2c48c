"""Pages as people use them: opened, typed into, clicked and walked by keys in a real Chromium.

Plots are tried in test_charts.py, the playground in test_playground_in_chromium.py.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import browsers
import pytest
from browsers import PHONE, WIDE, Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Page

#: Every page by its path; some need an id or two, which `address` puts in.
PAGES = (
    "/",
    "/?search=GRU&status=candidate",
    "/?search=GRU%20GRU%20CONV%20SSM%20ATTENTION",
    "/blueprints/{a}",
    "/compare",
    "/compare?a={a}&b={b}",
    "/pareto",
    "/map",
    "/heat",
    "/runs",
    "/runs/demo",
    "/playground?tokens=RES_START+LINEAR+OUT_DIM_IN+GELU+RES_END",
    "/playground?tokens=LINEAR+KERNEL_5",
)


@pytest.fixture(scope="module")
def ids(browser, site: str) -> list[str]:
    """Return the ids of the blueprints on the first page of the gallery, best first."""
    context = browser.new_context(base_url=site)
    found = context.request.get("/api/v1/blueprints").json()["rows"]
    context.close()
    return [row["id"] for row in found]


def address(path: str, ids: list[str]) -> str:
    return path.format(a=ids[0], b=ids[1])


def cards(page: "Page") -> list[str]:
    """Return the short ids of the cards that are shown."""
    return page.locator("#results .card .id").all_inner_texts()


def wait_for_address(page: "Page", part: str) -> None:
    """Wait until a page's address holds a text; scripts change it once the page shows what it says."""
    page.wait_for_url(lambda url: part in url)


@pytest.mark.parametrize(("theme", "width"), [("light", WIDE), ("dark", PHONE)])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_its_window_and_has_no_serious_finding(
    visit: Visitor, ids: list[str], path: str, theme: str, width: int
) -> None:
    page = visit(address(path, ids), width=width, color_scheme=theme, bypass_csp=True)
    page.wait_for_load_state("networkidle")
    assert browsers.overflow(page) == 0
    assert browsers.findings(page) == []


@pytest.mark.parametrize(("theme", "width"), [("light", WIDE), ("dark", PHONE)])
def test_a_map_that_is_drawn_fits_its_window_and_has_no_serious_finding(
    visit: Visitor, theme: str, width: int
) -> None:
    page = visit("/map", width=width, color_scheme=theme, bypass_csp=True)
    page.wait_for_selector(".plot canvas")
    page.wait_for_load_state("networkidle")
    assert browsers.overflow(page) == 0
    assert browsers.findings(page) == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_keeps_to_its_own_content_policy(visit: Visitor, ids: list[str], path: str) -> None:
    page = visit(address(path, ids))
    page.wait_for_load_state("networkidle")
    assert page.locator("h1").count() == 1
    assert page.title().endswith("· Tamiyo")


def test_a_breach_of_the_content_policy_is_seen_by_these_tests(visitor: Visitor) -> None:
    page = visitor("/")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">')")
    page.evaluate("document.head.append(Object.assign(document.createElement('script'), {text: 'x = 1'}))")
    page.evaluate("fetch('/nowhere')")
    page.wait_for_load_state("networkidle")
    told = " ".join(visitor.problems)
    assert "content policy: style-src-attr refuses inline" in told
    assert "content policy: script-src-elem refuses inline" in told
    assert re.search(r"404 http://[^ ]*/nowhere", told)


def test_a_fault_of_accessibility_is_seen_by_these_tests(visitor: Visitor) -> None:
    page = visitor("/", bypass_csp=True)
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<main><img src=\"/static/favicon.svg\"></main>')"
    )
    assert any(found.startswith("critical image-alt") for found in browsers.findings(page))


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/", "#results .card svg.blueprint"),
        ("/blueprints/{a}", "#code .family-mixing, #code code"),
        ("/compare?a={a}&b={b}", "table"),
        ("/pareto", "table a.id"),
        ("/heat", "table td"),
        ("/runs", "table a"),
        ("/runs/demo", "svg.curve"),
        ("/playground?tokens=RES_START+GRU+RES_END", "#checked svg.blueprint"),
    ],
)
def test_a_page_is_there_without_scripts(visit: Visitor, ids: list[str], path: str, content: str) -> None:
    page = visit(address(path, ids), java_script_enabled=False)
    assert page.locator(content).first.is_visible()
    assert page.locator("[data-theme-toggle]").is_hidden()


def test_filters_work_without_scripts(visit: Visitor) -> None:
    page = visit("/", java_script_enabled=False)
    page.fill("#search", "GRU")
    page.click("[data-submit]")
    page.wait_for_url("**/?*search=GRU*")
    assert all("GRU" in text for text in page.locator(".card .tokens").all_inner_texts())


def test_the_gallery_follows_what_is_typed(visit: Visitor) -> None:
    page = visit("/")
    before = cards(page)
    page.locator("#search").press_sequentially("gru")
    wait_for_address(page, "search=gru")
    after = cards(page)
    assert after
    assert after != before
    assert all("GRU" in text for text in page.locator(".card .tokens").all_inner_texts())
    assert page.input_value("#search") == "gru"
    page.reload()
    assert cards(page) == after
    page.fill("#search", "GRU SSM CONV EXPERTS")
    page.wait_for_selector("#results .empty")
    page.click("#results .empty a:has-text('Clear all')")
    page.wait_for_url(lambda url: "?" not in url)
    assert cards(page) == before


def test_the_gallery_filters_orders_and_takes_filters_away(visit: Visitor) -> None:
    page = visit("/")
    page.check("[name=status][value=entrant]")
    wait_for_address(page, "status=entrant")
    assert len(cards(page)) == 1
    page.click("#results .chips a")
    page.wait_for_url(lambda url: "entrant" not in url)
    before = cards(page)
    page.fill("[name=min_num_parameters]", "300")
    wait_for_address(page, "min_num_parameters=300")
    assert 0 < len(cards(page)) < 50
    assert cards(page) != before
    order = page.locator("#sort option").nth(1).get_attribute("value")
    page.select_option("#sort", order)
    wait_for_address(page, "order=")
    assert cards(page)


def test_pages_of_the_gallery_hold_every_blueprint_once(visit: Visitor) -> None:
    page = visit("/")
    seen = cards(page)
    while page.locator("a[rel=next]").count():
        page.click("a[rel=next]")
        page.wait_for_load_state()
        seen += cards(page)
    assert len(seen) == len(set(seen)) == 50
    page.click("a[rel=first]")
    page.wait_for_load_state()
    assert cards(page) == seen[: len(cards(page))]


def test_the_theme_changes_and_stays(visit: Visitor) -> None:
    page = visit("/", color_scheme="light")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    while page.inner_text("[data-theme-name]") != "Dark":
        page.click("[data-theme-toggle]")
    dark = page.evaluate(colour)
    assert dark != light
    page.goto("/runs")
    assert page.evaluate(colour) == dark
    assert page.inner_text("[data-theme-name]") == "Dark"


def test_a_blueprint_is_copied_and_downloaded(visit: Visitor, ids: list[str], tmp_path: Path) -> None:
    page = visit(f"/blueprints/{ids[0]}", permissions=["clipboard-read", "clipboard-write"])
    clipboard = "navigator.clipboard.readText()"
    page.click("[data-copy='#full-id']")
    page.wait_for_selector("[data-copy='#full-id']:has-text('Copied')")
    assert page.evaluate(clipboard) == ids[0]
    page.click("[data-copy='#code']")
    page.wait_for_selector("[data-copy='#code']:has-text('Copied')")
    copied = page.evaluate(clipboard)
    with page.expect_download() as download:
        page.click("a[download] >> nth=0")
    download.value.save_as(tmp_path / "block.py")
    assert download.value.suggested_filename == f"blueprint_{ids[0][:12]}.py"
    source = (tmp_path / "block.py").read_text(encoding="utf-8")
    assert copied.strip() == source.strip()
    compile(source, "block.py", "exec")


def test_a_graph_is_told_by_pointer_and_by_keys(visit: Visitor, ids: list[str]) -> None:
    page = visit(f"/blueprints/{ids[0]}")
    told = page.locator("[data-graph-told]")
    at_rest = told.inner_text()
    page.focus("[data-graph]")
    page.keyboard.press("ArrowDown")
    first = told.inner_text()
    page.keyboard.press("ArrowDown")
    assert len({at_rest, first, told.inner_text()}) == 3
    page.keyboard.press("Escape")
    assert told.inner_text() == at_rest
    page.hover("[data-graph] .node >> nth=1")
    assert told.inner_text() != at_rest


def test_two_blueprints_are_compared_from_a_page_and_swapped(visit: Visitor, ids: list[str]) -> None:
    page = visit(f"/blueprints/{ids[0]}")
    page.fill("form[action='/compare'] [name=b]", ids[1][:10])
    page.click("form[action='/compare'] button")
    page.wait_for_url("**/compare?*")
    sides = page.locator(".beside h2 .id").all_inner_texts()
    page.click("a:has-text('Swap')")
    page.wait_for_load_state()
    assert page.locator(".beside h2 .id").all_inner_texts() == sides[::-1]


def sides(page: "Page") -> list[str]:
    """Return the short ids of the blueprints that a page compares."""
    page.wait_for_url(lambda url: "a=" in url and "b=" in url)
    return page.locator(".beside h2 .id").all_inner_texts()


def test_two_cards_are_picked_and_compared_without_scripts(visit: Visitor) -> None:
    page = visit("/", java_script_enabled=False)
    shown, go = cards(page), page.locator("[data-tray-go]")
    assert go.is_hidden()
    for place in (1, 3):
        page.check(f".card >> nth={place} >> [data-pick]")
    go.click()
    assert sides(page) == [shown[1], shown[3]]
    page.goto("/")
    for place in (0, 2, 4):
        page.check(f".card >> nth={place} >> [data-pick]")
    go.click()
    page.select_option("[name=b]", label=shown[4])
    page.click("main button")
    assert sides(page) == [shown[0], shown[4]]


def test_picked_cards_are_kept_from_page_to_page(visit: Visitor) -> None:
    page = visit("/")
    first, tray, go = cards(page), page.locator("[data-tray]"), page.locator("[data-tray-go]")
    assert tray.is_hidden()
    page.check(".card >> nth=0 >> [data-pick]")
    assert tray.is_visible()
    assert go.is_disabled()
    page.click("a[rel=next]")
    page.wait_for_load_state()
    second = cards(page)
    page.check(".card >> nth=1 >> [data-pick]")
    assert tray.locator(".chip .id").all_inner_texts() == [first[0], second[1]]
    page.check(".card >> nth=2 >> [data-pick]")
    assert tray.locator(".chip .id").all_inner_texts() == [second[1], second[2]], "the last two are kept"
    page.fill("#search", page.locator(".card >> nth=1 >> .token >> nth=0").inner_text())
    wait_for_address(page, "search=")
    assert set(page.locator(".card:has(:checked) h2 .id").all_inner_texts()) >= {second[1]}
    go.click()
    assert sides(page) == [second[1], second[2]]
    page.goto("/")
    assert tray.is_hidden()


def test_cards_are_picked_and_given_up_by_keys(visit: Visitor) -> None:
    page = visit("/")
    shown, tray = cards(page), page.locator("[data-tray]")
    page.focus(".card >> nth=0 >> a")
    for _ in range(2):
        _tab_to(page, "[data-pick]", most=2)
        page.keyboard.press("Space")
    assert page.locator("[data-pick]:checked").count() == 2
    page.focus("[data-tray] .chip >> nth=0")
    page.keyboard.press("Enter")
    assert tray.locator(".chip .id").all_inner_texts() == [shown[1]]
    assert page.evaluate("document.activeElement.matches('.chip')")
    page.keyboard.press("Enter")
    assert tray.is_hidden()
    assert page.locator("[data-pick]:checked").count() == 0


@pytest.mark.parametrize("width", [320, PHONE, 700, WIDE])
def test_every_page_can_be_seen_in_the_navigation(visit: Visitor, width: int) -> None:
    page = visit("/", width=width)
    links = page.locator("nav[aria-label=Pages] a").all()
    assert len(links) == 6
    for link in links:
        box = link.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    assert (
        page.evaluate(
            "(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)(document.querySelector('nav'))"
        )
        == 0
    )


def test_a_run_is_opened_and_leads_to_its_blueprints(visit: Visitor) -> None:
    page = visit("/runs")
    page.click("table a:has-text('demo')")
    page.wait_for_url("**/runs/demo")
    page.wait_for_selector(".uplot canvas")
    page.click("summary:has-text('generations as a table')")
    assert page.locator("tbody tr").first.is_visible()
    page.click("a:has-text('Its best blueprints')")
    page.wait_for_url("**/?*run_id=demo*")
    assert cards(page)


def test_the_heat_map_is_ordered_by_a_task_and_filtered(visit: Visitor) -> None:
    page = visit("/heat")
    page.click("thead a:has-text('temporal')")
    page.wait_for_selector("th[aria-sort=descending]:has-text('temporal')")
    column = page.locator("thead th").all_inner_texts().index(page.inner_text("th[aria-sort]"))
    shown = page.locator(f"tbody tr td:nth-child({column + 1})").all_inner_texts()
    scores = [float(text.replace("−", "-")) for text in shown]
    assert scores == sorted(scores, reverse=True)
    page.select_option("select[name=status]", "refused")
    page.click("main form button")
    page.wait_for_url("**status=refused**")
    assert page.locator("tbody tr").count() == 1


def test_the_keyboard_alone_leads_from_the_gallery_to_a_copied_program(visit: Visitor) -> None:
    page = visit("/", permissions=["clipboard-read", "clipboard-write"])
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("GRU")
    wait_for_address(page, "search=GRU")
    _tab_to(page, "#results .card a")
    page.keyboard.press("Enter")
    page.wait_for_url("**/blueprints/*")
    _tab_to(page, "[data-copy='#program']")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-copy='#program']:has-text('Copied')")
    assert "GRU" in page.evaluate("navigator.clipboard.readText()")


def _tab_to(page: "Page", selector: str, most: int = 120) -> None:
    """Press Tab until an element has the focus, and see that each one on the way shows it."""
    for _ in range(most):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """(selector) => {
                const here = document.activeElement;
                const bearers = [here, here.closest(".card"), here.nextElementSibling].filter(Boolean);
                const isSeen = bearers.some((part) => getComputedStyle(part).outlineStyle !== "none");
                return { isThere: here.matches(selector), isSeen, text: here.outerHTML.slice(0, 120) };
            }""",
            selector,
        )
        assert found["isSeen"], f"the focus cannot be seen on {found['text']}"
        if found["isThere"]:
            return
    pytest.fail(f"{most} steps of Tab do not lead to {selector}")


def test_what_is_not_there_is_told_with_a_way_on(visitor: Visitor) -> None:
    for path in ("/nowhere", "/blueprints/ffffffffffff", "/runs/none"):
        page = visitor(path)
        assert page.locator("h1").is_visible()
        page.click("main a >> nth=0")
        page.wait_for_load_state()
        assert page.locator("h1").is_visible()
