"""Is the cost a blueprint the same from tens to ten thousands, and memory small? One process a size."""

import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

from cpu_rows import full_work
from gemm_floor import training_gemm_flops
from throughput_sample import WIDTH, draw_sample

from crucible.engines.workers import WorkerPool
from crucible.program import build_program
from curricula.task import Task

#: Sizes, in sixteenths of the sample's.
SIXTEENTHS = (1, 4, 16, 64, 256)


def measure_sweep(tasks: list[Task], num: int, num_workers: int) -> list[dict[str, Any]]:
    """Return one row of the native engine a task and size, from `num / 16` to `16 * num` blueprints."""
    rows: list[dict[str, Any]] = []

    def done(index: int, row: dict[str, Any]) -> None:
        rows.append(row)
        print(
            f"  {row['task']:<9} {row['num']:>6} blueprints  {row['seconds_per_tflop']:8.4f} s/TFLOP  "
            f"{row['memory_mb']:7.1f} MB over the imports"
        )

    def failed(index: int, error: Exception) -> list[tuple[int, tuple]]:
        raise error

    for task in tasks:
        for sixteenths in SIXTEENTHS:
            size = max(1, num * sixteenths // 16)
            pool = WorkerPool(1)
            pool.run(one_size, [(task, size, num, num_workers)], done, failed)
            pool.close()
    return rows


def one_size(task: Task, size: int, num: int, num_workers: int) -> dict[str, Any]:
    """Train `size` blueprints a call in this process, which must be fresh; return what it took.

    Where that is fewer than `num`, calls follow one another until `num` are trained: the same ones as in one
    call of `num`, in another order.
    """
    imported = _peak_bytes()
    sample = list(draw_sample(max(size, num), "random"))
    random.Random(0).shuffle(sample)
    programs = [build_program(blueprint.graph, task, WIDTH) for blueprint in sample]
    tflops = sum(training_gemm_flops(program, task) for program in programs) / 1e12
    del programs
    task.splits(0)
    with full_work(WIDTH, num_workers) as crucible:
        crucible.evaluate(sample[:1], [task], [1])  # what is loaded at its first use is no size's cost
        start = time.perf_counter()
        for first in range(0, len(sample), size):
            crucible.evaluate(sample[first : first + size], [task], [0])
        seconds = time.perf_counter() - start
    return {
        "task": task.name,
        "engine": "native",
        "num": size,
        "num_workers": num_workers,
        "seconds": seconds,
        "tflops": tflops,
        "seconds_per_tflop": seconds / tflops,
        "blueprints_per_s": len(sample) / seconds,
        "memory_mb": (_peak_bytes() - imported) / 1e6,
    }


def _peak_bytes() -> int:
    """Return the most memory that this process has held so far."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says may be of the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
