"""One layer: the block between a normalisation and a residual connection."""

import torch
from torch import nn

from config import Config

NORMALISATIONS = {"none": nn.Identity, "layernorm": nn.LayerNorm, "rmsnorm": nn.RMSNorm}


class Layer(nn.Module):
    """Pre-norm residual layer on `[B, T, width]` (Xiong et al. 2020), a gain a feature (Touvron et al. 2021).

    A block that ends in a single step, `[B, 1, width]`, adds it to every step.
    """

    def __init__(self, config: Config, block: nn.Module) -> None:
        super().__init__()
        self.norm = NORMALISATIONS[config.normalisation](config.width)
        self.block = block
        self.gain = nn.Parameter(torch.ones(config.width))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x and what the block makes of it."""
        return x + self.dropout(self.gain * self.block(self.norm(x)))
