"""Training and examining one batch of jobs with op batching; leaves splitting work over cores to batched.py.

Axes: J jobs, S seeds, K steps (the last axis of outputs: their width), T time, B examples, F input features,
P positions that are read, L numbers of a target, R rows of the flat buffers.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from crucible.engines.base import Job
from crucible.engines.heads import PLANNED, Tally
from crucible.engines.kernels import Kernel
from crucible.engines.layout import ROW, Layout
from crucible.engines.plan import Plan
from crucible.engines.schedule import schedule
from crucible.evaluation import TaskResult
from crucible.heads import checked_splits, inputs_as_floats, targets_as_floats
from crucible.initialisation import initial_parameters
from crucible.minibatches import minibatches
from crucible.program import Program
from crucible.statistics import CLIP_EPSILON, CLIP_NORM, curve_statistics, judged
from curricula.heads import HEADS, Head
from curricula.task import Split, Task

#: Examples that one forward pass of an exam takes; a multiple of any vector register.
EXAM_BATCH = 128


class Batch:
    """Programs that train together: their schedule and flat buffers of parameters and gradients."""

    def __init__(
        self,
        programs: Sequence[Program],
        kernels: Mapping[str, Kernel],
        time: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.programs = programs
        self.kernels = kernels
        self.groups = schedule(programs)
        self.layout = Layout(programs, self.groups, kernels, time)
        self.parameters = torch.zeros(self.layout.num_rows * ROW, device=device, dtype=dtype)
        self.gradients = torch.zeros_like(self.parameters)

    def plan(self, inputs_JTBF: Tensor, *, train: bool) -> Plan:
        """Return the launches for inputs of this shape."""
        return Plan(
            self.programs,
            self.groups,
            self.kernels,
            self.layout.stacks(self.parameters),
            inputs_JTBF,
            self.layout.stacks(self.gradients) if train else None,
        )


class Trainer:
    """Jobs that train together: `step` takes one training step, `results` examines them after the last.

    No job's result depends on the others. Attributes: `num_steps` of the task.
    """

    def __init__(
        self, jobs: Sequence[Job], task: Task, kernels: Mapping[str, Kernel], device: torch.device
    ) -> None:
        self._jobs, self._task = jobs, task
        self.num_steps = task.num_steps
        self._seeds = seeds = sorted({job.seed for job in jobs})
        self._splits = [checked_splits(jobs[0].program, task, seed) for seed in seeds]
        self._head = jobs[0].program.head
        first = self._splits[0]
        longest = max(split.inputs.shape[1] for split in first.by_name.values())
        self._batch = Batch([job.program for job in jobs], kernels, longest, device)
        self._write_initial_parameters()
        self._seed_of_J = torch.tensor([seeds.index(job.seed) for job in jobs], device=device)
        minibatches = Minibatches(task, seeds, [s.train for s in self._splits], self._seed_of_J)
        self.step = Step(self._batch, task, minibatches)

    def _write_initial_parameters(self) -> None:
        values = torch.zeros_like(self._batch.parameters, device="cpu")
        for index, job in enumerate(self._jobs):
            self._batch.layout.write(values, index, initial_parameters(job.program, job.seed))
        self._batch.parameters.copy_(values)

    def results(self, fingerprints: bool) -> list[TaskResult]:
        """Examine all jobs and return their results, in their order."""
        task = self._task
        losses_KJ, norms_KJ = self.step.curves()
        measures = {
            name: self._measures([splits.by_name[name] for splits in self._splits])
            for name in self._splits[0].by_name
            if name != "train"
        }
        pooled_JBD = _fingerprints(self._batch, task) if fingerprints else None
        results = []
        statistics_J = curve_statistics(losses_KJ.T, norms_KJ.T, task)
        for index, (job, statistics) in enumerate(zip(self._jobs, statistics_J, strict=True)):
            own = {name: measures_J[index] for name, measures_J in measures.items()}
            fingerprint = None if pooled_JBD is None else pooled_JBD[index].copy()
            splits = self._splits[self._seeds.index(job.seed)]
            results.append(judged(job.program, task, job.seed, splits, statistics, own, fingerprint))
        return results

    def _measures(self, splits: Sequence[Split]) -> list[float]:
        """Return what the exam of each job comes to; NaN where an output is not finite."""
        return _measures(self._batch, self._head, splits, self._seed_of_J).tolist()


class Minibatches:
    """Inputs and targets of each step, brought where the launches read them by a counter on the device.

    Attributes:
        step_1: `[1]` int64, the step whose minibatch `load` brings; `advance` counts it up.
        inputs_JTBF: inputs of each job.
    """

    def __init__(self, task: Task, seeds: Sequence[int], train: Sequence[Split], seed_of_J: Tensor) -> None:
        device = seed_of_J.device
        self.step_1 = torch.zeros(1, dtype=torch.int64, device=device)
        self._seed_of_J = self._seed_of_outputs = seed_of_J
        self._inputs_KSTBF, self._targets_KSPBL = _steps(task, seeds, train, device)
        self._inputs_1STBF = self._inputs_KSTBF[:1].clone()
        self._targets_1SPBL = self._targets_KSPBL[:1].clone()
        self._is_fixed, self._is_shared = len(self._inputs_KSTBF) == 1, len(seeds) == 1
        self.inputs_JTBF = self._of_jobs(self._inputs_1STBF[0], seed_of_J)

    def _of_jobs(self, values_SB: Tensor, seed_of_J: Tensor) -> Tensor:
        """Return `[J, ...]` of `[S, ...]`, a view where all jobs have one seed."""
        sizes = [-1] * (values_SB.dim() - 1)
        return values_SB.expand(len(seed_of_J), *sizes) if self._is_shared else values_SB[seed_of_J]

    def targets(self, order_J: Tensor) -> Tensor:
        """Return targets `[J or 1, P, B, L]` in an order of the jobs; `load` brings those of each step."""
        self._seed_of_outputs = self._seed_of_J[order_J]
        targets_SPBL = self._targets_1SPBL[0]
        self._targets_JPBL = targets_SPBL if self._is_shared else targets_SPBL[self._seed_of_outputs]
        return self._targets_JPBL

    def load(self) -> bool:
        """Bring the minibatch of the step; say whether it is new: a full batch is there from the start."""
        if self._is_fixed:
            return False
        torch.index_select(self._inputs_KSTBF, 0, self.step_1, out=self._inputs_1STBF)
        torch.index_select(self._targets_KSPBL, 0, self.step_1, out=self._targets_1SPBL)
        if not self._is_shared:
            torch.index_select(self._inputs_1STBF[0], 0, self._seed_of_J, out=self.inputs_JTBF)
            torch.index_select(self._targets_1SPBL[0], 0, self._seed_of_outputs, out=self._targets_JPBL)
        return True

    def advance(self) -> None:
        """Go on to the next step."""
        self.step_1.add_(1)


class Step:
    """One training step of a batch: a list of launches that never waits for the device or asks the host.

    Which step it is stands on the device, so the same launches serve all steps, captured or not.
    """

    def __init__(self, batch: Batch, task: Task, minibatches: Minibatches) -> None:
        self._minibatches = minibatches
        self._plan = batch.plan(minibatches.inputs_JTBF, train=True)
        order_J = torch.tensor(self._plan.order, device=batch.parameters.device)
        head = HEADS[task.head]
        self._loss = PLANNED[head.loss](self._plan, minibatches.targets(order_J), head)
        self._loss.take()
        self._update = Update(batch, self._loss.loss_J, order_J, task, minibatches.step_1)

    def __call__(self) -> None:
        """Take the next step."""
        if self._minibatches.load():
            self._loss.take()
        self._plan.forward()
        self._loss()
        self._plan.backward()
        self._update()
        self._minibatches.advance()

    def curves(self) -> tuple[np.ndarray, np.ndarray]:
        """Return losses and gradient norms `[K, J]`; NaN where no step was taken."""
        return self._update.losses_KJ.cpu().numpy(), self._update.norms_KJ.cpu().numpy()


class Update:
    """Norm, clip and quarantine of each job's gradient, then one Adam over all of them."""

    def __init__(self, batch: Batch, loss_J: Tensor, order_J: Tensor, task: Task, step_1: Tensor) -> None:
        device = batch.parameters.device
        self._step_1 = step_1
        layout = batch.layout
        num = len(batch.programs)
        self._loss = loss_J
        self._inverse = torch.argsort(order_J)
        self._gradient_RC = batch.gradients.view(-1, ROW)
        self._square_RC = torch.empty_like(self._gradient_RC)
        self._square_R = batch.gradients.new_empty(layout.num_rows)
        self._row_order = layout.row_order.to(device)
        self._row_counts = layout.row_counts.to(device)
        self._frozen_rows = layout.frozen_rows.to(device)
        job_of_R = torch.empty(layout.num_rows, dtype=torch.int64, device=device)
        job_of_R[self._row_order] = torch.repeat_interleave(
            torch.arange(num, device=device), self._row_counts
        )
        self._job_of_R = job_of_R
        self._ordered_R = torch.empty_like(self._square_R)
        self._scale_R1 = torch.empty_like(self._square_R).unsqueeze(1)
        self._alive_J = torch.ones(num, dtype=torch.bool, device=device)
        self._zero = torch.zeros((), device=device)
        self.losses_KJ = torch.full((task.num_steps, num), float("nan"), device=device)
        self.norms_KJ = torch.full((task.num_steps, num), float("nan"), device=device)
        parameter = torch.nn.Parameter(batch.parameters)
        parameter.grad = batch.gradients
        is_cuda = device.type == "cuda"
        self._adam = torch.optim.Adam([parameter], lr=task.learning_rate, fused=True, capturable=is_cuda)

    def __call__(self) -> None:
        """Take one step; a job that is no longer finite gets no more gradient that is worth anything.

        With a gradient of zero from the first step on, what is frozen stays as it is, to the bit.
        """
        if len(self._frozen_rows):
            self._gradient_RC.index_fill_(0, self._frozen_rows, 0.0)
        torch.mul(self._gradient_RC, self._gradient_RC, out=self._square_RC)
        torch.sum(self._square_RC, 1, out=self._square_R)
        torch.index_select(self._square_R, 0, self._row_order, out=self._ordered_R)
        # Checking the lengths, which never change, would wait for the device.
        norm_J = torch.segment_reduce(self._ordered_R, "sum", lengths=self._row_counts, unsafe=True).sqrt_()
        loss_J = self._loss.index_select(0, self._inverse)
        self.losses_KJ.index_copy_(0, self._step_1, loss_J[None])
        self.norms_KJ.index_copy_(0, self._step_1, norm_J[None])
        self._alive_J &= torch.isfinite(norm_J) & torch.isfinite(loss_J)
        scale_J = torch.where(
            self._alive_J, (CLIP_NORM / (norm_J + CLIP_EPSILON)).clamp_max_(1.0), self._zero
        )
        torch.index_select(scale_J, 0, self._job_of_R, out=self._scale_R1[:, 0])
        self._gradient_RC.mul_(self._scale_R1)
        self._adam.step()


def _steps(
    task: Task, seeds: Sequence[int], train: Sequence[Split], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return inputs `[K, S, T, B, F]` and targets `[K, S, P, B, L]` of each step; K = 1 for a full batch."""
    head = HEADS[task.head]
    inputs, targets = [], []
    for seed, split in zip(seeds, train, strict=True):
        indices_KB = minibatches(task, seed)
        if task.batch_size == task.num_train:
            indices_KB = indices_KB[:1]
        inputs.append(inputs_as_floats(split.inputs)[indices_KB].transpose(1, 2))
        targets.append(targets_as_floats(head, split.targets)[indices_KB].transpose(1, 2))
    return torch.stack(inputs, 1).to(device), torch.stack(targets, 1).to(device)


@torch.no_grad()
def _examine(batch: Batch, inputs_SBTF: Tensor, seed_of_J: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield outputs `[J, P, B, K]` and pooled slot outputs `[J, B, D]`, a fixed number of examples at a time.

    The slice says which examples they are.
    """
    num_examples = inputs_SBTF.shape[1]
    device = batch.parameters.device
    padding = -num_examples % EXAM_BATCH
    x_SBTF = torch.nn.functional.pad(inputs_SBTF, (0, 0, 0, 0, 0, padding)).to(device)
    chunks = x_SBTF.transpose(1, 2).split(EXAM_BATCH, dim=2)
    shared = len(x_SBTF) == 1
    buffer_STBF = chunks[0].contiguous()
    inputs_JTBF = buffer_STBF.expand(len(seed_of_J), -1, -1, -1) if shared else buffer_STBF[seed_of_J]
    plan = batch.plan(inputs_JTBF, train=False)
    inverse_J = torch.argsort(torch.tensor(plan.order, device=device))
    for index, chunk_STBF in enumerate(chunks):
        buffer_STBF.copy_(chunk_STBF)
        if not shared:
            torch.index_select(buffer_STBF, 0, seed_of_J, out=inputs_JTBF)
        plan.forward()
        start = index * EXAM_BATCH
        num = min(EXAM_BATCH, num_examples - start)
        outputs_JPBK = plan.logits.index_select(0, inverse_J)[:, :, :num]
        yield slice(start, start + num), outputs_JPBK, plan.pooled()[:, :num]


def _measures(batch: Batch, head: Head, splits: Sequence[Split], seed_of_J: Tensor) -> Tensor:
    """Return what the exam of each job comes to, `[J]`; NaN where an output is not finite."""
    inputs_SBTF = torch.stack([inputs_as_floats(split.inputs) for split in splits])
    targets_SBPL = torch.stack([targets_as_floats(head, split.targets) for split in splits])
    targets_SPBL = targets_SBPL.transpose(1, 2).to(seed_of_J.device)
    tally = Tally(head, seed_of_J)
    for examples, outputs_JPBK, _ in _examine(batch, inputs_SBTF, seed_of_J):
        tally.add(outputs_JPBK, targets_SPBL[:, :, examples])
    return tally.means()


def _fingerprints(batch: Batch, task: Task) -> np.ndarray:
    """Return the slot's outputs `[J, probes, D]`, averaged over time, on the task's probe set."""
    seed_of_J = torch.zeros(len(batch.programs), dtype=torch.int64, device=batch.parameters.device)
    inputs_SBTF = inputs_as_floats(task.probe())[None]
    parts = [pooled_JBD for _, _, pooled_JBD in _examine(batch, inputs_SBTF, seed_of_J)]
    return torch.cat(parts, 1).cpu().numpy()
