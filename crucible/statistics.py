"""From curves and exams to a result's statistics and status; leaves taking them to engines."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from crucible.evaluation import TaskResult
from curricula.task import Task

#: Global gradient norm above which a step's gradient is scaled down.
CLIP_NORM = 1.0
#: Keeps the clip coefficient finite when the gradient is zero.
CLIP_EPSILON = 1e-6
#: Steps over which the loss is averaged before it is compared with the task's solved loss.
SMOOTHING = 10


def curve_statistics(losses_K: np.ndarray, norms_K: np.ndarray, task: Task) -> dict[str, Any]:
    """Return the statistics fields of a `TaskResult` for the curves of K steps.

    Steps from the first non-finite one on are left out of every figure.
    """
    finite_K = np.isfinite(losses_K) & np.isfinite(norms_K)
    nonfinite_step = None if finite_K.all() else int(np.argmin(finite_K))
    losses = losses_K[:nonfinite_step].astype(np.float64)
    norms = norms_K[:nonfinite_step].astype(np.float64)
    if not len(losses):
        return {"num_steps": 0, "nonfinite_step": nonfinite_step}
    return {
        "num_steps": len(losses),
        "loss_first": float(losses[0]),
        "loss_last": float(losses[-max(1, len(losses) // 10) :].mean()),
        "loss_late_std": float(losses[-max(1, len(losses) // 4) :].std()),
        "solved_step": _solved_step(losses, task.solved_loss),
        "gradient_norm_mean": float(norms.mean()),
        "gradient_norm_max": float(norms.max()),
        "clipped_share": float((norms > CLIP_NORM).mean()),
        "nonfinite_step": nonfinite_step,
    }


def judged(
    task: Task,
    seed: int,
    statistics: Mapping[str, Any],
    scores: Mapping[str, float],
    fingerprint: np.ndarray | None,
) -> TaskResult:
    """Return the result of one training run; it diverged unless all that it computed stayed finite.

    Args:
        task: what was trained.
        seed: of the run.
        statistics: of its curves, as `curve_statistics` returns them.
        scores: on `validation` and `test`; NaN where a logit was not finite.
        fingerprint: where asked for.
    """
    reason = ""
    if (step := statistics["nonfinite_step"]) is not None:
        reason = f"loss or gradient stopped being finite at step {step}"
    elif spoilt := [name for name, score in scores.items() if np.isnan(score)]:
        reason = f"logits of the {spoilt[0]} split are not finite after training"
    elif fingerprint is not None and not np.isfinite(fingerprint).all():
        reason = "outputs of the slot on the probe set are not finite after training"
    if reason:
        return TaskResult(task=task.name, seed=seed, status="diverged", reason=reason, **statistics)
    return TaskResult(
        task=task.name,
        seed=seed,
        score=scores["test"],
        validation_score=scores["validation"],
        fingerprint=fingerprint,
        **statistics,
    )


def _solved_step(losses: np.ndarray, threshold: float) -> int | None:
    """Return the first step from which the trailing mean of the loss stays under `threshold`."""
    window = min(SMOOTHING, len(losses))
    sums = np.cumsum(np.concatenate([[0.0], losses]))
    smooth = (sums[window:] - sums[:-window]) / window
    above = np.flatnonzero(smooth >= threshold)
    first = 0 if not len(above) else int(above[-1]) + 1
    return None if first == len(smooth) else first + window - 1
