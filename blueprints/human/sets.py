"""Human blueprints that see a sequence as a set: pools, and maps that a pool informs."""

from blueprints.human.entry import HumanBlueprint

SETS: tuple[HumanBlueprint, ...] = (
    HumanBlueprint(
        "deep_averaging", "set", "Iyyer et al. 2015", "POOL_MEAN LINEAR OUT_DIM_DOUBLE TANH LINEAR OUT_DIM_IN"
    ),
    HumanBlueprint(
        "deep_sets",
        "set",
        "Zaheer et al. 2017, its invariant form, with a mean for its sum",
        "LINEAR OUT_DIM_DOUBLE RELU POOL_MEAN LINEAR OUT_DIM_IN RELU LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "equivariant_layer",
        "set",
        "Zaheer et al. 2017, its equivariant form",
        "BRANCH_START LINEAR OUT_DIM_IN BRANCH_SEP POOL_MAX LINEAR OUT_DIM_IN MERGE_ADD ELU",
    ),
    HumanBlueprint(
        "pointnet",
        "set",
        "Qi et al. 2017, its segmentation form, without transformations of the input",
        "LINEAR OUT_DIM_IN RELU BRANCH_START LINEAR OUT_DIM_DOUBLE RELU POOL_MAX BRANCH_SEP MERGE_CONCAT "
        "LINEAR OUT_DIM_IN RELU LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "concat_pooling",
        "set",
        "Howard and Ruder 2018",
        "SAVE TAP_0 POOL_MEAN SAVE TAP_1 LOAD TAP_0 POOL_MAX SAVE TAP_2 LOAD TAP_0 POOL_LAST CONCAT TAP_2 "
        "CONCAT TAP_1 LINEAR OUT_DIM_IN",
    ),
    HumanBlueprint(
        "attention_pool",
        "set",
        "Lee et al. 2019, with a mean for its seed and no MLP",
        "RES_START ATTENTION HEADS_4 FULL RES_END LAYERNORM POOL_MEAN",
    ),
)
