"""From the rows of a table to features: a column is a step."""

import torch
from torch import nn

from config import Config


class Embedding(nn.Module):
    """A vector a column, scaled by its value, and another that names it: `[B, T]` to `[B, T, width]`.

    The block carries information from step to step and so from column to column (Gorishniy et al. 2021).
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(config.input_size, config.width) * 0.5)
        self.bias = nn.Parameter(torch.randn(config.input_size, config.width) * 0.5)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the features of every column of every row."""
        return rows.unsqueeze(-1) * self.weight + self.bias
