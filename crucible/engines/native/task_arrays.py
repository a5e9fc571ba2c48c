"""A task's examples, orders and probes as the arrays that the interpreter reads; leaves jobs to the engine.

Every array has one entry a seed. Inputs are `[N, T, F]`, targets `[N, P, L]`, orders `[K, B]`: N examples, T
time, F input features, P positions that are read, L numbers of a target, K steps, B examples of a step.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from crucible.engines.native.algebra import Workload
from crucible.engines.native.library import LOSS_IDS, Examples, Request
from crucible.heads import checked_splits, inputs_as_floats, targets_as_floats
from crucible.minibatches import minibatches
from crucible.program import Program
from curricula.task import Split, Task


class TaskArrays:
    """What all jobs of a task and of some seeds read. Never write into it: requests share it.

    Attributes:
        places: of each seed in every array of them.
        splits: of each seed.
        workload: what the task means for the records of programs.
        num_probes: examples of the probe set.
    """

    def __init__(self, program: Program, task: Task, seeds: Sequence[int]) -> None:
        """Take any program for the task; a CrucibleError says where the task breaks its word."""
        self.places = {seed: place for place, seed in enumerate(seeds)}
        self.splits = {seed: checked_splits(program, task, seed) for seed in seeds}
        self.workload = workload_of(task, seeds)
        self._task, self._head, self._input_width = task, program.head, program.nodes[0].signature.width
        self._kept: list[np.ndarray] = []
        splits, probe = self.splits.values(), task.probe()
        self.num_probes = len(probe)
        self._train = self._examples([s.train for s in splits])
        self._validation = self._examples([s.validation for s in splits])
        self._test = self._examples([s.test for s in splits])
        retention = [s.retention for s in splits if s.retention is not None]
        self._retention = self._examples(retention) if retention else Examples()
        self._probe = Examples(self._inputs([probe]), None, *probe.shape[:2])
        self._order = None
        if task.batch_size != task.num_train:
            self._order = self._keep((minibatches(task, seed).numpy() for seed in seeds), np.int32)

    def fill(self, request: Request) -> None:
        """Point a request, which these arrays must outlive, at them."""
        request.order, request.train, request.validation = self._order, self._train, self._validation
        request.test, request.retention = self._test, self._retention
        if request.is_fingerprinting:
            request.probe = self._probe
        request.input_width, request.loss = self._input_width, LOSS_IDS[self._head.loss]
        request.batch, request.num_steps = self._task.batch_size, self._task.num_steps
        request.learning_rate = self._task.learning_rate

    def _examples(self, splits: Sequence[Split]) -> Examples:
        targets = (targets_as_floats(self._head, split.targets).numpy() for split in splits)
        inputs = self._inputs([split.inputs for split in splits])
        return Examples(inputs, self._keep(targets, np.float32), *splits[0].inputs.shape[:2])

    def _inputs(self, inputs: Iterable[torch.Tensor]) -> int:
        return self._keep((inputs_as_floats(values).numpy() for values in inputs), np.float32)

    def _keep(self, arrays: Iterable[np.ndarray], kind: type) -> int:
        """Return the address of the arrays, one a seed, as one."""
        self._kept.append(np.ascontiguousarray(np.stack(list(arrays)), kind))
        return self._kept[-1].ctypes.data


def workload_of(task: Task, seeds: Sequence[int]) -> Workload:
    """Return what training and examining programs on a task mean for their records."""
    splits = [task.splits(seed) for seed in seeds]
    inputs = [task.probe(), *(split.inputs for s in splits for split in s.by_name.values())]
    is_single = all(values.shape[1] == 1 for values in inputs)
    return Workload(batch=task.batch_size, steps=splits[0].train.inputs.shape[1], is_single=is_single)
