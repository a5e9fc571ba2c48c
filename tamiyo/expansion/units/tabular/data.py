"""Rows of a table with a class each: a generated set, or a CSV of one's own.

A row of the CSV, below its header, holds the columns, then the class.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from config import Config

#: Rows of the generated set.
NUM_ROWS = 6000


@dataclass(frozen=True)
class Data:
    """Rows `[N, F]` and classes `[N]` of each split, and the shapes of what a model reads and writes."""

    splits: dict[str, tuple[torch.Tensor, torch.Tensor]]
    input_size: int
    output_size: int
    max_length: int

    def batch(self, split: str, size: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return random rows, `[size, F]`, and their classes, `[size]`."""
        rows, classes = self.splits[split]
        chosen = torch.randint(len(rows), (size,), generator=generator)
        return rows[chosen], classes[chosen]

    def batches(self, split: str, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield every row of a split once, in order."""
        rows, classes = self.splits[split]
        yield from zip(rows.split(size), classes.split(size), strict=True)


def load(path: Path | None, config: Config, seed: int = 0) -> Data:
    """Return the rows of a CSV, or a generated set, dealt into splits by the seed.

    Raises:
        ValueError: too few rows for three splits.
    """
    if path is None:
        generator = torch.Generator().manual_seed(seed)
        rows, classes = generated(NUM_ROWS, config.input_size, generator)
    else:
        rows, classes = read_csv(path)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    num_held = len(rows) // 5
    if not num_held:
        raise ValueError(f"{len(rows)} rows are too few for three splits; give at least 5")
    parts = order.tensor_split([len(order) - 2 * num_held, len(order) - num_held])
    deviation, mean = torch.std_mean(rows[parts[0]], dim=0)
    rows = (rows - mean) / deviation.clamp_min(1e-6)
    splits = {
        name: (rows[part], classes[part])
        for name, part in zip(("train", "validation", "test"), parts, strict=True)
    }
    num_columns = rows.shape[1]
    return Data(splits, input_size=num_columns, output_size=int(classes.max()) + 1, max_length=num_columns)


def generated(num: int, num_columns: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return normal rows, `[num, num_columns]`, and one of four classes each, `[num]`.

    A class tells the sign of the columns' sum, which is linear, and of the first two's product, which is not.
    """
    rows = torch.randn(num, num_columns, generator=generator)
    return rows, 2 * (rows.sum(1) > 0).long() + (rows[:, 0] * rows[:, 1] > 0).long()


def read_csv(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows `[N, F]` and classes `[N]`, numbered in the order of their names."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    names = sorted({row[-1] for row in rows})
    values = torch.tensor([[float(value) for value in row[:-1]] for row in rows])
    return values, torch.tensor([names.index(row[-1]) for row in rows])
