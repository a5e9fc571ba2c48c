"""Problems that any model which reads its input learns in a few steps, and no other can; not what it is for.

Each class has a mark that stands in every step of the input. A model that ignores its input cannot get below
the entropy of the labels, log k for k classes that are equally frequent. Nothing has to be carried from step
to step, so that a block that cannot do so does not stand in the way, and the labels are no characters of the
input, so that a matrix that serves both ends does not either.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tamiyo.expansion.targets import Target

NUM_CLASSES = 4
NUM_TRAIN, NUM_TEST, LENGTH = 256, 96, 6
#: Deviation of the noise on marks of deviation one.
NOISE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallProblem:
    """Examples to train on and unseen ones.

    Attributes:
        train_inputs: `[N, ...]`, as the target's models read them.
        train_labels: `[N]`, or `[N, T]` where each step is answered.
        test_inputs: `[M, ...]`.
        test_labels: `[M]` or `[M, T]`, the classes equally frequent.
        num_classes: k.
    """

    train_inputs: Tensor
    train_labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor
    num_classes: int

    @property
    def chance(self) -> float:
        """Cross-entropy that a model which ignores its input cannot get below, in nats."""
        return math.log(self.num_classes)


def num_classes(target: Target) -> int:
    """Return the classes of a target's small problem."""
    return min(NUM_CLASSES, target.output_size)


def small_problem(target: Target, generator: torch.Generator) -> SmallProblem:
    """Draw the problem of a target."""
    num = num_classes(target)
    draw = _characters if target.is_integer else _marks
    return draw(target, num, generator)


def _balanced(shape: tuple[int, ...], num: int, generator: torch.Generator) -> Tensor:
    """Return classes in a random order, each as often as any other as far as the shape allows."""
    total = math.prod(shape)
    return (torch.arange(total) % num)[torch.randperm(total, generator=generator)].reshape(shape)


def _characters(target: Target, num: int, generator: torch.Generator) -> SmallProblem:
    """Return steps that hold one of k characters each; the answer is a partner that no input has."""
    characters = torch.randperm(target.input_size, generator=generator)
    shown, partners = characters[:num], characters[num : 2 * num]
    train = _balanced((NUM_TRAIN, LENGTH), num, generator)
    test = _balanced((NUM_TEST, LENGTH), num, generator)
    return SmallProblem(
        train_inputs=shown[train],
        train_labels=partners[train],
        test_inputs=shown[test],
        test_labels=partners[test],
        num_classes=num,
    )


def _marks(target: Target, num: int, generator: torch.Generator) -> SmallProblem:
    """Return inputs with the mark of their class on every step, in noise."""
    marks = _distinct_marks(num, target.input_size, generator)
    labels = [_balanced((size,), num, generator) for size in (NUM_TRAIN, NUM_TEST)]
    inputs = []
    for classes in labels:
        shape = target.input_shape(len(classes), LENGTH)
        noise = NOISE * torch.randn(shape, generator=generator)
        inputs.append(noise + marks[classes].reshape([len(classes), *[1] * (len(shape) - 2), shape[-1]]))
    return SmallProblem(
        train_inputs=inputs[0],
        train_labels=labels[0],
        test_inputs=inputs[1],
        test_labels=labels[1],
        num_classes=num,
    )


def _distinct_marks(num: int, size: int, generator: torch.Generator) -> Tensor:
    """Return marks `[k, F]` of deviation one that lie far apart: a simplex or, in few features, a grid."""
    if size < num:
        return torch.linspace(-2, 2, num).unsqueeze(1).expand(num, size).clone()
    rotation, _ = torch.linalg.qr(torch.randn(size, size, generator=generator))
    return rotation[:num] * size**0.5
