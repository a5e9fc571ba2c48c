"""MiniSeedNet: the host that holds a blueprint while it is examined; affine outside its slot."""

from collections.abc import Mapping

import torch
from torch import nn

from blueprints.compiler import BlueprintModule
from blueprints.modules import MODULES, ModuleBuilder
from crucible.program import Program


class MiniSeedNet(nn.Module):
    """`Linear(in -> D)`, slot, mean over time, `Linear(D -> classes)`.

    With the identity in its slot it is a linear model of the mean step. `parameters()` come in the order of
    `Program.parameters`.
    """

    def __init__(self, slot: nn.Module, input_width: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.input = nn.Linear(input_width, width)
        self.slot = slot
        self.readout = nn.Linear(width, num_classes)

    def pooled(self, x_BTF: torch.Tensor) -> torch.Tensor:
        """Return the slot's output, averaged over time, `[B, D]`."""
        return self.slot(self.input(x_BTF)).mean(dim=1)

    def forward(self, x_BTF: torch.Tensor) -> torch.Tensor:
        """Return the logits `[B, classes]`."""
        return self.readout(self.pooled(x_BTF))


def build_host(program: Program, modules: Mapping[str, ModuleBuilder] = MODULES) -> MiniSeedNet:
    """Return the module that computes what `program` says, with torch's default initial values."""
    slot = BlueprintModule(program.graph, program.width, modules)
    return MiniSeedNet(slot, program.input_width, program.width, program.num_classes)


def load_parameters(module: nn.Module, flat_P: torch.Tensor) -> None:
    """Copy a flat vector of parameters into `module`."""
    nn.utils.vector_to_parameters(flat_P, module.parameters())
