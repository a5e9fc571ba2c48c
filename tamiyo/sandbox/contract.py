"""The contract of a sandbox: a job, its limits, how it ended and what it used; no backend."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from blueprints.errors import TamiyoError

#: How a job can end. Only `ok` has a result.
OutcomeStatus = Literal["ok", "timed_out", "out_of_memory", "output_too_long", "crashed"]


class SandboxError(TamiyoError):
    """The sandbox itself cannot be had or is gone; never a candidate's fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one job may use; the first limit that is passed ends it and everything that it started.

    Attributes:
        wall_s: seconds by the clock.
        cpu_s: seconds of computing, of all its processes and threads together.
        memory_bytes: memory beyond what the sandbox itself holds when the job starts.
        num_processes: processes and threads at a time.
        num_files: files open at a time.
        file_bytes: bytes that it may write, in all, in its own scratch folder.
        output_bytes: bytes that it may print.
    """

    wall_s: float = 60.0
    cpu_s: float = 60.0
    memory_bytes: int = 2 * 1024**3
    num_processes: int = 32
    num_files: int = 128
    file_bytes: int = 64 * 1024**2
    output_bytes: int = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One call of a function of the candidate's folder, in a process of its own.

    Attributes:
        files: the folder that the job sees, read-only: path below it -> content.
        function: what is called, as `module:function`; it takes `payload` and returns what JSON can say. Its
            working folder is its scratch, of which the files named in `returned` come back.
        payload: what JSON can say.
        returned: names of the files of the scratch folder that come back.
    """

    files: Mapping[str, bytes]
    function: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    returned: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceUse:
    """What a job used.

    Attributes:
        wall_s: seconds by the clock.
        cpu_s: seconds of computing.
        peak_bytes: the most resident memory at once, beyond what the process that it was forked from holds.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job ended.

    Attributes:
        status: `ok` when the function returned; otherwise what ended it.
        result: what the function returned; None unless `ok`.
        detail: one line: the exception of the function, the limit that was passed, or the signal.
        output: the last of what it printed.
        files: those of `Job.returned` that it left.
        usage: what it used.
        backend: name of the sandbox that ran it.
    """

    status: OutcomeStatus
    result: Any = None
    detail: str = ""
    output: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    usage: ResourceUse
    backend: str


class Sandbox(Protocol):
    """Runs jobs one at a time, each as if it were alone, and forgets it."""

    @property
    def name(self) -> str:
        """Name of the backend, as runs tell it."""
        ...

    def run(self, job: Job, limits: Limits) -> Outcome:
        """Return how `job` ended; whatever it does, this returns soon after its limits.

        Raises:
            SandboxError: the sandbox cannot run anything.
        """
        ...

    def close(self) -> None:
        """End everything that the sandbox started."""
        ...
