"""The sum of the symbols so far, modulo m, on streams longer than in training; leaves bits to parity."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from curricula.running_sums import RunningSums
from curricula.task import Split, Splits, Task

#: Keeps this task's random streams apart from every other task's.
_STREAM = 0x434F55


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting(Task):
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
        shortest: least steps of a training stream.
        longest: most steps of a training stream, and T of training and validation.
        test_length: T of test streams.
    """

    name: str = "counting"
    num_train: int = 384
    num_validation: int = 240
    num_test: int = 240
    batch_size: int = 32
    epochs: int = 30
    modulus: int = 3
    shortest: int = 3
    longest: int = 20
    test_length: int = 60

    head = "step_cross_entropy"
    input = "embedding"
    solved = 0.90

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        _sums(self).check()

    @property
    def input_width(self) -> int:
        """The symbols, and one for what lies beyond a stream's end."""
        return self.modulus + 1

    @property
    def output_width(self) -> int:
        """The sums."""
        return self.modulus

    def splits(self, seed: int) -> Splits:
        """Return the three splits of `seed`; no two streams are equal."""
        return _splits(self, seed)

    def probe(self) -> torch.Tensor:
        """Return 256 fixed streams like those of training."""
        return _probe(self)


def _sums(task: Counting) -> RunningSums:
    return RunningSums(
        task=task,
        modulus=task.modulus,
        shortest=task.shortest,
        longest=task.longest,
        test_length=task.test_length,
    )


@lru_cache(maxsize=64)
def _splits(task: Counting, seed: int) -> Splits:
    rng = np.random.default_rng((_STREAM, 0, seed))
    train, validation = _sums(task).training(rng, (task.num_train, task.num_validation))
    test = _sums(task).test(rng)
    return Splits(train=_split(*train), validation=_split(*validation), test=_split(*test))


@lru_cache(maxsize=64)
def _probe(task: Counting) -> torch.Tensor:
    return torch.from_numpy(_sums(task).probe(np.random.default_rng((_STREAM, 1))))


def _split(symbol_BT: np.ndarray, label_BT: np.ndarray) -> Split:
    return Split(inputs=torch.from_numpy(symbol_BT), targets=torch.from_numpy(label_BT))
