"""Losses of many jobs' outputs with their gradients, and their exams; leaves steps to training.py.

Axes: J jobs, S seeds, P positions that are read (one, or all T steps), B examples, K outputs, L numbers of a
target (one for a label, K for a regression).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from crucible.engines.plan import Plan
from curricula.heads import Head, LossName


class PlannedLoss(ABC):
    """A loss between two places in memory: the outputs of a plan, and targets that change from step to step.

    Attributes:
        loss_J: the losses, in the order of the outputs.
    """

    def __init__(self, plan: Plan, targets_JPBL: Tensor, head: Head) -> None:
        """Prepare for the targets that `targets_JPBL`, `[J or 1, P, B, L]`, will hold."""
        self._outputs, self._slopes = plan.logits, plan.d_logits
        self._targets = targets_JPBL
        self._may_ignore = head.is_per_step
        self._apart = torch.empty_like(self._outputs)
        self._weight = torch.ones_like(targets_JPBL)
        self._share_J111 = self._weight.sum((1, 2, 3), keepdim=True).reciprocal_()
        self._weight.mul_(self._share_J111)
        self.loss_J = self._outputs.new_empty(len(self._outputs))

    def take(self) -> None:
        """Read the targets, which have changed."""
        if self._may_ignore:
            self._count()
            torch.sum(self._weight, (1, 2, 3), keepdim=True, out=self._share_J111)
            self._weight.mul_(self._share_J111.clamp_(min=1).reciprocal_())
        self._translate()

    @abstractmethod
    def _count(self) -> None:
        """Write a weight of one where a number counts, and zero elsewhere."""

    @abstractmethod
    def _translate(self) -> None:
        """Bring the targets into the form that the loss needs."""

    @abstractmethod
    def __call__(self) -> None:
        """Compute the losses and their gradient."""


class CrossEntropy(PlannedLoss):
    """Of logits and labels."""

    def __init__(self, plan: Plan, targets_JPBL: Tensor, head: Head) -> None:
        """See the base class."""
        super().__init__(plan, targets_JPBL, head)
        width = self._outputs.shape[-1]
        self._all_K = torch.arange(width, dtype=targets_JPBL.dtype, device=targets_JPBL.device)
        self._one_hot = targets_JPBL.new_empty(*targets_JPBL.shape[:-1], width)
        self._log_p = torch.empty_like(self._outputs)

    def _count(self) -> None:
        torch.ge(self._targets, 0, out=self._weight)

    def _translate(self) -> None:
        torch.eq(self._targets, self._all_K, out=self._one_hot)

    def __call__(self) -> None:
        """Compute the losses and their gradient."""
        torch.log_softmax(self._outputs, -1, out=self._log_p)
        torch.mul(self._log_p, self._one_hot, out=self._apart)
        torch.sum(self._apart, (1, 2, 3), out=self.loss_J)
        self.loss_J.mul_(self._share_J111[:, 0, 0, 0]).neg_()
        torch.exp(self._log_p, out=self._slopes)
        self._slopes.sub_(self._one_hot).mul_(self._weight)


class MeanSquaredError(PlannedLoss):
    """Of outputs and numbers."""

    def __init__(self, plan: Plan, targets_JPBL: Tensor, head: Head) -> None:
        """See the base class."""
        super().__init__(plan, targets_JPBL, head)
        self._numbers = torch.empty_like(targets_JPBL)

    def _count(self) -> None:
        torch.eq(self._targets, self._targets, out=self._weight)

    def _translate(self) -> None:
        torch.nan_to_num(self._targets, 0.0, out=self._numbers)

    def __call__(self) -> None:
        """Compute the losses and their gradient."""
        torch.sub(self._outputs, self._numbers, out=self._apart)
        torch.mul(self._apart, self._weight, out=self._slopes)
        self._apart.mul_(self._slopes)
        torch.sum(self._apart, (1, 2, 3), out=self.loss_J)
        self._slopes.mul_(2.0)


#: One row a loss.
PLANNED: Mapping[LossName, type[PlannedLoss]] = {
    "cross_entropy": CrossEntropy,
    "likelihood": CrossEntropy,
    "mse": MeanSquaredError,
}


def _right(outputs_JPBK: Tensor, labels_JPB1: Tensor) -> Tensor:
    return outputs_JPBK.argmax(-1, keepdim=True) == labels_JPB1


def _surprise(outputs_JPBK: Tensor, labels_JPB1: Tensor) -> Tensor:
    """Return the cross entropy in nats."""
    log_p_JPBK = torch.log_softmax(outputs_JPBK, -1)
    return log_p_JPBK.gather(-1, labels_JPB1.clamp(min=0).long()).neg_()


def _squared_error(outputs_JPBK: Tensor, numbers_JPBK: Tensor) -> Tensor:
    return (outputs_JPBK - numbers_JPBK).square()


#: What an exam adds up of outputs and targets, one row a loss; where nothing counts it is anything.
_EXAMINED: Mapping[LossName, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": _right,
    "likelihood": _surprise,
    "mse": _squared_error,
}


class Tally:
    """What the outputs of an exam come to: accuracies, cross entropies, or mean squared errors."""

    def __init__(self, head: Head, seed_of_J: Tensor) -> None:
        self._head, self._seed_of_J = head, seed_of_J
        self._total_J = torch.zeros(len(seed_of_J), dtype=torch.float64, device=seed_of_J.device)
        self._num_J = torch.zeros_like(seed_of_J)
        self._finite_J = torch.ones_like(seed_of_J, dtype=torch.bool)

    def add(self, outputs_JPBK: Tensor, targets_SPBL: Tensor) -> None:
        """Count some examples."""
        targets_JPBL = targets_SPBL[self._seed_of_J]
        counts = ~targets_JPBL.isnan() if self._head.loss == "mse" else targets_JPBL >= 0
        found_JPBL = _EXAMINED[self._head.loss](outputs_JPBK, targets_JPBL)
        self._total_J += torch.where(counts, found_JPBL, 0).sum((1, 2, 3))
        self._num_J += counts.sum((1, 2, 3))
        self._finite_J &= torch.isfinite(outputs_JPBK).flatten(1).all(1)

    def means(self) -> Tensor:
        """Return the mean over the numbers that count, `[J]`; NaN where an output was not finite."""
        return (self._total_J / self._num_J).float().masked_fill_(~self._finite_J, float("nan"))
