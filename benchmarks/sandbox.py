"""How long a sandbox takes to fork, import, construct and run a candidate once; it times no check of it.

    python benchmarks/sandbox.py --json sandbox.json
    python benchmarks/sandbox.py --sandbox rlimits

Candidates are blocks of blueprints by people, every ninth of them. In each round every block runs once in the
sandbox, which has imported torch before, and one of them, in turn, runs in a fresh Python process, which
imports it itself. The time is that of the whole way, from the files of a job to its result; the first round
warms up and is not counted.
"""

# ruff: noqa: E402

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import numpy as np
import torch
from crucible_throughput import describe_machine
from preflight import check

from blueprints import HUMAN_BLUEPRINTS, emit, parse
from tamiyo.sandbox.choosing import SANDBOXES, open_sandbox
from tamiyo.sandbox.contract import Job, Limits, Sandbox, SandboxError

WIDTH, TIME, BATCH_SIZE = 16, 16, 4
GOAL_MS, GOAL_RATIO = 25.0, 40.0
NUM_RESAMPLES = 2_000
_SEED = 20_240

_PROBE = f"""
import torch
from block import Block

def call(payload):
    with torch.no_grad():
        return list(Block({WIDTH})(torch.ones({BATCH_SIZE}, {TIME}, {WIDTH})).shape)
"""
# The same in a process of its own: the folder is its working folder, the result what it prints.
_FRESH = "import json, sys; sys.path.insert(0, '.'); import probe; print(json.dumps(probe.call({})))"


def main() -> None:
    """Measure, write the figures and say them in a sentence."""
    arguments = _arguments()
    check("cpu", arguments.json)
    torch.set_num_threads(1)
    try:
        sandbox = open_sandbox(arguments.sandbox)
    except SandboxError as error:
        sys.exit(f"error: {error}")
    try:
        report = measure(sandbox, candidates(), arguments.rounds)
    finally:
        sandbox.close()
    report["machine"] = describe_machine(torch.device("cpu"), 1) | {"system": platform.release()}
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    print(sentence(report))


def candidates() -> list[Job]:
    """The jobs: one for every ninth blueprint by people."""
    return [
        Job(
            files={"block.py": emit(parse(blueprint.tokens)).encode(), "probe.py": _PROBE.encode()},
            function="probe:call",
        )
        for blueprint in HUMAN_BLUEPRINTS[::9]
    ]


def measure(sandbox: Sandbox, jobs: Sequence[Job], num_rounds: int) -> dict[str, Any]:
    """Return the times of all rounds but the first, with medians and their ratio.

    Raises:
        SystemExit: a candidate failed; a time would be none of a candidate.
    """
    limits = Limits()
    sandboxed_RN, fresh_R, computing_RN = [], [], []
    for number in range(num_rounds + 1):
        timed = [_in_sandbox(sandbox, job, limits) for job in jobs]
        fresh = _in_fresh_process(jobs[number % len(jobs)])
        if number:
            sandboxed_RN.append([seconds for seconds, _ in timed])
            computing_RN.append([seconds for _, seconds in timed])
            fresh_R.append(fresh)
    sandboxed, fresh_R = np.array(sandboxed_RN), np.array(fresh_R)
    return {
        "sandbox": sandbox.name,
        "num_rounds": num_rounds,
        "num_candidates": len(jobs),
        "sandboxed_ms": _summary(1e3 * sandboxed.ravel()),
        "computing_ms": _summary(1e3 * np.array(computing_RN).ravel()),
        "fresh_ms": _summary(1e3 * fresh_R),
        "ratio": _ratio(sandboxed, fresh_R),
        "goals": {"sandboxed_ms": GOAL_MS, "ratio": GOAL_RATIO},
        "seconds_of_rounds": {"sandboxed": sandboxed.tolist(), "fresh": fresh_R.tolist()},
    }


def sentence(report: dict[str, Any]) -> str:
    """The figures as a reader wants them."""
    sandboxed, fresh, ratio = report["sandboxed_ms"], report["fresh_ms"], report["ratio"]
    return (
        f"In the sandbox '{report['sandbox']}' fork, import, construction and one forward take "
        f"{sandboxed['median']:.1f} ms (quartiles {sandboxed['low']:.1f} to {sandboxed['high']:.1f}; goal "
        f"{GOAL_MS:g}), {report['computing_ms']['median']:.1f} ms of them computing; a fresh process takes "
        f"{fresh['median']:.0f} ms, {ratio['median']:.0f} times as long ({ratio['low']:.0f} to "
        f"{ratio['high']:.0f} with 95 % confidence; goal {GOAL_RATIO:g})."
    )


def _in_sandbox(sandbox: Sandbox, job: Job, limits: Limits) -> tuple[float, float]:
    """Seconds of one run by the clock, and those of computing."""
    started = time.perf_counter()
    outcome = sandbox.run(job, limits)
    seconds = time.perf_counter() - started
    if outcome.status != "ok" or not _is_shape(outcome.result):
        sys.exit(f"error: a candidate failed in the sandbox: {outcome}")
    return seconds, outcome.usage.cpu_s


def _in_fresh_process(job: Job) -> float:
    """Seconds of one run in a Python process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        for name, content in job.files.items():
            Path(folder, name).write_bytes(content)
        command = [sys.executable, "-I", "-c", _FRESH]
        ended = subprocess.run(command, cwd=folder, capture_output=True, check=True)
        seconds = time.perf_counter() - started
    if not _is_shape(json.loads(ended.stdout)):
        sys.exit(f"error: a candidate failed in a fresh process: {ended.stdout.decode()}")
    return seconds


def _is_shape(result: Sequence[int]) -> bool:
    """Whether these are the lengths of what a block returns, which may have pooled its steps."""
    return len(result) == 3 and (result[0], result[2]) == (BATCH_SIZE, WIDTH)


def _summary(values: np.ndarray) -> dict[str, float]:
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    return {"median": float(median), "low": float(low), "high": float(high)}


def _ratio(sandboxed_RN: np.ndarray, fresh_R: np.ndarray) -> dict[str, float]:
    """Median time of a fresh process by that of the sandbox, with a 95 % interval over resampled rounds."""
    drawn = np.random.default_rng(_SEED).integers(len(fresh_R), size=(NUM_RESAMPLES, len(fresh_R)))
    ratios = [np.median(fresh_R[rows]) / np.median(sandboxed_RN[rows]) for rows in drawn]
    low, high = np.quantile(ratios, (0.025, 0.975))
    return {
        "median": float(np.median(fresh_R) / np.median(sandboxed_RN)),
        "low": float(low),
        "high": float(high),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sandbox", choices=["auto", *SANDBOXES], default="auto", help="which one (auto)")
    parser.add_argument("--rounds", type=int, default=20, help="rounds that count (20)")
    parser.add_argument("--json", type=Path, help="where to write the figures and all times")
    return parser.parse_args()


if __name__ == "__main__":
    main()
