"""Batched activations: elementwise ops, and the winners among the features of a step.

Axes: M members, T time, B examples, W width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from crucible.engines.kernels.kernel import Call, Kernel, Launch
from crucible.program import Signature

_aten = torch.ops.aten

Out = Callable[[Tensor, Tensor], object]
Backward = Callable[[Tensor, Tensor, Tensor, Tensor], object]


@dataclass(frozen=True)
class Activation(Kernel):
    """An elementwise op: `apply(x, y)` writes y, `differentiate(dy, x, y, dx)` writes dx."""

    apply: Out
    differentiate: Backward

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the function of every element, by the calls that `bind` makes."""
        y = _Elementwise.apply(x[0], self.apply, self.differentiate)
        assert isinstance(y, Tensor)
        return y

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return one call forward and one backward."""
        x, y = launch.x[0], launch.y
        forward = partial(self.apply, x, y)
        if launch.dy is None:
            return forward, None
        dx = launch.dx[0]
        assert dx is not None
        return forward, partial(self.differentiate, launch.dy, x, y, dx)


class _Elementwise(torch.autograd.Function):
    """An activation on contiguous memory, since some calls round differently elsewhere."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, apply: Out, differentiate: Backward) -> Tensor:
        x = x.contiguous()
        y = torch.empty_like(x)
        apply(x, y)
        ctx.save_for_backward(x, y)
        ctx.differentiate = differentiate
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        x, y = ctx.saved_tensors
        dx = torch.empty_like(x)
        ctx.differentiate(gradients[0].contiguous(), x, y, dx)
        return dx, None, None


ACTIVATIONS: dict[str, Activation] = {
    "RELU": Activation(
        lambda x, y: torch.clamp_min(x, 0, out=y),
        lambda dy, x, y, dx: _aten.threshold_backward.grad_input(dy, y, 0, grad_input=dx),
    ),
    "GELU": Activation(
        lambda x, y: _aten.gelu.out(x, out=y),
        lambda dy, x, y, dx: _aten.gelu_backward.grad_input(dy, x, grad_input=dx),
    ),
    "SILU": Activation(
        lambda x, y: _aten.silu.out(x, out=y),
        lambda dy, x, y, dx: _aten.silu_backward.grad_input(dy, x, grad_input=dx),
    ),
    "TANH": Activation(
        lambda x, y: torch.tanh(x, out=y),
        lambda dy, x, y, dx: _aten.tanh_backward.grad_input(dy, y, grad_input=dx),
    ),
    "SIGMOID": Activation(
        lambda x, y: torch.sigmoid(x, out=y),
        lambda dy, x, y, dx: _aten.sigmoid_backward.grad_input(dy, y, grad_input=dx),
    ),
    "LEAKY_RELU": Activation(
        lambda x, y: _aten.leaky_relu.out(x, 0.01, out=y),
        lambda dy, x, y, dx: _aten.leaky_relu_backward.grad_input(dy, x, 0.01, False, grad_input=dx),
    ),
    "ELU": Activation(
        lambda x, y: _aten.elu.out(x, out=y),
        lambda dy, x, y, dx: _aten.elu_backward.grad_input(dy, 1, 1, 1, False, x, grad_input=dx),
    ),
    "SOFTPLUS": Activation(
        lambda x, y: _aten.softplus.out(x, out=y),
        lambda dy, x, y, dx: _aten.softplus_backward.grad_input(dy, x, 1, 20, grad_input=dx),
    ),
    "SIN": Activation(
        lambda x, y: torch.sin(x, out=y),
        lambda dy, x, y, dx: torch.cos(x, out=dx).mul_(dy),
    ),
    "MISH": Activation(
        lambda x, y: _aten.mish.out(x, out=y),
        lambda dy, x, y, dx: dx.copy_(_aten.mish_backward(dy, x)),
    ),
    "HARD_SWISH": Activation(
        lambda x, y: _aten.hardswish.out(x, out=y),
        lambda dy, x, y, dx: _aten.hardswish_backward.out(dy, x, out=dx),
    ),
    "SQUARE_RELU": Activation(
        lambda x, y: torch.clamp_min(x, 0, out=y).square_(),
        lambda dy, x, y, dx: torch.clamp_min(x, 0, out=dx).mul_(dy).mul_(2),
    ),
    "ABS": Activation(
        lambda x, y: torch.abs(x, out=y),
        lambda dy, x, y, dx: torch.sgn(x, out=dx).mul_(dy),
    ),
}


class KWinners(Kernel):
    """`y = x` where x is among the W // divisor largest of its step, ties included, else 0."""

    cost = 6

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the winners."""
        return x[0] * (x[0] >= _least_winner(x[0], signature))

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return a selection forward; backward passes the winners' gradient."""
        x, y, signature = launch.x[0], launch.y, launch.signature
        wins = torch.empty_like(y)

        def forward() -> None:
            torch.ge(x, _least_winner(x, signature), out=wins)
            torch.mul(x, wins, out=y)

        if launch.dy is None:
            return forward, None
        dx = launch.dx[0]
        assert dx is not None
        return forward, partial(torch.mul, launch.dy, wins, out=dx)


def _least_winner(x_MTBW: Tensor, signature: Signature) -> Tensor:
    num = signature.width // signature.attribute("divisor")
    return x_MTBW.detach().topk(num, dim=-1).values[..., -1:]
