"""The torch modules of the further activations; nn.Module classes of torch wherever it has one."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from blueprints.modules.core import ModuleBuilder


class Sin(nn.Module):
    """The sine of every element."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return sin(x)."""
        return torch.sin(x)


class SquareReLU(nn.Module):
    """The squared rectifier."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return max(x, 0)^2."""
        return F.relu(x).square()


class Abs(nn.Module):
    """The magnitude of every element."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return |x|."""
        return x.abs()


class KWinners(nn.Module):
    """Keeps the W // divisor largest features of each step of `[B, T, W]`, ties included; zero elsewhere."""

    def __init__(self, divisor: int) -> None:
        super().__init__()
        self.divisor = divisor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the winners, `[B, T, W]`."""
        least = x.topk(x.shape[-1] // self.divisor, dim=-1).values[..., -1:]
        return x * (x >= least)


ACTIVATION_MODULES: Mapping[str, ModuleBuilder] = {
    "LEAKY_RELU": lambda w_in, w_out, attributes: nn.LeakyReLU(),
    "ELU": lambda w_in, w_out, attributes: nn.ELU(),
    "SOFTPLUS": lambda w_in, w_out, attributes: nn.Softplus(),
    "SIN": lambda w_in, w_out, attributes: Sin(),
    "MISH": lambda w_in, w_out, attributes: nn.Mish(),
    "HARD_SWISH": lambda w_in, w_out, attributes: nn.Hardswish(),
    "SQUARE_RELU": lambda w_in, w_out, attributes: SquareReLU(),
    "ABS": lambda w_in, w_out, attributes: Abs(),
    "KWINNERS": lambda w_in, w_out, attributes: KWinners(attributes["divisor"]),
}
