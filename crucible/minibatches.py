"""Which examples each training step sees; shared by every engine, so that a seed means one order."""

from zlib import crc32

import torch

from curricula.task import Task


def minibatches(task: Task, seed: int) -> torch.Tensor:
    """Return `[steps, B]` int64: the training examples of each step, a fresh permutation an epoch.

    It depends on the task's name and sizes and on `seed` alone. A full batch needs no order.
    """
    if task.batch_size == task.num_train:
        return torch.arange(task.num_train).expand(task.num_steps, -1)
    generator = torch.Generator().manual_seed((crc32(task.name.encode()) << 31) ^ seed)
    epochs = [torch.randperm(task.num_train, generator=generator) for _ in range(task.epochs)]
    return torch.cat(epochs).view(task.num_steps, task.batch_size)
