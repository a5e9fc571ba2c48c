"""Drawings: a whole graph is shown, bodies in frames, without overlap, and inputs in order."""

import random
import re
from collections.abc import Iterator
from fractions import Fraction
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blueprints import HUMAN_BLUEPRINTS, LANGUAGE, Graph, Node, parse, random_program
from blueprints.drawing import FAMILY_COLOURS, Form, blueprint_svg, node_text
from blueprints.graph import INPUT_NODE
from blueprints.types import INPUT_TYPE, ValueType

SVG = "{http://www.w3.org/2000/svg}"
LSTM = """SCAN_START OUT_DIM_IN CONCAT STATE_0 SAVE TAP_0 LINEAR OUT_DIM_IN SIGMOID MUL STATE_1 SAVE TAP_1
    LOAD TAP_0 LINEAR OUT_DIM_IN SIGMOID SAVE TAP_2 LOAD TAP_0 LINEAR OUT_DIM_IN TANH MUL TAP_2 ADD TAP_1
    SAVE STATE_1 TANH SAVE TAP_1 LOAD TAP_0 LINEAR OUT_DIM_IN SIGMOID MUL TAP_1 SCAN_END"""
NESTED = """LOOP_START REPEAT_3 RES_START SCAN_START OUT_DIM_HALF LINEAR OUT_DIM_HALF ADD STATE_0 TANH
    SCAN_END LINEAR OUT_DIM_IN RES_END LOOP_END"""

#: Left, top, right and bottom.
Sides = tuple[float, float, float, float]


def drawn(graph: Graph) -> Element:
    """Return the root of a drawing, and check that it holds each node, edge and store once."""
    root = ElementTree.fromstring(blueprint_svg(graph))
    nodes = list(graph.all_nodes())
    graphs = [graph, *(node.body for node in nodes if node.body is not None)]
    assert len(of_class(root, "node")) == len(nodes)
    assert len(of_class(root, "edge")) == sum(len(node.inputs) for node in nodes)
    assert len(of_class(root, "output")) == len(graphs)
    assert len(of_class(root, "body")) == len(graphs) - 1
    assert len(of_class(root, "store")) == sum(len(set(graph.stores)) for graph in graphs)
    return root


def of_class(root: Element, name: str) -> list[Element]:
    return [element for element in root.iter() if name in element.get("class", "").split()]


def drawings(root: Element, x: float = 0.0, y: float = 0.0) -> Iterator[tuple[dict[int, Sides], list[Sides]]]:
    """Yield for the graph and for each body the sides of its nodes by index, and of its tags, on the page."""
    nodes: dict[int, Sides] = {}
    tags: list[Sides] = []
    bodies: list[tuple[Element, Sides]] = []
    pending = list(root)
    while pending:
        element = pending.pop()
        rect = element.find(f"{SVG}rect")
        if rect is None:
            pending += element
            continue
        left, top, width, height = (float(rect.get(key, "nan")) for key in ("x", "y", "width", "height"))
        sides = (x + left, y + top, x + left + width, y + top + height)
        if element.get("class") == "store":
            tags.append(sides)
            continue
        nodes[int(element.findtext(f"{SVG}title", "").split()[0].removeprefix("%"))] = sides
        bodies += [(body, sides) for body in element if body.get("class") == "body"]
    yield nodes, tags
    for body, frame in bodies:
        dx, dy = map(float, re.findall(r"-?[\d.]+", body.get("transform", "")))
        inner = list(drawings(body, x + dx, y + dy))
        assert all(inside(sides, frame) for sides in [*inner[0][0].values(), *inner[0][1]])
        yield from inner


def inside(inner: Sides, outer: Sides) -> bool:
    return outer[0] < inner[0] and outer[1] < inner[1] and inner[2] < outer[2] and inner[3] < outer[3]


def apart(one: Sides, other: Sides) -> bool:
    return one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]


def entrances(root: Element) -> list[float]:
    """Return where the edges end from the left, in the order in which they are drawn."""
    paths = [edge.get("d", "") for edge in of_class(root, "edge")]
    return [float(re.findall(r"(-?[\d.]+) -?[\d.]+(?=V)", path)[-1]) for path in paths]


@given(st.integers(0, 10**6))
def test_a_drawing_is_well_formed_and_its_nodes_never_overlap(seed: int):
    root = drawn(parse(random_program(random.Random(seed))).graph)
    view_left, view_top, width, height = map(float, root.get("viewBox", "").split())
    view = (view_left, view_top, view_left + width, view_top + height)
    for nodes, tags in drawings(root):
        placed = [*nodes.values(), *tags]
        assert all(inside(sides, view) for sides in placed)
        assert all(apart(one, other) for i, one in enumerate(placed) for other in placed[:i])


@pytest.mark.parametrize("human", HUMAN_BLUEPRINTS, ids=lambda human: human.name)
def test_every_edge_runs_downwards(human):
    graph = parse(human.tokens).graph
    nodes, _ = next(drawings(drawn(graph)))
    for index, node in enumerate(graph.nodes):
        assert all(nodes[source][3] < nodes[index][1] for source in node.inputs)
    assert nodes[0][1] == min(top for _, top, _, _ in nodes.values())


def test_the_input_alone_and_a_doubled_edge_are_drawn():
    drawn(Graph((INPUT_NODE,)))
    drawn(Graph((INPUT_NODE, Node("ADD", (), (0, 0), INPUT_TYPE))))


def test_bodies_are_drawn_in_titled_frames_one_inside_the_other():
    root = drawn(parse(NESTED.split()).graph)
    assert [len(nodes) for nodes, _ in drawings(root)] == [2, 4, 5]
    frames = [node for node in of_class(root, "node") if node.find(f"{SVG}g") is not None]
    assert ["".join(text.itertext()) for frame in frames for text in frame.findall(f"{SVG}text")] == [
        "LOOP ×3",
        "SCAN D/2",
    ]
    assert [frame.get("class") for frame in frames] == ["node loop", "node scan"]


def test_the_edge_into_a_frame_ends_above_the_input_of_its_body():
    root = drawn(parse(NESTED.split()).graph)
    _, (body, _), _ = drawings(root)
    assert entrances(root)[0] == pytest.approx((body[0][0] + body[0][2]) / 2, abs=0.2)


def test_states_are_leaves_and_what_is_stored_into_them_is_tagged():
    graph = parse(LSTM.split()).graph
    root = drawn(graph)
    (body,) = [node.body for node in graph.nodes if node.body is not None]
    _, (nodes, tags) = drawings(root)
    assert len(of_class(root, "state")) == 2
    said = ["".join(tag.itertext()) for tag in of_class(root, "store")]
    assert sorted(said) == ["→ state 0", "→ state 1"]
    stored = [nodes[index] for index in body.stores]
    assert {tag[0] - sides[2] for tag in tags for sides in stored if abs(tag[0] - sides[2]) < 5} == {4.0}


def test_a_node_that_becomes_two_states_has_one_tag():
    step = ValueType(time="single", width=Fraction(1))
    body = Graph((INPUT_NODE, Node("TANH", (), (0,), step)), stores=(1, 1))
    scan = Node("SCAN", (("width", Fraction(1)),), (0,), INPUT_TYPE, body)
    (tag,) = of_class(drawn(Graph((INPUT_NODE, scan))), "store")
    assert "".join(tag.itertext()) == "→ state 0, 1"


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 3, 1), (0, 3, 0)])
def test_inputs_whose_order_counts_enter_from_left_to_right(order: tuple[int, ...]):
    nodes = [Node(op, (), (0,), INPUT_TYPE) for op in ("SIGMOID", "RELU", "TANH")]
    root = drawn(Graph((INPUT_NODE, *nodes, Node("BLEND", (), order, INPUT_TYPE))))
    z, a, b = entrances(root)[-3:]
    assert z < a < b
    titles = [title.text or "" for title in root.iter(f"{SVG}title")]
    assert any("BLEND(%{}, %{}, %{})".format(*order) in title for title in titles)


def test_a_drawing_is_told_in_words_with_its_bodies():
    told = drawn(parse(NESTED.split()).graph).get("aria-label", "")
    assert told.startswith("0 INPUT; 1 LOOP ×3 of 0, its body (0 INPUT; 1 SCAN D/2 of 0, its body (")
    assert "STATE 0" in told
    assert "; state 0 takes 4)" in told


def test_attributes_are_written_as_people_do():
    graph = parse("CONV1D KERNEL_5 CHANNELS_HALF KWINNERS KEEP_HALF LINEAR OUT_DIM_IN".split()).graph
    written = ["INPUT", "CONV1D k5 D/2", "KWINNERS keep half", "LINEAR D"]
    assert [node_text(node) for node in graph.nodes] == written


def test_an_optional_attribute_is_written_unless_it_has_its_default():
    program = (
        "DWCONV1D KERNEL_3 DWCONV1D KERNEL_3 DILATION_4 ATTENTION HEADS_2 FULL ATTENTION HEADS_2".split()
    )
    written = ["DWCONV1D k3", "DWCONV1D k3 dilation 4", "ATTENTION heads 2 full", "ATTENTION heads 2"]
    assert [node_text(node) for node in parse(program).graph.nodes[1:]] == written


def test_every_family_of_ops_has_a_colour():
    known = {op.family for op in LANGUAGE.ops} | {"input", "loop", "scan", "state"}
    assert known <= set(FAMILY_COLOURS)


def test_lines_and_letters_follow_the_colours_of_the_page():
    svg = blueprint_svg(parse(LSTM.split()).graph)
    colours = set(re.findall(r'(?:fill|stroke)="([^"]+)"', svg))
    assert colours <= {"none", "currentColor", *FAMILY_COLOURS.values()}


@pytest.mark.parametrize("form", ["page", "card"])
def test_drawings_for_pages_have_no_style_of_their_own(form: Form) -> None:
    svg = blueprint_svg(parse(LSTM.split()).graph, form=form)
    assert "style=" in blueprint_svg(parse(LSTM.split()).graph)
    assert "style=" not in svg
    assert "<style" not in svg
    assert ElementTree.fromstring(svg).get("class") == "blueprint"


def test_a_card_is_denser_than_a_page_and_leaves_the_words_to_what_is_beside_it() -> None:
    card, page = (blueprint_svg(parse(LSTM.split()).graph, form=form) for form in ("card", "page"))
    heights = [float(ElementTree.fromstring(svg).get("height", "")) for svg in (card, page)]
    assert heights[0] < 0.8 * heights[1]
    assert "<title>" not in card
    assert 'aria-hidden="true"' in card
    assert 'role="img"' in page


def test_edges_on_a_page_are_thick_as_they_are_wide_and_dashed_for_a_single_step() -> None:
    svg = blueprint_svg(
        parse("LINEAR OUT_DIM_QUAD RELU LINEAR OUT_DIM_IN POOL_LAST GELU".split()).graph, form="page"
    )
    wires = [
        (wire[0].text.partition(": ")[2], wire[2].get("stroke-width"), wire[2].get("stroke-dasharray"))
        for wire in ElementTree.fromstring(svg).iter(f"{SVG}g")
        if wire.get("class") == "wire" and wire[0].text
    ]
    assert wires == [
        ("[B, T, D]", "1.8", None),
        ("[B, T, 4D]", "4.5", None),
        ("[B, T, 4D]", "4.5", None),
        ("[B, T, D]", "1.8", None),
        ("[B, 1, D]", "1.8", "5 3"),
    ]
    assert svg.count(">T × 4D</text>") == 2
    assert ">T × D</text>" not in svg
