"""Which tasks rank recurrent cells as language models do? Chooses on part of the table, judges on the rest.

    python benchmarks/select_suite.py --cells cells.csv.gz --dir runs/select

Every distinct cell is trained on every task; finished trainings are kept in the folder, so a run that was
ended goes on where it stopped. What may be chosen is little on purpose: one task whose difficulty is
calibrated for random blueprints, by the figures of curricula.py, or the plain mean of two; of those whose
rank correlation is within a standard error of the highest the one of fewest tasks and trainings. What
such a choice is worth on cells that it has not seen is estimated by cross-validation: the cells are dealt
into folds at random, and each fold is scored by what is chosen on the others. Equal cells are one cell, so
none is in two folds. A score counts by its place among the scores of the cells that were chosen on, since
folds may choose differently.

Axes: N cells, K candidates, S seeds, C choices, F folds, R deals.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from itertools import combinations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.external_validity import SUITE, reliability, score
from benchmarks.preflight import check
from benchmarks.ranks import Estimate, against, resamples, spearman
from benchmarks.specimens import Collection, collect
from blueprints import TamiyoError
from curricula.suites import PREDICTIVE_SEEDS, TASKS, suite_named
from curricula.task import Task

#: Folds of a deal, and deals over which the estimate is averaged.
NUM_FOLDS, NUM_DEALS = 10, 20
#: Most tasks of a choice.
MOST_TASKS = 2
_SEED = 0x53454C
#: Where curricula.py's figures are kept.
SPREAD = Path(__file__).resolve().parents[1] / "docs" / "figures" / "curricula.json"
#: The tasks, those of the fewest training steps first: of equals the first is chosen.
CANDIDATES: Sequence[Task] = tuple(sorted(TASKS.values(), key=lambda task: task.num_steps * task.batch_size))


def main() -> int:
    """Train what is missing within the time; choose, judge and print."""
    options = _options()
    check("cpu", options.json)
    options.dir.mkdir(parents=True, exist_ok=True)
    try:
        collection = collect(options.cells)
    except (OSError, TamiyoError) as error:
        sys.exit(f"error: {error}")
    names = calibrated(options.spread)
    tasks = [task for task in CANDIDATES if not options.tasks or task.name in options.tasks]
    if not any(task.name in names for task in tasks):
        sys.exit(f"error: {options.spread} finds none of these tasks calibrated; nothing can be chosen")
    trainings = Trainings(options.dir / "trainings.jsonl")
    start = time.perf_counter()
    for task, seed in missing(trainings, tasks, options.seeds):
        if time.perf_counter() - start > 60 * options.minutes:
            print(f"{options.minutes:g} minutes are over; call again to go on")
            return 0
        trainings.add(collection, task, seed, options.workers)
    figures = select(trainings, collection, tasks, names, options.seeds)
    print(report(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


# -- trainings -----------------------------------------------------------------------------------------------


class Trainings:
    """The lines on disk, each with one task's normalised scores of all cells from one seed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        text = path.read_text() if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]  # a kill may cut the last line short
        if whole != text:
            path.write_text(whole)
        lines = (json.loads(line) for line in whole.splitlines())
        self._lines = {(_knobs(line["knobs"]), line["seed"]): line for line in lines}

    def has(self, task: Task, seed: int) -> bool:
        """Say whether a task was trained from a seed."""
        return (_knobs(task.knobs), seed) in self._lines

    def add(self, collection: Collection, task: Task, seed: int, num_workers: int) -> None:
        """Train a task from a seed on all cells, and write the line."""
        scores = score(collection, [task], [seed], num_workers)
        line = {
            "knobs": task.knobs,
            "seed": seed,
            "cpu_s": scores.cpu_s,
            "engine_id": scores.engine_id,
            "scores": {
                s.meaning: float(value)
                for s, value in zip(collection.specimens, scores.normalised.flat, strict=True)
            },
        }
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._lines[_knobs(json.loads(json.dumps(task.knobs))), seed] = line
        print(
            f"{task.name:24} seed {seed}: {scores.cpu_s / len(collection.specimens):.3f} CPU-s a cell",
            flush=True,
        )

    def scores(self, collection: Collection, task: Task, seeds: Sequence[int]) -> np.ndarray:
        """Return the normalised scores `[N, S]`.

        Raises:
            SystemExit: when another table was trained in this folder.
        """
        lines = [self._lines[_knobs(task.knobs), seed]["scores"] for seed in seeds]
        if any(s.meaning not in line for s in collection.specimens for line in lines):
            raise SystemExit(f"error: {self._path} is of another table; name another --dir")
        return np.array([[line[s.meaning] for line in lines] for s in collection.specimens])

    def cpu_s(self, task: Task, seeds: Sequence[int]) -> float:
        """Return the processor seconds of a task's trainings from these seeds."""
        return sum(self._lines[_knobs(task.knobs), seed]["cpu_s"] for seed in seeds)


def missing(trainings: Trainings, tasks: Sequence[Task], seeds: Sequence[int]) -> Iterator[tuple[Task, int]]:
    """Yield what is not on disk, one seed of everything first."""
    return ((task, seed) for seed in seeds for task in tasks if not trainings.has(task, seed))


def _knobs(knobs: dict) -> str:
    """Return knobs as a key: what a name stands for may change."""
    return json.dumps(knobs, sort_keys=True)


# -- choice --------------------------------------------------------------------------------------------------


def calibrated(path: Path) -> frozenset[str]:
    """Return the tasks whose difficulty is calibrated, by the figures that curricula.py wrote.

    Raises:
        SystemExit: when the file is not there, or not of that kind.
    """
    try:
        rows = json.loads(path.read_text())["tasks"]
        return frozenset(row["task"] for row in rows if row["is_calibrated"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"error: {path} has no figures of benchmarks/curricula.py ({error!r})") from error


def select(
    trainings: Trainings,
    collection: Collection,
    tasks: Sequence[Task],
    eligible: Container[str],
    seeds: Sequence[int],
) -> dict[str, object]:
    """Return each task's figures, what is chosen of the `eligible`, and what such a choice is worth."""
    specimens = collection.specimens
    worth_N = -np.array([specimen.loss for specimen in specimens])
    score_KNS = np.stack([trainings.scores(collection, task, seeds) for task in tasks])
    may_K = [k for k, task in enumerate(tasks) if task.name in eligible]
    chosen_from, score_CN = choices(score_KNS.mean(axis=2), may_K)
    names = [" + ".join(tasks[k].name for k in choice) for choice in chosen_from]
    found = best(score_CN, worth_N)
    validated, counts = cross_validated(score_CN, worth_N)
    committed = [name for name, weight in suite_named(SUITE).items() if weight]
    return {
        "cells": len(specimens),
        "skipped": len(collection.reasons),
        "seeds": list(seeds),
        "candidates": [
            {
                "task": task.name,
                "is_calibrated": task.name in eligible,
                "spearman": _plain(against(score_NS.mean(axis=1)[:, None], worth_N)),
                "reliability": _plain(reliability(score_NS)),
                "quartiles": np.quantile(score_NS.mean(axis=1), (0.25, 0.5, 0.75)).tolist(),
                "cpu_s_per_cell": trainings.cpu_s(task, seeds) / len(specimens),
            }
            for task, score_NS in zip(tasks, score_KNS, strict=True)
        ],
        "chosen": names[found],
        "committed": " + ".join(committed),
        "spearman_of_chosen": _plain(against(score_CN[found][:, None], worth_N)),
        "spearman_cv": validated.value,
        "spearman_cv_low": validated.low,
        "spearman_cv_high": validated.high,
        "chosen_in_folds": {names[c]: count for c, count in counts.most_common()},
    }


def cross_validated(score_CN: np.ndarray, worth_N: np.ndarray) -> tuple[Estimate, Counter[int]]:
    """Return what the best choice is worth on cells that it was not chosen on, and how often each was."""
    rng = np.random.default_rng(_SEED)
    counts: Counter[int] = Counter()
    place_NR = np.empty((len(worth_N), NUM_DEALS))
    for deal in range(NUM_DEALS):
        fold_N = rng.permutation(len(worth_N)) % NUM_FOLDS
        for fold in np.unique(fold_N):
            held_N = fold_N == fold
            choice = best(score_CN[:, ~held_N], worth_N[~held_N])
            counts[choice] += 1
            place_NR[held_N, deal] = places(score_CN[choice, held_N], score_CN[choice, ~held_N])
    return against(place_NR, worth_N), counts


def choices(score_KN: np.ndarray, may_K: Sequence[int]) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """Return every choice among the tasks of these indices, the shortest first, and its scores `[C, N]`."""
    found = [choice for size in range(1, MOST_TASKS + 1) for choice in combinations(may_K, size)]
    return found, np.stack([score_KN[list(choice)].mean(axis=0) for choice in found])


def best(score_CN: np.ndarray, worth_N: np.ndarray) -> int:
    """Return the first choice that ranks no worse than the best by more than that one's standard error.

    What comes first is plainer: of so many choices one is best by luck (Breiman et al. 1984).
    """
    rho_C = np.nan_to_num(_spearmans(score_CN, worth_N), nan=-1.0)
    highest = int(np.argmax(rho_C))
    drawn_R = spearman(score_CN[highest], worth_N, resamples(len(worth_N)))
    drawn_R = drawn_R[np.isfinite(drawn_R)]
    error = drawn_R.std() if len(drawn_R) else 0.0
    return int(np.argmax(rho_C >= rho_C[highest] - error))


def _spearmans(score_CN: np.ndarray, worth_N: np.ndarray) -> np.ndarray:
    """Return each choice's rank correlation `[C]`, NaN where scores do not vary."""
    rank_CN = np.sign(score_CN[:, :, None] - score_CN[:, None, :]).sum(axis=2)
    rank_N = np.sign(worth_N[:, None] - worth_N[None, :]).sum(axis=1)
    square_C = (rank_CN**2).sum(axis=1) * (rank_N**2).sum()
    return np.where(square_C > 0, rank_CN @ rank_N / np.sqrt(np.maximum(square_C, 1.0)), np.nan)


def places(score_H: np.ndarray, known_N: np.ndarray) -> np.ndarray:
    """Return the share of known scores below each score; equal ones count by half."""
    return (1 + np.sign(score_H[:, None] - known_N[None, :])).mean(axis=1) / 2


def _plain(estimate: Estimate) -> list[float]:
    return [estimate.value, estimate.low, estimate.high]


def report(figures: dict) -> str:
    """Return the figures as lines."""
    lines = [f"{'task':24} spearman              reliability           quartiles          CPU-s a cell  may"]
    for row in sorted(figures["candidates"], key=lambda row: -row["spearman"][0]):
        spearman_, reliability_ = (
            "{:.3f} [{:.3f}, {:.3f}]".format(*row[n]) for n in ("spearman", "reliability")
        )
        quartiles = " ".join(f"{value:.3f}" for value in row["quartiles"])
        lines.append(
            f"{row['task']:24} {spearman_}  {reliability_}  {quartiles}  {row['cpu_s_per_cell']:12.3f}"
            f"  {'yes' if row['is_calibrated'] else 'no'}"
        )
    for name, value in figures.items():
        if name != "candidates":
            lines.append(f"{name:20} {value}")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=Path, required=True, help="CSV with recipe_json and best_val_loss")
    parser.add_argument("--dir", type=Path, default=Path("runs/select"), help="where trainings are kept")
    parser.add_argument("--spread", type=Path, default=SPREAD, help="figures of curricula.py")
    parser.add_argument("--tasks", nargs="+", help="only these tasks")
    parser.add_argument("--seeds", nargs="+", type=int, default=PREDICTIVE_SEEDS)
    parser.add_argument("--workers", type=int, default=1, help="threads that train")
    parser.add_argument("--minutes", type=float, default=30.0, help="stop training after so long")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to OUT")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
