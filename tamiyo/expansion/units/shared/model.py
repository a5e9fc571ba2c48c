"""The architecture: an embedding, a stack of layers with a block each, and a head."""

import torch
from torch import nn

from block import Block
from config import Config, read_config
from embedding import Embedding
from head import Head
from initialisation import initialise
from layer import Layer


class Model(nn.Module):
    """Maps a batch of inputs to logits; config.json and the model card tell their shapes."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.layers = nn.ModuleList(Layer(config, Block(config.width)) for _ in range(config.depth))
        self.head = Head(config, self.embedding)
        initialise(self, config)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return logits, `[B, T, output_size]` of a language model, `[B, output_size]` of a classifier."""
        x = self.embedding(inputs)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def build(config: Config | None = None) -> Model:
    """Return a model with fresh weights, of the settings in config.json where none are given."""
    return Model(config or read_config())
