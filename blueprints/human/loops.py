"""Human blueprints that apply one body several times with the same weights."""

from blueprints.human.entry import HumanBlueprint

LOOPS: tuple[HumanBlueprint, ...] = (
    HumanBlueprint(
        "universal_transformer",
        "loop",
        "Dehghani et al. 2019, three steps, without signals of time and depth",
        "LOOP_START REPEAT_3 RES_START ATTENTION HEADS_4 FULL RES_END LAYERNORM "
        "RES_START LINEAR OUT_DIM_DOUBLE RELU LINEAR OUT_DIM_IN RES_END LAYERNORM LOOP_END",
    ),
    HumanBlueprint(
        "albert_block",
        "loop",
        "Lan et al. 2020, two layers",
        "LOOP_START REPEAT_2 RES_START ATTENTION HEADS_4 FULL RES_END LAYERNORM "
        "RES_START LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN RES_END LAYERNORM LOOP_END",
    ),
    HumanBlueprint(
        "looped_transformer",
        "loop",
        "Giannou et al. 2023",
        "LOOP_START REPEAT_2 RES_START LAYERNORM ATTENTION HEADS_4 RES_END "
        "RES_START LAYERNORM LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN RES_END LOOP_END",
    ),
    HumanBlueprint(
        "unrolled_equilibrium",
        "loop",
        "Bai et al. 2019, four steps, with the input at the start alone",
        "LOOP_START REPEAT_4 RES_START LINEAR OUT_DIM_DOUBLE RELU LINEAR OUT_DIM_IN RES_END LAYERNORM "
        "LOOP_END",
    ),
    HumanBlueprint(
        "ode_block",
        "loop",
        "Chen et al. 2018, four Euler steps, with a learned step size for each feature",
        "LOOP_START REPEAT_4 RES_START LINEAR OUT_DIM_IN TANH LINEAR OUT_DIM_IN SCALE RES_END LOOP_END",
    ),
    HumanBlueprint(
        "looped_highway",
        "loop",
        "Srivastava et al. 2015, three layers that share their weights",
        "LOOP_START REPEAT_3 BRANCH_START LINEAR OUT_DIM_IN SIGMOID BRANCH_SEP LINEAR OUT_DIM_IN TANH "
        "BRANCH_SEP MERGE_BLEND LOOP_END",
    ),
    HumanBlueprint(
        "neural_gpu",
        "loop",
        "Kaiser and Sutskever 2016, three steps, causal",
        "LOOP_START REPEAT_3 BRANCH_START CONV1D KERNEL_3 CHANNELS_IN SIGMOID BRANCH_SEP BRANCH_SEP "
        "GATE_START CONV1D KERNEL_3 CHANNELS_IN GATE_END CONV1D KERNEL_3 CHANNELS_IN TANH MERGE_BLEND "
        "LOOP_END",
    ),
)
