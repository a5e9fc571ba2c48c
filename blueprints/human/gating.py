"""Human blueprints that multiply one value by another: linear units, channel attention, highways."""

from blueprints.human.entry import HumanBlueprint

GATING: tuple[HumanBlueprint, ...] = (
    HumanBlueprint(
        "squeeze_excitation",
        "gating",
        "Hu et al. 2018",
        "GATE_START POOL_MEAN LINEAR OUT_DIM_QUARTER RELU LINEAR OUT_DIM_IN GATE_END",
    ),
    HumanBlueprint(
        "global_context",
        "gating",
        "Cao et al. 2019",
        "RES_START POOL_MEAN LINEAR OUT_DIM_QUARTER LAYERNORM RELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "glu",
        "gating",
        "Dauphin et al. 2017",
        "BRANCH_START LINEAR OUT_DIM_IN BRANCH_SEP LINEAR OUT_DIM_IN SIGMOID MERGE_MUL",
    ),
    HumanBlueprint(
        "geglu",
        "gating",
        "Shazeer 2020",
        "BRANCH_START LINEAR OUT_DIM_DOUBLE BRANCH_SEP LINEAR OUT_DIM_DOUBLE GELU MERGE_MUL "
        "LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "swiglu",
        "gating",
        "Shazeer 2020",
        "BRANCH_START LINEAR OUT_DIM_DOUBLE BRANCH_SEP LINEAR OUT_DIM_DOUBLE SILU MERGE_MUL "
        "LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "residual_swiglu",
        "gating",
        "Touvron et al. 2023",
        "RES_START LAYERNORM BRANCH_START LINEAR OUT_DIM_DOUBLE BRANCH_SEP LINEAR OUT_DIM_DOUBLE SILU "
        "MERGE_MUL LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "self_gate",
        "gating",
        "Srivastava et al. 2015, without its carry gate",
        "GATE_START LINEAR OUT_DIM_IN GATE_END",
    ),
    HumanBlueprint(
        "gated_tanh",
        "gating",
        "van den Oord et al. 2016",
        "BRANCH_START CONV1D KERNEL_3 CHANNELS_IN TANH BRANCH_SEP CONV1D KERNEL_3 CHANNELS_IN "
        "SIGMOID MERGE_MUL",
    ),
    HumanBlueprint(
        "temporal_film",
        "gating",
        "Perez et al. 2018; Birnbaum et al. 2019, with a gate for its scale",
        "GATE_START POOL_MAX LINEAR OUT_DIM_IN GATE_END RES_START POOL_MEAN LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "film",
        "gating",
        "Perez et al. 2018, conditioned on the sequence's own mean",
        "SAVE TAP_0 POOL_MEAN SAVE TAP_1 LINEAR OUT_DIM_IN MUL TAP_0 SAVE TAP_0 LOAD TAP_1 "
        "LINEAR OUT_DIM_IN ADD TAP_0",
    ),
    HumanBlueprint(
        "reglu",
        "gating",
        "Shazeer 2020",
        "BRANCH_START LINEAR OUT_DIM_DOUBLE BRANCH_SEP LINEAR OUT_DIM_DOUBLE RELU MERGE_MUL "
        "LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "bilinear_glu",
        "gating",
        "Shazeer 2020; Mnih and Hinton 2007",
        "BRANCH_START LINEAR OUT_DIM_DOUBLE BRANCH_SEP LINEAR OUT_DIM_DOUBLE MERGE_MUL LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "highway",
        "gating",
        "Srivastava et al. 2015",
        "BRANCH_START LINEAR OUT_DIM_IN SIGMOID BRANCH_SEP LINEAR OUT_DIM_IN RELU BRANCH_SEP MERGE_BLEND",
    ),
    HumanBlueprint(
        "char_highway",
        "gating",
        "Kim et al. 2016, one kernel size and no pool",
        "CONV1D KERNEL_5 CHANNELS_IN TANH BRANCH_START LINEAR OUT_DIM_IN SIGMOID BRANCH_SEP "
        "LINEAR OUT_DIM_IN RELU BRANCH_SEP MERGE_BLEND",
    ),
    HumanBlueprint(
        "gated_residual_network",
        "gating",
        "Lim et al. 2021",
        "RES_START LINEAR OUT_DIM_IN ELU LINEAR OUT_DIM_IN BRANCH_START LINEAR OUT_DIM_IN BRANCH_SEP "
        "LINEAR OUT_DIM_IN SIGMOID MERGE_MUL RES_END LAYERNORM",
    ),
    HumanBlueprint(
        "gather_excite",
        "gating",
        "Hu et al. 2018, gather-excite without parameters",
        "GATE_START POOL_MEAN GATE_END",
    ),
    HumanBlueprint(
        "eca_like",
        "gating",
        "Wang et al. 2020, with a full map for its convolution across channels",
        "GATE_START POOL_MEAN LINEAR OUT_DIM_IN GATE_END",
    ),
    HumanBlueprint(
        "cbam_like",
        "gating",
        "Woo et al. 2018, one MLP on the sum of the pools and a depthwise gate over time",
        "GATE_START BRANCH_START POOL_MEAN BRANCH_SEP POOL_MAX MERGE_ADD LINEAR OUT_DIM_QUARTER RELU "
        "LINEAR OUT_DIM_IN GATE_END GATE_START DWCONV1D KERNEL_7 GATE_END",
    ),
    HumanBlueprint(
        "selective_kernel",
        "gating",
        "Li et al. 2019",
        "SAVE TAP_0 CONV1D KERNEL_3 CHANNELS_IN RELU SAVE TAP_1 LOAD TAP_0 "
        "CONV1D KERNEL_3 CHANNELS_IN DILATION_2 RELU SAVE TAP_2 ADD TAP_1 POOL_MEAN "
        "LINEAR OUT_DIM_HALF RELU LINEAR OUT_DIM_IN SIGMOID BLEND TAP_1 TAP_2",
    ),
)
