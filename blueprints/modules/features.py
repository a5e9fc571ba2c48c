"""The torch modules that norm, scale or mix the features of each step by itself."""

from collections.abc import Mapping

import torch
from torch import nn

from blueprints.modules.core import ModuleBuilder


class Scale(nn.Module):
    """A learned gain for every feature of `[B, T, width]`, one at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return weight * x."""
        return self.weight * x


class MixtureOfExperts(nn.Module):
    """Linear experts on `[B, T, width]`, all of them run, weighed at each step by a softmax gate."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, num_experts)
        self.experts = nn.Linear(width, num_experts * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the weighed sum of the experts' outputs, `[B, T, width]`."""
        gate = torch.softmax(self.gate(x), dim=-1)
        outputs = self.experts(x).unflatten(-1, (gate.shape[-1], -1))
        return (gate.unsqueeze(-1) * outputs).sum(dim=-2)


FEATURE_MODULES: Mapping[str, ModuleBuilder] = {
    "RMSNORM": lambda w_in, w_out, attributes: nn.RMSNorm(w_in, eps=1e-5),
    "SCALE": lambda w_in, w_out, attributes: Scale(w_in),
    "MOE": lambda w_in, w_out, attributes: MixtureOfExperts(w_in, attributes["experts"]),
}
