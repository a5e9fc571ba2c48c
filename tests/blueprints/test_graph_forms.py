"""networkx and PyG, with their inverses, which give back the very graph; what is malformed is refused."""

import sys
from fractions import Fraction
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from known import KNOWN, OWN
from programs import programs

from blueprints import TamiyoError, VerificationError, is_isomorphic, parse
from blueprints.networkx_form import GraphFormError, from_networkx, to_networkx
from blueprints.parser import parse_graph
from blueprints.pyg import EDGE_KINDS, MissingPackageError, from_pyg, pyg_columns, pyg_ops, to_pyg

laws = settings(max_examples=100, deadline=None)

# -- networkx ------------------------------------------------------------------------------------------------


@laws
@given(programs())
def test_networkx_gives_back_the_very_graph(tokens):
    graph, _ = parse_graph(tokens)
    blueprint = parse(tokens)
    assert from_networkx(to_networkx(graph)) == graph
    assert from_networkx(to_networkx(blueprint.graph)) == blueprint.graph


def test_known_blueprints_survive_networkx():
    for blueprint in KNOWN:
        assert from_networkx(to_networkx(blueprint.graph)) == blueprint.graph, str(blueprint)


def have_equal_labels(a: nx.DiGraph, b: nx.DiGraph) -> bool:
    return nx.is_isomorphic(
        a,
        b,
        node_match=lambda x, y: x["label"] == y["label"],
        edge_match=lambda x, y: x["label"] == y["label"],
    )


@laws
@given(programs(max_length=8), programs(max_length=8))
def test_labels_are_isomorphic_exactly_for_isomorphic_graphs(one, other):
    for a, b in ((one, other), (one, one)):
        a, b = parse_graph(a)[0], parse(b).graph
        assert have_equal_labels(to_networkx(a), to_networkx(b)) == is_isomorphic(a, b)


def test_labels_do_not_show_the_order_of_commutative_inputs_and_states():
    first = "SCAN_START OUT_DIM_IN SAVE STATE_1 ADD STATE_1 TANH SAVE STATE_2 MUL STATE_2 SCAN_END"
    second = "SCAN_START OUT_DIM_IN SAVE STATE_2 ADD STATE_2 TANH SAVE STATE_1 MUL STATE_1 SCAN_END"
    a, b = (to_networkx(parse_graph(text.split())[0]) for text in (first, second))
    assert have_equal_labels(a, b)
    assert nx.utils.graphs_equal(a, to_networkx(parse_graph(first.split())[0]))
    assert not nx.utils.graphs_equal(a, b)


def test_edges_say_what_they_carry():
    form = to_networkx(parse("SCAN_START OUT_DIM_IN ADD STATE_0 TANH SCAN_END".split()).graph)
    shown = {
        (source, target): (data["kind"], data["slots"]) for source, target, data in form.edges(data=True)
    }
    names = {data["op"]: name for name, data in form.nodes(data=True) if len(name) == 2}
    assert shown == {
        ((0,), (1,)): ("input", (0,)),
        ((1,), (1, 0)): ("body", ()),
        ((1, 0), names["ADD"]): ("input", (0,)),
        (names["STATE"], names["ADD"]): ("input", (1,)),
        (names["ADD"], names["TANH"]): ("input", (0,)),
        (names["TANH"], (1,)): ("store", (0,)),
        (names["TANH"], names["STATE"]): ("state", (0,)),
    }


def test_an_edited_networkx_graph_reads_as_what_it_became():
    form = to_networkx(parse("RES_START TANH SILU RES_END".split()).graph)
    tanh, silu = (next(n for n, data in form.nodes(data=True) if data["op"] == op) for op in ("TANH", "SILU"))
    form.nodes[tanh]["op"] = "RELU"
    assert is_isomorphic(from_networkx(form), parse("RES_START RELU SILU RES_END".split()).graph)
    form.remove_node(tanh)
    form.add_edge((0,), silu, kind="input", slots=(0,))
    assert from_networkx(form) == parse("RES_START SILU RES_END".split()).graph


def edited(program: str, **changes: Any) -> nx.DiGraph:
    """The form of a program with attributes of its node (1,) changed."""
    form = to_networkx(parse(program.split()).graph)
    form.nodes[(1,)].update(changes)
    return form


def with_edge(program: str, source: tuple, target: tuple, *slots: int) -> nx.DiGraph:
    form = edited(program)
    form.add_edge(source, target, kind="input", slots=slots)
    return form


def without(program: str, *nodes: tuple) -> nx.DiGraph:
    form = edited(program)
    form.remove_nodes_from(nodes)
    return form


LOOP = "LOOP_START REPEAT_2 TANH SILU LOOP_END"
MALFORMED = [
    (nx.DiGraph(), "the graph has no nodes"),
    (nx.path_graph(2, nx.DiGraph), "node 0 is not named by its path, such as (3,) or (3, 1)"),
    (nx.DiGraph([((0,), (1,))]), "node (0,) has no attributes and no op and no type"),
    (edited("TANH", op="INPUT"), "node (1,) is INPUT; the first node of a scope, and no other, is INPUT"),
    (without("TANH", (0,)), "node (1,) is TANH; the first node of a scope, and no other, is INPUT"),
    (edited("TANH", op="STATE"), "node (1,) is STATE with 1 inputs; leaves have none, nor a body"),
    (edited(LOOP, op="INPUT"), "node (1,) is INPUT; the first node of a scope, and no other, is INPUT"),
    (
        with_edge("TANH SILU", (2,), (1,), 1),
        "node (1,) reads a node behind it; number the nodes in the order",
    ),
    (
        with_edge("TANH SILU", (0,), (2,), 3),
        "node (2,) has edges into its input slots [0, 3], expected 0, 1, ...",
    ),
    (with_edge(LOOP, (1, 1), (1,), 1), "an edge leads from (1, 1) to (1,), which do not stand in one scope"),
    (without(LOOP, (1,)), "the nodes of body (1,) stand in no node of that name"),
    (without(LOOP, (1, 2)), "node (1,) repeats a body that must end with its last node, (1, 1)"),
]


@pytest.mark.parametrize(("form", "message"), MALFORMED)
def test_a_malformed_networkx_graph_is_refused_by_node(form, message):
    with pytest.raises(GraphFormError) as caught:
        from_networkx(form)
    assert str(caught.value).startswith(message)


def test_a_networkx_graph_is_verified_against_the_language():
    with pytest.raises(VerificationError, match=r"node %1 \(WARP\) is no op of this language"):
        from_networkx(edited("TANH", op="WARP"))
    with pytest.raises(
        VerificationError, match=r"node %1 \(LOOP repeat=2\) needs one input, its repeat and a body"
    ):
        from_networkx(without(LOOP, (1, 0), (1, 1), (1, 2)))


# -- PyG -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def torch():
    pytest.importorskip("torch_geometric")
    return pytest.importorskip("torch")


@laws
@given(programs())
def test_pyg_gives_back_the_very_graph(torch, tokens):
    graph, _ = parse_graph(tokens)
    assert from_pyg(to_pyg(graph)) == graph
    assert from_pyg(to_pyg(parse(tokens).graph)) == parse(tokens).graph


def test_known_blueprints_survive_pyg(torch):
    for blueprint in KNOWN:
        data = to_pyg(blueprint.graph)
        data.validate()
        assert from_pyg(data) == blueprint.graph, str(blueprint)


def test_graphs_survive_a_batch(torch):
    from torch_geometric.data import Batch

    batch = Batch.from_data_list([to_pyg(blueprint.graph) for blueprint in KNOWN])
    assert [from_pyg(batch[i]) for i in range(len(KNOWN))] == [blueprint.graph for blueprint in KNOWN]


def test_attributes_of_a_users_own_keep_their_values(torch):
    graph = parse("TANH GAIN_TENTH TANH GAIN_9 TANH".split(), OWN).graph
    assert from_pyg(to_pyg(graph, OWN), OWN) == graph
    assert [node.attributes for node in from_pyg(to_pyg(graph, OWN), OWN).nodes[1:]] == [
        (("gain", Fraction(1, 10)),),
        (("gain", 9),),
        (("gain", 1),),
    ]


def test_pyg_shows_ops_attributes_and_slots_by_name(torch):
    data = to_pyg(parse("CONV1D KERNEL_5 CHANNELS_HALF LINEAR OUT_DIM_IN POOL_LAST".split()).graph)
    rows = [dict(zip(pyg_columns(), row, strict=True)) for row in data.x.tolist()]
    assert [pyg_ops()[int(row["op"])] for row in rows] == ["INPUT", "CONV1D", "LINEAR", "POOL_LAST"]
    assert [row["kernel"] for row in rows] == [0, 5, 0, 0]
    assert [row["width"] for row in rows] == [1, 0.5, 1, 1]
    assert [row["is_sequence"] for row in rows] == [1, 1, 1, 0]
    assert data.edge_index.tolist() == [[0, 1, 2], [1, 2, 3]]
    assert data.edge_attr.tolist() == [[EDGE_KINDS.index("input"), 0]] * 3
    assert data.owner_index.tolist() == [0, 1, 2, 3]


NUM_OPS, NUM_COLUMNS = len(pyg_ops()), len(pyg_columns())
MALFORMED_TENSORS = [
    (
        "x",
        lambda x: x[:, 1:],
        rf"x is of shape \[3, {NUM_COLUMNS - 1}\], expected \[-1, {NUM_COLUMNS}\] in this language",
    ),
    ("x", lambda x: None, rf"x is missing, expected \[-1, {NUM_COLUMNS}\]"),
    ("x", lambda x: x * 0 - 1, f"node 0 has op number -1, expected 0 to {NUM_OPS - 1}"),
    ("x", lambda x: x + 0.5, f"node 0 has op number 0.5, expected 0 to {NUM_OPS - 1}"),
    (
        "x",
        lambda x: x * x.new_tensor([1, 1, 1e9] + [1] * (NUM_COLUMNS - 3)),
        r"node 0 has width 1e\+09, which is no value of an attribute",
    ),
    ("owner_index", lambda owners: owners[1:], "3 nodes have 2 owners, and 2 edges 2 kinds"),
    ("owner_index", lambda owners: owners + 1, "node 0 stands in the body of 1, expected a node before it"),
    ("edge_index", lambda edges: edges + 2, r"edge \[2, 3\] of kind 0 is none of a graph of 3 nodes"),
    ("edge_attr", lambda kinds: kinds + 9, r"edge \[0, 1\] of kind 9 is none of a graph of 3 nodes"),
    ("edge_attr", lambda kinds: kinds * 0 + 1, r"node \(1,\) is TANH with 0 inputs; leaves have none"),
]


@pytest.mark.parametrize(("name", "change", "message"), MALFORMED_TENSORS)
def test_malformed_tensors_are_refused_by_name(torch, name, change, message):
    data = to_pyg(parse(["TANH", "SILU"]).graph)
    data[name] = change(data[name])
    with pytest.raises(GraphFormError, match=message):
        from_pyg(data)


@pytest.mark.parametrize("name", ["torch", "torch_geometric.data"])
def test_without_the_extra_one_line_says_what_to_install(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError) as caught:
        to_pyg(KNOWN[0].graph)
    assert isinstance(caught.value, TamiyoError)
    assert str(caught.value) == (
        f"graphs for PyG need {name}, which is not installed: pip install 'tamiyo[interop]'"
    )
