"""How many blueprints a second the Crucible's engines train, same cores and same work; leaves scores aside.

    python benchmarks/crucible_throughput.py --num 1024 --json throughput.json

`reference` and `loop` train one blueprint at a time, in as many single-threaded processes as `batched` uses,
side by side on the same cores. They are timed on 32 blueprints, one from each stratum of FLOPs, and their
throughput on the whole sample is extrapolated from the mean time a blueprint; starting and waiting for the
last one is left out, in their favour. `batched` and, on the CPU where it was built, `native` train the
whole sample, all their costs included, and the same 32 again in each round (`ratio_same_32`: a handful of
blueprints gives batching little to share).
"""

# ruff: noqa: E402

import argparse
import hashlib
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import torch
from plain_loop import timed_loop, timed_reference
from preflight import check

from blueprints import CORE_LANGUAGE, HUMAN_BLUEPRINTS, Blueprint, flops, mutate, parse, random_program
from crucible.crucible import Crucible, num_cores
from crucible.engines.base import Job
from crucible.engines.native.library import find_library
from crucible.engines.workers import WorkerPool
from crucible.program import build_program
from curricula.task import Task
from curricula.temporal import Temporal
from curricula.xor import Xor

WIDTH = 16
SAMPLE_SEED = 20_240
NUM_STRATA = 32
ROUNDS = 3


def main() -> None:
    """Measure every engine on every task; print a table and write it as JSON."""
    arguments = _arguments()
    check(arguments.device, arguments.json)
    device = torch.device(arguments.device)
    num_workers = 1 if device.type == "cuda" else arguments.workers
    sample = draw_sample(arguments.num, arguments.mix)
    digest = hashlib.sha256("".join(b.id for b in sample).encode()).hexdigest()[:16]
    print(f"sample: {len(sample)} blueprints, mix {arguments.mix}, digest {digest}, {num_workers} workers")
    rows = []
    for task in (Xor(), Temporal()):
        rows += measure(task, sample, arguments.device, num_workers, arguments.rounds)
    if arguments.json:
        machine = describe_machine(device, num_workers)
        document = {"rows": rows, "machine": machine, "mix": arguments.mix, "sample_digest": digest}
        Path(arguments.json).write_text(json.dumps(document, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num", type=int, default=1024, help="blueprints in the sample")
    parser.add_argument("--mix", choices=("random", "human"), default="random")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=num_cores(), help="processes, for every engine")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="paired rounds on the 32 blueprints")
    parser.add_argument("--json", help="where to write the rows")
    arguments = parser.parse_args()
    for name in ("num", "workers", "rounds"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(arguments, name)}")
    return arguments


def draw_sample(num: int, mix: str) -> list[Blueprint]:
    """Return the frozen sample: random legal programs of 1 to 12 ops, or human blueprints and mutations."""
    rng = random.Random(SAMPLE_SEED)
    if mix == "random":
        return [parse(random_program(rng, CORE_LANGUAGE, min_ops=1, max_ops=12)) for _ in range(num)]
    programs = [tuple(entry.tokens) for entry in HUMAN_BLUEPRINTS]
    while len(programs) < num:
        programs.append(mutate(rng.choice(programs), rng))
    return [parse(tokens) for tokens in programs[:num]]


def measure(
    task: Task, sample: list[Blueprint], device: str, num_workers: int, rounds: int
) -> list[dict[str, Any]]:
    """Return one row an engine for one task."""
    length = task.splits(0).train.inputs.shape[1]
    costs = [flops(blueprint.graph, WIDTH, length) for blueprint in sample]
    order = sorted(range(len(sample)), key=costs.__getitem__)
    strata = min(NUM_STRATA, len(sample))
    chosen = [sample[order[int((i + 0.5) * len(sample) / strata)]] for i in range(strata)]
    mean, chosen_mean = statistics.mean(costs), statistics.mean(flops(b.graph, WIDTH, length) for b in chosen)
    print(
        f"\n{task.name}: {mean:,.0f} forward FLOPs an example on average ({chosen_mean:,.0f} in the strata)"
    )
    jobs = [Job(program=build_program(b.graph, task, WIDTH), seed=0) for b in chosen]
    engines = _whole_engines(device)
    whole_s: dict[str, float] = dict.fromkeys(engines, 0.0)
    seconds: dict[str, list[float]] = {name: [] for name in ("reference", "loop", *whole_s)}
    pool = WorkerPool(num_workers)
    with ExitStack() as stack:
        crucibles = {
            name: stack.enter_context(Crucible(WIDTH, name, device, num_workers)) for name in engines
        }
        for crucible in crucibles.values():
            crucible.evaluate(chosen[: 2 * num_workers], [task], [0])
        one_at_a_time(pool, timed_reference, jobs[: 2 * num_workers], task, device)
        for r in range(rounds):
            seconds["reference"].append(
                one_at_a_time(pool, timed_reference, jobs, task, device) / num_workers
            )
            seconds["loop"].append(one_at_a_time(pool, timed_loop, jobs, task, device) / num_workers)
            for name, crucible in crucibles.items():
                seconds[name].append(_blueprint_seconds(crucible, chosen, task))
                if r == 0:
                    whole_s[name] = _blueprint_seconds(crucible, sample, task)
    pool.close()
    rows = []
    reference_s = statistics.median(seconds["reference"])
    for engine, times in seconds.items():
        blueprint_s = whole_s.get(engine, statistics.median(times))
        paired = [a / b for a, b in zip(seconds["reference"], times, strict=True)]
        rows.append(
            {
                "task": task.name,
                "engine": engine,
                "blueprints_per_s": 1 / blueprint_s,
                "ratio_to_reference": reference_s / blueprint_s,
                "ratio_same_32": statistics.median(paired),
                "ratio_same_32_range": [min(paired), max(paired)],
                "measured_on": len(sample) if engine in whole_s else len(chosen),
                "num": len(sample),
                "num_workers": num_workers,
                "mean_flops": mean,
            }
        )
        print(
            f"  {engine:<10} {1 / blueprint_s:8.2f} blueprints/s  {reference_s / blueprint_s:6.2f}x  "
            f"(same {len(chosen)}: {statistics.median(paired):.2f}x, {min(paired):.2f}-{max(paired):.2f})"
        )
    return rows


def _whole_engines(device: str) -> tuple[Literal["batched", "native"], ...]:
    return ("batched", "native") if device == "cpu" and find_library() is not None else ("batched",)


def _blueprint_seconds(crucible: Crucible, blueprints: list[Blueprint], task: Task) -> float:
    """Return the seconds a blueprint that one call takes."""
    start = time.perf_counter()
    crucible.evaluate(blueprints, [task], [0])
    return (time.perf_counter() - start) / len(blueprints)


def one_at_a_time(
    pool: WorkerPool, train: Callable[..., float], jobs: list[Job], task: Task, device: str
) -> float:
    """Return the mean seconds a job when every worker trains one job after another."""
    seconds: list[float] = []

    def failed(index: int, error: Exception) -> list[Any]:
        raise error

    # Heavy jobs first: all workers are busy nearly to the end, so none has the memory to itself for long.
    tasks = [(job, task, torch.device(device)) for job in reversed(jobs)]
    pool.run(train, tasks, lambda index, value: seconds.append(value), failed)
    return statistics.mean(seconds)


def describe_machine(device: torch.device, num_workers: int) -> dict[str, Any]:
    """Return what decides the figures beside the code."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return {
        "processor": model,
        "cores": num_cores(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "num_workers": num_workers,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    main()
