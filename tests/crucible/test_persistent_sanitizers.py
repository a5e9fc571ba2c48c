"""The persistent kernels, built with checks, train random programs: no races, no foreign addresses.

The corpus runs in processes of its own, since the checks must be loaded before all else. What it computes is
checked in test_engine_contract.py; here it must only come to its end.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from persistent_host import SOURCE, build, compiler

ROOT = Path(__file__).resolve().parents[2]
#: How a process ends in which a race was found.
RACE = 66
#: For each checker: its flags, its runtime library, its options, and how many threads a block has.
CHECKERS = {
    "races": (("-fsanitize=thread",), "libtsan.so", "TSAN_OPTIONS", f"halt_on_error=1:exitcode={RACE}", 3),
    "addresses": (
        ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
        "libasan.so",
        "ASAN_OPTIONS",
        "detect_leaks=0",
        2,
    ),
}

CORPUS = """
import pathlib, random, sys
import torch
from blueprints import parse, random_program
from crucible.engines.base import Job
from crucible.engines.cuda.engine import PersistentEngine
from crucible.initialisation import initial_parameters
from crucible.program import build_program
from curricula.temporal import Temporal
from curricula.xor import Xor
from engine_agreement import OP_PROGRAMS
from persistent_host import HostLauncher

torch.set_num_threads(1)
rng = random.Random(0)
tokens = [p.split() for p in OP_PROGRAMS.values()] + [random_program(rng) for _ in range(24)]
launcher = HostLauncher({torch.float32: pathlib.Path(sys.argv[1])}, int(sys.argv[2]))
engine = PersistentEngine(launcher)
small = dict(num_train=16, num_validation=16, num_test=80, batch_size=8, epochs=1)
for task in (Xor(**small), Temporal(**small, train_length=12, test_length=13)):
    programs = [build_program(parse(t).graph, task, 16) for t in tokens]
    jobs = [Job(program=p, seed=i % 2) for i, p in enumerate(programs)]
    results = engine.train(jobs, task, fingerprints=task.name == "xor")
    assert {r.status for r in results} <= {"ok", "diverged"}
    train = task.splits(0).train
    parameters = [initial_parameters(p, 0) for p in programs]
    engine.loss_and_gradients(programs, parameters, train.inputs[:3], train.targets[:3])
print("the corpus ran", len(programs))
"""


def run_corpus(checker: str, folder: Path, source: Path = SOURCE) -> subprocess.CompletedProcess[str]:
    """Build the kernels with a checker and train the corpus; skip the test where the checker is missing."""
    flags, library, variable, options, num_threads = CHECKERS[checker]
    asked = [compiler(), f"-print-file-name={library}"]
    runtime = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(runtime).is_absolute():
        pytest.skip(f"{compiler()} comes without {library}")
    checked = build(folder / "checked.so", "-O1", "-g", "-Wno-unused-parameter", *flags, source=source)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "crucible")])
    environment = dict(os.environ, LD_PRELOAD=runtime, PYTHONPATH=paths, OMP_NUM_THREADS="1")
    environment[variable] = options
    command = [sys.executable, "-c", CORPUS, str(checked), str(num_threads)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the checks are preloaded as on Linux")
@pytest.mark.parametrize("checker", CHECKERS)
def test_random_programs_pass_the_checker_for(checker: str, tmp_path: Path) -> None:
    done = run_corpus(checker, tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.startswith("the corpus ran")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the checks are preloaded as on Linux")
def test_a_barrier_that_is_missing_is_found(tmp_path: Path) -> None:
    for folder in ("crucible/engines/cuda/src", "crucible/engines/native/src", "tests/crucible/persistent"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    spoilt, phase = tmp_path / "crucible/engines/cuda/src/node.h", "    block.barrier();\n"
    text = spoilt.read_text()
    assert text.count(phase) == 1, "the end of a phase over rows and columns"
    spoilt.write_text(text.replace(phase, ""))
    done = run_corpus("races", tmp_path, tmp_path / "tests/crucible/persistent/host.cpp")
    assert done.returncode == RACE
    assert "data race" in done.stderr
