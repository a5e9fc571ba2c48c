"""What the suite says of published cells against what training them said: reading, ranks, whole runs."""

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cells import CellError
from benchmarks.external_validity import precision, reliability
from benchmarks.specimens import collect, meaning
from crucible.engines.native.library import find_library

needs_native = pytest.mark.skipif(find_library() is None, reason="the native engine was not built")
SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "external_validity.py"

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


def test_reliability_needs_two_seeds_and_is_their_correlation():
    up = np.arange(6.0)
    assert reliability(np.stack([up, 2 * up, up + 1], axis=1)).value == pytest.approx(1)
    assert reliability(np.stack([up, -up], axis=1)).value == pytest.approx(-1)
    assert math.isnan(reliability(up[:, None]).value)


# -- whole runs ----------------------------------------------------------------------------------------------


@needs_native
def test_a_table_of_few_cells_is_scored_from_end_to_end(tmp_path):
    cells = write(
        tmp_path / "cells.csv",
        (ELMAN, "5.0"),
        (MEMORYLESS, "6.5"),
        (EXPLODING, "7.0"),
        (ELMAN_AGAIN, "5.1"),
        (SLOW, ""),
    )
    out = tmp_path / "out.json"
    command = [sys.executable, str(SCRIPT), "--cells", str(cells), "--json", str(out)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    figures = json.loads(out.read_text())
    assert (figures["cells"], figures["rows"], figures["skipped"]) == (3, 5, 1)
    for name in ("spearman", "kendall", "reliability", "params_spearman"):
        assert figures[f"{name}_low"] <= figures[name] <= figures[f"{name}_high"]
        assert name in printed
    scores = [np.mean(cell["scores"]) for cell in figures["scored"]]
    assert scores[0] > scores[1], "a cell with a memory is above one without"
    assert 0 < figures["cpu_s_per_cell"] < 60


def test_a_table_that_is_not_there_is_one_line(tmp_path):
    command = [sys.executable, str(SCRIPT), "--cells", str(tmp_path / "none.csv")]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
