"""Whether every engine of a device computes what the reference does; leaves speed to crucible_throughput.py.

    python benchmarks/agreement.py --device cuda --num 256

It needs torch, numpy and networkx alone, so that it runs where no test can. Gradients of random programs of
the whole language are compared with the reference's in float64; an engine may be ten times as far from them
as the reference in its own precision. On a CUDA device, training launch by launch and from graphs must give
the same bits, and so must a blueprint alone and in company in the persistent engine.
"""

# ruff: noqa: E402

import argparse
import logging
import random
import sys
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import torch
from preflight import check

from blueprints import Blueprint, parse, random_program
from crucible.engines.base import Engine, Job
from crucible.engines.batched import BatchedEngine
from crucible.engines.cuda.engine import PersistentEngine
from crucible.engines.cuda.launcher import CudaLauncher
from crucible.engines.native.engine import NativeEngine
from crucible.engines.native.library import find_library
from crucible.engines.reference import ReferenceEngine
from crucible.evaluation import TaskResult
from crucible.initialisation import initial_parameters
from crucible.program import build_program
from curricula.task import Task
from curricula.temporal import Temporal
from curricula.xor import Xor

WIDTH = 16
SAMPLE_SEED = 7
#: Blueprints that are trained rather than differentiated.
NUM_TRAINED = 64


def main() -> None:
    """Compare every engine of the device; exit with code 1 when one disagrees."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num", type=int, default=256, help="random programs")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    if arguments.num < 1:
        parser.error(f"--num must be at least 1, got {arguments.num}")
    check(arguments.device, None)
    logging.basicConfig(format="%(message)s")
    rng = random.Random(SAMPLE_SEED)
    sample = [parse(random_program(rng)) for _ in range(arguments.num)]
    num_wrong = sum(compare_gradients(engine, sample) for engine in engines_on(arguments.device))
    if arguments.device != "cpu":
        num_wrong += compare_trainings(arguments.device, sample[:NUM_TRAINED])
    sys.exit(1 if num_wrong else 0)


def engines_on(name: str) -> list[Engine]:
    """Return the engines of a device, the reference aside."""
    device = torch.device(name)
    if device.type == "cuda":
        return [BatchedEngine(device), PersistentEngine(CudaLauncher(device))]
    return [BatchedEngine(device), *([NativeEngine()] if find_library() is not None else [])]


def compare_gradients(engine: Engine, sample: list[Blueprint]) -> int:
    """Print how far an engine is from the reference; return for how many programs it is too far."""
    num_wrong = 0
    for task in (Xor(), Temporal()):
        programs = [build_program(b.graph, task, WIDTH) for b in sample]
        parameters = [initial_parameters(program, 0) for program in programs]
        train = task.splits(0).train
        question = (programs, parameters, train.inputs[:32], train.targets[:32])
        worst: list[float] = []
        for dtype, tolerance in ((torch.float64, 1e-11), (torch.float32, 2e-4)):
            truths = ReferenceEngine().loss_and_gradients(*question, torch.float64)
            peers = ReferenceEngine().loss_and_gradients(*question, dtype)
            worst.append(0.0)
            for (_, true), (_, peer), (_, came) in zip(
                truths, peers, engine.loss_and_gradients(*question, dtype), strict=True
            ):
                if not peer.isfinite().all():
                    num_wrong += bool(came.isfinite().all())
                    continue
                scale = max(1.0, float(true.abs().max()))
                error, own = float((came - true).abs().max()), float((peer - true).abs().max())
                num_wrong += not error <= max(tolerance * scale, 10 * own)
                worst[-1] = max(worst[-1], error / scale)
        print(
            f"{engine.name:<11} {task.name:<9} {len(sample)} programs: off by at most {worst[0]:.1e} of the "
            f"largest slope in float64, {worst[1]:.1e} in float32; {num_wrong} too far so far"
        )
    return num_wrong


def compare_trainings(device: str, sample: list[Blueprint]) -> int:
    """Train on a CUDA device in several ways that must give the same bits; return how many results differ."""
    task = Temporal(epochs=3)
    jobs = [Job(program=build_program(b.graph, task, WIDTH), seed=i % 2) for i, b in enumerate(sample)]
    launched = _trained(BatchedEngine(device, capture=False, num_streams=1), jobs, task)
    captured = _trained(BatchedEngine(device, num_streams=1), jobs, task)
    persistent = PersistentEngine(CudaLauncher(torch.device(device)))
    together = _trained(persistent, jobs, task)
    alone = [result for job in jobs for result in _trained(persistent, [job], task)]
    num_wrong = 0
    for name, a, b in (("from graphs", launched, captured), ("persistent, alone", together, alone)):
        different = sum(x != y for x, y in zip(a, b, strict=True))
        print(f"{name}: {different} of {len(jobs)} trainings have other bits")
        num_wrong += different
    return num_wrong


def _trained(engine: Engine, jobs: list[Job], task: Task) -> list[tuple[str, bytes]]:
    return [_bits(result) for result in engine.train(jobs, task, fingerprints=True)]


def _bits(result: TaskResult) -> tuple[str, bytes]:
    fingerprint = b"" if result.fingerprint is None else result.fingerprint.tobytes()
    return repr(replace(result, fingerprint=None)), fingerprint


if __name__ == "__main__":
    main()
