"""A plain training loop as a careful user writes it, statistics included; the benchmark's yardstick."""

import time

import torch
import torch.nn.functional as F

from crucible.engines.base import Job
from crucible.engines.reference import ReferenceEngine
from crucible.host import build_host, load_parameters
from crucible.initialisation import initial_parameters
from crucible.minibatches import minibatches
from crucible.statistics import CLIP_NORM, curve_statistics
from curricula.task import Split, Task


def timed_reference(job: Job, task: Task, device: torch.device) -> float:
    """Return the seconds that the reference engine takes for one job."""
    engine = ReferenceEngine(device)
    start = time.perf_counter()
    engine.train([job], task)
    return time.perf_counter() - start


def timed_loop(job: Job, task: Task, device: torch.device) -> float:
    """Return the seconds that the plain loop takes for one job, from its module to its test score."""
    start = time.perf_counter()
    train_plainly(job, task, device)
    return time.perf_counter() - start


def train_plainly(job: Job, task: Task, device: torch.device) -> dict[str, float]:
    """Train one module with torch.optim and torch.nn.utils alone; return its scores and statistics."""
    splits = task.splits(job.seed)
    model = build_host(job.program)
    load_parameters(model, initial_parameters(job.program, job.seed))
    model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=task.learning_rate, fused=True)
    inputs, targets = splits.train.inputs.to(device), splits.train.targets.to(device)
    losses, norms = [], []
    for indices in minibatches(task, job.seed).to(device):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs[indices]), targets[indices])
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        if not torch.isfinite(loss) or not torch.isfinite(norm):
            break
        optimizer.step()
        losses.append(loss.detach())
        norms.append(norm)
    losses_1K, norms_1K = (torch.stack(values)[None].cpu().numpy() for values in (losses, norms))
    (statistics,) = curve_statistics(losses_1K, norms_1K, task)
    return {
        "test": _accuracy(model, splits.test, device),
        "validation": _accuracy(model, splits.validation, device),
        **statistics,
    }


@torch.no_grad()
def _accuracy(model: torch.nn.Module, split: Split, device: torch.device) -> float:
    return float((model(split.inputs.to(device)).argmax(1) == split.targets.to(device)).float().mean())
