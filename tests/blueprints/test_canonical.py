"""What canonical form drops, worked by hand, and ids as on record; its laws are in test_language_laws.py."""

import pytest

from blueprints import canonical_form, parse
from blueprints.graph import INPUT_NODE, Graph, Node
from blueprints.types import INPUT_TYPE


def chain(*ops: str) -> Graph:
    nodes = (Node(op, (), (index,), INPUT_TYPE) for index, op in enumerate(ops))
    return Graph((INPUT_NODE, *nodes))


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("RELU RELU", "RELU"),
        ("SOFTPLUS LEAKY_RELU ELU LEAKY_RELU TANH", "SOFTPLUS TANH"),
        ("TANH RELU GELU RELU", "TANH RELU GELU RELU"),
        ("ABS RELU RELU ABS SIN", "ABS SIN"),
        ("LAYERNORM LAYERNORM", "LAYERNORM LAYERNORM"),
    ],
)
def test_ops_in_vain_are_dropped_however_many_follow_one_another(written, kept):
    assert [node.op for node in canonical_form(chain(*written.split())).nodes[1:]] == kept.split()


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("RES_START CONV1D KERNEL_5 CHANNELS_IN GELU LINEAR OUT_DIM_IN RES_END", "b59a5e168a77"),
        ("BRANCH_START SILU BRANCH_SEP TANH LINEAR OUT_DIM_IN MERGE_MUL", "c593d3c2d88f"),
        ("LOOP_START REPEAT_3 LINEAR OUT_DIM_IN TANH LOOP_END ATTENTION HEADS_2", "8a0941770b4b"),
        (
            "SCAN_START OUT_DIM_IN ADD STATE_1 TANH SAVE STATE_2 BLEND STATE_1 STATE_2 SCAN_END",
            "649e6926a327",
        ),
    ],
)
def test_ids_are_those_on_record(text, start):
    assert parse(text.split()).id.startswith(start)
