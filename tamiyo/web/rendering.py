"""From a template and a model to a page: the environment of the templates, and how numbers are written."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, StreamingResponse

from blueprints.drawing import FAMILY_COLOURS
from hall_of_fame.library import SHORT_ID
from tamiyo.web.pictures import blueprint_picture, family_tree, interval_bar, reward_bar, shrinkage_bar
from tamiyo.web.tokens import coloured, difference, edited, families_of, token_list

_TEMPLATES = Path(__file__).parent / "templates"
#: The pages that every page leads to.
NAVIGATION = (
    ("/", "Gallery"),
    ("/pareto", "Pareto"),
    ("/map", "Map"),
    ("/heat", "Heat map"),
    ("/runs", "Runs"),
    ("/playground", "Playground"),
)
_NONE = "–"
_SHORT_ID = re.compile(rf"\b([0-9a-f]{{{SHORT_ID}}})\b")
#: Where a page is sent as far as it is ready; no text of a page has this character.
_PAUSE = "\0"


def page(
    request: Request, name: str, *, here: str = "", twin: str = "", status: int = 200, **context: Any
) -> HTMLResponse:
    """Return a page.

    Args:
        request: whose application knows the library and the static files.
        name: of the template, without its ending.
        here: path of the page that the navigation marks.
        twin: address of the same as JSON.
        status: of the response.
        context: what the template shows.
    """
    values = {**_frame(request, here, twin), **context}
    return HTMLResponse(environment().get_template(f"{name}.html").render(values), status)


def page_in_parts(
    request: Request, name: str, *, here: str = "", twin: str = "", **context: Any
) -> StreamingResponse:
    """Return a page that is sent as far as it is ready at each `{{ pause }}` of its template; see `page`.

    What takes long stands behind a pause and is a function that the template calls: a reader has the rest
    of the page by then. It must not fail.
    """
    values = {**_frame(request, here, twin), **context, "pause": _PAUSE}
    written = environment().get_template(f"{name}.html").generate(values)
    parts = _parts(written)
    first = next(parts)  # made before the answer begins, so that what fails in it is answered as an error
    return StreamingResponse(chain((first,), parts), media_type="text/html")


def _parts(written: Iterable[str]) -> Iterator[str]:
    held: list[str] = []
    for text in written:
        if text == _PAUSE:
            yield "".join(held)
            held.clear()
        else:
            held.append(text)
    yield "".join(held)


def _frame(request: Request, here: str, twin: str) -> dict[str, Any]:
    """Return what the frame of every page shows."""
    state = request.app.state
    is_known = getattr(request.state, "identity", None) is not None
    library = shown_name(state.context.settings.library) if is_known else ""
    return {"here": here, "twin": twin, "library_name": library, "static": state.assets.url}


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the templates' environment; it escapes everything and refuses names that it does not know."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        auto_reload=False,  # a template that is newer than this process may ask for what it has not
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=number,
        count=count,
        signed=signed,
        percent=percent,
        quantity=quantity,
        short=short,
        linked=linked,
        moment=moment,
        coloured=coloured,
    )
    made.globals.update(
        navigation=NAVIGATION,
        families=tuple(FAMILY_COLOURS),
        query=query,
        drawing=lambda tokens, form="page": blueprint_picture(tuple(tokens), form),
        interval_bar=interval_bar,
        reward_bar=reward_bar,
        shrinkage_bar=shrinkage_bar,
        family_tree=family_tree,
        difference=difference,
        families_of=families_of,
        token_list=token_list,
        edited=lambda edits: edited((edit.kind, edit.tokens) for edit in edits),
    )
    return made


def query(parameters: Mapping[str, Any], **changes: Any) -> str:
    """Return `?...` of the parameters with changes; what is None, empty or False is left out."""
    kept = {**parameters, **changes}
    pairs = [(name, value) for name, value in kept.items() if value not in (None, "", False, (), [])]
    return f"?{urlencode(pairs, doseq=True)}" if pairs else "?"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with so many digits after the point, or a dash where there is none."""
    return _NONE if value is None or not math.isfinite(value) else f"{value:,.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """Return a difference with its sign."""
    return _NONE if value is None or not math.isfinite(value) else f"{value:+,.{digits}f}".replace("-", "−")


def count(value: int | None) -> str:
    """Return a whole number with its thousands apart."""
    return _NONE if value is None else f"{value:,d}"


def percent(value: float | None, digits: int = 0) -> str:
    """Return a share as per cent."""
    return _NONE if value is None or not math.isfinite(value) else f"{100 * value:,.{digits}f} %"


def quantity(value: float | None) -> str:
    """Return a large number in three digits: 940, 1.71 k, 26.6 k, 1.20 M."""
    if value is None or not math.isfinite(value):
        return _NONE
    for least, unit, name in ((999.5e6, 1e9, "G"), (999.5e3, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= least:
            scaled = value / unit
            return f"{scaled:.{2 - max(0, int(math.log10(abs(scaled))))}f} {name}"
    return f"{value:,.0f}"


def shown_name(library: str) -> str:
    """Return a library's path or URL as a page may show it, without a database's user and password."""
    scheme, found, rest = library.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}" if found else library


def short(blueprint_id: str) -> str:
    """Return the beginning of an id that pages show."""
    return blueprint_id[:SHORT_ID]


def linked(text: str) -> Markup:
    """Return a text whose beginnings of ids lead to their blueprints."""
    parts = _SHORT_ID.split(text)
    link = Markup('<a class="id" href="/blueprints/{0}">{0}</a>').format
    return Markup("").join(link(part) if i % 2 else escape(part) for i, part in enumerate(parts))


def moment(text: str) -> str:
    """Return an ISO 8601 time as people read it: 2026-11-21 11:10 UTC."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{read.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
