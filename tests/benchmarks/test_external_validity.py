"""What the suite says of published cells against what training them said: reading, ranks, whole runs."""

import csv
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import external_validity, select_suite
from benchmarks.cells import CellError
from benchmarks.external_validity import precision, reliability, task_terms
from benchmarks.select_suite import Trainings, best, choices, cross_validated, missing, places
from benchmarks.specimens import collect, meaning
from crucible.engines.native.library import find_library
from curricula.suites import PREDICTIVE_SEEDS, SUITES, task_named

needs_native = pytest.mark.skipif(find_library() is None, reason="the native engine was not built")

MEMORYLESS = {"h_new_0": {"op": "linear", "input": ["x"]}}
ELMAN = {
    "a": {"op": "linear", "input": ["x", "h_prev_0"]},
    "h_new_0": {"op": "activation_tanh", "input": ["a"]},
}
#: The same with its inputs in another order, other names, and a node that nothing reads.
ELMAN_AGAIN = {
    "dead": {"op": "linear", "input": ["x"]},
    "h_new_0": {"op": "activation_tanh", "input": ["b"]},
    "b": {"op": "linear", "input": ["h_prev_0", "x"]},
}
SLOW = {
    "a": {"op": "linear", "input": ["x", "h_prev_0"]},
    "h_new_0": {"op": "activation_sigm", "input": ["a"]},
}
EXPLODING = {
    "h_new_0": {"op": "elementwise_sum", "input": ["a", "a"]},
    "a": {"op": "elementwise_prod", "input": ["b", "b"]},
    "b": {"op": "linear", "input": ["x", "h_prev_0"]},
}


def write(path: Path, *rows: tuple[dict, str]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["recipe_json", "num_params", "best_val_loss"])
        for number, (recipe, loss) in enumerate(rows):
            writer.writerow([json.dumps(recipe), 1000 + number, loss])
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a benchmark's main function with options, and return what it prints."""

    def run(module, *options: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, options)])
        assert module.main() == 0
        return capsys.readouterr().out

    return run


# -- reading -------------------------------------------------------------------------------------------------


def test_equal_cells_are_one_with_both_losses(tmp_path):
    cells = write(tmp_path / "cells.csv", (ELMAN, "5.0"), (MEMORYLESS, "6.5"), (ELMAN_AGAIN, "5.5"))
    collection = collect(cells)
    assert [specimen.losses for specimen in collection.specimens] == [(5.0, 5.5), (6.5,)]
    assert collection.specimens[0].loss == 5.25
    assert collection.num_rows == 3


def test_names_and_order_do_not_make_a_cell_but_what_a_blend_reads_first_does():
    assert meaning(ELMAN) == meaning(ELMAN_AGAIN)
    assert meaning(ELMAN) != meaning(SLOW)
    blends = [
        {**ELMAN, "h_new_0": {"op": "blend", "input": ["g", *inputs]}, "g": ELMAN["a"]}
        for inputs in (("x", "h_prev_0"), ("h_prev_0", "x"))
    ]
    assert meaning(blends[0]) != meaning(blends[1])


def test_states_are_told_apart_by_what_they_are_not_by_their_numbers():
    def cell(first: int, second: int) -> dict:
        return {
            "h_new_0": {"op": "linear", "input": ["x", f"h_prev_{first}", f"h_prev_{second}"]},
            f"h_new_{first}": {"op": "activation_tanh", "input": ["h_new_0"]},
            f"h_new_{second}": {"op": "activation_sigm", "input": ["h_new_0"]},
        }

    assert meaning(cell(1, 2)) == meaning(cell(2, 1))


def test_rows_without_a_finite_loss_are_counted(tmp_path):
    cells = write(tmp_path / "cells.csv", (ELMAN, ""), (SLOW, "nan"), (SLOW, "inf"), (MEMORYLESS, "6"))
    collection = collect(cells)
    assert len(collection.specimens) == 1
    assert collection.reasons == ("no finite loss",) * 3


def test_a_table_that_cannot_be_scored_says_why(tmp_path):
    with pytest.raises(CellError, match="can be scored: no finite loss"):
        collect(write(tmp_path / "cells.csv", (ELMAN, "")))
    (tmp_path / "other.csv").write_text("recipe,loss\n1,2\n")
    with pytest.raises(CellError, match="has no row with recipe_json, num_params, best_val_loss"):
        collect(tmp_path / "other.csv")


# -- figures -------------------------------------------------------------------------------------------------


def test_precision_counts_the_best_that_were_found():
    worth = np.arange(20.0)
    assert precision(worth, worth) == 1
    assert precision(-worth, worth) == 0
    swapped = worth.copy()
    swapped[[5, 18]] = swapped[[18, 5]]
    assert precision(swapped, worth) == 0.5


def test_a_score_is_the_task_term_of_the_reward_gates_included():
    tasks = [task_named(name) for name in SUITES["predictive"]]
    xor = tasks[0].normalised(tasks[0].solved)
    score_NK = np.array([[1.0, 0.4], [xor, 0.4], [xor / 2, 0.4], [0.0, 0.4]])
    assert task_terms(score_NK, tasks, SUITES["predictive"]) == pytest.approx([0.4, 0.4, 0.2, 0.0])
    assert task_terms(score_NK, tasks, {}) == pytest.approx(score_NK.mean(axis=1))


def test_reliability_needs_two_seeds_and_is_their_correlation():
    up = np.arange(6.0)
    assert reliability(np.stack([up, 2 * up, up + 1], axis=1)).value == pytest.approx(1)
    assert reliability(np.stack([up, -up], axis=1)).value == pytest.approx(-1)
    assert math.isnan(reliability(up[:, None]).value)


# -- choice --------------------------------------------------------------------------------------------------


def test_choices_are_single_tasks_and_means_of_two():
    score_KN = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    chosen, score_CN = choices(score_KN, range(len(score_KN)))
    assert chosen == [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]
    assert score_CN[3].tolist() == [0.5, 0.5]


def test_a_place_is_the_share_below_and_equals_count_by_half():
    assert places(np.array([0.0, 2.0, 9.0]), np.array([1.0, 2.0, 2.0, 3.0])).tolist() == [0.0, 0.5, 1.0]


def test_the_plainest_is_chosen_among_those_near_the_best():
    rng = np.random.default_rng(6)
    worth = rng.normal(size=80)
    good, better = (worth + noise * rng.normal(size=80) for noise in (0.62, 0.6))
    bad = rng.normal(size=80)
    assert best(np.stack([bad, good, better]), worth) == 1
    assert best(np.stack([bad, good, worth]), worth) == 2
    assert best(np.stack([np.ones(80), worth]), worth) == 1


def test_the_best_of_much_noise_is_worth_nothing_on_cells_that_it_was_not_chosen_on():
    rng = np.random.default_rng(4)
    worth, noise = rng.normal(size=60), rng.normal(size=(100, 60))
    luckiest = max(np.corrcoef(row, worth)[0, 1] for row in noise)
    value = cross_validated(noise, worth)[0].value
    assert luckiest > 0.25
    assert abs(value) < 0.25


def test_what_ranks_well_is_chosen_in_every_fold_and_keeps_its_worth():
    rng = np.random.default_rng(5)
    worth = rng.normal(size=60)
    scores = np.stack([rng.normal(size=60), worth + 0.1 * rng.normal(size=60)])
    estimate, counts = cross_validated(scores, worth)
    assert set(counts) == {1}
    assert estimate.value > 0.95


def test_the_predictive_suite_has_tasks_in_its_mean_and_gates_beside_it():
    weights = SUITES["predictive"]
    assert any(weights.values())
    assert not all(weights.values())


# -- whole runs ----------------------------------------------------------------------------------------------


@needs_native
def test_a_table_of_few_cells_is_scored_from_end_to_end(tmp_path, run):
    cells = write(
        tmp_path / "cells.csv",
        (ELMAN, "5.0"),
        (MEMORYLESS, "6.5"),
        (EXPLODING, "7.0"),
        (ELMAN_AGAIN, "5.1"),
        (SLOW, ""),
    )
    out = tmp_path / "out.json"
    printed = run(external_validity, "--cells", cells, "--json", out)
    figures = json.loads(out.read_text())
    assert (figures["cells"], figures["rows"], figures["skipped"]) == (3, 5, 1)
    for name in ("spearman", "kendall", "reliability", "params_spearman"):
        assert figures[f"{name}_low"] <= figures[name] <= figures[f"{name}_high"]
        assert name in printed
    assert [(task["knobs"]["name"], task["weight"]) for task in figures["tasks"]] == list(
        SUITES["predictive"].items()
    )
    elman, memoryless, _ = np.mean([cell["scores"] for cell in figures["scored"]], axis=2)
    assert elman[1] > memoryless[1], "a cell with a memory is above one without"
    assert memoryless[0] < 0.05, "it is linear in its inputs, and XOR is not"
    assert figures["trainings_per_cell"] == 2 * len(PREDICTIVE_SEEDS)
    assert 0 < figures["cpu_s_per_cell"] < 60


@pytest.mark.parametrize("module", [external_validity, select_suite])
def test_a_table_that_is_not_there_is_one_line(tmp_path, run, module):
    with pytest.raises(SystemExit, match=r"^error: .*none\.csv'$"):
        run(
            module, "--cells", tmp_path / "none.csv", *(["--dir", tmp_path] if module is select_suite else [])
        )


@needs_native
def test_a_selection_goes_on_where_it_stopped(tmp_path, run):
    cells = write(tmp_path / "cells.csv", (ELMAN, "5.0"), (MEMORYLESS, "6.5"), (SLOW, "5.6"))
    out = tmp_path / "out.json"
    spread = tmp_path / "spread.json"
    options = ["--cells", cells, "--dir", tmp_path, "--tasks", "xor", "markov_once", "--seeds", "0", "1"]
    options += ["--spread", spread]
    with pytest.raises(SystemExit, match=r"spread\.json has no figures of benchmarks/curricula\.py"):
        run(select_suite, *options)
    rows = [{"task": "xor", "is_calibrated": False}, {"task": "markov_once", "is_calibrated": True}]
    spread.write_text(json.dumps({"tasks": rows[:1]}))
    with pytest.raises(SystemExit, match="none of these tasks calibrated"):
        run(select_suite, *options)
    spread.write_text(json.dumps({"tasks": rows}))
    assert run(select_suite, *options, "--minutes", "0") == "0 minutes are over; call again to go on\n"
    assert "seed 0" in run(select_suite, *options, "--json", out)
    assert "seed 0" not in run(select_suite, *options, "--minutes", "0")
    figures = json.loads(out.read_text())
    candidates = {row["task"]: row["is_calibrated"] for row in figures["candidates"]}
    assert candidates == {"xor": False, "markov_once": True}
    assert figures["chosen"] == "markov_once", "the other is not calibrated"
    assert figures["committed"] == " + ".join(n for n, weight in SUITES["predictive"].items() if weight)


@needs_native
def test_a_training_is_known_by_its_knobs_and_half_a_line_is_dropped(tmp_path):
    collection = collect(write(tmp_path / "cells.csv", (ELMAN, "5.0"), (MEMORYLESS, "6.5")))
    path, xor = tmp_path / "trainings.jsonl", task_named("xor")
    Trainings(path).add(collection, xor, 0, 1)
    with path.open("a") as file:
        file.write('{"knobs": {"na')
    trainings = Trainings(path)
    assert path.read_text().endswith("}\n")
    assert trainings.scores(collection, xor, [0]).shape == (2, 1)
    assert list(missing(trainings, [xor], (0, 1))) == [(xor, 1)]
    longer = replace(xor, epochs=2 * xor.epochs)
    assert list(missing(trainings, [longer], (0,))) == [(longer, 0)]
    other = collect(write(tmp_path / "others.csv", (SLOW, "5.0")))
    with pytest.raises(SystemExit, match="is of another table"):
        trainings.scores(other, xor, [0])
