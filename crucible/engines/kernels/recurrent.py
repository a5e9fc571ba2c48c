"""Batched GRU with a hand-written backward through time; leaves everything without memory to other files.

Axes: M members, T time, B examples, I width in, W width out; gates r, z, n side by side in 3W. Time leads
inside this file, so that a step is one contiguous slice.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from crucible.engines.kernels.kernel import Call, Kernel, Launch, rows


class Gru(Kernel):
    """`h = n + z (h - n)` with `r, z = sigmoid(.)`, `n = tanh(W_n x + b + r (U_n h + c))`."""

    cost = 200

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return one product for all inputs and one product a step; backward alike."""
        x_MTBI, y_MTBW = launch.x[0], launch.y
        M, T, B, W = y_MTBW.shape
        w_ih, w_hh, b_ih, b_hh = launch.parameters
        w_ih_t, w_hh_t = w_ih.transpose(1, 2), w_hh.transpose(1, 2)
        x = rows(x_MTBI)
        empty = _allocator(y_MTBW)
        projected = empty(M, T * B, 3 * W)
        projected_TMB3W = projected.view(M, T, B, 3 * W).transpose(0, 1)
        gates_TMB3W = empty(T, M, B, 3 * W)
        candidate_TMBW = empty(T, M, B, W)
        h_TMBW = empty(T + 1, M, B, W).zero_()
        # U_n h + c stands in the last third of the gates; r and z get both biases through the projection.
        rz_TMB2W, recurrent_TMBW = gates_TMB3W[..., : 2 * W], gates_TMB3W[..., 2 * W :]
        b_n = b_hh[:, 2 * W :].view(M, 1, W)
        b_rz = b_hh[:, : 2 * W].view(M, 1, 2 * W)
        steps = [
            (
                gates,
                gates[..., : 2 * W],
                gates[..., :W],
                gates[..., W : 2 * W],
                gates[..., 2 * W :],
                n,
                h,
                h_next,
            )
            for gates, n, h, h_next in zip(gates_TMB3W, candidate_TMBW, h_TMBW[:-1], h_TMBW[1:], strict=True)
        ]
        states_MTBW = h_TMBW[1:].transpose(0, 1)
        bias = b_ih.unsqueeze(1)

        def forward() -> None:
            torch.baddbmm(bias, x, w_ih_t, out=projected)
            torch.add(projected_TMB3W[..., : 2 * W], b_rz, out=rz_TMB2W)
            recurrent_TMBW.copy_(b_n.expand_as(recurrent_TMBW))
            candidate_TMBW.copy_(projected_TMB3W[..., 2 * W :])
            for gates, rz, r, z, recurrent, n, h, h_next in steps:
                gates.baddbmm_(h, w_hh_t)
                rz.sigmoid_()
                n.addcmul_(r, recurrent)
                n.tanh_()
                torch.lerp(n, h, z, out=h_next)
            y_MTBW.copy_(states_MTBW)

        if launch.dy is None:
            return forward, None
        dy_TMBW = launch.dy.transpose(0, 1)
        dx = None if launch.dx[0] is None else rows(launch.dx[0])
        d_w_ih, d_w_hh, d_b_ih, d_b_hh = launch.gradients
        factors_TMB3W = empty(T, M, B, 3, W)
        d_hidden_TMB3W = empty(T, M, B, 3, W)
        d_state_TMBW = empty(T, M, B, W)
        carry_MBW = empty(M, B, W)
        one = torch.ones((), dtype=y_MTBW.dtype, device=y_MTBW.device)
        slope_TMBW = empty(T, M, B, W)
        scratch_TMBW = empty(T, M, B, W)
        d_hidden_MTB3W = empty(M, T, B, 3 * W)
        d_hidden = rows(d_hidden_MTB3W)
        previous_MTBW = empty(M, T, B, W)
        r_TMBW, z_TMBW = gates_TMB3W[..., :W], gates_TMB3W[..., W : 2 * W]
        back = [
            (d, d.unsqueeze(2), factor, d_gates, d_gates.view(M, B, 3 * W), z, dy)
            for d, factor, d_gates, z, dy in zip(
                d_state_TMBW, factors_TMB3W, d_hidden_TMB3W, z_TMBW, dy_TMBW, strict=True
            )
        ][::-1]

        def backward() -> None:
            # Everything between the state's gradient and the gates' gradients is one factor a gate.
            factor_r, factor_z, factor_n = factors_TMB3W.unbind(3)
            torch.mul(candidate_TMBW, candidate_TMBW, out=slope_TMBW)
            slope_TMBW.neg_().add_(1)
            torch.sub(one, z_TMBW, out=scratch_TMBW)
            slope_TMBW.mul_(scratch_TMBW)
            torch.sub(h_TMBW[:-1], candidate_TMBW, out=factor_z)
            factor_z.mul_(z_TMBW).mul_(scratch_TMBW)
            torch.mul(slope_TMBW, r_TMBW, out=factor_n)
            torch.sub(one, r_TMBW, out=scratch_TMBW)
            torch.mul(factor_n, scratch_TMBW, out=factor_r)
            factor_r.mul_(recurrent_TMBW)
            carry_MBW.zero_()
            for d, d_wide, factor, d_gates, d_flat, z, dy in back:
                torch.add(dy, carry_MBW, out=d)
                torch.mul(d_wide, factor, out=d_gates)
                torch.mul(d, z, out=carry_MBW)
                carry_MBW.baddbmm_(d_flat, w_hh)
            d_hidden_MTB3W.copy_(d_hidden_TMB3W.view(T, M, B, 3 * W).transpose(0, 1))
            previous_MTBW.copy_(h_TMBW[:-1].transpose(0, 1))
            torch.bmm(d_hidden.transpose(1, 2), rows(previous_MTBW), out=d_w_hh)
            torch.sum(d_hidden, 1, out=d_b_hh)
            slope_TMBW.mul_(d_state_TMBW)
            d_hidden_MTB3W[..., 2 * W :].copy_(slope_TMBW.transpose(0, 1))
            torch.bmm(d_hidden.transpose(1, 2), x, out=d_w_ih)
            torch.sum(d_hidden, 1, out=d_b_ih)
            if dx is not None:
                torch.bmm(d_hidden, w_ih, out=dx)

        return forward, backward


def _allocator(like: Tensor) -> Callable[..., Tensor]:
    def empty(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=like.dtype, device=like.device)

    return empty
