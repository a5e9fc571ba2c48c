"""Batched ops of the host that no blueprint has: an embedding of symbols, and a single step spread over all.

Axes: M members, T time, B examples, V symbols, W width.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from crucible.engines.kernels.kernel import Call, Kernel, Launch, rows
from crucible.program import Signature


class Embedding(Kernel):
    """`y = E[x]`, where x holds the numbers of symbols."""

    cost = 4

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the row of each symbol."""
        symbols_MN1 = rows(x[0]).long()
        y = torch.gather(parameters[0], 1, symbols_MN1.expand(-1, -1, signature.width))
        return y.unflatten(1, x[0].shape[1:3])

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return a gather; backward multiplies by one-hot symbols, so that sums are always of one order."""
        x, y = rows(launch.x[0]), rows(launch.y)
        (table_MVW,) = launch.parameters
        symbols_MN1 = torch.zeros(x.shape, dtype=torch.int64, device=x.device)
        index_MNW = symbols_MN1.expand_as(y)

        def forward() -> None:
            symbols_MN1.copy_(x)
            torch.gather(table_MVW, 1, index_MNW, out=y)

        if launch.dy is None:
            return forward, None
        dy, (d_table,) = rows(launch.dy), launch.gradients
        all_V = torch.arange(table_MVW.shape[1], dtype=x.dtype, device=x.device)
        one_hot_MNV = x.new_empty(*x.shape[:2], len(all_V))
        transposed = one_hot_MNV.transpose(1, 2)

        def backward() -> None:
            torch.eq(x, all_V, out=one_hot_MNV)
            torch.bmm(transposed, dy, out=d_table)

        return forward, backward


class Spread(Kernel):
    """`y_t = x` for every step t."""

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the single step, which stands for all."""
        return x[0]

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return a copy to every step; backward adds the steps up."""
        forward = partial(launch.y.copy_, launch.x[0].expand_as(launch.y))
        if launch.dy is None:
            return forward, None
        return forward, partial(torch.sum, launch.dy, 1, keepdim=True, out=launch.dx[0])
