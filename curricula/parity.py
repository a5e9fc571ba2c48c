"""Is the number of ones so far odd, on streams longer than in training? Leaves other sums to counting."""

from dataclasses import dataclass

import numpy as np
import torch

from curricula.running_sums import RunningSum

#: What is sent for a zero, a one, and beyond a stream's end.
_SENT = np.array([-1, 1, 0], dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity(RunningSum):
    """Is the number of ones up to this step odd?

    The parity of Minsky & Papert (1969) as a stream, trained on short streams and tested on long ones as by
    Grazzi et al. (2024). Bits are sent as ±1 and every step has a label. Training and validation streams have
    `shortest` to `longest` steps, every length as often as its different streams allow, and are padded with 0
    that does not count. Test streams are longer, and only steps beyond the longest training stream count:
    what is asked is the machine of two states, kept for as long as it takes, which no window of finite width
    replaces.

    Streams come in pairs that differ in the first bit alone, so from the second step on each bit stands
    beside both labels equally often: whoever forgets the first bit scores exactly 1/2. No stream is in two
    splits, though a short one may be how a longer one begins.

    Example, streams of 6 at most (row 0 has 4 steps)::

        inputs  - + + - 0 0    target  0 1 0 0 . .
        inputs  + + - - + -    target  1 0 0 0 1 1
    """

    name: str = "parity"
    num_train: int = 256
    num_validation: int = 256
    num_test: int = 256
    batch_size: int = 32
    epochs: int = 25

    stream = 0x504152

    @property
    def input_width(self) -> int:
        """One number a step."""
        return 1

    @property
    def modulus(self) -> int:
        """Zero and one."""
        return 2

    def sent(self, symbol_BT: np.ndarray) -> torch.Tensor:
        """Return bits as ±1, and 0 beyond a stream's end."""
        return torch.from_numpy(_SENT[symbol_BT][..., None])
