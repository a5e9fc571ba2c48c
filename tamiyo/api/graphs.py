"""A typed graph as an answer: nodes, edges with types, bodies inside their nodes; parses nothing."""

from fractions import Fraction
from typing import Literal

from pydantic import Field

from blueprints import LANGUAGE, Graph, Language, Node
from blueprints.drawing import node_family, node_text
from blueprints.types import ValueType
from tamiyo.api.shapes import Shape


class TypeShape(Shape):
    """What flows along an edge."""

    time: Literal["sequence", "single"] = Field(description="every step, or one")
    width: str = Field(description="channels, as a ratio of the host's width D", examples=["1", "1/2"])
    causal: bool = Field(description="whether a step depends on itself and earlier steps alone")


class EdgeShape(Shape):
    """A value that one node makes and another reads."""

    source: int = Field(description="index of the node that makes it")
    target: int = Field(description="index of the node that reads it")
    place: int = Field(description="which of the target's inputs it is, from 0")
    type: TypeShape = Field(description="what it is")


class NodeShape(Shape):
    """One operation."""

    op: str = Field(description="name of the op")
    text: str = Field(description="the op with its attributes, as drawings have it")
    family: str = Field(description="family of the op, which has a colour")
    attributes: dict[str, int | str] = Field(description="its attributes; a width is a ratio of D")
    inputs: tuple[int, ...] = Field(description="indices of the nodes that it reads, in order")
    type: TypeShape = Field(description="what it makes")
    body: "GraphShape | None" = Field(description="what a loop repeats, or a scan runs at every step")


class GraphShape(Shape):
    """A graph in topological order; node 0 is its input, the last its output but in a scan's body."""

    nodes: tuple[NodeShape, ...] = Field(description="the nodes")
    edges: tuple[EdgeShape, ...] = Field(description="the edges, by target and place")
    stores: tuple[int, ...] = Field(description="of a scan's body: the nodes that become its states")


class GraphAnswer(Shape):
    """A blueprint's typed graph."""

    id: str = Field(description="the blueprint")
    tokens: tuple[str, ...] = Field(description="its program")
    text: str = Field(description="the graph for people: a line a node, with its type")
    graph: GraphShape = Field(description="the graph")


def graph_shape(graph: Graph, language: Language = LANGUAGE) -> GraphShape:
    """Return a graph as an answer."""
    return GraphShape(
        nodes=tuple(_node(node, language) for node in graph.nodes),
        edges=tuple(
            EdgeShape(source=source, target=target, place=place, type=_type(graph.nodes[source].type))
            for target, node in enumerate(graph.nodes)
            for place, source in enumerate(node.inputs)
        ),
        stores=graph.stores,
    )


def _node(node: Node, language: Language) -> NodeShape:
    return NodeShape(
        op=node.op,
        text=node_text(node, language),
        family=node_family(node, language),
        attributes={name: str(v) if isinstance(v, Fraction) else v for name, v in node.attributes},
        inputs=node.inputs,
        type=_type(node.type),
        body=None if node.body is None else graph_shape(node.body, language),
    )


def _type(type_: ValueType) -> TypeShape:
    return TypeShape(time=type_.time, width=str(type_.width), causal=type_.causal)
