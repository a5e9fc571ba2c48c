"""What is the sum of the two marked numbers of a stream? Leaves numbers to remember in order to copying."""

from dataclasses import dataclass

import numpy as np
import torch

from curricula.distinct import distinct
from curricula.task import NUM_PROBES, Split, Splits, Task, TaskError

#: Keeps this task's random streams apart from every other task's.
_STREAM = 0x414444


@dataclass(frozen=True, slots=True, kw_only=True)
class Adding(Task):
    """What is the sum of the two marked values?

    The adding problem of Hochreiter & Schmidhuber (1997), in the form of Le et al. (2015).

    Each step has a value, uniform in [0, 1], and a marker, which is 1 at two steps and 0 at the others. The
    sum of the two marked values is asked at the last step, and nothing at the others. The last step is never
    marked, so whoever knows that step alone knows nothing. One mark is in the first half of the stream, the
    other in the second.

    Always answering 1 has a mean squared error of 1/6 = 0.167, the variance of the sum of two uniform numbers
    (Le et al. 2015 print 0.1767 for it); the score is the share of the split's variance that is explained, so
    it is 0 there. What remains open to a shortcut: the mean of all values goes along with the sum, and a
    blueprint that reads no marker can explain 2 / (T - 1) of the variance, 0.15 in streams of 14. Test
    streams are longer than any trained on, so that a mean over time cannot stand for a sum.

    Example, streams of 6 for short::

        inputs  value 0.33 0.81 0.56 0.09 0.72 0.45, marker 0 1 0 1 0 0    target  . . . . . 0.90

    Attributes:
        train_length: T of train and validation streams, and of the probe set.
        test_length: T of test streams.
    """

    name: str = "adding"
    num_train: int = 512
    num_validation: int = 256
    num_test: int = 512
    batch_size: int = 32
    epochs: int = 16
    train_length: int = 10
    test_length: int = 14

    head = "step_mse"
    needs = frozenset({"past"})
    output_width = 1
    solved = 0.90
    solved_loss = 0.01

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        for length in (self.train_length, self.test_length):
            if length < 4:
                raise TaskError(f"{self.name}: streams of {length}; expected at least 4 steps")

    @property
    def input_width(self) -> int:
        """The value and the marker."""
        return 2

    def draw(self, seed: int) -> Splits:
        """Draw the three splits of `seed`; no two streams are equal."""
        rng = np.random.default_rng((_STREAM, 0, seed))
        short_BT2 = _streams(self, rng, self.num_train + self.num_validation, self.train_length)
        long_BT2 = _streams(self, rng, self.num_test, self.test_length)
        return Splits(
            train=_asked(short_BT2[: self.num_train]),
            validation=_asked(short_BT2[self.num_train :]),
            test=_asked(long_BT2),
        )

    def draw_probe(self) -> torch.Tensor:
        """Draw 256 fixed streams of the training length."""
        rng = np.random.default_rng((_STREAM, 1))
        return _asked(_streams(self, rng, NUM_PROBES, self.train_length)).inputs


def _streams(task: Adding, rng: np.random.Generator, size: int, length: int) -> np.ndarray:
    """Return `[B, T, 2]` values and markers, no two streams alike."""

    def draw(num: int) -> np.ndarray:
        stream_BT2 = np.zeros((num, length, 2), dtype=np.float32)
        stream_BT2[..., 0] = rng.random((num, length), dtype=np.float32)
        half = length // 2
        for start, stop in ((0, half), (half, length - 1)):
            stream_BT2[np.arange(num), rng.integers(start, stop, size=num), 1] = 1
        return stream_BT2.reshape(num, -1)

    return distinct(task, draw, size, 2 * length).reshape(size, length, 2)


def _asked(stream_BT2: np.ndarray) -> Split:
    """Return the streams with the sum at the last step."""
    target_BT1 = np.full((*stream_BT2.shape[:2], 1), np.nan, dtype=np.float32)
    target_BT1[:, -1, 0] = (stream_BT2[..., 0] * stream_BT2[..., 1]).sum(axis=1)
    return Split(inputs=torch.from_numpy(stream_BT2), targets=torch.from_numpy(target_BT1))
