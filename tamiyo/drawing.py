"""Draws a blueprint's graph as SVG, layer by layer from the input down; leaves pages and scores to others."""

from dataclasses import dataclass, field
from fractions import Fraction
from html import escape
from itertools import pairwise

from blueprints import LANGUAGE, Graph, Language, Node

#: One colour a family of ops; each is readable on white and on near-black.
FAMILY_COLOURS: dict[str, str] = {
    "input": "#7d8590",
    "mixing": "#3b82d6",
    "recurrent": "#9a63d8",
    "pool": "#1f9d8a",
    "norm": "#b58a1b",
    "activation": "#d9663a",
    "merge": "#c94f83",
}
#: Colour of a family that is not in the table.
OTHER_COLOUR = "#7d8590"

_SYMBOLS = {"ADD": "+", "MUL": "×"}
_FONT = 'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="11"'
_CHARACTER = 6.7
_NODE_HEIGHT = 24.0
_LAYER = 46.0
_GAP = 16.0
_MARGIN = 10.0
_SWEEPS = 8


@dataclass(slots=True, kw_only=True)
class _Box:
    """A node, or the place where a long edge crosses a layer.

    Attributes:
        width: of the drawn node, or of the corridor of an edge.
        layer: 0 for the input.
        node: index in the graph; absent where an edge passes.
        above: boxes whose edges enter here.
        below: boxes that this one's edges enter.
        x: centre.
    """

    width: float
    layer: int
    node: int | None = None
    above: list["_Box"] = field(default_factory=list)
    below: list["_Box"] = field(default_factory=list)
    x: float = 0.0


def blueprint_svg(graph: Graph, language: Language = LANGUAGE) -> str:
    """Return a standalone SVG: a group `node` for each node of the graph, a path `edge` for each edge.

    Lines and letters take `currentColor`, so that the drawing follows the page's light or dark theme.
    """
    layers, edges = _layout(graph)
    left = min(box.x - box.width / 2 for layer in layers for box in layer) - _MARGIN
    right = max(box.x + box.width / 2 for layer in layers for box in layer) + _MARGIN
    width, height = right - left, (len(layers) - 1) * _LAYER + _NODE_HEIGHT + 2 * _MARGIN + 14
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="blueprint" role="img" '
        f'aria-label="{escape(_described(graph))}" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{left:.1f} {-_MARGIN - _NODE_HEIGHT / 2:.1f} {width:.1f} {height:.1f}">',
        '<g fill="none" stroke="currentColor" stroke-opacity="0.55" stroke-width="1.2">',
        *(_edge(path, edges) for path in edges),
        _arrow(next(box for layer in layers for box in layer if box.node == graph.output)),
        "</g>",
        f'<g {_FONT} text-anchor="middle" fill="currentColor">',
        *(_node(graph, box, language) for layer in layers for box in layer if box.node is not None),
        "</g></svg>",
    ]
    return "\n".join(parts)


def node_text(node: Node) -> str:
    """Return the op with its attributes as people write them: `LINEAR 2D`, `CONV1D k5 D`."""
    return " ".join([node.op, *(_attribute(name, value) for name, value in node.attributes)])


def _attribute(name: str, value: Fraction | int) -> str:
    if name != "width":
        return f"{name[0]}{value}" if name == "kernel" else f"{name} {value}"
    value = Fraction(value)
    numerator = "D" if value.numerator == 1 else f"{value.numerator}D"
    return numerator if value.denominator == 1 else f"{numerator}/{value.denominator}"


def _described(graph: Graph) -> str:
    return "; ".join(
        f"{index} {node_text(node)}" + (f" of {', '.join(map(str, node.inputs))}" if node.inputs else "")
        for index, node in enumerate(graph.nodes)
    )


def _layout(graph: Graph) -> tuple[list[list[_Box]], list[list[_Box]]]:
    """Return the boxes layer by layer, placed, and each edge as the boxes that it passes."""
    depth: list[int] = []
    for node in graph.nodes:
        depth.append(1 + max((depth[i] for i in node.inputs), default=-1))
    boxes = [
        _Box(width=_node_width(node), layer=depth[index], node=index)
        for index, node in enumerate(graph.nodes)
    ]
    layers: list[list[_Box]] = [[] for _ in range(max(depth) + 1)]
    for box in boxes:
        layers[box.layer].append(box)
    edges = []
    for index, node in enumerate(graph.nodes):
        for source in node.inputs:
            path = [boxes[source]]
            for layer in range(depth[source] + 1, depth[index]):
                corridor = _Box(width=8.0, layer=layer)
                layers[layer].append(corridor)
                path.append(corridor)
            path.append(boxes[index])
            for upper, lower in pairwise(path):
                upper.below.append(lower)
                lower.above.append(upper)
            edges.append(path)
    _order(layers)
    _place(layers)
    return layers, edges


def _order(layers: list[list[_Box]]) -> None:
    """Sort each layer by the mean place of its neighbours, down and up, which uncrosses most edges."""
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        for layer in layers if downwards else reversed(layers):
            place = {id(box): i / max(len(row) - 1, 1) for row in layers for i, box in enumerate(row)}
            barycentres = {
                id(box): _mean(
                    [place[id(n)] for n in (box.above if downwards else box.below)], place[id(box)]
                )
                for box in layer
            }
            layer.sort(key=lambda box: barycentres[id(box)])


def _place(layers: list[list[_Box]]) -> None:
    """Move each box towards the middle of its neighbours, keeping the order and the gaps of its layer."""
    for layer in layers:
        _settle(layer, [0.0] * len(layer))
    for sweep in range(2 * _SWEEPS):
        downwards = sweep % 2 == 0
        for layer in layers if downwards else reversed(layers):
            wanted = [_mean([n.x for n in (box.above if downwards else box.below)], box.x) for box in layer]
            _settle(layer, wanted)


def _settle(layer: list[_Box], wanted: list[float]) -> None:
    """Place a layer's boxes nearest to the wanted places, in squares, without overlap.

    With the room that each box needs subtracted, this is isotonic regression: neighbours that would be out
    of order are pooled at their mean.
    """
    offsets = [0.0]
    for left, right in pairwise(layer):
        offsets.append(offsets[-1] + (left.width + right.width) / 2 + _GAP)
    pools: list[list[float]] = []
    for target, offset in zip(wanted, offsets, strict=False):
        pools.append([target - offset])
        while len(pools) > 1 and _mean(pools[-2]) > _mean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    places = [_mean(pool) for pool in pools for _ in pool]
    for box, place, offset in zip(layer, places, offsets, strict=False):
        box.x = place + offset


def _mean(values: list[float], default: float = 0.0) -> float:
    return sum(values) / len(values) if values else default


def _node_width(node: Node) -> float:
    return _NODE_HEIGHT if node.op in _SYMBOLS else len(node_text(node)) * _CHARACTER + 18


def _y(box: _Box) -> float:
    return box.layer * _LAYER


def _edge(path: list[_Box], edges: list[list[_Box]]) -> str:
    """Return a smooth line through the boxes of an edge; it leaves and enters vertically."""
    half = _NODE_HEIGHT / 2
    last = path[-1]
    start, end = (path[0].x, _y(path[0]) + half), (_entry_x(path, edges), _y(last) - half)
    points = [start]
    for box in path[1:-1]:
        points += [(box.x, _y(box) - half), (box.x, _y(box) + half)]
    points.append(end)
    text = f"M{start[0]:.1f} {start[1]:.1f}"
    for i, ((x0, y0), (x1, y1)) in enumerate(pairwise(points)):
        middle = (y0 + y1) / 2
        straight = i % 2 == 1 or x0 == x1
        bend = (
            f"L{x1:.1f} {y1:.1f}"
            if straight
            else (f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}")
        )
        text += bend
    return f'<path class="edge" d="{text}"/><path d="{_head(*end)}" fill="currentColor" stroke="none"/>'


def _entry_x(path: list[_Box], edges: list[list[_Box]]) -> float:
    """Return where an edge enters its node: several edges share the upper side from left to right."""
    last = path[-1]
    entering = sorted((edge for edge in edges if edge[-1] is last), key=lambda edge: edge[-2].x)
    place = next(i for i, edge in enumerate(entering) if edge is path)
    spread = min(last.width / 2 - 4, 8.0)
    return last.x + spread * (2 * place - len(entering) + 1) / max(len(entering) - 1, 1)


def _head(x: float, y: float) -> str:
    return f"M{x:.1f} {y:.1f}l-3.2 -6.5h6.4z"


def _arrow(box: _Box) -> str:
    """Return the arrow that leaves the output node."""
    top, bottom = _y(box) + _NODE_HEIGHT / 2, _y(box) + _NODE_HEIGHT / 2 + 16
    return (
        f'<path class="output" d="M{box.x:.1f} {top:.1f}V{bottom:.1f}"/>'
        f'<path d="{_head(box.x, bottom)}" fill="currentColor" stroke="none"/>'
    )


def _node(graph: Graph, box: _Box, language: Language) -> str:
    assert box.node is not None
    node = graph.nodes[box.node]
    family = language.table[node.op].family if node.op in language.table else "input"
    colour = FAMILY_COLOURS.get(family, OTHER_COLOUR)
    symbol = _SYMBOLS.get(node.op)
    left, top = box.x - box.width / 2, _y(box) - _NODE_HEIGHT / 2
    op, _, attributes = node_text(node).partition(" ")
    words = f'<tspan font-weight="600">{escape(symbol or op)}</tspan>'
    words += f" {escape(attributes)}" if attributes else ""
    return (
        f'<g class="node {escape(family)}"><title>{escape(f"%{box.node} {node.label}: {node.type}")}</title>'
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{_NODE_HEIGHT:.0f}" '
        f'rx="{_NODE_HEIGHT / 2 if symbol else 5:.0f}" fill="{colour}" fill-opacity="0.17" stroke="{colour}" '
        f'stroke-width="1.4"/><text x="{box.x:.1f}" y="{_y(box) + 4:.1f}">{words}</text></g>'
    )
