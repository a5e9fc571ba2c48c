"""The benchmark of less work as a process, with torch, numpy and networkx alone, and its figures by hand."""

import json
import os
import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path

import numpy as np
import pytest
from test_throughput import LIGHT

from benchmarks.less_work import ANOTHER_SEED, compare, parse_rungs
from crucible.effort import RUNGS, STOP, Rung
from crucible.engines.native.library import find_library
from crucible.evaluation import TaskResult
from curricula.xor import Xor

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(find_library() is None, reason="the package was built without a C++ compiler")
def test_it_runs_on_the_packages_of_the_crucible_alone_and_writes_a_row_an_effort(tmp_path: Path) -> None:
    path = tmp_path / "less.json"
    command = [sys.executable, "-c", LIGHT, "benchmarks/less_work.py", "--num", "12", "--seeds", "2"]
    command += [
        "--tasks",
        "xor",
        "--stop",
        "0.5",
        "--rungs",
        "0.25:0.5",
        "--workers",
        "1",
        "--json",
        str(path),
    ]
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = {row["effort"]: row for row in json.loads(path.read_text())["rows"]}
    both = f"{STOP.id}{RUNGS.id}".strip("/")
    stop, rungs = STOP.id.strip("/"), RUNGS.id.strip("/")
    assert set(rows) == {"full", ANOTHER_SEED, "stop-0.5", stop, "rungs-0.25:0.5", rungs, both}
    assert rows["full"]["flops_left"] == rows["full"]["spearman"] == rows[ANOTHER_SEED]["flops_left"] == 1
    assert rows["rungs-0.25:0.5"]["steps_left"] == pytest.approx(0.625)
    assert rows[both]["flops_left"] < min(rows[stop]["flops_left"], rows[rungs]["flops_left"])
    assert rows[stop]["flops_left"] < rows["stop-0.5"]["flops_left"] < 1
    assert all(row["throughput_ratio"] > 0 for row in rows.values())


def test_figures_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.less_work.TOP", 1)

    def results(*pairs: tuple[float, int]) -> list[TaskResult]:
        return [TaskResult(task="xor", seed=0, score=score, num_steps=steps) for score, steps in pairs]

    full = results((1.0, 100), (0.8, 100), (0.6, 100), (0.5, 100))
    less = results((0.7, 10), (0.9, 100), (0.6, 50), (0.5, 100))
    dropped, costs = np.array([True, False, False, False]), np.array([6.0, 2.0, 1.0, 1.0])
    figures = compare(less, full, dropped, Xor(), costs)
    assert figures == {
        "flops_left": pytest.approx((0.6 + 2 + 0.5 + 1) / 10),
        "steps_left": pytest.approx(0.65),
        "score": pytest.approx(0.675),
        "score_difference": pytest.approx(-0.05),
        "spearman": pytest.approx(0.8),
        "solved_share": 0.25,
        "top_kept": 0.0,
        "top_regret": pytest.approx(0.2),
    }


def test_schedules_are_read_and_bad_ones_are_refused() -> None:
    assert parse_rungs("0.36:0.5,0.5:0.25") == RUNGS.rungs
    assert parse_rungs("0.5:0.1") == (Rung(steps=0.5, kept=0.1),)
    for text in ("", "0.5", "0.5:2", "a:b"):
        with pytest.raises(ArgumentTypeError):
            parse_rungs(text)
