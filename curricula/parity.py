"""Is the number of ones so far odd, on streams longer than in training? Leaves other sums to counting."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from curricula.running_sums import RunningSums
from curricula.task import Split, Splits, Task

#: Keeps this task's random streams apart from every other task's.
_STREAM = 0x504152
#: What is sent for a zero, a one, and beyond a stream's end.
_SENT = np.array([-1, 1, 0], dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity(Task):
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

    Attributes:
        shortest: least steps of a training stream.
        longest: most steps of a training stream, and T of training and validation.
        test_length: T of test streams.
    """

    name: str = "parity"
    num_train: int = 256
    num_validation: int = 256
    num_test: int = 256
    batch_size: int = 32
    epochs: int = 25
    shortest: int = 3
    longest: int = 20
    test_length: int = 60

    head = "step_cross_entropy"
    solved = 0.90

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        _sums(self).check()

    @property
    def input_width(self) -> int:
        """One number a step."""
        return 1

    def splits(self, seed: int) -> Splits:
        """Return the three splits of `seed`; no two streams are equal."""
        return _splits(self, seed)

    def probe(self) -> torch.Tensor:
        """Return 256 fixed streams like those of training."""
        return _probe(self)


def _sums(task: Parity) -> RunningSums:
    return RunningSums(
        task=task,
        modulus=2,
        shortest=task.shortest,
        longest=task.longest,
        test_length=task.test_length,
    )


@lru_cache(maxsize=64)
def _splits(task: Parity, seed: int) -> Splits:
    rng = np.random.default_rng((_STREAM, 0, seed))
    train, validation = _sums(task).training(rng, (task.num_train, task.num_validation))
    test = _sums(task).test(rng)
    return Splits(train=_split(*train), validation=_split(*validation), test=_split(*test))


@lru_cache(maxsize=64)
def _probe(task: Parity) -> torch.Tensor:
    return _sent(_sums(task).probe(np.random.default_rng((_STREAM, 1))))


def _split(bit_BT: np.ndarray, label_BT: np.ndarray) -> Split:
    return Split(inputs=_sent(bit_BT), targets=torch.from_numpy(label_BT))


def _sent(bit_BT: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(_SENT[bit_BT][..., None])
