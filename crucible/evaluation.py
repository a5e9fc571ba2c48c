"""The plain records that the Crucible returns; leaves how they are computed to the engines."""

from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import numpy as np

Status = Literal["ok", "rejected", "diverged", "timed_out", "out_of_memory", "crashed"]
#: Points of the loss curve of a training that takes all of its task's steps.
NUM_POINTS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCurve:
    """The training loss over a training's steps, thinned: its means over spans of steps.

    The spans share the task's steps out equally, to a step, whether or not a training takes them all. So
    curves of one task can be laid upon one another; that of a training which ends early is shorter, and its
    last mean is over as many steps of the last span as it took.

    Attributes:
        planned_steps: steps of the task's whole training.
        means: of the spans that were begun, `NUM_POINTS` at most: mean training loss, in nats or of a
            regression the mean squared error. Each is a number of float32, as the ledger keeps it.
    """

    planned_steps: int
    means: tuple[float, ...]

    @property
    def bounds(self) -> tuple[int, ...]:
        """Steps after which the spans of `means` begin, and after which the last of them would end."""
        return span_bounds(self.planned_steps)[: len(self.means) + 1]


@cache
def span_bounds(planned_steps: int) -> tuple[int, ...]:
    """Return 0 and the steps after which each of a task's spans ends; short tasks have one a step."""
    num = min(NUM_POINTS, planned_steps)
    return tuple(i * planned_steps // num for i in range(num + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """One blueprint trained once: on one task, from one seed.

    Attributes:
        task: the task's name.
        seed: seed of data, initial parameters and batch order.
        status: `ok`, or why there is no score.
        reason: one line more about a status that is not `ok`, or about a graft that did harm.
        score: on the held-out test split, in [0, 1]; 0 when the status is not `ok`. The accuracy over the
            labels that count; of a likelihood the explained share of their entropy, and of a regression the
            coefficient of determination, both no less than 0. Of a graft the gain, no less than 0, and 0
            where it harms what the host did before.
        validation_score: the same on the validation split.
        num_steps: optimiser steps that were taken, of which all figures below are; fewer than the task's
            where less effort was asked for or values stopped being finite. Absent where a status leaves no
            figures, and in ledgers of before steps were counted, when a finite run took all of them.
        loss_first: training loss of the first step, in nats; of a regression the mean squared error.
        loss_last: mean training loss of the last tenth of the steps.
        loss_late_std: standard deviation of the training loss over the last quarter of the steps.
        solved_step: first step after which the smoothed training loss stays under the task's solved loss.
        gradient_norm_mean: mean over steps of the global gradient norm, before clipping.
        gradient_norm_max: its maximum.
        loss_curve: the training loss over the steps; absent where there was no finite step or a status leaves
            no figures, and in ledgers of before curves were kept.
        clipped_share: share of steps whose gradient norm exceeded the clip.
        nonfinite_step: step at which loss or gradient stopped being finite; absent where only an exam after
            training brought infinite or undefined values.
        gain: of a graft: which share of the loss that the host with the identity has on the test split is
            gone, from -1 (doubled, or worse) to 1; absent where the status is not `ok`.
        retention_rise: of a graft: by which share of itself the loss on the old question rose, from -1 to 1.
        rival_gain: of a graft that the Crucible judged: the gain of the smallest of its perceptrons with no
            fewer parameters, or of the largest, trained likewise; absent where that failed.
        fingerprint: `[probes, D]` float32, the slot's output, averaged over time, on the task's probe set
            after training; absent unless asked for.
    """

    task: str
    seed: int
    status: Status = "ok"
    reason: str = ""
    score: float = 0.0
    validation_score: float = 0.0
    num_steps: int | None = None
    loss_first: float = float("nan")
    loss_last: float = float("nan")
    loss_late_std: float = float("nan")
    solved_step: int | None = None
    gradient_norm_mean: float = float("nan")
    gradient_norm_max: float = float("nan")
    loss_curve: LossCurve | None = None
    clipped_share: float = 0.0
    nonfinite_step: int | None = None
    gain: float | None = None
    retention_rise: float | None = None
    rival_gain: float | None = None
    fingerprint: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def gain_over_rival(self) -> float | None:
        """By how much a graft's gain is above that of a perceptron of its size."""
        return None if self.gain is None or self.rival_gain is None else self.gain - self.rival_gain


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All that one call learned about one blueprint.

    Attributes:
        blueprint_id: canonical hash of the blueprint.
        engine_id: engine, version, instruction set and effort that produced the numbers; part of every cache
            key.
        results: one per (task, seed), tasks outermost.
        num_parameters: trainable scalars of the blueprint alone, host excluded.
        flops: forward FLOPs of the blueprint for one example of the longest task.
        latency_us: predicted forward latency in microseconds; absent without a latency table.
    """

    blueprint_id: str
    engine_id: str
    results: tuple[TaskResult, ...]
    num_parameters: int
    flops: int
    latency_us: float | None = None

    @property
    def status(self) -> Status:
        """`ok` when every result is, else the first other status."""
        for result in self.results:
            if result.status != "ok":
                return result.status
        return "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredLatency:
    """Forward latency of a blueprint's module in inference mode on one thread, beside a reference module.

    A repeat is one pass of the reference and one of the module right behind it.

    Attributes:
        device: kind and model of the device, such as `cuda/NVIDIA H200`.
        width: D of the host.
        time: T of the input.
        batch_size: examples a pass.
        median_us: median of the module's passes, in microseconds.
        spread_us: their interquartile range.
        reference_us: median of the reference's passes.
        ratio: median over the repeats of module over reference; it stands where a busy machine slows both.
        repeats: how many repeats there were.
    """

    device: str
    width: int
    time: int
    batch_size: int
    median_us: float
    spread_us: float
    reference_us: float
    ratio: float
    repeats: int
