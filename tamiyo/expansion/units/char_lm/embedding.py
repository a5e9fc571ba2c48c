"""From characters to features."""

import math

import torch
from torch import nn

from config import Config


class Embedding(nn.Module):
    """A learned vector a character and, where asked, its place: `[B, T]` of ids to `[B, T, width]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.input_size, config.width)
        nn.init.normal_(self.tokens.weight, std=config.width**-0.5)  # as large as the head's logits need it
        if config.positions == "learned":
            self.positions = nn.Parameter(torch.randn(config.max_length, config.width) * config.width**-0.5)
        elif config.positions == "sinusoidal":
            self.register_buffer("positions", sinusoids(config.max_length, config.width) * config.width**-0.5)
        else:
            self.positions = None

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the features of every step."""
        x = self.tokens(ids)
        return x if self.positions is None else x + self.positions[: ids.shape[1]]


def sinusoids(length: int, width: int) -> torch.Tensor:
    """Return sines and cosines of steps at falling frequencies, `[length, width]` (Vaswani et al. 2017)."""
    frequencies = torch.exp(-math.log(10_000) * torch.arange(0, width, 2) / width)
    angles = torch.arange(length).unsqueeze(1) * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
