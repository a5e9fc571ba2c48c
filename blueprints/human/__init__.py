"""Blueprints that people designed, each with its paper: the corpus that the Architect first learns."""

from dataclasses import dataclass
from functools import lru_cache

from blueprints.errors import TamiyoError
from blueprints.parser import Blueprint, parse


@dataclass(frozen=True, slots=True)
class HumanBlueprint:
    """A known module as a program.

    Attributes:
        name: lower-case identifier.
        family: what kind of module it is.
        paper: where it comes from.
        program: its tokens, space-separated.
    """

    name: str
    family: str
    paper: str
    program: str

    @property
    def tokens(self) -> tuple[str, ...]:
        """The program as a token tuple."""
        return tuple(self.program.split())


HUMAN_BLUEPRINTS: tuple[HumanBlueprint, ...] = (
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
        "Bai et al. 2018, without dilation",
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
    HumanBlueprint("gru", "recurrent", "Cho et al. 2014", "GRU"),
    HumanBlueprint("gru_last", "recurrent", "Cho et al. 2014", "GRU POOL_LAST"),
    HumanBlueprint("residual_gru", "recurrent", "Kim et al. 2017", "RES_START GRU LINEAR OUT_DIM_IN RES_END"),
    HumanBlueprint(
        "conv_gru", "recurrent", "Amodei et al. 2016", "CONV1D KERNEL_3 CHANNELS_IN RELU GRU POOL_LAST"
    ),
    HumanBlueprint(
        "temporal_film",
        "gating",
        "Perez et al. 2018; Birnbaum et al. 2019, with a gate for its scale",
        "GATE_START POOL_MAX LINEAR OUT_DIM_IN GATE_END RES_START POOL_MEAN LINEAR OUT_DIM_IN RES_END",
    ),
)


def human(name: str) -> Blueprint:
    """Return the parsed human blueprint called `name`.

    Raises:
        TamiyoError: when there is none of that name.
    """
    return _by_name().get(name) or _unknown(name)


@lru_cache(maxsize=1)
def _by_name() -> dict[str, Blueprint]:
    return {entry.name: parse(entry.tokens) for entry in HUMAN_BLUEPRINTS}


def _unknown(name: str) -> Blueprint:
    raise TamiyoError(f"no human blueprint {name!r}; expected one of {', '.join(_by_name())}")
