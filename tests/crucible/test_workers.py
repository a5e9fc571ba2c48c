"""Worker processes: no orphans, no dependence on the caller's main module, no third-party import."""

import importlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from crucible.engines.workers import WorkerPool

ROOT = Path(__file__).resolve().parents[2]

TRAIN = """
from blueprints import parse
from crucible import Crucible
from curricula.xor import Xor
crucible = Crucible(engine="batched", num_workers=2)
evaluations = crucible.evaluate([parse(["RELU"]), parse(["TANH"]), parse(["GELU"])], [Xor(epochs=2)], [0])
print([e.status for e in evaluations], flush=True)
"""

#: Refuses what the upper floors and the tests need.
BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in FORBIDDEN:
            raise ModuleNotFoundError("forbidden here: " + name, name=name)
FORBIDDEN = {"lightning", "hydra", "omegaconf", "wandb", "sqlalchemy", "alembic", "rich", "matplotlib",
             "pytest", "hypothesis", "jaxtyping", "beartype", "scipy", "pandas",
             "tamiyo", "architect", "hall_of_fame"}
sys.meta_path.insert(0, Block())
"""


def run(code: str, *arguments: str, **keywords) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        input=code,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
        **keywords,
    )


def test_crucible_runs_with_torch_numpy_and_networkx_alone_from_standard_input() -> None:
    done = run(BLOCK + "import blueprints.compiler, curricula.suites\n" + TRAIN + "crucible.close()", "-")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['ok', 'ok', 'ok']\n"
    assert done.stderr == ""


def test_a_script_without_a_main_guard_can_use_workers(tmp_path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(TRAIN)
    done = run("", str(script))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['ok', 'ok', 'ok']\n"


#: Leaves a file a call; a module of its own, so that a worker can import it.
CALLS = """
import time
from pathlib import Path

def call(folder, index):
    Path(folder, str(index)).touch()
    time.sleep(0.2)
    if index == 3:
        raise ValueError("the fourth call fails")
    return index
"""


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_calls_that_wait_are_not_run_after_an_interrupt_or_an_error(error, tmp_path, monkeypatch) -> None:
    (tmp_path / "counted_calls.py").write_text(CALLS)
    monkeypatch.syspath_prepend(tmp_path)
    call = importlib.import_module("counted_calls").call
    folder = tmp_path / "calls"
    folder.mkdir()

    def done(index: int, value: int) -> None:
        if error is KeyboardInterrupt:
            raise error

    def failed(index: int, error: Exception) -> list:
        raise error

    pool = WorkerPool(2)
    with pytest.raises(error):
        pool.run(call, [(folder, i) for i in range(200)], done, failed)
    assert 1 <= len(list(folder.iterdir())) < 30

    values = []
    pool.run(call, [(folder, i) for i in range(1000, 1010)], lambda _, value: values.append(value), failed)
    pool.close()
    assert sorted(values) == list(range(1000, 1010)), "the pool works on after it"


def test_importing_the_package_leaves_torch_alone() -> None:
    done = run("import crucible, sys; print('torch' in sys.modules)", "-")
    assert done.stdout == "False\n"


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_workers_of_a_killed_parent_end() -> None:
    code = textwrap.dedent(TRAIN) + "import time; time.sleep(100)"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=str(ROOT))
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"['ok', 'ok', 'ok']\n"
    workers = children(process.pid)
    assert len(workers) == 2
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 200
    while any(is_running(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in workers if is_running(pid)]


def children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(p) for thread in threads for p in (thread / "children").read_text().split()]
