"""Batched pools over time, and the shift by one step.

Axes: M members, T time, B examples, W width.
"""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from crucible.engines.kernels.kernel import Call, Kernel, Launch
from crucible.program import Signature


class PoolMean(Kernel):
    """`y = mean_t x_t`."""

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the mean step."""
        return x[0].mean(1, keepdim=True)

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

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the largest value of each feature."""
        return x[0].amax(1, keepdim=True)

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

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the last step."""
        return x[0][:, -1:]

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


class Shift(Kernel):
    """`y_t = x_(t-1)`, zero first."""

    cost = 4

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the input one step later."""
        return F.pad(x[0], (0, 0, 0, 0, 1, 0))[:, :-1]

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return a copy one step later; backward copies one step earlier."""
        forward = _shifted(launch.x[0][:, :-1], launch.y[:, 1:], launch.y[:, :1])
        if launch.dy is None:
            return forward, None
        dx = launch.dx[0]
        assert dx is not None
        return forward, _shifted(launch.dy[:, 1:], dx[:, :-1], dx[:, -1:])


def _shifted(source: Tensor, target: Tensor, empty: Tensor) -> Call:
    def shift() -> None:
        target.copy_(source)
        empty.zero_()

    return shift
