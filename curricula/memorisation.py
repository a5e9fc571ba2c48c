"""A fixed map of pairs to values, to be stored in weights; leaves what a stream tells to `recall.py`."""

from dataclasses import dataclass

import numpy as np
import torch

from curricula.distinct import deal, distinct
from curricula.heads import IGNORED
from curricula.task import NUM_PROBES, Split, Splits, Task, TaskError

#: Keeps this task's random streams apart from every other task's.
_STREAM = 0x4D454D


@dataclass(frozen=True, slots=True, kw_only=True)
class Memorisation(Task):
    """What value belongs to the last two symbols, by a map that never changes (after Poli et al. 2024)?

    Each seed has a map of its own, a random Latin square: `num_symbols` squared facts that no rule
    connects. Streams are random symbols and every step but the first has a label, so
    that training meets every fact often. The facts asked at test are those of training, since no others exist
    to be known; the streams they are met in are new, and none is in two splits.

    In a Latin square each value belongs to each first symbol once and to each second symbol once. So one
    symbol says nothing about the value, and memoryless blueprints are at chance. Neither does any sum of what
    each of the two says: cross entropy over such sums is convex, and its slope is zero where all say nothing.
    Linear blueprints with memory hardly leave chance.

    Example, `num_symbols=3` and the square with rows 1 0 2, 2 1 0, 0 2 1::

        inputs  0 2 1 1 0
        target  . 2 2 1 2    # row 0, column 2; row 2, column 1; row 1, column 1; row 1, column 0

    Attributes:
        num_symbols: V, symbols and values; there are V squared facts.
        length: T of all streams.
    """

    name: str = "memorisation"
    num_train: int = 1024
    num_validation: int = 256
    num_test: int = 512
    batch_size: int = 64
    epochs: int = 14
    num_symbols: int = 10
    length: int = 16

    head = "step_cross_entropy"
    needs = frozenset({"past"})
    input = "embedding"
    solved = 0.90

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        if self.num_symbols < 2 or self.length < 2:
            raise TaskError(
                f"{self.name}: num_symbols = {self.num_symbols}, length = {self.length}; expected at least 2 "
                "of each"
            )

    @property
    def input_width(self) -> int:
        """The symbols."""
        return self.num_symbols

    @property
    def output_width(self) -> int:
        """The values."""
        return self.num_symbols

    def draw(self, seed: int) -> Splits:
        """Draw the three splits of `seed`, of one map; no two streams are equal."""
        inputs_BT = _streams(self, np.random.default_rng((_STREAM, 1, seed)), sum(self.sizes))
        label_BT = np.full_like(inputs_BT, IGNORED)
        label_BT[:, 1:] = self.facts(seed)[inputs_BT[:, :-1], inputs_BT[:, 1:]]
        examples = Split(inputs=torch.from_numpy(inputs_BT), targets=torch.from_numpy(label_BT))
        return deal(self, examples, self.length)

    def draw_probe(self) -> torch.Tensor:
        """Draw 256 fixed streams."""
        return torch.from_numpy(_streams(self, np.random.default_rng((_STREAM, 2)), NUM_PROBES))

    def facts(self, seed: int) -> np.ndarray:
        """Return `[V, V]`: the value of every pair of symbols, the earlier one first."""
        return _latin_square(self.num_symbols, np.random.default_rng((_STREAM, 0, seed)))


def _streams(task: Memorisation, rng: np.random.Generator, size: int) -> np.ndarray:
    """Return `[size, T]` random symbols, no two rows alike."""
    return distinct(
        task, lambda num: rng.integers(task.num_symbols, size=(num, task.length)), size, task.length
    )


def _latin_square(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a random square in which each row and each column holds every number once.

    Each row is a random matching of columns with the numbers that they still lack, which always exists
    (M. Hall 1945).
    """
    square = np.empty((size, size), dtype=np.int64)
    lacking = [set(range(size)) for _ in range(size)]
    for row in range(size):
        wishes = [rng.permutation(sorted(numbers)).tolist() for numbers in lacking]
        square[row] = _matching(wishes)
        for column, number in enumerate(square[row].tolist()):
            lacking[column].remove(number)
    return square


def _matching(wishes: list[list[int]]) -> list[int]:
    """Return a number for each column, among its wishes, none twice, by augmenting paths (Kuhn 1955)."""
    holder: dict[int, int] = {}

    def place(column: int, tried: set[int]) -> bool:
        for number in wishes[column]:
            if number not in tried:
                tried.add(number)
                if number not in holder or place(holder[number], tried):
                    holder[number] = column
                    return True
        return False

    placed = [place(column, set()) for column in range(len(wishes))]
    assert all(placed)
    return sorted(holder, key=holder.__getitem__)
