"""The torch modules that carry information along time; the core's convolution and GRU aside."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from blueprints.modules.core import ModuleBuilder


class SelfAttention(nn.Module):
    """Multi-head self-attention on `[B, T, width]`; step t sees steps up to t alone, or all when full."""

    def __init__(self, width: int, num_heads: int, is_full: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.is_full = is_full
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the attended values, `[B, T, width]`."""
        projected = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        query, key, value = projected.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=not self.is_full)
        return self.out_proj(attended.transpose(1, 2).flatten(-2))


class LongShortTermMemory(nn.Module):
    """nn.LSTM that returns the outputs alone."""

    def __init__(self, w_in: int, w_out: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(w_in, w_out, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[B, T, w_in]` to the outputs `[B, T, w_out]`."""
        return self.lstm(x)[0]


class DiagonalScan(nn.Module):
    """A linear recurrence on `[B, T, width]`, feature by feature, whose gate the input sets at each step."""

    def __init__(self, width: int, is_signed: bool = False) -> None:
        super().__init__()
        self.is_signed = is_signed
        self.projection = nn.Linear(width, 2 * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the states h_t = a_t * h_(t-1) + (1 - |a_t|) * v_t, `[B, T, width]`."""
        gate, value = self.projection(x).chunk(2, dim=-1)
        gate = torch.tanh(gate) if self.is_signed else torch.sigmoid(gate)
        value = (1 - gate.abs()) * value
        state = torch.zeros_like(value[:, 0])
        states = []
        for step in range(x.shape[1]):
            state = gate[:, step] * state + value[:, step]
            states.append(state)
        return torch.stack(states, dim=1)


class Shift(nn.Module):
    """A delay by one step, `[B, T, W]` to `[B, T, W]`; the first step is zero."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x one step later."""
        return F.pad(x, (0, 0, 1, 0))[:, :-1]


class FastWeights(nn.Module):
    """A matrix with A_t = d * A_(t-1) + v_t k_t^T that is read as A_t q_t, on `[B, T, width]`.

    Reading it amounts to attention without a softmax in which a step of age s weighs d^s, so no matrix is
    ever built.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.ones(1))
        self.projection = nn.Linear(width, 3 * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what each step reads, `[B, T, width]`."""
        query, key, value = self.projection(x).chunk(3, dim=-1)
        query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
        step = torch.arange(x.shape[1], dtype=x.dtype, device=x.device)
        age = (step.unsqueeze(1) - step).clamp_min(0)
        remembered = torch.exp(age * F.logsigmoid(2 * self.decay)).tril()
        return (query @ key.transpose(1, 2) * remembered) @ value


TEMPORAL_MODULES: Mapping[str, ModuleBuilder] = {
    "ATTENTION": lambda w_in, w_out, attributes: SelfAttention(
        w_in, attributes["heads"], bool(attributes["full"])
    ),
    "LSTM": lambda w_in, w_out, attributes: LongShortTermMemory(w_in, w_out),
    "DIAGONAL_SCAN": lambda w_in, w_out, attributes: DiagonalScan(w_in, bool(attributes["signed"])),
    "SHIFT": lambda w_in, w_out, attributes: Shift(),
    "HEBBIAN": lambda w_in, w_out, attributes: FastWeights(w_in),
}
