"""The interpreter, built with checks of addresses and undefined behaviour, trains random programs.

The corpus runs in a process of its own, since the checks must be loaded before all else. What it computes is
checked in test_engine_contract.py; here it must only come to its end.
"""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "crucible" / "engines" / "native" / "src"
FLAGS = (
    *("-std=c++17", "-O1", "-g", "-fPIC", "-pthread", "-ffp-contract=fast", "-fno-math-errno", "-Wno-psabi"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
)

CORPUS = """
import pathlib, random, sys
from dataclasses import replace
import torch
from blueprints import CORE_LANGUAGE, parse, random_program
from crucible.effort import Effort, Rung
from crucible.engines.base import Job
from crucible.engines.native import library
library.find_library = lambda: pathlib.Path(sys.argv[1])
from crucible.engines.native.engine import NativeEngine
from crucible.engines.native.records import ops_of
from crucible.initialisation import initial_parameters
from crucible.program import build_program
from curricula.temporal import Temporal
from curricula.xor import Xor

torch.set_num_threads(1)
rng = random.Random(0)
tokens = [random_program(rng) for _ in range(96)]
tokens += [random_program(rng, CORE_LANGUAGE, min_ops=1, max_ops=12) for _ in range(48)]
for task in (Xor(epochs=1), Temporal(epochs=1), Xor(epochs=1, batch_size=8)):
    programs = [build_program(parse(t).graph, task, 16) for t in tokens]
    engine = NativeEngine(num_workers=2)
    assert not any(engine.missing_ops(ops_of(program)) for program in programs)
    jobs = [Job(program=p, seed=i % 2) for i, p in enumerate(programs)]
    engine.train(jobs, task, fingerprints=True)
    NativeEngine(variant="generic").train(jobs[:16], task)
    less = Effort(stop_at=1.0, rungs=(Rung(steps=0.5, kept=0.5),))
    NativeEngine(num_workers=2, effort=less).train(jobs[:48], replace(task, epochs=2), fingerprints=True)
    train = task.splits(0).train
    for i, program in enumerate(programs):
        steps = 1 + i % train.inputs.shape[1]
        arguments = [program], [initial_parameters(program, 0)], train.inputs[: 1 + i % 33, :steps]
        for dtype in (torch.float32, torch.float64):
            engine.loss_and_gradients(*arguments, train.targets[: 1 + i % 33], dtype)
sys.path.insert(0, sys.argv[2])
from toy_tasks import GRAFT_TOYS, TOYS
for task in (*TOYS.values(), *GRAFT_TOYS.values()):
    programs = [build_program(parse(t).graph, task, 16) for t in tokens[:24]]
    NativeEngine(num_workers=2).train([Job(program=p, seed=1) for p in programs], task, fingerprints=True)
    train = task.splits(0).train
    for i, program in enumerate(programs):
        arguments = [program], [initial_parameters(program, 0)], train.inputs[: 2 + i], train.targets[: 2 + i]
        for dtype in (torch.float32, torch.float64):
            NativeEngine().loss_and_gradients(*arguments, dtype)
print("the corpus ran", len(programs))
"""


def compiler_with_checks() -> tuple[str, str]:
    """Return the compiler and its runtime library for the checks of addresses; skip where one is missing."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        pytest.skip("there is no g++, and CXX names no compiler")
    asked = [compiler, "-print-file-name=libasan.so"]
    runtime = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(runtime).is_absolute():
        pytest.skip(f"{compiler} comes without the library for checks of addresses (libasan.so)")
    return compiler, runtime


def build(compiler: str, folder: Path) -> Path:
    def compile_one(source: Path) -> str:
        target = str(folder / f"{source.stem}.o")
        done = subprocess.run(
            [compiler, *FLAGS, "-c", str(source), "-o", target], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return target

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        objects = list(pool.map(compile_one, sorted(SOURCES.glob("*.cpp"))))
    out = folder / "checked.so"
    done = subprocess.run(
        [compiler, "-shared", *FLAGS, *objects, "-o", str(out)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the checks are preloaded as on Linux")
def test_random_programs_touch_no_foreign_address_and_nothing_undefined(tmp_path) -> None:
    compiler, runtime = compiler_with_checks()
    checked = build(compiler, tmp_path)
    # The interpreter of Python itself leaks by design.
    environment = dict(os.environ, LD_PRELOAD=runtime, ASAN_OPTIONS="detect_leaks=0", PYTHONPATH=str(ROOT))
    done = subprocess.run(
        [sys.executable, "-c", CORPUS, str(checked), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.startswith("the corpus ran")
