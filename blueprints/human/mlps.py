"""Human blueprints that work on the features of each step by itself: perceptrons, mixtures of experts."""

from blueprints.human.entry import HumanBlueprint

MLPS: tuple[HumanBlueprint, ...] = (
    HumanBlueprint("mlp", "mlp", "Rumelhart et al. 1986", "LINEAR OUT_DIM_DOUBLE RELU LINEAR OUT_DIM_IN"),
    HumanBlueprint(
        "residual_mlp",
        "mlp",
        "He et al. 2016; the MLP of Vaswani et al. 2017",
        "RES_START LINEAR OUT_DIM_DOUBLE GELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "prenorm_mlp",
        "mlp",
        "Xiong et al. 2020",
        "RES_START LAYERNORM LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "rmsnorm_mlp",
        "mlp",
        "Zhang and Sennrich 2019",
        "RES_START RMSNORM LINEAR OUT_DIM_QUAD SILU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "layerscale_mlp",
        "mlp",
        "Touvron et al. 2021, with gains that start at one",
        "RES_START LAYERNORM LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN SCALE RES_END",
    ),
    HumanBlueprint(
        "squared_relu_mlp",
        "mlp",
        "So et al. 2021",
        "RES_START LAYERNORM LINEAR OUT_DIM_QUAD SQUARE_RELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "preactivation_residual",
        "mlp",
        "He et al. 2016, identity mappings, with layer norm for batch norm",
        "RES_START LAYERNORM RELU LINEAR OUT_DIM_IN LAYERNORM RELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint("tanh_mlp", "mlp", "LeCun et al. 1998", "LINEAR OUT_DIM_DOUBLE TANH LINEAR OUT_DIM_IN"),
    HumanBlueprint(
        "elu_mlp",
        "mlp",
        "Clevert et al. 2015",
        "LINEAR OUT_DIM_DOUBLE ELU LINEAR OUT_DIM_DOUBLE ELU LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "leaky_mlp",
        "mlp",
        "Maas et al. 2013",
        "LINEAR OUT_DIM_DOUBLE LEAKY_RELU LINEAR OUT_DIM_DOUBLE LEAKY_RELU LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "mish_mlp", "mlp", "Misra 2019", "RES_START LINEAR OUT_DIM_DOUBLE MISH LINEAR OUT_DIM_IN RES_END"
    ),
    HumanBlueprint(
        "siren",
        "mlp",
        "Sitzmann et al. 2020, without the factor on its frequencies",
        "LINEAR OUT_DIM_DOUBLE SIN LINEAR OUT_DIM_DOUBLE SIN LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "snake_mlp",
        "mlp",
        "Ziyin et al. 2020, with the two gains of its activation learned apart",
        "LINEAR OUT_DIM_DOUBLE RES_START SCALE SIN SAVE TAP_0 MUL TAP_0 SCALE RES_END LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "cross_network",
        "mlp",
        "Wang et al. 2021, two layers",
        "SAVE TAP_0 RES_START LINEAR OUT_DIM_IN MUL TAP_0 RES_END RES_START LINEAR OUT_DIM_IN MUL TAP_0 "
        "RES_END",
    ),
    HumanBlueprint(
        "lista",
        "mlp",
        "Gregor and LeCun 2010, with ReLU for its shrinkage and two steps that share no weights",
        "LINEAR OUT_DIM_DOUBLE SAVE TAP_0 RELU LINEAR OUT_DIM_DOUBLE ADD TAP_0 RELU "
        "LINEAR OUT_DIM_DOUBLE ADD TAP_0 RELU LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint("mixture_of_experts", "experts", "Jacobs et al. 1991, linear experts", "MOE EXPERTS_4"),
    HumanBlueprint(
        "residual_moe",
        "experts",
        "Shazeer et al. 2017, all experts run",
        "RES_START LAYERNORM MOE EXPERTS_2 GELU MOE EXPERTS_2 RES_END",
    ),
    HumanBlueprint(
        "deep_moe", "experts", "Eigen et al. 2014", "MOE EXPERTS_4 RELU MOE EXPERTS_4 RELU LINEAR OUT_DIM_IN"
    ),
    HumanBlueprint(
        "blended_experts",
        "experts",
        "Jacobs et al. 1991, two experts that each feature weighs by itself",
        "BRANCH_START LINEAR OUT_DIM_IN SIGMOID BRANCH_SEP LINEAR OUT_DIM_IN TANH LINEAR OUT_DIM_IN "
        "BRANCH_SEP LINEAR OUT_DIM_IN TANH LINEAR OUT_DIM_IN MERGE_BLEND",
    ),
    HumanBlueprint(
        "switch_block",
        "experts",
        "Fedus et al. 2022, all experts run and each of them linear",
        "RES_START LAYERNORM ATTENTION HEADS_4 RES_END "
        "RES_START LAYERNORM MOE EXPERTS_4 RELU LINEAR OUT_DIM_IN RES_END",
    ),
)
