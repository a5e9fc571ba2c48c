"""A language with further ratios of D: its tokens, what they mean, and which ratios are refused."""

from fractions import Fraction

import pytest
import torch

from blueprints import (
    LANGUAGE,
    Language,
    TamiyoError,
    compile_blueprint,
    num_parameters,
    parse,
    to_tokens,
    verify,
)
from blueprints.types import WIDTHS

WIDER = Language(widths={**WIDTHS, "SESQUI": Fraction(3, 2)})
PROGRAM = "SCAN_START OUT_DIM_SESQUI LINEAR OUT_DIM_SESQUI ADD STATE_0 SCAN_END CONV1D KERNEL_3 CHANNELS_IN"


def test_every_attribute_named_width_and_the_scan_have_the_further_ratio():
    new = set(WIDER.tokens) - set(LANGUAGE.tokens)
    assert new == {"OUT_DIM_SESQUI", "CHANNELS_SESQUI"}
    assert WIDER.settings["SCAN_START"].tokens["OUT_DIM_SESQUI"] == Fraction(3, 2)
    assert LANGUAGE.settings["SCAN_START"].tokens.keys() == {f"OUT_DIM_{name}" for name in WIDTHS}


def test_a_program_with_a_further_ratio_parses_prints_and_computes():
    blueprint = parse(PROGRAM.split(), WIDER)
    verify(blueprint.graph, WIDER)
    assert to_tokens(blueprint.graph, WIDER) == blueprint.tokens
    module = compile_blueprint(blueprint, 16, WIDER)
    assert module.ops[0](torch.zeros(2, 3, 16)).shape == (2, 3, 24)
    assert num_parameters(blueprint.graph, 16, WIDER) == sum(p.numel() for p in module.parameters())


def test_the_version_follows_names_and_ratios():
    other = Language(widths={**WIDTHS, "SESQUI": Fraction(5, 4)})
    assert len({LANGUAGE.version_hash, WIDER.version_hash, other.version_hash}) == 3
    assert Language(widths=dict(WIDTHS)).version_hash == LANGUAGE.version_hash


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widths": {"THIRD": Fraction(1, 3)}}, "OUT_DIM_THIRD is 1/3 of D; expected a multiple of 1/16"),
        ({"widths": {"NONE": Fraction(0)}}, "OUT_DIM_NONE is 0 of D"),
        ({"max_width": Fraction(2)}, "OUT_DIM_QUAD is 4 of D; .* at most the max_width of 2"),
    ],
)
def test_a_ratio_that_no_host_could_hold_is_refused(settings, message):
    with pytest.raises(TamiyoError, match=message):
        Language(**settings)
