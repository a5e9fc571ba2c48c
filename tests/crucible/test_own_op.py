"""A caller's own op trains in both engines from its row alone, in bodies too, and is written as source."""

import pytest
import torch
from torch import nn

from blueprints import Language, compile_blueprint, emit, parse
from blueprints.ops import OPS, Op, Parameter, SourceTemplate
from crucible import Crucible
from curricula.temporal import Temporal


class Tilt(nn.Module):
    """Scales every feature and bends it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [B, T, width] to [B, T, width]."""
        return self.scale * x + x * x


TILT = Op(
    name="TILT",
    family="mixing",
    summary="Scales every feature and bends it.",
    formula="y_t = s * x_t + x_t^2",
    paper="none",
    source=SourceTemplate(init="Tilt({w_in})", forward="self.{name}({x})", classes=(Tilt,)),
    flops=lambda w_in, w_out, attributes: 3 * w_in,
    parameters=lambda w_in, w_out, attributes: (Parameter(name="scale", shape=(w_in,), init="ones"),),
    module=lambda w_in, w_out, attributes: Tilt(w_in),
)
LANGUAGE = Language(ops=(*OPS, TILT))
PROGRAMS = (
    "TILT",
    "LINEAR OUT_DIM_HALF TILT LINEAR OUT_DIM_IN TILT",
    "SCAN_START OUT_DIM_IN TANH ADD STATE_0 TANH TILT TANH SCAN_END",
)


def test_an_op_without_a_kernel_trains_alike_in_both_engines() -> None:
    blueprints = [parse(program.split(), LANGUAGE) for program in PROGRAMS]
    results = []
    for engine in ("reference", "batched"):
        with Crucible(engine=engine, num_workers=2, language=LANGUAGE) as crucible:
            results.append(crucible.evaluate(blueprints, [Temporal(epochs=1)], [0]))
    for reference, batched in zip(*results, strict=True):
        assert reference.status == batched.status == "ok"
        assert reference.num_parameters == batched.num_parameters > 0
        assert reference.results[0].loss_last == pytest.approx(batched.results[0].loss_last, rel=1e-3)


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_own_op_is_written_as_source_with_its_class(program: str) -> None:
    blueprint = parse(program.split(), LANGUAGE)
    module = compile_blueprint(blueprint, 16, LANGUAGE)
    namespace: dict = {}
    exec(compile(emit(blueprint, language=LANGUAGE), "emitted", "exec"), namespace)
    emitted = namespace["Block"](16)
    emitted.load_state_dict(dict(zip(emitted.state_dict(), module.state_dict().values(), strict=True)))
    x = torch.randn(2, 5, 16)
    assert torch.equal(module(x), emitted(x))
