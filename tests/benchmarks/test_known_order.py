"""The benchmark of known order: its modules and positions, facts by hand, and going on after a kill."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from test_throughput import LIGHT

from benchmarks.known_order import (
    ATTENTION,
    EPOCHS,
    FACTS,
    LEARNING_RATES,
    MODULES,
    STEPS,
    WIDTHS,
    Fact,
    Positioned,
    figure_of,
    in_host,
    tasks_of,
)
from benchmarks.trainings import Trainings
from blueprints.compiler import compile_blueprint
from crucible.engines.native.library import find_library
from curricula.task import Task

ROOT = Path(__file__).resolve().parents[2]
TASKS = tasks_of(10)


def test_thirteen_facts_name_each_module_and_each_task() -> None:
    assert len({(fact.task, fact.module) for fact in FACTS}) == len(FACTS) == 13
    assert {fact.module for fact in FACTS} == set(MODULES)
    assert {fact.task for fact in FACTS} == set(TASKS) == set(WIDTHS)


def test_the_streams_suffice_for_the_steps() -> None:
    for steps in (EPOCHS, STEPS):
        assert {task.num_steps for task in tasks_of(steps).values()} == {steps}


@pytest.mark.parametrize("module", MODULES)
def test_no_module_sees_what_is_to_come_and_only_short_convolution_has_a_short_reach(module: str) -> None:
    torch.manual_seed(0)
    slots = compile_blueprint(in_host(module), 64).double()
    x = torch.randn(1, 61, 64, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(slots(x)[0, 60, 0], x)
    assert int(gradient[0].any(-1).long().argmax()) == (56 if module == "short convolution" else 0)
    (gradient,) = torch.autograd.grad(slots(x)[0, 30, 0], x)
    assert gradient[0, 30].any()
    assert not gradient[0, 31:].any()


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_a_linear_map_of_positioned_inputs_adds_a_vector_for_each_position(task: Task) -> None:
    plain, placed = task.splits(0), Positioned.of(task).splits(0)
    width = task.input_width
    weight = torch.randn(5, Positioned.of(task).input_width)
    for name in ("train", "validation", "test"):
        inputs, shown = getattr(plain, name).inputs, getattr(placed, name).inputs
        mapped = (
            F.embedding(inputs, weight[:, :width].T) if inputs.dim() == 2 else inputs @ weight[:, :width].T
        )
        positions = weight[:, width : width + inputs.shape[1]].T
        torch.testing.assert_close(shown @ weight.T, mapped + positions)
        assert getattr(placed, name).targets is getattr(plain, name).targets
    assert Positioned.of(task).probe().shape == (256, task.probe().shape[1], Positioned.of(task).input_width)


def test_a_figure_by_hand() -> None:
    fact = Fact(task="recall", module="GRU", at_least=False, bound=0.60)
    low, high = (f"{rate:g}" for rate in LEARNING_RATES)

    def row(
        setting: str, seed: int, score: float, validation: float, loss: float, status: str = "ok"
    ) -> dict:
        key = {"task": "recall", "blueprint": in_host("GRU").id, "setting": setting, "seed": seed}
        return {
            **key,
            "status": status,
            "score": score,
            "validation_score": validation,
            "loss_last": loss,
        }

    better = [row(high, 0, 0.5, 0.8, 1.0), row(high, 1, 0.6, 0.7, 1.0)]
    worse = [row(low, 0, 0.9, 0.9, 1.0), row(low, 1, 0.9, 0.5, 1.0)]
    found = figure_of(fact, [*better, *worse])
    assert found.learning_rate == LEARNING_RATES[1]
    assert (found.low, found.high, found.holds) == (0.5, 0.6, True)
    assert found.score == pytest.approx(0.55)
    assert found.validation_score == pytest.approx(0.75)

    equal = [row(low, 0, 0.9, 0.8, 0.1), row(low, 1, 0.9, 0.7, 0.1)]
    found = figure_of(fact, [*better, *equal])
    assert (found.learning_rate, found.holds) == (LEARNING_RATES[0], False)

    failed = [row(high, 0, 0.5, 0.8, 1.0), row(high, 1, 0.0, 0.0, float("nan"), "diverged")]
    hopeless = [row(low, seed, 0.0, 0.0, float("nan"), "diverged") for seed in range(2)]
    assert not figure_of(fact, [*failed, *hopeless]).holds


def test_a_bound_is_met_where_it_lies() -> None:
    for at_least in (False, True):
        fact = Fact(task="parity", module=ATTENTION, at_least=at_least, bound=0.60)
        assert fact.holds(0.60)
        assert fact.holds(0.61) == at_least
        assert fact.holds(0.59) != at_least


@pytest.mark.slow
@pytest.mark.skipif(find_library() is None, reason="the package was built without a C++ compiler")
def test_a_killed_run_goes_on_to_the_same_lines_and_the_exit_status_tells_what_fails(tmp_path: Path) -> None:
    path, out = tmp_path / "trainings.jsonl", tmp_path / "order.json"
    command = [sys.executable, "-c", LIGHT, "benchmarks/known_order.py", "--dir", str(tmp_path)]
    command += ["--steps", "5", "--seeds", "1", "--workers", "1", "--json", str(out)]

    def run() -> str:
        environment = dict(os.environ, OMP_NUM_THREADS="1")
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert "of 13 hold" in done.stdout, done.stderr
        assert done.returncode == 1  # after five steps nobody is able
        return done.stdout

    printed = run()
    lines = path.read_text().splitlines()
    assert len(lines) == 1 + len(FACTS) * len(LEARNING_RATES)
    path.write_text("\n".join(lines[:-5]) + "\n" + lines[-5][:40])  # cut short between a module's two rates
    again = run()
    assert again[again.index("| task") :] == printed[printed.index("| task") :]
    assert again.count(" min\n") == 3
    trainings = Trainings(path)
    assert sorted(map(json.dumps, trainings.rows)) == sorted(lines[1:])
    document = json.loads(out.read_text())
    assert document["num_facts"] == len(document["figures"]) == 13
    assert document["num_holding"] == sum(figure["holds"] for figure in document["figures"]) < 13
    assert f"{document['num_holding']} of 13 hold" in again
    assert document["made_by"]["engine_id"].startswith("native-")
