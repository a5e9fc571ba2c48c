"""The oracle: one nn.Module after another, trained by plain autograd; leaves speed to the batched engine."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from blueprints.modules import MODULES, ModuleBuilder
from crucible.engines.base import MAX_SECONDS, Deadline, Engine, Job, Progress, single_thread, timed_out
from crucible.evaluation import TaskResult
from crucible.heads import LOSSES, Loss, check_split, checked_splits
from crucible.host import MiniSeedNet, build_host, load_parameters
from crucible.initialisation import initial_parameters
from crucible.minibatches import minibatches
from crucible.program import Program
from crucible.statistics import CLIP_EPSILON, CLIP_NORM, curve_statistics, judged
from curricula.heads import HEADS
from curricula.task import Split, Task


class ReferenceEngine(Engine):
    """Fused Adam, statistics and clipping on, one thread; a job that stops being finite stops."""

    name = "reference"
    version = 3

    def __init__(
        self,
        device: torch.device | str = "cpu",
        modules: Mapping[str, ModuleBuilder] = MODULES,
        *,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        self.device = torch.device(device)
        self.max_seconds = max_seconds
        self._modules = modules

    def train(
        self,
        jobs: Sequence[Job],
        task: Task,
        *,
        fingerprints: bool = False,
        progress: Progress | None = None,
    ) -> list[TaskResult]:
        """Train and examine every job, one after another."""
        results = []
        with single_thread():
            for job in jobs:
                try:
                    results.append(self._train(job, task, fingerprints))
                except TimeoutError:
                    results.append(timed_out(job, task, self.max_seconds))
                if progress is not None:
                    progress(1)
        return results

    def _train(self, job: Job, task: Task, fingerprints: bool) -> TaskResult:
        splits = checked_splits(job.program, task, job.seed)
        module = build_host(job.program, self._modules)
        load_parameters(module, initial_parameters(job.program, job.seed))
        if job.program.graft is not None:
            module.freeze()
        module.to(self.device)
        losses, norms = self._fit(module, splits.train, task, job.seed, Deadline(self.max_seconds))
        (statistics,) = curve_statistics(losses[None], norms[None], task)
        loss = LOSSES[job.program.head.loss]
        exams = [(name, split) for name, split in splits.by_name.items() if name != "train"]
        measures = {name: self._measure(module, split, loss) for name, split in exams}
        fingerprint = self._fingerprint(module, task) if fingerprints else None
        return judged(job.program, task, job.seed, splits, statistics, measures, fingerprint)

    def _fit(
        self, module: MiniSeedNet, train: Split, task: Task, seed: int, deadline: Deadline
    ) -> tuple[np.ndarray, np.ndarray]:
        """Train `module` in place; return losses and gradient norms of the steps taken."""
        inputs, targets = train.inputs.to(self.device), train.targets.to(self.device)
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=task.learning_rate, fused=True)
        loss_of = LOSSES[HEADS[task.head].loss].loss
        losses, norms = [], []
        full = task.batch_size == task.num_train
        for indices_B in minibatches(task, seed).to(self.device):
            deadline.check()
            x, target = (inputs, targets) if full else (inputs[indices_B], targets[indices_B])
            loss = loss_of(module(x), target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            norm = torch.stack(torch._foreach_norm(gradients)).norm()  # pyright: ignore
            losses.append(loss.item())
            norms.append(norm.item())
            if not (np.isfinite(losses[-1]) and np.isfinite(norms[-1])):
                break
            if norms[-1] + CLIP_EPSILON > CLIP_NORM:
                scale = CLIP_NORM / (norms[-1] + CLIP_EPSILON)
                torch._foreach_mul_(gradients, scale)  # pyright: ignore
            optimizer.step()
        return np.asarray(losses), np.asarray(norms)

    @torch.no_grad()
    def _measure(self, module: MiniSeedNet, split: Split, loss: Loss) -> float:
        """Return what the exam comes to; NaN where an output is not finite."""
        return loss.measure(module(split.inputs.to(self.device)), split.targets.to(self.device))

    @torch.no_grad()
    def _fingerprint(self, module: MiniSeedNet, task: Task) -> np.ndarray:
        return module.pooled(task.probe().to(self.device)).cpu().numpy()

    def loss_and_gradients(
        self,
        programs: Sequence[Program],
        parameters: Sequence[torch.Tensor],
        inputs: torch.Tensor,
        targets: torch.Tensor,
        dtype: torch.dtype = torch.float32,
    ) -> list[tuple[float, torch.Tensor]]:
        """Differentiate each program by autograd, in `dtype` throughout."""
        check_split(programs[0], Split(inputs=inputs, targets=targets), "the batch")
        x, target = _floating(inputs, dtype).to(self.device), _floating(targets, dtype).to(self.device)
        results = []
        for program, flat_P in zip(programs, parameters, strict=True):
            module = build_host(program, self._modules).to(self.device, dtype)
            load_parameters(module, flat_P.to(self.device, dtype))
            loss = LOSSES[program.head.loss].loss(module(x), target)
            gradients = torch.autograd.grad(
                loss, list(module.parameters()), allow_unused=True, materialize_grads=True
            )
            results.append((loss.item(), torch.cat([g.flatten() for g in gradients]).cpu()))
        return results


def _floating(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return numbers in `dtype`, and symbols and labels as they are."""
    return values.to(dtype) if values.is_floating_point() else values
