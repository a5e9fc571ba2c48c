"""A blueprint in a notebook: a self-contained fragment with the drawing, the counts and the tokens."""

import random
import re
from dataclasses import replace
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from blueprints import OPS, Language, flops, num_parameters, parse, random_program
from blueprints.drawing import FAMILY_COLOURS, blueprint_svg
from blueprints.html_form import TIME, WIDTH, card, counts

PROGRAM = "RES_START CONV1D KERNEL_5 CHANNELS_IN GELU LINEAR OUT_DIM_IN RES_END".split()


@given(st.integers(0, 10**6))
def test_a_blueprint_shows_its_drawing_its_counts_and_its_tokens(seed: int) -> None:
    blueprint = parse(random_program(random.Random(seed)))
    html = blueprint._repr_html_()
    said = [" ".join("".join(part.itertext()).split()) for part in ElementTree.fromstring(html)]
    assert said[0] == blueprint.id[:12]
    assert said[3] == " ".join(blueprint.tokens)
    assert blueprint_svg(blueprint.graph) in html
    assert f"nodes {sum(1 for _ in blueprint.graph.all_nodes())}" in said[2]
    assert f"parameters {num_parameters(blueprint.graph, WIDTH):,d}" in said[2]
    assert f"FLOPs {flops(blueprint.graph, WIDTH, TIME):,d}" in said[2]


def test_the_fragment_loads_nothing_and_follows_the_colours_of_the_page() -> None:
    html = parse(PROGRAM)._repr_html_()
    assert not re.findall(r"<(?:script|style|link|img|iframe)|\bid=|url\(|\bon\w+=", html)
    assert re.findall(r"https?://[^\"]+", html) == ["http://www.w3.org/2000/svg"]  # a name, never loaded
    colours = set(re.findall(r'(?:fill|stroke)="([^"]+)"', html))
    assert colours <= {"none", "currentColor", *FAMILY_COLOURS.values()}
    assert not re.findall(r"[;\"](?:color|background)[^;]*:", html)


def test_what_a_user_named_is_escaped() -> None:
    op = replace(next(op for op in OPS if op.name == "GELU"), name="<b>&", no_op_after=frozenset())
    blueprint = parse(["<b>&"], Language((*OPS, op)))
    html = blueprint._repr_html_()
    ElementTree.fromstring(html)
    assert "<b>" not in html
    assert "&lt;b&gt;&amp;" in html
    assert "<i>" not in card("<i>", None, ["<i>"], [("<i>", "<i>")])


def test_an_op_of_another_language_is_drawn_and_left_uncounted() -> None:
    op = replace(next(op for op in OPS if op.name == "LINEAR"), name="MINE")
    language = Language((*OPS, op))
    graph = parse(["MINE", "OUT_DIM_IN"], language).graph
    assert [name for name, _ in counts(graph)] == ["nodes"]
    assert dict(counts(graph, language))["parameters"] == f"{num_parameters(graph, WIDTH, language):,d}"
