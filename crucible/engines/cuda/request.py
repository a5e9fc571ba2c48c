"""What the persistent kernels are asked, as src/training.h declares it, in tensors of one device.

Axes: J jobs, S seeds, K steps, B examples, N records, P parameters, D width of the host.
"""

import ctypes
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from crucible.engines.base import Job
from crucible.engines.native.records import Records, build_records
from crucible.heads import checked_splits
from crucible.initialisation import initial_parameters
from crucible.minibatches import minibatches
from crucible.program import Program
from crucible.statistics import CLIP_EPSILON, CLIP_NORM
from curricula.task import Split, Task

_POINTER, _INT32, _DOUBLE = ctypes.c_void_p, ctypes.c_int32, ctypes.c_double


class Examples(ctypes.Structure):
    """Splits of all seeds: inputs `[S, N, T, F]`, targets `[S, N]`."""

    _fields_ = [("inputs", _POINTER), ("targets", _POINTER), ("count", _INT32), ("steps", _INT32)]


class Request(ctypes.Structure):
    """Jobs of one task, and where their results go."""

    _fields_ = [
        *((name, _POINTER) for name in ("records", "record_starts", "pooled", "parameters")),
        *((name, _POINTER) for name in ("parameter_starts", "seeds", "order")),
        *((name, Examples) for name in ("train", "validation", "test", "probe")),
        *((name, _INT32) for name in ("num_jobs", "input_width", "num_classes", "batch", "num_steps")),
        *((name, _INT32) for name in ("is_fingerprinting", "width", "first")),
        *((name, _DOUBLE) for name in ("learning_rate", "clip_norm", "clip_epsilon", "seconds")),
        *((name, _POINTER) for name in ("queue", "arena_starts", "arena", "scalars", "costs")),
        *((name, _POINTER) for name in ("losses", "norms", "scores", "fingerprints", "gradients")),
        *((name, _POINTER) for name in ("statuses", "is_cancelled")),
    ]


class Arrays:
    """The tensors of one request, which they must outlive.

    Attributes:
        request: what points at them.
        scalar: dtype of all values.
    """

    def __init__(self, device: torch.device, scalar: torch.dtype) -> None:
        self.request = Request()
        self.scalar = scalar
        self._device = device
        self._kept: dict[str, Tensor] = {}

    def put(self, name: str, values: Tensor | np.ndarray, dtype: torch.dtype) -> None:
        """Bring values to the device and point the request's field `name` at them."""
        self.place(name, torch.as_tensor(values).to(self._device, dtype).contiguous())

    def place(self, name: str, tensor: Tensor) -> None:
        """Point the request's field `name` at a tensor that is where it should be."""
        self._kept[name] = tensor
        setattr(self.request, name, tensor.data_ptr())

    def take(self, name: str) -> Tensor:
        """Return the values of a field, on the CPU."""
        return self._kept[name].cpu()

    def fill(self, name: str, shape: tuple[int, ...], value: float, dtype: torch.dtype) -> None:
        """Give the field `name` memory that holds `value` everywhere."""
        self.place(name, torch.full(shape, value, dtype=dtype, device=self._device))

    def examples(self, name: str, splits: Sequence[Split]) -> None:
        """Fill in one of the request's splits, with one entry a seed."""
        inputs = torch.stack([split.inputs for split in splits]).to(self._device, self.scalar).contiguous()
        targets = torch.stack([split.targets for split in splits]).to(self._device, torch.int32)
        self._kept[f"{name}.inputs"], self._kept[f"{name}.targets"] = inputs, targets.contiguous()
        places = [self._kept[f"{name}.{part}"].data_ptr() for part in ("inputs", "targets")]
        setattr(self.request, name, Examples(*places, *splits[0].inputs.shape[:2]))

    def programs(
        self, programs: Sequence[Program], parameters: Sequence[Tensor], rows: Mapping[str, int]
    ) -> None:
        """Fill in what is trained, and memory for what is learnt about it."""
        request, num = self.request, len(programs)
        records = _records_of(programs, rows)
        self.put("records", np.concatenate([r.table for r in records]), torch.int32)
        self.put("record_starts", _starts([len(r.table) for r in records]), torch.int64)
        self.put("pooled", np.array([r.pooled for r in records]), torch.int32)
        self.put("parameters", torch.cat(list(parameters)), self.scalar)
        self.put("parameter_starts", _starts([len(p) for p in parameters]), torch.int64)
        self.fill("scalars", (num,), 0, torch.int64)
        self.fill("costs", (num,), 0, torch.float64)
        request.num_jobs = num
        request.input_width = programs[0].input_width
        request.num_classes = programs[0].output_width
        request.width = programs[0].width

    def curves(self, num_steps: int) -> None:
        """Make room for losses and norms of every step."""
        self.request.num_steps = num_steps
        for name in ("losses", "norms"):
            self.fill(name, (self.request.num_jobs, num_steps), float("nan"), self.scalar)


def training_of(
    jobs: Sequence[Job],
    task: Task,
    rows: Mapping[str, int],
    fingerprints: bool,
    max_seconds: float,
    device: torch.device,
) -> Arrays:
    """Return a request to train and examine all jobs; `rows` gives each op its row of the kernels' table."""
    arrays = Arrays(device, torch.float32)
    request = arrays.request
    parameters = [initial_parameters(job.program, job.seed) for job in jobs]
    arrays.programs([job.program for job in jobs], parameters, rows)
    arrays.curves(task.num_steps)
    seeds = sorted({job.seed for job in jobs})
    splits = [checked_splits(jobs[0].program, task, seed) for seed in seeds]
    arrays.put("seeds", np.array([seeds.index(job.seed) for job in jobs]), torch.int32)
    if task.batch_size != task.num_train:
        arrays.put("order", torch.stack([minibatches(task, seed) for seed in seeds]), torch.int32)
    arrays.examples("train", [s.train for s in splits])
    arrays.examples("validation", [s.validation for s in splits])
    arrays.examples("test", [s.test for s in splits])
    arrays.fill("scores", (len(jobs), 2), float("nan"), torch.float32)
    request.is_fingerprinting = int(fingerprints)
    if fingerprints:
        probe = task.probe()
        arrays.examples("probe", [Split(inputs=probe, targets=torch.zeros(len(probe)))])
        arrays.fill("fingerprints", (len(jobs), len(probe), request.width), 0, torch.float32)
    request.batch = task.batch_size
    request.learning_rate, request.seconds = task.learning_rate, max_seconds
    request.clip_norm, request.clip_epsilon = CLIP_NORM, CLIP_EPSILON
    return arrays


def question_of(
    programs: Sequence[Program],
    parameters: Sequence[Tensor],
    rows: Mapping[str, int],
    batch: Split,
    scalar: torch.dtype,
    device: torch.device,
) -> Arrays:
    """Return a request to differentiate every program on one batch."""
    arrays = Arrays(device, scalar)
    arrays.programs(programs, parameters, rows)
    arrays.curves(1)
    arrays.fill("seeds", (len(programs),), 0, torch.int32)
    arrays.examples("train", [batch])
    arrays.fill("gradients", (sum(map(len, parameters)),), 0, scalar)
    arrays.request.batch = len(batch.inputs)
    return arrays


def _records_of(programs: Sequence[Program], rows: Mapping[str, int]) -> list[Records]:
    """Return the records of each program; one that several jobs share is translated once."""
    known = {id(program): program for program in programs}
    records = {key: build_records(program, rows) for key, program in known.items()}
    return [records[id(program)] for program in programs]


def _starts(sizes: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)])
