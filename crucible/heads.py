"""Losses and scores in plain torch, and what they ask of splits and blueprints; leaves speed to engines.

Axes: B examples, T time, F input features, P positions that are read (one, or T), K outputs, L numbers that a
target has (one for a label, K for a regression).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from blueprints.graph import Graph
from crucible.errors import CrucibleError
from crucible.program import Program
from curricula.heads import IGNORED, Head, LossName
from curricula.task import Split, Splits, Task


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss over outputs `[..., K]`, with targets as a task gives them.

    Attributes:
        loss: mean over the positions that count; 0 where none does.
        measure: what an exam counts, on the same mean; NaN unless all outputs are finite.
        score: from the measure of a split, and its targets, to a score in [0, 1].
    """

    loss: Callable[[Tensor, Tensor], Tensor]
    measure: Callable[[Tensor, Tensor], float]
    score: Callable[[float, Tensor], float]


def _cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    flat = outputs.flatten(0, -2), labels.flatten()
    return F.cross_entropy(*flat, ignore_index=IGNORED, reduction="sum") / _num(labels != IGNORED)


def _accuracy(outputs: Tensor, labels: Tensor) -> float:
    right = outputs.argmax(-1) == labels  # of no position that does not count
    return _finite(outputs, right.sum() / _num(labels != IGNORED))


def _measured_cross_entropy(outputs: Tensor, labels: Tensor) -> float:
    return _finite(outputs, _cross_entropy(outputs, labels))


def _explained_entropy(nats: float, labels: Tensor) -> float:
    """Return the share of the labels' entropy that was explained, clipped to [0, 1]; NaN stays NaN."""
    counts_K = labels[labels != IGNORED].bincount()
    share_K = counts_K[counts_K > 0].double() / counts_K.sum()
    if len(share_K) < 2:
        raise CrucibleError("labels of a split are all of one class; expected some entropy to be explained")
    return _clipped(1.0 - nats / -float((share_K * share_K.log()).sum()))


def _mse(outputs: Tensor, targets: Tensor) -> Tensor:
    counts = ~targets.isnan()
    return torch.where(counts, outputs - targets, 0.0).square().sum() / _num(counts)


def _measured_mse(outputs: Tensor, targets: Tensor) -> float:
    return _finite(outputs, _mse(outputs, targets))


def _determination(mse: float, targets: Tensor) -> float:
    """Return the share of the targets' variance that was explained, clipped to [0, 1]; NaN stays NaN."""
    flat = targets.flatten(0, -2).double()
    variance = float((flat - flat.nanmean(0)).square().nanmean())
    if not variance:
        raise CrucibleError("targets of a split do not vary; expected some variance that can be explained")
    return _clipped(1.0 - mse / variance)


def _clipped(share: float) -> float:
    return share if share != share else min(1.0, max(0.0, share))


def _num(counts: Tensor) -> Tensor:
    return counts.sum().clamp(min=1)


def _finite(outputs: Tensor, value: Tensor) -> float:
    return float(value) if bool(torch.isfinite(outputs).all()) else float("nan")


#: One row a loss.
LOSSES: Mapping[LossName, Loss] = MappingProxyType(
    {
        "cross_entropy": Loss(_cross_entropy, _accuracy, lambda accuracy, _: accuracy),
        "likelihood": Loss(_cross_entropy, _measured_cross_entropy, _explained_entropy),
        "mse": Loss(_mse, _measured_mse, _determination),
    }
)


def refusal(graph: Graph, head: Head) -> str:
    """Return why a head cannot be asked of a blueprint, or nothing."""
    if not head.is_per_step or graph.type.causal:
        return ""
    index, node = next((i, node) for i, node in enumerate(graph.nodes) if not node.type.causal)
    return f"rule 'not-causal': %{index} {node.label} sees later steps; '{head.name}' reads every step"


def inputs_as_floats(inputs: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return inputs of a task as `[B, T, F]`; symbols become numbers, with F = 1."""
    return (inputs if inputs.is_floating_point() else inputs.unsqueeze(-1)).to(dtype)


def targets_as_floats(head: Head, targets: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return targets of a task as `[B, P, L]`; labels become numbers, with L = 1."""
    if head.loss != "mse":
        targets = targets.unsqueeze(-1)
    return (targets if head.is_per_step else targets.unsqueeze(1)).to(dtype)


def checked_splits(program: Program, task: Task, seed: int) -> Splits:
    """Return the splits of `seed`; a CrucibleError says where they are not what the task's head takes."""
    splits = task.splits(seed)
    check_inputs(program, task.probe(), f"probe set of task '{task.name}'")
    for name, split in splits.by_name.items():
        check_split(program, split, f"{name} split of task '{task.name}', seed {seed}")
    _check_graft(program, task, splits)
    return splits


def _check_graft(program: Program, task: Task, splits: Splits) -> None:
    """Refuse a graft that asks no old question, or whose exams do not measure its loss."""
    if task.is_graft != (splits.retention is not None):
        raise CrucibleError(
            f"task '{task.name}' has is_graft = {task.is_graft} and "
            f"{'no' if splits.retention is None else 'a'} retention split; expected both, or neither"
        )
    if task.is_graft and program.head.loss != "mse":
        raise CrucibleError(
            f"graft '{task.name}' has the head '{program.head.name}'; expected a regression, 'pooled_mse' or "
            "'step_mse': a gain is a share of the loss that exams measure"
        )


def check_split(program: Program, split: Split, where: str) -> None:
    """Refuse examples that are not what the program's host and head take."""
    check_inputs(program, split.inputs, where)
    head, targets = program.head, split.targets
    shape = list(split.inputs.shape[: 1 + head.is_per_step])
    if head.loss == "mse":
        _check_kind(f"{where}: targets", targets, [*shape, program.output_width], torch.float32)
        counts = ~targets.isnan()
        if bool((counts.any(-1) != counts.all(-1)).any() if head.is_per_step else not counts.all()):
            raise CrucibleError(f"{where}: a target is NaN; of every step alone, and as a whole, it may be")
    else:
        least = IGNORED if head.is_per_step else 0
        _check_kind(f"{where}: targets", targets, shape, torch.int64)
        _check_range(f"{where}: targets", targets, least, program.output_width - 1)
        counts = targets != IGNORED
    if not bool(counts.any()):
        raise CrucibleError(f"{where}: no target counts; expected at least one")


def check_inputs(program: Program, inputs: Tensor, where: str) -> None:
    """Refuse inputs that are not what the program's host takes."""
    shape = list(inputs.shape[:2])
    if program.input_kind == "linear":
        _check_kind(f"{where}: inputs", inputs, [*shape, program.input_width], torch.float32)
    else:
        _check_kind(f"{where}: inputs", inputs, shape, torch.int64)
        _check_range(f"{where}: inputs", inputs, 0, program.input_width - 1)


def _check_kind(what: str, came: Tensor, shape: list[int], dtype: torch.dtype) -> None:
    if list(came.shape) != shape or came.dtype != dtype:
        raise CrucibleError(f"{what} are {came.dtype} {list(came.shape)}; expected {dtype} {shape}")


def _check_range(what: str, came: Tensor, least: int, most: int) -> None:
    low, high = int(came.min()), int(came.max())
    if low < least or high > most:
        raise CrucibleError(f"{what} reach from {low} to {high}; expected {least} to {most}")
