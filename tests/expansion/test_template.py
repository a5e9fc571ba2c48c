"""The template decides by the blueprint's graph; its units fit their interfaces and one another."""

import ast
from pathlib import Path

import pytest
from architectures import brief_of, run_in

from blueprints import human, num_parameters, parse
from tamiyo.expansion.assembly import expand_by
from tamiyo.expansion.interfaces import UNIT_INTERFACES
from tamiyo.expansion.plan import parse_plan, plan_text
from tamiyo.expansion.records import TARGETS, UNITS, ExpansionError, TargetName
from tamiyo.expansion.targets import target_named
from tamiyo.expansion.template import (
    TemplateDesigner,
    carries_input,
    mixes_steps,
    needs_bounds,
    normalises_input,
    unit_path,
)


@pytest.mark.parametrize(
    ("program", "carries", "normalises", "mixes"),
    [
        ("LINEAR OUT_DIM_IN", False, False, False),
        ("LAYERNORM LINEAR OUT_DIM_IN", False, True, False),
        ("RES_START LINEAR OUT_DIM_IN RES_END", True, False, False),
        ("RES_START RMSNORM GRU RES_END", True, True, True),
        ("RES_START RMSNORM GRU RES_END LAYERNORM", False, True, True),
        ("RES_START RMSNORM GRU RES_END LINEAR OUT_DIM_IN", False, False, True),
        ("RES_START RMSNORM GRU RES_END RES_START TANH RES_END", True, False, True),
        ("RES_START GRU LAYERNORM RES_END", True, False, True),
        ("LOOP_START REPEAT_2 RES_START LAYERNORM LINEAR OUT_DIM_IN RES_END LOOP_END", True, True, False),
        ("LOOP_START REPEAT_2 RES_START LINEAR OUT_DIM_IN RES_END LOOP_END", True, False, False),
        ("LOOP_START REPEAT_2 LAYERNORM LINEAR OUT_DIM_IN LOOP_END", False, False, False),
        ("GATE_START POOL_MEAN LINEAR OUT_DIM_IN GATE_END", False, False, True),
        ("RES_START LAYERNORM POOL_MEAN RES_END", True, True, True),
    ],
)
def test_the_graph_tells_what_stands_around_the_block(
    program: str, carries: bool, normalises: bool, mixes: bool
) -> None:
    graph = parse(program.split()).graph
    assert (carries_input(graph), normalises_input(graph), mixes_steps(graph)) == (carries, normalises, mixes)


def test_a_block_that_mixes_steps_is_given_columns_and_any_other_the_row() -> None:
    assert unit_path("embedding", "tabular", human("gru").graph) == "columns_embedding.py"
    assert unit_path("embedding", "tabular", human("swiglu").graph) == "embedding.py"
    assert unit_path("embedding", "char_lm", human("gru").graph) == "embedding.py"


GROWING = (
    "MISH LINEAR OUT_DIM_IN LOOP_START REPEAT_3 LOOP_START REPEAT_2 SCALE DWCONV1D KERNEL_5 ABS RES_START "
    "LAYERNORM SQUARE_RELU MISH RES_END LOOP_END LOOP_END",
    "SCAN_START OUT_DIM_DOUBLE LAYERNORM SOFTPLUS LINEAR OUT_DIM_IN SOFTPLUS TANH LOAD STATE_2 SCALE MISH "
    "BRANCH_START SILU RES_START SILU SOFTPLUS SOFTPLUS RES_END BRANCH_SEP MERGE_ADD SCAN_END LINEAR "
    "OUT_DIM_IN",
    "POOL_MEAN GATE_START LOOP_START REPEAT_4 BRANCH_START RELU SQUARE_RELU BRANCH_START BRANCH_START TANH "
    "TANH SILU SIGMOID SIGMOID BRANCH_SEP MERGE_ADD BRANCH_SEP MERGE_MUL BRANCH_SEP MERGE_MUL LOOP_END "
    "GATE_END",
)


@pytest.mark.parametrize("program", GROWING)
def test_a_block_whose_values_grow_is_bounded(program: str) -> None:
    graph = parse(program.split()).graph
    for target in ("tabular", "sequence_classifier"):
        assert unit_path("layer", target, graph) == "bounded_layer.py"
    brief = brief_of(parse(program.split()), "tabular")
    assert TemplateDesigner().plan(brief).normalisation == "layernorm"


@pytest.mark.parametrize("program", GROWING)
@pytest.mark.parametrize("target", ["tabular", "sequence_classifier"])
def test_a_bounded_block_learns_with_finite_gradients(
    program: str, target: TargetName, tmp_path: Path
) -> None:
    files = expand_by(TemplateDesigner(), brief_of(parse(program.split()), target), {})
    for path, content in files.items():
        (tmp_path / path).write_bytes(content)
    done = run_in(tmp_path, "test_model.py", "ModelTest.test_gradients_are_finite")
    assert done.returncode == 0, done.stderr


def test_most_blocks_of_people_need_no_bounds() -> None:
    for name in ("residual_mlp", "swiglu", "gru", "transformer_block", "tcn_block", "mamba_block"):
        assert not needs_bounds(human(name).graph, target_named("char_lm"))


def test_a_block_with_its_own_residual_gets_the_layer_that_adds_it_once() -> None:
    assert unit_path("layer", "tabular", human("residual_mlp").graph) == "carrying_layer.py"
    assert unit_path("layer", "tabular", human("mlp").graph) == "layer.py"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["residual_mlp", "gru", "transformer_block"])
def test_units_define_what_their_interface_names(name: str, target: TargetName) -> None:
    designer, brief = TemplateDesigner(), brief_of(human(name), target)
    plan = designer.plan(brief)
    for unit in UNITS:
        wanted = UNIT_INTERFACES[unit].split("(")[0].split()
        defined = {
            (type(node).__name__, node.name)
            for node in ast.parse(designer.unit(brief, plan, unit)).body
            if isinstance(node, ast.ClassDef | ast.FunctionDef)
        }
        assert ({"class": "ClassDef", "def": "FunctionDef"}[wanted[0]], wanted[1]) in defined


@pytest.mark.parametrize("target", TARGETS)
def test_a_plan_meets_the_schema(target: TargetName) -> None:
    plan = TemplateDesigner().plan(brief_of(human("gru"), target))
    assert parse_plan(plan_text(plan), target) == plan


def test_plans_shrink_until_they_are_within_the_budget() -> None:
    blueprint = human("transformer_block")
    sizes = [
        (plan.depth, plan.width)
        for budget in (5_000_000, 150_000, 40_000, 10_000)
        for plan in [TemplateDesigner().plan(brief_of(blueprint, "char_lm", max_parameters=budget))]
    ]
    assert sizes == [(4, 64), (2, 64), (2, 32), (1, 16)]


def test_a_budget_below_the_smallest_plan_is_refused() -> None:
    with pytest.raises(ExpansionError, match=r"rule 'parameter-budget': the smallest plan has .* is 1,000"):
        TemplateDesigner().plan(brief_of(human("gru"), "tabular", max_parameters=1000))


def test_a_blueprint_that_does_not_fit_is_refused_before_anything_is_planned() -> None:
    with pytest.raises(ExpansionError, match="rule 'not-causal'"):
        TemplateDesigner().plan(brief_of(human("bert_block"), "char_lm"))


def test_expensive_blueprints_get_a_small_model() -> None:
    program = "LOOP_START REPEAT_4 LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN LOOP_END"
    blueprint = parse(program.split())
    plan = TemplateDesigner().plan(brief_of(blueprint, "char_lm"))
    assert (plan.depth, plan.width) == (2, 64)
    assert num_parameters(blueprint.graph, 64) * 4 < 5_000_000
