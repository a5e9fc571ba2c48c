"""Does the committed suite rank recurrent cells as really training them as language models does?

    python benchmarks/external_validity.py --cells cells.csv.gz --json external_validity.json

Every distinct cell of the table becomes a blueprint, is trained on the tasks and seeds of the suite
`predictive`, gates included, and the task term of its reward is compared with the cells' validation losses.
Nothing is fitted to the table: tasks, knobs and seeds stand in curricula/suites.py, and select_suite.py tells
how they were chosen. A training that diverges scores 0. Rows without a finite loss are skipped and counted.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.preflight import check
from benchmarks.ranks import Estimate, against, kendall, retest
from benchmarks.specimens import Collection, collect
from blueprints import TamiyoError
from crucible import Crucible
from crucible.engines.base import single_thread
from crucible.reward import task_term
from curricula.suites import PREDICTIVE_SEEDS, suite_named, task_named
from curricula.task import Task

SUITE = "predictive"
#: D of the host in which cells are scored.
WIDTH = 16
#: Share of the cells that counts as the best.
BEST = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What the Crucible said of some cells. N cells, K tasks, S seeds.

    Attributes:
        normalised: `[N, K, S]`, 0 at chance and where a training failed, 1 when perfect.
        failed: trainings that ended in another status than `ok`.
        cpu_s: processor seconds of this process, all threads together, for the tasks' examples too.
        engine_id: what trained.
    """

    normalised: np.ndarray
    failed: int
    cpu_s: float
    engine_id: str


def main() -> int:
    """Score the table's cells, print the figures, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=Path, required=True, help="CSV with recipe_json and best_val_loss")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to OUT")
    parser.add_argument("--workers", type=int, default=1, help="threads that train")
    options = parser.parse_args()
    check("cpu", options.json)
    try:
        collection = collect(options.cells)
    except (OSError, TamiyoError) as error:
        sys.exit(f"error: {error}")
    weights = suite_named(SUITE)
    tasks = [task_named(name) for name in weights]
    scores = score(collection, tasks, PREDICTIVE_SEEDS, options.workers)
    figures = summarise(collection, tasks, weights, scores)
    print(report(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def score(collection: Collection, tasks: Sequence[Task], seeds: Sequence[int], num_workers: int) -> Scores:
    """Train every cell on every task from every seed."""
    begun = time.process_time()
    crucible = Crucible(WIDTH, "native", num_workers=num_workers, language=collection.language)
    with single_thread(), crucible:
        blueprints = [specimen.blueprint for specimen in collection.specimens]
        evaluations = crucible.evaluate(blueprints, tasks, seeds)
        engine_id = crucible.engine_id
    spent = time.process_time() - begun
    by_task = {task.name: task for task in tasks}
    normalised = [[by_task[r.task].normalised(r.score) for r in e.results] for e in evaluations]
    return Scores(
        normalised=np.array(normalised).reshape(len(blueprints), len(tasks), len(seeds)),
        failed=sum(result.status != "ok" for e in evaluations for result in e.results),
        cpu_s=spent,
        engine_id=engine_id,
    )


# -- figures -------------------------------------------------------------------------------------------------


def summarise(
    collection: Collection, tasks: Sequence[Task], weights: Mapping[str, float], scores: Scores
) -> dict[str, object]:
    """Return the figures; correlations are with the negative loss, so that more is better in both."""
    specimens = collection.specimens
    worth_N = -np.array([specimen.loss for specimen in specimens])
    by_task_NK = scores.normalised.mean(axis=2)
    score_N = task_terms(by_task_NK, tasks, weights)
    by_seed = [task_terms(score_NK, tasks, weights) for score_NK in np.moveaxis(scores.normalised, 2, 0)]
    params_N = np.array([float(specimen.num_params) for specimen in specimens])
    figures: dict[str, object] = {
        "cells": len(specimens),
        "rows": collection.num_rows,
        "skipped": len(collection.reasons),
        "skipped_because": sorted(set(collection.reasons)),
        **_named("spearman", against(score_N[:, None], worth_N)),
        **_named("kendall", against(score_N[:, None], worth_N, kendall)),
        "precision_at_10": precision(score_N, worth_N),
        **_named("reliability", reliability(np.stack(by_seed, axis=1))),
        **_named("params_spearman", against(params_N[:, None], worth_N)),
        **_named("params_kendall", against(params_N[:, None], worth_N, kendall)),
        "params_precision_at_10": precision(params_N, worth_N),
        "cpu_s_per_cell": scores.cpu_s / len(specimens),
        "failed_trainings": scores.failed,
        "trainings_per_cell": scores.normalised[0].size,
        "width": WIDTH,
        "engine_id": scores.engine_id,
    }
    figures["tasks"] = [
        {
            "knobs": task.knobs,
            "weight": weights[task.name],
            "share_solved": float(np.mean(by_task_NK[:, k] >= task.normalised(task.solved))),
            **_named("spearman", against(by_task_NK[:, [k]], worth_N)),
            "quartiles": np.quantile(by_task_NK[:, k], (0.25, 0.5, 0.75)).tolist(),
        }
        for k, task in enumerate(tasks)
    ]
    figures["scored"] = [
        {"cell": specimen.meaning, "losses": specimen.losses, "scores": score_KS.tolist()}
        for specimen, score_KS in zip(specimens, scores.normalised, strict=True)
    ]
    return figures


def task_terms(score_NK: np.ndarray, tasks: Sequence[Task], weights: Mapping[str, float]) -> np.ndarray:
    """Return the task term `[N]` that a reward would have of mean normalised scores; weights are by name."""
    return np.array([task_term(dict(zip(tasks, score_K, strict=True)), weights) for score_K in score_NK])


def reliability(score_NS: np.ndarray) -> Estimate:
    """Return the mean rank correlation of one seed's scores with another's."""
    num_seeds = score_NS.shape[1]
    pairs = [(score_NS[:, a], score_NS[:, b]) for a, b in combinations(range(num_seeds), 2)]
    return retest(pairs) if pairs else Estimate(value=np.nan, low=np.nan, high=np.nan, num=len(score_NS))


def precision(score_N: np.ndarray, worth_N: np.ndarray) -> float:
    """Return which share of the tenth with the highest scores is in the tenth that is worth most.

    A tenth has one cell at least; of equal scores the first come first.
    """
    num = max(1, round(BEST * len(score_N)))
    chosen, best = (set(np.argsort(-values_N, kind="stable")[:num]) for values_N in (score_N, worth_N))
    return len(chosen & best) / num


def _named(name: str, estimate: Estimate) -> dict[str, float | None]:
    """Return a figure and its interval under their names; null where nothing varies."""
    values = {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {key: float(value) if np.isfinite(value) else None for key, value in values.items()}


def report(figures: dict[str, object]) -> str:
    """Return the figures as lines."""
    plain = {name: value for name, value in figures.items() if name not in ("tasks", "scored")}
    return "\n".join(f"{name:22} {value}" for name, value in plain.items())


if __name__ == "__main__":
    sys.exit(main())
