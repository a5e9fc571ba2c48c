"""Batched merges: sum, product, side by side, blend; a single step is broadcast along a sequence.

Axes: M members, T time, B examples, W width.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from crucible.engines.kernels.kernel import Call, Kernel, Launch
from crucible.program import Signature


def _reduce_like(gradient_MTBW: Tensor, dx: Tensor) -> Call:
    return partial(torch.sum, gradient_MTBW, 1, keepdim=True, out=dx)


def _in_turn(calls: Sequence[Call]) -> Call:
    def run() -> None:
        for call in calls:
            call()

    return run


class Add(Kernel):
    """`y = a + b`."""

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the sum."""
        return x[0] + x[1]

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
    """`y = a * b`."""

    cost = 3

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the product."""
        return x[0] * x[1]

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
        return forward, _in_turn(calls)


class Concat(Kernel):
    """`y = [a, b]`."""

    cost = 4

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the inputs along the features."""
        time = max(value.shape[1] for value in x)
        return torch.cat([value.expand(-1, time, -1, -1) for value in x], dim=-1)

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return a copy an input; backward copies back, or sums over time for a single step."""
        widths = launch.signature.widths
        parts = launch.y.split(widths, dim=-1)
        forward = _in_turn([partial(y.copy_, x.expand_as(y)) for y, x in zip(parts, launch.x, strict=True)])
        if launch.dy is None:
            return forward, None
        calls: list[Call] = []
        for dx, dy in zip(launch.dx, launch.dy.split(widths, dim=-1), strict=True):
            if dx is not None:
                calls.append(partial(dx.copy_, dy) if dx.shape == dy.shape else _reduce_like(dy, dx))
        return forward, _in_turn(calls)


class Blend(Kernel):
    """`y = z * a + (1 - z) * b`."""

    cost = 10

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the blend."""
        z, a, b = x
        return z * a + (1 - z) * b

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return two calls forward; backward weighs the gradient for each input."""
        z, a, b = launch.x
        y, dy = launch.y, launch.dy
        one = torch.ones((), dtype=y.dtype, device=y.device)

        def forward() -> None:
            torch.mul(z.expand_as(y), a.expand_as(y), out=y)
            y.addcmul_(one - z, b)

        if dy is None:
            return forward, None
        dz, da, db = launch.dx
        products = [
            dy if dx is None else dx if dx.shape == dy.shape else torch.empty_like(dy) for dx in launch.dx
        ]
        by_z, by_a, by_b = products
        sums = [
            _reduce_like(product, dx)
            for product, dx in zip(products, launch.dx, strict=True)
            if dx is not None and dx is not product
        ]

        def backward() -> None:
            if dz is not None:
                torch.mul(dy, a - b, out=by_z)
            if da is not None:
                torch.mul(dy, z, out=by_a)
            if db is not None:
                torch.mul(dy, one - z, out=by_b)
            for reduce in sums:
                reduce()

        return forward, backward
