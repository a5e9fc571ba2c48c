"""What stopping when solved and rungs save, and what it costs in fidelity; leaves other engines aside.

    python benchmarks/less_work.py --num 1024 --seeds 3 --json less_work.json

Every round has a seed of its own, and in it the full work and each effort train the same sample, side by side
on the same cores. Figures are means over the seeds, those of time medians:

    flops_left        share of the training's FLOPs that was still spent; exams are left out
    throughput_ratio  blueprints a second as a multiple of the full work's
    cpu_ratio         blueprints a CPU second likewise, which other processes on the machine disturb less
    score_difference  mean score minus the full work's
    spearman          rank correlation of the scores with the full work's
    top_kept          share of the full work's 32 best (and what ties with the last) that no rung dropped
    top_regret        mean full score of the 32 best, minus that of the 32 that the effort takes for the best

The row `another seed` is the full work from the next seed: what a ranking is worth in any case.
"""

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from benchmarks.crucible_throughput import describe_machine
from benchmarks.preflight import check
from benchmarks.ranks import spearman
from benchmarks.throughput_sample import WIDTH, draw_sample
from blueprints import Blueprint, flops
from crucible.crucible import Crucible, num_cores
from crucible.effort import FULL, RUNGS, STOP, Effort, Rung
from crucible.errors import CrucibleError
from crucible.evaluation import TaskResult
from curricula.task import Task
from curricula.temporal import Temporal
from curricula.xor import Xor

TOP = 32
TASKS = {task.name: task for task in (Xor(), Temporal())}
SHARES = (1.0, 0.5, 0.2)
SCHEDULES = ("0.25:0.5,0.5:0.5", "0.125:0.5,0.25:0.5,0.5:0.5", "0.5:0.25")
ANOTHER_SEED = "another seed"


def main() -> None:
    """Measure every effort on every task; print a table and write it as JSON."""
    arguments = _arguments()
    check("cpu", arguments.json)
    efforts = list(
        dict.fromkeys(
            [
                *(Effort(stop_at=share) for share in arguments.stop),
                *(Effort(rungs=rungs) for rungs in arguments.rungs),
                *(STOP, RUNGS, replace(RUNGS, stop_at=STOP.stop_at)),
            ]
        )
    )
    sample = draw_sample(arguments.num, arguments.mix)
    rows = []
    for name in arguments.tasks:
        rows += measure(TASKS[name], sample, efforts, arguments.seeds, arguments.workers)
    if arguments.json:
        document = {
            "rows": rows,
            "machine": describe_machine(torch.device("cpu"), arguments.workers),
            "num": arguments.num,
            "mix": arguments.mix,
            "seeds": arguments.seeds,
        }
        Path(arguments.json).write_text(json.dumps(document, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num", type=int, default=1024, help="blueprints in the sample")
    parser.add_argument("--mix", choices=("random", "human"), default="random")
    parser.add_argument("--tasks", choices=TASKS, nargs="+", default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=3, help="seeds, a round each")
    parser.add_argument("--workers", type=int, default=num_cores(), help="threads")
    parser.add_argument("--stop", type=float, nargs="*", default=SHARES, help="values of stop_at")
    schedules = [parse_rungs(text) for text in SCHEDULES]
    parser.add_argument(
        "--rungs", type=parse_rungs, nargs="*", default=schedules, help="schedules such as 0.25:0.5,0.5:0.5"
    )
    parser.add_argument("--json", help="where to write the rows")
    arguments = parser.parse_args()
    for name in ("num", "seeds", "workers"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(arguments, name)}")
    return arguments


def parse_rungs(text: str) -> tuple[Rung, ...]:
    """Return the rungs that `text` writes as pairs of shares, of steps and of what is kept."""
    try:
        pairs = [part.split(":") for part in text.split(",")]
        return tuple(Rung(steps=float(steps), kept=float(kept)) for steps, kept in pairs)
    except (ValueError, CrucibleError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def measure(
    task: Task, sample: Sequence[Blueprint], efforts: Sequence[Effort], num_seeds: int, num_workers: int
) -> list[dict[str, Any]]:
    """Return one row an effort for one task, the full work and another seed first."""
    time_steps = task.splits(0).train.inputs.shape[1]
    costs_N = np.array([flops(b.graph, WIDTH, time_steps) for b in sample], np.float64)
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for seed in range(num_seeds):
        full, full_times = train(task, sample, seed, FULL, num_workers)
        other, other_times = train(task, sample, num_seeds + seed, FULL, num_workers)
        nobody = np.zeros(len(sample), bool)
        for name, results, times in (("full", full, full_times), (ANOTHER_SEED, other, other_times)):
            row = compare(results, full, nobody, task, costs_N)
            found[name].append(row | ratios(times, full_times))
        without_rungs: dict[float, np.ndarray] = {}
        for effort in sorted(efforts, key=lambda effort: bool(effort.rungs)):
            results, times = train(task, sample, seed, effort, num_workers)
            steps_N = steps_of(results)
            if not effort.rungs:
                without_rungs[effort.stop_at] = steps_N
            undisturbed_N = without_rungs.get(effort.stop_at, steps_of(full))
            row = compare(results, full, steps_N < undisturbed_N, task, costs_N)
            found[effort.id.strip("/")].append(row | ratios(times, full_times))
    rows = [_summary(task.name, name, rounds) for name, rounds in found.items()]
    print(f"\n{task.name}: {len(sample)} blueprints, {num_seeds} seeds, {num_workers} threads")
    for row in rows:
        print(
            f"  {row['effort']:<36} FLOPs {row['flops_left']:.3f}  speed {row['throughput_ratio']:.2f}x "
            f"CPU {row['cpu_ratio']:.2f}x  "
            f"score {row['score']:.4f} ({row['score_difference']:+.4f})  rho {row['spearman']:.3f}  "
            f"top kept {row['top_kept']:.3f}  regret {row['top_regret']:.4f}"
        )
    return rows


def train(
    task: Task, sample: Sequence[Blueprint], seed: int, effort: Effort, num_workers: int
) -> tuple[list[TaskResult], tuple[float, float]]:
    """Return the results of the sample, and the seconds and CPU seconds that they took."""
    with Crucible(WIDTH, "native", num_workers=num_workers, effort=effort) as crucible:
        start, cpu_start = time.perf_counter(), time.process_time()
        evaluations = crucible.evaluate(sample, [task], [seed])
        times = time.perf_counter() - start, time.process_time() - cpu_start
    return [evaluation.results[0] for evaluation in evaluations], times


def ratios(times: tuple[float, float], full_times: tuple[float, float]) -> dict[str, float]:
    """Return how many times as fast as the full work an effort was."""
    return {
        "throughput_ratio": full_times[0] / times[0],
        "cpu_ratio": full_times[1] / times[1],
    }


def compare(
    results: Sequence[TaskResult],
    full: Sequence[TaskResult],
    dropped_N: np.ndarray,
    task: Task,
    costs_N: np.ndarray,
) -> dict[str, float]:
    """Return the figures of one effort in one round; `dropped_N` says whom a rung ended."""
    score_N, truth_N = (np.array([result.score for result in results]) for results in (results, full))
    steps_N = steps_of(results)
    top = min(TOP, len(truth_N))
    best, taken_for_best = (np.argsort(-values, kind="stable")[:top] for values in (truth_N, score_N))
    return {
        "flops_left": float((costs_N * steps_N).sum() / costs_N.sum() / task.num_steps),
        "steps_left": float(steps_N.mean() / task.num_steps),
        "score": float(score_N.mean()),
        "score_difference": float(score_N.mean() - truth_N.mean()),
        "spearman": float(spearman(score_N, truth_N)[0]),
        "solved_share": float((score_N >= task.solved).mean()),
        "top_kept": float(1 - dropped_N[truth_N >= truth_N[best[-1]]].mean()),
        "top_regret": float(truth_N[best].mean() - truth_N[taken_for_best].mean()),
    }


def steps_of(results: Sequence[TaskResult]) -> np.ndarray:
    """Return the steps that each run took."""
    return np.array([result.num_steps or 0 for result in results], np.float64)


def _summary(task: str, effort: str, rounds: Sequence[dict[str, float]]) -> dict[str, Any]:
    row: dict[str, Any] = {"task": task, "effort": effort}
    for name in rounds[0]:
        values = [figures[name] for figures in rounds]
        if name.endswith("_ratio"):
            row |= {name: statistics.median(values), f"{name}_range": [min(values), max(values)]}
        else:
            row[name] = statistics.mean(values)
    return row


if __name__ == "__main__":
    main()
