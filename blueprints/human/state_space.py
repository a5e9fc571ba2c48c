"""Human blueprints around linear recurrences: state-space models, gated scans, token shifts."""

from blueprints.human.entry import HumanBlueprint

STATE_SPACE: tuple[HumanBlueprint, ...] = (
    HumanBlueprint(
        "min_gru", "state space", "Feng et al. 2024; Martin and Cundy 2018", "DIAGONAL_SCAN GATE_UNIT"
    ),
    HumanBlueprint(
        "min_gru_block",
        "state space",
        "Feng et al. 2024, with a kernel of three for four",
        "RES_START RMSNORM DWCONV1D KERNEL_3 RES_END RES_START RMSNORM DIAGONAL_SCAN GATE_UNIT RES_END "
        "RES_START RMSNORM LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "sru",
        "state space",
        "Lei et al. 2018, without recurrent weights in its gates",
        "BRANCH_START LINEAR OUT_DIM_IN SIGMOID BRANCH_SEP DIAGONAL_SCAN GATE_UNIT BRANCH_SEP MERGE_BLEND",
    ),
    HumanBlueprint(
        "mamba_block",
        "state space",
        "Gu and Dao 2023, one state a feature, with a gate for its step size, B and C",
        "RES_START RMSNORM BRANCH_START LINEAR OUT_DIM_DOUBLE DWCONV1D KERNEL_3 SILU DIAGONAL_SCAN GATE_UNIT "
        "BRANCH_SEP LINEAR OUT_DIM_DOUBLE SILU MERGE_MUL LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "selective_ssm",
        "state space",
        "Gu and Dao 2023, one state a feature, D = 1, without norm and residual",
        "BRANCH_START LINEAR OUT_DIM_DOUBLE DWCONV1D KERNEL_3 SILU SCAN_START OUT_DIM_DOUBLE RES_START "
        "BRANCH_START LINEAR OUT_DIM_DOUBLE BRANCH_SEP SAVE TAP_0 LINEAR OUT_DIM_DOUBLE MUL TAP_0 SAVE "
        "TAP_1 LOAD TAP_0 LINEAR OUT_DIM_DOUBLE BRANCH_START SCALE SIGMOID MUL STATE_1 BRANCH_SEP SOFTPLUS "
        "MUL TAP_1 MERGE_ADD SAVE STATE_1 MERGE_MUL RES_END SCAN_END BRANCH_SEP LINEAR OUT_DIM_DOUBLE SILU "
        "MERGE_MUL LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "s4d_like",
        "state space",
        "Gu et al. 2022, on diagonal state spaces, real and with a gate that the input sets",
        "RES_START LAYERNORM DIAGONAL_SCAN GATE_SIGNED GELU BRANCH_START LINEAR OUT_DIM_IN BRANCH_SEP "
        "LINEAR OUT_DIM_IN SIGMOID MERGE_MUL RES_END",
    ),
    HumanBlueprint(
        "signed_scan_block",
        "state space",
        "Grazzi et al. 2024",
        "RES_START RMSNORM DIAGONAL_SCAN GATE_SIGNED LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "linear_rnn_block",
        "state space",
        "Orvieto et al. 2023, with real gains that start at one and a second norm",
        "RES_START LAYERNORM SCAN_START OUT_DIM_IN LINEAR OUT_DIM_IN SAVE TAP_0 LOAD STATE_0 SCALE ADD "
        "TAP_0 SCAN_END LAYERNORM BRANCH_START LINEAR OUT_DIM_IN BRANCH_SEP LINEAR OUT_DIM_IN SIGMOID "
        "MERGE_MUL RES_END",
    ),
    HumanBlueprint(
        "griffin_block",
        "state space",
        "De et al. 2024, with a kernel of three for four",
        "RES_START RMSNORM BRANCH_START LINEAR OUT_DIM_IN GELU BRANCH_SEP LINEAR OUT_DIM_IN DWCONV1D "
        "KERNEL_3 DIAGONAL_SCAN GATE_UNIT MERGE_MUL LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "hgrn_block",
        "state space",
        "Qin et al. 2023, real, without lower bounds on its gates",
        "RES_START LAYERNORM BRANCH_START DIAGONAL_SCAN GATE_UNIT LAYERNORM BRANCH_SEP LINEAR OUT_DIM_IN "
        "SIGMOID MERGE_MUL LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "h3_block",
        "state space",
        "Fu et al. 2023, with a short filter for its shift and a gate for its diagonal state space",
        "RES_START LAYERNORM BRANCH_START LINEAR OUT_DIM_IN BRANCH_SEP BRANCH_START LINEAR OUT_DIM_IN "
        "DWCONV1D KERNEL_3 BRANCH_SEP LINEAR OUT_DIM_IN MERGE_MUL DIAGONAL_SCAN GATE_UNIT MERGE_MUL "
        "LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "hyena_like",
        "state space",
        "Poli et al. 2023, one recursion, with a dilated filter of seven taps for its long one",
        "RES_START LAYERNORM BRANCH_START LINEAR OUT_DIM_IN DWCONV1D KERNEL_3 BRANCH_SEP BRANCH_START "
        "LINEAR OUT_DIM_IN DWCONV1D KERNEL_3 BRANCH_SEP LINEAR OUT_DIM_IN DWCONV1D KERNEL_3 MERGE_MUL "
        "DWCONV1D KERNEL_7 DILATION_4 MERGE_MUL LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "jamba_block",
        "state space",
        "Lieber et al. 2024, one layer of each kind",
        "RES_START RMSNORM BRANCH_START LINEAR OUT_DIM_DOUBLE DWCONV1D KERNEL_3 SILU DIAGONAL_SCAN GATE_UNIT "
        "BRANCH_SEP LINEAR OUT_DIM_DOUBLE SILU MERGE_MUL LINEAR OUT_DIM_IN RES_END "
        "RES_START RMSNORM ATTENTION HEADS_4 RES_END "
        "RES_START RMSNORM LINEAR OUT_DIM_DOUBLE SILU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "rwkv_time_mixing",
        "state space",
        "Peng et al. 2023, with a gated scan for its weighted sum",
        "RES_START LAYERNORM SAVE TAP_0 SHIFT BRANCH_START SCALE ADD TAP_0 LINEAR OUT_DIM_IN SIGMOID "
        "BRANCH_SEP SCALE ADD TAP_0 DIAGONAL_SCAN GATE_UNIT MERGE_MUL LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "rwkv_channel_mixing",
        "state space",
        "Peng et al. 2023, with gains of the shifted step alone",
        "RES_START LAYERNORM SAVE TAP_0 SHIFT BRANCH_START SCALE ADD TAP_0 LINEAR OUT_DIM_IN SIGMOID "
        "BRANCH_SEP SCALE ADD TAP_0 LINEAR OUT_DIM_QUAD SQUARE_RELU LINEAR OUT_DIM_IN MERGE_MUL RES_END",
    ),
)
