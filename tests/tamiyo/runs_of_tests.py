"""Small real runs for tests: two cores finish a generation in about a second."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "train_architect.py"

SMALL = (
    "language.max_length=12",
    "architect.batch_size=4",
    "architect.corpus.num_programs=64",
    "architect.pretraining.num_epochs=2",
    "architect.pretraining.num_validity_samples=16",
    "crucible.num_workers=1",
    "crucible.num_seeds=1",
    "tracking.wandb=disabled",
)


def start(*settings: object, **options) -> subprocess.Popen:
    """Start the training script with the small settings, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *map(str, settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        **options,
    )


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    """Wait for a process; return exit status, standard output and standard error."""
    out, err = process.communicate()
    return process.returncode, out, err


def lines(folder: Path) -> list[dict]:
    """Return the metrics of a run, fields of time aside."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.endswith(("_s", "_per_s"))} for row in rows]


def wandb_records(folder: Path) -> list[dict]:
    """Return what the only offline run in a folder recorded, as `wandb leet inspect` prints it."""
    (run,) = folder.glob("wandb/offline-run-*")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(run)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in printed.stdout.splitlines()]
