"""The benchmark of sandboxes: its candidates run, and its figures are those of what it timed."""

import statistics
import sys
from itertools import chain
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import sandbox as benchmark


def test_figures_are_of_the_rounds_that_count(sandbox):
    report = benchmark.measure(sandbox, benchmark.candidates()[:2], num_rounds=2)
    times = report["seconds_of_rounds"]
    assert [len(row) for row in times["sandboxed"]] == [2, 2]
    assert len(times["fresh"]) == 2
    slow, fast = (statistics.median(seconds) for seconds in (times["fresh"], chain(*times["sandboxed"])))
    assert report["ratio"]["median"] == pytest.approx(slow / fast)
    assert report["sandboxed_ms"]["median"] == pytest.approx(1e3 * fast)
    assert report["fresh_ms"]["median"] == pytest.approx(1e3 * slow)
    assert f"'{sandbox.name}'" in benchmark.sentence(report)
