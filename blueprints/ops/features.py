"""Rows that norm, scale or mix the features of each step by itself; linear maps are core rows."""

from blueprints.ops.core import affine
from blueprints.ops.row import Attribute, Attributes, Op, Parameter, SourceTemplate

EXPERTS = Attribute(name="experts", tokens={f"EXPERTS_{num}": num for num in (2, 4)})


def _gain_parameters(w_in: int, w_out: int, attributes: Attributes) -> tuple[Parameter, ...]:
    return (Parameter(name="weight", shape=(w_in,), init="ones"),)


def _expert_parameters(w_in: int, w_out: int, attributes: Attributes) -> tuple[Parameter, ...]:
    num = attributes["experts"]
    return affine(
        w_in,
        ("gate.weight", (num, w_in)),
        ("gate.bias", (num,)),
        ("experts.weight", (num * w_in, w_in)),
        ("experts.bias", (num * w_in,)),
    )


FEATURE_OPS: tuple[Op, ...] = (
    Op(
        name="RMSNORM",
        family="norm",
        summary="Divides the features of each step by their root mean square, then scales them.",
        formula="y_t = g * x_t / sqrt(mean(x_t^2) + 1e-5)",
        paper="Zhang and Sennrich 2019",
        source=SourceTemplate(init="nn.RMSNorm({w_in}, eps=1e-5)", forward="self.{name}({x})"),
        flops=lambda w_in, w_out, attributes: 5 * w_in,
        parameters=_gain_parameters,
        no_op_after=frozenset({"RMSNORM"}),
    ),
    Op(
        name="SCALE",
        family="norm",
        summary="Multiplies each feature by a learned gain, one at the start.",
        formula="y_t = g * x_t",
        paper="Touvron et al. 2021",
        source=SourceTemplate(init="Scale({w_in})", forward="self.{name}({x})", classes=("Scale",)),
        flops=lambda w_in, w_out, attributes: w_in,
        parameters=_gain_parameters,
        no_op_after=frozenset({"SCALE", "LAYERNORM", "RMSNORM"}),
    ),
    Op(
        name="MOE",
        family="mixing",
        summary="A dense mixture of linear experts: a softmax gate weighs their outputs at each step.",
        formula="y_t = sum_e g_te (W_e x_t + b_e); g_t = softmax(V x_t + c)",
        paper="Jacobs et al. 1991; Shazeer et al. 2017",
        source=SourceTemplate(
            init="MixtureOfExperts({w_in}, num_experts={experts})",
            forward="self.{name}({x})",
            classes=("MixtureOfExperts",),
        ),
        flops=lambda w_in, w_out, attributes: attributes["experts"] * (2 * w_in * w_in + 4 * w_in + 10),
        attributes=(EXPERTS,),
        parameters=_expert_parameters,
    ),
)
