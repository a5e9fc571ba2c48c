"""The torch modules of the merges beyond sum and product."""

from collections.abc import Mapping

import torch
from torch import nn

from blueprints.modules.core import ModuleBuilder


class Concat(nn.Module):
    """Two values side by side, `[B, T, W]` and `[B, T, V]` to `[B, T, W + V]`; a single step is repeated."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return x and y along the features."""
        time = max(x.shape[1], y.shape[1])
        return torch.cat([x.expand(-1, time, -1), y.expand(-1, time, -1)], dim=-1)


class Blend(nn.Module):
    """Two values of equal width, blended by a third; a single step is broadcast."""

    def forward(self, z: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return z * a + (1 - z) * b."""
        return z * a + (1 - z) * b


MERGE_MODULES: Mapping[str, ModuleBuilder] = {
    "CONCAT": lambda w_in, w_out, attributes: Concat(),
    "BLEND": lambda w_in, w_out, attributes: Blend(),
}
