"""Whole runs in real processes: they repeat, survive kill -9, end cleanly on Ctrl-C, and refuse bad input."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from runs_of_tests import ROOT, SMALL, finish, lines, start, wandb_records

from crucible.devices import device_model
from crucible.latency import LatencyTable
from hall_of_fame.library import Library
from hall_of_fame.proofs import ProofBook
from hall_of_fame.store import Store
from tamiyo.cli import main as cli
from tamiyo.launch import main
from tamiyo.runs import RunFolder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def latency(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("latency") / "table.json"
    LatencyTable.measure(repeats=2).save(path)
    return f"crucible.latency_table={path}"


@pytest.fixture(scope="module")
def finished(tmp_path_factory, latency) -> Path:
    """A run of four generations in two stages, never interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    code, out, err = finish(start(*settings(latency), f"run.dir={folder}"))
    assert code == 0, err
    assert f"tamiyo list --library {folder}" in out
    return folder


def settings(latency: str) -> tuple[str, ...]:
    stages = ("curriculum.min_generations=2", "curriculum.promotion_rate=0.1", "budget.generations=4")
    return (*SMALL, latency, *stages, "crucible.reseed_share=0.5", "seed=3")


def wait_for_generations(folder: Path, num: int, process) -> None:
    deadline = time.monotonic() + 600
    path = folder / "metrics.jsonl"
    while not (path.exists() and len(path.read_text().splitlines()) >= num):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the run took too long to get there"
        time.sleep(0.02)


def test_a_run_leaves_its_files_and_passes_its_stages(finished):
    rows = lines(finished)
    assert [row["generation"] for row in rows] == [0, 1, 2, 3]
    assert [row["stage"] for row in rows] == ["xor", "xor", "temporal", "temporal"]
    needed = (
        "evaluations reward_mean reward_best valid_rate unique_rate entropy hall_of_fame_size num_reseeded"
    )
    assert all(set(needed.split()) <= set(row) for row in rows)
    assert sum(row["num_reseeded"] for row in rows) > 0
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["is_complete"]
    assert summary["stages"] == {"xor": 0, "temporal": 2}
    for name in ("config.yaml", "environment.json", "latency_table.json", "library.db", "report.html"):
        assert (finished / name).stat().st_size > 0, name
    environment = json.loads((finished / "environment.json").read_text())
    assert environment["packages"]["torch"]
    assert environment["code_version"]


def test_what_a_run_gives_to_wandb_makes_a_library_like_its_own(finished, tmp_path, latency, monkeypatch):
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WANDB__SERVICE_WAIT", "600")
    folder = tmp_path / "tracked"
    settings_ = (*settings(latency), f"run.dir={folder}", "tracking.wandb=offline", "budget.generations=1")
    code, _, err = finish(start(*settings_))
    assert (code, "W&B is off" in err) == (0, False), err
    artifacts = [line["artifact"] for line in wandb_records(folder) if line["type"] == "artifact"]
    (ledger,) = [artifact for artifact in artifacts if artifact["type"] == "ledger"]
    (content,) = ledger["manifest"]["contents"]
    assert not (finished / content["path"]).exists(), "nothing is written for a tracker that is disabled"
    Store.open(tmp_path / "other.db", create=True).close()
    assert cli(["library", "import", content["local_path"], "--into", str(tmp_path / "other.db")]) == 0
    with Store.open(tmp_path / "other.db") as store, Store.open(folder / "library.db") as own:
        assert store.counts() == own.counts()
        assert store.top(12) == own.top(12)


def test_what_the_report_shows_was_measured_once_on_this_device(finished):
    with Store.open(finished / "library.db") as store:
        best = store.top(12)
    assert best
    table = LatencyTable.load(finished / "latency_table.json")
    for entry in best:
        (latency,) = entry.measured
        assert latency.device == device_model(torch.device("cpu"))
        assert (latency.width, latency.time, latency.batch_size) == (16, table.time, table.batch_size)
        assert latency.median_us > 0
        assert latency.ratio > 0
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert all(0 <= row["measure_s"] < row["generation_s"] for row in rows)
    with sqlite3.connect(finished / "library.db") as database:
        (generation,) = database.execute("SELECT min(generation) FROM latencies").fetchone()
    database.close()
    assert generation < 3, "the search measures on its way, not at its end alone"


def test_equal_seeds_give_equal_runs(finished, tmp_path, latency):
    folder = tmp_path / "again"
    assert finish(start(*settings(latency), f"run.dir={folder}"))[0] == 0
    assert lines(folder) == lines(finished)


def proving(latency: str, folder: Path) -> tuple[str, ...]:
    """Return the settings of a run of evolution that proves the best of every second generation."""
    proofs = ("every=2", "share=1", "seeds=2", "rates=[1,3]", "held_out=[delayed_xor]", "max_similarity=1")
    evolution = ("strategy=evolution", "architect.evolution.population_size=4")
    sizes = ("architect.batch_size=8", "architect.evolution.tournament_size=2")
    own = (*evolution, *sizes, *(f"library.{setting}" for setting in proofs))
    return (*settings(latency), *own, f"run.dir={folder}")


def proofs_of(folder: Path) -> list:
    with Store.open(folder / "library.db") as store:
        return [replace(proof, run_id="", created="") for proof in ProofBook(store).proofs()]


def test_a_run_proves_its_best_within_its_share_and_makes_up_for_it_when_killed(tmp_path, latency):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert finish(start(*proving(latency, whole)))[0] == 0
    proofs = proofs_of(whole)
    assert {proof.generation for proof in proofs} == {1, 3}
    assert {len(proof.settings["tasks"]) for proof in proofs} == {1, 2}
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["proved"] == len({proof.blueprint_id for proof in proofs})
    assert 0 < summary["proof_trainings"] <= summary["evaluations"]
    process = start(*proving(latency, killed))
    wait_for_generations(killed, 2, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(proofs_of(killed)) < len(proofs), "the run ended before it was killed"
    code, _, err = finish(start(f"run.resume={killed}"))
    assert code == 0, err
    assert lines(killed) == lines(whole)
    assert proofs_of(killed) == proofs
    with Library.open(whole) as library:
        found = library.list(1000)
        known = set(library.store.ids())
    assert {entry.lineage.strategy for entry in found} == {"evolution"}
    parents = {parent for entry in found for parent in entry.lineage.parents}
    assert parents
    assert parents <= known
    with Store.open(whole / "library.db") as store:
        assert all(not candidate.parents for candidate in store.candidates(store.runs()[0].id, 0))


@pytest.mark.parametrize("generations", [1, 2])
def test_a_killed_run_goes_on_to_the_same_numbers(finished, tmp_path, latency, generations):
    folder = tmp_path / "killed"
    process = start(*settings(latency), f"run.dir={folder}")
    wait_for_generations(folder, generations, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(lines(folder)) < 4, "the run ended before it was killed"
    code, _, err = finish(start(f"run.resume={folder}"))
    assert code == 0, err
    assert lines(folder) == lines(finished)


def test_a_run_killed_before_its_first_generation_goes_on_too(finished, tmp_path, latency):
    folder = tmp_path / "early"
    process = start(*settings(latency), f"run.dir={folder}")
    while not (folder / "checkpoints" / "pretrained.pt").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert finish(start(f"run.resume={folder}"))[0] == 0
    assert lines(folder) == lines(finished)


def test_a_torn_metrics_file_is_mended_from_the_database(finished, tmp_path):
    folder = tmp_path / "torn"
    shutil.copytree(finished, folder)
    text = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text(text[: len(text) // 2])
    assert finish(start(f"run.resume={folder}"))[0] == 0
    assert lines(folder) == lines(finished)


def test_ctrl_c_ends_after_the_generation_in_flight(tmp_path, latency):
    folder = tmp_path / "interrupted"
    process = start(*SMALL, latency, "budget.generations=500", f"run.dir={folder}", start_new_session=True)
    wait_for_generations(folder, 1, process)
    os.killpg(process.pid, signal.SIGINT)
    code, out, err = finish(process)
    assert code == 0, err
    assert f"run.resume={folder}" in out
    summary = json.loads((folder / "summary.json").read_text())
    assert not summary["is_complete"]
    assert summary["generations"] == len(lines(folder)) < 500


@pytest.mark.parametrize("strategy", ["random", "evolution"])
@pytest.mark.parametrize("decoding", ["free", "grammar"])
def test_the_controls_run_in_the_same_loop(tmp_path, latency, strategy, decoding, capsys):
    folder = tmp_path / strategy
    arguments = [*SMALL, latency, f"strategy={strategy}", f"architect.decoding={decoding}"]
    assert main([*arguments, "budget.generations=2", f"run.dir={folder}"]) == 0, capsys.readouterr().err
    assert len(lines(folder)) == 2


def test_bad_settings_get_one_line_and_leave_nothing(tmp_path, capsys):
    folder = tmp_path / "never"
    bad = {
        "architect.batch_sise=8": "batch_sise",
        "architect.batch_size=0": "ArchitectConfig.batch_size is 0; expected at least 2",
        "seed=x": "seed is 'x'; expected a value of type int",
        "strategy=luck": "expected one of reinforce, random, evolution",
        "profile=fast": "profile/fast",
        "curriculum.window=0": "window",
        "reward.weights.task=-1": "negative",
        "device=quantum": "quantum",
    }
    for setting, words in bad.items():
        assert main([*SMALL, f"run.dir={folder}", setting]) == 1, setting
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1, error
        assert words in error, error
        assert not folder.exists(), setting


def test_folders_that_cannot_be_used_are_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "environment.json").write_text("{}")
    cases = {
        f"run.dir={tmp_path / 'full'}": "exists and is not empty",
        f"run.dir={tmp_path / 'file'}": "exists and is not empty",
        f"run.dir={tmp_path / 'file' / 'below'}": "cannot be written",
        f"run.resume={tmp_path / 'half'}": "holds no complete run",
        f"run.resume={tmp_path / 'nowhere'}": "holds no complete run",
    }
    for setting, words in cases.items():
        assert main([*SMALL, setting]) == 1
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1, error
        assert words in error, error


def test_settings_that_fail_late_leave_no_folder_behind(tmp_path, latency, capsys):
    folder = tmp_path / "retry"
    for setting, words in (
        ("crucible.latency_table=nowhere.json", "nowhere.json"),
        ("architect.corpus.num_programs=1", "cannot be split"),
        ("hall_of_fame.database=nosuch://x", "nosuch"),
        (f"{latency} crucible.width=32", "width"),
    ):
        assert main([*SMALL, f"run.dir={folder}", *setting.split()]) == 1, setting
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1, error
        assert words in error, error
        assert not folder.exists(), setting


def test_damaged_files_of_a_run_are_named(finished, tmp_path, capsys):
    for name, content in (
        ("environment.json", b"{}"),
        ("config.yaml", b"\xff"),
        ("latency_table.json", b"{"),
    ):
        folder = tmp_path / name
        shutil.copytree(finished, folder)
        (folder / name).write_bytes(content)
        assert main([f"run.resume={folder}", "budget.generations=5"]) == 1
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1, error
        assert name in error, error
        assert len(lines(folder)) == 4


def test_a_resume_under_another_environment_is_said_and_recorded(finished, tmp_path, capsys):
    folder = tmp_path / "moved"
    shutil.copytree(finished, folder)
    environment = json.loads((folder / "environment.json").read_text())
    environment["python"] = "2.7.18"
    (folder / "environment.json").write_text(json.dumps(environment))
    assert main([f"run.resume={folder}"]) == 0
    assert "python 2.7.18 -> 3." in capsys.readouterr().out
    [resumed] = json.loads((folder / "environment.json").read_text())["resumed"]
    assert resumed["generation"] == 4


def test_ctrl_c_while_pretraining_stops_at_once(tmp_path, latency):
    folder = tmp_path / "early"
    slow = [s for s in SMALL if "epochs" not in s]
    process = start(*slow, latency, "architect.pretraining.num_epochs=100000", f"run.dir={folder}")
    assert "training blueprints with" in process.stdout.readline()
    assert "pretraining" in process.stdout.readline()
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130, err
    assert "stopped" in err.splitlines()[-1]


def test_a_corrupt_checkpoint_is_named_and_the_library_stays(finished, tmp_path, capsys):
    folder = tmp_path / "corrupt"
    shutil.copytree(finished, folder)
    checkpoint = folder / "checkpoints" / "generation_00003.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    assert main([f"run.resume={folder}", "budget.generations=5"]) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1, error
    assert f"{checkpoint} is corrupt" in error
    assert lines(folder) == lines(finished)
    with sqlite3.connect(folder / "library.db") as database:
        assert database.execute("select count(*) from generations").fetchone() == (4,)


def test_a_flipped_bit_in_a_checkpoint_is_found(finished, tmp_path, capsys):
    folder = tmp_path / "flipped"
    shutil.copytree(finished, folder)
    checkpoint = folder / "checkpoints" / "generation_00003.pt"
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    assert main([f"run.resume={folder}", "budget.generations=5"]) == 1
    assert f"{checkpoint} is corrupt" in capsys.readouterr().err


def test_a_folder_in_use_is_refused(finished, tmp_path, capsys):
    folder = tmp_path / "busy"
    shutil.copytree(finished, folder)
    with RunFolder(folder).locked():
        assert main([f"run.resume={folder}"]) == 1
    assert "is in use by another process" in capsys.readouterr().err


def test_a_full_disk_is_one_line(finished, tmp_path):
    folder = tmp_path / "full"
    shutil.copytree(finished, folder)
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
    limit += "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from tamiyo.launch import main; "
    limit += "sys.exit(main(sys.argv[1:]))"
    arguments = [sys.executable, "-c", limit, f"run.resume={folder}", "budget.generations=5"]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert len(lines(folder)) == 4
    assert finish(start(f"run.resume={folder}", "budget.generations=5"))[0] == 0
    assert len(lines(folder)) == 5


def test_a_resumed_run_keeps_its_settings_but_may_get_more_budget(finished, tmp_path, capsys):
    folder = tmp_path / "longer"
    shutil.copytree(finished, folder)
    assert main([f"run.resume={folder}", "seed=4"]) == 1
    assert "seed cannot change in a resumed run" in capsys.readouterr().err
    assert main([f"run.resume={folder}", "budget.generations=5"]) == 0
    assert len(lines(folder)) == 5
    assert lines(folder)[:4] == lines(finished)
