"""The floor under any engine's time: a sample's matrix products at the speed that a core reaches with them.

It counts what the programs say, as the reference engine computes it; what else they compute is free here.
"""

import statistics
import time

import torch

from blueprints.graph import LOOP, SCAN
from crucible.engines.base import single_thread
from crucible.engines.workers import WorkerPool
from crucible.program import HOST_INPUT, Program, ProgramNode
from curricula.task import Task

#: Forward, gradient of the input, gradient of the weight.
PASSES = 3
#: Side of the square products by which a core's speed is measured; three of them fit its second cache.
SIDE = 256
REPEATS = 400


def training_gemm_flops(program: Program, task: Task) -> int:
    """Return the FLOPs of all matrix products of one training and its two exams; a multiply-add is two."""
    splits = task.splits(0)
    train = splits.train.inputs.shape[1]
    step = sum(_passes(node) * _flops(node, train) for node in program.nodes) * task.batch_size
    exams = sum(
        sum(_flops(node, split.inputs.shape[1]) for node in program.nodes) * len(split.inputs)
        for split in (splits.validation, splits.test)
    )
    return step * task.num_steps + exams


def _passes(node: ProgramNode) -> int:
    """The host's first map needs no gradient of its input."""
    return PASSES - 1 if node.signature.op == HOST_INPUT else PASSES


def _flops(node: ProgramNode, time: int) -> int:
    """Return the FLOPs of a node's matrix products in one example of `time` steps."""
    signature = node.signature
    if signature.body is not None:
        times = signature.attribute("repeat") if signature.op == LOOP else time
        inside = 1 if signature.op == SCAN else time
        return times * sum(_flops(inner, inside) for inner in signature.body.nodes)
    steps = time if signature.sequence else 1
    # A depthwise convolution's weight is a vector a tap: it is no matrix product.
    weights = [p for p in node.parameters if len(p.shape) > 1 and signature.op != "DWCONV1D"]
    products = 2 * steps * sum(weight.size for weight in weights)
    if signature.op == "ATTENTION":
        products += 4 * steps * time * signature.width
    return products


def peak_gflops(num_workers: int) -> float:
    """Return the GFLOP/s of one core in large products of torch while `num_workers` cores compute them."""
    speeds: list[float] = []

    def failed(index: int, error: Exception) -> list[tuple[int, tuple]]:
        raise error

    pool = WorkerPool(num_workers)
    pool.run(one_core_gflops, [()] * num_workers, lambda index, speed: speeds.append(speed), failed)
    pool.close()
    return statistics.mean(speeds)


def one_core_gflops() -> float:
    """Return the median speed of float32 products `[256, 256] @ [256, 256]` on one thread."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, SIDE, SIDE, generator=generator)
    out = torch.empty(SIDE, SIDE)
    seconds = []
    with single_thread():
        for _ in range(REPEATS):
            start = time.perf_counter()
            torch.mm(a, b, out=out)
            seconds.append(time.perf_counter() - start)
    return 2 * SIDE**3 / statistics.median(seconds) / 1e9
