"""Whole runs on own lists of tasks and on a user's own: gates, demotion, resuming, heads of every step."""

import json
import shutil
from pathlib import Path

import pytest
from runs_of_tests import ROOT, SMALL, lines

from crucible.latency import LatencyTable
from hall_of_fame.store import Store
from tamiyo import cli
from tamiyo.launch import main

pytestmark = pytest.mark.slow

EXAMPLE = ROOT / "docs" / "examples" / "own_task.py"
#: The next stage opens after every generation in which any program solves the task.
QUICK = ("curriculum.min_generations=1", "curriculum.window=1", "curriculum.promotion_rate=0.01")


@pytest.fixture(scope="module")
def latency(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("latency") / "table.json"
    LatencyTable.measure(repeats=2).save(path)
    return f"crucible.latency_table={path}"


def run(folder: Path, *settings: str) -> list[dict]:
    assert main([*SMALL, "strategy=random", f"run.dir={folder}", *settings]) == 0
    return lines(folder)


def go_on(folder: Path, generations: int) -> list[dict]:
    assert main([f"run.resume={folder}", f"budget.generations={generations}"]) == 0
    return lines(folder)


def test_a_run_on_a_user_s_task_goes_on_from_its_own_copy(tmp_path, latency, capsys):
    path, folder = tmp_path / "own_task.py", tmp_path / "run"
    shutil.copy(EXAMPLE, path)
    own = (f"curriculum.user_tasks={path}", "curriculum.tasks=[xor,rises]", *QUICK)
    rows = run(folder, latency, *own, "architect.batch_size=8", "budget.generations=3")
    assert [row["stage"] for row in rows] == ["xor", "rises", "rises"]
    assert 0 < rows[-1]["score_rises_mean"] < 1
    assert (folder / "user_tasks.py").read_text() == path.read_text()
    path.write_text("raise RuntimeError('edited since')")
    assert len(go_on(folder, 4)) == 4
    path.unlink()
    assert go_on(folder, 5)[:3] == rows
    copy = folder / "user_tasks.py"
    text = copy.read_text()
    copy.write_text(text.replace("length: int = 6", "length: int = 7"))
    assert main([f"run.resume={folder}", "budget.generations=6"]) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1, error
    assert "stage 'rises' of the last generation asked xor-" in error
    copy.write_text(text)
    with Store.open(folder / "library.db") as store:
        [xor, rises] = sorted(store.tasks(), key=lambda task: task.name, reverse=True)
    assert len(rises.knobs["source"]) == 64
    assert "source" not in xor.knobs
    capsys.readouterr()
    assert cli.main(["list", "--library", str(folder), "--stage", "rises", "--json"]) == 0
    best = json.loads(capsys.readouterr().out)[0]
    assert set(best["scores"]) == {"rises", "xor"}
    assert cli.main(["show", best["id"], "--library", str(folder)]) == 0
    assert "rises" in capsys.readouterr().out
    assert main([f"run.resume={folder}", *own[1:], f"curriculum.user_tasks={EXAMPLE}"]) == 1
    assert "curriculum.user_tasks cannot change in a resumed run" in capsys.readouterr().err


def test_a_user_s_task_that_breaks_its_contract_ends_the_run_before_it_began(tmp_path, latency, capsys):
    cases = {
        "torch.Generator().manual_seed(seed)": (
            "torch.default_generator",
            "differ from call to call; draw them from a generator seeded by the seed",
        ),
        ".long()": (".float()", "targets are torch.float32 [256]; expected torch.int64 [256]"),
        "input_width = 1": ("input_width = 2", "expected torch.float32 [256, 6, 2]"),
        "self.length, 1, generator": ("self.lenght, 1, generator", "no attribute 'lenght' (line 33)"),
    }
    for i, (right, (wrong, words)) in enumerate(cases.items()):
        path, folder = tmp_path / f"{i}.py", tmp_path / "never"
        path.write_text(EXAMPLE.read_text().replace(right, wrong))
        own = (f"curriculum.user_tasks={path}", "curriculum.tasks=[rises]")
        assert main([*SMALL, latency, f"run.dir={folder}", *own]) == 1
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1, error
        assert words in error, error
        assert not folder.exists()


def test_on_a_task_of_tokens_that_reads_every_step_what_is_not_causal_is_rejected(tmp_path, latency):
    path, folder = tmp_path / "tokens.py", tmp_path / "run"
    path.write_text(
        "from curricula.markov import Markov\nTASKS = (Markov(name='language', epochs=1, num_train=256),)\n"
    )
    own = (f"curriculum.user_tasks={path}", "curriculum.tasks=[xor,language]", *QUICK)
    rows = run(folder, latency, *own, "architect.batch_size=24", "budget.generations=2", "seed=1")
    assert [row["stage"] for row in rows] == ["xor", "language"]
    assert "rule_not-causal" not in rows[0]
    num_rejected = rows[1]["rule_not-causal"]
    assert num_rejected == rows[1]["status_rejected"] > 0
    assert rows[1]["status_ok"] > 0
    with Store.open(folder / "library.db") as store:
        [run_record] = store.runs()
        found = store.candidates(run_record.id, 1)
        best = store.top(4)
    rejected = [candidate for candidate in found if candidate.status == "rejected"]
    assert len(rejected) == num_rejected
    assert {(c.rule, c.reward, len(c.terms)) for c in rejected} == {("not-causal", -1.0, 0)}
    assert all(c.blueprint_id is not None for c in rejected)
    trained = [candidate.reward for candidate in found if candidate.status == "ok"]
    assert -0.2 <= min(trained) < 0.4 < max(trained), "all costs together are 0.2, XOR alone earns half"
    assert best[0].id not in {c.blueprint_id for c in rejected}
    report = (folder / "report.html").read_text()
    assert "not-causal" in report
    assert "language" in report


def test_a_gate_is_judged_and_takes_from_the_reward_of_who_does_not_pass_it(tmp_path, latency):
    settings = (latency, *QUICK, "architect.batch_size=24", "budget.generations=2")
    rows = run(tmp_path / "run", *settings, "curriculum.suite=classic")
    assert [row["stage"] for row in rows] == ["xor", "temporal"]
    assert rows[0]["term_task_mean"] > 0.5, "alone in its stage, the gate is what there is to reward"
    assert 0 < rows[1]["score_xor_mean"] <= 1
    assert rows[1]["weight_xor"] == 0
    assert "weight_temporal" not in rows[1]
    with Store.open(tmp_path / "run" / "library.db") as store:
        [record] = store.runs()
        keys = {task.name: task.key for task in store.tasks()}
        terms = {c.blueprint_id: c.terms["task"] for c in store.candidates(record.id, 1)}
        found = store.top(20)
        assert store.top(20, weights={keys["xor"]: 0.0}) == found
        assert store.entry(found[0].id).performance == found[0].performance
    shares = set()
    for entry in found:
        xor, temporal = (
            max(0.0, 2 * {s.task: s.mean for s in entry.tasks}.get(name, 0.0) - 1)
            for name in ("xor", "temporal")
        )
        shares.add(min(1.0, xor / 0.8) if temporal else 1.0)
        assert entry.performance == pytest.approx(temporal * min(1.0, xor / 0.8))
        assert terms.get(entry.id, entry.performance) == pytest.approx(entry.performance)
    assert min(shares) < max(shares) == 1.0


def test_a_run_that_forgets_goes_back_says_so_and_can_be_resumed_anywhere(tmp_path, latency):
    # Of four random programs now three and now all solve XOR: with bars so near and high they pass and fail.
    swing = ("curriculum.promotion_rate=0.9", "curriculum.demotion_share=0.99", "seed=2")
    settings = (latency, *QUICK[:2], *swing)
    whole = run(tmp_path / "whole", *settings, "budget.generations=6")
    stages = [row["stage"] for row in whole]
    back = next(i for i, row in enumerate(whole) if row["stage_demoted"])
    assert stages[back : back + 2] == ["temporal", "xor"]
    assert whole[back]["stage_forgotten"] == "xor"
    assert whole[back]["stage_earlier_rate"] < 0.9 * 0.99
    assert whole[back + 1]["stage_generation"] == 1
    assert sum(row["stage_promoted"] for row in whole) > 0
    assert json.loads((tmp_path / "whole" / "summary.json").read_text())["demotions"] > 0
    run(tmp_path / "parts", *settings, f"budget.generations={back}")
    for generations in (back + 1, back + 2, 6):
        parts = go_on(tmp_path / "parts", generations)
    assert parts == whole


def test_settings_of_the_curriculum_that_do_not_go_together_get_one_line(tmp_path, capsys):
    own = f"curriculum.user_tasks={EXAMPLE}"
    cases = {
        "curriculum.suite=classical": "no suite is named 'classical'; expected one of xor, classic",
        "curriculum.suite=xor curriculum.tasks=[temporal]": "are both given; expected one of them",
        "curriculum.weights=[1,0]": "without curriculum.tasks",
        "curriculum.tasks=[xor] curriculum.weights=[1,0]": "2 weights of 1 tasks; expected one each",
        "curriculum.tasks=[xor] curriculum.weights=[-1]": "weight of xor = -1.0; expected a number",
        "curriculum.demotion_share=1": "demotion_share = 1.0; expected at least 0 and below 1",
        own: "no stage asks for a task of",
        f"{own} curriculum.tasks=[raises]": "no stage asks for a task of",
        f"{own} curriculum.tasks=[rises,raises]": "no task is named 'raises'; expected one of rises, xor",
        "curriculum.user_tasks=nowhere.py curriculum.tasks=[xor]": "nowhere.py cannot be read (No such file",
    }
    taken = tmp_path / "taken.py"
    taken.write_text("from curricula.xor import Xor\nTASKS = (Xor(sigma=0.2),)\n")
    cases[f"curriculum.user_tasks={taken} curriculum.tasks=[xor]"] = "a task 'xor', as the package does"
    for settings, words in cases.items():
        assert main([*SMALL, f"run.dir={tmp_path / 'never'}", *settings.split()]) == 1, settings
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1, error
        assert words in error, error
        assert not (tmp_path / "never").exists()


HEADS_OF_TASKS = {
    "numbers": "from curricula.adding import Adding\nTASKS = (Adding(name='numbers', epochs=1),)\n",
    "labels": "from curricula.delayed_xor import DelayedXor as X\nTASKS = (X(name='labels', epochs=1),)\n",
    "grafts": "from curricula.graft import Graft as X\nTASKS = (X(name='grafts', epochs=1, num_train=64),)\n",
}


@pytest.mark.parametrize("name", HEADS_OF_TASKS)
def test_a_run_on_numbers_labels_at_every_step_or_grafts_ends_with_its_files(name, tmp_path, latency):
    path, folder = tmp_path / "tasks.py", tmp_path / "run"
    path.write_text(HEADS_OF_TASKS[name])
    own = (f"curriculum.user_tasks={path}", f"curriculum.tasks=[{name}]", "architect.batch_size=8")
    [row] = run(folder, latency, *own, "budget.generations=1")
    assert row["status_ok"] > 0
    assert 0 <= row[f"score_{name}_mean"] <= row[f"score_{name}_best"] <= 1
    assert name in (folder / "report.html").read_text()
