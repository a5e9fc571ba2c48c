"""Sequences with a class each: a generated set in which order matters, or a CSV of one's own.

A row of the CSV, below its header, holds the features of step 1, those of step 2 and so on, then the class.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from config import Config

#: Examples of the generated set.
NUM_EXAMPLES = 6000


@dataclass(frozen=True)
class Data:
    """Inputs `[N, T, F]` and classes `[N]` of each split, and the shapes of what a model reads and writes."""

    splits: dict[str, tuple[torch.Tensor, torch.Tensor]]
    input_size: int
    output_size: int
    max_length: int

    def batch(self, split: str, size: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return random examples, `[size, T, F]`, and their classes, `[size]`."""
        inputs, classes = self.splits[split]
        chosen = torch.randint(len(inputs), (size,), generator=generator)
        return inputs[chosen], classes[chosen]

    def batches(self, split: str, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield every example of a split once, in order."""
        inputs, classes = self.splits[split]
        yield from zip(inputs.split(size), classes.split(size), strict=True)


def load(path: Path | None, config: Config, seed: int = 0) -> Data:
    """Return the sequences of a CSV, or a generated set, dealt into splits by the seed.

    Raises:
        ValueError: a row has no whole number of steps, or too few rows for three splits.
    """
    if path is None:
        generator = torch.Generator().manual_seed(seed)
        inputs, classes = generated(NUM_EXAMPLES, config.max_length, config.input_size, generator)
    else:
        inputs, classes = read_csv(path, config.input_size)
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
    num_held = len(inputs) // 5
    if not num_held:
        raise ValueError(f"{len(inputs)} examples are too few for three splits; give at least 5")
    parts = order.tensor_split([len(order) - 2 * num_held, len(order) - num_held])
    mean, deviation = _moments(inputs[parts[0]])
    inputs = (inputs - mean) / deviation
    splits = {
        name: (inputs[part], classes[part])
        for name, part in zip(("train", "validation", "test"), parts, strict=True)
    }
    return Data(
        splits, input_size=inputs.shape[2], output_size=int(classes.max()) + 1, max_length=inputs.shape[1]
    )


def generated(
    num: int, length: int, num_features: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return noise with two pulses, `[num, length, num_features]`, and one of four classes each, `[num]`.

    A class tells which pulse comes first, which takes a memory, and whether the first feature is lifted,
    which does not.
    """
    inputs = torch.randn(num, length, num_features, generator=generator)
    is_lifted = torch.randint(2, (num,), generator=generator)
    is_second_first = torch.randint(2, (num,), generator=generator)
    early, late = torch.rand(num, length, generator=generator).topk(2).indices.sort(dim=1).values.unbind(1)
    rows = torch.arange(num)
    inputs[:, :, 0] += is_lifted.unsqueeze(1)
    inputs[rows, early, -1 - is_second_first] += 6
    inputs[rows, late, -2 + is_second_first] += 6
    return inputs, 2 * is_lifted + is_second_first


def read_csv(path: Path, num_features: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs `[N, T, num_features]` and classes `[N]`, numbered in the order of their names."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    names = sorted({row[-1] for row in rows})
    values = torch.tensor([[float(value) for value in row[:-1]] for row in rows])
    if values.shape[1] % num_features:
        raise ValueError(
            f"{path} has {values.shape[1]} columns before the class; expected a multiple of input_size in "
            f"config.json, {num_features}"
        )
    inputs = values.view(len(rows), -1, num_features)
    return inputs, torch.tensor([names.index(row[-1]) for row in rows])


def _moments(inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and deviation of each feature."""
    deviation, mean = torch.std_mean(inputs, dim=(0, 1))
    return mean, deviation.clamp_min(1e-6)
