"""A caller's own op trains in both engines from its row and its module alone."""

import pytest
import torch
from torch import nn

from blueprints import Language, parse
from blueprints.modules import MODULES
from blueprints.ops import OPS, Op, Parameter, SourceTemplate
from crucible import Crucible
from curricula.temporal import Temporal

TILT = Op(
    name="TILT",
    family="mixing",
    summary="Scales every feature and bends it.",
    formula="y_t = s * x_t + x_t^2",
    paper="none",
    source=SourceTemplate(forward="{x}"),
    flops=lambda w_in, w_out, attributes: 3 * w_in,
    parameters=lambda w_in, w_out, attributes: (Parameter(name="scale", shape=(w_in,), init="ones"),),
)


class Tilt(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * x + x * x


def test_an_op_without_a_kernel_trains_alike_in_both_engines() -> None:
    language = Language(ops=(*OPS, TILT))
    modules = {**MODULES, "TILT": lambda w_in, w_out, attributes: Tilt(w_in)}
    blueprints = [
        parse(tokens.split(), language)
        for tokens in ("TILT", "LINEAR OUT_DIM_HALF TILT LINEAR OUT_DIM_IN TILT")
    ]
    results = []
    for engine in ("reference", "batched"):
        with Crucible(engine=engine, num_workers=2, language=language, modules=modules) as crucible:
            results.append(crucible.evaluate(blueprints, [Temporal(epochs=1)], [0]))
    for reference, batched in zip(*results, strict=True):
        assert reference.status == batched.status == "ok"
        assert reference.num_parameters == batched.num_parameters > 0
        assert reference.results[0].loss_last == pytest.approx(batched.results[0].loss_last, rel=1e-3)
