"""The sum of the symbols so far, modulo m, on streams longer than in training; leaves bits to parity."""

from dataclasses import dataclass

import numpy as np
import torch

from curricula.running_sums import RunningSum


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting(RunningSum):
    """What is the sum of the symbols up to this step, modulo `modulus`?

    Modular addition, as Delétang et al. (2023) asked it of networks that were trained on shorter streams.
    Symbols are 0 to m - 1, and every step has a label. Lengths are as for parity: training and validation
    streams have `shortest` to `longest` steps, every length as often as its different streams allow, and are
    padded with a symbol of its own, m, that does not count; test streams are longer, and only steps beyond
    the longest training stream count. What is asked is a counter of m states that never loses its place.

    Streams come in families of m that differ in the first symbol alone, so from the second step on each
    symbol stands beside each label equally often: labels are balanced exactly, and whoever forgets the first
    symbol scores exactly 1/m. No stream is in two splits, though a short one may be how a longer one begins.

    Example, `modulus=3` and streams of 6 at most (row 0 has 4 steps)::

        inputs  2 2 0 1 3 3    target  2 1 1 2 . .
        inputs  1 0 2 2 1 1    target  1 1 0 2 0 1

    Attributes:
        modulus: m, symbols and classes; sizes of splits are multiples of it.
    """

    name: str = "counting"
    num_train: int = 384
    num_validation: int = 240
    num_test: int = 240
    batch_size: int = 32
    epochs: int = 30
    modulus: int = 3

    input = "embedding"
    stream = 0x434F55

    @property
    def input_width(self) -> int:
        """The symbols, and one for what lies beyond a stream's end."""
        return self.modulus + 1

    @property
    def output_width(self) -> int:
        """The sums."""
        return self.modulus

    def sent(self, symbol_BT: np.ndarray) -> torch.Tensor:
        """Return the symbols as they are."""
        return torch.from_numpy(symbol_BT)
