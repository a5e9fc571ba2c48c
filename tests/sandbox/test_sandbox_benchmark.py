"""The benchmark of sandboxes: its candidates run, and its figures are those of what it timed."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import sandbox as benchmark


def test_figures_are_of_the_rounds_that_count(sandbox):
    report = benchmark.measure(sandbox, benchmark.candidates()[:2], num_rounds=2)
    times = report["seconds_of_rounds"]
    assert [len(row) for row in times["sandboxed"]] == [2, 2]
    assert len(times["fresh"]) == 2
    assert report["ratio"]["median"] > 1  # a fresh process imports torch, whatever else the machine does
    assert f"'{sandbox.name}'" in benchmark.sentence(report)
