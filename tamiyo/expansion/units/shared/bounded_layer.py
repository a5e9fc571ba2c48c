"""One layer: a block whose values may grow fast, between inputs of length one and a normalisation."""

import torch
import torch.nn.functional as F
from torch import nn

from config import Config

NORMALISATIONS = {"none": nn.Identity, "layernorm": nn.LayerNorm, "rmsnorm": nn.RMSNorm}


class Layer(nn.Module):
    """Residual layer on `[B, T, width]` that bounds its block on both sides (as Ding et al. 2021 do).

    No feature of the block's input exceeds one, so that powers of it stay finite; what the block makes of it
    is brought to one size. A single step, `[B, 1, width]`, is added to every step.
    """

    def __init__(self, config: Config, block: nn.Module) -> None:
        super().__init__()
        self.block = block
        self.norm = NORMALISATIONS[config.normalisation](config.width)
        self.gain = nn.Parameter(torch.ones(config.width))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x and what the block makes of its direction."""
        return x + self.dropout(self.gain * self.norm(self.block(F.normalize(x, dim=-1))))
