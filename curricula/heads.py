"""What a task can ask of its host: rows for inputs and readouts; leaves losses to the Crucible.

Axes: B examples, T time, K outputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

HeadName = Literal[
    "pooled_cross_entropy",
    "step_cross_entropy",
    "pooled_likelihood",
    "step_likelihood",
    "pooled_mse",
    "step_mse",
]
LossName = Literal["cross_entropy", "likelihood", "mse"]
InputKind = Literal["linear", "embedding"]

#: The label of a position that does not count; a regression marks such a position by NaN.
IGNORED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """One kind of readout, with its loss and its score.

    A pooled head reads the mean over time, `[B, K]`; a head of every step reads each step, `[B, T, K]`, and
    is for causal blueprints alone. Cross entropy takes class labels, `[B]` or `[B, T]` int64, and is measured
    in nats; its score is the accuracy. A likelihood is trained as cross entropy is, and is for symbols that
    cannot be foretold with certainty: its score is the share of the entropy of the split's own labels that is
    explained, clipped to [0, 1]. A regression takes numbers, `[B, K]` or `[B, T, K]` float32, and is
    measured by the mean squared error; its score is the coefficient of determination, clipped to [0, 1].
    Losses and scores are means over the positions that count.

    Attributes:
        name: what a task says.
        loss: by which training and score are judged.
        is_per_step: whether every step is read, rather than their mean.
    """

    name: HeadName
    loss: LossName
    is_per_step: bool


#: Every head by name.
HEADS: Mapping[HeadName, Head] = MappingProxyType(
    {
        head.name: head
        for head in (
            Head(name="pooled_cross_entropy", loss="cross_entropy", is_per_step=False),
            Head(name="step_cross_entropy", loss="cross_entropy", is_per_step=True),
            Head(name="pooled_likelihood", loss="likelihood", is_per_step=False),
            Head(name="step_likelihood", loss="likelihood", is_per_step=True),
            Head(name="pooled_mse", loss="mse", is_per_step=False),
            Head(name="step_mse", loss="mse", is_per_step=True),
        )
    }
)
