"""The oracle: one nn.Module after another, trained by plain autograd; leaves speed to the batched engine."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from blueprints.modules import MODULES, ModuleBuilder
from crucible.engines.base import MAX_SECONDS, Deadline, Engine, Job, Progress, single_thread, timed_out
from crucible.evaluation import TaskResult
from crucible.host import MiniSeedNet, build_host, load_parameters
from crucible.initialisation import initial_parameters
from crucible.minibatches import minibatches
from crucible.program import Program
from crucible.statistics import CLIP_EPSILON, CLIP_NORM, curve_statistics, judged
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
        splits = task.splits(job.seed)
        module = build_host(job.program, self._modules)
        load_parameters(module, initial_parameters(job.program, job.seed))
        module.to(self.device)
        losses, norms = self._fit(module, splits.train, task, job.seed, Deadline(self.max_seconds))
        statistics = curve_statistics(losses, norms, task)
        scores = {
            "validation": self._accuracy(module, splits.validation),
            "test": self._accuracy(module, splits.test),
        }
        fingerprint = self._fingerprint(module, task) if fingerprints else None
        return judged(task, job.seed, statistics, scores, fingerprint)

    def _fit(
        self, module: MiniSeedNet, train: Split, task: Task, seed: int, deadline: Deadline
    ) -> tuple[np.ndarray, np.ndarray]:
        """Train `module` in place; return losses and gradient norms of the steps taken."""
        inputs, targets = train.inputs.to(self.device), train.targets.to(self.device)
        parameters = list(module.parameters())
        optimizer = torch.optim.Adam(parameters, lr=task.learning_rate, fused=True)
        losses, norms = [], []
        full = task.batch_size == task.num_train
        for indices_B in minibatches(task, seed).to(self.device):
            deadline.check()
            x, target = (inputs, targets) if full else (inputs[indices_B], targets[indices_B])
            loss = F.cross_entropy(module(x), target)
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
    def _accuracy(self, module: MiniSeedNet, split: Split) -> float:
        """Return the accuracy; NaN where a logit is not finite."""
        logits_BC = module(split.inputs.to(self.device))
        if not torch.isfinite(logits_BC).all():
            return float("nan")
        return float((logits_BC.argmax(1) == split.targets.to(self.device)).float().mean())

    @torch.no_grad()
    def _fingerprint(self, module: MiniSeedNet, task: Task) -> np.ndarray:
        return module.pooled(task.probe().to(self.device)).cpu().numpy()

    def loss_and_gradients(
        self,
        programs: Sequence[Program],
        parameters: Sequence[torch.Tensor],
        inputs_BTF: torch.Tensor,
        targets_B: torch.Tensor,
        dtype: torch.dtype = torch.float32,
    ) -> list[tuple[float, torch.Tensor]]:
        """Differentiate each program by autograd, in `dtype` throughout."""
        results = []
        for program, flat_P in zip(programs, parameters, strict=True):
            module = build_host(program, self._modules).to(self.device, dtype)
            load_parameters(module, flat_P.to(self.device, dtype))
            loss = F.cross_entropy(module(inputs_BTF.to(self.device, dtype)), targets_B.to(self.device))
            gradients = torch.autograd.grad(
                loss, list(module.parameters()), allow_unused=True, materialize_grads=True
            )
            results.append((loss.item(), torch.cat([g.flatten() for g in gradients]).cpu()))
        return results
