"""Which value went with this key, earlier in the stream? Leaves facts that never change to memorisation."""

from dataclasses import dataclass

import numpy as np
import torch

from curricula.distinct import SymbolStream, distinct
from curricula.heads import IGNORED
from curricula.task import Split, TaskError


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall(SymbolStream):
    """Associative recall of several keys (Arora et al. 2024, "Zoology", made small).

    The first half of the symbols are keys, the second half values. A stream opens with `num_pairs` different
    keys, each followed by its value, no value twice. Later steps hold keys: at `num_queries` of them,
    anywhere, one of the stream's own, whose value is the label; at the others keys that the stream has not
    paired, which do not count. Pairs are drawn afresh for each stream, so nothing can be known by heart.

    Who sees the query alone is at chance. Who remembers the values but not their keys guesses among
    `num_pairs`: recurrences of the host's width get so far, attention behind a convolution further.

    Example, `num_symbols=8, length=8, num_pairs=2, num_queries=2` (keys 0 to 3, values 4 to 7)::

        inputs  2 7 0 4 1 0 3 2
        target  . . . . . 0 . 3    # 0 went with 4, the value numbered 0; 2 with 7, that numbered 3

    Attributes:
        num_symbols: V, keys and values together; even.
        length: T of all streams.
        num_pairs: keys that a stream pairs with values.
        num_queries: steps of a stream that ask for a value.
    """

    name: str = "recall"
    num_train: int = 1024
    num_validation: int = 256
    num_test: int = 512
    batch_size: int = 32
    epochs: int = 10
    num_symbols: int = 64
    length: int = 32
    num_pairs: int = 4
    num_queries: int = 24

    stream = 0x524543
    solved = 0.90

    def __post_init__(self) -> None:
        SymbolStream.__post_init__(self)
        if self.num_symbols % 2 or not 0 < self.num_pairs < self.num_symbols // 2:
            raise TaskError(
                f"{self.name}: num_symbols = {self.num_symbols}, num_pairs = {self.num_pairs}; expected an "
                "even number, and fewer pairs than half of it"
            )
        if not 0 < self.num_queries <= self.length - 2 * self.num_pairs:
            raise TaskError(
                f"{self.name}: num_queries = {self.num_queries}; expected 1 to "
                f"{self.length - 2 * self.num_pairs}, the steps of {self.length} that no pair takes"
            )

    @property
    def input_width(self) -> int:
        """Keys and values."""
        return self.num_symbols

    @property
    def output_width(self) -> int:
        """The values."""
        return self.num_symbols // 2

    @property
    def train_length(self) -> int:
        """T of all streams."""
        return self.length

    def examples(self, rng: np.random.Generator, size: int) -> Split:
        """Draw `size` different streams with the values that they ask for."""
        rows = distinct(self, lambda num: _streams(self, rng, num), size, self.length)
        return Split(
            inputs=torch.from_numpy(rows[:, : self.length].copy()),
            targets=torch.from_numpy(rows[:, self.length :].copy()),
        )


def _streams(task: Recall, rng: np.random.Generator, size: int) -> np.ndarray:
    """Return `[size, 2 T]`: streams, and behind each its labels."""
    num_keys, pairs = task.num_symbols // 2, task.num_pairs
    rest = task.length - 2 * pairs
    key_BK = rng.permuted(np.tile(np.arange(num_keys), (size, 1)), axis=1)
    value_BP = rng.permuted(np.tile(np.arange(num_keys), (size, 1)), axis=1)[:, :pairs]
    asked_BT = rng.permuted(np.tile(np.arange(rest) < task.num_queries, (size, 1)), axis=1)
    # The stream's own keys come first among key_BK; the others are those that it has not paired.
    place_BT = np.where(
        asked_BT, rng.integers(pairs, size=(size, rest)), rng.integers(pairs, num_keys, size=(size, rest))
    )
    row_B1 = np.arange(size)[:, None]
    opening_BT = np.stack([key_BK[:, :pairs], num_keys + value_BP], axis=2).reshape(size, -1)
    label_BT = np.where(asked_BT, value_BP[row_B1, place_BT % pairs], IGNORED)
    return np.concatenate(
        [opening_BT, key_BK[row_B1, place_BT], np.full_like(opening_BT, IGNORED), label_BT], axis=1
    )
