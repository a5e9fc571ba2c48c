"""Places the nodes of a graph and of the bodies in it, layer by layer; leaves SVG to drawing.py."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from blueprints.graph import STATE, Graph

#: Height of a node without a body.
NODE_HEIGHT = 24.0
#: Room between the border of a frame and what it holds, and for its title.
FRAME_MARGIN, FRAME_TITLE = 12.0, 22.0
#: Length of the arrow that leaves the output node.
OUTPUT_ARROW = 16.0
#: Between two layers, and in a dense drawing.
LAYER_GAP, DENSE_GAP = 22.0, 10.0

_CORRIDOR = 8.0
_GAP = 16.0
_SWEEPS = 8
#: Between neighbours in one mean place, the order of a node's inputs decides.
_TIE = 1e-3


@dataclass(slots=True, kw_only=True)
class Box:
    """A node, or the place where a long edge crosses a layer.

    Attributes:
        width: of the drawn node with its tag, or of the corridor of an edge.
        height: of the drawn node; a corridor is as high as its layer.
        layer: 0 for the input.
        node: index in the graph; absent where an edge passes.
        body: what is drawn inside the node.
        enter: where edges enter, from the centre.
        leave: where edges leave, from the centre.
        above: boxes whose edges enter here.
        below: boxes that this one's edges enter, and where each does, from the place `enter` of that box.
        x: centre.
        y: centre.
        top: of its layer.
        bottom: of its layer.
    """

    width: float
    height: float = 0.0
    layer: int
    node: int | None = None
    body: "Layout | None" = None
    enter: float = 0.0
    leave: float = 0.0
    above: list["Box"] = field(default_factory=list)
    below: list[tuple["Box", float]] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0
    top: float = 0.0
    bottom: float = 0.0


@dataclass(slots=True, frozen=True)
class Layout:
    """A graph whose boxes have places; its upper left corner is (left, 0).

    Attributes:
        graph: what was placed.
        layers: the boxes, from the input down; the last layer is the end of the output's arrow.
        edges: the boxes that each edge passes, in the order of the nodes and of their inputs.
        output: the boxes that the output's arrow passes.
        left: edge of the drawing.
        right: edge of the drawing.
        height: of the drawing.
    """

    graph: Graph
    layers: list[list[Box]]
    edges: list[list[Box]]
    output: list[Box]
    left: float
    right: float
    height: float

    @property
    def boxes(self) -> list[Box]:
        """The nodes' boxes, without those where an edge passes."""
        return [box for layer in self.layers for box in layer if box.node is not None]


#: (graph, index) to the widths of the node and of the tag on its right, and to where its edges enter,
#: from its middle: one place for each input, or nothing where their order is without meaning.
Measure = Callable[[Graph, int], tuple[float, float, Sequence[float]]]


def layout(graph: Graph, measure: Measure, layer_gap: float = LAYER_GAP) -> Layout:
    """Return the graph and all bodies in it with a place for each node; a node with a body is a frame."""
    depth = _depths(graph)
    measured = [measure(graph, index) for index in range(len(graph.nodes))]
    boxes = [
        _box(graph, index, depth[index], measured[index][:2], measure, layer_gap)
        for index in range(len(depth))
    ]
    layers: list[list[Box]] = [[] for _ in range(max(depth) + 2)]
    for box in boxes:
        layers[box.layer].append(box)
    end = Box(width=_CORRIDOR, layer=len(layers) - 1)
    layers[-1].append(end)
    edges = [
        _path(boxes[source], boxes[index], layers, measured[index][2][slot] if measured[index][2] else 0.0)
        for index, node in enumerate(graph.nodes)
        for slot, source in enumerate(node.inputs)
    ]
    output = _path(boxes[graph.output], end, layers, 0.0)
    _order(layers)
    _place(layers)
    height = _stack(layers, layer_gap)
    left = min(box.x - box.width / 2 for layer in layers for box in layer)
    right = max(box.x + box.width / 2 for layer in layers for box in layer)
    return Layout(graph, layers, edges, output, left, right, height)


def _depths(graph: Graph) -> list[int]:
    """Return the layer of each node; a state stands right above the first node that reads it."""
    depth: list[int] = []
    for node in graph.nodes:
        depth.append(1 + max((depth[i] for i in node.inputs), default=-1))
    for index, node in enumerate(graph.nodes):
        if node.op == STATE:
            readers = [depth[i] for i, reader in enumerate(graph.nodes) if index in reader.inputs]
            depth[index] = min(readers, default=1) - 1
    return depth


def _box(
    graph: Graph, index: int, depth: int, widths: tuple[float, float], measure: Measure, layer_gap: float
) -> Box:
    width, tag = widths
    body = graph.nodes[index].body
    if body is None:
        shift = -tag / 2
        return Box(width=width + tag, height=NODE_HEIGHT, layer=depth, node=index, enter=shift, leave=shift)
    inner = layout(body, measure, layer_gap)
    middle = (inner.left + inner.right) / 2
    (entrance,) = (box for box in inner.boxes if box.node == 0)
    frame = max(inner.right - inner.left + 2 * FRAME_MARGIN, width)
    return Box(
        width=frame + tag,
        height=FRAME_TITLE + inner.height,
        layer=depth,
        node=index,
        body=inner,
        enter=entrance.x + entrance.enter - middle - tag / 2,
        leave=inner.output[-1].x - middle - tag / 2,
    )


def _path(source: Box, target: Box, layers: list[list[Box]], port: float) -> list[Box]:
    """Return the boxes from source to target, with new ones in the layers between, and link them."""
    passed = [Box(width=_CORRIDOR, layer=layer) for layer in range(source.layer + 1, target.layer)]
    for box in passed:
        layers[box.layer].append(box)
    path = [source, *passed, target]
    for upper, lower in pairwise(path):
        upper.below.append((lower, port if lower is target else 0.0))
        lower.above.append(upper)
    return path


def _order(layers: list[list[Box]]) -> None:
    """Sort each layer by the mean place of its neighbours, down and up, which uncrosses most edges."""
    place = {id(box): i / max(len(row) - 1, 1) for row in layers for i, box in enumerate(row)}
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        for layer in layers if downwards else reversed(layers):
            if len(layer) == 1:
                continue
            barycentres = {
                id(box): _mean(
                    [place[id(n)] for n in box.above]
                    if downwards
                    else [place[id(n)] + _TIE * port for n, port in box.below],
                    place[id(box)],
                )
                for box in layer
            }
            layer.sort(key=lambda box: barycentres[id(box)])
            place.update((id(box), i / (len(layer) - 1)) for i, box in enumerate(layer))


def _place(layers: list[list[Box]]) -> None:
    """Move each box towards the middle of its neighbours, keeping the order and the gaps of its layer."""
    for layer in layers:
        _settle(layer, [0.0] * len(layer))
    for sweep in range(2 * _SWEEPS):
        downwards = sweep % 2 == 0
        for layer in layers if downwards else reversed(layers):
            if downwards:
                wanted = [_mean([n.x + n.leave - box.enter for n in box.above], box.x) for box in layer]
            else:
                wanted = [
                    _mean([n.x + n.enter + port - box.leave for n, port in box.below], box.x) for box in layer
                ]
            _settle(layer, wanted)


def _settle(layer: list[Box], wanted: list[float]) -> None:
    """Place a layer's boxes nearest to the wanted places, in squares, without overlap.

    With the room that each box needs subtracted, this is isotonic regression: neighbours that would be out
    of order are pooled at their mean.
    """
    if len(layer) == 1:  # most layers, of most graphs
        layer[0].x = wanted[0]
        return
    offsets = [0.0]
    for left, right in pairwise(layer):
        offsets.append(offsets[-1] + (left.width + right.width) / 2 + _GAP)
    pools: list[list[float]] = []
    for target, offset in zip(wanted, offsets, strict=True):
        pools.append([target - offset])
        while len(pools) > 1 and _mean(pools[-2]) > _mean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    places = [_mean(pool) for pool in pools for _ in pool]
    for box, place, offset in zip(layer, places, offsets, strict=True):
        box.x = place + offset


def _stack(layers: list[list[Box]], layer_gap: float) -> float:
    """Put each layer under the one above, as high as its highest node; return the height of all."""
    top = 0.0
    for layer in layers:
        height = max(box.height for box in layer)
        for box in layer:
            box.top, box.bottom, box.y = top, top + height, top + height / 2
        top += height + layer_gap
    return top - 2 * layer_gap + OUTPUT_ARROW


def _mean(values: list[float], default: float = 0.0) -> float:
    return sum(values) / len(values) if values else default
