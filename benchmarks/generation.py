"""Where the time of a generation goes, phase by phase, in a run of the default profile; judges no blueprint.

    python benchmarks/generation.py --json generation.json [-- budget.generations=6 seed=1 ...]

It trains as `make train` does, in a folder of its own, and reads the seconds that the run writes with each
generation. `evaluate` is the Crucible, `rest` what no phase claims. Generations are grouped by stage, since
a stage adds a task.
"""

# ruff: noqa: E402

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import torch
from crucible_throughput import describe_machine
from preflight import check

from crucible.crucible import num_cores

#: What a generation does, in its order; `commit` is the time of the generation before.
PHASES = ("sample", "parse", "evaluate", "reward", "update", "measure", "record", "commit")


def main() -> None:
    """Run, print a table of each stage and write it as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", help="where to write the shares")
    parser.add_argument("settings", nargs="*", help="settings of the run, after --")
    arguments = parser.parse_args()
    check("cpu", arguments.json)
    with tempfile.TemporaryDirectory() as folder:
        run(folder, arguments.settings)
        rows = [
            json.loads(line) for line in (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()
        ]
    stages = {
        stage: shares([row for row in rows if row["stage"] == stage])
        for stage in dict.fromkeys(row["stage"] for row in rows)
    }
    for stage, found in stages.items():
        print(f"\nstage {stage}: {found['generations']} generations, {found['seconds']:.2f} s each (median)")
        for phase, share in found["shares"].items():
            print(f"  {phase:<9} {100 * share:5.1f} %  {found['phase_seconds'][phase]:8.3f} s")
    if arguments.json:
        machine = describe_machine(torch.device("cpu"), num_cores())
        document = {"stages": stages, "settings": arguments.settings, "machine": machine}
        Path(arguments.json).write_text(json.dumps(document, indent=1) + "\n")


def run(folder: str, settings: list[str]) -> None:
    """Train in `folder`/run with the default profile and `settings`; exit where the run fails."""
    command = [sys.executable, str(ROOT / "scripts" / "train_architect.py"), f"run.dir={folder}/run"]
    done = subprocess.run([*command, *settings], cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(f"error: the run ended with exit code {done.returncode}")


def shares(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the median seconds of each phase over generations, and each phase's share of their sum.

    The whole of a generation is what it measured of itself and the commit that its successor reports.
    """
    whole = [row["generation_s"] + row["commit_s"] for row in rows]
    seconds = {phase: statistics.median(row[f"{phase}_s"] for row in rows) for phase in PHASES}
    claimed = [sum(row[f"{phase}_s"] for phase in PHASES) for row in rows]
    seconds["rest"] = statistics.median(w - c for w, c in zip(whole, claimed, strict=True))
    total = sum(seconds.values())
    return {
        "generations": len(rows),
        "seconds": statistics.median(whole),
        "phase_seconds": seconds,
        "shares": {phase: value / total for phase, value in seconds.items()},
    }


if __name__ == "__main__":
    main()
