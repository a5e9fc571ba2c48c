"""What is refused, and in which words: one golden message a rule, and the errors of the neighbours."""

import dataclasses

import pytest

from blueprints import (
    HUMAN_BLUEPRINTS,
    IDENTITY,
    LANGUAGE,
    BlueprintError,
    Language,
    TamiyoError,
    VerificationError,
    canonical_form,
    compile_blueprint,
    human,
    legal_tokens,
    parse,
    verify,
)
from blueprints.graph import Graph, Node
from blueprints.printer import to_tokens

WIDE = "CONV1D KERNEL_7 CHANNELS_QUAD"

REFUSED = [
    (
        "LINEAR KERNEL_5",
        1,
        "attribute-fits-op",
        "KERNEL_5 (token 1) follows LINEAR, which takes OUT_DIM_* here",
    ),
    ("OUT_DIM_IN", 0, "attribute-fits-op", "OUT_DIM_IN (token 0) follows no op that takes it"),
    ("LINEAR RELU", 1, "attribute-missing", "RELU (token 1) comes before LINEAR has its OUT_DIM_*"),
    ("FOO", 0, "unknown-token", "'FOO' (token 0) is not in the vocabulary"),
    ("TANH END", 1, "unknown-token", "END (token 1) marks the end and is no token of a program"),
    ("", 0, "empty-program", "the program ends before its first op"),
    ("RES_START TANH", 2, "unclosed-block", "the program ends inside RES_START"),
    ("RES_START RES_END", 1, "empty-block", "RES_END (token 1) closes RES_START, which holds no op"),
    ("RES_END", 0, "block-mismatch", "RES_END (token 0) closes no open block of its kind: no block is open"),
    (
        "RES_START TANH GATE_END",
        2,
        "block-mismatch",
        "GATE_END (token 2) closes no open block of its kind: RES_START is open",
    ),
    (
        "RES_START LINEAR OUT_DIM_HALF RES_END",
        3,
        "width-mismatch",
        "RES_END (token 3) at [B, T, 1/2D], where its block's input has [B, T, D]",
    ),
    (
        "BRANCH_START LINEAR OUT_DIM_HALF BRANCH_SEP TANH MERGE_MUL",
        5,
        "width-mismatch",
        "MERGE_MUL (token 5) at [B, T, D], where the first branch has [B, T, 1/2D]",
    ),
    (
        "LINEAR OUT_DIM_HALF",
        2,
        "width-mismatch",
        "the program ends at [B, T, 1/2D], where the program's input has [B, T, D]",
    ),
    (
        "POOL_MEAN GRU",
        1,
        "needs-sequence",
        "GRU (token 1) needs a sequence, but the value is a single step",
    ),
    ("RELU RELU", 1, "no-op", "RELU (token 1) changes nothing directly after RELU"),
    (
        "TANH " * 49,
        48,
        "too-long",
        "TANH (token 48) leaves no room to complete the program within 48 tokens",
    ),
    (
        f"{WIDE} {WIDE}",
        5,
        "over-cost",
        "CHANNELS_QUAD (token 5) brings the shortest completion to 73,728 FLOPs a step at width 16, over the "
        "cap of 32,768",
    ),
]


@pytest.mark.parametrize(("program", "position", "rule", "reason"), REFUSED)
def test_refusals_name_rule_position_and_reason(program, position, rule, reason):
    with pytest.raises(BlueprintError) as caught:
        parse(program.split())
    error = caught.value
    assert (error.rule, error.position, error.reason) == (rule, position, reason)
    assert str(error).startswith(f"rule '{rule}': {reason}; expected ")
    assert error.fitness == -1
    legal = legal_tokens(program.split()[:position])
    assert error.expected == tuple("<end>" if token == "END" else token for token in legal)


def test_the_caret_stands_under_the_fault():
    with pytest.raises(BlueprintError) as caught:
        parse(["LINEAR", "KERNEL_5"])
    assert caught.value.explain() == (
        "LINEAR KERNEL_5\n"
        "       ^^^^^^^^\n"
        "rule 'attribute-fits-op': KERNEL_5 (token 1) follows LINEAR, which takes OUT_DIM_* here; expected "
        "one of OUT_DIM_QUARTER, OUT_DIM_HALF, OUT_DIM_IN, OUT_DIM_DOUBLE, OUT_DIM_QUAD"
    )


def test_an_early_end_is_shown_behind_the_last_token():
    with pytest.raises(BlueprintError) as caught:
        parse(["RES_START", "TANH"])
    assert caught.value.explain().splitlines()[:2] == ["RES_START TANH <end>", "               ^^^^^"]


def test_legal_tokens_refuses_an_illegal_prefix():
    with pytest.raises(ValueError, match="the prefix is illegal itself: RELU"):
        legal_tokens(["LINEAR", "RELU"])


def test_the_residual_convolution_has_the_expected_graph():
    blueprint = parse("RES_START CONV1D KERNEL_5 CHANNELS_IN GELU LINEAR OUT_DIM_IN RES_END".split())
    assert str(blueprint.graph).splitlines() == [
        "%0   INPUT                                        [B, T, D]",
        "%1   CONV1D kernel=5 width=1 dilation=1(%0)       [B, T, D]",
        "%2   GELU(%1)                                     [B, T, D]",
        "%3   LINEAR width=1(%2)                           [B, T, D]",
        "%4   ADD(%0, %3)                                  [B, T, D]",
    ]


def test_a_pooled_body_is_broadcast_and_not_causal():
    blueprint = human("squeeze_excitation")
    assert blueprint.graph.type.time == "sequence"
    assert not blueprint.graph.type.causal


def test_human_blueprints_parse_to_different_graphs_and_name_their_papers():
    assert len(HUMAN_BLUEPRINTS) >= 16
    assert len({human(entry.name).id for entry in HUMAN_BLUEPRINTS}) == len(HUMAN_BLUEPRINTS)
    assert all(entry.paper and entry.family for entry in HUMAN_BLUEPRINTS)
    named = (
        "residual_mlp bottleneck_adapter low_rank_residual squeeze_excitation glu swiglu depthwise_separable"
    )
    for name in (*named.split(), "convnext_like", "gru"):
        assert human(name).graph.type.width == 1
    with pytest.raises(TamiyoError, match="no human blueprint 'resnet'; expected one of mlp"):
        human("resnet")


def test_a_languages_version_changes_with_its_table_and_budgets():
    assert Language().version_hash == LANGUAGE.version_hash
    assert Language(max_length=23).version_hash != LANGUAGE.version_hash
    assert Language(ops=LANGUAGE.ops[1:]).version_hash != LANGUAGE.version_hash


def test_a_smaller_language_never_offers_what_it_lacks():
    small = Language(ops=tuple(op for op in LANGUAGE.ops if op.name not in ("GRU", "CONV1D")), max_length=6)
    assert "GRU" not in legal_tokens((), language=small)
    with pytest.raises(BlueprintError) as caught:
        parse(["GRU"], small)
    assert caught.value.rule == "unknown-token"


@pytest.mark.parametrize("width", [0, 8, 20])
def test_a_hosts_width_is_a_multiple_of_16(width):
    with pytest.raises(ValueError, match=f"multiple of 16, got {width}"):
        compile_blueprint(IDENTITY, width)


def _changed(index: int, **changes) -> Graph:
    nodes = list(parse("LINEAR OUT_DIM_HALF TANH LINEAR OUT_DIM_IN".split()).graph.nodes)
    nodes[index] = dataclasses.replace(nodes[index], **changes)
    return Graph(tuple(nodes))


BROKEN = [
    (_changed(2, op="COSH"), "node %2 (COSH) is no op of this language"),
    (_changed(2, inputs=(1, 1)), "node %2 (TANH) has 2 inputs, expected 1"),
    (_changed(2, attributes=(("kernel", 3),)), "has attributes ('kernel',), expected ()"),
    (_changed(1, attributes=(("width", 3),)), "has width 3, expected one of 1/4"),
    (_changed(2, inputs=(0,)), "node %2 (TANH) is typed [B, T, 1/2D], expected [B, T, D]"),
    (Graph(_changed(2).nodes[:3]), "the output is [B, T, 1/2D], expected the input's width D"),
]


@pytest.mark.parametrize(("graph", "message"), BROKEN)
def test_the_verifier_names_the_node_and_what_was_expected(graph, message):
    with pytest.raises(VerificationError) as caught:
        verify(graph)
    assert message in str(caught.value)


def test_a_graph_with_more_waiting_values_than_taps_cannot_be_printed():
    x = parse("TANH".split()).graph.nodes
    waiting = [Node(op, (), (1,), x[1].type) for op in ("SILU", "GELU", "RELU", "SIN", "ELU", "ABS")]
    nodes = [*x, *waiting]
    for i, merge in (
        (2, "MUL"),
        (3, "MUL"),
        (2, "MUL"),
        (4, "MUL"),
        (3, "MUL"),
        (5, "MUL"),
        (6, "MUL"),
        (7, "MUL"),
    ):
        nodes.append(Node(merge, (), (i, len(nodes) - 1), x[1].type))
    graph = Graph(tuple(nodes))
    with pytest.raises(TamiyoError, match="needs more than the language's 1 taps"):
        to_tokens(graph, Language(num_taps=1))
    wide = Language(num_taps=6, max_length=99)
    assert parse(to_tokens(graph, wide), wide).graph == canonical_form(graph)
