"""The contract of a micro-task: seeded splits, chance level, thresholds; leaves the tasks to their files."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar, Literal, final

import torch

from curricula.heads import HEADS, HeadName, InputKind

#: Examples of every probe set.
NUM_PROBES = 256
#: Split sizes are multiples of this, so that engines need no ragged batches.
SIZE_MULTIPLE = 16
#: Splits that are kept, over all tasks and seeds, and probe sets: those asked for last. It is a dozen seeds
#: of every named task; more would hold memory to spare draws of milliseconds.
NUM_KEPT = 256


#: What the answers of a blueprint may depend on: at a step inputs before it, or its own; in their mean over
#: time the order of the inputs.
Sight = Literal["past", "present", "order"]


class TaskError(ValueError):
    """A task, stage or curriculum with a setting that cannot be honoured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Examples of one split. Splits are cached and shared: never write into them.

    Attributes:
        inputs: `[B, T, input_width]` float32; of an embedding `[B, T]` int64, symbols from 0 on.
        targets: `[B]` int64 labels; of every step `[B, T]`, `IGNORED` where nothing counts. Of a regression
            `[B, K]` float32; of every step `[B, T, K]`, NaN throughout where nothing counts.
    """

    inputs: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """Train, validation and test examples of one seed; no example is in two of them.

    A graft's validation and test ask its new question alone; `retention` asks the old one.
    """

    train: Split
    validation: Split
    test: Split
    retention: Split | None = None

    @property
    def by_name(self) -> dict[str, Split]:
        """The splits that there are, training first."""
        names = ("train", "validation", "test", "retention")
        return {name: split for name in names if (split := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(ABC):
    """One exam. A subclass is a frozen dataclass whose fields are its difficulty knobs.

    It draws examples, which are kept by its knobs: so each knob has a hash, as a tuple has and no list has.
    What is the same for all of a subclass's tasks is a class variable, or a property where it depends on a
    knob. A regression does well to give its targets a variance near 1: then its losses and thresholds mean
    the same as another's.

    Attributes:
        name: what ledger and curves call it; a variant with other knobs needs another name.
        num_train: training examples a seed.
        num_validation: validation examples a seed.
        num_test: test examples a seed.
        batch_size: examples a step; divides `num_train`.
        epochs: passes over the training split.
        learning_rate: of Adam.
    """

    #: What is read from the slot, and by which loss and score it is judged.
    head: ClassVar[HeadName] = "pooled_cross_entropy"
    #: How the host takes inputs: `linear`, or `embedding`, which is a linear map of one-hot inputs.
    input: ClassVar[InputKind] = "linear"
    #: Classes of a label, or numbers of a regression's target.
    output_width: ClassVar[int] = 2
    #: What a blueprint must see to leave the floor; who is blind to any of it is at chance by construction.
    needs: ClassVar[frozenset[Sight]] = frozenset()
    #: Whether the host is trained before the blueprint enters it, which then learns alone; see
    #: curricula/graft.py.
    is_graft: ClassVar[bool] = False
    #: Score on the test split from which the task counts as solved.
    solved: ClassVar[float] = 0.95
    #: Training loss, in nats or squared units of the targets, under which a run counts as having solved its
    #: training split.
    solved_loss: ClassVar[float] = 0.1

    name: str
    num_train: int
    num_validation: int
    num_test: int
    batch_size: int
    epochs: int
    learning_rate: float = 1e-2

    def __post_init__(self) -> None:
        self._check_hashable()
        for knob, size in zip(("num_train", "num_validation", "num_test"), self.sizes, strict=True):
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
        """Width of the last axis of the inputs; of an embedding the number of symbols."""

    @abstractmethod
    def draw(self, seed: int) -> Splits:
        """Draw the splits of `seed` (not negative); equal seeds give equal tensors. `splits` keeps them."""

    @abstractmethod
    def draw_probe(self) -> torch.Tensor:
        """Draw the probe set, inputs of 256 examples; every call gives equal ones. `probe` keeps it."""

    @final
    def splits(self, seed: int) -> Splits:
        """Return what `draw` gave for `seed`; it is kept and shared, so never write into it."""
        return _splits(self, seed)

    @final
    def probe(self) -> torch.Tensor:
        """Return what `draw_probe` gave, on which fingerprints are taken; never write into it either."""
        return _probe(self)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Examples of training, of validation and of test."""
        return self.num_train, self.num_validation, self.num_test

    @property
    def chance(self) -> float:
        """Score of the best constant answer.

        That is one of equally frequent classes, the shares of a likelihood's labels, or a regression's mean.
        """
        return 1.0 / self.output_width if HEADS[self.head].loss == "cross_entropy" else 0.0

    @property
    def num_steps(self) -> int:
        """Optimiser steps of one training run."""
        return self.epochs * (self.num_train // self.batch_size)

    @property
    def knobs(self) -> dict[str, Any]:
        """Every field with its value, for the ledger."""
        return asdict(self)

    def normalised(self, score: float) -> float:
        """Map a score to [0, 1]: chance and below to 0, perfect to 1.

        Whatever the head, this is (chance loss - loss) / chance loss on the split that was scored, where the
        chance loss is that of the best constant answer: for cross entropy the loss is the share of wrong
        answers, 1 - score; for a likelihood the cross entropy in nats, against the entropy of the labels; for
        a regression the mean squared error, against the variance of the targets. The last two are already the
        score, since their chance is 0.
        """
        return min(1.0, max(0.0, (score - self.chance) / (1.0 - self.chance)))

    def share_passed(self, normalised: float) -> float:
        """Map a normalised score to how far this task is passed as a gate: 0 at chance, 1 where it is solved.

        Between the two it rises evenly, so that a search has something to climb; better than solved is no
        better.
        """
        solved = self.normalised(self.solved)
        return 1.0 if normalised >= solved else normalised / solved

    def _check_hashable(self) -> None:
        for knob in fields(self):
            if not knob.init or not knob.compare:
                continue
            value = getattr(self, knob.name)
            try:
                hash(value)
            except TypeError as error:
                raise TaskError(
                    f"{self.name}: {knob.name} = {value!r} ({error}); expected a value with a hash, such as "
                    "a tuple in place of a list, since examples are kept by their task's knobs"
                ) from error


@lru_cache(maxsize=NUM_KEPT)
def _splits(task: Task, seed: int) -> Splits:
    return task.draw(seed)


@lru_cache(maxsize=NUM_KEPT)
def _probe(task: Task) -> torch.Tensor:
    return task.draw_probe()
