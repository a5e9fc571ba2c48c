"""The outer end of a zygote: it starts one, hands it jobs, judges what comes back and replaces a lost one."""

import atexit
import json
import math
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from tamiyo.sandbox import wire
from tamiyo.sandbox.contract import Job, Limits, Outcome, OutcomeStatus, ResourceUse, SandboxError

#: Seconds that a zygote may take to import torch on a busy machine.
_WARM_UP_S = 180.0
#: Seconds past a job's deadline after which the zygote itself is taken for lost.
_GRACE_S = 20.0
_LOSSES = (EOFError, BrokenPipeError, TimeoutError, ValueError)
#: All that the environment of generated code says; one thread, since threads do not survive a fork.
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}


class Zygote(Protocol):
    """A zygote that was started, as its keeper holds it."""

    @property
    def jobs(self) -> int:
        """The descriptor on which it takes jobs."""
        ...

    @property
    def outcomes(self) -> int:
        """The descriptor on which it tells how they ended."""
        ...

    def is_alive(self) -> bool:
        """Whether it still runs."""
        ...

    def words(self) -> str:
        """The last that it said itself."""
        ...

    def end(self) -> bool:
        """End it and all below it; returns whether it was ended for want of memory before."""
        ...


class Keeper:
    """One zygote at a time, started when it is needed.

    Attributes:
        name: of the backend whose zygote it is.
        num_started: zygotes started so far; more than one after a loss.
    """

    def __init__(
        self, name: str, start: Callable[[], Zygote], settings: Mapping[str, Any], programs: Sequence[bytes]
    ) -> None:
        self.name = name
        self.num_started = 0
        self._start = start
        self._settings = dict(settings)
        self._programs = tuple(programs)
        self._zygote: Zygote | None = None
        self._is_closed = False
        atexit.register(self.close)

    def run(self, job: Job, limits: Limits) -> Outcome:
        """Return how `job` ended; a zygote that is lost on the way is the job's crash.

        Raises:
            SandboxError: no zygote can be started, or a name of a file leads out of its folder.
        """
        header = _header(job, limits)
        zygote = self._ready()
        started = time.monotonic()
        try:
            wire.send(zygote.jobs, header, tuple(job.files.values()))
            ended, blobs = wire.receive(zygote.outcomes, started + limits.wall_s + _GRACE_S)
        except _LOSSES as error:
            return self._lost(zygote, error, time.monotonic() - started)
        except BaseException:  # an interrupted caller must not read this job's outcome as that of the next
            self._end()
            raise
        return _outcome(self.name, ended, blobs)

    def close(self) -> None:
        """End the zygote and all below it; no other is started."""
        atexit.unregister(self.close)
        self._is_closed = True
        self._end()

    def _ready(self) -> Zygote:
        """A zygote that has imported what it imports."""
        if self._zygote is not None and self._zygote.is_alive():
            return self._zygote
        self._end()
        if self._is_closed:
            raise SandboxError(f"the sandbox '{self.name}' is closed; open another")
        zygote = self._zygote = self._start()
        self.num_started += 1
        try:
            wire.send(zygote.jobs, self._settings, self._programs)
            hello, _ = wire.receive(zygote.outcomes, time.monotonic() + _WARM_UP_S)
        except _LOSSES as error:
            words = zygote.words()
            self._end()
            raise SandboxError(
                f"the sandbox '{self.name}' did not start ({error}); it said: {words}"
            ) from error
        if hello["python"] != sys.version:
            self._end()
            raise SandboxError(f"the sandbox '{self.name}' runs Python {hello['python']}, not {sys.version}")
        return zygote

    def _end(self) -> bool:
        zygote, self._zygote = self._zygote, None
        return zygote is not None and zygote.end()

    def _lost(self, zygote: Zygote, error: Exception, seconds: float) -> Outcome:
        words = zygote.words()
        status: OutcomeStatus = "timed_out" if isinstance(error, TimeoutError) else "crashed"
        if self._end():
            status = "out_of_memory"
        return Outcome(
            status=status,
            detail=f"the sandbox was lost while the job ran: {error}; it said: {words}",
            usage=ResourceUse(wall_s=seconds, cpu_s=0.0, peak_bytes=0),
            backend=self.name,
        )


class ProcessZygote:
    """A zygote that is a process below this one."""

    def __init__(self, command: Sequence[str]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=ENVIRONMENT,
            cwd="/",
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._pipes = self._process.stdin, self._process.stdout

    @property
    def jobs(self) -> int:
        """The descriptor on which it takes jobs."""
        return self._pipes[0].fileno()

    @property
    def outcomes(self) -> int:
        """The descriptor on which it tells how they ended."""
        return self._pipes[1].fileno()

    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def words(self) -> str:
        """The last that it said itself."""
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - 2000))
        return self._said.read().decode(errors="replace").strip() or "nothing"

    def end(self) -> bool:
        """End it: it kills what is below it when its pipe closes, and is killed if it does not."""
        for pipe in self._pipes:
            pipe.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()
        return False


def zygote_command(python: str, packages: str) -> tuple[str, ...]:
    """The command that starts a zygote.

    Args:
        python: the interpreter.
        packages: the folder in which it finds `tamiyo/sandbox`.
    """
    start = f"import sys; sys.path.append({packages!r}); from tamiyo.sandbox.zygote import serve; serve()"
    return (python, "-I", "-c", start)


def own_packages() -> str:
    """The folder that holds this `tamiyo` package."""
    return str(Path(__file__).resolve().parents[2])


def readable_paths() -> tuple[str, ...]:
    """What generated code needs to read: the system's libraries, the base Python, this environment."""
    system = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives", "/sys/devices/system/cpu")
    python = (sys.base_prefix, sys.prefix)
    paths = (*system, "/dev/null", "/dev/urandom", *python, *map(os.path.realpath, python))
    return tuple(path for path in dict.fromkeys(paths) if os.path.exists(path))


def unprivileged_user() -> int:
    """A user id that nobody has: of the range that systemd keeps for services without a user of their own."""
    return 61184 + secrets.randbelow(4096)


def _header(job: Job, limits: Limits) -> dict[str, Any]:
    """The job as the zygote reads it.

    Raises:
        SandboxError: a name leads out of its folder.
    """
    for name in job.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
            raise SandboxError(f"a file of a job is named below its folder, as `model.py`; got {name!r}")
    for name in job.returned:
        if not name or "/" in name or name in (".", "..") or "\0" in name:
            raise SandboxError(
                f"a returned file is one of the scratch folder itself, as `weights.pt`; got {name!r}"
            )
    return {
        "names": list(job.files),
        "function": job.function,
        "payload": job.payload,
        "returned": list(job.returned),
        "limits": asdict(limits),
    }


def _outcome(backend: str, ended: Mapping[str, Any], blobs: Sequence[bytes]) -> Outcome:
    """What the zygote told; the candidate's own words are judged here for the first time."""
    returned, printed, *contents = blobs
    status, detail, result = ended["status"], ended["detail"], None
    if status == "ended":
        status, detail, result = _judged(returned, ended["exit_code"])
    return Outcome(
        status=status,
        result=result,
        detail=detail,
        output=printed.decode(errors="replace"),
        files=dict(zip(ended["names"], contents, strict=True)),
        usage=ResourceUse(wall_s=ended["wall_s"], cpu_s=ended["cpu_s"], peak_bytes=ended["peak_bytes"]),
        backend=backend,
    )


def _judged(returned: bytes, exit_code: int) -> tuple[Any, str, Any]:
    """Status, detail and result of a function that was let end by itself."""
    if not returned:
        how = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
        return "crashed", f"it ended without a result: {how}", None
    try:
        answer = json.loads(returned, parse_constant=_finite, parse_float=_finite)
        json.dumps(answer, ensure_ascii=False).encode()  # half a character is no text either
        if not isinstance(answer, dict) or set(answer) not in ({"result"}, {"error"}):
            raise ValueError("neither a result nor an error")
    except (ValueError, RecursionError) as error:
        return "crashed", f"what came back is no result: {str(error)[:200]}", None
    if "result" in answer:
        return "ok", "", answer["result"]
    error = str(answer["error"])[:2000]
    short_of_memory = error.startswith("MemoryError") or "can't allocate memory" in error
    return "out_of_memory" if short_of_memory else "crashed", error, None


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no number")
    return number
