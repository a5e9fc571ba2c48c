"""The latency benchmark: its sample, its figures by hand, its document and picture, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_throughput import LIGHT

from benchmarks.latency import Measured, Sizes, compare, draw_sample, main, measure, pareto_front, rows
from benchmarks.latency_figure import draw
from blueprints import flops

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = str(ROOT / "benchmarks" / "latency.py")
SIZES = Sizes()


@pytest.fixture(scope="module")
def sample():
    return draw_sample(16, SIZES)


def measured(us: np.ndarray, noise: np.ndarray) -> Measured:
    """Return six rounds of these latencies beside a reference of 2 us; the noise multiplies the odd ones."""
    ratio = np.array([us * (noise if r % 2 else 1.0) / 2.0 for r in range(6)])
    return Measured(ratio * 2.0, ratio * 0.1, ratio, 2.0)


def test_the_sample_is_one_blueprint_a_stratum_of_flops_and_always_the_same(sample) -> None:
    costs = [flops(blueprint.graph, SIZES.width, SIZES.time) for blueprint in sample]
    assert costs == sorted(costs)
    assert len({blueprint.id for blueprint in sample}) == 16
    assert costs[-1] > 100 * costs[2]
    assert [b.id for b in draw_sample(16, SIZES)] == [b.id for b in sample]
    assert any("SCAN_START" in b.tokens or "LOOP_START" in b.tokens for b in sample), "the whole language"


def test_a_prediction_in_the_right_order_correlates_fully_and_one_upside_down_fully_against(sample) -> None:
    us = np.geomspace(10, 1000, 16)
    right = compare(sample, SIZES, us**1.5, measured(us, np.ones(16)))
    assert right["all"]["spearman"]["value"] == pytest.approx(1.0)
    assert right["all"]["kendall"]["value"] == pytest.approx(1.0)
    assert right["all"]["ceiling"]["value"] == pytest.approx(1.0)
    assert [part["num"] for part in right["quarters"]] == [4, 4, 4, 4]
    assert all(part["spearman"]["value"] == pytest.approx(1.0) for part in right["quarters"])
    wrong = compare(sample, SIZES, us[::-1], measured(us, np.ones(16)))
    assert wrong["all"]["spearman"]["value"] == pytest.approx(-1.0)


def test_bias_and_factor_are_those_of_the_ratios(sample) -> None:
    us = np.geomspace(10, 1000, 16)
    off = np.where(np.arange(16) % 2, 2.0, 0.5)  # logarithms +- log 2: their deviation is log 2
    found = compare(sample, SIZES, 3 * us * off, measured(us, np.ones(16)))["all"]
    assert found["factor"] == pytest.approx(2.0)
    assert found["predicted_over_measured"] == pytest.approx((1.5 + 6.0) / 2)


def test_the_ceiling_compares_rounds_that_share_nothing(sample) -> None:
    us, noise = np.geomspace(10, 20, 16), np.exp(np.random.default_rng(0).normal(size=16))
    found = compare(sample, SIZES, us, measured(us, noise))
    assert found["all"]["ceiling"]["value"] < 0.8
    once = found["one_round_with_the_next"]
    assert once["paired"]["value"] == pytest.approx(found["all"]["ceiling"]["value"])


def test_the_front_holds_what_nothing_dominates() -> None:
    assert pareto_front([(1, 5, -1), (2, 4, -1), (2, 5, -1), (3, 3, -2), (1, 5, -1)]) == {0, 1, 3, 4}


def test_each_round_measures_each_blueprint_once(sample) -> None:
    found = measure(sample[:3], SIZES, "cpu", rounds=2)
    assert found.ratio.shape == found.median_us.shape == found.spread_us.shape == (2, 3)
    assert (found.ratio > 0).all()
    assert found.us() == pytest.approx(np.median(found.ratio, axis=0) * found.reference_us)


def test_the_document_draws_a_picture(sample, tmp_path) -> None:
    us = np.geomspace(10, 1000, 16)
    observed = measured(us, np.ones(16))
    document = compare(sample, SIZES, us, observed)
    document["rows"] = rows(sample, SIZES, us, observed, [i / 16 for i in range(16)])
    assert [row["measured_us"] for row in document["rows"]] == pytest.approx(list(us))
    assert document["rows"][0]["on_front"]
    draw(document, tmp_path / "latency.png")
    assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_command_needs_light_packages_alone_and_writes_its_document(tmp_path) -> None:
    out = tmp_path / "latency.json"
    options = ("--num", "8", "--rounds", "2", "--width", "32", "--time", "4", "--json", str(out))
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, SCRIPT, *options],
        cwd=ROOT,
        env=dict(os.environ, OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(out.read_text())
    assert document["all"]["num"] == len(document["rows"]) == 8
    assert document["machine"]["torch"]
    assert document["sizes"] == {"width": 32, "time": 4, "batch_size": 32}
    assert all(row["measured_us"] > 0 and row["predicted_us"] > 0 for row in document["rows"])
    assert "Pareto front" in done.stdout


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("--num", "7", "at least 8"),
        ("--rounds", "1", "at least 2"),
        ("--width", "0", "at least 16"),
        ("--width", "24", "a multiple of 16"),
        ("--time", "0", "at least 1"),
    ],
)
def test_sizes_that_mean_nothing_are_refused_before_measuring(
    monkeypatch, capsys, name: str, value: str, words: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["latency.py", name, value])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert f"{name} must be {words}, got {value}" in capsys.readouterr().err
