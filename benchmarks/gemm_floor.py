"""The floor under any engine's time: a sample's matrix products at the speed that a core reaches with them.

It counts what the programs say, as the reference engine computes it; what else they compute is free here.
"""

import statistics
import time

import torch

from blueprints.graph import LOOP, SCAN
from crucible.engines.base import single_thread
from crucible.engines.workers import WorkerPool
from crucible.program import HOST_EMBEDDING, Program, ProgramNode
from curricula.task import Task

#: Forward, gradient of the input, gradient of the weight.
PASSES = 3
#: Side of the square products by which a core's speed is measured; three of them fit its second cache.
SIDE = 256
REPEATS = 400
#: What has a matrix and no product: a depthwise convolution has a vector a tap, an embedding looks up.
NO_PRODUCTS = ("DWCONV1D", HOST_EMBEDDING)


def training_gemm_flops(program: Program, task: Task) -> int:
    """Return the FLOPs of all matrix products of one training and its exams; a multiply-add is two."""
    train, *exams = task.splits(0).by_name.values()
    steps, passes = train.inputs.shape[1], _passes(program)
    step = sum(num * _flops(node, steps) for num, node in zip(passes, program.nodes, strict=True))
    examined = sum(
        sum(_flops(node, split.inputs.shape[1]) for node in program.nodes) * len(split.inputs)
        for split in exams
    )
    return step * task.batch_size * task.num_steps + examined


def _passes(program: Program) -> list[int]:
    """Return the products of each node in a step: forward, of what its weights and its inputs must be told.

    Nothing before the first weight that learns is told anything. Of a loop or scan all of its steps count
    alike, though its first may have an input that needs no gradient.
    """
    frozen = () if program.graft is None else (1, len(program.nodes) - 1)
    told: list[bool] = []
    passes = []
    for index, node in enumerate(program.nodes):
        learns, passes_on = bool(node.parameters) and index not in frozen, any(told[i] for i in node.inputs)
        told.append(learns or passes_on)
        passes.append(PASSES if node.signature.body is not None else 1 + learns + passes_on)
    return passes


def _flops(node: ProgramNode, time: int) -> int:
    """Return the FLOPs of a node's matrix products in one example of `time` steps."""
    signature = node.signature
    if signature.body is not None:
        times = signature.attribute("repeat") if signature.op == LOOP else time
        inside = 1 if signature.op == SCAN else time
        return times * sum(_flops(inner, inside) for inner in signature.body.nodes)
    steps = time if signature.sequence else 1
    weights = [p for p in node.parameters if len(p.shape) > 1 and signature.op not in NO_PRODUCTS]
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
