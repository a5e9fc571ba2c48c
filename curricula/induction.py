"""What followed the last time this symbol was seen? Leaves many keys at a time to `recall.py`."""

from dataclasses import dataclass

import numpy as np
import torch

from curricula.distinct import SymbolStream, distinct
from curricula.heads import IGNORED
from curricula.task import Split, TaskError


@dataclass(frozen=True, slots=True, kw_only=True)
class Induction(SymbolStream):
    """What stood behind this symbol the last time, as induction heads find (Olsson et al. 2022)?

    A stream of random symbols is broken by triggers (as in Gu and Dao 2023), `min_gap` to `max_gap` steps
    apart. Where a trigger has been met before, the label is the symbol right behind it then: [A][B] ... [A]
    asks for [B]. All symbols are independent and equally likely, so no place and no symbol but that one says
    a word about the label. Test streams are longer than any trained on.

    What remains open to shortcuts: the most frequent symbol so far is the label in 0.23 of the cases, and
    what stood a fixed number of steps before in at most 0.25. Chance is 0.08, the solved threshold far above.

    Example, `num_symbols=4, num_triggers=1` (4 is the trigger)::

        inputs  1 4 3 0 4 2 2 4 0
        target  . . . . 3 . . 2 .

    Attributes:
        num_symbols: symbols that may be asked for.
        num_triggers: symbols that ask.
        min_gap: least steps from a trigger to the next; at least 2.
        max_gap: most steps from a trigger to the next, and before the first.
        train_length: T of train and validation streams, and of the probe set.
        test_length: T of test streams.
    """

    name: str = "induction"
    num_train: int = 1024
    num_validation: int = 256
    num_test: int = 512
    batch_size: int = 64
    epochs: int = 5
    num_symbols: int = 12
    num_triggers: int = 1
    min_gap: int = 3
    max_gap: int = 8
    train_length: int = 24
    test_length: int = 32

    stream = 0x494E44
    solved = 0.90

    def __post_init__(self) -> None:
        SymbolStream.__post_init__(self)
        if self.num_symbols < 2 or self.num_triggers < 1 or not 2 <= self.min_gap <= self.max_gap:
            raise TaskError(
                f"{self.name}: num_symbols = {self.num_symbols}, num_triggers = {self.num_triggers}, gaps "
                f"from {self.min_gap} to {self.max_gap}; expected at least 2, 1, and gaps from at least 2 up"
            )
        if not 2 * self.max_gap <= self.train_length <= self.test_length:
            raise TaskError(
                f"{self.name}: streams of {self.train_length} and {self.test_length}; expected at least "
                f"{2 * self.max_gap}, so that each has two triggers, and the longer at test"
            )

    @property
    def input_width(self) -> int:
        """Symbols and triggers."""
        return self.num_symbols + self.num_triggers

    @property
    def output_width(self) -> int:
        """The symbols."""
        return self.num_symbols

    def examples(self, rng: np.random.Generator, size: int) -> Split:
        """Draw `size` streams of the test's length that differ in the training's."""
        inputs_BT = distinct(self, lambda num: _streams(self, rng, num), size, self.train_length)
        return Split(inputs=torch.from_numpy(inputs_BT), targets=torch.from_numpy(_labels(self, inputs_BT)))


def _streams(task: Induction, rng: np.random.Generator, size: int) -> np.ndarray:
    """Return `[size, T]` symbols, the triggers numbered behind the others."""
    num_gaps = task.test_length // task.min_gap
    gap_BG = rng.integers(task.min_gap, task.max_gap + 1, size=(size, num_gaps))
    first_B1 = rng.integers(task.max_gap, size=(size, 1))
    place_BG = np.concatenate([first_B1, first_B1 + gap_BG.cumsum(axis=1)], axis=1)
    is_trigger_BT = (place_BG[:, :, None] == np.arange(task.test_length)).any(axis=1)
    symbol_BT = rng.integers(task.num_symbols, size=is_trigger_BT.shape)
    trigger_BT = task.num_symbols + rng.integers(task.num_triggers, size=is_trigger_BT.shape)
    return np.where(is_trigger_BT, trigger_BT, symbol_BT)


def _labels(task: Induction, inputs_BT: np.ndarray) -> np.ndarray:
    """Return `[B, T]`: at each trigger what followed the same one the last time, if it was met before."""
    row_B = np.arange(len(inputs_BT))
    label_BT = np.full_like(inputs_BT, IGNORED)
    followed_BV = np.full((len(inputs_BT), task.input_width), IGNORED)
    for t in range(inputs_BT.shape[1]):
        is_trigger_B = inputs_BT[:, t] >= task.num_symbols
        label_BT[is_trigger_B, t] = followed_BV[row_B, inputs_BT[:, t]][is_trigger_B]
        if t + 1 < inputs_BT.shape[1]:
            followed_BV[row_B, inputs_BT[:, t]] = inputs_BT[:, t + 1]
    return label_BT
