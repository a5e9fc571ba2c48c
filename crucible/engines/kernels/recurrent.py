"""Batched GRU and LSTM with hand-written backwards through time, and the diagonal scan.

Axes: M members, T time, B examples, I width in, W width out; gates r, z, n of a GRU side by side in 3W, gates
i, f, g, o of an LSTM in 4W. Time leads inside this file, so that a step is one contiguous slice.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from crucible.engines.kernels.kernel import AutogradKernel, Call, Kernel, Launch, allocator, rows
from crucible.engines.kernels.mixing import affine
from crucible.program import Signature


class Gru(Kernel):
    """`h = n + z (h - n)` with `r, z = sigmoid(.)`, `n = tanh(W_n x + b + r (U_n h + c))`."""

    cost = 200

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the states."""
        w_ih, w_hh, b_ih, b_hh = parameters
        projected_TMB3W = affine(x[0], w_ih, b_ih).transpose(0, 1)
        w_hh_t, bias = w_hh.transpose(1, 2), b_hh.unsqueeze(1)
        h_MBW = x[0].new_zeros(*projected_TMB3W.shape[1:3], signature.width)
        states = []
        for projected in projected_TMB3W:
            r_in, z_in, n_in = projected.chunk(3, -1)
            r_h, z_h, n_h = torch.baddbmm(bias, h_MBW, w_hh_t).chunk(3, -1)
            r, z = torch.sigmoid(r_in + r_h), torch.sigmoid(z_in + z_h)
            h_MBW = torch.lerp(torch.tanh(torch.addcmul(n_in, r, n_h)), h_MBW, z)
            states.append(h_MBW)
        return torch.stack(states, 1)

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return one product for all inputs and one product a step; backward alike."""
        x_MTBI, y_MTBW = launch.x[0], launch.y
        M, T, B, W = y_MTBW.shape
        w_ih, w_hh, b_ih, b_hh = launch.parameters
        w_ih_t, w_hh_t = w_ih.transpose(1, 2), w_hh.transpose(1, 2)
        x = rows(x_MTBI)
        empty = allocator(y_MTBW)
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


class Lstm(Kernel):
    """`c = f c + i g; h = o tanh(c)` with `i, f, o = sigmoid(.)`, `g = tanh(.)`."""

    cost = 260

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the outputs."""
        w_ih, w_hh, b_ih, b_hh = parameters
        projected_TMB4W = affine(x[0], w_ih, b_ih + b_hh).transpose(0, 1)
        w_hh_t = w_hh.transpose(1, 2)
        h_MBW = c_MBW = x[0].new_zeros(*projected_TMB4W.shape[1:3], signature.width)
        outputs = []
        for projected in projected_TMB4W:
            i, f, g, o = torch.baddbmm(projected, h_MBW, w_hh_t).chunk(4, -1)
            c_MBW = torch.addcmul(torch.sigmoid(f) * c_MBW, torch.sigmoid(i), torch.tanh(g))
            h_MBW = torch.sigmoid(o) * torch.tanh(c_MBW)
            outputs.append(h_MBW)
        return torch.stack(outputs, 1)

    def bind(self, launch: Launch) -> tuple[Call, Call | None]:
        """Return one product for all inputs and one product a step; backward alike."""
        x_MTBI, y_MTBW = launch.x[0], launch.y
        M, T, B, W = y_MTBW.shape
        w_ih, w_hh, b_ih, b_hh = launch.parameters
        w_ih_t, w_hh_t = w_ih.transpose(1, 2), w_hh.transpose(1, 2)
        x = rows(x_MTBI)
        empty = allocator(y_MTBW)
        projected = empty(M, T * B, 4 * W)
        projected_TMB4W = projected.view(M, T, B, 4 * W).transpose(0, 1)
        gates_TMB4W = empty(T, M, B, 4, W)
        gates_flat = gates_TMB4W.view(T, M, B, 4 * W)
        i_TMBW, f_TMBW, g_TMBW, o_TMBW = gates_TMB4W.unbind(3)
        bounded_TMBW = empty(T, M, B, W)
        c_TMBW = empty(T + 1, M, B, W).zero_()
        h_TMBW = empty(T + 1, M, B, W).zero_()
        steps = [
            (gates, gates[..., : 2 * W], i, f, g, o, c, c_next, bounded, h, h_next)
            for gates, i, f, g, o, c, c_next, bounded, h, h_next in zip(
                gates_flat,
                i_TMBW,
                f_TMBW,
                g_TMBW,
                o_TMBW,
                c_TMBW[:-1],
                c_TMBW[1:],
                bounded_TMBW,
                h_TMBW[:-1],
                h_TMBW[1:],
                strict=True,
            )
        ]
        outputs_MTBW = h_TMBW[1:].transpose(0, 1)

        def forward() -> None:
            torch.baddbmm((b_ih + b_hh).unsqueeze(1), x, w_ih_t, out=projected)
            gates_flat.copy_(projected_TMB4W)
            for gates, i_f, i, f, g, o, c, c_next, bounded, h, h_next in steps:
                gates.baddbmm_(h, w_hh_t)
                i_f.sigmoid_()
                g.tanh_()
                o.sigmoid_()
                torch.mul(f, c, out=c_next)
                c_next.addcmul_(i, g)
                torch.tanh(c_next, out=bounded)
                torch.mul(o, bounded, out=h_next)
            y_MTBW.copy_(outputs_MTBW)

        if launch.dy is None:
            return forward, None
        dx = None if launch.dx[0] is None else rows(launch.dx[0])
        d_w_ih, d_w_hh, d_b_ih, d_b_hh = launch.gradients
        factors_TMB4W = empty(T, M, B, 4, W)
        d_gates_TMB4W = empty(T, M, B, 4, W)
        slope_TMBW = empty(T, M, B, W)
        d_h, d_c, carry_h, carry_c = empty(4, M, B, W).unbind(0)
        d_gates_MTB4W = empty(M, T, B, 4 * W)
        d_gates = rows(d_gates_MTB4W)
        previous_MTBW = empty(M, T, B, W)
        one = torch.ones((), dtype=y_MTBW.dtype, device=y_MTBW.device)
        factor_i, factor_f, factor_g, factor_o = factors_TMB4W.unbind(3)
        d_c_wide = d_c.unsqueeze(2)
        back = [
            (dy, slope, f, factor[:, :, :3], factor[:, :, 3], d[:, :, :3], d[:, :, 3], d.view(M, B, 4 * W))
            for dy, slope, f, factor, d in zip(
                launch.dy.transpose(0, 1), slope_TMBW, f_TMBW, factors_TMB4W, d_gates_TMB4W, strict=True
            )
        ][::-1]

        def backward() -> None:
            # Everything between the gradients of c and h and those of the gates is one factor a gate.
            torch.sub(one, gates_TMB4W, out=factors_TMB4W)
            factors_TMB4W.mul_(gates_TMB4W)
            factor_i.mul_(g_TMBW)
            factor_f.mul_(c_TMBW[:-1])
            torch.mul(g_TMBW, g_TMBW, out=slope_TMBW)
            torch.sub(one, slope_TMBW, out=factor_g)
            factor_g.mul_(i_TMBW)
            factor_o.mul_(bounded_TMBW)
            torch.mul(bounded_TMBW, bounded_TMBW, out=slope_TMBW)
            slope_TMBW.neg_().add_(1).mul_(o_TMBW)
            carry_h.zero_()
            carry_c.zero_()
            for dy, slope, f, factor_ifg, factor_out, d_ifg, d_out, d_flat in back:
                torch.add(dy, carry_h, out=d_h)
                torch.addcmul(carry_c, d_h, slope, out=d_c)
                torch.mul(d_c_wide, factor_ifg, out=d_ifg)
                torch.mul(d_h, factor_out, out=d_out)
                torch.mul(d_c, f, out=carry_c)
                torch.bmm(d_flat, w_hh, out=carry_h)
            d_gates_MTB4W.copy_(d_gates_TMB4W.view(T, M, B, 4 * W).transpose(0, 1))
            previous_MTBW.copy_(h_TMBW[:-1].transpose(0, 1))
            torch.bmm(d_gates.transpose(1, 2), rows(previous_MTBW), out=d_w_hh)
            torch.bmm(d_gates.transpose(1, 2), x, out=d_w_ih)
            torch.sum(d_gates, 1, out=d_b_hh)
            d_b_ih.copy_(d_b_hh)
            if dx is not None:
                torch.bmm(d_gates, w_ih, out=dx)

        return forward, backward


class DiagonalScan(AutogradKernel):
    """`h_t = a_t h_(t-1) + (1 - |a_t|) v_t`; one multiply-add a step, forward and backward."""

    cost = 80

    def forward(self, x: Sequence[Tensor], parameters: Sequence[Tensor], signature: Signature) -> Tensor:
        """Return the states."""
        a_MTBW, v_MTBW = affine(x[0], *parameters).chunk(2, -1)
        a_MTBW = torch.tanh(a_MTBW) if signature.attribute("signed") else torch.sigmoid(a_MTBW)
        states = _Recurrence.apply(a_MTBW, (1 - a_MTBW.abs()) * v_MTBW)
        assert isinstance(states, Tensor)
        return states


class _Recurrence(torch.autograd.Function):
    """`h_t = a_t h_(t-1) + u_t` on `[M, T, B, W]`, starting at zero."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, u: Tensor) -> Tensor:
        h = u.clone(memory_format=torch.contiguous_format)
        steps = h.unbind(1)
        for a_t, before, h_t in zip(a.unbind(1)[1:], steps[:-1], steps[1:], strict=True):
            h_t.addcmul_(a_t, before)
        ctx.save_for_backward(a, h)
        return h

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        a, h = ctx.saved_tensors
        d_u = gradients[0].clone(memory_format=torch.contiguous_format)
        steps = d_u.unbind(1)
        for a_t, d_t, d_before in zip(a.unbind(1)[:0:-1], steps[:0:-1], steps[-2::-1], strict=True):
            d_before.addcmul_(a_t, d_t)
        d_a = torch.zeros_like(d_u)
        torch.mul(d_u[:, 1:], h[:, :-1], out=d_a[:, 1:])
        return d_a, d_u
