"""The benchmark of the tasks: figures by hand, names that do not clash, and going on after a kill."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_throughput import LIGHT

from benchmarks.curricula import draw_samples, missing, sees, setting_of
from benchmarks.curricula_report import SEEDS, column, of_the_mean, pairs, spread, verdict
from benchmarks.trainings import Trainings
from blueprints import human, parse
from curricula.suites import task_named

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "curricula.py"
XOR, TEMPORAL = task_named("xor"), task_named("temporal")
ALL = ["order", "past", "present"]


def lines(task: str, scores: dict[str, tuple[float, float]], **fields: Any) -> list[dict]:
    shared = {"sample": "random", "task": task, "status": "ok", "reason": "", "sees": ALL, "cpu_s": 0.5}
    return [
        {**shared, "seed": seed, "blueprint": id_, "parameters": len(id_), "score": score, **fields}
        for id_, own in scores.items()
        for seed, score in enumerate(own)
    ]


# -- figures -------------------------------------------------------------------------------------------------


def test_the_spread_of_a_task_by_hand() -> None:
    rows = lines("temporal", {"a": (0.5, 0.5), "bb": (0.5, 0.6), "ccc": (0.7, 0.8), "dddd": (1.0, 0.99)})
    rows += lines("temporal", {"e": (0.5, 0.5), "f": (0.9, 0.9)}, sees=["past", "present"])
    rows += lines("temporal", {"g": (0, 0)}, status="rejected", reason="rule 'not-causal': ...")
    rows += lines("temporal", {"h": (0, 0)}, status="rejected", reason="9 parameters exceed ...")
    rows += lines("temporal", {"iiiii": (0.9, 0.9)}, status="diverged", reason="...")
    rows += lines("temporal", {"lone": (0.9,)}) + lines("xor", {"a": (0.9, 0.9)})
    own = column(rows, TEMPORAL, "random")
    assert own is not None
    row = spread(own)
    counts = ("num", "num_not_causal", "num_too_large", "num_failed")
    assert [row[name] for name in counts] == [5, 1, 1, 1]
    assert (row["num_blind"], row["num_blind_floor"]) == (2, 1)
    # Normalised means of the seeds: 0, 0.1, 0.5, 0.99, and 0 for what diverged.
    assert row["scores"] == pytest.approx([0, 0, 0.1, 0.5, 0.99])
    assert row["quartiles"] == pytest.approx([0, 0.1, 0.5])
    assert row["share_floor"] == pytest.approx(2 / 5)
    assert row["share_floor_with_blind"] == pytest.approx(3 / 7)
    assert row["share_top"] == pytest.approx(1 / 5)
    # Ranks of the seeds: 2, 2, 4, 5, 2 and 1.5, 3, 4, 5, 1.5.
    assert row["retest"].value == pytest.approx(8 / (8 * 9.5) ** 0.5)
    # Ranks of the means 1.5, 3, 4, 5, 1.5 and of the sizes 1, 2, 3, 4, 5.
    assert row["parameters"].value == pytest.approx(2 / (10 * 9.5) ** 0.5)
    assert row["cpu_s"] == 0.5
    assert verdict(row) == "no: too many at the floor, too many at the top"


def test_a_task_counts_once_a_blueprint_has_every_seed() -> None:
    assert column(lines("xor", {"a": (0.9,), "b": (0.7,)}), XOR, "random") is None


def test_who_is_blind_to_what_a_task_does_not_need_counts() -> None:
    own = column(lines("xor", {"a": (0.5, 0.5), "b": (0.9, 0.9)}, sees=["present"]), XOR, "random")
    assert own is not None
    assert spread(own)["num"] == 2
    assert spread(own)["num_blind"] == 0


def test_a_task_is_calibrated_between_its_bounds() -> None:
    def share(num_floor: int, num_top: int) -> str:
        scores = {f"f{i}": (0.5, 0.5) for i in range(num_floor)} | {
            f"t{i}": (1.0, 1.0) for i in range(num_top)
        }
        scores |= {f"m{i}": (0.7, 0.8) for i in range(20 - num_floor - num_top)}
        own = column(lines("temporal", scores), TEMPORAL, "random")
        assert own is not None
        return verdict(spread(own))

    assert share(2, 3) == share(6, 0) == "yes"
    assert share(1, 3) == "no: too few at the floor"
    assert share(7, 3) == "no: too many at the floor"
    assert share(2, 4) == "no: too many at the top"


def test_two_tasks_that_rank_alike_count_as_one_and_the_mean_keeps_their_order() -> None:
    up = {f"b{i}": (0.5 + i / 20, 0.5 + i / 20) for i in range(10)}
    down = {id_: (1.5 - a, 1.5 - b) for id_, (a, b) in up.items()}
    tasks = {"xor": up, "xor_distractors_4": up, "temporal": down}
    columns = [column(lines(name, scores), task_named(name), "random") for name, scores in tasks.items()]
    found = {tuple(row["tasks"]): row for row in pairs([own for own in columns if own])}
    assert found["xor", "xor_distractors_4"]["spearman"] == pytest.approx(1)
    assert found["xor", "temporal"]["corrected"] == pytest.approx(-1)
    mean = of_the_mean([own for own in columns[:2] if own])
    assert mean["num"] == 10
    assert mean["retest"].value == pytest.approx(1)
    assert mean["with_the_rest"] == {"xor": pytest.approx(1), "xor_distractors_4": pytest.approx(1)}


def test_a_correlation_is_corrected_for_the_noise_of_both() -> None:
    # One seed in the order of i, the other with neighbours exchanged: retest 1 - 6 * 10 / (10 * 99).
    noisy = {f"b{i}": (0.5 + i / 20, 0.5 + (i ^ 1) / 20) for i in range(10)}
    columns = [column(lines(name, noisy), task_named(name), "random") for name in ("xor", "temporal")]
    [row] = pairs([own for own in columns if own])
    assert row["spearman"] == pytest.approx(1)
    assert row["corrected"] == 1
    clean = {id_: (a, a) for id_, (a, _) in noisy.items()}
    columns[1] = column(lines("temporal", clean), TEMPORAL, "random")
    [row] = pairs([own for own in columns if own])
    single = 1 - 6 * 10 / (10 * 99)
    assert row["corrected"] == pytest.approx(min(1, row["spearman"] / (2 * single / (1 + single)) ** 0.5))


def test_what_a_blueprint_sees_is_found_out() -> None:
    def named(name: str) -> frozenset[str]:
        return sees(human(name))

    def of(tokens: str) -> frozenset[str]:
        return sees(parse(tokens.split()))

    assert named("gru") == named("conv") == {"past", "present", "order"}
    assert named("squeeze_excitation") == named("temporal_film") == {"past", "present"}
    assert named("residual_mlp") == named("swiglu") == {"present"}
    assert "past" in of("GRU LINEAR OUT_DIM_QUARTER SILU KWINNERS KEEP_QUARTER LINEAR OUT_DIM_IN")
    assert of("GRU SHIFT") == {"past", "order"}
    assert "past" not in of("LINEAR OUT_DIM_IN POOL_LAST")


# -- trainings -----------------------------------------------------------------------------------------------


def test_samples_are_frozen_and_grow_at_their_end() -> None:
    (few, one), (more, all_) = draw_samples(5, 1), draw_samples(9)
    assert [b.id for b in few.blueprints] == [b.id for b in more.blueprints][:5]
    assert [b.id for b in one.blueprints] == [b.id for b in all_.blueprints][:1]
    assert len(all_.blueprints) > 100
    assert len({b.id for b in more.blueprints}) == 9


def test_a_task_that_was_changed_is_trained_anew_and_nothing_else(tmp_path: Path) -> None:
    assert setting_of(XOR) == setting_of(replace(XOR))
    changed = replace(XOR, sigma=0.4)
    settings = [setting_of(task) for task in (XOR, changed, replace(XOR, epochs=99), TEMPORAL)]
    assert len(set(settings)) == 4
    trainings = Trainings(tmp_path / "trainings.jsonl")
    samples = draw_samples(2, 1)
    for batch in missing(trainings, samples, [XOR, TEMPORAL]):
        trainings.known |= {
            (batch.sample, batch.task.name, setting_of(batch.task), batch.seed, b.id)
            for b in batch.blueprints
        }
    assert len(trainings.known) == 3 * 2 * len(SEEDS)
    assert not list(missing(trainings, samples, [XOR, TEMPORAL]))
    again = list(missing(trainings, samples, [changed, TEMPORAL]))
    assert {batch.task for batch in again} == {changed}
    assert sum(len(batch.blueprints) for batch in again) == 3 * len(SEEDS)


@pytest.mark.slow
def test_a_killed_benchmark_goes_on_to_the_same_figures(tmp_path: Path) -> None:
    def command(name: str, *more: str) -> list[str]:
        arguments = ["--num", "10", "--humans", "6", "--tasks", "xor", "temporal", "--workers", "1"]
        paths = ["--dir", str(tmp_path / name), "--json", str(tmp_path / f"{name}.json")]
        return [sys.executable, "benchmarks/curricula.py", *arguments, *paths, *more]

    def figures(name: str) -> dict:
        document = json.loads((tmp_path / f"{name}.json").read_text())
        for row in (*document["tasks"], document["mean"]):
            row.pop("cpu_s", None)
        return document

    options: dict[str, Any] = {"cwd": ROOT, "env": {**os.environ, "OMP_NUM_THREADS": "1"}, "text": True}
    figure = tmp_path / "whole.png"
    done = subprocess.run(
        command("whole", "--figure", str(figure)), capture_output=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    assert "| temporal |" in done.stdout
    assert figure.stat().st_size > 10_000
    process = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL, **options)
    path = tmp_path / "killed" / "trainings.jsonl"
    while not path.exists() or path.read_text().count("\n") < 12:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command("killed"), capture_output=True, check=True, **options)
    assert figures("killed") == figures("whole")
    assert figures("whole")["tasks"][0]["num"] == 10
    assert len(figures("whole")["humans"]) == 6
    again = subprocess.run(command("killed"), capture_output=True, check=True, **options)
    assert "trainings," not in again.stdout, "nothing was missing"


# -- names ---------------------------------------------------------------------------------------------------


def test_it_runs_on_the_packages_of_the_crucible_alone(tmp_path: Path) -> None:
    arguments = ["--num", "2", "--humans", "1", "--tasks", "xor", "--workers", "1", "--dir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, str(SCRIPT), *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "curricula.json").read_text())["tasks"][0]["num"] == 2


def test_the_benchmark_says_so_where_the_package_was_meant() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import curricula.suites"],
        cwd=ROOT / "benchmarks",
        env={**os.environ, "PYTHONPATH": str(ROOT / "benchmarks")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "put the repository's folder before benchmarks/ on sys.path" in done.stderr


def first_use_of_ours(path: Path) -> int | None:
    """Return the line on which a script begins to import our packages, if it is one and does."""
    body = ast.parse(path.read_text()).body
    ours = ("blueprints", "curricula", "crucible", "hall_of_fame", "architect", "tamiyo")
    if not any("__main__" in ast.dump(node) for node in body if isinstance(node, ast.If)):
        return None
    imports = [node for node in body if isinstance(node, ast.ImportFrom)]
    return next((node.lineno for node in imports if str(node.module).partition(".")[0] in ours), None)


USERS = [path for path in sorted(SCRIPT.parent.glob("*.py")) if first_use_of_ours(path)]


@pytest.mark.parametrize("path", USERS, ids=lambda path: path.name)
def test_scripts_that_use_our_packages_look_for_them_before_the_benchmarks(path: Path) -> None:
    body = ast.parse(path.read_text()).body
    steps = [n for n in body if isinstance(n, ast.Expr | ast.Assign) and "sys.path" in ast.unparse(n)]
    assert steps, "write sys.path.insert(0, the repository's folder)"
    assert steps[0].lineno < (first_use_of_ours(path) or 0)
    found = SimpleNamespace(path=[str(path.parent)])  # as Python begins
    names = {"sys": found, "Path": Path, "__file__": str(path), "ROOT": ROOT}
    exec(compile(ast.Module([*steps], []), str(path), "exec"), names)
    assert found.path.index(str(ROOT)) < found.path.index(str(path.parent))
