"""A user's own op, from its row to training and to plain source; run it with `python docs/examples/own_op.py`."""

import torch
from torch import nn

from blueprints import OPS, Language, Op, Parameter, SourceTemplate, emit, parse
from crucible import Crucible
from curricula.suites import task_named


class Snake(nn.Module):
    """x + sin(a x)^2 / a, with one frequency a feature (Ziyin et al. 2020)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.sin(self.a * x).square() / self.a


SNAKE = Op(
    name="SNAKE",
    family="activation",
    summary="A periodic activation with a learned frequency.",
    formula="x + sin(a x)^2 / a",
    paper="Ziyin et al. 2020",
    source=SourceTemplate(init="Snake({w_in})", forward="self.{name}({x})", classes=(Snake,)),
    parameters=lambda w_in, w_out, attributes: (Parameter(name="a", shape=(w_in,), init="ones"),),
    flops=lambda w_in, w_out, attributes: 12 * w_in,
    module=lambda w_in, w_out, attributes: Snake(w_in),
)

if __name__ == "__main__":
    language = Language(ops=(*OPS, SNAKE))
    blueprint = parse("RES_START LINEAR OUT_DIM_DOUBLE SNAKE LINEAR OUT_DIM_IN RES_END".split(), language)
    with Crucible(language=language, num_workers=1) as crucible:
        [evaluation] = crucible.evaluate([blueprint], [task_named("xor")], seeds=[0])
    print(f"score {evaluation.results[0].score:.3f}", emit(blueprint, language=language), sep="\n")
