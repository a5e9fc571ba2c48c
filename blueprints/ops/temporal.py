"""Rows that carry information along time: attention, recurrences, fast weights; the GRU is a core row."""

from math import sqrt

from blueprints.ops.core import affine
from blueprints.ops.row import Attribute, Attributes, Op, Parameter, SourceTemplate

HEADS = Attribute(name="heads", tokens={f"HEADS_{num}": num for num in (1, 2, 4)})
FULL = Attribute(name="full", tokens={"FULL": 1}, default=0)
GATE = Attribute(name="signed", tokens={"GATE_UNIT": 0, "GATE_SIGNED": 1})
#: Steps that a query is taken to look back on, where FLOPs are counted.
NOMINAL_STEPS = 16


def _attention_parameters(w_in: int, w_out: int, attributes: Attributes) -> tuple[Parameter, ...]:
    return (
        Parameter(name="in_proj_weight", shape=(3 * w_in, w_in), bound=sqrt(6 / (4 * w_in))),
        Parameter(name="in_proj_bias", shape=(3 * w_in,), init="zeros"),
        *affine(w_in, ("out_proj.weight", (w_in, w_in))),
        Parameter(name="out_proj.bias", shape=(w_in,), init="zeros"),
    )


def _attention_flops(w_in: int, w_out: int, attributes: Attributes) -> int:
    scores = NOMINAL_STEPS * (4 * w_in + 10 * attributes["heads"])
    return 8 * w_in * w_in + scores


def _lstm_parameters(w_in: int, w_out: int, attributes: Attributes) -> tuple[Parameter, ...]:
    return affine(
        w_out,
        ("lstm.weight_ih_l0", (4 * w_out, w_in)),
        ("lstm.weight_hh_l0", (4 * w_out, w_out)),
        ("lstm.bias_ih_l0", (4 * w_out,)),
        ("lstm.bias_hh_l0", (4 * w_out,)),
    )


def _scan_parameters(w_in: int, w_out: int, attributes: Attributes) -> tuple[Parameter, ...]:
    return affine(w_in, ("projection.weight", (2 * w_in, w_in)), ("projection.bias", (2 * w_in,)))


def _hebbian_parameters(w_in: int, w_out: int, attributes: Attributes) -> tuple[Parameter, ...]:
    return (
        Parameter(name="decay", shape=(1,), init="ones"),
        *affine(w_in, ("projection.weight", (3 * w_in, w_in)), ("projection.bias", (3 * w_in,))),
    )


TEMPORAL_OPS: tuple[Op, ...] = (
    Op(
        name="ATTENTION",
        family="mixing",
        summary="Multi-head self-attention over the steps so far, or with FULL over all of them.",
        formula="y_t = W_o [sum_s softmax_s(q_t . k_s / sqrt(W / heads)) v_s] + b_o; q, k, v = W x + b",
        paper="Vaswani et al. 2017",
        source=SourceTemplate(
            init="SelfAttention({w_in}, num_heads={heads}, is_full={full})",
            forward="self.{name}({x})",
            classes=("SelfAttention",),
        ),
        flops=_attention_flops,
        attributes=(HEADS, FULL),
        needs_sequence=True,
        parameters=_attention_parameters,
    ),
    Op(
        name="LSTM",
        family="recurrent",
        summary="Long short-term memory over time, starting at zero; returns every step's output.",
        formula="i, f, o = sigmoid(W x_t + U h + b); c = f*c + i*tanh(W_g x_t + U_g h + b_g); h = o*tanh(c)",
        paper="Hochreiter and Schmidhuber 1997",
        source=SourceTemplate(
            init="nn.LSTM({w_in}, {w_out}, batch_first=True)", forward="self.{name}({x})[0]"
        ),
        flops=lambda w_in, w_out, attributes: 2 * 4 * w_out * (w_in + w_out) + 50 * w_out,
        needs_sequence=True,
        parameters=_lstm_parameters,
    ),
    Op(
        name="DIAGONAL_SCAN",
        family="recurrent",
        summary="A diagonal state-space scan: each feature remembers by a gate that the input sets.",
        formula="h_t = a_t*h_(t-1) + (1 - |a_t|)*v_t; v = W x + b; a = sigmoid(V x + c), or tanh when signed",
        paper="Martin and Cundy 2018; Gu and Dao 2023; signed as in Grazzi et al. 2024",
        source=SourceTemplate(
            init="DiagonalScan({w_in}, is_signed={signed})",
            forward="self.{name}({x})",
            classes=("DiagonalScan",),
        ),
        flops=lambda w_in, w_out, attributes: 4 * w_in * w_in + 14 * w_in,
        attributes=(GATE,),
        needs_sequence=True,
        parameters=_scan_parameters,
    ),
    Op(
        name="SHIFT",
        family="mixing",
        summary="Delays a sequence by one step; the first step is zero.",
        formula="y_t = x_(t-1)",
        paper="Wu et al. 2018; over time as in Peng et al. 2023",
        source=SourceTemplate(forward="F.pad({x}, (0, 0, 1, 0))[:, :-1]"),
        flops=lambda w_in, w_out, attributes: w_in,
        needs_sequence=True,
    ),
    Op(
        name="HEBBIAN",
        family="recurrent",
        summary="Fast weights: a matrix that each step writes to by a decaying Hebbian rule and reads from.",
        formula="A_t = d A_(t-1) + v_t k_t^T; y_t = A_t q_t; q, k of norm 1; d = sigmoid(2 decay)",
        paper="Ba et al. 2016, on fast weights; Schlag et al. 2021",
        source=SourceTemplate(
            init="FastWeights({w_in})", forward="self.{name}({x})", classes=("FastWeights",)
        ),
        flops=lambda w_in, w_out, attributes: 11 * w_in * w_in + 8 * w_in,
        needs_sequence=True,
        parameters=_hebbian_parameters,
    ),
)
