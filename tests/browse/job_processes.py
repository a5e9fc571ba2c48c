"""Tasks that hang and raise, and the processes that jobs run in, for tests; starts none itself."""

import os
import time
from collections.abc import Callable
from pathlib import Path

#: A seed from which the tasks below hang, or raise, and one on which they do neither.
BAD, GOOD = 7, 0
USER_TASKS = f"""\
import subprocess, time
from dataclasses import dataclass
from curricula.xor import Xor

@dataclass(frozen=True, kw_only=True)
class Hanging(Xor):
    name: str = "hanging"
    epochs: int = 3
    def draw(self, seed):
        if seed == {BAD}:
            subprocess.Popen(["sleep", "600"])
            time.sleep(600)
        return Xor.draw(self, seed)

@dataclass(frozen=True, kw_only=True)
class Raising(Xor):
    name: str = "raising"
    epochs: int = 3
    def draw(self, seed):
        if seed == {BAD}:
            raise ZeroDivisionError("nothing to divide by")
        return Xor.draw(self, seed)

TASKS = (Hanging(), Raising())
"""


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def workers(parent: int | None = None) -> list[int]:
    """Return the living job workers that a process started."""
    wanted = f"serve({parent or os.getpid()})".encode()
    return [pid for pid in processes() if wanted in _of(pid, "cmdline")]


def group(leader: int) -> list[int]:
    """Return the living processes of a group; one that was killed and not waited for lives no more."""
    fields = {pid: _of(pid, "stat").rpartition(b")")[2].split() for pid in processes()}
    return [pid for pid, found in fields.items() if found[2:3] == [str(leader).encode()] and found[0] != b"Z"]


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _of(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
