"""The torch modules of the core ops: one builder a row of the op table, sharing its parameter names."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import nn

from blueprints.graph import ADD, MUL

#: (input channels, output channels, attributes with widths as channels) to a module on `[B, T, W]`.
ModuleBuilder = Callable[[int, int, Mapping[str, int]], nn.Module]


class CausalConv1d(nn.Module):
    """A convolution over time on `[B, T, W]` whose step t sees steps up to t alone."""

    def __init__(self, w_in: int, w_out: int, kernel_size: int, dilation: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(w_in, w_out, kernel_size, dilation=dilation, groups=groups)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, T, w_in]` to `[B, T, w_out]`."""
        reach = (self.conv.kernel_size[0] - 1) * self.conv.dilation[0]
        return self.conv(F.pad(x.transpose(1, 2), (reach, 0))).transpose(1, 2)


class GatedRecurrentUnit(nn.Module):
    """nn.GRU that returns the states alone."""

    def __init__(self, w_in: int, w_out: int) -> None:
        super().__init__()
        self.gru = nn.GRU(w_in, w_out, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, T, w_in]` to the states `[B, T, w_out]`."""
        return self.gru(x)[0]


class PoolMean(nn.Module):
    """Mean over time, `[B, T, W]` to `[B, 1, W]`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean step."""
        return x.mean(dim=1, keepdim=True)


class PoolMax(nn.Module):
    """Maximum over time, `[B, T, W]` to `[B, 1, W]`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the largest value of each feature."""
        return x.amax(dim=1, keepdim=True)


class PoolLast(nn.Module):
    """The last step, `[B, T, W]` to `[B, 1, W]`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last step."""
        return x[:, -1:]


class Add(nn.Module):
    """Sum of two values; a single step is broadcast."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return x + y."""
        return x + y


class Mul(nn.Module):
    """Product of two values; a single step is broadcast."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return x * y."""
        return x * y


CORE_MODULES: Mapping[str, ModuleBuilder] = {
    "LINEAR": lambda w_in, w_out, attributes: nn.Linear(w_in, w_out),
    "CONV1D": lambda w_in, w_out, attributes: CausalConv1d(
        w_in, w_out, attributes["kernel"], attributes["dilation"]
    ),
    "DWCONV1D": lambda w_in, w_out, attributes: CausalConv1d(
        w_in, w_in, attributes["kernel"], attributes["dilation"], groups=w_in
    ),
    "GRU": lambda w_in, w_out, attributes: GatedRecurrentUnit(w_in, w_out),
    "POOL_MEAN": lambda w_in, w_out, attributes: PoolMean(),
    "POOL_MAX": lambda w_in, w_out, attributes: PoolMax(),
    "POOL_LAST": lambda w_in, w_out, attributes: PoolLast(),
    "LAYERNORM": lambda w_in, w_out, attributes: nn.LayerNorm(w_in),
    "RELU": lambda w_in, w_out, attributes: nn.ReLU(),
    "GELU": lambda w_in, w_out, attributes: nn.GELU(),
    "SILU": lambda w_in, w_out, attributes: nn.SiLU(),
    "TANH": lambda w_in, w_out, attributes: nn.Tanh(),
    "SIGMOID": lambda w_in, w_out, attributes: nn.Sigmoid(),
    ADD: lambda w_in, w_out, attributes: Add(),
    MUL: lambda w_in, w_out, attributes: Mul(),
}
