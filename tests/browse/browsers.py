"""A real Chromium for tests: where it is, how it starts, and what a page did that none may do."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

#: Names of the program, in the order in which they are looked for.
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
#: Set where a missing browser is a failure, such as in continuous integration.
REQUIRED = "TAMIYO_TEST_BROWSER"
#: Axes of WCAG 2.2 on what a page looks like and says; by Deque Systems, licence beside it.
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
#: A machine may be busy; what takes longer is broken.
PATIENCE_MS = 120_000
#: Widths in pixels of a desk's screen and of a phone's.
WIDE, PHONE = 1280, 400

_TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`content policy: ${event.violatedDirective} refuses ${event.blockedURI}`));
"""
_FINDINGS = """
async () => (await axe.run({ resultTypes: ["violations"] })).violations
  .filter(({ impact }) => ["serious", "critical"].includes(impact))
  .flatMap(({ id, impact, nodes }) => nodes.map((node) => `${impact} ${id}: ${node.html.slice(0, 200)}`))
"""


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Give a browser without a window; skips the test where there is none, or fails where it must be."""
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        _miss("no Chromium in PATH; install it with: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        _miss("playwright is not installed; install it with: pip install playwright")
    with sync_playwright() as playwright:
        # Chromium refuses its sandbox to root.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=options)
        try:
            yield browser
        finally:
            browser.close()


def _miss(reason: str) -> NoReturn:
    if os.environ.get(REQUIRED):
        pytest.fail(f"{reason} ({REQUIRED} is set)", pytrace=False)
    pytest.skip(reason)


class Visitor:
    """Opens pages of one server, and remembers what they did wrong.

    Attributes:
        problems: errors of the console, exceptions, refusals by the content policy, answers of 400 and above.
    """

    def __init__(self, browser: "Browser", address: str) -> None:
        self.problems: list[str] = []
        self._browser, self._address = browser, address
        self._contexts: list[BrowserContext] = []

    def __call__(self, path: str, *, width: int = WIDE, **settings: Any) -> "Page":
        """Return the page at a path, in a context of its own with these settings."""
        context = self._browser.new_context(
            base_url=self._address, viewport={"width": width, "height": 900}, **settings
        )
        context.set_default_timeout(PATIENCE_MS)
        self._contexts.append(context)
        page = context.new_page()
        self.watch(page)
        page.goto(path)
        return page

    def watch(self, page: "Page") -> None:
        """Remember what this page does wrong from now on."""
        page.add_init_script(_TELL_VIOLATIONS)
        page.on("console", lambda told: told.type == "error" and self.problems.append(told.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on(
            "response",
            lambda answer: answer.status >= 400 and self.problems.append(f"{answer.status} {answer.url}"),
        )

    def close(self) -> None:
        """Close every page."""
        for context in self._contexts:
            context.close()


def findings(page: "Page") -> list[str]:
    """Return the serious and critical findings of axe-core on a page whose context bypasses the policy."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    return page.evaluate(_FINDINGS)


def overflow(page: "Page") -> int:
    """Return by how many pixels a page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
