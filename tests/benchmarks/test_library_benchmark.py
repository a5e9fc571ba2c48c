"""The library benchmark: what it fills ledgers with, its document end to end, going on, what it refuses."""

import json
import sys
from pathlib import Path

import pytest

import benchmarks.library
import benchmarks.library_server
from benchmarks.library import fill, main, summary
from benchmarks.library_figure import draw
from benchmarks.library_rows import BATCH, STAGES, generations
from blueprints import parse
from hall_of_fame.store import Store

QUERIES = {
    "top 32, every task",
    "top 32, a stage",
    "top 32, a run",
    "snapshot of 64, a run",
    "known results of 1,024",
    "an entry by its id",
    "ids by their beginning",
    "metrics of a run",
    "counts of a run",
}


@pytest.fixture
def run(monkeypatch):
    """Return a function that runs the command with these words, few repeats a query."""
    monkeypatch.setattr(benchmarks.library, "REPEATS", 3)

    def command(*words: object) -> None:
        monkeypatch.setattr(sys, "argv", ["library.py", *map(str, words)])
        main()

    return command


def test_generations_hold_exactly_so_many_evaluations_and_are_always_the_same() -> None:
    found = list(generations(7000))
    assert sum(len(evaluation.results) for part in found for evaluation in part.evaluations) == 7000
    assert [part.stage for part in found[:3]] == ["xor", "xor", "temporal"]
    assert len(found[0].candidates) == BATCH
    assert [part.evaluations for part in generations(7000)] == [part.evaluations for part in found]


def test_invented_programs_are_real_and_scores_lie_where_tasks_leave_them() -> None:
    [*_, last, _cut] = generations(18_000)
    assert [task.name for task in last.tasks] == list(STAGES)
    for candidate in last.candidates[:20]:
        parse(candidate.tokens)
    xor, _, parity = last.tasks
    scores = {task: [e.results[i].score for e in last.evaluations] for i, task in enumerate(STAGES)}
    assert sum(score >= xor.solved for score in scores["xor"]) > 0.8 * len(scores["xor"])
    assert sum(score < parity.chance + 0.05 for score in scores["parity"]) > 0.6 * len(scores["parity"])
    assert any(result.status == "diverged" for e in last.evaluations for result in e.results)
    assert any(candidate.status == "rejected" for candidate in last.candidates)


def test_a_ledger_is_filled_as_a_run_fills_one(tmp_path: Path) -> None:
    with Store.open(tmp_path / "library.db", create=True) as store:
        seconds, last = fill(store, 2500)
        counts = store.counts()
        assert (counts.runs, counts.evaluations, counts.generations) == (1, 2500, len(seconds))
        assert counts.blueprints < counts.candidates
        assert store.generations(last.run.id, most=1)[0].generation == last.number
        assert store.stages().keys() == {"xor", "temporal"}


def test_median_and_percentile_are_of_the_durations_given() -> None:
    assert summary([float(i) for i in range(101)]) == {"median_s": 50.0, "p95_s": 95.0, "num": 101}


def test_the_command_writes_each_size_with_every_query_and_draws_it(run, tmp_path: Path, capsys) -> None:
    out, picture = tmp_path / "library.json", tmp_path / "library.png"
    run("--rows", 900, 60, "--databases", "sqlite", "--folder", tmp_path, "--json", out, "--figure", picture)
    document = json.loads(out.read_text())
    assert [row["num_evaluations"] for row in document["measured"]] == [60, 900]
    assert document["machine"]["cores"] >= 1
    for row in document["measured"]:
        assert row["database"] == "sqlite"
        assert row["evaluations_per_s"] > 0
        assert row["bytes"] > 500 * row["num_evaluations"]
        assert row["queries"].keys() == QUERIES
        assert all(q["num"] == 3 and 0 < q["median_s"] <= q["p95_s"] for q in row["queries"].values())
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "900 evaluations of 900 blueprints" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"library.json", "library.png"}, (
        "ledgers are removed"
    )


def test_what_is_on_file_is_not_measured_again(run, tmp_path: Path) -> None:
    out = tmp_path / "library.json"
    words = ("--databases", "sqlite", "--folder", tmp_path, "--json", out)
    run("--rows", 50, *words)
    [first] = json.loads(out.read_text())["measured"]
    run("--rows", 80, 50, *words)
    measured = json.loads(out.read_text())["measured"]
    assert [row["num_evaluations"] for row in measured] == [50, 80]
    assert measured[0] == first


def test_each_size_is_on_file_before_the_next_begins(run, tmp_path: Path, monkeypatch) -> None:
    out, measure = tmp_path / "library.json", benchmarks.library.measure

    def killed(database: str, num: int, folder: str | None) -> dict:
        if num == 70:
            raise KeyboardInterrupt
        return measure(database, num, folder)

    monkeypatch.setattr(benchmarks.library, "measure", killed)
    with pytest.raises(KeyboardInterrupt):
        run("--rows", 50, 70, "--databases", "sqlite", "--folder", tmp_path, "--json", out)
    assert [row["num_evaluations"] for row in json.loads(out.read_text())["measured"]] == [50]


def test_a_machine_without_postgresql_is_told_why_and_measures_the_rest(
    run, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    # The command names its neighbours without their package, as a script does.
    monkeypatch.setattr(sys.modules["library_server"], "INSTALLED", tmp_path)
    out = tmp_path / "library.json"
    run("--rows", 50, "--folder", tmp_path, "--json", out)
    document = json.loads(out.read_text())
    assert "initdb" in document["left_out"]["postgresql"] or "driver" in document["left_out"]["postgresql"]
    assert "PostgreSQL is left out: " in capsys.readouterr().out
    assert [row["database"] for row in document["measured"]] == ["sqlite"]


@pytest.mark.slow
@pytest.mark.skipif(bool(benchmarks.library_server.missing()), reason=benchmarks.library_server.missing())
def test_postgresql_is_started_measured_and_stopped(run, tmp_path_factory) -> None:
    out = tmp_path_factory.mktemp("out") / "library.json"
    run("--rows", 50, "--databases", "postgresql", "--json", out)
    [row] = json.loads(out.read_text())["measured"]
    assert (row["database"], row["num_evaluations"]) == ("postgresql", 50)
    assert row["queries"].keys() == QUERIES


def test_a_size_that_means_nothing_is_refused(run, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        run("--rows", 0)
    assert caught.value.code == 2
    assert "--rows must be at least 1, got 0" in capsys.readouterr().err


def test_a_picture_needs_no_more_than_one_database_and_size(tmp_path: Path) -> None:
    query = {"first_s": 0.2, "median_s": 0.1, "p95_s": 0.15, "num": 5}
    row = {
        "database": "postgresql",
        "version": "15.1 (somewhere)",
        "num_evaluations": 1000,
        "bytes": 10**6,
        "evaluations_per_s": 1e4,
        "queries": dict.fromkeys(QUERIES, query),
    }
    draw({"measured": [row]}, tmp_path / "library.png")
    assert (tmp_path / "library.png").read_bytes().startswith(b"\x89PNG")
