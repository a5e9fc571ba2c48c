"""The fidelity benchmark: ranks, choices of seeds, held-out losses, replays, and going on after a kill."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fidelity import Batch, Examiner, held_out, missing
from benchmarks.fidelity_plan import DEFAULT, LONG, LOOP_LANGUAGE, OTHERS, QUICK, Setting, cost, draw_sample
from benchmarks.fidelity_scores import choices, exams, probability
from benchmarks.ranks import against, in_order, kendall, resamples, retest, spearman
from benchmarks.reseeding import replay
from benchmarks.trainings import Trainings
from blueprints import parse
from crucible import Crucible
from crucible.engines.native.library import find_library
from curricula.suites import task_named

needs_native = pytest.mark.skipif(find_library() is None, reason="the native engine was not built")
SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "fidelity.py"

#: Four pairs with a tie in each, and their coefficients by hand below.
X = np.array([1.0, 2.0, 2.0, 3.0])
Y = np.array([1.0, 3.0, 2.0, 2.0])


# -- ranks ---------------------------------------------------------------------------------------------------


def test_spearman_by_hand_with_and_without_ties():
    assert spearman(np.arange(5.0), np.array([2.0, 1.0, 4.0, 3.0, 5.0]))[0] == pytest.approx(0.8)
    # Ranks 1, 2.5, 2.5, 4 and 1, 4, 2.5, 2.5: products of deviations 2.25, both squares 4.5.
    assert spearman(X, Y)[0] == pytest.approx(2.25 / 4.5)


def test_kendalls_tau_b_by_hand():
    # Of 6 pairs one is tied in each: 3 agree, 1 disagrees, among 5 untied of either.
    assert kendall(X, Y)[0] == pytest.approx((3 - 1) / 5)


def test_clear_pairs_in_order_by_hand():
    # Of the pairs of Y, 1 lies apart from the other three, and 3 from 2 and 2; X is right on the first three,
    # tied on one and wrong on one of the others.
    assert in_order(X, Y)[0] == pytest.approx((3 + 0.5 + 0) / 5)
    assert in_order(Y, 0.01 * Y).tolist() == pytest.approx([math.nan], nan_ok=True)


def test_the_coefficients_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    for _ in range(20):
        x, y = rng.integers(0, 6, (2, 30)).astype(float)
        assert spearman(x, y)[0] == pytest.approx(stats.spearmanr(x, y).statistic)
        assert kendall(x, y)[0] == pytest.approx(stats.kendalltau(x, y).statistic)


def test_weights_mean_repeats():
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 6, (2, 12)).astype(float)
    weight_RN = resamples(12, 5)
    assert (weight_RN.sum(1) == 12).all()
    for coefficient in (spearman, kendall, in_order):
        repeated = [
            coefficient(np.repeat(x, w.astype(int)), np.repeat(y, w.astype(int)))[0] for w in weight_RN
        ]
        assert coefficient(x, y, weight_RN) == pytest.approx(repeated)


def test_what_does_not_vary_has_no_correlation():
    assert math.isnan(spearman(np.ones(4), Y)[0])
    assert math.isnan(kendall(Y, np.ones(4))[0])


def test_an_interval_holds_the_true_correlation_and_narrows_with_the_sample():
    rng = np.random.default_rng(3)
    widths = []
    for num in (40, 640):
        x = rng.normal(size=num)
        y = 0.8 * x + 0.6 * rng.normal(size=num)
        found = against(x[:, None], y)
        # Spearman's rho of a normal pair with correlation 0.8.
        assert found.low < 6 / math.pi * math.asin(0.4) < found.high
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths[1] < 0.5 * widths[0]


def test_a_retest_averages_over_pairs():
    up, down = np.arange(6.0), np.arange(6.0)[::-1]
    assert retest([(up, up), (up, down)]).value == pytest.approx(0.0)


def test_choices_of_seeds_share_none_with_their_partners():
    score_NS = np.tile(2.0 ** np.arange(8), (3, 1))  # sums tell which seeds are in them
    column_NC, pairs = choices(score_NS, 3)
    assert column_NC.shape == (3, len(pairs))
    for one, other in pairs:
        assert bin(round(3 * one[0])).count("1") == 3
        assert round(3 * one[0]) & round(3 * other[0]) == 0
    assert choices(score_NS, 5)[1] == []


# -- trainings -----------------------------------------------------------------------------------------------


def test_samples_are_frozen_and_grow_at_their_end():
    for kind in ("random", "humans"):
        assert [b.id for b in draw_sample(kind, 4)] == [b.id for b in draw_sample(kind, 9)][:4]
    assert not {b.id for b in draw_sample("random", 9)} & {b.id for b in draw_sample("humans", 9)}


def test_a_shorter_training_is_the_beginning_of_a_longer_one():
    temporal = task_named("temporal")
    assert Setting(steps=0.5).of(temporal).num_steps == temporal.num_steps / 2
    assert LONG[0].of(temporal).num_steps == 5 * temporal.num_steps
    assert cost(DEFAULT, temporal) == 1.0
    assert 0.5 < cost(Setting(steps=0.5), temporal) < 0.55
    assert cost(DEFAULT, temporal, share=0.5) == cost(Setting(steps=0.5), temporal)
    assert cost(Setting(width=32), temporal) > 2


@needs_native
@pytest.mark.parametrize("task", ["xor", "temporal"])
def test_a_line_holds_what_the_crucible_and_the_readout_say(task):
    blueprints = (parse("RES_START LINEAR OUT_DIM_IN GELU RES_END".split()), *draw_sample("random", 3))
    setting = Setting(steps=0.25)
    batch = Batch(sample="random", task=task, setting=setting, seed=5, blueprints=blueprints)
    examiner = Examiner(1)
    lines, results = examiner.train(batch), examiner.results(batch)
    with Crucible(engine="native", num_workers=1, language=LOOP_LANGUAGE) as crucible:
        expected = crucible.evaluate(blueprints, [setting.of(task_named(task))], [5])
    targets = task_named(task).splits(5).test.targets
    for line, result, evaluation in zip(lines, results, expected, strict=True):
        assert line["score"] == pytest.approx(evaluation.results[0].score, abs=1e-6)
        assert line["loss_last"] == pytest.approx(evaluation.results[0].loss_last, abs=1e-6)
        assert result.fingerprint.shape == (len(targets), 2)
        assert (result.fingerprint.argmax(1) == targets.numpy()).mean() == pytest.approx(line["score"])


def test_held_out_loss_by_hand():
    logits = np.array([[0.0, math.log(3.0)], [math.log(4.0), 0.0]])
    found = held_out(logits, np.array([1, 1]))
    assert found["probability"] == pytest.approx((0.75 + 0.2) / 2)
    assert found["test_loss"] == pytest.approx(-(math.log(0.75) + math.log(0.2)) / 2)
    assert held_out(None, np.array([1, 1]))["probability"] == 0.0


def test_a_line_cut_short_is_dropped_and_another_engine_is_refused(tmp_path):
    path = tmp_path / "trainings.jsonl"
    trainings = Trainings(path)
    trainings.begin({"engine_id": "one"})
    names = ("sample", "task", "setting", "seed", "blueprint")
    row = dict(zip(names, ("random", "xor", DEFAULT.name, 0, "abc"), strict=True))
    trainings.add([row])
    path.write_text(path.read_text() + '{"sample": "ran')
    again = Trainings(path)
    assert again.rows == [row]
    assert again.known == {("random", "xor", DEFAULT.name, 0, "abc")}
    with pytest.raises(SystemExit, match=r"made by .*one.* name another --dir"):
        again.begin({"engine_id": "two"})
    again.begin({"engine_id": "one"})
    again.add([row])
    assert Trainings(path).rows == [row, row]


def test_what_is_missing_is_every_setting_and_seed_once(tmp_path):
    trainings = Trainings(tmp_path / "trainings.jsonl")
    batches = list(missing(trainings, 3, ["random"], ["xor"]))
    keys = [batch.key(b) for batch in batches for b in batch.blueprints]
    assert len(keys) == len(set(keys)) == 3 * sum(len(s.seeds) for s in (*QUICK, *LONG, *OTHERS))
    trainings.known |= set(keys[:-2])
    rest = [batch.key(b) for batch in missing(trainings, 3, ["random"], ["xor"]) for b in batch.blueprints]
    assert rest == keys[-2:]
    trainings.known |= set(rest)
    assert not list(missing(trainings, 3, ["random"], ["xor"]))


@needs_native
@pytest.mark.slow
def test_a_killed_benchmark_goes_on_to_the_same_lines_and_reports(tmp_path):
    def command(folder: Path, *more: str) -> list[str]:
        arguments = ["--num", "3", "--samples", "random", "--tasks", "xor", "--workers", "1"]
        return [sys.executable, str(SCRIPT), "--dir", str(folder), *arguments, *more]

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = subprocess.run(command(whole), env=environment, capture_output=True, text=True, check=True)
    process = subprocess.Popen(command(killed), env=environment, stdout=subprocess.DEVNULL)
    path = killed / "trainings.jsonl"
    while not path.exists() or path.read_text().count("\n") < 30:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.read_text().count("\n") < len((whole / "trainings.jsonl").read_text().splitlines())
    again = subprocess.run(command(killed), env=environment, capture_output=True, text=True, check=True)
    assert Trainings(path).rows == Trainings(whole / "trainings.jsonl").rows
    assert again.stdout[again.stdout.index("# random") :].replace(str(killed), "") == done.stdout[
        done.stdout.index("# random") :
    ].replace(str(whole), "")
    document = json.loads((killed / "fidelity.json").read_text())
    assert document["samples"]["random"]["default"]["xor"]["num"] == 3
    assert document["engine_id"].startswith("native-")
    assert (killed / "fidelity.png").stat().st_size > 10_000
    [exam] = exams(Trainings(path).rows, ["random"], ["xor"])
    assert exam.quick().shape == exam.quick(definition=probability).shape == (3, 8)
    assert exam.long().shape == (3,)


# -- fresh seeds ---------------------------------------------------------------------------------------------


def test_fresh_seeds_shrink_what_the_best_are_told_above_their_worth():
    rng = np.random.default_rng(4)
    worth_N = rng.normal(size=200)
    rows = {
        (row.num_seeds, row.share, row.num_fresh): row
        for row in replay(worth_N[:, None] + rng.normal(size=(200, 8)), worth_N)
    }
    nobody, few, more, many, all_ = (
        rows[key] for key in ((1, 0.0, 0), (1, 0.05, 3), (1, 0.2, 1), (1, 0.2, 3), (4, 0.0, 0))
    )
    assert (nobody.cost, all_.cost) == (1.0, 4.0)
    assert many.cost == pytest.approx(1.6)
    assert nobody.excess > 0.8
    assert few.excess < 0.8 * nobody.excess
    assert many.excess < 0.5 * nobody.excess
    assert all_.excess < 0.5 * nobody.excess
    assert many.top_worth > more.top_worth > nobody.top_worth
    assert many.top_rank > nobody.top_rank > 0
    assert all_.rank > 1.1 * nobody.rank


def test_without_noise_nobody_is_told_too_much():
    worth_N = np.linspace(0.0, 1.0, 50)
    for row in replay(np.tile(worth_N[:, None], (1, 8)), worth_N):
        assert abs(row.excess) < 1e-12
        assert row.first_worth == 1.0
        assert row.rank == pytest.approx(1.0)
