"""One layer around a block that overflows as it is: its input is made small, its stretches short."""

import torch
import torch.nn.functional as F
from torch import nn

from config import Config

NORMALISATIONS = {"none": nn.Identity, "layernorm": nn.LayerNorm, "rmsnorm": nn.RMSNorm}
#: Factor of what the block reads.
QUIET = 1.0
#: Steps that the block sees at a time; each stretch begins anew.
STRETCH = 64
#: Whether the block returns its input and what it adds to it, of which only the latter joins the stream.
CARRIES = False


class Layer(nn.Module):
    """Pre-norm residual layer on `[B, T, width]` (Xiong et al. 2020), a gain a feature (Touvron et al. 2021).

    Left alone, the block grows without bound: in value, where it multiplies what it reads by itself again and
    again, or in time, where each step of a recurrence is a multiple of the last.
    """

    def __init__(self, config: Config, block: nn.Module) -> None:
        super().__init__()
        self.norm = NORMALISATIONS[config.normalisation](config.width)
        self.block = block
        self.gain = nn.Parameter(torch.ones(config.width))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x and what the block makes of each of its stretches."""
        steps = x.shape[1]
        quiet = QUIET * F.pad(self.norm(x), (0, 0, 0, -steps % STRETCH))
        stretches = quiet.unflatten(1, (-1, STRETCH)).flatten(0, 1)
        made = self.block(stretches) - stretches if CARRIES else self.block(stretches)
        made = made.expand(-1, STRETCH, -1).unflatten(0, (x.shape[0], -1)).flatten(1, 2)
        return x + self.dropout(self.gain * made[:, :steps])
