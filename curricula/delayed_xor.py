"""Does this bit differ from the one k steps ago? Leaves sums over all steps to parity."""

from dataclasses import dataclass

import numpy as np
import torch

from curricula.distinct import distinct
from curricula.families import dealt, num_families, shuffled
from curricula.heads import IGNORED
from curricula.task import NUM_PROBES, Split, Splits, Task, TaskError

#: Keeps this task's random streams apart from every other task's.
_STREAM = 0x444C58
#: Streams of a family.
_MEMBERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayedXor(Task):
    """What is y_t = x_t xor x_(t-k)?

    The parity of bits at a distance, as Bertschinger & Natschläger (2004) asked it of random recurrent
    networks. Bits are sent as ±1; every step from the k-th on (counted from 0) has a label. A blueprint needs
    a memory of k steps, and a nonlinearity that joins it with the present bit. Test streams are longer than
    any trained on.

    Streams come in families of four: a stream, the same with every other run of k bits inverted, which
    inverts all labels, and both inverted throughout, which inverts none. So at each step of a family each bit
    stands beside each label once: whoever knows the present bit and the step alone scores exactly 1/2, in
    every split. No stream is met twice.

    Example, `delay=3` and streams of 8 for short::

        inputs  + - - - - + + -    target  . . . 1 0 1 1 0    # - against +, - against -, + against -, ...

    Attributes:
        delay: k.
        train_length: T of train and validation streams, and of the probe set.
        test_length: T of test streams.
    """

    name: str = "delayed_xor"
    num_train: int = 512
    num_validation: int = 256
    num_test: int = 512
    batch_size: int = 32
    epochs: int = 7
    learning_rate: float = 5e-3
    delay: int = 4
    train_length: int = 16
    test_length: int = 24

    head = "step_cross_entropy"
    needs = frozenset({"past", "present"})
    solved = 0.90

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        if self.delay < 1 or not self.delay < self.train_length <= self.test_length:
            raise TaskError(
                f"{self.name}: delay, train_length, test_length = {self.delay}, {self.train_length}, "
                f"{self.test_length}; expected at least 1, more, and as much"
            )
        num = sum(num_families(self, self.sizes, _MEMBERS))
        if num > 2.0 ** (self.train_length - 3):
            raise TaskError(
                f"{self.name}: hardly {num} families of {self.train_length} steps exist; ask for fewer or "
                "longer streams"
            )

    @property
    def input_width(self) -> int:
        """One number a step."""
        return 1

    def draw(self, seed: int) -> Splits:
        """Draw the three splits of `seed`; no two streams are equal, nor begin alike if one is longer."""
        rng = np.random.default_rng((_STREAM, 0, seed))
        lengths = (self.train_length, self.train_length, self.test_length)
        start_INT = dealt(self, _MEMBERS, lambda num: _starts(self, rng, num))
        train, validation, test = (
            _split(self, rng, start_NT, length) for start_NT, length in zip(start_INT, lengths, strict=True)
        )
        return Splits(train=train, validation=validation, test=test)

    def draw_probe(self) -> torch.Tensor:
        """Draw 256 fixed streams of the training length."""
        rng = np.random.default_rng((_STREAM, 1))
        return _split(self, rng, _starts(self, rng, NUM_PROBES // _MEMBERS), self.train_length).inputs


def _starts(task: DelayedXor, rng: np.random.Generator, num: int) -> np.ndarray:
    """Return `[N, train_length]` bits of the members that begin with 0 and have 0 at the k-th step."""

    def draw(size: int) -> np.ndarray:
        bit_NT = rng.integers(2, size=(size, task.train_length))
        bit_NT[:, [0, task.delay]] = 0
        return bit_NT

    return distinct(task, draw, num, task.train_length)


def _split(task: DelayedXor, rng: np.random.Generator, start_NT: np.ndarray, length: int) -> Split:
    """Return whole families that begin as told, in streams of `length`."""
    more = rng.integers(2, size=(len(start_NT), length - task.train_length))
    bit_NT = np.concatenate([start_NT, more], axis=1)
    every_other_T = np.arange(length) // task.delay % 2
    flips_MT = np.stack([0 * every_other_T, every_other_T, 0 * every_other_T + 1, 1 - every_other_T])
    bit_NMT = bit_NT[:, None] ^ flips_MT
    label_NMT = np.full_like(bit_NMT, IGNORED)
    label_NMT[..., task.delay :] = bit_NMT[..., task.delay :] ^ bit_NMT[..., : -task.delay]
    bit_BT, label_BT = shuffled(rng, bit_NMT, label_NMT)
    return Split(
        inputs=torch.from_numpy((2 * bit_BT - 1)[..., None].astype(np.float32)),
        targets=torch.from_numpy(label_BT),
    )
