"""The throughput benchmark as a process: its JSON, what it imports, and what it refuses before measuring."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.preflight import check
from crucible.engines.native.library import find_library

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("crucible_throughput.py", "task_spread.py")

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
    options = ("--num", "2", "--rounds", "1", "--workers", "1", "--json", str(out))
    done = run("-c", LIGHT, script, *options)
    assert done.returncode == 0, done.stderr
    document = json.loads(out.read_text())
    rows = {(row["task"], row["engine"]): row for row in document["rows"]}
    native = ("native",) if find_library() is not None else ()
    engines = ("reference", "loop", "batched", *native)
    assert set(rows) == {(task, engine) for task in ("xor", "temporal") for engine in engines}
    assert len(rows) == len(document["rows"])
    for (task, engine), row in rows.items():
        assert row["blueprints_per_s"] > 0
        ratio = row["blueprints_per_s"] / rows[task, "reference"]["blueprints_per_s"]
        assert row["ratio_to_reference"] == pytest.approx(ratio)
        assert engine != "reference" or row["ratio_to_reference"] == 1
        assert row["num"] == 2
    assert document["machine"]["torch"] == torch.__version__
    assert {"processor", "cores", "device", "num_workers"} <= set(document["machine"])


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("script", SCRIPTS)
def test_cuda_that_is_not_there_is_one_line(script, tmp_path) -> None:
    out = tmp_path / "rows.json"
    done = run(f"benchmarks/{script}", "--device", "cuda", "--json", str(out))
    assert_one_line(done, "no CUDA device")
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
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
