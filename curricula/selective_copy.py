"""Repeat what stood between the blanks, in order; leaves copying from fixed places to `copying.py`."""

from dataclasses import dataclass

import numpy as np
import torch

from curricula.distinct import SymbolStream, distinct
from curricula.heads import IGNORED
from curricula.task import Split, TaskError


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectiveCopy(SymbolStream):
    """Selective copying (Gu and Dao 2023, after Jing et al. 2019, made small).

    `num_items` symbols, drawn with replacement, stand at random places among blanks. Behind them come as many
    marks: the label at mark k is item k. Because the places are random, no fixed delay finds an item: what is
    stored must depend on what is read. Items are independent, so one says nothing about another. Who
    remembers which items there were and not their order guesses among `num_items`.

    Example, `num_symbols=4, length=6, num_items=2` (4 is the blank, 5 the mark)::

        inputs  4 2 4 4 0 4 5 5
        target  . . . . . . 2 0

    Attributes:
        num_symbols: symbols that an item can be; blank and mark are two more.
        length: steps before the first mark.
        num_items: symbols to be copied.
    """

    name: str = "selective_copy"
    num_train: int = 1024
    num_validation: int = 256
    num_test: int = 1024
    batch_size: int = 64
    epochs: int = 15
    num_symbols: int = 8
    length: int = 12
    num_items: int = 3

    stream = 0x53454C
    solved = 0.80

    def __post_init__(self) -> None:
        SymbolStream.__post_init__(self)
        if self.num_symbols < 2 or not 0 < self.num_items <= self.length:
            raise TaskError(
                f"{self.name}: num_symbols = {self.num_symbols}, num_items = {self.num_items}, length = "
                f"{self.length}; expected at least 2 symbols, and 1 to length items"
            )

    @property
    def input_width(self) -> int:
        """The symbols, blank and mark."""
        return self.num_symbols + 2

    @property
    def output_width(self) -> int:
        """The symbols."""
        return self.num_symbols

    @property
    def train_length(self) -> int:
        """T of all streams."""
        return self.length + self.num_items

    def examples(self, rng: np.random.Generator, size: int) -> Split:
        """Draw `size` different streams with the items that they ask for."""
        inputs_BT = distinct(self, lambda num: _streams(self, rng, num), size, self.length)
        is_item_BT = inputs_BT < self.num_symbols
        label_BT = np.full_like(inputs_BT, IGNORED)
        label_BT[:, self.length :] = inputs_BT[is_item_BT].reshape(size, self.num_items)
        return Split(inputs=torch.from_numpy(inputs_BT), targets=torch.from_numpy(label_BT))


def _streams(task: SelectiveCopy, rng: np.random.Generator, size: int) -> np.ndarray:
    """Return `[size, length + num_items]` symbols."""
    item_BT = rng.integers(task.num_symbols, size=(size, task.length))
    is_item_BT = rng.permuted(np.tile(np.arange(task.length) < task.num_items, (size, 1)), axis=1)
    blank, mark = task.num_symbols, task.num_symbols + 1
    return np.concatenate(
        [np.where(is_item_BT, item_BT, blank), np.full((size, task.num_items), mark)], axis=1
    )
