"""A worker process as the server sees it: started, spoken to, and ended with all that it started."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from tamiyo.jobs_records import EvaluationRequest, JobSettings

#: Most bytes of one answer; a worker that says more at once is not ours any more.
MAX_ANSWER_BYTES = 4 << 20
_CHUNK = 1 << 16

Answer = Mapping[str, Any]


class WorkerGoneError(Exception):
    """The process ended, or talks nonsense."""


class WorkerProcess:
    """One process in a session of its own; use it from one thread, which must outlive it.

    On Linux a child dies with the thread that started it, as that is how the kernel reckons parents.

    Attributes:
        is_ready: whether it said so; set by who hears it.
        engine_id: what it said of its engine then.
    """

    def __init__(self, settings: JobSettings, latency_table: str) -> None:
        """Start the process; its first answer is `ready`, with what it found out about the machine."""
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path or os.getcwd() for path in sys.path))
        environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        command = f"from tamiyo.jobs_worker import serve; serve({os.getpid()})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._pending = b""
        self.is_ready, self.engine_id = False, ""
        self._write({"settings": asdict(settings), "latency_table": latency_table})

    @property
    def pid(self) -> int:
        """Number of the process, and of its group."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def send(self, request: EvaluationRequest) -> None:
        """Give it a job."""
        self._write(asdict(request))

    def answers(self, seconds: float) -> Iterator[Answer]:
        """Yield the answers that come within so many seconds; there may be none.

        Raises:
            WorkerGoneError: when no more can come.
        """
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            left = seconds
            while left >= 0 and selector.select(left):
                chunk = os.read(self._stdout.fileno(), _CHUNK)
                if not chunk:
                    raise WorkerGoneError(f"the worker process ended with {self._ending()}")
                *whole, self._pending = (self._pending + chunk).split(b"\n")
                yield from map(_read, whole)
                if len(self._pending) > MAX_ANSWER_BYTES:
                    raise WorkerGoneError(f"the worker process answers with over {MAX_ANSWER_BYTES} bytes")
                left = end - time.monotonic()

    def end(self) -> None:
        """Kill the process and those that it started, whatever they do, and wait until it is gone."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(BrokenPipeError):
            self._stdin.close()
        self._process.wait()
        self._stdout.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            self._stdin.write(json.dumps(line).encode() + b"\n")
            self._stdin.flush()
        except BrokenPipeError as error:
            raise WorkerGoneError(f"the worker process ended with {self._ending()}") from error

    def _ending(self) -> str:
        """Return how the process ended, which it is about to do if it closed its output."""
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "no exit status: it lives, but speaks no more"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def _read(line: bytes) -> Answer:
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or "kind" not in answer:
        raise WorkerGoneError(f"the worker process answers {line[:80]!r}")
    return answer
