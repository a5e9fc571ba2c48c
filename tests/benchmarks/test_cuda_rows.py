"""What the throughput benchmark needs for CUDA, torch, numpy and networkx alone; its rows train there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from blueprints import parse
from crucible.engines.batched import BatchedEngine
from crucible.engines.kernels import AutogradKernel

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]  # as the scripts in that folder have it

from agreement import compare_gradients  # noqa: E402

#: Refuses every package that neither Python, nor torch with what it requires, nor this checkout brings.
STRICT = """
import pathlib, runpy, sys
ALLOWED = {"torch", "torchgen", "functorch", "numpy", "networkx", "typing_extensions", "sympy", "mpmath",
           "jinja2", "markupsafe", "filelock", "fsspec"}
OURS = {"blueprints", "curricula", "crucible", *(p.stem for p in pathlib.Path("benchmarks").iterdir())}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ALLOWED and top not in OURS and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError("refused here: " + name, name=name)
sys.meta_path.insert(0, Refuse())
del sys.argv[0]
"""
RUN = 'runpy.run_path(sys.argv[0], run_name="__main__")\n'


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
    return subprocess.run(
        [sys.executable, "-c", STRICT + code, *arguments],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=paths),
        capture_output=True,
        text=True,
    )


def test_what_the_rows_need_is_torch_numpy_and_networkx() -> None:
    done = run("import cuda_rows, crucible_throughput\nprint(*cuda_rows.cuda_rows())\n", "-")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["batched", "batched_one_stream", "batched_uncaptured", "persistent"]
    refused = run("import yaml\n", "-")
    assert "refused here: yaml" in refused.stderr


def test_the_benchmark_says_in_one_line_that_there_is_no_device() -> None:
    if torch.cuda.is_available():
        pytest.skip("here is a CUDA device")
    done = run(RUN, "benchmarks/crucible_throughput.py", "--device", "cuda")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: device 'cuda' was asked for, but torch finds no CUDA device here; use 'cpu'"
    ]


def test_the_engines_of_the_cpu_agree_with_the_reference() -> None:
    done = run(RUN, "benchmarks/agreement.py", "--num", "6")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["batched", "xor"], ["batched", "temporal"]]
    assert all(line.endswith("in float32; 0 too far so far") for line in lines)


class Doubled(AutogradKernel):
    """TANH, twice as large."""

    def forward(self, x, parameters, signature):
        return 2 * torch.tanh(x[0])


def test_an_engine_that_computes_something_else_is_found() -> None:
    sample = [parse("LINEAR OUT_DIM_IN TANH".split()), parse(["GELU"])]
    assert compare_gradients(BatchedEngine(), sample) == 0
    assert compare_gradients(BatchedEngine(kernels={"TANH": Doubled()}), sample) == 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")
def test_the_engines_of_a_device_agree_with_the_reference() -> None:
    done = run(RUN, "benchmarks/agreement.py", "--device", "cuda", "--num", "32")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")
def test_every_row_is_measured_on_a_device(tmp_path: Path) -> None:
    out = tmp_path / "throughput.json"
    options = ["--device", "cuda", "--num", "8", "--rounds", "1", "--tasks", "xor", "--json", str(out)]
    done = run(RUN, "benchmarks/crucible_throughput.py", *options)
    assert done.returncode == 0, done.stderr
    rows = [row["engine"] for row in json.loads(out.read_text())["rows"]]
    assert {"reference", "batched", "batched_one_stream", "batched_uncaptured", "persistent"} <= set(rows)
