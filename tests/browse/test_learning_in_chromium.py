"""The learning curves of a blueprint's page in a real Chromium: with and without scripts, opened by keys."""

import pytest
from browsers import PHONE, WIDE, Visitor


@pytest.fixture
def address(browser, site: str) -> str:
    """Return the path of the best blueprint's page."""
    context = browser.new_context(base_url=site)
    found = context.request.get("/api/v1/blueprints").json()["rows"][0]["id"]
    context.close()
    return f"/blueprints/{found}"


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize(("theme", "width"), [("light", WIDE), ("dark", PHONE)])
def test_the_mean_stands_out_over_the_thin_lines(
    visit: Visitor, address: str, theme: str, width: int, scripts: bool
) -> None:
    page = visit(address, width=width, color_scheme=theme, java_script_enabled=scripts)
    section = page.locator("section[aria-labelledby=learning]")
    picture = section.get_by_role("img", name="Training loss on xor over 100 steps")
    assert picture.is_visible()
    box = picture.bounding_box()
    assert box is not None
    assert 0 < box["width"] <= width
    assert picture.locator("path.one").count() == 2
    thin, thick = picture.locator("path.one").first, picture.locator("path.mean")
    assert (_width_of(thin), _width_of(thick)) == ("1px", "3px")
    assert section.get_by_text("temporal: 2 trainings went well and left no curve on record").is_visible()


def test_the_numbers_behind_the_mean_open_by_keys(visit: Visitor, address: str) -> None:
    page = visit(address)
    page.click("nav.contents a[href='#learning']")
    summary = page.locator("section[aria-labelledby=learning] summary").first
    table = page.get_by_role("group", name="Mean loss on xor")
    assert table.is_hidden()
    summary.focus()
    page.keyboard.press("Enter")
    assert table.is_visible()
    rows = table.locator("tbody tr")
    assert rows.count() == 17
    assert rows.nth(1).inner_text().split() == ["2.5", "1.000", "1.000", "1.000"]


def _width_of(path) -> str:
    return path.evaluate("(line) => getComputedStyle(line).strokeWidth")
