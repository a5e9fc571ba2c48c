"""Human blueprints made to be put into a trained host: adapters of few parameters."""

from blueprints.human.entry import HumanBlueprint

ADAPTERS: tuple[HumanBlueprint, ...] = (
    HumanBlueprint(
        "bottleneck_adapter",
        "adapter",
        "Houlsby et al. 2019",
        "RES_START LINEAR OUT_DIM_QUARTER GELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "low_rank_residual",
        "adapter",
        "Hu et al. 2022",
        "RES_START LINEAR OUT_DIM_QUARTER LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "parallel_adapter",
        "adapter",
        "He et al. 2022",
        "BRANCH_START LINEAR OUT_DIM_IN BRANCH_SEP LINEAR OUT_DIM_HALF RELU LINEAR OUT_DIM_IN MERGE_ADD",
    ),
    HumanBlueprint(
        "sequential_adapter",
        "adapter",
        "Houlsby et al. 2019, behind the MLP that it adapts",
        "RES_START LINEAR OUT_DIM_DOUBLE GELU LINEAR OUT_DIM_IN "
        "RES_START LINEAR OUT_DIM_QUARTER GELU LINEAR OUT_DIM_IN RES_END RES_END",
    ),
    HumanBlueprint(
        "scaled_parallel_adapter",
        "adapter",
        "He et al. 2022, beside an MLP, with a gain for each feature",
        "RES_START LAYERNORM BRANCH_START LINEAR OUT_DIM_DOUBLE RELU LINEAR OUT_DIM_IN BRANCH_SEP "
        "LINEAR OUT_DIM_QUARTER RELU LINEAR OUT_DIM_IN SCALE MERGE_ADD RES_END",
    ),
    HumanBlueprint(
        "prenorm_adapter",
        "adapter",
        "Bapna and Firat 2019",
        "RES_START LAYERNORM LINEAR OUT_DIM_QUARTER RELU LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "residual_adapter",
        "adapter",
        "Rebuffi et al. 2017, with layer norm for batch norm",
        "RES_START LAYERNORM LINEAR OUT_DIM_IN RES_END",
    ),
    HumanBlueprint(
        "lora",
        "adapter",
        "Hu et al. 2022, beside the map that it adapts",
        "BRANCH_START LINEAR OUT_DIM_IN BRANCH_SEP LINEAR OUT_DIM_QUARTER LINEAR OUT_DIM_IN MERGE_ADD",
    ),
    HumanBlueprint(
        "ia3",
        "adapter",
        "Liu et al. 2022, in the MLP alone",
        "RES_START LINEAR OUT_DIM_DOUBLE GELU SCALE LINEAR OUT_DIM_IN RES_END",
    ),
)
