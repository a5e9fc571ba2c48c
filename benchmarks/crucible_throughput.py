"""How many blueprints a second the Crucible's engines train, same cores and same work; leaves scores aside.

    python benchmarks/crucible_throughput.py --num 1024 --json throughput.json --figure throughput.png

`reference` and `loop` train one blueprint at a time, in as many single-threaded processes as the others use
cores, side by side on the same cores. They are timed on 32 blueprints, one from each stratum of FLOPs, and
their throughput on the whole sample is extrapolated from the mean time a blueprint; starting and waiting for
the last one is left out, in their favour. The other engines train the whole sample, all their costs included.
Every round times every engine, and a ratio is of one round: the tables hold each round's and their median.
`same_32` are ratios on those 32 blueprints alone, where a handful gives batching little to share.

`native` does all the work that the programs say; `native+algebra`, `native+stop` and `native+rungs` do less
(benchmarks/cpu_rows.py). On CUDA the rows are those of benchmarks/cuda_rows.py.

Tasks: `xor` and `temporal` with programs of the core ops in a host of width 16; `xor_d32` and `temporal_d32`
the same in a host of width 32; `xor_full` and `temporal_full` with programs of the whole language; these four
with a quarter of the sample. `markov_once` and `graft` have as many programs, which they do not refuse; and
so have `markov_once_full` and `graft_full`, without the row `batched`, which would take minutes there. The
floor is the time that the sample's matrix products take at the speed a core reaches with them in the same
run. `sweep` holds the seconds a TFLOP of the native engine from a sixteenth of the sample to sixteen times as
many, and the memory over the imports, each in a process of its own.
"""

# ruff: noqa: E402

import argparse
import hashlib
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import torch
from cpu_rows import Build, cpu_rows
from cuda_rows import cuda_rows
from gemm_floor import peak_gflops, training_gemm_flops
from plain_loop import timed_loop, timed_reference
from preflight import check
from sweep import measure_sweep
from throughput_sample import WIDTH, draw_sample, one_of_each_stratum, steps_of

from blueprints import CORE_LANGUAGE, LANGUAGE, Blueprint, Language, flops
from crucible.crucible import Crucible, num_cores
from crucible.engines.base import Job
from crucible.engines.native.library import find_library, load_library
from crucible.engines.workers import WorkerPool
from crucible.program import build_program
from curricula.suites import task_named
from curricula.task import Task
from curricula.temporal import Temporal
from curricula.xor import Xor

NUM_STRATA = 32
ROUNDS = 3
#: The wide host, the whole language and longer tasks train a fraction of the sample: the batched engine takes
#: long there.
SMALLER = 4
LONGER = ("markov_once", "graft")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the comparison: a task, a host, a language and a share of the sample.

    Attributes:
        name: as rows call it.
        task: what is trained.
        width: D of the host.
        language: of the programs.
        share: one in how many of the sample is trained.
        is_batched: whether the batched engine takes part.
    """

    name: str
    task: Task
    width: int = WIDTH
    language: Language = CORE_LANGUAGE
    share: int = 1
    is_batched: bool = True

    def sample(self, num: int, mix: str) -> list[Blueprint]:
        """Return the column's part of a sample of `num`."""
        own = max(1, num // self.share)
        return draw_sample(own, "random" if self.language is LANGUAGE else mix, self.language, self.task)


def columns() -> list[Column]:
    """Return all that is measured."""
    found = []
    for task in (Xor(), Temporal()):
        found += [
            Column(name=task.name, task=task),
            Column(name=f"{task.name}_d32", task=task, width=2 * WIDTH, share=SMALLER),
            Column(name=f"{task.name}_full", task=task, language=LANGUAGE, share=SMALLER),
        ]
    for task in map(task_named, LONGER):
        found += [
            Column(name=task.name, task=task, share=SMALLER),
            Column(name=f"{task.name}_full", task=task, language=LANGUAGE, share=SMALLER, is_batched=False),
        ]
    return found


def main() -> None:
    """Measure every engine on every task; print a table and write it as JSON and as a picture."""
    arguments = _arguments()
    for path in (arguments.json, arguments.figure):
        check(arguments.device, path)
    device = torch.device(arguments.device)
    num_workers = 1 if device.type == "cuda" else arguments.workers
    sample = draw_sample(arguments.num, arguments.mix)
    digest = hashlib.sha256("".join(b.id for b in sample).encode()).hexdigest()[:16]
    machine = describe_machine(device, num_workers)
    print(f"sample: {len(sample)} blueprints, mix {arguments.mix}, digest {digest}")
    print(f"machine: {machine['processor']}, {machine['instruction_set']}, {num_workers} workers")
    rows = []
    for column in columns():
        if arguments.tasks is None or column.name in arguments.tasks:
            chosen = column.sample(arguments.num, arguments.mix)
            rows += measure(column, chosen, arguments.device, num_workers, arguments.rounds)
    sweep = []
    if arguments.sweep and find_library() is not None and device.type == "cpu":
        print("\nsweep: the native engine from a sixteenth of the sample to sixteen times as many")
        sweep = measure_sweep([Xor(), Temporal()], arguments.num, num_workers)
    document = {
        "rows": rows,
        "sweep": sweep,
        "machine": machine,
        "mix": arguments.mix,
        "sample_digest": digest,
    }
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(document, indent=1) + "\n")
    if arguments.figure:
        from throughput_figure import draw

        draw(document, arguments.figure)


def _arguments() -> argparse.Namespace:
    names = [column.name for column in columns()]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num", type=int, default=1024, help="blueprints in the sample")
    parser.add_argument("--mix", choices=("random", "human"), default="random")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=num_cores(), help="cores, for every engine")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="paired rounds")
    parser.add_argument("--tasks", nargs="+", choices=names, help="these alone (default: all)")
    parser.add_argument("--no-sweep", dest="sweep", action="store_false", help="leave the sweep out")
    parser.add_argument("--json", help="where to write the rows")
    parser.add_argument("--figure", help="where to draw them (needs matplotlib)")
    arguments = parser.parse_args()
    for name in ("num", "workers", "rounds"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(arguments, name)}")
    return arguments


def engines_on(device: str, column: Column) -> dict[str, Build]:
    """Return the engines that train a column's whole sample, by the names of their rows."""
    rows = cpu_rows() if device == "cpu" else cuda_rows()
    return {name: build for name, build in rows.items() if column.is_batched or name != "batched"}


def measure(
    column: Column, sample: Sequence[Blueprint], device: str, num_workers: int, rounds: int
) -> list[dict[str, Any]]:
    """Return one row an engine for one column."""
    task, width = column.task, column.width
    strata = one_of_each_stratum(sample, task, width, NUM_STRATA)
    programs = [build_program(b.graph, task, width) for b in sample]
    gemm = statistics.mean(training_gemm_flops(program, task) for program in programs)
    mean_flops = statistics.mean(flops(b.graph, width, steps_of(task)) for b in sample)
    print(f"\n{column.name}: {len(sample)} blueprints, {gemm / 1e6:,.0f} MFLOP of matrix products each")
    jobs = [Job(program=build_program(b.graph, task, width), seed=0) for b in strata]
    builds = engines_on(device, column)
    names = ("reference", "loop", *builds)
    whole: dict[str, list[float]] = {name: [] for name in names}
    same: dict[str, list[float]] = {name: [] for name in names}
    peaks = []
    pool = WorkerPool(num_workers)
    with ExitStack() as stack:
        crucibles = {
            name: stack.enter_context(build(width, device, num_workers)) for name, build in builds.items()
        }
        for crucible in crucibles.values():
            crucible.evaluate(strata[: 2 * num_workers], [task], [0])
        one_at_a_time(pool, timed_reference, jobs[: 2 * num_workers], task, device)
        for _ in range(rounds):
            peaks.append(peak_gflops(num_workers) if device == "cpu" else float("nan"))
            for name, train in (("reference", timed_reference), ("loop", timed_loop)):
                same[name].append(one_at_a_time(pool, train, jobs, task, device) / num_workers)
                whole[name].append(same[name][-1])
            for name, crucible in crucibles.items():
                same[name].append(_blueprint_seconds(crucible, strata, task))
                whole[name].append(_blueprint_seconds(crucible, sample, task))
    pool.close()
    floors = [gemm / (peak * 1e9 * num_workers) for peak in peaks]
    rows = []
    for name in names:
        row = {
            "task": column.name,
            "engine": name,
            **_statistics(whole[name], whole["reference"], same[name], same["reference"], floors),
            "width": width,
            "language": "whole" if column.language is LANGUAGE else "core",
            "measured_on": len(strata) if name in ("reference", "loop") else len(sample),
            "num": len(sample),
            "num_workers": num_workers,
            "mean_flops": mean_flops,
            "gemm_mflop": gemm / 1e6,
            "peak_gflops_per_core": statistics.median(peaks),
            "peaks": peaks,
        }
        rows.append(row)
        low, high = row["ratio_to_reference_range"]
        print(
            f"  {name:<18} {row['blueprints_per_s']:8.2f} blueprints/s  {row['ratio_to_reference']:6.2f}x "
            f"({low:.2f}-{high:.2f})  same {len(strata)}: {row['ratio_same_32']:6.2f}x  "
            f"share of the floor {row['gemm_floor_share']:.2f}"
        )
    return rows


def _statistics(
    whole: list[float],
    reference: list[float],
    same: list[float],
    same_reference: list[float],
    floors: list[float],
) -> dict[str, Any]:
    """Return the figures of one engine from its seconds a blueprint in each round."""
    ratios = [a / b for a, b in zip(reference, whole, strict=True)]
    same_ratios = [a / b for a, b in zip(same_reference, same, strict=True)]
    return {
        "blueprints_per_s": 1 / statistics.median(whole),
        "ratio_to_reference": statistics.median(ratios),
        "ratio_to_reference_range": [min(ratios), max(ratios)],
        "ratio_same_32": statistics.median(same_ratios),
        "ratio_same_32_range": [min(same_ratios), max(same_ratios)],
        "gemm_floor_share": statistics.median(f / s for f, s in zip(floors, whole, strict=True)),
        "seconds_per_blueprint": whole,
        "ratios": ratios,
    }


def _blueprint_seconds(crucible: Crucible, blueprints: Sequence[Blueprint], task: Task) -> float:
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
        "instruction_set": load_library().variant if find_library() is not None else "not built",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    main()
