"""A blueprint as a fragment of HTML, as notebooks show it; needs no script or style sheet, reads none back.

Nothing is loaded from elsewhere, every text is escaped, and lines and letters take the colour of the page, so
that a card is readable in a light and in a dark notebook.
"""

from collections.abc import Sequence
from html import escape

from blueprints.cost import flops, num_parameters
from blueprints.drawing import blueprint_svg
from blueprints.graph import INPUT, LOOP, SCAN, STATE, Graph
from blueprints.language import LANGUAGE, Language

#: Width D of the host and steps T of the example that counts are given for.
WIDTH, TIME = 16, 16

#: A name and what is said of it.
Fact = tuple[str, str]

_MONOSPACE = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"
_BORDER = "1px solid rgba(128,128,128,0.4)"


def card(title: str, graph: Graph | None, tokens: Sequence[str], facts: Sequence[Fact]) -> str:
    """Return a frame with title, drawing, facts and tokens; without a graph a line takes its place."""
    return (
        f'<div style="display:inline-block;max-width:min(100%,100ch);box-sizing:border-box;padding:10px 14px;'
        f'border:{_BORDER};border-radius:8px;font:13px/1.5 system-ui,sans-serif">'
        f'<div style="{_MONOSPACE};font-weight:600">{escape(title)}</div>'
        f'<div style="overflow-x:auto;padding:6px 0">{drawing(graph)}</div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:2px 18px">{"".join(map(_fact, facts))}</div>'
        f'<div style="{_MONOSPACE};font-size:12px;max-width:75ch;margin-top:6px;padding-top:6px;'
        f'border-top:{_BORDER};overflow-wrap:anywhere">{escape(" ".join(tokens))}</div></div>'
    )


def drawing(graph: Graph | None) -> str:
    """Return the drawing, or a line that there is none."""
    if graph is None:
        return "<em>Not drawn: its tokens are no program of this version of the package.</em>"
    return blueprint_svg(graph)


def counts(graph: Graph, language: Language = LANGUAGE) -> list[Fact]:
    """Return nodes, parameters and FLOPs; without the last two where an op is none of the language."""
    nodes = list(graph.all_nodes())
    known = {INPUT, LOOP, SCAN, STATE, *language.table}
    found = [("nodes", f"{len(nodes):,d}")]
    if known.issuperset(node.op for node in nodes):
        parameters, cost = num_parameters(graph, WIDTH, language), flops(graph, WIDTH, TIME, language)
        found += [("parameters", f"{parameters:,d}"), ("FLOPs", f"{cost:,d}")]
        found.append(("in a host of", f"width {WIDTH}, {TIME} steps"))
    return found


def _fact(fact: Fact) -> str:
    name, value = fact
    return f'<span><span style="opacity:0.65">{escape(name)}</span> {escape(value)}</span>'
