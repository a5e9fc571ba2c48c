"""The policy: a small pre-norm Transformer decoder over tokens; knows neither legality nor rewards.

Axes: N programs, L positions, V symbols of the vocabulary, W width, H heads, d width of a head.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from architect.checks import SettingError, require_positive


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """Shape of the policy.

    Attributes:
        num_layers: decoder blocks.
        num_heads: attention heads of a block; divides `width`.
        width: features of a position.
    """

    num_layers: int = 2
    num_heads: int = 2
    width: int = 64

    def __post_init__(self) -> None:
        require_positive(self, "num_layers", "num_heads", "width")
        if self.width % self.num_heads:
            raise SettingError(
                f"PolicyConfig.width is {self.width}; expected a multiple of {self.num_heads} heads"
            )


@dataclass(slots=True, kw_only=True)
class Cache:
    """Keys and values of the positions seen so far.

    Attributes:
        keys: one `[N, H, L, d]` a layer, filled up to `length`.
        values: as `keys`.
        length: positions seen.
    """

    keys: list[Tensor]
    values: list[Tensor]
    length: int = 0


class Policy(nn.Module):
    """Logits of the next token at every position of a program.

    Position 0 reads the start token, position i the i-th token; `max_length + 1` positions, since a program
    of `max_length` tokens still has to choose the end marker.
    """

    def __init__(self, num_tokens: int, max_length: int, config: PolicyConfig, *, seed: int) -> None:
        super().__init__()
        self.config = config
        self.num_tokens = num_tokens
        self.num_positions = max_length + 1
        self.start_id = num_tokens
        width = config.width
        with torch.device("meta"):  # no draws from the global generator
            self.token_embedding = nn.Embedding(num_tokens + 1, width)
            self.position_embedding = nn.Embedding(self.num_positions, width)
            blocks = [DecoderBlock(width, config.num_heads) for _ in range(config.num_layers)]
            self.blocks = nn.Sequential(*blocks)
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, num_tokens)
        self.to_empty(device="cpu")
        self._initialise(torch.Generator().manual_seed(seed))

    def forward(self, inputs: Int[Tensor, "N L"]) -> Float[Tensor, "N L V"]:
        """Return the logits after each of `inputs`, whose first column is the start token."""
        positions = torch.arange(inputs.shape[1], device=inputs.device)
        x_NLW = self.token_embedding(inputs) + self.position_embedding(positions)
        return self.head(self.norm(self.blocks(x_NLW)))

    def step(self, inputs: Int[Tensor, " N"], cache: Cache) -> Float[Tensor, "N V"]:
        """Return the logits after one more token a program; the cache grows by that position."""
        position = self.position_embedding.weight[cache.length]
        x_N1W = (self.token_embedding(inputs) + position)[:, None]
        for block, keys, values in zip(self.blocks, cache.keys, cache.values, strict=True):
            assert isinstance(block, DecoderBlock)
            x_N1W = block.step(x_N1W, keys, values, cache.length)
        cache.length += 1
        return self.head(self.norm(x_N1W))[:, 0]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.weight.device

    def empty_cache(self, num: int) -> Cache:
        """Return a cache with room for every position of `num` programs."""
        heads = self.config.num_heads
        shape = (num, heads, self.num_positions, self.config.width // heads)
        weight = self.head.weight
        return Cache(
            keys=[weight.new_zeros(shape) for _ in self.blocks],
            values=[weight.new_zeros(shape) for _ in self.blocks],
        )

    def _initialise(self, generator: torch.Generator) -> None:
        """Draw the weights: normal, fan-in scaled inside the blocks; norms start at the identity."""
        fixed_std = {"token_embedding.weight": 0.2, "position_embedding.weight": 0.2, "head.weight": 0.02}
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            else:
                std = fixed_std.get(name, 1.0 / math.sqrt(parameter.shape[1]))
                if name.endswith(("attention_out.weight", "mlp_out.weight")):
                    std /= math.sqrt(2 * self.config.num_layers)
                nn.init.normal_(parameter, std=std, generator=generator)


class DecoderBlock(nn.Module):
    """Pre-norm causal self-attention and a GELU MLP, each added to its input."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(width)
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)

    def forward(self, x_NLW: Float[Tensor, "N L W"]) -> Float[Tensor, "N L W"]:
        """Return the block's output at every position."""
        q, k, v = self._heads(x_NLW)
        return self._finish(x_NLW, F.scaled_dot_product_attention(q, k, v, is_causal=True))

    def step(
        self,
        x_N1W: Float[Tensor, "N 1 W"],
        keys: Float[Tensor, "N H L d"],
        values: Float[Tensor, "N H L d"],
        position: int,
    ) -> Float[Tensor, "N 1 W"]:
        """Return the block's output at `position`, writing its key and value into the cache."""
        q, k, v = self._heads(x_N1W)
        keys[:, :, position] = k[:, :, 0]
        values[:, :, position] = v[:, :, 0]
        seen = slice(0, position + 1)
        return self._finish(x_N1W, F.scaled_dot_product_attention(q, keys[:, :, seen], values[:, :, seen]))

    def _heads(self, x_NLW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each `[N, H, L, d]`."""
        N, L, W = x_NLW.shape
        qkv = self.attention_in(self.attention_norm(x_NLW))
        q, k, v = qkv.view(N, L, 3, self.num_heads, W // self.num_heads).permute(2, 0, 3, 1, 4)
        return q, k, v

    def _finish(self, x_NLW: Tensor, attended_NHLd: Tensor) -> Tensor:
        x_NLW = x_NLW + self.attention_out(attended_NHLd.transpose(1, 2).flatten(2))
        return x_NLW + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x_NLW))))
