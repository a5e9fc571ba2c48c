"""Blocks that overflow are run quietly or in short stretches; others as they are, and the checks agree."""

import pytest
from checking import DESIGNER, TOKENS, brief_for, examined, folder_of

from blueprints.parser import parse
from tamiyo.expansion.records import TargetName
from tamiyo.expansion.steadying import Steadiness, steadiness
from tamiyo.sandbox.contract import Sandbox

#: Each step of this recurrence is a multiple of the last.
GROWING = (
    *("ABS", "SCAN_START", "OUT_DIM_DOUBLE", "CONCAT", "STATE_0", "GELU", "HARD_SWISH", "LINEAR"),
    *("OUT_DIM_DOUBLE", "SIN", "RES_START", "LOAD", "STATE_0", "LOOP_START", "REPEAT_3", "SCALE", "SAVE"),
    *("TAP_1", "RES_START", "GELU", "RES_END", "LOOP_END", "RES_END", "SCAN_END", "LINEAR", "OUT_DIM_IN"),
)
#: Four times the square of what it reads, multiplied by more of itself.
SQUARING = (
    *("POOL_MEAN", "GATE_START", "LOOP_START", "REPEAT_4", "BRANCH_START", "RELU", "SQUARE_RELU"),
    *("BRANCH_START", "BRANCH_START", "TANH", "TANH", "SILU", "SIGMOID", "SIGMOID", "BRANCH_SEP"),
    *("MERGE_ADD", "BRANCH_SEP", "MERGE_MUL", "BRANCH_SEP", "MERGE_MUL", "LOOP_END", "GATE_END"),
)


def test_a_block_that_stays_in_bounds_is_run_as_it_is() -> None:
    assert steadiness(parse(TOKENS).graph, 64, 64) == Steadiness(factor=1.0, stretch=64)
    brief = brief_for("char_lm")
    assert "STRETCH" not in DESIGNER.unit(brief, DESIGNER.plan(brief), "layer")


def test_a_recurrence_that_grows_sees_short_stretches() -> None:
    way = steadiness(parse(GROWING).graph, 64, 64)
    assert way.factor == 1.0
    assert way.stretch < 64


def test_a_block_that_squares_itself_reads_a_smaller_input() -> None:
    way = steadiness(parse(SQUARING).graph, 64, 32)
    assert way.factor < 1.0
    assert way.stretch == 32


@pytest.mark.parametrize(
    ("tokens", "target"),
    [(GROWING, "char_lm"), (SQUARING, "sequence_classifier")],
    ids=["growing", "squaring"],
)
def test_an_architecture_around_a_block_that_overflows_passes_every_check(
    tokens: tuple[str, ...], target: TargetName, sandbox: Sandbox
) -> None:
    brief = brief_for(target, tokens)
    files = folder_of(brief)
    assert b"STRETCH" in files["layer.py"]
    verdict = examined(sandbox, files, brief)
    assert verdict.is_passed, verdict.failure
