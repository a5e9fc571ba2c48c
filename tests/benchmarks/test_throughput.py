"""The throughput benchmark as a process: its JSON, what it imports, and what it refuses before measuring."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from blueprints import parse
from crucible.engines.base import Job
from crucible.engines.native.library import find_library
from crucible.engines.reference import ReferenceEngine
from crucible.heads import LOSSES, refusal
from crucible.host import build_host
from crucible.program import build_program
from curricula.heads import HEADS
from curricula.suites import task_named

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]  # as the scripts in that folder have it

from crucible_throughput import columns  # noqa: E402
from gemm_floor import training_gemm_flops  # noqa: E402
from plain_loop import train_plainly  # noqa: E402
from preflight import check  # noqa: E402
from throughput_figure import draw  # noqa: E402

NATIVE = find_library() is not None
LESS_WORK = ("native", "native+algebra", "native+stop", "native+rungs")
#: One column of each kind: as it is, a wider host, the whole language, symbols. All ten take minutes.
TASKS = ("xor", "temporal_d32", "xor_full", "markov_once")
ENGINES = ("reference", "loop", "batched", *(LESS_WORK if NATIVE else ()))

#: Runs a script where every other third-party package than torch, numpy and networkx is missing.
LIGHT = """
import runpy, sys
for name in ("lightning", "hydra", "omegaconf", "yaml", "wandb", "sqlalchemy", "alembic", "rich",
             "matplotlib", "pytest", "hypothesis", "jaxtyping", "beartype", "scipy", "pandas",
             "tamiyo", "architect", "hall_of_fame"):
    sys.modules[name] = None
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=dict(os.environ, OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        check=False,
    )


def assert_one_line(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 1, done.stderr
    assert words in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == "", "nothing was measured"


@pytest.mark.slow
def test_the_rows_are_one_a_task_and_engine_and_need_light_packages_alone(tmp_path) -> None:
    out = tmp_path / "rows.json"
    script = str(ROOT / "benchmarks" / "crucible_throughput.py")
    options = ("--num", "2", "--rounds", "2", "--workers", "1", "--tasks", *TASKS, "--json", str(out))
    done = run("-c", LIGHT, script, *options)
    assert done.returncode == 0, done.stderr
    document = json.loads(out.read_text())
    rows = {(row["task"], row["engine"]): row for row in document["rows"]}
    assert set(rows) == {
        (column.name, engine) for column in columns() if column.name in TASKS for engine in ENGINES
    }
    assert len(rows) == len(document["rows"])
    for row in rows.values():
        assert_figures_agree(row, rows[row["task"], "reference"])
    assert document["machine"]["torch"] == torch.__version__
    assert {"processor", "cores", "device", "num_workers", "instruction_set"} <= set(document["machine"])
    sizes = {(row["task"], row["num"]) for row in document["sweep"]}
    assert sizes == ({(t, n) for t in ("xor", "temporal") for n in (1, 2, 8, 32)} if NATIVE else set())
    for row in document["sweep"]:
        assert row["seconds_per_tflop"] == pytest.approx(row["seconds"] / row["tflops"])
        assert 0 < row["memory_mb"] < 500
    draw(document, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def assert_figures_agree(row: dict, reference: dict) -> None:
    assert len(row["ratios"]) == len(row["seconds_per_blueprint"]) == 2
    for ratio, own, other in zip(
        row["ratios"], row["seconds_per_blueprint"], reference["seconds_per_blueprint"], strict=True
    ):
        assert ratio == pytest.approx(other / own)
    low, high = row["ratio_to_reference_range"]
    assert low <= row["ratio_to_reference"] <= high
    assert row["engine"] != "reference" or row["ratio_to_reference"] == 1
    assert row["blueprints_per_s"] == pytest.approx(1 / statistics.median(row["seconds_per_blueprint"]))
    floors = [row["gemm_mflop"] / 1e3 / peak for peak in row["peaks"]]  # seconds a blueprint, on one core
    shares = [floor / own for floor, own in zip(floors, row["seconds_per_blueprint"], strict=True)]
    assert row["gemm_floor_share"] == pytest.approx(statistics.median(shares))


@pytest.mark.parametrize("name", ["temporal", "markov_once", "graft"])
def test_matrix_products_are_counted_as_torch_counts_them(name) -> None:
    """What torch's own counter sees in one training step of the reference's modules, and in the exams."""
    task = task_named(name)
    splits = task.splits(0)
    for tokens in (
        "LINEAR OUT_DIM_DOUBLE RELU LINEAR OUT_DIM_IN",
        "CONV1D KERNEL_3 CHANNELS_HALF DILATION_2 LINEAR OUT_DIM_IN POOL_LAST LINEAR OUT_DIM_IN",
        "CONV1D KERNEL_3 CHANNELS_HALF DILATION_2 LINEAR OUT_DIM_IN",
        "LINEAR OUT_DIM_IN LOOP_START REPEAT_2 LINEAR OUT_DIM_IN TANH LOOP_END",
    ):
        program = build_program(parse(tokens.split()).graph, task, 16)
        if refusal(program.graph, program.head):
            continue
        module = build_host(program)
        if task.is_graft:
            module.freeze()
        with FlopCounterMode(display=False) as step:
            batch = slice(0, task.batch_size)
            outputs = module(splits.train.inputs[batch])
            LOSSES[program.head.loss].loss(outputs, splits.train.targets[batch]).backward()
        with torch.no_grad(), FlopCounterMode(display=False) as exams:
            for split in list(splits.by_name.values())[1:]:
                module(split.inputs)
        expected = step.get_total_flops() * task.num_steps + exams.get_total_flops()
        assert training_gemm_flops(program, task) == pytest.approx(expected, rel=0.001), tokens


@pytest.mark.parametrize("name", ["xor", "markov_once", "graft"])
def test_the_plain_loop_comes_to_the_references_scores(name) -> None:
    task = task_named(name)
    blueprint = parse("RES_START LINEAR OUT_DIM_IN GELU RES_END".split())
    job = Job(program=build_program(blueprint.graph, task, 16), seed=3)
    [expected] = ReferenceEngine().train([job], task)
    found = train_plainly(job, task, torch.device("cpu"))
    assert found["score"] == pytest.approx(expected.score, abs=0.01)
    assert found["validation_score"] == pytest.approx(expected.validation_score, abs=0.01)
    assert found["loss_first"] == pytest.approx(expected.loss_first, rel=1e-5)
    assert found.get("gain") == (None if name != "graft" else pytest.approx(expected.gain, abs=0.01))


def test_a_column_trains_what_its_task_examines() -> None:
    for column in columns():
        sample = column.sample(64, "random")
        assert len(sample) == 64 // column.share
        assert not [b for b in sample if refusal(b.graph, HEADS[column.task.head])]
    ids = {column.name: [b.id for b in column.sample(64, "random")] for column in columns()}
    assert ids["xor"][:16] == ids["xor_d32"] != ids["xor_full"]
    assert ids["temporal"] == ids["xor"]


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_that_is_not_there_is_one_line(tmp_path) -> None:
    out = tmp_path / "rows.json"
    done = run("benchmarks/crucible_throughput.py", "--device", "cuda", "--json", str(out))
    assert_one_line(done, "no CUDA device")
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("script", ["crucible_throughput.py", "curricula.py"])
def test_a_file_that_cannot_be_written_is_one_line(script, tmp_path) -> None:
    out = tmp_path / "absent" / "rows.json"
    assert_one_line(run(f"benchmarks/{script}", "--json", str(out)), f"{out} cannot be written")


def test_asking_whether_a_file_can_be_written_changes_nothing(tmp_path) -> None:
    check("cpu", None)
    new, old = tmp_path / "new.json", tmp_path / "old.json"
    old.write_text("earlier rows")
    check("cpu", new)
    check("cpu", str(old))
    assert not new.exists()
    assert old.read_text() == "earlier rows"
    with pytest.raises(SystemExit, match="cannot be written: Is a directory"):
        check("cpu", tmp_path)
