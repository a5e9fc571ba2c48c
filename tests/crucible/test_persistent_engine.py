"""The persistent kernels == the reference in float64, op by op and for random programs; one job, one result.

The sources that a CUDA device runs are compiled for the host here, where each of a block's threads is a
thread. What that leaves out, compiling with NVRTC and launching, is tried where there is a CUDA device.
"""

import ctypes
import itertools
import random
import re
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from persistent_host import OPTIMISED, HostLauncher, build, compiler
from test_capture import needs_cuda
from test_crucible_results import bits
from test_engine_equality import OP_PROGRAMS, assert_near
from test_native_engine import Doubled, SpoiltSeed

from blueprints import CORE_LANGUAGE, LANGUAGE, Blueprint, parse, random_program
from crucible import Crucible
from crucible.engines.base import Job
from crucible.engines.batched import BatchedEngine
from crucible.engines.cuda import sources
from crucible.engines.cuda.engine import PersistentEngine
from crucible.engines.cuda.launcher import NUM_THREADS, CudaLauncher
from crucible.engines.cuda.request import Request
from crucible.engines.native import library
from crucible.engines.native.records import FIELDS, ops_of
from crucible.engines.reference import ReferenceEngine
from crucible.errors import CrucibleError
from crucible.initialisation import initial_parameters
from crucible.program import build_program
from curricula.task import Task
from curricula.temporal import Temporal
from curricula.xor import Xor


@pytest.fixture(scope="module")
def libraries(tmp_path_factory) -> dict[torch.dtype, Path]:
    folder = tmp_path_factory.mktemp("persistent")
    names = {torch.float32: "float", torch.float64: "double"}
    return {dtype: build(folder / f"{name}.so", *OPTIMISED, scalar=name) for dtype, name in names.items()}


@pytest.fixture(scope="module")
def engine(libraries) -> PersistentEngine:
    return PersistentEngine(HostLauncher(libraries))


def jobs_of(programs: Sequence[str], task: Task, seed: int = 0) -> list[Job]:
    return [Job(program=build_program(parse(p.split()).graph, task, 16), seed=seed) for p in programs]


def assert_gradients_agree(
    engine: PersistentEngine, blueprints: list[Blueprint], task: Task, *, seed: int = 0, width=16, **data: int
) -> None:
    """Compare as tests/crucible/test_native_engine.py does; `data` may give `steps` and `batch`."""
    programs = [build_program(blueprint.graph, task, width) for blueprint in blueprints]
    assert not any(engine.missing_ops(ops_of(program)) for program in programs)
    parameters = [initial_parameters(program, seed) for program in programs]
    train, batch = task.splits(seed).train, data.get("batch", 32)
    arguments = (programs, parameters, train.inputs[:batch, : data.get("steps")], train.targets[:batch])
    truths = ReferenceEngine().loss_and_gradients(*arguments, torch.float64)
    doubles = engine.loss_and_gradients(*arguments, torch.float64)
    rounded = ReferenceEngine().loss_and_gradients(*arguments, torch.float32)
    singles = engine.loss_and_gradients(*arguments, torch.float32)
    for blueprint, *results in zip(blueprints, truths, doubles, rounded, singles, strict=True):
        (loss, gradient), (loss64, gradient64), (own_loss, own_gradient), (loss32, gradient32) = results
        scale, message = float(gradient.abs().max()), str(blueprint)
        assert_near(loss64, loss, loss, 1e-12 * max(1.0, abs(loss)), message)
        assert_near(gradient64, gradient, gradient, 1e-11 * max(1.0, scale), message)
        own = 10 * abs(own_loss - loss)
        assert_near(loss32, loss, own_loss, max(2e-5 * max(1.0, abs(loss)), own), message)
        own = 10 * float((own_gradient - gradient).abs().max())
        assert_near(gradient32, gradient, own_gradient, max(2e-4 * scale + 1e-7, own), message)


@pytest.mark.parametrize("op", sorted((*LANGUAGE.table, "LOOP", "SCAN")))
def test_every_op_has_the_gradients_of_its_module(op: str, engine: PersistentEngine) -> None:
    blueprint = parse(OP_PROGRAMS[op].split())
    assert any(node.op == op for node in blueprint.graph.nodes)
    assert_gradients_agree(engine, [blueprint], Xor())
    for steps in (2, 5, 16):
        assert_gradients_agree(engine, [blueprint], Temporal(), steps=steps)


@settings(max_examples=100)
@given(seed=st.integers(0, 2**31), batch=st.integers(1, 33), sequence=st.booleans(), core=st.booleans())
def test_random_programs_have_the_gradients_of_their_modules(
    engine: PersistentEngine, seed: int, batch: int, sequence: bool, core: bool
) -> None:
    rng = random.Random(seed)
    program = random_program(rng, CORE_LANGUAGE, min_ops=1, max_ops=12) if core else random_program(rng)
    task = Temporal() if sequence else Xor()
    assert_gradients_agree(engine, [parse(program)], task, seed=seed % 1000, batch=batch)


def test_human_blueprints_have_the_gradients_of_their_modules(
    engine: PersistentEngine, human_blueprints: list[Blueprint]
) -> None:
    assert_gradients_agree(engine, human_blueprints, Temporal())


def test_a_wider_host_has_the_gradients_of_its_module(engine: PersistentEngine) -> None:
    program = "CONV1D KERNEL_5 CHANNELS_QUAD GELU LINEAR OUT_DIM_HALF GRU LINEAR OUT_DIM_IN"
    assert_gradients_agree(engine, [parse(program.split())], Temporal(), width=48)


@pytest.mark.parametrize("num_threads", [2, 3, 7])
def test_gradients_have_the_same_bits_with_any_number_of_threads(
    num_threads: int, engine: PersistentEngine, libraries
) -> None:
    task = Temporal()
    programs = [build_program(parse(p.split()).graph, task, 16) for p in OP_PROGRAMS.values()]
    train = task.splits(0).train
    parameters = [initial_parameters(program, 0) for program in programs]
    arguments = (programs, parameters, train.inputs[:9, :5], train.targets[:9])
    shared = PersistentEngine(HostLauncher(libraries, num_threads)).loss_and_gradients(*arguments)
    for (loss, gradient), (own_loss, own_gradient) in zip(
        engine.loss_and_gradients(*arguments), shared, strict=True
    ):
        assert loss == own_loss
        assert torch.equal(gradient, own_gradient)


@pytest.mark.parametrize("task", [Xor(epochs=4), Temporal(epochs=1), Xor(epochs=2, batch_size=8)], ids=repr)
def test_bits_are_equal_alone_in_company_and_in_any_order_of_blocks(
    task: Task, engine: PersistentEngine, libraries, random_blueprints: list[Blueprint]
) -> None:
    jobs = [
        Job(program=build_program(b.graph, task, 16), seed=i % 3)
        for i, b in enumerate(random_blueprints[:48])
    ]
    together = [bits(r) for r in engine.train(jobs, task, fingerprints=True)]
    backwards = PersistentEngine(HostLauncher(libraries, is_backwards=True))
    assert [bits(r) for r in backwards.train(jobs[::-1], task, fingerprints=True)] == together[::-1]
    in_parts = PersistentEngine(HostLauncher(libraries, limit=24 << 20))
    assert [bits(r) for r in in_parts.train(jobs, task, fingerprints=True)] == together
    for i in range(0, len(jobs), 8):
        (alone,) = PersistentEngine(HostLauncher(libraries, 2)).train([jobs[i]], task, fingerprints=True)
        assert bits(alone) == together[i], jobs[i].program.graph


def test_short_trainings_agree_in_losses_and_representations(
    engine: PersistentEngine, random_blueprints: list[Blueprint]
) -> None:
    task = Temporal(epochs=1, learning_rate=1e-4)
    jobs = [Job(program=build_program(b.graph, task, 16), seed=1) for b in random_blueprints[:24]]
    reference = ReferenceEngine().train(jobs, task, fingerprints=True)
    for a, b in zip(reference, engine.train(jobs, task, fingerprints=True), strict=True):
        assert a.loss_first == pytest.approx(b.loss_first, rel=1e-5)
        assert a.loss_last == pytest.approx(b.loss_last, rel=1e-3)
        assert a.gradient_norm_mean == pytest.approx(b.gradient_norm_mean, rel=1e-3)
        assert a.fingerprint is not None
        assert b.fingerprint is not None
        assert a.fingerprint.shape == b.fingerprint.shape == (256, 16)
        np.testing.assert_allclose(a.fingerprint, b.fingerprint, atol=3e-3)


def test_full_trainings_agree_in_their_mean_score(
    engine: PersistentEngine, human_blueprints: list[Blueprint]
) -> None:
    task = Xor()
    jobs = [Job(program=build_program(b.graph, task, 16), seed=0) for b in human_blueprints[:12]]
    batched = [result.score for result in BatchedEngine().train(jobs, task)]
    interpreted = [result.score for result in engine.train(jobs, task)]
    assert np.mean(batched) == pytest.approx(np.mean(interpreted), abs=0.02)


def test_programs_with_a_callers_own_kernel_train_in_the_batched_engine(
    libraries, short_xor: Xor, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = jobs_of(["TANH", "LINEAR OUT_DIM_IN SIGMOID", "GELU"], short_xor)
    finished: list[int] = []
    own = PersistentEngine(HostLauncher(libraries), {"SIGMOID": Doubled()})
    with caplog.at_level("INFO"):
        results = own.train(jobs, short_xor, progress=finished.append)
    batched = BatchedEngine(kernels={"SIGMOID": Doubled()}).train(jobs, short_xor)
    plain = PersistentEngine(HostLauncher(libraries)).train(jobs, short_xor)
    assert bits(results[1]) == bits(batched[1]) != bits(plain[1])
    assert [bits(results[0]), bits(results[2])] == [bits(plain[0]), bits(plain[2])]
    assert sum(finished) == 3
    assert "no persistent kernel for ['SIGMOID']" in caplog.text


def test_a_job_that_meets_an_undefined_value_ends_alone(engine: PersistentEngine) -> None:
    task = SpoiltSeed(epochs=4)
    program = build_program(parse("LINEAR OUT_DIM_IN SILU".split()).graph, task, 16)
    jobs = [Job(program=program, seed=seed) for seed in (0, 1, 2)]
    good, bad, other = engine.train(jobs, task)
    assert (bad.status, bad.nonfinite_step, bad.score) == ("diverged", 0, 0.0)
    assert [bits(good), bits(other)] == [bits(r) for r in engine.train(jobs[::2], task)]
    assert (good.status, other.status) == ("ok", "ok")


def test_an_exploding_run_is_diverged(engine: PersistentEngine) -> None:
    task = Temporal(epochs=5, learning_rate=1e18)
    (result,) = engine.train(jobs_of(["LINEAR OUT_DIM_IN SILU LINEAR OUT_DIM_IN"], task), task)
    assert result.status == "diverged"
    assert result.nonfinite_step is not None
    assert 0 < result.nonfinite_step < task.num_steps
    assert np.isfinite(result.loss_first)


def test_exams_that_are_not_finite_after_finite_training_are_diverged(engine: PersistentEngine) -> None:
    task = Xor(epochs=1, batch_size=Xor().num_train, learning_rate=1e30)
    jobs = jobs_of(["LINEAR OUT_DIM_IN RELU LINEAR OUT_DIM_IN", "SIGMOID"], task)
    bad, good = engine.train(jobs, task)
    assert bad.reason == "logits of the validation split are not finite after training"
    assert bad.nonfinite_step is None
    assert good.status == "ok"


def test_a_job_ends_at_its_deadline_and_the_others_do_not(libraries) -> None:
    task = Temporal(epochs=20_000)
    (late,) = PersistentEngine(HostLauncher(libraries), max_seconds=0.2).train(jobs_of(["TANH"], task), task)
    assert (late.status, late.score) == ("timed_out", 0.0)
    assert late.reason == "not done after 0.2 seconds"
    quick = Temporal(epochs=1)
    (done,) = PersistentEngine(HostLauncher(libraries), max_seconds=60).train(jobs_of(["TANH"], quick), quick)
    assert done.status == "ok"


def test_a_job_that_needs_more_memory_than_there_is_fails_alone(libraries, short_xor: Xor) -> None:
    finished: list[int] = []
    jobs = jobs_of(["TANH", "LINEAR OUT_DIM_QUAD LINEAR OUT_DIM_QUAD LINEAR OUT_DIM_IN"], short_xor)
    small = PersistentEngine(HostLauncher(libraries, limit=1 << 17))
    good, bad = small.train(jobs, short_xor, progress=finished.append)
    assert (good.status, bad.status) == ("ok", "out_of_memory")
    assert bad.reason == "one job needs more memory than device 'cpu' has left"
    assert sum(finished) == 2


def test_progress_that_raises_ends_the_work(libraries) -> None:
    task = Temporal(epochs=2000)

    def interrupt(num_new: int) -> None:
        raise KeyboardInterrupt

    jobs = jobs_of(["TANH", *["GRU GRU"] * 20], task)
    with pytest.raises(KeyboardInterrupt):
        PersistentEngine(HostLauncher(libraries, is_backwards=True)).train(jobs, task, progress=interrupt)


def test_it_is_refused_without_a_cuda_device() -> None:
    with pytest.raises(CrucibleError, match="'persistent' runs on CUDA devices alone, and device 'cpu'"):
        Crucible(engine="persistent")
    if not torch.cuda.is_available():
        with pytest.raises(CrucibleError, match="torch finds no CUDA device here"):
            Crucible(engine="persistent", device="cuda")


def test_records_and_requests_are_declared_alike_on_both_sides(libraries) -> None:
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
@needs_cuda
@pytest.mark.parametrize("op", sorted((*LANGUAGE.table, "LOOP", "SCAN")))
def test_on_a_device_every_op_has_the_gradients_of_its_module(op: str) -> None:
    engine = PersistentEngine(CudaLauncher(torch.device("cuda")))
    assert_gradients_agree(engine, [parse(OP_PROGRAMS[op].split())], Temporal())


@pytest.mark.gpu
@needs_cuda
def test_on_a_device_bits_are_equal_alone_and_in_company(random_blueprints: list[Blueprint]) -> None:
    task = Temporal(epochs=1)
    jobs = [
        Job(program=build_program(b.graph, task, 16), seed=i % 3) for i, b in enumerate(random_blueprints)
    ]
    with Crucible(engine="persistent", device="cuda") as crucible:
        engine = crucible._engine
        together = [bits(r) for r in engine.train(jobs, task, fingerprints=True)]
        assert [bits(r) for r in engine.train(jobs[::-1], task, fingerprints=True)] == together[::-1]
        for i in range(0, len(jobs), 32):
            (alone,) = engine.train([jobs[i]], task, fingerprints=True)
            assert bits(alone) == together[i]


@pytest.mark.gpu
@needs_cuda
def test_on_a_device_trainings_agree_with_the_reference(random_blueprints: list[Blueprint]) -> None:
    task = Temporal(epochs=1, learning_rate=1e-4)
    jobs = [Job(program=build_program(b.graph, task, 16), seed=1) for b in random_blueprints[:24]]
    engine = PersistentEngine(CudaLauncher(torch.device("cuda")))
    for a, b in zip(ReferenceEngine().train(jobs, task), engine.train(jobs, task), strict=True):
        assert a.loss_first == pytest.approx(b.loss_first, rel=1e-5)
        assert a.loss_last == pytest.approx(b.loss_last, rel=1e-3)


@pytest.mark.gpu
@needs_cuda
def test_on_a_device_deadlines_and_interruptions_end_jobs() -> None:
    task = Temporal(epochs=20_000)
    engine = PersistentEngine(CudaLauncher(torch.device("cuda")), max_seconds=0.2)
    (late,) = engine.train(jobs_of(["TANH"], task), task)
    assert late.status == "timed_out"

    def interrupt(num_new: int) -> None:
        raise KeyboardInterrupt

    engine = PersistentEngine(CudaLauncher(torch.device("cuda")), max_seconds=600)
    with pytest.raises(KeyboardInterrupt):
        engine.train(jobs_of(["TANH", *["GRU GRU GRU GRU"] * 20], task), task, progress=interrupt)
    (after,) = engine.train(jobs_of(["TANH"], replace(task, epochs=1)), replace(task, epochs=1))
    assert after.status == "ok"
