"""Does the Architect learn? REINFORCE against its controls at equal evaluations; resumable, judges no engine.

Runs `profile=evidence` (the temporal task alone, batches of 256, 20 generations) for every arm and seed as
processes of their own, one a core, then compares them. Called again it goes on where it stopped; `--report`
only compares what is there.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "train_architect.py"

#: Name of an arm to its settings.
ARMS = {
    "reinforce-grammar": ("strategy=reinforce", "architect.decoding=grammar"),
    "reinforce-free": ("strategy=reinforce", "architect.decoding=free"),
    "random": ("strategy=random", "architect.decoding=grammar"),
    "evolution": ("strategy=evolution", "architect.decoding=grammar"),
}
COLOURS = {
    "reinforce-grammar": "#1b6ca8",
    "reinforce-free": "#4fb3bf",
    "random": "#8a8a8a",
    "evolution": "#d98324",
}
#: Generations at the end over which an arm's score is averaged.
LAST = 5
SCORE, BEST = "score_temporal_mean", "best50_temporal_mean"
#: 97.5 % quantiles of Student's t for 1 to 9 degrees of freedom.
STUDENT_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean over seeds with its 95 % interval (Student's t)."""

    mean: float
    low: float
    high: float
    num_seeds: int

    def __str__(self) -> str:
        return f"{self.mean:+.3f}" + (f" [{self.low:+.3f}, {self.high:+.3f}]" if self.num_seeds > 1 else "")


def main() -> int:
    """Run what is missing, compare, and write table, JSON and picture."""
    options = _options()
    options.dir.mkdir(parents=True, exist_ok=True)
    if not options.report:
        run_missing(options.dir, options.arms, options.seeds, options.jobs, options.settings)
    rows = complete_runs(options.dir, options.seeds)
    if not rows:
        print(f"no run under {options.dir} is complete yet", file=sys.stderr)
        return 1
    print(f"{len(rows)} of {len(ARMS) * options.seeds} runs are complete\n")
    result = compare(rows)
    print(table(result))
    if options.beside:
        print(
            f"\nbeside it {options.beside}\n\n{table(compare(complete_runs(options.beside, options.seeds)))}"
        )
    draw(rows, options.dir / "evidence.png")
    path = options.json or options.dir / "evidence.json"
    path.write_text(json.dumps(result, indent=1, default=asdict) + "\n")
    print(f"\npicture {options.dir / 'evidence.png'}, numbers {path}")
    return 0


def complete_runs(folder: Path, seeds: int) -> dict[tuple[str, int], list[dict]]:
    """Return the metrics lines of the complete runs in a folder, by arm and seed."""
    runs = {(arm, seed): folder / f"{arm}-seed{seed}" for seed in range(seeds) for arm in ARMS}
    return {key: load_rows(run) for key, run in runs.items() if is_complete(run)}


def run_missing(folder: Path, arms: Sequence[str], seeds: int, jobs: int, settings: Sequence[str]) -> None:
    """Start or resume every run of some arms that is not complete, `jobs` at a time."""
    latency = folder / "latency_table.json"
    if not latency.exists():
        from crucible.latency import LatencyTable

        LatencyTable.measure().save(latency)
    work = [(arm, seed) for seed in range(seeds) for arm in arms]
    with ThreadPoolExecutor(jobs) as pool:
        outcomes = list(pool.map(lambda job: _run(folder, job[0], job[1], settings), work))
    failed = [f"{arm} seed {seed}" for (arm, seed), code in zip(work, outcomes, strict=True) if code]
    if failed:
        raise SystemExit(f"these runs failed, see their .log: {', '.join(failed)}; call again to go on")


def _run(folder: Path, arm: str, seed: int, settings: Sequence[str]) -> int:
    run = folder / f"{arm}-seed{seed}"
    if is_complete(run):
        return 0
    if (run / "config.yaml").exists():
        arguments = [f"run.resume={run}"]
    else:
        arguments = [f"run.dir={run}", "profile=evidence", f"seed={seed}", *ARMS[arm], *settings]
        arguments += [f"crucible.latency_table={folder / 'latency_table.json'}", "tracking.wandb=disabled"]
        arguments += ["crucible.num_workers=1"]
    print(f"{'resuming' if len(arguments) == 1 else 'starting'} {arm} seed {seed}", flush=True)
    with (folder / f"{run.name}.log").open("a") as log:
        return subprocess.run(
            [sys.executable, str(SCRIPT), *arguments],
            stdout=log,
            stderr=log,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        ).returncode


def is_complete(run: Path) -> bool:
    """Say whether a run reached the end of its budget."""
    summary = run / "summary.json"
    return summary.exists() and json.loads(summary.read_text())["is_complete"]


def load_rows(run: Path) -> list[dict]:
    """Return the metrics lines of a run that hold a score; one without any valid program has none."""
    path = run / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [row for row in map(json.loads, lines) if row.get(SCORE) is not None]


def compare(rows: dict[tuple[str, int], list[dict]]) -> dict:
    """Return each arm's figures, and its differences from random paired by seed, at equal evaluations."""
    arms: dict[str, dict] = {}
    for arm in ARMS:
        seeds = [seed for name, seed in rows if name == arm]
        if not seeds:
            continue
        scores, bests = {}, {}
        for seed in seeds:
            others = [rows[name, seed] for name in ARMS if (name, seed) in rows]
            equal = min(other[-1]["evaluations_total"] for other in others)
            cut = [row for row in rows[arm, seed] if row["evaluations_total"] <= equal]
            scores[seed] = fmean(row[SCORE] for row in (cut or rows[arm, seed][:1])[-LAST:])
            bests[seed] = at_evaluations(rows[arm, seed], equal)
        arms[arm] = {
            "seeds": len(seeds),
            "generations": min(len(rows[arm, seed]) for seed in seeds),
            "score_first": fmean(rows[arm, seed][0][SCORE] for seed in seeds),
            "score_last": interval(list(scores.values())),
            "best50": interval(list(bests.values())),
            "valid_first": fmean(rows[arm, seed][0]["valid_rate"] for seed in seeds),
            "valid_last": fmean(rows[arm, seed][-1]["valid_rate"] for seed in seeds),
            "unique_last": fmean(rows[arm, seed][-1]["unique_rate"] for seed in seeds),
            "unique_least": min(rows[arm, seed][-1]["unique_rate"] for seed in seeds),
            "per_seed": {"score_last": scores, "best50": bests},
        }
    _add_differences(arms)
    return {
        "arms": arms,
        "last_generations": LAST,
        "machine": {
            "cores": os.cpu_count(),
            "instruction_set": torch.backends.cpu.get_cpu_capability(),
            "torch": torch.__version__,
            "platform": platform.platform(),
        },
    }


def _add_differences(arms: dict[str, dict]) -> None:
    if "random" not in arms:
        return
    base = arms["random"]["per_seed"]
    for arm, figures in arms.items():
        if arm == "random":
            continue
        for name in ("score_last", "best50"):
            own = figures["per_seed"][name]
            differences = [own[seed] - base[name][seed] for seed in own if seed in base[name]]
            figures[f"{name}_minus_random"] = interval(differences)


def at_evaluations(rows: Sequence[dict], evaluations: int) -> float:
    """Return the mean score of the best 50 after so many evaluations, linear between generations."""
    before = rows[0]
    for row in rows:
        if row["evaluations_total"] >= evaluations:
            span = row["evaluations_total"] - before["evaluations_total"]
            share = (evaluations - before["evaluations_total"]) / span if span else 1.0
            return before[BEST] + share * (row[BEST] - before[BEST])
        before = row
    return rows[-1][BEST]


def interval(values: Sequence[float]) -> Interval:
    """Return mean and 95 % interval; a single value has an interval without bounds."""
    mean = fmean(values)
    if len(values) < 2:
        return Interval(mean=mean, low=float("-inf"), high=float("inf"), num_seeds=len(values))
    half = STUDENT_T[min(len(values), 10) - 2] * stdev(values) / len(values) ** 0.5
    return Interval(mean=mean, low=mean - half, high=mean + half, num_seeds=len(values))


def table(result: dict) -> str:
    """Return the comparison as a Markdown table."""
    lines = [
        f"| arm | seeds | score first -> last {LAST} | minus random | best 50 | minus random "
        "| valid | unique |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm, figures in result["arms"].items():
        score, best = figures["score_last"], figures["best50"]
        lines.append(
            f"| {arm} | {figures['seeds']} | {figures['score_first']:.3f} -> {score.mean:.3f} "
            f"| {figures.get('score_last_minus_random', '')} | {best.mean:.3f} "
            f"| {figures.get('best50_minus_random', '')} "
            f"| {figures['valid_first']:.2f} -> {figures['valid_last']:.2f} | {figures['unique_last']:.2f} |"
        )
    return "\n".join(lines)


def draw(rows: dict[tuple[str, int], list[dict]], path: Path) -> None:
    """Draw score, best 50, validity and uniqueness of every run over its evaluations."""
    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    panels = (
        (SCORE, "mean temporal score of valid, distinct programs"),
        (BEST, "mean score of the best 50 so far"),
        ("valid_rate", "share of valid programs"),
        ("unique_rate", "share of distinct among valid"),
    )
    for axes, (field, title) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        for (arm, seed), run in sorted(rows.items()):
            points = [(row["evaluations_total"], row[field]) for row in run if row.get(field) is not None]
            label = arm if seed == min(s for a, s in rows if a == arm) else None
            axes.plot(*zip(*points, strict=True), color=COLOURS[arm], alpha=0.8, linewidth=1.3, label=label)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel("evaluations", fontsize=9)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=120)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dir", type=Path, default=Path("runs/evidence"), help="where the runs are kept")
    parser.add_argument("--seeds", type=int, default=5, help="seeds an arm, from 0")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=tuple(ARMS), help="arms to run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
    parser.add_argument("--report", action="store_true", help="compare what is there, run nothing")
    parser.add_argument("--beside", type=Path, metavar="DIR", help="also print the table of other runs")
    parser.add_argument("--json", type=Path, help="where the numbers go; evidence.json in the folder")
    parser.add_argument("settings", nargs="*", help="further settings of every run, as key=value")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
