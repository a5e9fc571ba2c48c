"""A short training of a model that gives logits; data come from outside, the unseen labels stay there."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Steps over which a loss is averaged before it is believed.
WINDOW = 5


def train(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    rate: float,
    batch_size: int,
    max_steps: int,
    enough: float,
) -> list[float]:
    """Train by Adam (Kingma and Ba 2015), clipped; return the loss averaged over each window of steps.

    It ends early once a window's loss is at most `enough`, or is no number.

    Args:
        model: gives logits, `[B, ..., C]`.
        inputs: `[N, ...]`; batches are taken in order, again and again.
        labels: `[N, ...]`, class numbers.
        rate: of Adam.
        batch_size: B.
        max_steps: steps at most.
        enough: mean cross-entropy that ends it.
    """
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    windows: list[float] = []
    total = 0.0
    for step in range(max_steps):
        start = step * batch_size % (len(inputs) - batch_size + 1)
        logits = model(inputs[start : start + batch_size])
        loss = F.cross_entropy(logits.flatten(0, -2), labels[start : start + batch_size].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total += loss.item()
        if step % WINDOW == WINDOW - 1:
            windows.append(total / WINDOW)
            total = 0.0
            if not windows[-1] > enough:
                break
    return windows
