"""A sandbox of each backend that can run here, shared by all tests; a few lines to run in it."""

import os
import shutil
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator

import pytest
from small_limits import SECRET, SMALL

from tamiyo.sandbox import watching
from tamiyo.sandbox.choosing import SANDBOXES
from tamiyo.sandbox.contract import Job, Limits, Outcome, Sandbox, SandboxError

#: Backends that a variable forbids to be missing: a machine that installs them wants to know.
_DEMANDED_BY = {
    "bubblewrap": "TAMIYO_TEST_SANDBOX",
    "rlimits": "TAMIYO_TEST_SANDBOX",
    "container": "TAMIYO_TEST_PODMAN",
}


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An engine of containers: the one that DOCKER_HOST names, or a Podman of our own where there is one."""
    program = shutil.which("podman")
    if os.environ.get("DOCKER_HOST") or program is None:
        yield
        return
    socket = tmp_path_factory.mktemp("engine") / "podman.sock"
    service = subprocess.Popen([program, "system", "service", "--time=0", f"unix://{socket}"])
    deadline = time.monotonic() + 60
    while not socket.exists() and service.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", f"unix://{socket}")
        yield
    service.terminate()
    service.wait()


@pytest.fixture(scope="session", params=SANDBOXES)
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    if request.param == "container":
        request.getfixturevalue("engine")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OPENAI_API_KEY", SECRET)
            opened = SANDBOXES[request.param]()
            opened.run(Job(files={"warm.py": b"def up(payload): pass"}, function="warm:up"), SMALL)
    except SandboxError as error:
        if os.environ.get(_DEMANDED_BY[request.param]):
            raise
        pytest.skip(str(error))
    yield opened
    opened.close()


@pytest.fixture
def call(sandbox: Sandbox) -> Callable[..., Outcome]:
    """Run the body of a function in the sandbox: `call(source, limits, payload, files, returned)`."""

    def run(source: str, limits: Limits = SMALL, payload=None, files=None, returned=()) -> Outcome:
        body = textwrap.indent(textwrap.dedent(source), "    ")
        module = f"def call(payload):\n{body}\n"
        job = Job(
            files={"candidate.py": module.encode(), **(files or {})},
            function="candidate:call",
            payload=payload or {},
            returned=returned,
        )
        return sandbox.run(job, limits)

    return run


@pytest.fixture
def next_job_works_and_nothing_is_left(call):
    """Before and after each attack: the same processes, and a job that works."""
    before = set(watching.descendants(os.getpid()))
    yield
    after = call("import os; return os.listdir('.')")
    assert (after.status, after.result) == ("ok", [])
    assert set(watching.descendants(os.getpid())) == before
