"""W&B: a real offline run is read back; whatever wandb raises costs one line and never the training."""

import json
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import wandb
from runs_of_tests import wandb_records
from wandb.errors import CommError
from wandb.sdk.mailbox import MailboxClosedError

from blueprints import blueprint_svg, parse
from hall_of_fame.records import Entry, Standing, TaskScore
from tamiyo.tracking import NullTracker, Tracker, WandbTracker, blueprint_table, make_tracker
from tests.hall_of_fame.ledgers import proof

XOR = TaskScore(task="xor", task_key="xor-a", mean=0.9, std=0.05, low=0.85, high=0.95, num_seeds=2, num_ok=2)
RELU = parse("RES_START RELU RES_END".split())
ENTRY = Entry(
    rank=1,
    id=RELU.id,
    tokens=RELU.tokens,
    language_version="f" * 64,
    performance=0.8,
    reward=0.7,
    num_parameters=12,
    flops=345,
    latency_us=6.5,
    tasks=(XOR,),
    num_evaluations=2,
    run_id="demo",
    generation=3,
)


def artifact(lines: list[dict], kind: str) -> dict[str, Path]:
    """Return the files of the only artifact of a kind, by their names in it."""
    (found,) = [of for line in lines if (of := line.get("artifact")) and of["type"] == kind]
    return {of["path"]: Path(of["local_path"]) for of in found["manifest"]["contents"]}


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what wandb stages for tables out of the home folder; let its service be slow to start."""
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WANDB__SERVICE_WAIT", "600")


def test_an_offline_run_holds_config_curves_and_the_table(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    tracker = make_tracker("offline", "demo", "a run:1", tmp_path, {"seed": 3, "run": {"dir": "x"}})
    tracker.log({"generation": 0, "stage": "xor", "reward_mean": 0.25, "best_so_far": float("nan")})
    tracker.log({"generation": 1, "stage": "xor", "reward_mean": 0.5, "loss": None})
    tracker.log_table([ENTRY])
    tracker.finish()

    assert capfd.readouterr() == ("", "")
    lines = wandb_records(tmp_path)
    (run,) = [line["run"] for line in lines if line["type"] == "run"]
    assert run["config"]["update"].items() >= {"seed": 3, "run": {"dir": "x"}}.items()
    assert (run["project"], run["run_id"], run["display_name"]) == ("demo", "a-run-1", "a run:1")
    first, second = [line["history"]["item"] for line in lines if line["type"] == "history"]
    assert first.items() >= {"_step": 0, "generation": 0, "stage": "xor", "reward_mean": 0.25}.items()
    assert second.items() >= {"_step": 1, "generation": 1, "reward_mean": 0.5}.items()
    assert "best_so_far" not in first
    assert "loss" not in second
    (table,) = tmp_path.glob("wandb/offline-run-*/files/media/table/top_blueprints*.json")
    columns, rows = blueprint_table([ENTRY])
    assert json.loads(table.read_text()) == {
        "columns": [*columns, "drawing"],
        "data": [[*rows[0], "Html"]],
    }
    (page,) = [file.read_text() for name, file in artifact(lines, "run_table").items() if "html" in name]
    assert blueprint_svg(parse(ENTRY.tokens).graph) in page
    assert "background:#fff" in page


def test_an_offline_run_holds_the_ledger_as_it_was_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    def write() -> Path:
        path = tmp_path / "ledger.jsonl"
        path.write_text('{"format": "demo"}\n')
        return path

    tracker = make_tracker("offline", "demo", "a run:1", tmp_path, {})
    tracker.log_ledger(write)
    tracker.finish()

    assert capfd.readouterr() == ("", "")
    (of,) = [line["artifact"] for line in wandb_records(tmp_path) if line["type"] == "artifact"]
    assert (of["name"], of["type"]) == ("ledger-a-run-1", "ledger")
    (content,) = of["manifest"]["contents"]
    assert (content["path"], content["local_path"]) == ("ledger.jsonl", str(tmp_path / "ledger.jsonl"))


def test_the_table_has_a_column_for_each_task_and_gaps_where_a_task_was_not_trained():
    late = replace(XOR, task="temporal", mean=0.7)
    columns, rows = blueprint_table([ENTRY, replace(ENTRY, rank=2, tasks=(late, XOR))])
    assert columns[:4] == ["rank", "id", "program", "status"]
    assert columns[13:] == [
        "xor_mean",
        "xor_std",
        "xor_seeds",
        "temporal_mean",
        "temporal_std",
        "temporal_seeds",
    ]
    assert [row[13:] for row in rows] == [[0.9, 0.05, 2, None, None, None], [0.9, 0.05, 2, 0.7, 0.05, 2]]
    assert rows[0][2] == "RES_START RELU RES_END"


def test_the_table_says_who_was_proved_and_what_came_back():
    proved = proof(ENTRY.id, search_score=0.875, mean=0.625, low=0.5, high=0.75)
    entered = replace(ENTRY, standing=Standing(status="entrant", proof=proved))
    columns, rows = blueprint_table([entered, ENTRY])
    assert columns[3:9] == ["status", "proof_mean", "proof_low", "proof_high", "shrinkage", "performance"]
    assert rows[0][3:9] == ["entrant", 0.625, 0.5, 0.75, 0.25, 0.8]
    assert rows[1][3:9] == ["candidate", None, None, None, None, 0.8]


def test_disabled_tracks_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    tracker = make_tracker("disabled", "demo", "run", tmp_path, {})
    tracker.log({"generation": 0})
    tracker.log_table([ENTRY])
    tracker.log_ledger(lambda: pytest.fail("nothing is written for nobody"))
    tracker.finish()
    assert isinstance(tracker, NullTracker)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def use(tracker: Tracker) -> None:
    """Do what a training does with its tracker."""
    tracker.log({"generation": 0, "reward_mean": 0.5})
    tracker.log({"generation": 1, "reward_mean": 0.5})
    tracker.log_table([ENTRY])
    tracker.log_ledger(lambda: Path("ledger.jsonl"))
    tracker.finish()


def test_a_folder_that_cannot_be_written_costs_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    file = tmp_path / "file"
    file.write_text("")
    use(make_tracker("offline", "demo", "run", file, {}))
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("W&B is off for this run: NotADirectoryError: ")


def test_a_refused_project_name_costs_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    use(make_tracker("offline", "a/b", "run", tmp_path, {}))
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("W&B is off for this run: UsageError: Invalid project name 'a/b'")


@pytest.mark.parametrize(
    "error",
    [CommError("no network"), OSError("disk full"), ValueError("settings"), MailboxClosedError("closed")],
    ids=lambda error: type(error).__name__,
)
def test_a_wandb_that_cannot_start_costs_one_line(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    def init(**settings: object) -> None:
        raise error

    monkeypatch.setattr(wandb, "init", init)
    use(make_tracker("online", "demo", "run", tmp_path, {}))
    assert capfd.readouterr().err == f"W&B is off for this run: {type(error).__name__}: {error}\n"


def test_a_missing_wandb_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "wandb", None)
    use(make_tracker("offline", "demo", "run", tmp_path, {}))
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("W&B is off for this run: ModuleNotFoundError: ")


def test_ctrl_c_while_wandb_starts_still_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def init(**settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(wandb, "init", init)
    with pytest.raises(KeyboardInterrupt):
        make_tracker("offline", "demo", "run", tmp_path, {})


class FailingRun:
    """Stands in for a run whose every use fails."""

    def log(self, *values: object, **settings: object) -> None:
        raise OSError("disk full")


def test_a_service_that_ends_badly_does_not_end_the_training(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    """`wandb.teardown` waits for the service and leaves through `sys.exit` with its status."""
    monkeypatch.setattr(wandb, "teardown", lambda: sys.exit(-9))
    use(WandbTracker(FailingRun()))
    assert capfd.readouterr().err == "W&B is off for this run: OSError: disk full\n"


#: Can kill the service that wandb starts; knows it by the command, for wandb keeps its process to itself.
SERVICE = """
import subprocess, sys
from pathlib import Path
import wandb
from tamiyo.tracking import make_tracker

class Popen(subprocess.Popen):
    def __init__(self, command, *rest, **options):
        super().__init__(command, *rest, **options)
        if str(command[0]).endswith("wandb-core"):
            services.append(self)

services = []
subprocess.Popen = Popen
"""

USE = """
tracker = make_tracker("offline", "demo", "run", Path(sys.argv[1]), {})
tracker.log({"generation": 0})
"""

DIES_UNDER_A_RUN = """
(service,) = services
service.kill()
generation = 1
while service.poll() is None:
    tracker.log({"generation": generation})
    generation += 1
"""

DIES_WHILE_A_RUN_STARTS = """
def start_and_kill(**settings):
    run = start(**settings)
    (service,) = services
    service.kill()
    service.wait()
    return run

start, wandb.init = wandb.init, start_and_kill
"""

GO_ON = """
for number in range(10_000, 11_000):
    tracker.log({"generation": number})
tracker.finish()
print("trained on")
"""


def run_apart(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own with a wandb of its own."""
    for name in ("WANDB_SERVICE", "WANDB_MODE", "WANDB_ERROR_REPORTING"):
        monkeypatch.delenv(name, raising=False)
    command = [sys.executable, "-c", code, str(folder)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    "code",
    [SERVICE + USE + DIES_UNDER_A_RUN + GO_ON, SERVICE + DIES_WHILE_A_RUN_STARTS + USE + GO_ON],
    ids=["under a run", "while a run starts"],
)
def test_a_service_that_dies_costs_one_line(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = run_apart(code, tmp_path, monkeypatch)
    assert (run.returncode, run.stdout) == (0, "trained on\n"), run.stderr
    assert re.fullmatch(r"W&B is off for this run: Connection.*\n", run.stderr), run.stderr


def test_an_offline_run_opens_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        run = run_apart(SERVICE + USE + GO_ON, tmp_path, monkeypatch)
        assert (run.returncode, run.stdout, run.stderr) == (0, "trained on\n", ""), run.stderr
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody waits to be accepted
            server.accept()
