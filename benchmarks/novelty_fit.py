"""Measures how traits of representations scatter over seeds and blueprints, to hall_of_fame/traits.json.

    python benchmarks/novelty_fit.py

Its blueprints, half human, half random, are none of those on which benchmarks/novelty.py judges the result.
"""

# ruff: noqa: E402

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import torch
from novelty_sample import NUM_JUDGED, TASKS, draw_sample, fingerprints
from preflight import check

from crucible import Crucible
from curricula.suites import task_named
from hall_of_fame.traits import PLACE, Scatter, traits

#: What is added to the variance over seeds, as a share of its mean over traits.
SHRINKAGE = 0.1
FIT_SEED = 37


def main() -> int:
    """Train, fit and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num", type=int, default=240, help="blueprints to train (default 240)")
    parser.add_argument("--seeds", type=int, default=4, help="seeds of each, at least 2 (default 4)")
    parser.add_argument("--out", type=Path, default=PLACE, help="where to write (default the package's file)")
    options = parser.parse_args()
    if options.num < 8 or options.seeds < 2:
        parser.error("--num must be at least 8 and --seeds at least 2")
    check("cpu", options.out)
    judged = {blueprint.id for blueprint in draw_sample(NUM_JUDGED)}
    sample = draw_sample(options.num, seed=FIT_SEED, without=judged)
    found = []
    with Crucible(max_seconds=30) as crucible:
        for task in map(task_named, TASKS):
            prints = fingerprints(crucible, sample, task, options.seeds)
            found.append(traits(prints, task.probe(), task.input_width).unflatten(0, (-1, options.seeds)))
    scatter = fitted(found)
    told = {"num": options.num, "seeds": options.seeds, "tasks": list(TASKS)}
    options.out.write_text(json.dumps({**told, **scatter.as_json()}) + "\n")
    print(f"{options.out}: log odds {scatter.slope:.3f} x log ratio {scatter.intercept:+.3f}")
    return 0


def fitted(found: Sequence[torch.Tensor]) -> Scatter:
    """Return the scatter of the traits `[blueprints, seeds, F]` of each task."""
    x_NSF = torch.cat(list(found))
    x_NSF = x_NSF[torch.isfinite(x_NSF).all(dim=2).all(dim=1)]
    mean_F, scale_F = x_NSF.flatten(0, 1).mean(dim=0), x_NSF.flatten(0, 1).std(dim=0).clamp_min(1e-3)
    x_NSF = (x_NSF - mean_F) / scale_F
    rest_QF = (x_NSF - x_NSF.mean(dim=1, keepdim=True)).flatten(0, 1)
    within_FF = rest_QF.T @ rest_QF / (len(x_NSF) * (x_NSF.shape[1] - 1))
    within_FF = within_FF + SHRINKAGE * within_FF.diagonal().mean() * torch.eye(len(mean_F))
    whitening_FF = torch.linalg.inv(torch.linalg.cholesky(within_FF)).T
    between_FF = whitening_FF.T @ torch.cov(x_NSF.mean(dim=1).T) @ whitening_FF
    between_F, rotation_FF = torch.linalg.eigh(between_FF)
    scatter = Scatter(mean_F, scale_F, whitening_FF @ rotation_FF, between_F.clamp_min(0), 1.0, 0.0)
    same, different = _ratios(found, scatter)
    slope, intercept = _logistic(same, different)
    return Scatter(mean_F, scale_F, scatter.projection, scatter.between, slope, intercept)


def _ratios(found: Sequence[torch.Tensor], scatter: Scatter) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the log ratios of one blueprint from two seeds, and of two blueprints."""
    same, different = [], []
    for x_NSF in found:
        is_other_NN = ~torch.eye(len(x_NSF), dtype=torch.bool)
        for a, b in combinations(range(x_NSF.shape[1]), 2):
            ratio_NN = scatter.log_ratios(x_NSF[:, a], x_NSF[:, b])
            same.append(ratio_NN.diagonal())
            different.append(ratio_NN[is_other_NN])
    return tuple(x[torch.isfinite(x)] for x in (torch.cat(same), torch.cat(different)))  # pyright: ignore


def _logistic(same: torch.Tensor, different: torch.Tensor) -> tuple[float, float]:
    """Return slope and intercept of the logistic regression in which both sides weigh the same."""
    x = torch.cat([same, different])
    design = torch.stack([x, torch.ones_like(x)], dim=1)
    target = torch.cat([torch.ones_like(same), torch.zeros_like(different)])
    weight = torch.cat([torch.full_like(y, 0.5 / len(y)) for y in (same, different)])
    solution = torch.zeros(2, dtype=x.dtype)
    for _ in range(50):
        p = torch.sigmoid(design @ solution)
        curvature = design.T @ (design * (weight * p * (1 - p))[:, None]) + 1e-9 * torch.eye(2, dtype=x.dtype)
        step = torch.linalg.solve(curvature, design.T @ (weight * (target - p)))
        solution = solution + step.clamp(-0.5, 0.5)
    return float(solution[0]), float(solution[1])


if __name__ == "__main__":
    sys.exit(main())
