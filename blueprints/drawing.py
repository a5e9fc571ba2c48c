"""Draws a blueprint's graph as SVG, its bodies in frames; leaves places to drawing_layout.py."""

from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from html import escape

from blueprints.drawing_layout import (
    FRAME_MARGIN,
    FRAME_TITLE,
    NODE_HEIGHT,
    OUTPUT_ARROW,
    Box,
    Layout,
    layout,
)
from blueprints.graph import INPUT, LOOP, SCAN, STATE, AttributeValue, Graph, Node
from blueprints.language import LANGUAGE, Language

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

_FAMILIES = {INPUT: "input", LOOP: "loop", SCAN: "scan", STATE: "state"}
_SYMBOLS = {"ADD": "+", "MUL": "×"}
#: Attributes that are written as a sign and a value.
_SIGNS = {"kernel": "k", "repeat": "×", "index": ""}
_FONT = 'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="11"'
_CHARACTER = 6.7
_TAG_FONT_SIZE, _TAG_CHARACTER, _TAG_HEIGHT = 9.5, 5.8, 16.0
_MARGIN = 10.0
#: A page may shrink a drawing to this share of its width; smaller letters are hard to read.
_SMALLEST = 0.75


def blueprint_svg(graph: Graph, language: Language = LANGUAGE) -> str:
    """Return a standalone SVG: a group `node` for each node, a path `edge` for each edge, bodies included.

    A node with a body is a frame around it. Where the order of a node's inputs has a meaning, its edges enter
    from left to right in that order. In a scan's body a group `store` tags each node that becomes a state.
    Lines and letters take `currentColor`, so that the drawing follows the page's light or dark theme.
    """
    placed = layout(graph, partial(_measured, language))
    left, width = placed.left - _MARGIN, placed.right - placed.left + 2 * _MARGIN
    height = placed.height + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="blueprint" role="img" '
        f'aria-label="{escape(_described(graph, language))}" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{left:.1f} {-_MARGIN:.1f} {width:.1f} {height:.1f}" '
        f'style="min-width:{_SMALLEST * width:.0f}px">',
        f'<g {_FONT} text-anchor="middle">',
        *_graph(placed, language),
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


def _graph(placed: Layout, language: Language) -> list[str]:
    """Return the edges of a graph, and its nodes with their bodies."""
    return [
        '<g fill="none" stroke="currentColor" stroke-opacity="0.55" stroke-width="1.2">',
        *(_edge(path, _entrance(path, placed, language)) for path in placed.edges),
        _output(placed.output),
        "</g>",
        '<g fill="currentColor">',
        *(_node(placed.graph, box, language) for box in placed.boxes),
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


def _edge(path: list[Box], entrance: float) -> str:
    """Return the line of an edge; it ends in an arrow at the upper side of its node."""
    top = path[-1].y - path[-1].height / 2
    return (
        f'<path class="edge" d="{_line(path, entrance)}V{top:.1f}"/>'
        f'<path d="{_head(entrance, top)}" fill="currentColor" stroke="none"/>'
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


def _node(graph: Graph, box: Box, language: Language) -> str:
    """Return a node with its tag and its body."""
    assert box.node is not None
    node, stored = graph.nodes[box.node], _stored(graph, box.node)
    family = _family(node, language)
    tag = _measured(language, graph, box.node)[1]
    left, right = box.x - box.width / 2, box.x + box.width / 2 - tag
    title = f"%{box.node} {node.label}({', '.join(f'%{i}' for i in node.inputs)}): {node.type}"
    shape = _leaf if box.body is None else _frame
    return (
        f'<g class="node {escape(family)}"><title>{escape(title)}</title>'
        f"{shape(node, box, left, right, language)}</g>{_tag(stored, right, box.y) if stored else ''}"
    )


def _family(node: Node, language: Language) -> str:
    row = language.table.get(node.op)
    return row.family if row else _FAMILIES.get(node.op, "other")


def _leaf(node: Node, box: Box, left: float, right: float, language: Language) -> str:
    rounded = node.op in _SYMBOLS or node.op == STATE
    colour = FAMILY_COLOURS.get(_family(node, language), OTHER_COLOUR)
    rect = _rect(left, box.y - box.height / 2, right - left, box.height, NODE_HEIGHT / 2 if rounded else 5)
    return (
        f'{rect} fill="{colour}" fill-opacity="0.17" stroke="{colour}" stroke-width="1.4"/>'
        f'<text x="{(left + right) / 2:.1f}" y="{box.y + 4:.1f}">{_words(node, language)}</text>'
    )


def _frame(node: Node, box: Box, left: float, right: float, language: Language) -> str:
    """Return the frame of a node with its title, and the body that it holds."""
    assert box.body is not None
    top, colour = box.y - box.height / 2, FAMILY_COLOURS[_family(node, language)]
    shift = (left + right) / 2 - (box.body.left + box.body.right) / 2
    body = "\n".join(_graph(box.body, language))
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
