"""MiniSeedNet: the host that holds a blueprint while it is examined; affine outside its slot."""

from collections.abc import Mapping

import torch
from torch import nn

from blueprints.compiler import BlueprintModule
from blueprints.modules import MODULES, ModuleBuilder
from blueprints.modules.features import Scale
from crucible.program import Program


class MiniSeedNet(nn.Module):
    """`Linear(in -> D)` or `Embedding(V, D)`, slot, and a readout of the mean over time or of every step.

    With the identity in its slot a pooled host is a linear model of the mean step, and one of every step a
    linear model of that step. `parameters()` come in the order of `Program.parameters`.
    """

    def __init__(self, program: Program, slot: nn.Module) -> None:
        super().__init__()
        embeds = program.input_kind == "embedding"
        self.input = (nn.Embedding if embeds else nn.Linear)(program.input_width, program.width)
        self.slot = slot
        self.readout = nn.Linear(program.width, program.output_width)
        self._is_per_step = program.head.is_per_step

    def freeze(self) -> None:
        """Let the slot alone learn."""
        self.input.requires_grad_(False)
        self.readout.requires_grad_(False)

    def pooled(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the slot's output, averaged over time, `[B, D]`."""
        return self.slot(self.input(inputs)).mean(dim=1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs `[B, K]`, or `[B, T, K]` of every step; a slot's single step stands for all."""
        if not self._is_per_step:
            return self.readout(self.pooled(inputs))
        return self.readout(self.slot(self.input(inputs)).expand(-1, inputs.shape[1], -1))


class Grafted(nn.Module):
    """`x + g * B(x)` with a gain g a channel, zero at the start: at first B changes nothing."""

    def __init__(self, blueprint: nn.Module, width: int) -> None:
        super().__init__()
        self.blueprint = blueprint
        self.gate = Scale(width)
        nn.init.zeros_(self.gate.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum `[B, T, D]`; a blueprint's single step is added to every step."""
        return x + self.gate(self.blueprint(x))


def build_host(program: Program, modules: Mapping[str, ModuleBuilder] = MODULES) -> MiniSeedNet:
    """Return the module that computes what `program` says, with torch's default initial values."""
    blueprint = BlueprintModule(program.graph, program.width, modules)
    return MiniSeedNet(program, blueprint if program.graft is None else Grafted(blueprint, program.width))


def load_parameters(module: nn.Module, flat_P: torch.Tensor) -> None:
    """Copy a flat vector of parameters into `module`."""
    nn.utils.vector_to_parameters(flat_P, module.parameters())
