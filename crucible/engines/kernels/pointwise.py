"""Batched activations, merges, pools and LAYERNORM; leaves matrix products to mixing.py.

Axes: M members, T time, B examples, W width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from crucible.engines.kernels.kernel import Call, Kernel, Launch, rows
from crucible.program import Signature

_aten = torch.ops.aten

Out = Callable[[Tensor, Tensor], object]
Backward = Callable[[Tensor, Tensor, Tensor, Tensor], object]


@dataclass(frozen=True)
class Activation(Kernel):
    """An elementwise op: `apply(x, y)` writes y, `differentiate(dy, x, y, dx)` writes dx."""

    apply: Out
    differentiate: Backward

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return one call forward and one backward."""
        x, y = launch.x[0], launch.y
        forward = partial(self.apply, x, y)
        if launch.dy is None:
            return forward, None
        dx = launch.dx[0]
        assert dx is not None
        return forward, partial(self.differentiate, launch.dy, x, y, dx)


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
}


def _reduce_like(gradient_MTBW: Tensor, dx: Tensor) -> Call:
    return partial(torch.sum, gradient_MTBW, 1, keepdim=True, out=dx)


class Add(Kernel):
    """`y = a + b`; a single step is broadcast along a sequence."""

    def passes(self, signature: Signature, position: int) -> bool:
        """An input as long as the output shares its gradient."""
        return signature.sequences[position] == signature.sequence

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return one call forward; backward only sums over time for a single step."""
        forward = partial(torch.add, *launch.x, out=launch.y)
        if launch.dy is None:
            return forward, None
        sums = [
            _reduce_like(launch.dy, dx)
            for position, dx in enumerate(launch.dx)
            if dx is not None and not self.passes(launch.signature, position)
        ]
        return forward, sums[0] if sums else None


class Multiply(Kernel):
    """`y = a * b`; a single step is broadcast along a sequence."""

    cost = 3

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return one call forward; backward multiplies by the other input."""
        forward = partial(torch.mul, *launch.x, out=launch.y)
        if launch.dy is None:
            return forward, None
        calls: list[Call] = []
        for dx, other in zip(launch.dx, reversed(launch.x), strict=True):
            if dx is None:
                continue
            if dx.shape == launch.dy.shape:
                calls.append(partial(torch.mul, launch.dy, other, out=dx))
            else:
                product = torch.empty_like(launch.dy)
                calls += [partial(torch.mul, launch.dy, other, out=product), _reduce_like(product, dx)]

        def backward() -> None:
            for call in calls:
                call()

        return forward, backward


class PoolMean(Kernel):
    """`y = mean_t x_t`."""

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return a mean over time; backward spreads it."""
        x, y = launch.x[0], launch.y
        forward = partial(torch.mean, x, 1, keepdim=True, out=y)
        if launch.dy is None:
            return forward, None
        dx = launch.dx[0]
        assert dx is not None
        return forward, partial(torch.mul, launch.dy.expand_as(dx), 1.0 / x.shape[1], out=dx)


class PoolMax(Kernel):
    """`y = max_t x_t`; ties share the gradient evenly, as in torch.amax."""

    cost = 5

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return a maximum over time; backward divides by the number of steps that reach it."""
        x, y, dy = launch.x[0], launch.y, launch.dy
        forward = partial(torch.amax, x, 1, keepdim=True, out=y)
        if dy is None:
            return forward, None
        dx = launch.dx[0]
        assert dx is not None
        share = torch.empty_like(y)

        def backward() -> None:
            torch.eq(x, y, out=dx)
            torch.sum(dx, 1, keepdim=True, out=share)
            torch.div(dy, share, out=share)
            dx.mul_(share)

        return forward, backward


class PoolLast(Kernel):
    """`y = x_T`."""

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return a copy of the last step; backward writes zeros before it."""
        x, y, dy = launch.x[0], launch.y, launch.dy
        forward = partial(y.copy_, x[:, -1:])
        if dy is None:
            return forward, None
        dx = launch.dx[0]
        assert dx is not None
        before, last = dx[:, :-1], dx[:, -1:]

        def backward() -> None:
            before.zero_()
            last.copy_(dy)

        return forward, backward


class LayerNorm(Kernel):
    """`y = g * (x - mean) / sqrt(var + 1e-5) + b`, each step by itself."""

    cost = 12

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return torch's fused norm without scale, and scale and shift for each member."""
        x, y = rows(launch.x[0]), rows(launch.y)
        scale, shift = (p.unsqueeze(1) for p in launch.parameters)
        shape = [x.shape[-1]]
        saved: list[Tensor] = []

        def forward() -> None:
            normal, mean, inverse = torch.native_layer_norm(x, shape, None, None, 1e-5)
            torch.addcmul(shift, normal, scale, out=y)
            saved[:] = normal, mean, inverse

        if launch.dy is None:
            return forward, None
        dy = rows(launch.dy)
        dx = None if launch.dx[0] is None else rows(launch.dx[0])
        d_scale, d_shift = launch.gradients
        product = torch.empty_like(dy)

        def backward() -> None:
            normal, mean, inverse = saved
            torch.mul(dy, normal, out=product)
            torch.sum(product, 1, out=d_scale)
            torch.sum(dy, 1, out=d_shift)
            if dx is not None:
                torch.mul(dy, scale, out=product)
                dx.copy_(
                    _aten.native_layer_norm_backward(
                        product, x, shape, mean, inverse, None, None, [True, False, False]
                    )[0]
                )

        return forward, backward
