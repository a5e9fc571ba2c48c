"""Batched attention, with a softmax and without one (fast weights); recurrences are in recurrent.py.

Axes: M members, T time, B examples, W width, H heads of width W / H. A score belongs to two steps, `TT`.
"""

from collections.abc import Sequence
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from crucible.engines.kernels.kernel import AutogradKernel, packed
from crucible.engines.kernels.mixing import affine
from crucible.program import Signature


def _by_head(x_MTBW: Tensor, heads: int) -> Tensor:
    """Return `[M * B * H, T, W / H]`."""
    return packed(x_MTBW.unflatten(-1, (heads, -1)).permute(0, 2, 3, 1, 4).flatten(0, 2))


class Attention(AutogradKernel):
    """Multi-head self-attention, causal unless `full`."""

    cost = 60

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the attended values."""
        in_weight, in_bias, out_weight, out_bias = parameters
        heads = signature.attribute("heads")
        M, T, B, W = x[0].shape
        query, key, value = (_by_head(p, heads) for p in affine(x[0], in_weight, in_bias).chunk(3, -1))
        mask_TT = x[0].new_zeros(T, T)
        if not signature.attribute("full"):
            mask_TT = mask_TT.fill_(-torch.inf).triu_(1)
        scores = torch.baddbmm(mask_TT, query, key.transpose(1, 2), alpha=1 / sqrt(W / heads))
        attended = packed(torch.bmm(torch.softmax(scores, -1), value))
        attended_MTBW = attended.view(M, B, heads, T, W // heads).permute(0, 3, 1, 2, 4).flatten(3)
        return affine(attended_MTBW, out_weight, out_bias)


class FastWeights(AutogradKernel):
    """`y_t = A_t q_t` with `A_t = d A_(t-1) + v_t k_t^T`, as attention where a step of age s weighs d^s."""

    cost = 60

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return what each step reads."""
        decay_M1, weight, bias = parameters
        M, T, B, W = x[0].shape
        query, key, value = (_by_head(p, 1) for p in affine(x[0], weight, bias).chunk(3, -1))
        query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
        step = torch.arange(T, dtype=x[0].dtype, device=x[0].device)
        age_TT = (step.unsqueeze(1) - step).clamp_min(0)
        remembered_M1TT = torch.exp(age_TT * F.logsigmoid(2 * decay_M1)[..., None, None]).tril()
        scores = torch.bmm(query, key.transpose(1, 2)).view(M, B, T, T) * remembered_M1TT
        read = packed(torch.bmm(scores.flatten(0, 1), value))
        return read.view(M, B, T, W).transpose(1, 2)
