"""The persistent kernels' threads, memory, declarations and sources; and that they run on a device.

What every engine owes is tried in test_engine_contract.py on these sources, compiled for the host, where each
of a block's threads is a thread. What that leaves out, compiling with NVRTC and launching, is tried here,
where there is a CUDA device.
"""

import ctypes
import itertools
import re
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from engine_agreement import OP_PROGRAMS, OPS, assert_gradients_agree, assert_trainings_agree
from engines_here import NEEDS_CUDA, Contender, bits, jobs_of
from persistent_host import compiler

from blueprints import LANGUAGE, Blueprint, parse
from crucible import Crucible
from crucible.engines.cuda import sources
from crucible.engines.cuda.engine import PersistentEngine
from crucible.engines.cuda.launcher import NUM_THREADS, CudaLauncher
from crucible.engines.cuda.request import Request
from crucible.engines.native import library
from crucible.engines.native.records import FIELDS
from crucible.engines.reference import ReferenceEngine
from crucible.errors import CrucibleError
from crucible.initialisation import initial_parameters
from curricula.temporal import Temporal
from curricula.xor import Xor


@pytest.mark.parametrize("num_threads", [2, 3, 7])
def test_gradients_have_the_same_bits_with_any_number_of_threads(
    num_threads: int, persistent_here: Contender
) -> None:
    task = Temporal()
    programs = [job.program for job in jobs_of(list(OP_PROGRAMS.values()), task)]
    train = task.splits(0).train
    parameters = [initial_parameters(program, 0) for program in programs]
    arguments = (programs, parameters, train.inputs[:9, :5], train.targets[:9])
    one, several = (
        persistent_here.make(num_threads=num).loss_and_gradients(*arguments) for num in (1, num_threads)
    )
    for (loss, gradient), (same_loss, same_gradient) in zip(one, several, strict=True):
        assert loss == same_loss
        assert torch.equal(gradient, same_gradient)


def test_a_job_that_needs_more_memory_than_there_is_fails_alone(
    persistent_here: Contender, short_xor: Xor
) -> None:
    finished: list[int] = []
    jobs = jobs_of(["TANH", "LINEAR OUT_DIM_QUAD LINEAR OUT_DIM_QUAD LINEAR OUT_DIM_IN"], short_xor)
    good, bad = persistent_here.make(limit=1 << 17).train(jobs, short_xor, progress=finished.append)
    assert (good.status, bad.status) == ("ok", "out_of_memory")
    assert bad.reason == "one job needs more memory than device 'cpu' has left"
    assert sum(finished) == 2


def test_it_is_refused_without_a_cuda_device() -> None:
    with pytest.raises(CrucibleError, match="'persistent' runs on CUDA devices alone, and device 'cpu'"):
        Crucible(engine="persistent")
    if not torch.cuda.is_available():
        with pytest.raises(CrucibleError, match="torch finds no CUDA device here"):
            Crucible(engine="persistent", device="cuda")


def test_records_and_requests_are_declared_alike_on_both_sides() -> None:
    """The loader compares the sizes of a request; here names and order, which sizes would not tell."""
    text = (sources.FOLDER / "../../native/src/request.h").read_text()
    record = re.search(r"struct Record \{(.*?)\n\};", text, re.DOTALL)
    assert record is not None
    assert len(re.findall(r"int32_t \w+", record[1])) + 2 == len(FIELDS)
    statuses = re.search(r"enum Status : int32_t \{(.*?)\};", text)
    assert statuses is not None
    for name, value in re.findall(r"(\w+) = (\d)", statuses[1]):
        assert getattr(library, name) == int(value), name
    text = (sources.FOLDER / "training.h").read_text()
    declared = re.search(r"struct Request \{(.*?)\n\};", text, re.DOTALL)
    assert declared is not None
    lines = [line.partition("//")[0].strip() for line in declared[1].splitlines()]
    members = [re.findall(r"[ *](\w+)(?=[,;])", line) for line in lines if line]
    assert list(itertools.chain.from_iterable(members)) == [name for name, *_ in Request._fields_]


def test_the_table_of_ops_is_that_of_the_language() -> None:
    inner = {"INPUT", "STATE"}
    assert set(sources.rows()) == {*LANGUAGE.table, *inner}
    assert list(sources.rows().values()) == list(range(len(sources.rows())))


#: What NVRTC declares without being asked, as far as the kernels use it.
BUILT_IN = """
#define __CUDACC__
#define __global__
#define __device__
#define __forceinline__ inline
#define __noinline__
#define __shared__ static
#define __grid_constant__
#define __launch_bounds__(threads)
struct Place { unsigned x, y, z; };
extern const Place threadIdx, blockIdx, blockDim;
void __syncthreads();
int atomicAdd_system(int*, int);
template <class T> T exp(T); template <class T> T log(T); template <class T> T log1p(T);
template <class T> T expm1(T); template <class T> T tanh(T); template <class T> T sin(T);
template <class T> T cos(T); template <class T> T erfc(T); template <class T> T sqrt(T);
template <class T> T fabs(T); template <class T> T pow(T, T);
"""


@pytest.mark.parametrize("scalar", ["float", "double"])
def test_the_text_for_nvrtc_is_whole_and_needs_no_header(scalar: str, tmp_path: Path) -> None:
    text = sources.kernel_source()
    assert "#include" not in text.replace("#include <cmath>", "").replace("#include <ctime>", "")
    text = re.sub(r"asm volatile\(.*?\);", "nanoseconds = 0;", text)
    path = tmp_path / "persistent.cpp"
    path.write_text(f"{BUILT_IN}\n{text}")
    flags = [
        "-std=c++17",
        "-fsyntax-only",
        "-nostdinc",
        "-nostdinc++",
        "-Wall",
        "-Werror",
        "-Wno-unused",
        "-Wno-unknown-pragmas",
    ]
    done = subprocess.run(
        [compiler(), *flags, f"-DPERSISTENT_SCALAR={scalar}", str(path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_what_nvrtc_compiles_is_part_of_the_package() -> None:
    project = tomllib.loads((sources.FOLDER.parents[3] / "pyproject.toml").read_text())
    package = sources.FOLDER.parents[2]
    patterns = project["tool"]["setuptools"]["package-data"]["crucible"]
    installed = {path for pattern in patterns for path in package.glob(pattern)}
    read: set[Path] = set()
    sources._flat(sources.FOLDER / "kernels.cu", read)
    assert len(read) > 10
    assert read <= installed


def test_a_block_has_the_threads_that_the_kernels_are_bound_to() -> None:
    text = (sources.FOLDER / "kernels.cu").read_text()
    assert f"#define PERSISTENT_THREADS {NUM_THREADS}\n" in text
    assert ctypes.sizeof(Request) < 4096, "what a launch may be given"


def test_its_sources_say_what_they_are_for_and_stay_short() -> None:
    files = [path for path in sources.FOLDER.iterdir() if path.suffix in (".h", ".cu")]
    assert len(files) > 10
    for path in files:
        lines = path.read_text().splitlines()
        assert re.match(r"// [A-Z].*", lines[0]), f"{path.name} does not open with a sentence"
        assert len(lines) <= 500, path.name
        assert max(map(len, lines)) <= 110, path.name


@pytest.mark.gpu
@NEEDS_CUDA
@pytest.mark.parametrize("op", OPS)
def test_on_a_device_every_op_has_the_gradients_of_its_module(op: str) -> None:
    engine = PersistentEngine(CudaLauncher(torch.device("cuda")))
    assert_gradients_agree(engine, [parse(OP_PROGRAMS[op].split())], Temporal())


@pytest.mark.gpu
@NEEDS_CUDA
def test_on_a_device_bits_are_equal_alone_and_in_company(random_blueprints: list[Blueprint]) -> None:
    task = Temporal(epochs=1)
    jobs = jobs_of(random_blueprints, task, seeds=[0, 1, 2])
    with Crucible(engine="persistent", device="cuda") as crucible:
        engine = crucible._engine
        together = [bits(r) for r in engine.train(jobs, task, fingerprints=True)]
        assert [bits(r) for r in engine.train(jobs[::-1], task, fingerprints=True)] == together[::-1]
        for i in range(0, len(jobs), 32):
            (alone,) = engine.train([jobs[i]], task, fingerprints=True)
            assert bits(alone) == together[i]


@pytest.mark.gpu
@NEEDS_CUDA
def test_on_a_device_trainings_agree_with_the_reference(random_blueprints: list[Blueprint]) -> None:
    task = Temporal(epochs=1, learning_rate=1e-4)
    jobs = jobs_of(random_blueprints[:24], task, seeds=[1])
    engine = PersistentEngine(CudaLauncher(torch.device("cuda")))
    found = engine.train(jobs, task, fingerprints=True)
    assert_trainings_agree(ReferenceEngine().train(jobs, task, fingerprints=True), found)


@pytest.mark.gpu
@NEEDS_CUDA
def test_on_a_device_deadlines_and_interruptions_end_jobs() -> None:
    task = Temporal(epochs=20_000)
    engine = PersistentEngine(CudaLauncher(torch.device("cuda")), max_seconds=0.2)
    (late,) = engine.train(jobs_of(["GRU GRU"], task), task)
    assert late.status == "timed_out"

    def interrupt(num_new: int) -> None:
        raise KeyboardInterrupt

    engine = PersistentEngine(CudaLauncher(torch.device("cuda")), max_seconds=600)
    with pytest.raises(KeyboardInterrupt):
        engine.train(jobs_of(["TANH", *["GRU GRU GRU GRU"] * 20], task), task, progress=interrupt)
    (after,) = engine.train(jobs_of(["TANH"], replace(task, epochs=1)), replace(task, epochs=1))
    assert after.status == "ok"
