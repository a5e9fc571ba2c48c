"""Batched norms, gains and mixtures of experts: ops on the features of each step by itself.

Axes: M members, T time, B examples, W width, E experts; N = T * B.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from crucible.engines.kernels.kernel import AutogradKernel, Call, Kernel, Launch, rows
from crucible.engines.kernels.mixing import affine
from crucible.program import Signature

_aten = torch.ops.aten


class LayerNorm(Kernel):
    """`y = g * (x - mean) / sqrt(var + 1e-5) + b`, each step by itself."""

    cost = 12

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the scaled and shifted norm."""
        normal = F.layer_norm(x[0], x[0].shape[-1:])
        scale, shift = (p[:, None, None] for p in parameters)
        return torch.addcmul(shift, normal, scale)

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


class RmsNorm(Kernel):
    """`y = g * x / sqrt(mean(x^2) + 1e-5)`, each step by itself."""

    cost = 14

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the scaled norm."""
        inverse = (x[0].square().mean(-1, keepdim=True) + 1e-5).rsqrt()
        return x[0] * inverse * parameters[0][:, None, None]

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return a handful of calls forward and backward."""
        x, y = rows(launch.x[0]), rows(launch.y)
        scale = launch.parameters[0].unsqueeze(1)
        normal, product = torch.empty_like(y), torch.empty_like(y)
        inverse = torch.empty_like(y[..., :1])

        def forward() -> None:
            torch.mul(x, x, out=product)
            torch.mean(product, -1, keepdim=True, out=inverse)
            inverse.add_(1e-5).rsqrt_()
            torch.mul(x, inverse, out=normal)
            torch.mul(normal, scale, out=y)

        if launch.dy is None:
            return forward, None
        dy = rows(launch.dy)
        dx = None if launch.dx[0] is None else rows(launch.dx[0])
        (d_scale,) = launch.gradients
        share = torch.empty_like(inverse)

        def backward() -> None:
            torch.mul(dy, normal, out=product)
            torch.sum(product, 1, out=d_scale)
            if dx is not None:
                torch.mul(product, scale, out=product)
                torch.mean(product, -1, keepdim=True, out=share)
                torch.mul(dy, scale, out=dx)
                dx.addcmul_(normal, share, value=-1).mul_(inverse)

        return forward, backward


class Scale(Kernel):
    """`y = g * x`."""

    cost = 4

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the scaled input."""
        return x[0] * parameters[0][:, None, None]

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return one product forward and two backward."""
        x, y = rows(launch.x[0]), rows(launch.y)
        scale = launch.parameters[0].unsqueeze(1)

        def forward() -> None:
            torch.mul(x, scale, out=y)

        if launch.dy is None:
            return forward, None
        dy = rows(launch.dy)
        dx = None if launch.dx[0] is None else rows(launch.dx[0])
        (d_scale,) = launch.gradients
        product = torch.empty_like(y)

        def backward() -> None:
            torch.mul(dy, x, out=product)
            torch.sum(product, 1, out=d_scale)
            if dx is not None:
                torch.mul(dy, scale, out=dx)

        return forward, backward


class MixtureOfExperts(AutogradKernel):
    """`y = sum_e g_e (W_e x + b_e)` with `g = softmax(V x + c)`; all experts are one stacked product."""

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the weighed sum of the experts."""
        gate_weight, gate_bias, weight, bias = parameters
        gate_MTBE = torch.softmax(affine(x[0], gate_weight, gate_bias), -1)
        outputs_MTBEW = affine(x[0], weight, bias).unflatten(-1, (signature.attribute("experts"), -1))
        return (gate_MTBE.unsqueeze(-1) * outputs_MTBEW).sum(-2)
