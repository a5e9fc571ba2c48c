"""What the native engine's algebra saves: matrix products left out, and blueprints a second with and without.

    python benchmarks/algebra.py --num 512 --json algebra.json

The sample is that of crucible_throughput.py. `products_saved` is the share of the matrix products' FLOPs that
training no longer needs, of all that the programs say (gemm_floor.py), exams included. `ratio` is between the
two engines in one round, where both train the whole sample one after the other, all costs included; the table
holds the median and the range of the rounds. Times are of the processor, not of the clock on the wall: both
engines keep their cores busy, and other work on them lengthens neither by much.
"""

# ruff: noqa: E402

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import torch
from crucible_throughput import describe_machine
from gemm_floor import training_gemm_flops
from preflight import check
from throughput_sample import WIDTH, draw_sample

from blueprints import CORE_LANGUAGE, LANGUAGE, Blueprint
from crucible.crucible import num_cores
from crucible.engines.base import Job
from crucible.engines.native.algebra import map_work, simplify
from crucible.engines.native.engine import NativeEngine
from crucible.engines.native.library import load_library
from crucible.engines.native.records import build_records
from crucible.engines.native.task_arrays import workload_of
from crucible.program import Program, build_program
from curricula.task import Task
from curricula.temporal import Temporal
from curricula.xor import Xor


def main() -> None:
    """Measure both tasks and languages; print a table and write it as JSON."""
    arguments = _arguments()
    check("cpu", arguments.json)
    rows = []
    for name, language in (("core", CORE_LANGUAGE), ("whole", LANGUAGE)):
        sample = draw_sample(arguments.num, "random", language)
        for task in (Xor(), Temporal()):
            row = measure(task, sample, arguments.workers, arguments.rounds)
            rows.append({"task": task.name, "language": name, **row})
            print(
                f"{task.name:<9} {name:<6} {row['products_saved']:6.1%} of products saved, "
                f"{row['blueprints_per_core_s']:8.1f} blueprints a core second, {row['ratio']:.2f}x "
                f"({row['ratio_range'][0]:.2f}-{row['ratio_range'][1]:.2f})"
            )
    if arguments.json:
        machine = describe_machine(torch.device("cpu"), arguments.workers)
        Path(arguments.json).write_text(json.dumps({"rows": rows, "machine": machine}, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num", type=int, default=512, help="blueprints in the sample")
    parser.add_argument("--workers", type=int, default=num_cores(), help="cores, for both")
    parser.add_argument("--rounds", type=int, default=5, help="paired rounds")
    parser.add_argument("--json", help="where to write the rows")
    arguments = parser.parse_args()
    for name in ("num", "workers", "rounds"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(arguments, name)}")
    return arguments


def measure(task: Task, sample: Sequence[Blueprint], num_workers: int, rounds: int) -> dict[str, Any]:
    """Return what the algebra saves of the products, and the throughput with it and relative to without."""
    programs = [build_program(blueprint.graph, task, WIDTH) for blueprint in sample]
    jobs = [Job(program=program, seed=0) for program in programs]
    engines = {algebra: NativeEngine(num_workers, algebra=algebra) for algebra in (False, True)}
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for engine in engines.values():
        engine.train(jobs[:num_workers], task)
    for _ in range(rounds):
        for algebra, engine in engines.items():
            start = time.process_time()
            engine.train(jobs, task)
            seconds[algebra].append(time.process_time() - start)
    ratios = [without / with_it for without, with_it in zip(seconds[False], seconds[True], strict=True)]
    return {
        "products_saved": products_saved(programs, task),
        "blueprints_per_core_s": len(jobs) / statistics.median(seconds[True]),
        "blueprints_per_core_s_without": len(jobs) / statistics.median(seconds[False]),
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "num": len(jobs),
        "num_workers": num_workers,
    }


def products_saved(programs: Sequence[Program], task: Task) -> float:
    """Return the share of the FLOPs of all matrix products that training is spared."""
    rows, workload = load_library().rows, workload_of(task, [0])
    saved = total = 0
    for program in programs:
        before = build_records(program, rows)
        after = simplify(before, rows, workload)
        saved += map_work(before, rows, workload) - map_work(after, rows, workload)
        total += training_gemm_flops(program, task)
    return 2 * saved * task.num_steps / total


if __name__ == "__main__":
    main()
