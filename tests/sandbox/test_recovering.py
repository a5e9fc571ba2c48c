"""What a sandbox does after a loss: a job that works, whatever the lost zygote or a candidate left behind."""

import os
import shutil
import stat
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_limits import SMALL

from tamiyo.sandbox import choosing, containers, keeper, watching
from tamiyo.sandbox.clearing import remove_folder
from tamiyo.sandbox.contract import Job, Sandbox, SandboxError
from tamiyo.sandbox.rlimits import RlimitsSandbox

SLEEPING = Job(files={"m.py": b"import time\ndef f(p): time.sleep(30)"}, function="m:f")
WORKING = Job(files={"m.py": b"def f(p): return 1"}, function="m:f")


@pytest.fixture
def rlimits() -> Any:
    try:
        opened = RlimitsSandbox()
    except SandboxError as error:
        pytest.skip(str(error))
    yield opened
    opened.close()


def test_after_a_zygote_is_lost_amid_a_job_the_next_ones_work(rlimits: RlimitsSandbox) -> None:
    before = set(watching.descendants(os.getpid()))
    assert rlimits.run(WORKING, SMALL).status == "ok"
    lost: list[Any] = []
    running = threading.Thread(target=lambda: lost.append(rlimits.run(SLEEPING, SMALL)))
    [zygote] = set(watching.descendants(os.getpid())) - before
    running.start()
    while not watching.descendants(zygote):
        time.sleep(0.01)
    os.kill(zygote, 9)
    running.join()
    assert lost[0].status == "crashed"
    assert [rlimits.run(WORKING, SMALL).result for _ in range(3)] == [1, 1, 1]
    base = rlimits._base
    rlimits.close()
    assert not os.path.exists(base)


def test_a_folder_that_its_owner_may_not_enter_is_removed_all_the_same() -> None:
    user = keeper.unprivileged_user() if os.getuid() == 0 else os.getuid()
    above = tempfile.mkdtemp()
    os.chown(above, user, -1)
    child = os.fork()
    if child == 0:
        if os.getuid() == 0:
            os.setuid(user)
        closed = Path(above, "left", "closed")
        closed.mkdir(parents=True)
        (closed / "file").touch()
        closed.chmod(stat.S_IWUSR | stat.S_IXUSR)
        os._exit(0 if remove_folder(str(closed.parent)) and not os.listdir(above) else 1)
    assert os.waitpid(child, 0)[1] == 0
    shutil.rmtree(above)


def test_a_folder_that_stays_is_told_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tamiyo.sandbox.clearing._does", lambda *command: False)
    assert not remove_folder(str(tmp_path))


def test_an_engine_that_answers_and_makes_no_container_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors = pytest.importorskip("docker.errors")

    def create(*arguments: Any, **fields: Any) -> None:
        raise errors.APIError("the name of the profile is unknown")

    images = SimpleNamespace(get=lambda name: None)
    engine = SimpleNamespace(images=images, containers=SimpleNamespace(create=create))
    monkeypatch.setattr(containers, "_engine", lambda address: engine)
    with pytest.raises(SandboxError, match=r"makes no container: .*profile is unknown"):
        containers.ContainerSandbox()
    other = SimpleNamespace(name="other")
    kinds: dict[str, Any] = {"container": containers.ContainerSandbox, "other": lambda: other}
    monkeypatch.setattr(choosing, "SANDBOXES", kinds)
    found: Sandbox = choosing.open_sandbox("auto")
    assert found is other


def test_an_engine_that_makes_no_container_any_more_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("docker.errors")
    made = SimpleNamespace(remove=lambda force: None)
    answers = iter([made])
    images = SimpleNamespace(get=lambda name: None)
    create = SimpleNamespace(create=lambda *arguments, **fields: next(answers))
    monkeypatch.setattr(
        containers, "_engine", lambda address: SimpleNamespace(images=images, containers=create)
    )
    opened = containers.ContainerSandbox()
    with pytest.raises(SandboxError, match="makes no container"):
        opened.run(WORKING, SMALL)
    opened.close()
