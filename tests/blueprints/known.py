"""Blueprints that show what random programs seldom have, and a language with an attribute of its own."""

from dataclasses import replace
from fractions import Fraction

from blueprints import HUMAN_BLUEPRINTS, Language, human, parse
from blueprints.ops import OPS, Attribute

#: Bodies in bodies, states, values that feed a node twice, optional attributes.
RARE = (
    "LOOP_START REPEAT_3 LINEAR OUT_DIM_IN RES_START LOOP_START REPEAT_2 TANH LOOP_END RES_END LOOP_END",
    "SCAN_START OUT_DIM_IN ADD STATE_0 TANH SAVE STATE_1 LINEAR OUT_DIM_IN MUL STATE_1 SCAN_END",
    "SCAN_START OUT_DIM_HALF LINEAR OUT_DIM_HALF BLEND STATE_1 STATE_2 SAVE STATE_2 SCAN_END "
    "LINEAR OUT_DIM_IN",
    "TANH SAVE TAP_0 SILU SAVE TAP_1 BLEND TAP_0 TAP_0 MUL TAP_1",
    "CONV1D KERNEL_3 CHANNELS_QUARTER DILATION_8 ATTENTION HEADS_2 FULL LINEAR OUT_DIM_IN POOL_LAST",
)
KNOWN = (*(parse(text.split()) for text in RARE), *(human(entry.name) for entry in HUMAN_BLUEPRINTS))

GAIN = Attribute(name="gain", tokens={"GAIN_TENTH": Fraction(1, 10), "GAIN_9": 9}, default=1)
#: A language in which TANH has a gain.
OWN = Language(tuple(replace(op, attributes=(GAIN,)) if op.name == "TANH" else op for op in OPS))
