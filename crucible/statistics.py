"""From curves and exams to a result's statistics and status; leaves taking them to engines."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from crucible.evaluation import LossCurve, TaskResult, span_bounds
from crucible.grading import grades
from crucible.program import Program
from curricula.task import Splits, Task

#: Global gradient norm above which a step's gradient is scaled down.
CLIP_NORM = 1.0
#: Keeps the clip coefficient finite when the gradient is zero.
CLIP_EPSILON = 1e-6
#: Steps over which the loss is averaged before it is compared with the task's solved loss.
SMOOTHING = 10


def curve_statistics(
    losses_JK: np.ndarray, norms_JK: np.ndarray, task: Task, num_taken_J: np.ndarray | None = None
) -> list[dict[str, Any]]:
    """Return the statistics fields of a `TaskResult` for each of J pairs of curves of K steps.

    Steps from the first non-finite one on are left out of every figure, and those beyond `num_taken_J`, which
    by default is K.
    """
    num_curves, num_steps = losses_JK.shape
    taken_J = np.full(num_curves, num_steps) if num_taken_J is None else num_taken_J
    is_over_JK = ~(np.isfinite(losses_JK) & np.isfinite(norms_JK))
    is_over_JK |= np.arange(num_steps) >= taken_J[:, None]
    lengths_J = np.where(is_over_JK.any(1), is_over_JK.argmax(1), num_steps)
    found: list[dict[str, Any]] = [{"num_steps": 0} for _ in range(num_curves)]
    for length in np.unique(lengths_J[lengths_J > 0]):
        indices = np.flatnonzero(lengths_J == length)
        losses_GK, norms_GK = (
            curves_JK[indices, :length].astype(np.float64, order="C") for curves_JK in (losses_JK, norms_JK)
        )
        for index, figures in zip(indices, _figures(losses_GK, norms_GK, task), strict=True):
            found[index] = figures
    for figures, taken in zip(found, taken_J.tolist(), strict=True):
        figures["nonfinite_step"] = figures["num_steps"] if figures["num_steps"] < taken else None
    return found


def _figures(losses_JK: np.ndarray, norms_JK: np.ndarray, task: Task) -> Iterator[dict[str, Any]]:
    """Yield the figures of finite curves of K > 0 steps."""
    num_steps = losses_JK.shape[1]
    columns = {
        "loss_first": losses_JK[:, 0],
        "loss_last": losses_JK[:, -max(1, num_steps // 10) :].mean(1),
        "loss_late_std": losses_JK[:, -max(1, num_steps // 4) :].std(1),
        "gradient_norm_mean": norms_JK.mean(1),
        "gradient_norm_max": norms_JK.max(1),
        "clipped_share": (norms_JK > CLIP_NORM).mean(1),
    }
    solved_steps = _solved_steps(losses_JK, task.solved_loss)
    curves = _loss_curves(losses_JK, task.num_steps)
    rows = zip(*(column_J.tolist() for column_J in columns.values()), strict=True)
    for row, solved_step, curve in zip(rows, solved_steps, curves, strict=True):
        yield {
            "num_steps": num_steps,
            **dict(zip(columns, row, strict=True)),
            "solved_step": solved_step,
            "loss_curve": curve,
        }


def judged(
    program: Program,
    task: Task,
    seed: int,
    splits: Splits,
    statistics: Mapping[str, Any],
    measures: Mapping[str, float],
    fingerprint: np.ndarray | None,
) -> TaskResult:
    """Return the result of one training run; it diverged unless all that it computed stayed finite.

    Args:
        program: what was trained.
        task: on what.
        seed: of the run.
        splits: of that seed.
        statistics: of its curves, as `curve_statistics` returns them.
        measures: what `crucible.heads` measures on every split but the training one, by name; NaN where an
            output was not finite.
        fingerprint: where asked for.
    """
    reason = ""
    if (step := statistics["nonfinite_step"]) is not None:
        reason = f"loss or gradient stopped being finite at step {step}"
    elif spoilt := [name for name, measure in measures.items() if np.isnan(measure)]:
        reason = f"logits of the {spoilt[0]} split are not finite after training"
    elif fingerprint is not None and not np.isfinite(fingerprint).all():
        reason = "outputs of the slot on the probe set are not finite after training"
    if reason:
        return TaskResult(task=task.name, seed=seed, status="diverged", reason=reason, **statistics)
    return TaskResult(
        task=task.name,
        seed=seed,
        fingerprint=fingerprint,
        **grades(program, seed, splits, measures),
        **statistics,
    )


def _solved_steps(losses_JK: np.ndarray, threshold: float) -> list[int | None]:
    """Return the first step of each curve from which the trailing mean stays under `threshold`."""
    num_curves, num_steps = losses_JK.shape
    window = min(SMOOTHING, num_steps)
    sums = np.cumsum(np.concatenate([np.zeros((num_curves, 1)), losses_JK], 1), 1)
    is_above = (sums[:, window:] - sums[:, :-window]) / window >= threshold
    num_after_J = np.where(is_above.any(1), is_above[:, ::-1].argmax(1), is_above.shape[1])
    return [num_steps - after if after else None for after in num_after_J.tolist()]


def _loss_curves(losses_JK: np.ndarray, planned_steps: int) -> list[LossCurve]:
    """Return each curve thinned to the spans of a task that plans so many steps."""
    assert losses_JK.shape[1] <= planned_steps, "no training takes more steps than its task has"
    bounds = np.minimum(span_bounds(planned_steps), losses_JK.shape[1])
    starts, sizes = bounds[:-1], np.diff(bounds)
    sums = np.add.reduceat(losses_JK, starts[sizes > 0], 1)
    means = (sums / sizes[sizes > 0]).astype(np.float32)
    return [LossCurve(planned_steps=planned_steps, means=tuple(row)) for row in means.tolist()]
