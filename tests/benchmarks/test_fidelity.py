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

from benchmarks import fidelity_plan
from benchmarks.curricula import setting_of
from benchmarks.fidelity import Batch, Examiner, held_out, missing, up_to_date
from benchmarks.fidelity_plan import (
    DEFAULT,
    LONG,
    LOOP_LANGUAGE,
    OTHERS,
    QUICK,
    Setting,
    cost,
    counted,
    draw_sample,
    is_once,
    tasks_of,
)
from benchmarks.fidelity_report import equal_cost, settings
from benchmarks.fidelity_scores import (
    DEFINITIONS,
    PROBABILITY,
    Exam,
    View,
    chance_loss,
    choices,
    exams,
    normalised,
)
from benchmarks.ranks import against, beyond, in_order, kendall, resamples, retest, spearman
from benchmarks.reseeding import replay
from benchmarks.trainings import Trainings
from blueprints import HUMAN_BLUEPRINTS, parse
from crucible import Crucible
from crucible.engines.native.library import find_library
from crucible.reward import task_term
from curricula.heads import HEADS
from curricula.markov import Markov
from curricula.suites import SUITES, TASKS, task_named

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


def test_how_far_one_score_is_beyond_another_is_known_better_than_either():
    rng = np.random.default_rng(5)
    truth = rng.normal(size=100)
    rough = truth + rng.normal(size=100)
    fine = truth + 0.9 * (rough - truth)
    apart = [against(score[:, None], truth) for score in (fine, rough)]
    found = beyond(fine[:, None], rough[:, None], truth)
    assert found.value == pytest.approx(apart[0].value - apart[1].value)
    assert 0 < found.low < found.value < found.high
    assert found.high - found.low < 0.5 * (apart[1].high - apart[1].low)
    assert beyond(rough[:, None], rough[:, None], truth).high == 0


def test_too_few_blueprints_have_no_correlation():
    for num in (0, 2):
        found = against(np.zeros((num, 1)), np.zeros(num))
        assert math.isnan(found.value)
        assert math.isnan(found.low)
        assert found.num == num


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


def test_people_come_before_mutations_and_what_a_task_refuses_is_left_out():
    designs = {parse(human.tokens).id for human in HUMAN_BLUEPRINTS}
    known = [b.id in designs for b in draw_sample("humans", 200)]
    assert all(known[:100])
    assert not all(known)
    for suite in SUITES:
        sample = draw_sample("random", 20, tasks_of(suite))
        assert len(sample) == 20
        assert all(b.graph.type.causal for b in sample) == (suite in ("predictive", "graft"))


def test_a_gate_is_in_no_mean():
    assert tasks_of("classic") == ("xor", "temporal")
    assert counted("xor") == {"xor": 1.0}
    assert counted("classic") == {"temporal": 1.0}
    assert counted("predictive") == {"markov_once": 1.0}
    assert counted("graft") == {"graft": 1.0}


def test_a_shorter_training_is_the_beginning_of_a_longer_one():
    temporal = task_named("temporal")
    assert Setting(steps=0.5).of(temporal).num_steps == temporal.num_steps / 2
    assert LONG[0].of(temporal).num_steps == 5 * temporal.num_steps
    assert cost(DEFAULT, temporal) == 1.0
    assert 0.5 < cost(Setting(steps=0.5), temporal) < 0.55
    assert cost(DEFAULT, temporal, share=0.5) == cost(Setting(steps=0.5), temporal)
    assert cost(Setting(width=32), temporal) > 2


def test_a_longer_training_that_repeats_nothing_sees_more_of_the_same_language():
    once = task_named("markov_once")
    assert isinstance(once, Markov)
    assert is_once(once)
    for setting in (*QUICK, *OTHERS, *LONG):
        of = setting.of(once)
        assert isinstance(of, Markov)
        assert of.epochs == 1
        assert of.num_steps == pytest.approx(setting.steps * once.num_steps, abs=1)
        assert of.learning_rate == setting.rate * once.learning_rate
    long = LONG[0].of(once)
    assert isinstance(long, Markov)
    assert np.array_equal(long.table(3), once.table(3))
    splits = long.splits(100)
    streams = np.concatenate([split.inputs.numpy() for split in splits.by_name.values()])
    assert len(np.unique(streams, axis=0)) == len(streams) > 5 * once.num_train


def test_the_cost_of_a_grafts_exams_has_the_old_question_in_it():
    graft = task_named("graft")
    streams = 3 * graft.num_train * graft.epochs + graft.num_validation + 2 * graft.num_test
    more = streams + 3 * graft.num_train * graft.epochs
    assert cost(Setting(steps=2.0), graft) == pytest.approx(more / streams)


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
    assert {line["knobs"] for line in lines} == {setting_of(task_named(task))}
    for line, result, evaluation in zip(lines, results, expected, strict=True):
        assert line["score"] == pytest.approx(evaluation.results[0].score, abs=1e-6)
        assert line["loss_last"] == pytest.approx(evaluation.results[0].loss_last, abs=1e-6)
        assert result.fingerprint.shape == (len(targets), 2)
        assert (result.fingerprint.argmax(1) == targets.numpy()).mean() == pytest.approx(line["score"])


@needs_native
@pytest.mark.parametrize("task", ["markov_once", "graft"])
def test_a_line_of_an_exam_without_classes_holds_what_the_crucible_says(task):
    blueprints = draw_sample("humans", 3, (task,))
    examiner = Examiner(1)
    setting = Setting(steps=0.25)
    batch = Batch(sample="humans", task=task, setting=setting, seed=5, blueprints=blueprints)
    lines = examiner.train(batch)
    with Crucible(engine="native", num_workers=1, language=LOOP_LANGUAGE) as crucible:
        expected = crucible.evaluate(blueprints, [setting.of(task_named(task))], [5])
    for line, evaluation in zip(lines, expected, strict=True):
        result = evaluation.results[0]
        assert line["score"] == pytest.approx(result.score, abs=1e-6)
        assert line["gain"] == (None if task != "graft" else pytest.approx(result.gain, abs=1e-6))
        assert line["parameters"] == evaluation.num_parameters
        assert "test_loss" not in line


def test_a_score_is_normalised_as_its_task_says_and_no_number_is_worth_nothing():
    found = normalised(task_named("order"), np.array([0.25, 0.625, 1.0, 0.1, math.nan]))
    assert found.tolist() == [0.0, 0.5, 1.0, 0.0, 0.0]
    assert normalised(task_named("graft"), np.array([0.3])).tolist() == [0.3]


def test_the_loss_of_the_best_constant_answer_is_that_of_the_head():
    assert chance_loss(task_named("xor"), 0) == pytest.approx(math.log(2), rel=0.02)
    assert chance_loss(task_named("order"), 0) == pytest.approx(math.log(4), rel=0.02)
    markov = task_named("markov_once")
    counts = np.bincount(markov.splits(3).train.targets.flatten().numpy())
    shares = counts / counts.sum()
    assert chance_loss(markov, 3) == pytest.approx(-(shares * np.log(shares)).sum())
    targets = task_named("graft").splits(3).train.targets.numpy()
    assert chance_loss(task_named("graft"), 3) == pytest.approx(np.nanvar(targets), rel=1e-5)


def test_what_makes_no_sense_of_a_task_is_left_out_with_a_reason():
    def misfits(task: str) -> dict[str, str]:
        exam = Exam(task, (View(task, (), {}),), (1.0,))
        return {name: exam.misfit(name) for name in DEFINITIONS if exam.misfit(name)}

    assert set(misfits("temporal")) == {"gain, harm forgiven"}
    assert misfits("markov_once")[PROBABILITY] == "the score is a held-out loss already"
    assert "score along the way" in misfits("markov_once")
    assert "gain, harm forgiven" not in misfits("graft")
    assert misfits("parity")[PROBABILITY] == "readouts of every step are not kept"
    both = Exam("both", tuple(View(task, (), {}) for task in ("xor", "graft")), (1.0, 1.0))
    assert both.misfit("gain, harm forgiven")
    assert both.misfit(PROBABILITY)
    for task in TASKS.values():  # what tells classes alone has a class of every example
        is_pooled = not HEADS[task.head].is_per_step and HEADS[task.head].loss == "cross_entropy"
        assert (PROBABILITY in misfits(task.name)) != is_pooled


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


def lines_of(batches) -> list[dict]:
    names = ("sample", "task", "setting", "seed", "blueprint")
    return [
        {**dict(zip(names, batch.key(b), strict=True)), "knobs": setting_of(task_named(batch.task))}
        for batch in batches
        for b in batch.blueprints
    ]


@pytest.fixture
def invented_suites(monkeypatch):
    """Two suites with two tasks in their mean, one of them in both; the named ones have one each."""
    suites = {"heavy": {"xor": 3.0, "graft": 1.0}, "light": {"xor": 1.0, "markov_once": 1.0}}
    monkeypatch.setattr(fidelity_plan, "suite_named", suites.__getitem__)


def test_what_is_missing_is_every_setting_and_seed_once(invented_suites):
    sizes = {"heavy": 3, "light": 2}
    rows = lines_of(missing([], sizes, ["random"]))
    keys = {tuple(row.values()) for row in rows}
    num_runs = sum(len(setting.seeds) for setting in (*QUICK, *LONG, *OTHERS))
    assert len(keys) == len(rows) == (3 + 3 + 2) * num_runs
    assert lines_of(missing(rows[:-2], sizes, ["random"])) == rows[-2:]
    assert not list(missing(rows, sizes, ["random"]))
    more = lines_of(missing(rows, {"light": 3}, ["random"]))
    assert {(row["task"], row["blueprint"]) for row in more} == {("markov_once", rows[2]["blueprint"])}


def test_lines_of_a_task_that_was_changed_are_trained_anew():
    rows = lines_of(missing([], {"predictive": 2}, ["random"]))
    changed = [row | {"knobs": "of another time"} for row in rows]
    assert up_to_date([*rows, *changed]) == rows
    assert lines_of(missing(changed, {"predictive": 2}, ["random"])) == rows


def drawn_rows(num: int, tasks: tuple[str, ...]) -> list[dict]:
    """Lines of `num` blueprints whose scores are their worth and noise, smaller in longer trainings."""
    rng = np.random.default_rng(6)
    rows = []
    for task in tasks:
        worth_N = rng.uniform(size=num)
        for setting in (*QUICK, *LONG, *OTHERS):
            for seed in setting.seeds:
                for i, worth in enumerate(worth_N):
                    score = float(np.clip(worth + 0.2 * rng.normal() / setting.steps, 0, 1))
                    numbers = dict.fromkeys(("loss_first", "loss_last", "test_loss"), 1 - score)
                    rows.append(
                        {
                            **{"sample": "random", "task": task, "setting": setting.name, "seed": seed},
                            **{
                                "blueprint": f"b{i}",
                                "status": "ok",
                                "score": score,
                                "gain": score,
                                **numbers,
                            },
                            **{"validation_score": score, "probability": score, "solved_step": None},
                            **{
                                "num_steps": 100,
                                "num_steps_taken": task_named(task).num_steps * setting.steps,
                            },
                        }
                    )
    return rows


def test_settings_are_compared_with_as_many_default_seeds_as_they_cost():
    exam, _ = exams(drawn_rows(24, ("xor", "markov_once")), ["random"], "predictive")
    rows = list(settings(exam))
    assert {row["score"] for row in rows} == {name for name in DEFINITIONS if not exam.misfit(name)}
    by_key = {(row["setting"], row["score"], row["seeds"]): row for row in rows}
    assert len(by_key) == len(rows)
    default, twice = (by_key[Setting(steps=s).name, "test score", "1"] for s in (1.0, 2.0))
    two = by_key[DEFAULT.name, "test score", "2"]
    assert (default["as_dear"], twice["as_dear"], two["cost"]) == (None, 2, 2.0)
    assert twice["beyond"].value == pytest.approx(twice["spearman"].value - two["spearman"].value)
    assert twice["beyond"].value > 0
    assert by_key[Setting(steps=0.5).name, "test score", "1"]["beyond"] is None  # half as dear as one seed
    found = equal_cost(rows)
    assert [row["seeds"] for row in found] == ["1", "2", "4", "8"]
    assert found[1]["rival"]["beyond"].value >= twice["beyond"].value


def test_a_suites_exam_is_the_weighted_mean_over_blueprints_that_are_complete_on_all_its_tasks(
    invented_suites,
):
    rows = drawn_rows(5, ("xor", "graft"))
    rows = [row for row in rows if (row["task"], row["blueprint"]) != ("graft", "b2")]
    found = exams(rows, ["random"], "heavy")
    assert [exam.name for exam in found] == ["xor", "graft", "xor+graft"]
    assert [len(exam.long()) for exam in found] == [4, 4, 4]
    assert found[2].quick() == pytest.approx(0.75 * found[0].quick() + 0.25 * found[1].quick())
    assert found[2].long() == pytest.approx(0.75 * found[0].long() + 0.25 * found[1].long())


def test_a_suites_exam_is_the_task_term_of_its_reward():
    rows = drawn_rows(6, ("xor", "graft"))
    graft, whole = exams(rows, ["random"], "graft")
    assert (graft.name, whole.name) == ("graft", "xor+graft")
    xor = Exam("xor", whole.gates, (1.0,))
    tasks, weights = (task_named("xor"), task_named("graft")), SUITES["graft"]
    for found, gate, ranked in (
        (whole.quick()[:, 3], xor.quick()[:, 3], graft.quick()[:, 3]),
        (whole.long(), xor.long(), graft.long()),
    ):
        expected = [
            task_term(dict(zip(tasks, pair, strict=True)), weights) for pair in zip(gate, ranked, strict=True)
        ]
        assert found.tolist() == pytest.approx(expected)
        assert found.tolist() != pytest.approx(ranked.tolist())
    assert whole.misfit("gain, harm forgiven") == "", "a gate is judged by its score in any case"


@needs_native
@pytest.mark.slow
def test_a_killed_benchmark_goes_on_to_the_same_lines_and_reports(tmp_path):
    suite = "predictive"

    def command(folder: Path, *more: str) -> list[str]:
        arguments = ["--num", "3", "--samples", "random", "--suite", suite, "--workers", "1"]
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
    title = f"# {suite}\n"
    assert again.stdout[again.stdout.index(title) :].replace(str(killed), "") == done.stdout[
        done.stdout.index(title) :
    ].replace(str(whole), "")
    document = json.loads((killed / "fidelity.json").read_text())
    figures = document["suites"][suite]
    assert figures["exam"] == "xor+markov_once"
    assert PROBABILITY in figures["left_out"]
    assert figures["samples"]["random"]["default"]["markov_once"]["num"] == 3
    assert document["engine_id"].startswith("native-")
    assert (killed / "fidelity.png").stat().st_size > 10_000
    exam = exams(Trainings(path).rows, ["random"], suite)[-1]
    assert exam.quick().shape == (3, 8)
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
