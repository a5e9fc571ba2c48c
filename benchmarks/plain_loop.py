"""A plain training loop as a careful user writes it, statistics included; the benchmark's yardstick."""

import time
from typing import Any

import torch
import torch.nn.functional as F

from crucible.engines.base import Job
from crucible.engines.reference import ReferenceEngine
from crucible.grading import grades
from crucible.heads import LOSSES
from crucible.host import build_host, load_parameters
from crucible.initialisation import initial_parameters
from crucible.minibatches import minibatches
from crucible.statistics import CLIP_NORM, curve_statistics
from curricula.heads import IGNORED
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


def train_plainly(job: Job, task: Task, device: torch.device) -> dict[str, Any]:
    """Train one module with torch.optim and torch.nn.utils alone; return its scores and statistics."""
    splits = task.splits(job.seed)
    model = build_host(job.program)
    load_parameters(model, initial_parameters(job.program, job.seed))
    if task.is_graft:
        model.freeze()
    model.to(device)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=task.learning_rate, fused=True)
    loss_of = _squared_error if job.program.head.loss == "mse" else _cross_entropy
    inputs, targets = splits.train.inputs.to(device), splits.train.targets.to(device)
    losses, norms = [], []
    for indices in minibatches(task, job.seed).to(device):
        optimizer.zero_grad()
        loss = loss_of(model(inputs[indices]), targets[indices])
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(learning, CLIP_NORM)
        if not torch.isfinite(loss) or not torch.isfinite(norm):
            break
        optimizer.step()
        losses.append(loss.detach())
        norms.append(norm)
    losses_1K, norms_1K = (torch.stack(values)[None].cpu().numpy() for values in (losses, norms))
    (statistics,) = curve_statistics(losses_1K, norms_1K, task)
    loss = LOSSES[job.program.head.loss]
    exams = [(name, split) for name, split in splits.by_name.items() if name != "train"]
    measures = {name: loss.measure(_outputs(model, split, device), split.targets) for name, split in exams}
    return {**grades(job.program, job.seed, splits, measures), **statistics}


def _cross_entropy(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(outputs.flatten(0, -2), labels.flatten(), ignore_index=IGNORED)


def _squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    counts = ~targets.isnan()
    return F.mse_loss(outputs[counts], targets[counts])


@torch.no_grad()
def _outputs(model: torch.nn.Module, split: Split, device: torch.device) -> torch.Tensor:
    return model(split.inputs.to(device)).cpu()
