"""Opens pages in Chromium for benchmarks/browse.py: first contentful paint, bytes that came, screenshots."""

import importlib.util
import os
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Pictures by file name: page, width in pixels, colours.
PICTURES = {
    "gallery_light": ("gallery", 1280, "light"),
    "blueprint_dark": ("blueprint", 1280, "dark"),
    "front_light": ("front", 1280, "light"),
    "map_dark": ("map", 1280, "dark"),
    "gallery_phone_dark": ("gallery", 400, "dark"),
    "playground_phone_light": ("playground", 400, "light"),
}
HEIGHT = 800
PATIENCE_MS = 120_000
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"

Pages = Mapping[str, Callable[[], str]]


def missing() -> str:
    """Return why no page can be opened here; empty when one can."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed: pip install playwright"
    return "" if _program() else "no Chromium in PATH: apt-get install chromium"


def opened(address: str, pages: Pages, times: int) -> dict[str, dict[str, float]]:
    """Return each page's first contentful paint in seconds, and the bytes of all that came; medians.

    These are as they were sent, and as they are without compression.
    """
    found = {}
    with _browser() as browser:
        for name, page in pages.items():
            seen = [_open(browser, address, page()) for _ in range(times)]
            paint_ms, weight, plain_weight = map(statistics.median, zip(*seen, strict=True))
            found[name] = {
                "paint_s": paint_ms / 1000,
                "weight_bytes": weight,
                "plain_weight_bytes": plain_weight,
            }
    return found


def _open(browser: Any, address: str, path: str) -> tuple[float, int, int]:
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": HEIGHT})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    requests: list[Any] = []
    page.on("requestfinished", lambda request: requests.append(request))
    page.goto(path, wait_until="networkidle")
    paint_ms = page.evaluate(_PAINT)
    while paint_ms is None:
        page.wait_for_timeout(50)
        paint_ms = page.evaluate(_PAINT)
    size = sum(request.sizes()["responseBodySize"] for request in requests)
    plain_size = sum(len(request.response().body()) for request in requests)
    context.close()
    return paint_ms, size, plain_size


def screenshots(address: str, pages: Pages, folder: Path) -> None:
    """Write the pictures that the documentation shows."""
    folder.mkdir(parents=True, exist_ok=True)
    with _browser() as browser:
        for name, (of, width, scheme) in PICTURES.items():
            settings = {"viewport": {"width": width, "height": HEIGHT}, "color_scheme": scheme}
            page = browser.new_page(base_url=address, **settings)
            page.goto(pages[of](), wait_until="networkidle", timeout=PATIENCE_MS)
            page.screenshot(path=folder / f"{name}.png")
            page.close()


@contextmanager
def _browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium refuses its sandbox to root.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=_program(), args=options)
        try:
            yield browser
        finally:
            browser.close()


def _program() -> str | None:
    return next((path for name in _PROGRAMS if (path := shutil.which(name))), None)
