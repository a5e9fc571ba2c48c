"""The engines that a throughput comparison has on the CPU, by their rows' names; leaves timing aside.

`native` does all the work that a program says. The rows after it do less of it: `native+algebra`, which is
what a Crucible has by default, rewrites programs to less work for the same training; `native+stop` and
`native+rungs` train less besides, at a price in fidelity that benchmarks/less_work.py measures.
"""

from collections.abc import Callable

from crucible.crucible import Crucible
from crucible.effort import RUNGS, STOP
from crucible.engines.native.engine import NativeEngine
from crucible.engines.native.library import find_library

#: How a Crucible is built for a row: from the width of the host, the device and the number of workers.
Build = Callable[[int, str, int], Crucible]


def cpu_rows() -> dict[str, Build]:
    """Return how to build the Crucible of each row; only `batched` where the native engine was not built."""
    rows: dict[str, Build] = {
        "batched": lambda width, device, cores: Crucible(width, "batched", device, cores)
    }
    if find_library() is not None:
        rows["native"] = lambda width, _, cores: full_work(width, cores)
        rows["native+algebra"] = lambda width, device, cores: Crucible(width, "native", device, cores)
        for name, effort in (("stop", STOP), ("rungs", RUNGS)):
            rows[f"native+{name}"] = lambda width, device, cores, effort=effort: Crucible(
                width, "native", device, cores, effort=effort
            )
    return rows


def full_work(width: int, num_workers: int) -> Crucible:
    """Return a Crucible whose native engine computes what programs say as they say it: for measurements."""
    return Crucible(width, NativeEngine(num_workers, algebra=False))
