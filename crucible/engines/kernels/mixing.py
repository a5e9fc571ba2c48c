"""Batched LINEAR, CONV1D and DWCONV1D; leaves recurrences to recurrent.py.

Axes: M members, T time, B examples, W width (I in, O out). A convolution reads an input that zeros lead by
(k - 1) * dilation steps, so each tap is one stacked matrix product over all steps, and stores its weight tap
by tap.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from crucible.engines.kernels.kernel import Block, Call, Kernel, Launch, packed, rows
from crucible.program import ProgramNode, Signature


def affine(x_MTBI: Tensor, weight_MOI: Tensor, bias_MO: Tensor) -> Tensor:
    """Return `x W^T + b`, `[M, T, B, O]`, for every step, by one stacked product."""
    product = _affine_product(x_MTBI.shape[-1])
    y = product(bias_MO.unsqueeze(1), rows(packed(x_MTBI)), weight_MOI.transpose(1, 2))
    return packed(y).unflatten(1, x_MTBI.shape[1:3])


def _affine_product(w_in: int) -> Callable[..., Tensor]:
    """Return what multiplies and adds; a stacked product with one column rounds differently when M is 1."""
    return torch.addcmul if w_in == 1 else torch.baddbmm


class Linear(Kernel):
    """`y = x W^T + b` for every step."""

    cost = 4

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the affine map of every step."""
        return affine(x[0], *parameters)

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return one stacked product forward, and three calls backward."""
        x, y = rows(launch.x[0]), rows(launch.y)
        weight_MOI, bias_MO = launch.parameters
        transposed, bias = weight_MOI.transpose(1, 2), bias_MO.unsqueeze(1)
        column = x.shape[2] == 1
        forward = partial(_affine_product(x.shape[2]), bias, x, transposed, out=y)
        if launch.dy is None:
            return forward, None
        dy = rows(launch.dy)
        d_weight, d_bias = launch.gradients
        dx = None if launch.dx[0] is None else rows(launch.dx[0])
        weigh = (_weigh_column if column else _weigh)(dy, x, d_weight)

        def backward() -> None:
            weigh()
            torch.sum(dy, 1, out=d_bias)
            if dx is not None:
                torch.bmm(dy, weight_MOI, out=dx)

        return forward, backward


def _weigh(dy: Tensor, x: Tensor, d_weight: Tensor) -> Call:
    return partial(torch.bmm, dy.transpose(1, 2), x, out=d_weight)


def _weigh_column(dy: Tensor, x: Tensor, d_weight: Tensor) -> Call:
    product = torch.empty_like(dy)
    d_column = d_weight.transpose(1, 2)

    def weigh() -> None:
        torch.mul(dy, x, out=product)
        torch.sum(product, 1, keepdim=True, out=d_column)

    return weigh


def _taps(signature: Signature, time: int) -> range:
    """Return the taps that see anything but zeros in sequences of at most `time` steps, newest first."""
    kernel, dilation = signature.attribute("kernel"), signature.attribute("dilation")
    num = min(kernel, -(-time // dilation))
    return range(kernel - 1, kernel - 1 - num, -1)


def _reach(signature: Signature, time: int) -> int:
    """Return the steps that the oldest tap looks back."""
    return (len(_taps(signature, time)) - 1) * signature.attribute("dilation")


def _led_by_zeros(x_MTBW: Tensor, signature: Signature) -> Tensor:
    return F.pad(x_MTBW, (0, 0, 0, 0, _reach(signature, x_MTBW.shape[1]), 0))


def _tap(index: int, weight: Tensor) -> Tensor:
    return weight[..., index]


class Convolution(Kernel):
    """`y_t = b + sum_s W_s x_(t-s*dilation)`; tap s of the weight is the s-th block after the bias."""

    cost = 12

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return a stacked product a tap, added up."""
        weight_MOIK, bias_MO = parameters
        time = x[0].shape[1]
        windows = _windows(_led_by_zeros(x[0], signature), time, signature, newest_last=True)
        weights = weight_MOIK.movedim(-1, 0).contiguous().transpose(2, 3)
        taps = _taps(signature, time)
        y = torch.baddbmm(bias_MO.unsqueeze(1), windows[0], weights[taps[0]])
        for window, tap in zip(windows[1:], taps[1:], strict=True):
            y = torch.baddbmm(y, window, weights[tap])
        return y.unflatten(1, x[0].shape[1:3])

    def blocks(self, node: ProgramNode, time: int) -> tuple[Block, ...]:
        """Return the bias, then one block a tap, the newest step first."""
        weight, bias = node.parameters
        taps = _taps(node.signature, time)
        return (
            Block(1, bias.shape),
            *(Block(0, weight.shape[:2], partial(_tap, tap)) for tap in taps),
        )

    def halo(self, signature: Signature, time: int) -> int:
        """Return the steps that the oldest tap looks back."""
        return _reach(signature, time)

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return a stacked product a tap, forward and, for input and weight, backward."""
        bias_MO, *weights = launch.parameters
        bias = bias_MO.unsqueeze(1)
        y = rows(launch.y)
        time = launch.y.shape[1]
        x_taps = _windows(launch.x[0], time, launch.signature, newest_last=True)
        forward_taps = [(x, weight.transpose(1, 2)) for x, weight in zip(x_taps, weights, strict=False)]

        def forward() -> None:
            first, *others = forward_taps
            torch.baddbmm(bias, *first, out=y)
            for x, weight in others:
                y.baddbmm_(x, weight)

        if launch.dy is None:
            return forward, None
        dy_taps = _windows(launch.dy, time, launch.signature, newest_last=False)
        dy = dy_taps[0]
        dy_transposed = dy.transpose(1, 2)
        d_bias, *d_weights = launch.gradients
        dx = None if launch.dx[0] is None else rows(launch.dx[0])
        d_weight_taps = list(zip(x_taps, d_weights, strict=False))
        dx_taps = list(zip(dy_taps, weights, strict=False))

        def backward() -> None:
            torch.sum(dy, 1, out=d_bias)
            for x, d_weight in d_weight_taps:
                torch.bmm(dy_transposed, x, out=d_weight)
            if dx is not None:
                torch.bmm(*dx_taps[0], out=dx)
                for dy_tap, weight in dx_taps[1:]:
                    dx.baddbmm_(dy_tap, weight)

        return forward, backward


def _windows(padded_MTBW: Tensor, time: int, signature: Signature, *, newest_last: bool) -> list[Tensor]:
    """Return views `[M, time * B, W]`, one a tap, from the end of the axis or from its start."""
    offsets = range(0, padded_MTBW.shape[1] - time + 1, signature.attribute("dilation"))
    return [rows(padded_MTBW[:, o : o + time]) for o in (reversed(offsets) if newest_last else offsets)]


class DepthwiseConvolution(Kernel):
    """`y_t = b + sum_s w_s * x_(t-s*dilation)`, one filter a channel."""

    cost = 16

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return a multiply-add a tap, added up."""
        weight_MWK, bias_MW = parameters[0].squeeze(2), parameters[1]
        time = x[0].shape[1]
        windows = _windows(_led_by_zeros(x[0], signature), time, signature, newest_last=True)
        y = bias_MW.unsqueeze(1)
        for window, tap in zip(windows, _taps(signature, time), strict=True):
            y = torch.addcmul(y, window, weight_MWK[:, None, :, tap])
        return y.unflatten(1, x[0].shape[1:3])

    def blocks(self, node: ProgramNode, time: int) -> tuple[Block, ...]:
        """Return the bias, then one block a tap, the newest step first."""
        weight, bias = node.parameters
        taps = _taps(node.signature, time)
        return (
            Block(1, bias.shape),
            *(Block(0, weight.shape[:1], partial(_depthwise_tap, tap)) for tap in taps),
        )

    def halo(self, signature: Signature, time: int) -> int:
        """Return the steps that the oldest tap looks back."""
        return _reach(signature, time)

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return a multiply-add a tap; weights are first spread over the examples, for long inner loops."""
        bias_MW, *weights = launch.parameters
        y_MTBW = launch.y
        M, time, B, W = y_MTBW.shape
        y = y_MTBW.flatten(2)
        x_taps = [
            x.view(M, time, B * W) for x in _windows(launch.x[0], time, launch.signature, newest_last=True)
        ]
        num = len(x_taps)
        small = torch.empty(num + 1, M, B, W, dtype=y.dtype, device=y.device)
        spread = [(s, p.unsqueeze(1)) for s, p in zip(small, (bias_MW, *weights), strict=False)]
        bias, *taps = (s.view(M, 1, B * W) for s in small)

        def forward() -> None:
            for target, source in spread:
                target.copy_(source)
            torch.addcmul(bias, x_taps[0], taps[0], out=y)
            for x, tap in zip(x_taps[1:], taps[1:], strict=True):
                y.addcmul_(x, tap)

        if launch.dy is None:
            return forward, None
        dy_taps = [
            d.view(M, time, B * W) for d in _windows(launch.dy, time, launch.signature, newest_last=False)
        ]
        dy = dy_taps[0]
        dy_rows = dy.view(M, time * B, W)
        d_bias, *d_weights = launch.gradients
        dx = None if launch.dx[0] is None else launch.dx[0].flatten(2)
        product = torch.empty_like(dy, memory_format=torch.contiguous_format)
        product_rows = product.view(M, time * B, W)

        def backward() -> None:
            torch.sum(dy_rows, 1, out=d_bias)
            for x, d_weight in zip(x_taps, d_weights, strict=False):
                torch.mul(dy, x, out=product)
                torch.sum(product_rows, 1, out=d_weight)
            if dx is not None:
                torch.mul(dy, taps[0], out=dx)
                for dy_tap, tap in zip(dy_taps[1:], taps[1:], strict=True):
                    dx.addcmul_(dy_tap, tap)

        return forward, backward


def _depthwise_tap(index: int, weight: Tensor) -> Tensor:
    return weight[:, 0, index]
