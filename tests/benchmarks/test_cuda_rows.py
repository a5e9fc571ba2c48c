"""What the throughput benchmark needs for CUDA, torch, numpy and networkx alone; its rows train there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]

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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")
def test_every_row_is_measured_on_a_device(tmp_path: Path) -> None:
    out = tmp_path / "throughput.json"
    options = ["--device", "cuda", "--num", "8", "--rounds", "1", "--tasks", "xor", "--json", str(out)]
    done = run(RUN, "benchmarks/crucible_throughput.py", *options)
    assert done.returncode == 0, done.stderr
    rows = [row["engine"] for row in json.loads(out.read_text())["rows"]]
    assert {"reference", "batched", "batched_one_stream", "batched_uncaptured", "persistent"} <= set(rows)
