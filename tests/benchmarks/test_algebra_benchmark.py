"""The benchmark of the native engine's algebra as a process: its JSON, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crucible.engines.native.library import find_library

ROOT = Path(__file__).resolve().parents[2]

if find_library() is None:
    pytest.skip("the package was built without a C++ compiler", allow_module_level=True)


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "algebra.py"), *options],
        cwd=ROOT,
        env=dict(os.environ, OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_rows_are_one_a_task_and_language(tmp_path) -> None:
    out = tmp_path / "rows.json"
    done = run("--num", "4", "--rounds", "1", "--workers", "1", "--json", str(out))
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())["rows"]
    found = {(row["task"], row["language"]) for row in rows}
    assert found == {(task, language) for task in ("xor", "temporal") for language in ("core", "whole")}
    for row in rows:
        # A pool before a map may cost a few products of one step, and save what is no product.
        assert -0.01 < row["products_saved"] < 1
        assert row["ratio_range"] == [row["ratio"], row["ratio"]], "there was one round"
        assert row["ratio"] > 0
        assert row["num"] == 4


def test_no_rounds_are_refused() -> None:
    done = run("--rounds", "0")
    assert done.returncode == 2
    assert "--rounds must be at least 1, got 0" in done.stderr
