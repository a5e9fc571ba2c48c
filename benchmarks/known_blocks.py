"""Forty well-known blocks: which of them the language can write, which with a difference, which not and why.

Normalisation over the batch and dropout belong to training and are left out of every block but their own.
"""

from dataclasses import dataclass
from typing import Literal

from blueprints import Language, human, parse

Verdict = Literal["yes", "with a difference", "no"]

#: What the language lacks, by a short name; each is a reason why some block cannot be written.
LACKS = {
    "second input": "a blueprint has one input",
    "other examples": "every op treats each example by itself",
    "chance": "every op is deterministic, in training too",
    "weights over time": "the length of a sequence is unknown to a blueprint, so no weight belongs to a step",
    "resolution": "a value has all the input's steps or one; none has half of them",
    "backwards": "no op runs from the last step to the first",
    "positions": "no op moves a value to a step that the input decides",
    "softmax over taps": "no op normalises over the taps of a filter, and heads cannot share one",
    "transform of time": "no op mixes all steps by fixed coefficients; FULL attention weighs them by content",
    "memory": "states are vectors of at most the widest width; none is a matrix that is addressed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBlock:
    """A block that people know by name.

    Attributes:
        name: as people call it.
        paper: where it comes from.
        blueprint: name of the human blueprint that is this block, or empty.
        program: its tokens where it needs more than the default budgets, or empty.
        difference: in what the blueprint differs from the published block, or empty.
        lacks: which of `LACKS` stands in the way, or empty.
    """

    name: str
    paper: str
    blueprint: str = ""
    program: str = ""
    difference: str = ""
    lacks: str = ""

    @property
    def verdict(self) -> Verdict:
        """Whether it can be written."""
        if self.lacks:
            return "no"
        return "with a difference" if self.difference else "yes"

    @property
    def reason(self) -> str:
        """Why not, in what the program differs, or what it needs."""
        return LACKS.get(self.lacks) or self.difference or ("longer than max_length" if self.program else "")

    @property
    def tokens(self) -> tuple[str, ...]:
        """Its program, parsed; empty where there is none.

        Raises:
            BlueprintError: when it is no program.
        """
        if self.program:
            return parse(self.program.split(), ROOMY).tokens
        return human(self.blueprint).tokens if self.blueprint else ()


#: The language with room for a program longer than the default allows.
ROOMY = Language(max_length=80)

#: The output gate's peephole sees the new state; every peephole is a gain for each feature.
PEEPHOLE_LSTM = """
    SCAN_START OUT_DIM_IN CONCAT STATE_0 SAVE TAP_0
    LOAD STATE_1 SCALE SAVE TAP_1 LOAD TAP_0 LINEAR OUT_DIM_IN ADD TAP_1 SIGMOID SAVE TAP_1
    LOAD STATE_1 SCALE SAVE TAP_2 LOAD TAP_0 LINEAR OUT_DIM_IN ADD TAP_2 SIGMOID MUL STATE_1 SAVE TAP_2
    LOAD TAP_0 LINEAR OUT_DIM_IN TANH MUL TAP_1 ADD TAP_2 SAVE STATE_1 SAVE TAP_1
    SCALE SAVE TAP_2 LOAD TAP_0 LINEAR OUT_DIM_IN ADD TAP_2 SIGMOID SAVE TAP_2 LOAD TAP_1 TANH MUL TAP_2
    SCAN_END
"""

KNOWN_BLOCKS: tuple[KnownBlock, ...] = (
    KnownBlock(name="multi-layer perceptron", paper="Rumelhart et al. 1986", blueprint="mlp"),
    KnownBlock(name="pre-norm residual MLP", paper="Xiong et al. 2020", blueprint="prenorm_mlp"),
    KnownBlock(name="SwiGLU", paper="Shazeer 2020", blueprint="swiglu"),
    KnownBlock(name="highway layer", paper="Srivastava et al. 2015", blueprint="highway"),
    KnownBlock(name="low-rank adaptation", paper="Hu et al. 2022", blueprint="lora"),
    KnownBlock(name="bottleneck adapter", paper="Houlsby et al. 2019", blueprint="bottleneck_adapter"),
    KnownBlock(name="squeeze and excitation", paper="Hu et al. 2018", blueprint="squeeze_excitation"),
    KnownBlock(name="separable convolution", paper="Chollet 2017", blueprint="depthwise_separable"),
    KnownBlock(name="WaveNet's gated unit", paper="van den Oord et al. 2016", blueprint="gated_tanh"),
    KnownBlock(name="multi-head self-attention", paper="Vaswani et al. 2017", blueprint="self_attention"),
    KnownBlock(name="pre-norm Transformer", paper="Radford et al. 2019", blueprint="transformer_block"),
    KnownBlock(name="post-norm Transformer", paper="Vaswani et al. 2017", blueprint="postnorm_encoder_block"),
    KnownBlock(name="GRU", paper="Cho et al. 2014", blueprint="gru"),
    KnownBlock(name="LSTM", paper="Gers et al. 2000", blueprint="lstm"),
    KnownBlock(name="LSTM with peepholes", paper="Gers and Schmidhuber 2000", program=PEEPHOLE_LSTM),
    KnownBlock(name="recurrent highway", paper="Zilly et al. 2017", blueprint="recurrent_highway_cell"),
    KnownBlock(name="minGRU", paper="Feng et al. 2024", blueprint="min_gru"),
    KnownBlock(name="equivariant set layer", paper="Zaheer et al. 2017", blueprint="equivariant_layer"),
    KnownBlock(
        name="ResNet block",
        paper="He et al. 2016",
        blueprint="basic_resnet_block",
        difference="layer norm for batch norm",
    ),
    KnownBlock(
        name="DenseNet block",
        paper="Huang et al. 2017",
        blueprint="dense_block",
        difference="layer norm for batch norm",
    ),
    KnownBlock(
        name="Inception module",
        paper="Szegedy et al. 2015",
        blueprint="inception",
        difference="without its path with a sliding pool",
    ),
    KnownBlock(
        name="ConvNeXt block",
        paper="Liu et al. 2022",
        blueprint="convnext",
        difference="gains that start at one, not near zero",
    ),
    KnownBlock(
        name="temporal convolutional network",
        paper="Bai et al. 2018",
        blueprint="tcn_stack",
        difference="without weight norm",
    ),
    KnownBlock(
        name="LLaMA block",
        paper="Touvron et al. 2023",
        blueprint="llama_block",
        difference="without rotary positions",
    ),
    KnownBlock(
        name="linear attention",
        paper="Katharopoulos et al. 2020",
        blueprint="linear_attention",
        difference="one head, a decay, and unit queries and keys for its feature map",
    ),
    KnownBlock(
        name="Mamba block",
        paper="Gu and Dao 2023",
        blueprint="mamba_block",
        difference="one state a feature, and one gate for its step size, B and C",
    ),
    KnownBlock(
        name="Universal Transformer",
        paper="Dehghani et al. 2019",
        blueprint="universal_transformer",
        difference="a fixed number of steps, without signals of time and depth",
    ),
    KnownBlock(
        name="mixture of experts",
        paper="Fedus et al. 2022",
        blueprint="switch_block",
        difference="all experts run, and each of them is linear",
    ),
    KnownBlock(name="cross-attention", paper="Bahdanau et al. 2015", lacks="second input"),
    KnownBlock(name="batch normalisation", paper="Ioffe and Szegedy 2015", lacks="other examples"),
    KnownBlock(name="dropout", paper="Srivastava et al. 2014", lacks="chance"),
    KnownBlock(name="MLP-Mixer", paper="Tolstikhin et al. 2021", lacks="weights over time"),
    KnownBlock(name="gMLP's spatial gate", paper="Liu et al. 2021", lacks="weights over time"),
    KnownBlock(name="U-Net", paper="Ronneberger et al. 2015", lacks="resolution"),
    KnownBlock(name="bidirectional LSTM", paper="Graves and Schmidhuber 2005", lacks="backwards"),
    KnownBlock(name="deformable convolution", paper="Dai et al. 2017", lacks="positions"),
    KnownBlock(name="Reformer's hashed attention", paper="Kitaev et al. 2020", lacks="positions"),
    KnownBlock(name="dynamic convolution", paper="Wu et al. 2019", lacks="softmax over taps"),
    KnownBlock(name="Fourier token mixing", paper="Lee-Thorp et al. 2022", lacks="transform of time"),
    KnownBlock(name="Neural Turing machine", paper="Graves et al. 2014", lacks="memory"),
)
