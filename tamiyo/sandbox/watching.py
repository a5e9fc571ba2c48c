"""What a candidate's processes use, read from /proc beside them and out of their reach, and their end."""

import os
import signal
import time
from dataclasses import dataclass, field

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True, kw_only=True)
class Watch:
    """Counts the use of all processes below this one.

    Attributes:
        held_bytes: private memory of this process, which a forked child shares until it writes to it.
        peak_bytes: most memory beyond that at a time, as far as samples tell.
        num_processes: processes and threads at the last look.
    """

    held_bytes: int
    peak_bytes: int = 0
    num_processes: int = 0
    _seconds: dict[tuple[int, str], float] = field(default_factory=dict)

    @property
    def cpu_s(self) -> float:
        """Seconds of computing of every process ever seen; what one does after the last look is missed."""
        return sum(self._seconds.values())

    def look(self) -> int:
        """Count once more; returns the memory in use now, in bytes beyond `held_bytes`."""
        self.num_processes = 0
        private = []
        for process in descendants(os.getpid()):
            seen = _status(process)
            if seen is None:
                continue
            started, seconds, num_threads = seen
            self._seconds[process, started] = seconds
            self.num_processes += num_threads
            private.append((process, _private_bytes(process)))
        used = self._used_bytes(private)
        self.peak_bytes = max(self.peak_bytes, used)
        return used

    def _used_bytes(self, private: list[tuple[int, int]]) -> int:
        """Memory of the processes together; exact where the simple sum would be a new peak."""
        used = sum(size for _, size in private) - self.held_bytes
        if len(private) > 1 and used > self.peak_bytes:
            used = min(self._exact_bytes(private), self._exact_bytes(private))
        return max(0, used)

    def _exact_bytes(self, private: list[tuple[int, int]]) -> int:
        """Memory with shared pages counted once; too much where sharers end in between, so ask twice."""
        shares = [share for process, size in private if (share := _share_bytes(process, size))]
        return sum(shares) - self.held_bytes * len(shares) // (len(shares) + 1)


def private_bytes() -> int:
    """Memory of this process that no file backs."""
    return _private_bytes(os.getpid())


def threads_of_user(user: int) -> int:
    """Processes and threads that `user` runs, as far as /proc shows them."""
    count = 0
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == user:
                count += (_status(int(name)) or ("", 0.0, 0))[2]
        except FileNotFoundError:
            continue
    return count


def descendants(process: int) -> list[int]:
    """All processes below `process`, which must inherit the orphans among them."""
    found, waiting = [], [process]
    while waiting:
        children = _children(waiting.pop())
        found += children
        waiting += children
    return found


def end_all(within_s: float = 10.0) -> bool:
    """Kill every process below this one until none is left; returns whether none is.

    Orphans come back to this process, so that "no child" is proof.
    """
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        for process in descendants(os.getpid()):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if not _reap():
            return True
        time.sleep(0.001)
    return False


def folder_bytes(folder: str, enough: int) -> int:
    """Bytes of the files below `folder`, each entry a page at least; stops when it is past `enough`."""
    total, waiting = 0, [folder]
    while waiting and total <= enough:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    total += max(_PAGE, status.st_blocks * 512)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    if total > enough:
                        break
        except FileNotFoundError:
            continue
        except OSError:  # a path that is too long, or a folder that may not be read: nobody needs such
            return enough + 1
    return total


def _reap() -> bool:
    """Take the ends of children; returns whether any child is left."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return True
        except ChildProcessError:
            return False


def _children(process: int) -> list[int]:
    try:
        tasks = os.listdir(f"/proc/{process}/task")
    except FileNotFoundError:
        return []
    children = []
    for task in tasks:
        children += [int(word) for word in _text(f"/proc/{process}/task/{task}/children").split()]
    return children


def _status(process: int) -> tuple[str, float, int] | None:
    """When the process started, its seconds of computing, its threads."""
    words = _text(f"/proc/{process}/stat").rpartition(")")[2].split()
    if not words:
        return None
    return words[19], (int(words[11]) + int(words[12])) / _TICKS, int(words[17])


def _private_bytes(process: int) -> int:
    words = _text(f"/proc/{process}/statm").split()
    return (int(words[1]) - int(words[2])) * _PAGE if words else 0


def _share_bytes(process: int, whole: int) -> int:
    """The private memory of `process`, each page divided by its sharers; the whole where that is hidden."""
    try:
        with open(f"/proc/{process}/smaps_rollup") as file:
            lines = file.readlines()
    except PermissionError:
        return whole
    except (FileNotFoundError, ProcessLookupError):  # it has ended, or is ending
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss_Anon:")), whole)


def _text(path: str) -> str:
    """What the file of /proc says; nothing if its process is gone or hides it."""
    try:
        with open(path) as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
