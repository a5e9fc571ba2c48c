"""Rows of further elementwise ops and of the k-winners; the five most common activations are core rows."""

from blueprints.ops.core import NOT_NEGATIVE, activation
from blueprints.ops.row import Attribute, Op, SourceTemplate

#: Winners are W divided by this.
KEEP = Attribute(name="divisor", tokens={"KEEP_QUARTER": 4, "KEEP_HALF": 2})

ACTIVATION_OPS: tuple[Op, ...] = (
    activation("LEAKY_RELU", "max(x, x / 100)", "Maas et al. 2013", "F.leaky_relu({x})", 2, NOT_NEGATIVE),
    activation("ELU", "x for x > 0, else exp(x) - 1", "Clevert et al. 2015", "F.elu({x})", 9, NOT_NEGATIVE),
    activation("SOFTPLUS", "log(1 + exp(x))", "Dugas et al. 2001", "F.softplus({x})", 16),
    activation("SIN", "sin(x)", "Sitzmann et al. 2020", "torch.sin({x})", 8),
    activation("MISH", "x * tanh(softplus(x))", "Misra 2019", "F.mish({x})", 26),
    activation("HARD_SWISH", "x * min(max(x + 3, 0), 6) / 6", "Howard et al. 2019", "F.hardswish({x})", 5),
    activation("SQUARE_RELU", "max(x, 0)^2", "So et al. 2021", "F.relu({x}).square()", 2),
    activation("ABS", "|x|", "Jarrett et al. 2009", "{x}.abs()", 1, NOT_NEGATIVE),
    Op(
        name="KWINNERS",
        family="activation",
        summary="Keeps the largest features of each step, a quarter or a half of all; the others are zero.",
        formula="y_ti = x_ti where x_ti >= the (W / divisor)-th largest of x_t, else 0",
        paper="Ahmad and Scheinkman 2019",
        source=SourceTemplate(
            init="KWinners(divisor={divisor})", forward="self.{name}({x})", classes=("KWinners",)
        ),
        flops=lambda w_in, w_out, attributes: 8 * w_in,
        attributes=(KEEP,),
    ),
)
