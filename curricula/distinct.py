"""Draws streams of symbols of which none is met twice; leaves what a stream is to its task."""

from collections.abc import Callable

import numpy as np

from curricula.task import Split, Splits, Task, TaskError

#: Rounds of drawing after which streams that repeat are taken to be all there are.
_MAX_ROUNDS = 100


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
