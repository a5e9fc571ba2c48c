"""The `tamiyo` command from outside: what it prints, where, and with which exit status."""

import importlib.util
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from blueprints import HUMAN_BLUEPRINTS, Blueprint, compile_blueprint, parse
from blueprints.explanations import EXPLANATIONS
from crucible.evaluation import LossCurve, MeasuredLatency, TaskResult
from hall_of_fame import database
from hall_of_fame.store import Store
from tamiyo.cli import main
from tests.hall_of_fame.ledgers import XOR, candidates, commit, evaluation, run_record

LEGAL = "RES_START CONV1D KERNEL_5 CHANNELS_IN GELU LINEAR OUT_DIM_IN RES_END"


@pytest.fixture
def tamiyo(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Return a function that runs a command line in an empty folder and returns status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TAMIYO_LIBRARY", raising=False)

    def run(*arguments: object) -> SimpleNamespace:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            status = exit_.code
        captured = capsys.readouterr()
        return SimpleNamespace(status=status, out=captured.out, err=captured.err)

    return run


def write_library(path: Path, *blueprints: Blueprint, status: str = "ok", **fields: Any) -> Path:
    """Write a ledger in which each blueprint scores a little less than the one before it, from two seeds."""
    run = run_record(
        "demo",
        seed=7,
        config={"seed": 7},
        command="python scripts/train_architect.py seed=7",
        code_version="0.1.0 abc",
        language_version="f" * 64,
    )

    def result(place: int, seed: int) -> TaskResult:
        return TaskResult(task="xor", seed=seed, status=status, score=1.0 - place / 10 - seed / 10, **fields)

    found = [
        (b, evaluation(b, result(i, 0), result(i, 1), engine_id="batched 1"))
        for i, b in enumerate(blueprints)
    ]
    rewarded = candidates([(b, 0.9 - i / 10) for i, b in enumerate(blueprints)])
    path.parent.mkdir(parents=True, exist_ok=True)
    with Store.open(path, create=True) as store:
        store.add_run(run)
        commit(store, 0, found, run_id="demo", candidates=rewarded, tasks=[XOR])
    return path


@pytest.fixture
def human() -> list[Blueprint]:
    return [parse(row.tokens) for row in HUMAN_BLUEPRINTS[:5]]


@pytest.fixture
def library(tmp_path: Path, human: list[Blueprint]) -> Path:
    return write_library(tmp_path / "somewhere" / "library.db", *human)


def test_check_prints_the_typed_graph_of_a_legal_program(tamiyo) -> None:
    for arguments in (LEGAL.split(), [LEGAL], [str(LEGAL.split())]):
        done = tamiyo("check", *arguments)
        assert (done.status, done.err) == (0, "")
        assert "%1   CONV1D kernel=5 width=1 dilation=1(%0)" in done.out
        assert f"id          {parse(LEGAL.split()).id}" in done.out
        assert "parameters  1,568 in a host of width 16" in done.out
        assert "FLOPs       52,480 forward for one example of 16 steps" in done.out
    wide = tamiyo("check", LEGAL, "--width", 32, "--time", 1).out
    assert "in a host of width 32" in wide
    assert "one example of 1 steps" in wide
    assert "1,568" not in wide


def test_check_puts_a_caret_under_the_fault(tamiyo) -> None:
    done = tamiyo("check", "LINEAR", "KERNEL_5")
    assert done.status == 1
    lines = done.out.splitlines()
    assert lines[:2] == ["LINEAR KERNEL_5", "       ^^^^^^^^"]
    assert "rule 'attribute-fits-op': KERNEL_5 (token 1)" in lines[2]
    assert "OUT_DIM_IN" in lines[2]
    assert lines[3:] == ["try: LINEAR OUT_DIM_IN", "fitness -1"]


def test_check_refuses_unknown_tokens_and_early_ends(tamiyo) -> None:
    unknown = tamiyo("check", "CAT")
    assert (unknown.status, unknown.out.splitlines()[:2]) == (1, ["CAT", "^^^"])
    early = tamiyo("check", "RES_START", "GELU")
    assert (early.status, "<end>" in early.out) == (1, True)
    assert tamiyo("check", "").status == 1


def test_check_explains_a_rule_by_an_example(tamiyo) -> None:
    done = tamiyo("check", "--explain", "no-op")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("no-op: ")
    assert lines[2:5:2] == ["", "     ^^^^"]
    assert lines[5].startswith("rule 'no-op': RELU (token 1) changes nothing directly after RELU")
    assert lines[-1] == "try: RELU"


def test_check_lists_the_rules(tamiyo) -> None:
    done = tamiyo("check", "--explain")
    assert (done.status, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()] == [row.rule for row in EXPLANATIONS]


def test_check_answers_an_unknown_rule_with_the_known_ones(tamiyo) -> None:
    done = tamiyo("check", "--explain", "fun")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("tamiyo check: no rule 'fun'; expected one of unknown-token, ")
    assert done.err.count("\n") == 1
    both = tamiyo("check", "--explain", "no-op", "TANH")
    assert (both.status, both.out) == (2, "")


def test_wrong_usage_exits_with_2(tamiyo) -> None:
    for arguments in ([], ["fly"], ["check"], ["show"], ["list", "--top", "0"], ["list", "--top", "many"]):
        done = tamiyo(*arguments)
        assert (done.status, done.out) == (2, "")
        assert "Traceback" not in done.err
    done = tamiyo("check", LEGAL, "--width", 10)
    assert (done.status, "10 came, expected a multiple of 16" in done.err) == (2, True)


def test_list_prints_a_json_array_best_first(tamiyo, library: Path, human: list[Blueprint]) -> None:
    done = tamiyo("list", "--library", library, "--json")
    assert (done.status, done.err) == (0, "")
    rows = json.loads(done.out)
    assert [row["id"] for row in rows] == [blueprint.id for blueprint in human]
    first = rows[0]
    assert first["tokens"] == list(human[0].tokens)
    assert first["scores"] == {"xor": pytest.approx(0.95)}
    assert first["performance"] == pytest.approx(0.9)
    assert (first["rank"], first["num_evaluations"], first["num_parameters"]) == (1, 2, 100)
    assert first["tasks"][0]["std"] == pytest.approx(0.05)
    assert len(json.loads(tamiyo("list", "--library", library, "--json", "--top", 2).out)) == 2
    by_stage = tamiyo("list", "--library", library, "--json", "--stage", "xor")
    assert json.loads(by_stage.out) == rows
    unknown = tamiyo("list", "--library", library, "--stage", "later")
    assert (unknown.status, "no stage 'later'; expected one of xor" in unknown.err) == (1, True)


def test_list_prints_a_table(tamiyo, library: Path, human: list[Blueprint]) -> None:
    done = tamiyo("list", "--library", library)
    assert done.status == 0
    for blueprint in human:
        assert blueprint.id[:12] in done.out
    assert "0.950" in done.out


def test_a_library_without_a_good_training_lists_nothing(tamiyo, tmp_path: Path, human) -> None:
    path = write_library(tmp_path / "library.db", human[0], status="diverged")
    assert json.loads(tamiyo("list", "--library", path, "--json").out) == []
    assert tamiyo("list", "--library", path).out == "no blueprint has been trained well yet\n"
    assert "diverged" in tamiyo("show", human[0].id, "--library", path).out


def test_show_prints_everything_about_a_blueprint(tamiyo, library: Path, human: list[Blueprint]) -> None:
    done = tamiyo("show", human[1].id[:10], "--library", library)
    assert (done.status, done.err) == (0, "")
    for part in (
        human[1].id,
        " ".join(human[1].tokens),
        str(human[1].graph),
        "run demo, generation 0, seed 7",
        "reproduce  python scripts/train_architect.py seed=7",
    ):
        assert part in done.out
    rows = [line.split() for line in done.out.splitlines()]
    assert ["status", "candidate"] in rows
    assert "xor-a 0.850 [0.215, 1.000] 0.800 0.900 2 2 2".split() in rows, (
        "mean, 95 % interval, range, counts"
    )
    assert "xor-a 0 0.900 demo 0 batched 1".split() in rows
    others = [human[i].id[:12] for i in (0, 2, 3, 4)]
    assert sum(f"{other}, graphs " in done.out for other in others) == 3
    shown = json.loads(tamiyo("show", human[1].id, "--library", library, "--json").out)
    assert shown["id"] == human[1].id
    assert shown["graph"] == str(human[1].graph)
    assert shown["run"]["config"] == {"seed": 7}
    assert [record["result"]["seed"] for record in shown["evaluations"]] == [0, 1]
    assert shown["evaluations"][0]["result"]["loss_first"] is None
    assert shown["evaluations"][0]["result"]["loss_curve"] is None
    assert "training loss" not in done.out
    alike = {row["id"]: row["likeness"] for row in shown["alike"]}
    assert set(alike) < {human[i].id for i in (0, 2, 3, 4)}
    for id_, likeness in alike.items():
        compared = json.loads(tamiyo("compare", human[1].id, id_, "--library", library, "--json").out)
        assert likeness == pytest.approx(compared["likeness"])


def test_show_tells_how_the_loss_fell(tamiyo, tmp_path: Path, human) -> None:
    curve = LossCurve(planned_steps=32, means=tuple(0.5**i for i in range(8)))
    fields = {"num_steps": 16, "loss_first": 2.0, "loss_curve": curve}
    path = write_library(tmp_path / "library.db", human[0], **fields)
    rows = [line.split() for line in tamiyo("show", human[0].id, "--library", path).out.splitlines()]
    assert "training loss, mean first step at 1/4 at 1/2 at 3/4 last steps trainings".split() in rows
    assert "xor-a 2 0.0625 0.007812 - 0.007812 32 2".split() in rows
    shown = json.loads(tamiyo("show", human[0].id, "--library", path, "--json").out)
    found = shown["evaluations"][0]["result"]["loss_curve"]
    assert found == {"planned_steps": 32, "means": list(curve.means), "bounds": list(range(0, 17, 2))}


def test_show_tells_what_a_graft_gained_and_spoilt(tamiyo, tmp_path: Path, human) -> None:
    reason = "the old question's loss rose by 2.50%; at most 1% is allowed"
    figures = {"gain": 0.75, "retention_rise": 0.025, "rival_gain": 0.5, "reason": reason}
    shown = tamiyo("show", human[0].id, "--library", write_library(tmp_path / "a.db", human[0], **figures))
    assert f"1.000, gain +0.750, over the perceptron +0.250, old loss +2.50%, {reason}  demo " in shown.out
    alone = {"gain": -0.125, "retention_rise": 0.0}
    shown = tamiyo("show", human[0].id, "--library", write_library(tmp_path / "b.db", human[0], **alone))
    assert "1.000, gain -0.125, old loss +0.00%  demo " in shown.out


def test_show_and_list_tell_a_measured_latency_with_its_spread(tamiyo, library: Path, human) -> None:
    assert "measured" not in tamiyo("show", human[1].id, "--library", library).out
    latency = MeasuredLatency(
        device="cpu/a",
        width=16,
        time=16,
        batch_size=32,
        median_us=123.45,
        spread_us=6.78,
        reference_us=50.0,
        ratio=2.5,
        repeats=51,
    )
    with Store.open(library) as store:
        store.add_latencies("demo", 0, {human[1].id: latency})
    line = "  measured   123.5 us, interquartile range 6.8, 2.50 times the reference's 50.0 (width 16, cpu/a)"
    assert line in tamiyo("show", human[1].id, "--library", library).out
    shown = json.loads(tamiyo("show", human[1].id, "--library", library, "--json").out)
    assert shown["measured"] == [asdict(latency)]
    listed = json.loads(tamiyo("list", "--library", library, "--json").out)
    assert [row["measured"] for row in listed[:3]] == [[], [asdict(latency)], []]


def test_an_unknown_id_is_one_line_with_near_ones(tamiyo, library: Path, human: list[Blueprint]) -> None:
    asked = human[2].id[:8] + "x"
    for command in (["show", asked], ["export", asked, "out.py"]):
        done = tamiyo(*command, "--library", library)
        assert (done.status, done.out) == (1, "")
        assert done.err.count("\n") == 1
        assert f"no blueprint '{asked}'" in done.err
        assert human[2].id[:12] in done.err
    assert not Path("out.py").exists()


def test_an_export_computes_what_the_compiled_blueprint_computes(tamiyo, library: Path, human) -> None:
    for blueprint in human:
        file = Path(f"block_{blueprint.id[:8]}.py")
        assert tamiyo("export", blueprint.id, file, "--library", library).status == 0
        source = file.read_text()
        imports = {
            line.split()[1].split(".")[0]
            for line in source.splitlines()
            if line.startswith(("import", "from"))
        }
        assert {name.split(".")[0] for name in imports} == {"torch"}
        assert blueprint.id in source

        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        exported, compiled = module.Block(width=16), compile_blueprint(blueprint, 16)
        with torch.no_grad():
            for mine, theirs in zip(exported.parameters(), compiled.parameters(), strict=True):
                mine.copy_(theirs)
        x = torch.randn(3, 7, 16, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(exported(x), compiled(x))


def test_an_export_answers_in_json(tamiyo, library: Path, human: list[Blueprint]) -> None:
    done = tamiyo("export", human[0].id, "out.py", "--library", library, "--json")
    assert (done.status, done.err) == (0, "")
    told = json.loads(done.out)
    assert told == {"file": "out.py", "id": human[0].id, "tokens": list(human[0].tokens), "class": "Block"}
    assert f"class {told['class']}(" in Path(told["file"]).read_text()


def test_an_export_replaces_a_file_only_when_forced(tamiyo, library: Path, human: list[Blueprint]) -> None:
    file = Path("out.py")
    file.write_text("precious")
    done = tamiyo("export", human[0].id, file, "--library", library)
    assert (done.status, file.read_text()) == (1, "precious")
    assert "out.py exists" in done.err
    assert "--force" in done.err
    assert tamiyo("export", human[0].id, file, "--library", library, "--force").status == 0
    assert "class Block" in file.read_text()


def test_an_export_that_cannot_be_written_is_one_line(tamiyo, library: Path, human: list[Blueprint]) -> None:
    Path("folder").mkdir()
    for name in ("missing/out.py", library / "out.py", "folder"):
        done = tamiyo("export", human[0].id, name, "--library", library, "--force")
        assert (done.status, done.err.count("\n")) == (1, 1)
        assert f"cannot write {name}" in done.err
    assert not Path("folder.part").exists()


def test_the_newest_run_is_the_default_and_the_environment_comes_before_it(
    tamiyo, tmp_path: Path, human: list[Blueprint], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tamiyo("list")
    assert (missing.status, missing.out) == (1, "")
    assert "no library.db under runs/" in missing.err
    assert "make train" in missing.err
    old = write_library(tmp_path / "runs" / "b" / "library.db", human[0])
    new = write_library(tmp_path / "runs" / "a" / "library.db", human[1])
    os.utime(old, (1, 1))
    done = tamiyo("list", "--json")
    assert [row["id"] for row in json.loads(done.out)] == [human[1].id]
    assert "library: runs/a/library.db, the newest" in done.err
    monkeypatch.setenv("TAMIYO_LIBRARY", str(old))
    assert [row["id"] for row in json.loads(tamiyo("list", "--json").out)] == [human[0].id]
    by_folder = tamiyo("list", "--json", "--library", new.parent)
    assert [row["id"] for row in json.loads(by_folder.out)] == [human[1].id]


def test_a_library_that_cannot_be_opened_is_one_line(tamiyo, tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    broken.write_text("hello " * 1000)
    for named, part in (
        (broken, "not a database"),
        ("no.db", "no database at no.db"),
        ("x://y", "no driver"),
    ):
        done = tamiyo("list", "--library", named)
        assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
        assert done.err.startswith("tamiyo list: ")
        assert part in done.err
    assert not Path("no.db").exists()


def test_a_library_that_is_locked_newer_empty_or_away_is_one_line(
    tamiyo, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    newer, empty = tmp_path / "newer.db", tmp_path / "empty.db"
    empty.touch()
    shutil.copy(library, newer)
    with closing(sqlite3.connect(newer)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    pytest.importorskip("psycopg", reason="no PostgreSQL: its driver is not installed (the extra 'postgres')")
    with closing(sqlite3.connect(library, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        for named, part in (
            (library, "database is locked; expected a database free within"),
            (newer, "open it with the newer version of this package"),
            (empty, "holds no ledger"),
            (f"postgresql://me@/none?host={tmp_path}", "a server that answers; see that it runs"),
        ):
            done = tamiyo("list", "--library", named)
            assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
            assert done.err.startswith("tamiyo list: ")
            assert part in done.err
    assert tamiyo("list", "--library", library).status == 0


def test_tokens_of_another_language_are_one_line(tamiyo, tmp_path: Path, human: list[Blueprint]) -> None:
    foreign = [
        SimpleNamespace(id="a" * 64, tokens=("WARP", "SPEED_9"), language_version="0123456789abcdef"),
        SimpleNamespace(id="b" * 64, tokens=human[0].tokens, language_version="0123456789abcdef"),
    ]
    path = write_library(tmp_path / "library.db", *foreign)
    for id_, part in (("aaa", "unknown-token"), ("bbb", f"now spell {human[0].id[:12]}")):
        done = tamiyo("export", id_, "out.py", "--library", path)
        assert (done.status, done.err.count("\n")) == (1, 1)
        assert "written in language 0123456789ab" in done.err
        assert part in done.err


def test_a_reader_that_goes_away_ends_the_command_quietly(library: Path) -> None:
    command = [sys.executable, "-m", "tamiyo.cli", "list", "--json", "--library", str(library)]
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_nothing_but_the_compiler_loads_torch(library: Path) -> None:
    code = (
        "import sys; from tamiyo.cli import main;"
        f"assert main(['check', 'LINEAR', 'OUT_DIM_IN']) == 0; assert 'sqlalchemy' not in sys.modules;"
        f"assert main(['list', '--library', {str(library)!r}]) == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
