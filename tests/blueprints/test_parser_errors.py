"""What is refused, in which words: a golden file a rule (goldens.py), and the errors of the neighbours."""

import ast
import dataclasses
import re
from pathlib import Path

import goldens
import pytest

import blueprints
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
from blueprints.explanations import EXPLANATIONS, explanation
from blueprints.graph import Graph, Node
from blueprints.ops import Attribute
from blueprints.printer import to_tokens
from scripts import language_reference

PACKAGE = Path(blueprints.__file__).parent
RULES = goldens.rules()
CASES = [(rule, tokens) for rule in RULES for tokens in goldens.programs(rule)]


def _rules_in_the_source() -> set[str]:
    """Return the names of rules, words with hyphens, among the strings of the files that refuse tokens."""
    files = ("rules.py", "grammar.py", "parser.py")
    nodes = [node for name in files for node in ast.walk(ast.parse((PACKAGE / name).read_text()))]
    strings = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {text for text in strings if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", text)}


def test_every_rule_has_a_golden_and_an_explanation():
    assert len(_rules_in_the_source()) > 15
    assert _rules_in_the_source() == set(RULES) == {row.rule for row in EXPLANATIONS}
    assert len({row.rule for row in EXPLANATIONS}) == len(EXPLANATIONS)


@pytest.mark.parametrize("rule", RULES)
def test_refusals_are_printed_as_in_the_golden(rule):
    assert goldens.read(rule) == goldens.printed(rule), "if the new words are better, take them: make goldens"


@pytest.mark.parametrize(
    ("target", "command"), [("goldens", goldens.COMMAND), ("reference", language_reference.COMMAND)]
)
def test_make_writes_the_goldens_and_the_reference(target, command):
    written = rf"^{target}: setup  ## .+\n\t@\$\(BIN\)/{re.escape(command)}$"
    assert re.search(written, (PACKAGE.parent / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("rule", "tokens"), CASES, ids=lambda case: case if isinstance(case, str) else "")
def test_refusals_name_rule_position_and_what_is_legal_there(rule, tokens):
    error = goldens.refusal(tokens)
    assert (error.rule, error.tokens) == (rule, tokens)
    assert str(error).startswith(f"rule '{rule}': {error.reason}; expected ")
    assert error.fitness == -1
    legal = legal_tokens(tokens[: error.position])
    assert error.expected == tuple("<end>" if token == "END" else token for token in legal)


@pytest.mark.parametrize("row", EXPLANATIONS, ids=lambda row: row.rule)
def test_the_examples_of_a_rule_break_and_mend_it(row):
    assert tuple(row.breaks.split()) in goldens.programs(row.rule)
    assert parse(row.mends.split()).tokens == tuple(row.mends.split())
    assert row.meaning.endswith(".")
    assert row.reason.endswith(".")


@pytest.mark.parametrize(("rule", "tokens"), CASES, ids=lambda case: case if isinstance(case, str) else "")
def test_reasons_read_as_sentences(rule, tokens):
    reason = goldens.refusal(tokens).reason
    if reason.startswith("the program ends "):
        assert reason.split()[3] in ("before", "inside", "at", "with")
    else:
        token, verb = re.match(r"(\S+) \(token \d+\) (\w+) ", reason).groups()
        assert token.strip("'") in tokens
        assert verb == "would" or verb.endswith("s")
    assert not re.search(r"\b1 \w+s\b", reason)


WITHOUT_BLEND = Language(ops=tuple(op for op in LANGUAGE.ops if op.name != "BLEND"))


@pytest.mark.parametrize(
    ("text", "language", "rule", "token"),
    [
        ("LOOP_START REPEAT_2 BRANCH_START POOL_MEAN BRANCH_SEP POOL_MAX", LANGUAGE, "too-long", 5),
        (
            "LOOP_START REPEAT_2 BRANCH_START POOL_MEAN BRANCH_SEP POOL_MAX",
            WITHOUT_BLEND,
            "loop-changes-type",
            5,
        ),
        ("LOOP_START REPEAT_2 SAVE TAP_0 POOL_MEAN SAVE TAP_0", LANGUAGE, "loop-changes-type", 6),
        ("POOL_MEAN LOOP_START REPEAT_2 LINEAR OUT_DIM_HALF LOOP_END", LANGUAGE, "width-mismatch", 5),
    ],
)
def test_a_body_that_lost_its_last_sequence_is_named_so_where_nothing_can_bring_one_back(
    text, language, rule, token
):
    with pytest.raises(BlueprintError) as caught:
        parse(text.split(), language)
    assert (caught.value.rule, caught.value.position) == (rule, token)


@pytest.mark.parametrize(
    "text",
    [
        "LOOP_START REPEAT_2 SAVE TAP_0 POOL_MEAN ADD TAP_0 LOOP_END",
        "LOOP_START REPEAT_2 SAVE TAP_0 POOL_MEAN SAVE TAP_1 LOAD TAP_0 MUL TAP_1 LOOP_END",
        "LOOP_START REPEAT_2 RES_START POOL_MEAN LOOP_START REPEAT_3 TANH LOOP_END RES_END LOOP_END",
        "LOOP_START REPEAT_2 BRANCH_START POOL_MEAN BRANCH_SEP TANH MERGE_ADD LOOP_END",
        "LOOP_START REPEAT_2 BRANCH_START TANH BRANCH_SEP GELU BRANCH_SEP POOL_MAX MERGE_BLEND LOOP_END",
    ],
)
def test_a_body_may_pool_where_a_sequence_is_left(text):
    assert parse(text.split()).graph.type.time == "sequence"


def test_what_is_wanted_is_named_in_short():
    rows = tuple(
        dataclasses.replace(op, attributes=(Attribute(name="side", tokens={"LEFT": 0, "RIGHT": 1}),))
        if op.name == "SHIFT"
        else op
        for op in LANGUAGE.ops
    )
    for text, language, named in (
        ("SHIFT", Language(ops=rows), "the program ends before SHIFT has its LEFT or RIGHT"),
        (
            "SCAN_START OUT_DIM_IN TANH ADD",
            Language(num_taps=0),
            "the program ends before ADD has its STATE_*",
        ),
    ):
        with pytest.raises(BlueprintError) as caught:
            parse(text.split(), language)
        assert caught.value.reason == named


def test_an_unknown_rule_is_answered_with_the_known_ones():
    assert explanation("no-op").rule == "no-op"
    with pytest.raises(TamiyoError, match="no rule 'no-fun'; expected one of unknown-token, attr"):
        explanation("no-fun")


def test_the_caret_stands_under_the_fault_and_a_program_to_try_below():
    error = goldens.refusal(("LINEAR", "KERNEL_5"))
    shown = (
        "LINEAR KERNEL_5\n"
        "       ^^^^^^^^\n"
        "rule 'attribute-fits-op': KERNEL_5 (token 1) follows LINEAR, which takes OUT_DIM_* here; expected "
        "one of OUT_DIM_QUARTER, OUT_DIM_HALF, OUT_DIM_IN, OUT_DIM_DOUBLE, OUT_DIM_QUAD"
    )
    assert error.explain() == shown
    assert error.explain(("LINEAR", "OUT_DIM_IN")) == f"{shown}\ntry: LINEAR OUT_DIM_IN"


def test_a_text_is_not_read_letter_by_letter():
    with pytest.raises(TamiyoError, match="expected a sequence of tokens; read it with from_text"):
        parse("RES_START TANH RES_END")


def test_an_early_end_is_shown_behind_the_last_token():
    error = goldens.refusal(("RES_START", "TANH"))
    assert error.explain().splitlines()[:2] == ["RES_START TANH <end>", "               ^^^^^"]


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


def test_types_stand_in_one_column_in_bodies_too():
    inner = parse("LOOP_START REPEAT_2 SCAN_START OUT_DIM_IN TANH ADD STATE_1 SCAN_END LOOP_END".split())
    assert str(inner.graph).splitlines()[2:6] == [
        "  | %0   INPUT                                    [B, T, D]",
        "  | %1   SCAN width=1(%0)                         [B, T, D]",
        "  |   | %0   INPUT                                [B, 1, D]",
        "  |   | %1   STATE index=0                        [B, 1, D]",
    ]
    conv = "CONV1D KERNEL_3 CHANNELS_QUARTER DILATION_8 LINEAR OUT_DIM_IN"
    long = parse(f"LOOP_START REPEAT_2 LOOP_START REPEAT_2 {conv} LOOP_END LOOP_END".split())
    lines = str(long.graph).splitlines()
    assert "  |   | %1   CONV1D kernel=3 width=1/4 dilation=8(%0) [B, T, 1/4D]" in lines
    assert len({line.index("[B") for line in lines}) == 1


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


@pytest.mark.parametrize(
    "way",
    [
        "LOAD STATE_2 SAVE STATE_1 SAVE TAP_0",
        "LOAD STATE_2 RES_START SAVE TAP_0",
        "LOAD STATE_2 BRANCH_START RELU BRANCH_SEP SAVE TAP_0",
        "LOAD STATE_2 BRANCH_START RELU BRANCH_SEP SAVE STATE_2",
    ],
)
def test_a_state_finds_no_way_to_take_itself(way: str) -> None:
    with pytest.raises(BlueprintError) as caught:
        parse(["SCAN_START", "OUT_DIM_IN", *way.split()])
    assert caught.value.rule == "no-op"
