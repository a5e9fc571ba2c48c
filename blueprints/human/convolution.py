"""Human blueprints built around causal convolutions over time."""

from blueprints.human.entry import HumanBlueprint

CONVOLUTION: tuple[HumanBlueprint, ...] = (
    HumanBlueprint(
        "wavenet_residual",
        "convolution",
        "van den Oord et al. 2016",
        "RES_START BRANCH_START CONV1D KERNEL_3 CHANNELS_IN TANH BRANCH_SEP CONV1D KERNEL_3 CHANNELS_IN "
        "SIGMOID MERGE_MUL LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint("conv", "convolution", "Waibel et al. 1989", "CONV1D KERNEL_3 CHANNELS_IN RELU"),
    HumanBlueprint(
        "residual_conv",
        "convolution",
        "He et al. 2016",
        "RES_START CONV1D KERNEL_5 CHANNELS_IN GELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "tcn_block",
        "convolution",
        "Bai et al. 2018, the first block, which has no dilation; without its last ReLU",
        "RES_START CONV1D KERNEL_3 CHANNELS_IN RELU CONV1D KERNEL_3 CHANNELS_IN RELU RES_END",
    ),
    HumanBlueprint(
        "depthwise_separable",
        "convolution",
        "Chollet 2017",
        "DWCONV1D KERNEL_3 LINEAR OUT_DIM_IN RELU",
    ),
    HumanBlueprint(
        "residual_depthwise_separable",
        "convolution",
        "Howard et al. 2017; He et al. 2016",
        "RES_START DWCONV1D KERNEL_5 SILU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "inverted_residual",
        "convolution",
        "Sandler et al. 2018",
        "RES_START LINEAR OUT_DIM_DOUBLE RELU DWCONV1D KERNEL_3 RELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "mbconv",
        "convolution",
        "Tan and Le 2019",
        "RES_START LINEAR OUT_DIM_DOUBLE SILU DWCONV1D KERNEL_3 SILU GATE_START POOL_MEAN "
        "LINEAR OUT_DIM_HALF SILU LINEAR OUT_DIM_DOUBLE GATE_END LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "convnext_like",
        "convolution",
        "Liu et al. 2022",
        "RES_START DWCONV1D KERNEL_7 LAYERNORM LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "inception_like",
        "convolution",
        "Szegedy et al. 2015, with a sum for its concatenation",
        "BRANCH_START CONV1D KERNEL_3 CHANNELS_IN RELU BRANCH_SEP CONV1D KERNEL_5 CHANNELS_IN RELU MERGE_ADD",
    ),
    HumanBlueprint(
        "gated_conv",
        "convolution",
        "Dauphin et al. 2017",
        "BRANCH_START CONV1D KERNEL_5 CHANNELS_IN BRANCH_SEP CONV1D KERNEL_5 CHANNELS_IN SIGMOID MERGE_MUL",
    ),
    HumanBlueprint("conv_pool", "convolution", "Kim 2014", "CONV1D KERNEL_3 CHANNELS_IN RELU POOL_MAX"),
    HumanBlueprint(
        "tcn_stack",
        "convolution",
        "Bai et al. 2018, dilations 1 and 2, without weight norm",
        "RES_START CONV1D KERNEL_3 CHANNELS_IN RELU CONV1D KERNEL_3 CHANNELS_IN RELU RES_END RELU "
        "RES_START CONV1D KERNEL_3 CHANNELS_IN DILATION_2 RELU CONV1D KERNEL_3 CHANNELS_IN DILATION_2 RELU "
        "RES_END RELU",
    ),
    HumanBlueprint(
        "wavenet_stack",
        "convolution",
        "van den Oord et al. 2016, dilations 1 and 4, without its skip connections",
        "RES_START BRANCH_START CONV1D KERNEL_3 CHANNELS_IN TANH BRANCH_SEP CONV1D KERNEL_3 CHANNELS_IN "
        "SIGMOID MERGE_MUL LINEAR OUT_DIM_IN RES_END "
        "RES_START BRANCH_START CONV1D KERNEL_3 CHANNELS_IN DILATION_4 TANH BRANCH_SEP "
        "CONV1D KERNEL_3 CHANNELS_IN DILATION_4 SIGMOID MERGE_MUL LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "dilated_stack",
        "convolution",
        "Yu and Koltun 2016",
        "CONV1D KERNEL_3 CHANNELS_IN RELU CONV1D KERNEL_3 CHANNELS_IN DILATION_2 RELU "
        "CONV1D KERNEL_3 CHANNELS_IN DILATION_4 RELU CONV1D KERNEL_3 CHANNELS_IN DILATION_8 RELU",
    ),
    HumanBlueprint(
        "bytenet_block",
        "convolution",
        "Kalchbrenner et al. 2016, dilation 2",
        "RES_START LAYERNORM RELU LINEAR OUT_DIM_HALF LAYERNORM RELU "
        "CONV1D KERNEL_3 CHANNELS_HALF DILATION_2 LAYERNORM RELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "aspp",
        "convolution",
        "Chen et al. 2018, without its pool",
        "SAVE TAP_0 LINEAR OUT_DIM_QUARTER SAVE TAP_1 LOAD TAP_0 CONV1D KERNEL_3 CHANNELS_QUARTER "
        "DILATION_2 CONCAT TAP_1 SAVE TAP_1 LOAD TAP_0 CONV1D KERNEL_3 CHANNELS_QUARTER DILATION_4 CONCAT "
        "TAP_1 SAVE TAP_1 LOAD TAP_0 CONV1D KERNEL_3 CHANNELS_QUARTER DILATION_8 CONCAT TAP_1 RELU LINEAR "
        "OUT_DIM_IN",
    ),
    HumanBlueprint(
        "conv_glu_block",
        "convolution",
        "Gehring et al. 2017",
        "RES_START BRANCH_START CONV1D KERNEL_3 CHANNELS_IN BRANCH_SEP CONV1D KERNEL_3 CHANNELS_IN "
        "SIGMOID MERGE_MUL RES_END",
    ),
    HumanBlueprint(
        "lightweight_conv",
        "convolution",
        "Wu et al. 2019, with filters that are neither shared nor normalised",
        "RES_START BRANCH_START LINEAR OUT_DIM_IN BRANCH_SEP LINEAR OUT_DIM_IN SIGMOID MERGE_MUL "
        "DWCONV1D KERNEL_7 LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "basic_resnet_block",
        "convolution",
        "He et al. 2016, with layer norm for batch norm",
        "RES_START CONV1D KERNEL_3 CHANNELS_IN LAYERNORM RELU CONV1D KERNEL_3 CHANNELS_IN LAYERNORM RES_END "
        "RELU",
    ),
    HumanBlueprint(
        "bottleneck_resnet_block",
        "convolution",
        "He et al. 2016, without norm",
        "RES_START LINEAR OUT_DIM_QUARTER RELU CONV1D KERNEL_3 CHANNELS_QUARTER RELU LINEAR OUT_DIM_IN "
        "RES_END RELU",
    ),
    HumanBlueprint(
        "resnext_block",
        "convolution",
        "Xie et al. 2017, two paths, without norm",
        "RES_START BRANCH_START LINEAR OUT_DIM_QUARTER RELU CONV1D KERNEL_3 CHANNELS_QUARTER RELU "
        "LINEAR OUT_DIM_IN BRANCH_SEP LINEAR OUT_DIM_QUARTER RELU CONV1D KERNEL_3 CHANNELS_QUARTER RELU "
        "LINEAR OUT_DIM_IN MERGE_ADD RES_END RELU",
    ),
    HumanBlueprint(
        "fused_mbconv",
        "convolution",
        "Tan and Le 2021, without norm",
        "RES_START CONV1D KERNEL_3 CHANNELS_QUAD SILU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "mobilenet_v3_block",
        "convolution",
        "Howard et al. 2019, with a plain sigmoid for its hard one, without norm",
        "RES_START LINEAR OUT_DIM_DOUBLE HARD_SWISH DWCONV1D KERNEL_5 HARD_SWISH GATE_START POOL_MEAN "
        "LINEAR OUT_DIM_HALF RELU LINEAR OUT_DIM_DOUBLE GATE_END LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "convnext",
        "convolution",
        "Liu et al. 2022, with gains that start at one",
        "RES_START DWCONV1D KERNEL_7 LAYERNORM LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN SCALE RES_END",
    ),
    HumanBlueprint(
        "inception",
        "convolution",
        "Szegedy et al. 2015, without its pool",
        "SAVE TAP_0 LINEAR OUT_DIM_QUARTER RELU SAVE TAP_1 LOAD TAP_0 LINEAR OUT_DIM_QUARTER RELU "
        "CONV1D KERNEL_3 CHANNELS_HALF RELU CONCAT TAP_1 SAVE TAP_1 LOAD TAP_0 LINEAR OUT_DIM_QUARTER RELU "
        "CONV1D KERNEL_5 CHANNELS_QUARTER RELU CONCAT TAP_1",
    ),
    HumanBlueprint(
        "dense_block",
        "convolution",
        "Huang et al. 2017, two layers and a transition, with layer norm for batch norm",
        "BRANCH_START LAYERNORM RELU CONV1D KERNEL_3 CHANNELS_HALF BRANCH_SEP MERGE_CONCAT "
        "BRANCH_START LAYERNORM RELU CONV1D KERNEL_3 CHANNELS_HALF BRANCH_SEP MERGE_CONCAT "
        "LAYERNORM RELU LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "ghost_module",
        "convolution",
        "Han et al. 2020, without norm",
        "LINEAR OUT_DIM_HALF RELU BRANCH_START DWCONV1D KERNEL_3 RELU BRANCH_SEP MERGE_CONCAT",
    ),
    HumanBlueprint(
        "fractal_block",
        "convolution",
        "Larsson et al. 2017, two columns, with a sum for its mean",
        "BRANCH_START CONV1D KERNEL_3 CHANNELS_IN RELU BRANCH_SEP CONV1D KERNEL_3 CHANNELS_IN RELU "
        "CONV1D KERNEL_3 CHANNELS_IN RELU MERGE_ADD",
    ),
    HumanBlueprint(
        "rectified_filter_bank",
        "convolution",
        "Jarrett et al. 2009, with layer norm for its local contrast, without its pool",
        "CONV1D KERNEL_5 CHANNELS_IN TANH ABS LAYERNORM",
    ),
    HumanBlueprint(
        "convmixer_block",
        "convolution",
        "Trockman and Kolter 2022, with layer norm for batch norm",
        "RES_START DWCONV1D KERNEL_7 GELU LAYERNORM RES_END LINEAR OUT_DIM_IN GELU LAYERNORM",
    ),
)
