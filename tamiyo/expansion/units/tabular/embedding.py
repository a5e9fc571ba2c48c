"""From the rows of a table to features: a row is one step."""

import torch
from torch import nn

from config import Config


class Embedding(nn.Module):
    """A linear map of the row, `[B, input_size]` to `[B, 1, width]`.

    The block treats every step by itself, so that all the columns must meet in one.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.linear = nn.Linear(config.input_size, config.width)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the features of every row."""
        return self.linear(rows).unsqueeze(1)
