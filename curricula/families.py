"""Counts and shuffles families of examples whose labels balance exactly; leaves what a family is to its task.

A family is a few examples that together hold every label equally often beside the same inputs, and stays
within one split: so what must not tell the label does not, in every split, and not merely on average.

Axes: N families, M members of a family, B = N * M examples.
"""

from collections.abc import Callable, Sequence

import numpy as np

from curricula.task import Task, TaskError


def num_families(task: Task, sizes: Sequence[int], members: int) -> list[int]:
    """Return how many families make up splits of those sizes.

    Raises:
        TaskError: when a split would end within a family.
    """
    for size in sizes:
        if size % members:
            raise TaskError(f"{task.name}: a split of {size}; expected a multiple of {members}, its balance")
    return [size // members for size in sizes]


def dealt(task: Task, members: int, draw: Callable[[int], np.ndarray]) -> list[np.ndarray]:
    """Return the families of training, validation and test: rows of what `draw` returns for their number."""
    num_I = num_families(task, task.sizes, members)
    return np.split(draw(sum(num_I)), np.cumsum(num_I)[:-1])


def shuffled(
    rng: np.random.Generator, inputs_NM: np.ndarray, targets_NM: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return families `[N, M, ...]` and their targets as examples `[B, ...]` in random order."""
    inputs_B, targets_B = (array.reshape(-1, *array.shape[2:]) for array in (inputs_NM, targets_NM))
    order_B = rng.permutation(len(inputs_B))
    return inputs_B[order_B], targets_B[order_B]
