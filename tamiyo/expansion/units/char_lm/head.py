"""Reads the next character from every step of the last layer."""

import torch
from torch import nn

from config import Config


class Head(nn.Module):
    """Scores of the next character, `[B, T, width]` to `[B, T, output_size]`.

    The last matrix is the embedding's own (Press and Wolf 2017).
    """

    def __init__(self, config: Config, embedding: nn.Module) -> None:
        super().__init__()
        norm = nn.RMSNorm if config.normalisation == "rmsnorm" else nn.LayerNorm
        self.features = nn.Sequential()
        if config.head != "linear":
            self.features.append(norm(config.width))
        if config.head == "mlp":
            self.features.extend([nn.Linear(config.width, config.width), nn.GELU()])
        self.output = nn.Linear(config.width, config.output_size)
        self.output.weight = embedding.get_parameter("tokens.weight")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits at every step."""
        return self.output(self.features(x))
