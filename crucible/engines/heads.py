"""Losses of a plan's last values and their gradients, for many jobs at once; leaves steps to training.py.

Axes: J jobs, B examples, C classes.
"""

import torch
from torch import Tensor

from crucible.engines.plan import Plan


class Head:
    """Cross entropy of a plan's logits and its gradient."""

    def __init__(self, plan: Plan, one_hot_JBC: Tensor) -> None:
        """Prepare for targets that `one_hot_JBC`, `[J or 1, B, C]` in the order of the logits, will hold."""
        self._logits, self._d_logits = plan.logits[:, 0], plan.d_logits[:, 0]
        self._one_hot = one_hot_JBC
        self._log_p = torch.empty_like(self._logits)
        self._product = torch.empty_like(self._logits)
        self.loss_J = self._logits.new_empty(len(self._logits))

    def __call__(self) -> None:
        """Compute the losses, in the order of the logits, and their gradient."""
        torch.log_softmax(self._logits, -1, out=self._log_p)
        torch.mul(self._log_p, self._one_hot, out=self._product)
        torch.sum(self._product, (1, 2), out=self.loss_J)
        scale = 1.0 / self._logits.shape[1]
        self.loss_J.mul_(-scale)
        torch.exp(self._log_p, out=self._d_logits)
        self._d_logits.sub_(self._one_hot).mul_(scale)
