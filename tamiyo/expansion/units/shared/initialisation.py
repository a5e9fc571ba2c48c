"""Initial weights of what stands around the blocks; a block's own are those it was discovered with."""

import torch
from torch import nn

from config import Config


@torch.no_grad()
def initialise(model: nn.Module, config: Config) -> None:
    """Set initial weights in place.

    `default` leaves PyTorch's. `small_normal` draws the matrices of embedding and head with a deviation of
    0.02 (Radford et al. 2019). `depth_scaled` starts the layers' gains at 1 / sqrt(depth), so that the sum
    of what they add is as large in a deep stack as in a shallow one.
    """
    if config.initialisation == "small_normal":
        surroundings = (model.get_submodule("embedding"), model.get_submodule("head"))
        for module in (module for unit in surroundings for module in unit.modules()):
            if isinstance(module, nn.Linear | nn.Embedding):
                module.weight.normal_(std=0.02)
    if config.initialisation == "depth_scaled":
        for layer in model.get_submodule("layers").children():
            layer.get_parameter("gain").fill_(config.depth**-0.5)
