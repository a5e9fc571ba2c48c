"""Draws streams of symbols of which none is met twice; leaves what a stream is to its task."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from curricula.task import NUM_PROBES, Split, Splits, Task, TaskError

#: Rounds of drawing after which streams that repeat are taken to be all there are.
_MAX_ROUNDS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolStream(Task):
    """What is asked at some steps of streams of symbols, all drawn together and then dealt to the splits."""

    #: Keeps a subclass's random streams apart from every other task's.
    stream: ClassVar[int]

    head = "step_cross_entropy"
    needs = frozenset({"past"})
    input = "embedding"

    @property
    @abstractmethod
    def train_length(self) -> int:
        """T of train and validation streams, and of the probe set."""

    @abstractmethod
    def examples(self, rng: np.random.Generator, size: int) -> Split:
        """Draw `size` streams of the test's length that differ in the training's."""

    def draw(self, seed: int) -> Splits:
        """Draw the three splits of `seed`; no two streams begin alike."""
        rng = np.random.default_rng((self.stream, 0, seed))
        return deal(self, self.examples(rng, sum(self.sizes)), self.train_length)

    def draw_probe(self) -> torch.Tensor:
        """Draw 256 fixed streams of the training length."""
        probe = self.examples(np.random.default_rng((self.stream, 1)), NUM_PROBES).inputs
        return probe[:, : self.train_length].contiguous()


def distinct(task: Task, draw: Callable[[int], np.ndarray], size: int, width: int) -> np.ndarray:
    """Return `size` rows from `draw`, no two alike in their first `width` columns.

    Args:
        task: whose streams they are, for the error.
        draw: returns as many random rows `[B, columns]` as it is asked for.
        size: how many rows are wanted.
        width: the columns that tell rows apart: those that the task shows.

    Raises:
        TaskError: when so many different rows do not turn up.
    """
    rows = draw(size)
    for _ in range(_MAX_ROUNDS):
        first = np.sort(np.unique(rows[:, :width], axis=0, return_index=True)[1])
        if len(first) == size:
            return rows[first]
        rows = np.concatenate([rows[first], draw(size - len(first))])
    raise TaskError(
        f"{task.name}: hardly {size} different streams exist; ask for fewer examples, or for longer streams"
    )


def deal(task: Task, examples: Split, length: int) -> Splits:
    """Return examples that are in random order already as the three splits of `task`, train first.

    Test streams are as long as they come; those of training and validation are cut to `length` steps.
    """
    cut = Split(inputs=examples.inputs[:, :length], targets=examples.targets[:, :length])
    return Splits(
        train=_rows(cut, 0, task.num_train),
        validation=_rows(cut, task.num_train, task.num_validation),
        test=_rows(examples, task.num_train + task.num_validation, task.num_test),
    )


def _rows(split: Split, start: int, size: int) -> Split:
    rows = slice(start, start + size)
    return Split(inputs=split.inputs[rows].contiguous(), targets=split.targets[rows].contiguous())
