"""The contract of a micro-task: seeded splits, chance level, thresholds; leaves the tasks to their files."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch

#: Examples of every probe set.
NUM_PROBES = 256
#: Split sizes are multiples of this, so that engines need no ragged batches.
SIZE_MULTIPLE = 16


class TaskError(ValueError):
    """A task, stage or curriculum with a setting that cannot be honoured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Examples of one split. Splits are cached and shared: never write into them.

    Attributes:
        inputs: `[B, T, input_width]` float32.
        targets: `[B]` int64 class indices.
    """

    inputs: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """Train, validation and test examples of one seed; no example is in two of them."""

    train: Split
    validation: Split
    test: Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(ABC):
    """One exam. A subclass is a frozen dataclass whose fields are its difficulty knobs.

    Attributes:
        name: what ledger and curves call it; a variant with other knobs needs another name.
        num_train: training examples a seed.
        num_validation: validation examples a seed.
        num_test: test examples a seed.
        batch_size: examples a step; divides `num_train`.
        epochs: passes over the training split.
        learning_rate: of Adam.
    """

    num_classes: ClassVar[int] = 2
    #: Accuracy of always guessing.
    chance: ClassVar[float] = 0.5
    #: Accuracy on the test split from which the task counts as solved.
    solved: ClassVar[float] = 0.95
    #: Training loss in nats under which a run counts as having solved its training split.
    solved_loss: ClassVar[float] = 0.1

    name: str
    num_train: int
    num_validation: int
    num_test: int
    batch_size: int
    epochs: int
    learning_rate: float = 1e-2

    def __post_init__(self) -> None:
        sizes = {
            "num_train": self.num_train,
            "num_validation": self.num_validation,
            "num_test": self.num_test,
        }
        for knob, size in sizes.items():
            if size <= 0 or size % SIZE_MULTIPLE:
                raise TaskError(
                    f"{self.name}: {knob} = {size}; expected a positive multiple of {SIZE_MULTIPLE}"
                )
        if self.batch_size <= 0 or self.num_train % self.batch_size:
            raise TaskError(f"{self.name}: batch_size = {self.batch_size} does not divide {self.num_train}")
        if self.epochs <= 0:
            raise TaskError(f"{self.name}: epochs = {self.epochs}; expected at least 1")

    @property
    @abstractmethod
    def input_width(self) -> int:
        """Width of the last axis of the inputs."""

    @abstractmethod
    def splits(self, seed: int) -> Splits:
        """Return the three splits of `seed` (not negative); equal seeds give equal tensors."""

    @abstractmethod
    def probe(self) -> torch.Tensor:
        """Return the fixed probe set `[256, T, input_width]`, on which fingerprints are taken."""

    @property
    def num_steps(self) -> int:
        """Optimiser steps of one training run."""
        return self.epochs * (self.num_train // self.batch_size)

    @property
    def knobs(self) -> dict[str, Any]:
        """Every field with its value, for the ledger."""
        return asdict(self)

    def normalised(self, score: float) -> float:
        """Map an accuracy to [0, 1]: chance and below to 0, perfect to 1."""
        return min(1.0, max(0.0, (score - self.chance) / (1.0 - self.chance)))
