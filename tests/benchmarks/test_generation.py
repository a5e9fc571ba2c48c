"""Shares of a generation's time: what a small real run writes, added up."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests" / "tamiyo")]

from generation import PHASES, shares  # noqa: E402
from runs_of_tests import SMALL  # noqa: E402


def test_every_second_is_claimed_by_a_phase_or_by_the_rest() -> None:
    row = {f"{phase}_s": 1.0 for phase in PHASES}
    found = shares([{**row, "generation_s": 7.5, "commit_s": 1.0}])
    assert found["seconds"] == 8.5
    assert found["phase_seconds"]["rest"] == pytest.approx(0.5)
    assert found["shares"]["evaluate"] == pytest.approx(1 / 8.5)
    assert sum(found["shares"].values()) == pytest.approx(1)


@pytest.mark.slow
def test_a_small_run_is_measured_from_its_first_generation_to_its_last(tmp_path) -> None:
    out = tmp_path / "generation.json"
    command = [sys.executable, "benchmarks/generation.py", "--json", str(out), "--", *SMALL]
    subprocess.run([*command, "budget.generations=2"], cwd=ROOT, check=True, capture_output=True)
    (stage,) = json.loads(out.read_text())["stages"].values()
    assert stage["generations"] == 2
    assert set(stage["shares"]) == {*PHASES, "rest"}
    assert sum(stage["shares"].values()) == pytest.approx(1)
    assert stage["phase_seconds"]["evaluate"] > 0
