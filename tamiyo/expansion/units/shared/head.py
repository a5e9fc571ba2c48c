"""Reads classes from the last layer."""

import torch
from torch import nn

from config import Config


class Head(nn.Module):
    """Mean over the steps, then class scores: `[B, T, width]` to `[B, output_size]`."""

    def __init__(self, config: Config, embedding: nn.Module) -> None:
        super().__init__()
        norm = nn.RMSNorm if config.normalisation == "rmsnorm" else nn.LayerNorm
        self.features = nn.Sequential()
        if config.head != "linear":
            self.features.append(norm(config.width))
        if config.head == "mlp":
            self.features.extend([nn.Linear(config.width, config.width), nn.GELU()])
        self.output = nn.Linear(config.width, config.output_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of every sequence."""
        return self.output(self.features(x.mean(dim=1)))
