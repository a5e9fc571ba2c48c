"""Human blueprints with attention, whole Transformer blocks among them, and with mixers in its place."""

from blueprints.human.entry import HumanBlueprint

ATTENTION: tuple[HumanBlueprint, ...] = (
    HumanBlueprint("self_attention", "attention", "Vaswani et al. 2017, causal", "ATTENTION HEADS_4"),
    HumanBlueprint(
        "mini_attention",
        "attention",
        "Vaswani et al. 2017; Xiong et al. 2020",
        "RES_START LAYERNORM ATTENTION HEADS_1 RES_END",
    ),
    HumanBlueprint(
        "nonlocal_block", "attention", "Wang et al. 2018", "RES_START ATTENTION HEADS_1 FULL RES_END"
    ),
    HumanBlueprint(
        "transformer_block",
        "attention",
        "Radford et al. 2019",
        "RES_START LAYERNORM ATTENTION HEADS_4 RES_END "
        "RES_START LAYERNORM LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "transformer_encoder_block",
        "attention",
        "Xiong et al. 2020; Dosovitskiy et al. 2021",
        "RES_START LAYERNORM ATTENTION HEADS_4 FULL RES_END "
        "RES_START LAYERNORM LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "postnorm_encoder_block",
        "attention",
        "Vaswani et al. 2017",
        "RES_START ATTENTION HEADS_4 FULL RES_END LAYERNORM "
        "RES_START LINEAR OUT_DIM_QUAD RELU LINEAR OUT_DIM_IN RES_END LAYERNORM",
    ),
    HumanBlueprint(
        "postnorm_decoder_block",
        "attention",
        "Vaswani et al. 2017; Liu et al. 2018, without a second sequence to attend to",
        "RES_START ATTENTION HEADS_4 RES_END LAYERNORM "
        "RES_START LINEAR OUT_DIM_QUAD RELU LINEAR OUT_DIM_IN RES_END LAYERNORM",
    ),
    HumanBlueprint(
        "bert_block",
        "attention",
        "Devlin et al. 2019",
        "RES_START ATTENTION HEADS_4 FULL RES_END LAYERNORM "
        "RES_START LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN RES_END LAYERNORM",
    ),
    HumanBlueprint(
        "parallel_block",
        "attention",
        "Wang and Komatsuzaki 2021, GPT-J, without rotary positions",
        "RES_START LAYERNORM BRANCH_START ATTENTION HEADS_4 BRANCH_SEP "
        "LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN MERGE_ADD RES_END",
    ),
    HumanBlueprint(
        "palm_block",
        "attention",
        "Chowdhery et al. 2022, with a key for every head and without rotary positions",
        "RES_START LAYERNORM BRANCH_START ATTENTION HEADS_4 BRANCH_SEP BRANCH_START LINEAR OUT_DIM_DOUBLE "
        "BRANCH_SEP LINEAR OUT_DIM_DOUBLE SILU MERGE_MUL LINEAR OUT_DIM_IN MERGE_ADD RES_END",
    ),
    HumanBlueprint(
        "llama_block",
        "attention",
        "Touvron et al. 2023, without rotary positions",
        "RES_START RMSNORM ATTENTION HEADS_4 RES_END RES_START RMSNORM BRANCH_START LINEAR OUT_DIM_DOUBLE "
        "BRANCH_SEP LINEAR OUT_DIM_DOUBLE SILU MERGE_MUL LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "primer_block",
        "attention",
        "So et al. 2021, with its convolution before the projections",
        "RES_START LAYERNORM DWCONV1D KERNEL_3 ATTENTION HEADS_4 RES_END "
        "RES_START LAYERNORM LINEAR OUT_DIM_QUAD SQUARE_RELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "sandwich_norm_block",
        "attention",
        "Ding et al. 2021",
        "RES_START LAYERNORM ATTENTION HEADS_4 LAYERNORM RES_END "
        "RES_START LAYERNORM LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN LAYERNORM RES_END",
    ),
    HumanBlueprint(
        "cait_block",
        "attention",
        "Touvron et al. 2021, with gains that start at one",
        "RES_START LAYERNORM ATTENTION HEADS_4 FULL SCALE RES_END "
        "RES_START LAYERNORM LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN SCALE RES_END",
    ),
    HumanBlueprint(
        "gated_transformer_block",
        "attention",
        "Parisotto et al. 2020, its highway gate on the attention alone",
        "BRANCH_START LINEAR OUT_DIM_IN SIGMOID BRANCH_SEP BRANCH_SEP LAYERNORM ATTENTION HEADS_4 RELU "
        "MERGE_BLEND RES_START LAYERNORM LINEAR OUT_DIM_QUAD RELU LINEAR OUT_DIM_IN RELU RES_END",
    ),
    HumanBlueprint(
        "macaron_block",
        "attention",
        "Lu et al. 2019, pre-norm, causal, with learned gains for its halves",
        "RES_START LAYERNORM LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN SCALE RES_END "
        "RES_START LAYERNORM ATTENTION HEADS_4 RES_END "
        "RES_START LAYERNORM LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN SCALE RES_END",
    ),
    HumanBlueprint(
        "conformer_block",
        "attention",
        "Gulati et al. 2020, causal, with learned gains for its halves and layer norm for batch norm",
        "RES_START LAYERNORM LINEAR OUT_DIM_DOUBLE SILU LINEAR OUT_DIM_IN SCALE RES_END "
        "RES_START LAYERNORM ATTENTION HEADS_4 RES_END "
        "RES_START LAYERNORM BRANCH_START LINEAR OUT_DIM_IN BRANCH_SEP LINEAR OUT_DIM_IN SIGMOID MERGE_MUL "
        "DWCONV1D KERNEL_7 LAYERNORM SILU LINEAR OUT_DIM_IN RES_END "
        "RES_START LAYERNORM LINEAR OUT_DIM_DOUBLE SILU LINEAR OUT_DIM_IN SCALE RES_END LAYERNORM",
    ),
    HumanBlueprint(
        "lite_transformer_block",
        "attention",
        "Wu et al. 2020, with linear maps for its split of the features",
        "RES_START LAYERNORM BRANCH_START LINEAR OUT_DIM_HALF ATTENTION HEADS_2 BRANCH_SEP "
        "LINEAR OUT_DIM_HALF DWCONV1D KERNEL_7 MERGE_CONCAT RES_END "
        "RES_START LAYERNORM LINEAR OUT_DIM_QUAD RELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "linear_attention",
        "attention",
        "Katharopoulos et al. 2020, with a decay and unit queries and keys for its feature map",
        "RES_START LAYERNORM HEBBIAN LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "linear_transformer_block",
        "attention",
        "Katharopoulos et al. 2020; Schlag et al. 2021, with a decay for its delta rule",
        "RES_START LAYERNORM HEBBIAN LINEAR OUT_DIM_IN RES_END "
        "RES_START LAYERNORM LINEAR OUT_DIM_QUAD RELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "retention_block",
        "attention",
        "Sun et al. 2023, one head, with unit queries and keys",
        "RES_START LAYERNORM BRANCH_START HEBBIAN LAYERNORM BRANCH_SEP LINEAR OUT_DIM_IN SILU MERGE_MUL "
        "LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "mixer_like",
        "mixer",
        "Tolstikhin et al. 2021, with depthwise convolutions for its MLP over time",
        "RES_START LAYERNORM DWCONV1D KERNEL_7 GELU DWCONV1D KERNEL_7 RES_END "
        "RES_START LAYERNORM LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "gmlp_block",
        "mixer",
        "Liu et al. 2021, with a depthwise convolution for its map over time",
        "RES_START LAYERNORM BRANCH_START LINEAR OUT_DIM_DOUBLE GELU BRANCH_SEP LINEAR OUT_DIM_DOUBLE GELU "
        "LAYERNORM DWCONV1D KERNEL_7 MERGE_MUL LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "amlp_block",
        "mixer",
        "Liu et al. 2021, its tiny attention beside the gate",
        "RES_START LAYERNORM SAVE TAP_0 ATTENTION HEADS_1 SAVE TAP_1 LOAD TAP_0 BRANCH_START "
        "LINEAR OUT_DIM_IN GELU BRANCH_SEP LINEAR OUT_DIM_IN GELU LAYERNORM DWCONV1D KERNEL_7 ADD TAP_1 "
        "MERGE_MUL LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "poolformer_block",
        "mixer",
        "Yu et al. 2022, with a pool over the whole sequence",
        "RES_START LAYERNORM POOL_MEAN RES_END "
        "RES_START LAYERNORM LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN RES_END",
    ),
)
