"""Draws a blueprint's graph as SVG, its bodies in frames; leaves places to drawing_layout.py."""

from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from html import escape
from typing import Literal

from blueprints.drawing_layout import (
    DENSE_GAP,
    FRAME_MARGIN,
    FRAME_TITLE,
    LAYER_GAP,
    NODE_HEIGHT,
    OUTPUT_ARROW,
    Box,
    Layout,
    layout,
)
from blueprints.graph import INPUT, LOOP, SCAN, STATE, AttributeValue, Graph, Node
from blueprints.language import LANGUAGE, Language
from blueprints.vocabulary import LOAD, MERGE, SAVE

#: One colour a family of ops; each is readable on white and on near-black.
FAMILY_COLOURS: dict[str, str] = {
    "input": "#7d8590",
    "mixing": "#3b82d6",
    "recurrent": "#9a63d8",
    "pool": "#1f9d8a",
    "norm": "#b58a1b",
    "activation": "#d9663a",
    "merge": "#c94f83",
    "loop": "#6f8f2f",
    "scan": "#7a6ff0",
    "state": "#2d9cba",
}
#: Colour of a family that is not in the table.
OTHER_COLOUR = "#7d8590"

#: What a drawing is for: a notebook, where it brings its own smallest width; a page, which has a style sheet,
#: with the types of its edges; or a card, dense and without a word for those who do not see it.
Form = Literal["notebook", "page", "card"]

_FAMILIES = {INPUT: "input", LOOP: "loop", SCAN: "scan", STATE: "state"}
#: Families of tokens that are no op, by how they begin.
_BEGINNINGS = {
    **dict.fromkeys(("RES_", "GATE_", "BRANCH_", MERGE), "merge"),
    **dict.fromkeys(("LOOP_", "REPEAT_"), "loop"),
    "SCAN_": "scan",
    **dict.fromkeys((SAVE, LOAD, "TAP_", "STATE_"), "state"),
}
_SYMBOLS = {"ADD": "+", "MUL": "×"}
#: Attributes that are written as a sign and a value.
_SIGNS = {"kernel": "k", "repeat": "×", "index": ""}
_FONT = 'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="11"'
_CHARACTER = 6.7
_TAG_FONT_SIZE, _TAG_CHARACTER, _TAG_HEIGHT = 9.5, 5.8, 16.0
_MARGIN = 10.0
#: A page may shrink a drawing to this share of its width; smaller letters are hard to read.
_SMALLEST = 0.75


def blueprint_svg(graph: Graph, language: Language = LANGUAGE, form: Form = "notebook") -> str:
    """Return a standalone SVG: a group `node` for each node, a path `edge` for each edge, bodies included.

    A node with a body is a frame around it. Where the order of a node's inputs has a meaning, its edges enter
    from left to right in that order. In a scan's body a group `store` tags each node that becomes a state.
    Lines and letters take `currentColor`, so that the drawing follows the page's light or dark theme. On a
    page an edge is as thick as its value is wide, dashed where that is a single step, and names its type.
    """
    placed = layout(graph, partial(_measured, language), DENSE_GAP if form == "card" else LAYER_GAP)
    left, width = placed.left - _MARGIN, placed.right - placed.left + 2 * _MARGIN
    height = placed.height + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="blueprint" {_told(graph, language, form)} '
        f'width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{left:.1f} {-_MARGIN:.1f} {width:.1f} {height:.1f}"'
        + (f' style="min-width:{_SMALLEST * width:.0f}px">' if form == "notebook" else ">"),
        f'<g {_FONT} text-anchor="middle">',
        *_graph(placed, language, form),
        "</g></svg>",
    ]
    return "\n".join(parts)


def node_text(node: Node, language: Language = LANGUAGE) -> str:
    """Return the op with its attributes as people write them: `LINEAR 2D`, `CONV1D k5 D`, `LOOP ×3`.

    An optional attribute at its default is left out, as in a program.
    """
    row = language.table.get(node.op)
    defaults = {a.name: a.default for a in row.attributes} if row else {}
    attributes = [
        _attribute(node, name, value, language)
        for name, value in node.attributes
        if defaults.get(name) is None or value != defaults[name]
    ]
    return " ".join([node.op, *attributes])


def node_family(node: Node, language: Language = LANGUAGE) -> str:
    """Return the family that gives a node its colour, a key of `FAMILY_COLOURS`, or `other`."""
    row = language.table.get(node.op)
    return row.family if row else _FAMILIES.get(node.op, "other")


def token_families(tokens: Sequence[str], language: Language = LANGUAGE) -> list[str]:
    """Return the family of each token, as its node has it; an attribute has that of the op before it."""
    found: list[str] = []
    for token in tokens:
        is_attribute = token in language.vocabulary.attribute_tokens and bool(found)
        found.append(found[-1] if is_attribute else _token_family(token, language))
    return found


def _token_family(token: str, language: Language) -> str:
    row = language.table.get(token)
    if row is not None:
        return row.family
    if token not in language.vocabulary.ids:
        return "other"
    return next((family for start, family in _BEGINNINGS.items() if token.startswith(start)), "input")


def _attribute(node: Node, name: str, value: AttributeValue, language: Language) -> str:
    """Return a width in D, a kernel as `k5`, and any other attribute as its token in small letters."""
    if name == "width":
        value = Fraction(value)
        numerator = "D" if value.numerator == 1 else f"{value.numerator}D"
        return numerator if value.denominator == 1 else f"{numerator}/{value.denominator}"
    if name in _SIGNS:
        return f"{_SIGNS[name]}{value}"
    row = language.table.get(node.op)
    tokens = {a.name: a.tokens for a in row.attributes}.get(name, {}) if row else {}
    written = (token.replace("_", " ").lower() for token, meant in tokens.items() if meant == value)
    return next(written, f"{name} {value}")


def _told(graph: Graph, language: Language, form: Form) -> str:
    """Return what a drawing says to those who do not see it; a card's words stand beside it."""
    if form == "card":
        return 'aria-hidden="true"'
    return f'role="img" aria-label="{escape(_described(graph, language))}"'


def _described(graph: Graph, language: Language) -> str:
    parts = []
    for index, node in enumerate(graph.nodes):
        inputs = f" of {', '.join(map(str, node.inputs))}" if node.inputs else ""
        body = f", its body ({_described(node.body, language)})" if node.body is not None else ""
        parts.append(f"{index} {node_text(node, language)}{inputs}{body}")
    parts += [f"state {k} takes {i}" for k, i in enumerate(graph.stores)]
    return "; ".join(parts)


def _measured(language: Language, graph: Graph, index: int) -> tuple[float, float, Sequence[float]]:
    """Return the widths of a node and of its tag, and where its inputs enter if their order counts."""
    node, stored = graph.nodes[index], _stored(graph, index)
    text = len(node_text(node, language)) * _CHARACTER + 18
    width = NODE_HEIGHT if node.op in _SYMBOLS else text
    tag = len(stored) * _TAG_CHARACTER + 14 if stored else 0.0
    row = language.table.get(node.op)
    ordered = len(node.inputs) > 1 and not (row and row.commutative)
    return width, tag, _ports(width, len(node.inputs)) if ordered else ()


def _stored(graph: Graph, index: int) -> str:
    """Return the tag of a node that is stored into a state, or nothing."""
    states = [str(k) for k, source in enumerate(graph.stores) if source == index]
    return f"→ state {', '.join(states)}" if states else ""


def _ports(width: float, num: int) -> list[float]:
    """Return where edges enter a node of a width, from left to right, from its middle."""
    spread = min(width / 2 - 4, 8.0 * max(num - 1, 1))
    return [spread * (2 * place - num + 1) / max(num - 1, 1) for place in range(num)]


def _graph(placed: Layout, language: Language, form: Form) -> list[str]:
    """Return the edges of a graph, and its nodes with their bodies."""
    draw = _typed_edge if form == "page" else _edge
    return [
        '<g fill="none" stroke="currentColor" stroke-opacity="0.55" stroke-width="1.2">',
        *(draw(path, _entrance(path, placed, language), placed.graph) for path in placed.edges),
        _output(placed.output),
        "</g>",
        '<g fill="currentColor">',
        *(_node(placed.graph, box, language, form) for box in placed.boxes),
        "</g>",
    ]


def _entrance(path: list[Box], placed: Layout, language: Language) -> float:
    """Return where an edge enters its node; inputs without an order enter as they come from the left."""
    target = path[-1]
    entering = [edge for edge in placed.edges if edge[-1] is target]
    assert target.node is not None
    width, _, ports = _measured(language, placed.graph, target.node)
    if not ports:
        entering.sort(key=lambda edge: edge[-2].x + edge[-2].leave)
        ports = _ports(width, len(entering))
    place = next(i for i, edge in enumerate(entering) if edge is path)
    return target.x + target.enter + ports[place]


def _edge(path: list[Box], entrance: float, graph: Graph) -> str:
    """Return the line of an edge; it ends in an arrow at the upper side of its node."""
    top = path[-1].y - path[-1].height / 2
    return (
        f'<path class="edge" d="{_line(path, entrance)}V{top:.1f}"/>'
        f'<path d="{_head(entrance, top)}" fill="currentColor" stroke="none"/>'
    )


def _typed_edge(path: list[Box], entrance: float, graph: Graph) -> str:
    """Return an edge with its type: thick as it is wide, dashed for a single step, its title on a broad line.

    A type other than the input's is written where the edge leaves.
    """
    assert path[0].node is not None
    assert path[-1].node is not None
    source, target = graph.nodes[path[0].node], graph.nodes[path[-1].node]
    top, line = path[-1].y - path[-1].height / 2, _line(path, entrance)
    dashes = ' stroke-dasharray="5 3"' if source.type.time == "single" else ""
    width = 0.9 + 0.9 * float(source.type.width)
    short = str(source.type).removeprefix("[B, ").removesuffix("]").replace(", ", " × ")
    label = ""
    if short != "T × D":
        x, y = path[0].x + path[0].leave + 4 + width, path[0].bottom + 11
        label = (
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="start" font-size="{_TAG_FONT_SIZE}" '
            f'fill="currentColor" stroke="none">{short}</text>'
        )
    return (
        f'<g class="wire"><title>{escape(f"{source.op} to {target.op}: {source.type}")}</title>'
        f'<path d="{line}V{top:.1f}" stroke-opacity="0" stroke-width="12" pointer-events="stroke"/>'
        f'<path class="edge" d="{line}V{top - 5:.1f}" stroke-width="{width:.1f}"{dashes}/>'
        f'<path d="{_head(entrance, top)}" fill="currentColor" stroke="none"/>{label}</g>'
    )


def _output(path: list[Box]) -> str:
    """Return the arrow that leaves the output node and, in a body, reaches the frame."""
    end = path[-2].bottom + OUTPUT_ARROW
    x = path[-2].x + path[-2].leave
    return (
        f'<path class="output" d="{_line(path[:-1], x)}V{end:.1f}"/>'
        f'<path d="{_head(x, end)}" fill="currentColor" stroke="none"/>'
    )


def _line(path: list[Box], entrance: float) -> str:
    """Return a smooth line down through the boxes of an edge, to the top of the last one's layer.

    It bends between layers alone, so that it never crosses a high frame in a layer that it leaves.
    """
    x, y = path[0].x + path[0].leave, path[0].bottom
    text = f"M{x:.1f} {path[0].y + path[0].height / 2:.1f}V{y:.1f}"
    for box in path[1:]:
        next_x = entrance if box is path[-1] else box.x
        middle = (y + box.top) / 2
        text += f"C{x:.1f} {middle:.1f} {next_x:.1f} {middle:.1f} {next_x:.1f} {box.top:.1f}"
        text += f"V{box.bottom:.1f}" if box is not path[-1] else ""
        x, y = next_x, box.bottom
    return text


def _head(x: float, y: float) -> str:
    return f"M{x:.1f} {y:.1f}l-3.2 -6.5h6.4z"


def _node(graph: Graph, box: Box, language: Language, form: Form) -> str:
    """Return a node with its tag and its body."""
    assert box.node is not None
    node, stored = graph.nodes[box.node], _stored(graph, box.node)
    family = node_family(node, language)
    tag = _measured(language, graph, box.node)[1]
    left, right = box.x - box.width / 2, box.x + box.width / 2 - tag
    title = f"%{box.node} {node.label}({', '.join(f'%{i}' for i in node.inputs)}): {node.type}"
    titled = "" if form == "card" else f"<title>{escape(title)}</title>"
    shape = _leaf if box.body is None else partial(_frame, form=form)
    return (
        f'<g class="node {escape(family)}">{titled}'
        f"{shape(node, box, left, right, language)}</g>{_tag(stored, right, box.y) if stored else ''}"
    )


def _leaf(node: Node, box: Box, left: float, right: float, language: Language) -> str:
    rounded = node.op in _SYMBOLS or node.op == STATE
    colour = FAMILY_COLOURS.get(node_family(node, language), OTHER_COLOUR)
    rect = _rect(left, box.y - box.height / 2, right - left, box.height, NODE_HEIGHT / 2 if rounded else 5)
    return (
        f'{rect} fill="{colour}" fill-opacity="0.17" stroke="{colour}" stroke-width="1.4"/>'
        f'<text x="{(left + right) / 2:.1f}" y="{box.y + 4:.1f}">{_words(node, language)}</text>'
    )


def _frame(node: Node, box: Box, left: float, right: float, language: Language, form: Form) -> str:
    """Return the frame of a node with its title, and the body that it holds."""
    assert box.body is not None
    top, colour = box.y - box.height / 2, FAMILY_COLOURS[node_family(node, language)]
    shift = (left + right) / 2 - (box.body.left + box.body.right) / 2
    body = "\n".join(_graph(box.body, language, form))
    return (
        f'{_rect(left, top, right - left, box.height, 9)} fill="{colour}" fill-opacity="0.07" '
        f'stroke="{colour}" stroke-width="1.4"/>'
        f'<text x="{left + FRAME_MARGIN:.1f}" y="{top + 15:.1f}" text-anchor="start">'
        f"{_words(node, language)}</text>"
        f'<g class="body" transform="translate({shift:.1f} {top + FRAME_TITLE:.1f})">\n{body}\n</g>'
    )


def _words(node: Node, language: Language) -> str:
    op, _, attributes = node_text(node, language).partition(" ")
    words = f'<tspan font-weight="600">{escape(_SYMBOLS.get(op, op))}</tspan>'
    return f"{words} {escape(attributes)}" if attributes else words


def _tag(text: str, left: float, y: float) -> str:
    """Return the tag that stands on the right of a node that is stored into a state."""
    width, colour = len(text) * _TAG_CHARACTER + 10, FAMILY_COLOURS["state"]
    rect = _rect(left + 4, y - _TAG_HEIGHT / 2, width, _TAG_HEIGHT, _TAG_HEIGHT / 2)
    return (
        f'<g class="store">{rect} fill="{colour}" fill-opacity="0.17" stroke="{colour}" '
        f'stroke-width="1" stroke-dasharray="3 2"/><text x="{left + 4 + width / 2:.1f}" y="{y + 3.4:.1f}" '
        f'font-size="{_TAG_FONT_SIZE}">{escape(text)}</text></g>'
    )


def _rect(left: float, top: float, width: float, height: float, radius: float) -> str:
    """Return the start of a rectangle, open for its colours."""
    return f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:.0f}"'
