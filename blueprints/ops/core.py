"""The core rows of the op table: linear and convolutional mixing, GRU, pools, norm, activations, merges."""

from math import sqrt

from blueprints.graph import ADD, MUL
from blueprints.ops.row import Attribute, Attributes, Op, Parameter, SourceTemplate
from blueprints.types import WIDTHS

KERNELS = {f"KERNEL_{k}": k for k in (3, 5, 7)}
OUT_DIM = Attribute(name="width", tokens={f"OUT_DIM_{name}": ratio for name, ratio in WIDTHS.items()})
CHANNELS = Attribute(name="width", tokens={f"CHANNELS_{name}": ratio for name, ratio in WIDTHS.items()})
KERNEL = Attribute(name="kernel", tokens=KERNELS)
DILATION = Attribute(name="dilation", tokens={f"DILATION_{d}": d for d in (2, 4, 8)}, default=1)
#: Ops whose outputs are never negative.
NOT_NEGATIVE = frozenset({"RELU", "SIGMOID", "SOFTPLUS", "SQUARE_RELU", "ABS"})


def affine(fan_in: int, *shapes: tuple[str, tuple[int, ...]]) -> tuple[Parameter, ...]:
    """Return parameters that share torch.nn's default uniform bound 1 / sqrt(fan_in)."""
    return tuple(Parameter(name=name, shape=shape, bound=1 / sqrt(fan_in)) for name, shape in shapes)


def _linear_parameters(w_in: int, w_out: int, attributes: Attributes) -> tuple[Parameter, ...]:
    return affine(w_in, ("weight", (w_out, w_in)), ("bias", (w_out,)))


def _conv_parameters(w_in: int, w_out: int, attributes: Attributes) -> tuple[Parameter, ...]:
    kernel = attributes["kernel"]
    return affine(w_in * kernel, ("conv.weight", (w_out, w_in, kernel)), ("conv.bias", (w_out,)))


def _depthwise_parameters(w_in: int, w_out: int, attributes: Attributes) -> tuple[Parameter, ...]:
    kernel = attributes["kernel"]
    return affine(kernel, ("conv.weight", (w_in, 1, kernel)), ("conv.bias", (w_in,)))


def _gru_parameters(w_in: int, w_out: int, attributes: Attributes) -> tuple[Parameter, ...]:
    return affine(
        w_out,
        ("gru.weight_ih_l0", (3 * w_out, w_in)),
        ("gru.weight_hh_l0", (3 * w_out, w_out)),
        ("gru.bias_ih_l0", (3 * w_out,)),
        ("gru.bias_hh_l0", (3 * w_out,)),
    )


def _norm_parameters(w_in: int, w_out: int, attributes: Attributes) -> tuple[Parameter, ...]:
    return (
        Parameter(name="weight", shape=(w_in,), init="ones"),
        Parameter(name="bias", shape=(w_in,), init="zeros"),
    )


def activation(
    name: str,
    formula: str,
    paper: str,
    forward: str,
    flops_per_element: int,
    no_op_after: frozenset[str] = frozenset(),
) -> Op:
    """Return the row of an elementwise op without parameters."""
    return Op(
        name=name,
        family="activation",
        summary=f"The elementwise activation {name}.",
        formula=formula,
        paper=paper,
        source=SourceTemplate(forward=forward),
        flops=lambda w_in, w_out, attributes: flops_per_element * w_in,
        no_op_after=no_op_after,
    )


def _pool(name: str, formula: str, paper: str, forward: str, causal: bool = False) -> Op:
    return Op(
        name=name,
        family="pool",
        summary=f"Reduces a sequence to a single step: {formula}.",
        formula=formula,
        paper=paper,
        source=SourceTemplate(forward=forward),
        flops=lambda w_in, w_out, attributes: w_in,
        needs_sequence=True,
        pools=True,
        causal=causal,
    )


def _merge(name: str, sign: str, formula: str, paper: str) -> Op:
    return Op(
        name=name,
        family="merge",
        summary=f"Merges two values of equal width: {formula}; a single step is broadcast.",
        formula=formula,
        paper=paper,
        source=SourceTemplate(forward="{x} " + sign + " {y}"),
        flops=lambda w_in, w_out, attributes: w_in,
        arity=2,
        commutative=True,
    )


CORE_OPS: tuple[Op, ...] = (
    Op(
        name="LINEAR",
        family="mixing",
        summary="An affine map of the features of each step.",
        formula="y_t = W x_t + b",
        paper="Rosenblatt 1958",
        source=SourceTemplate(init="nn.Linear({w_in}, {w_out})", forward="self.{name}({x})"),
        flops=lambda w_in, w_out, attributes: 2 * w_in * w_out,
        attributes=(OUT_DIM,),
        parameters=_linear_parameters,
    ),
    Op(
        name="CONV1D",
        family="mixing",
        summary="A causal convolution over time.",
        formula="y_t = b + sum_j W_j x_(t-(k-1-j)*dilation)",
        paper="Waibel et al. 1989; causal as in van den Oord et al. 2016; dilated as in Yu and Koltun 2016",
        source=SourceTemplate(
            init="CausalConv1d({w_in}, {w_out}, kernel_size={kernel}, dilation={dilation})",
            forward="self.{name}({x})",
            classes=("CausalConv1d",),
        ),
        flops=lambda w_in, w_out, attributes: 2 * attributes["kernel"] * w_in * w_out,
        attributes=(KERNEL, CHANNELS, DILATION),
        needs_sequence=True,
        parameters=_conv_parameters,
    ),
    Op(
        name="DWCONV1D",
        family="mixing",
        summary="A causal depthwise convolution over time: one filter a channel.",
        formula="y_t = b + sum_j w_j * x_(t-(k-1-j)*dilation)",
        paper="Sifre and Mallat 2014; Chollet 2017",
        source=SourceTemplate(
            init="CausalConv1d({w_in}, {w_in}, kernel_size={kernel}, dilation={dilation}, groups={w_in})",
            forward="self.{name}({x})",
            classes=("CausalConv1d",),
        ),
        flops=lambda w_in, w_out, attributes: 2 * attributes["kernel"] * w_in,
        attributes=(KERNEL, DILATION),
        needs_sequence=True,
        parameters=_depthwise_parameters,
    ),
    Op(
        name="GRU",
        family="recurrent",
        summary="A gated recurrent unit over time, starting at zero; returns every step's state.",
        formula="r, z = sigmoid(W x_t + U h); n = tanh(W_n x_t + b + r*(U_n h + c)); h = (1-z)*n + z*h",
        paper="Cho et al. 2014",
        source=SourceTemplate(
            init="nn.GRU({w_in}, {w_out}, batch_first=True)", forward="self.{name}({x})[0]"
        ),
        flops=lambda w_in, w_out, attributes: 2 * 3 * w_out * (w_in + w_out) + 30 * w_out,
        needs_sequence=True,
        parameters=_gru_parameters,
    ),
    _pool("POOL_MEAN", "y = mean_t x_t", "Lin et al. 2013", "{x}.mean(dim=1, keepdim=True)"),
    _pool("POOL_MAX", "y = max_t x_t", "Collobert et al. 2011", "{x}.amax(dim=1, keepdim=True)"),
    _pool("POOL_LAST", "y = x_T", "Sutskever et al. 2014", "{x}[:, -1:]"),
    Op(
        name="LAYERNORM",
        family="norm",
        summary="Normalises the features of each step, then scales and shifts them.",
        formula="y_t = g * (x_t - mean(x_t)) / sqrt(var(x_t) + 1e-5) + b",
        paper="Ba et al. 2016",
        source=SourceTemplate(init="nn.LayerNorm({w_in})", forward="self.{name}({x})"),
        flops=lambda w_in, w_out, attributes: 8 * w_in,
        parameters=_norm_parameters,
        no_op_after=frozenset({"LAYERNORM"}),
    ),
    activation("RELU", "max(x, 0)", "Nair and Hinton 2010", "F.relu({x})", 1, NOT_NEGATIVE),
    activation("GELU", "x * Phi(x)", "Hendrycks and Gimpel 2016", "F.gelu({x})", 12),
    activation("SILU", "x * sigmoid(x)", "Elfwing et al. 2018", "F.silu({x})", 10),
    activation("TANH", "tanh(x)", "LeCun et al. 1998", "torch.tanh({x})", 9),
    activation("SIGMOID", "1 / (1 + exp(-x))", "Rumelhart et al. 1986", "torch.sigmoid({x})", 9),
    _merge(ADD, "+", "y = a + b", "He et al. 2016"),
    _merge(MUL, "*", "y = a * b", "Dauphin et al. 2017"),
)
