"""Keeps a map of a library at hand: draws it in another process, and anew when the library has grown.

The first request starts the drawing and is told how far it has come; so is every other until it is done. A
map serves until the library has a tenth more blueprints than when it was drawn, or fewer; it goes on serving
while the next one is drawn. A sample that came out the same is not drawn again. Which blueprints are the
sample is the caller's matter; what a map says is left to space.py.
"""

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Literal

from blueprints import LANGUAGE
from blueprints.errors import TamiyoError
from tamiyo.space_records import Member, SpaceMap, SpaceSettings

#: Time that a drawing may take, in seconds.
DEADLINE_S = 600.0
#: A library is drawn anew when it has so many times the blueprints that it had.
GROWTH = 1.1
#: Time before a drawing that failed is tried again, in seconds.
RETRY_S = 60.0
_LOG = logging.getLogger("tamiyo.browse")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceState:
    """What is known of the map at one moment.

    Attributes:
        status: `ready`; `computing` where none is drawn yet; `failed` where none could be.
        is_redrawn: whether a drawing is under way, be there a map or not.
        phase: what the drawing does.
        share: how far it is, 0 to 1.
        reason: why the last drawing failed; empty where it did not.
        map: the last one that was drawn.
        num_blueprints: blueprints in the library when its sample was taken.
        key: hash of the sample and the settings that it was drawn from.
    """

    status: Literal["ready", "computing", "failed"] = "computing"
    is_redrawn: bool = False
    phase: str = ""
    share: float = 0.0
    reason: str = ""
    map: SpaceMap | None = None
    num_blueprints: int = 0
    key: str = ""


class SpaceService:
    """One library's map; its methods may be called from any thread.

    Args:
        count: returns the number of blueprints in the library, in little time.
        sample: returns the members that a map is drawn of; called in a thread of the service.
        settings: of the map.
        deadline_s: time that a drawing may take.
    """

    def __init__(
        self,
        *,
        count: Callable[[], int],
        sample: Callable[[], Sequence[Member]],
        settings: SpaceSettings | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._count = count
        self._sample = sample
        self._settings = settings or SpaceSettings()
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._state = SpaceState()
        self._failed_at = 0.0
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._is_closed = False

    def state(self) -> SpaceState:
        """Return what is known now, and start a drawing where one is due."""
        num = self._count()
        with self._lock:
            if self._is_due(num):
                self._state = replace(self._state, is_redrawn=True, phase="reading the library", share=0.0)
                self._thread = threading.Thread(target=self._draw, args=(num,), daemon=True)
                self._thread.start()
            return self._state

    def close(self) -> None:
        """End the drawing that is under way, and start none any more."""
        with self._lock:
            self._is_closed = True
            process, thread = self._process, self._thread
        if process is not None:
            _kill(process)
        if thread is not None:
            thread.join()

    def _is_due(self, num: int) -> bool:
        state = self._state
        if state.is_redrawn or self._is_closed:
            return False
        if state.reason and time.monotonic() < self._failed_at + RETRY_S:
            return False
        return state.map is None or not state.num_blueprints <= num < GROWTH * state.num_blueprints

    def _draw(self, num: int) -> None:
        """Take a sample, have it drawn, and keep what comes of it."""
        try:
            members = self._sample()
            key = _key(members, self._settings)
            with self._lock:
                known = self._state.map if key == self._state.key else None
            self._keep(known or self._drawn(members), num, key)
        except TamiyoError as error:
            self._fail(str(error))
        except Exception as error:
            # A failure is not silent: it is logged whole, and every request is told that there is no map.
            _LOG.exception("the map failed")
            self._fail(f"the map failed: {type(error).__name__}; the server's log says why")

    def _drawn(self, members: Sequence[Member]) -> SpaceMap:
        """Return the map that another process draws."""
        with tempfile.TemporaryFile("w+") as complaints:
            process = self._start(complaints)
            began = time.monotonic()
            deadline = threading.Timer(self._deadline_s, _kill, [process])
            deadline.start()
            try:
                found = self._follow(process, members)
                process.wait()
            finally:
                deadline.cancel()
                _kill(process)
                _close(process)
                with self._lock:
                    self._process = None
            if isinstance(found, SpaceMap):
                return found
            if found:
                raise TamiyoError(found)
            if self._is_closed:
                raise TamiyoError("the server is ending")
            if time.monotonic() - began >= self._deadline_s:
                raise TamiyoError(f"the map was not drawn in {self._deadline_s:g} s; it is tried again later")
            complaints.seek(0)
            _LOG.error("the map's process ended with %s: %s", process.returncode, complaints.read()[-2000:])
            raise TamiyoError("the process that draws the map ended; the server's log says why")

    def _start(self, complaints: IO[str]) -> "subprocess.Popen[str]":
        """Start the process, in a group of its own, on one thread."""
        root = str(Path(__file__).parents[1])
        paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        with self._lock:
            if self._is_closed:
                raise TamiyoError("the server is ending")
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tamiyo.space_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
            return self._process

    def _follow(self, process: "subprocess.Popen[str]", members: Sequence[Member]) -> SpaceMap | str:
        """Return the map, or what the process says went wrong; nothing where it said nothing."""
        assert process.stdin is not None
        assert process.stdout is not None
        asked = {"settings": asdict(self._settings), "members": [asdict(member) for member in members]}
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
        for line in process.stdout:
            told = json.loads(line)
            if "map" in told:
                return SpaceMap.from_json(told["map"])
            if "error" in told:
                return told["error"]
            with self._lock:
                self._state = replace(self._state, phase=told["phase"], share=told["share"])
        return ""

    def _keep(self, found: SpaceMap, num: int, key: str) -> None:
        with self._lock:
            self._state = SpaceState(status="ready", map=found, num_blueprints=num, key=key, share=1.0)

    def _fail(self, reason: str) -> None:
        with self._lock:
            self._failed_at = time.monotonic()
            status = "failed" if self._state.map is None else "ready"
            self._state = replace(self._state, status=status, is_redrawn=False, phase="", reason=reason)


def _key(members: Sequence[Member], settings: SpaceSettings) -> str:
    """Return a hash of all that decides a map."""
    rows = sorted((member.id, member.family, member.reward) for member in members)
    text = json.dumps([LANGUAGE.version_hash, asdict(settings), rows])
    return hashlib.sha256(text.encode()).hexdigest()


def _kill(process: "subprocess.Popen[str]") -> None:
    """End a process with all that it started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _close(process: "subprocess.Popen[str]") -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
