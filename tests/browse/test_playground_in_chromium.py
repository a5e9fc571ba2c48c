"""The playground in a real Chromium: programs are checked as they are typed, mended, trained, cancelled."""

import re
from typing import TYPE_CHECKING

import pytest
from browsers import Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Page

LEGAL = "RES_START LINEAR OUT_DIM_DOUBLE GELU LINEAR OUT_DIM_IN RES_END"


def write(page: "Page", text: str) -> None:
    """Type a text as a person does, key by key."""
    page.locator("#tokens").press_sequentially(text, delay=5)


def verdict(page: "Page", beginning: str) -> str:
    """Wait until the verdict begins like this; return all of it."""
    page.wait_for_selector(f"#checked [data-live-status]:text-matches('^{beginning}')")
    return page.inner_text("#checked [data-live-status]")


def test_a_program_is_checked_and_drawn_as_it_is_typed(visit: Visitor) -> None:
    page = visit("/playground")
    assert page.locator("[data-train]").is_disabled()
    write(page, "res_start gru ")
    verdict(page, "Not whole yet")
    assert page.locator("#checked .drawing.faded svg.blueprint").is_visible()
    write(page, "res_end ")
    assert re.search(r"\d+ parameters, [\d,]+ FLOPs", verdict(page, "A blueprint"))
    drawn = page.locator("#checked .drawing:not(.faded)")
    assert "GRU" in drawn.text_content()
    assert page.locator("#checked .token").all_inner_texts() == ["RES_START", "GRU", "RES_END"]
    assert page.locator("[data-train]").is_enabled()
    assert "tokens=RES_START+GRU+RES_END" in page.url
    page.reload()
    verdict(page, "A blueprint")


def test_offers_narrow_to_what_is_typed_and_enter_takes_the_first(visit: Visitor) -> None:
    page = visit("/playground")
    offers = page.locator("#offers [data-offer]:visible")
    assert {"GRU", "LINEAR", "RES_START"} <= set(offers.all_inner_texts())
    write(page, "RES_S")
    assert offers.all_inner_texts() == ["RES_START"]
    page.keyboard.press("Enter")
    assert page.input_value("#tokens") == "RES_START "
    verdict(page, "Not whole yet")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.matches('[data-offer]')")
    taken = page.evaluate("document.activeElement.value")
    page.keyboard.press("Enter")
    assert page.input_value("#tokens") == f"RES_START {taken} "
    assert page.evaluate("document.activeElement.id") == "tokens"


def test_a_fault_is_marked_explained_and_mended(visit: Visitor) -> None:
    page = visit("/playground")
    write(page, "LINEAR KERNEL_5 GELU ")
    verdict(page, "Refused")
    assert page.inner_text("#checked .tokens-line .token.fault") == "KERNEL_5"
    assert "attribute-fits-op" in page.inner_text("#checked .alert")
    assert page.locator("[data-train]").is_disabled()
    near = page.get_attribute("[data-take]", "data-take")
    page.click("[data-take]")
    verdict(page, "A blueprint")
    assert page.input_value("#tokens") == f"{near} "


def test_a_known_module_is_a_start_and_the_width_changes_its_costs(visit: Visitor) -> None:
    page = visit("/playground")
    page.select_option("#human", "transformer_block")
    page.wait_for_url("**human=transformer_block*")
    assert "ATTENTION" in page.input_value("#tokens")
    before = verdict(page, "A blueprint")
    page.select_option("#width", "64")
    page.wait_for_url(lambda url: "width=64" in url)
    assert verdict(page, "A blueprint") != before


def send(page: "Page", *, seeds: str, task: str = "xor") -> None:
    page.select_option("[name=task]", task)
    page.select_option("[name=seeds]", seeds)
    page.click("[data-train]")
    page.wait_for_url("**/evaluations/*")


def test_an_evaluation_runs_to_its_end_before_ones_eyes(visit: Visitor) -> None:
    page = visit(f"/playground?tokens={LEGAL.replace(' ', '+')}")
    send(page, seeds="1")
    page.wait_for_selector("#job [data-live-status]:text-matches('^Done: 1 of 1')")
    assert page.locator("[role=progressbar]").get_attribute("aria-valuenow") == "1"
    assert re.match(r"−?\d\.\d{3} reward", page.inner_text("#job .score.big"))
    assert page.locator("#job form[action$='/cancel']").count() == 0
    page.goto("/playground")
    assert page.locator("table a[href^='/evaluations/']").count() >= 1


def test_an_evaluation_is_cancelled(visit: Visitor) -> None:
    page = visit("/playground?human=transformer_block")
    most = page.locator("[name=seeds] option").all_inner_texts()[-1]
    send(page, seeds=most, task="graft")  # long enough to be cancelled, on any machine
    page.click("#job form[action$='/cancel'] button")
    page.wait_for_selector("#job [data-live-status].cancelled")
    assert page.get_attribute("#job", "data-poll") == ""


@pytest.mark.parametrize("part", ["tokens", "offers"])
def test_the_playground_works_without_scripts(visit: Visitor, part: str) -> None:
    page = visit("/playground", java_script_enabled=False)
    if part == "tokens":
        page.fill("#tokens", LEGAL)
        page.click("button:has-text('Check')")
    else:
        for token in ("RES_START", "GRU", "RES_END"):
            page.click(f"#offers button[value={token}]")
    verdict(page, "A blueprint")
    assert page.locator("#checked svg.blueprint").is_visible()
