"""What a forked child gives up before generated code runs in it: rights, files, system calls. Linux alone."""

import ctypes
import os
import resource
import struct
from collections.abc import Iterable

#: Stands in a filter of system calls for the process that loads it.
OWN_PROCESS = 0x51BD0A11

_LIBC = ctypes.CDLL(None, use_errno=True)

_PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_SECCOMP = 4, 8, 22
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS, _PR_SET_PDEATHSIG = 36, 38, 1
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION = 0x20080522
_READ_ANY_FILE = 1 << 2  # CAP_DAC_READ_SEARCH

_NEW_MOUNTS, _NEW_NAMES, _NEW_QUEUES, NEW_PROCESSES = 0x00020000, 0x04000000, 0x08000000, 0x20000000
_PRIVATE_TREE, _DETACH, _READ_ONLY, _REMOUNT, _BIND, _PLAIN = 0x44000, 2, 1, 32, 4096, 2 | 4 | 8

_LARGE_PAGE, _JOIN_PAGES = 2 * 1024**2, 25

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LOOK = 1 << 2 | 1 << 3  # read files, list folders
_LOOK_AT_FILE = 1 << 2
_SCRATCH = _LOOK | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 12 | 1 << 13 | 1 << 14
_RIGHTS_OF_VERSIONS = ((1, 13), (2, 14), (3, 15), (5, 16))  # version of Landlock -> how many rights it knows


def keep_out_of_reach() -> None:
    """Let no process of the same user read this one or stop it, and inherit all orphans below it."""
    _call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)
    _call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def come_within_reach() -> None:
    """Let this process's parent, of the same user, read what it uses; a fork inherits what hides that one."""
    _call("prctl", _PR_SET_DUMPABLE, 1, 0, 0, 0)


def join_pages() -> int:
    """Move this process's own memory into large pages; returns how many.

    A fork then copies a few hundred entries of page tables rather than tens of thousands, and the end of the
    child frees as few. Where the kernel cannot (before Linux 6.1), all stays as it is.
    """
    joined = 0
    with open("/proc/self/maps") as file:
        areas = [line.split() for line in file]
    for area in areas:
        if not area[1].startswith("rw") or (len(area) > 5 and area[5] != "[heap]"):
            continue
        start, end = (int(word, 16) for word in area[0].split("-"))
        first = -(-start // _LARGE_PAGE) * _LARGE_PAGE
        for page in range(first, end - _LARGE_PAGE + 1, _LARGE_PAGE):
            size = ctypes.c_size_t(_LARGE_PAGE)
            joined += _LIBC.madvise(ctypes.c_void_p(page), size, _JOIN_PAGES) == 0
    return joined


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it ends."""
    _call("prctl", _PR_SET_PDEATHSIG, 9, 0, 0, 0)


def limit(*, cpu_s: float, memory_bytes: int, num_processes: int, num_files: int, file_bytes: int) -> None:
    """Set the kernel's own limits of this process and its children, the second line behind the watch.

    Args:
        cpu_s: seconds of computing of each process.
        memory_bytes: address space beyond what is mapped now, with room for stacks that are never touched.
        num_processes: processes and threads beside those that the user runs already.
        num_files: files open at a time.
        file_bytes: length of a file.
    """
    with open("/proc/self/statm") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    seconds = int(cpu_s) + 2
    for name, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, mapped + memory_bytes + 256 * 1024**2),
        (resource.RLIMIT_NPROC, num_processes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, num_files),
    ):
        hard = resource.getrlimit(name)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(name, (most, most))


def enter_own_processes() -> int:
    """Make the next fork the first process of its own namespace; returns what `leave_processes` takes."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    _call("unshare", NEW_PROCESSES)
    return own


def leave_processes(own: int) -> None:
    """Make further forks ordinary children again."""
    try:
        _call("setns", own, NEW_PROCESSES)
    finally:
        os.close(own)


def enter_own_mounts() -> None:
    """Take mounts, host name and queues of its own, in which /proc shows nothing."""
    _call("unshare", _NEW_MOUNTS | _NEW_NAMES | _NEW_QUEUES)
    _call("mount", b"none", b"/", None, _PRIVATE_TREE, None)
    _call("mount", b"none", b"/proc", b"tmpfs", _READ_ONLY | _PLAIN, b"size=4k,mode=0555")


def show_read_only(path: str) -> None:
    """Make the mount at `path` read-only in this process's own mounts, and leave it to others as it is."""
    _call("mount", b"none", path.encode(), None, _REMOUNT | _READ_ONLY | _BIND | _PLAIN, None)


def mount_memory(path: str, size_bytes: int, mode: str) -> None:
    """Mount a file system in memory that holds at most `size_bytes` and one file a page."""
    options = f"size={max(size_bytes, 4096)},nr_inodes={max(16, size_bytes // 4096)},mode={mode}"
    _call("mount", b"none", path.encode(), b"tmpfs", _PLAIN, options.encode())


def make_read_only(path: str) -> None:
    """Let nobody write in the file system at `path`."""
    _call("mount", b"none", path.encode(), None, _REMOUNT | _READ_ONLY | _PLAIN, None)


def unmount(path: str) -> None:
    """Take the file system at `path` away, with all that it held."""
    _call("umount2", path.encode(), _DETACH)


def landlock_version() -> int:
    """Version of Landlock in this kernel; 0 where there is none."""
    return max(0, _LIBC.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1))


def fence_files(readable: Iterable[str], scratch: str) -> None:
    """Leave this process nothing but reading below `readable` and writing below `scratch`, by Landlock."""
    version = landlock_version()
    num_rights = max((rights for since, rights in _RIGHTS_OF_VERSIONS if since <= version), default=0)
    handled = (1 << num_rights) - 1
    network = 3 if version >= 4 else 0
    scoped = 3 if version >= 6 else 0  # abstract sockets and signals stay within
    attributes = struct.pack("=QQQ", handled, network, scoped)[
        : 24 if version >= 6 else 16 if version >= 4 else 8
    ]
    ruleset = _call("syscall", _LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    for path in readable:
        _permit(ruleset, path, (_LOOK if os.path.isdir(path) else _LOOK_AT_FILE) & handled)
    _permit(ruleset, scratch, _SCRATCH & handled)
    _give_up_new_rights()
    _call("syscall", _LANDLOCK_RESTRICT, ruleset, 0)
    os.close(ruleset)


def become(user: int, keeps_reading: bool) -> None:
    """Become `user`, who has no rights but, if `keeps_reading`, that of reading what a fence leaves to it."""
    _call("prctl", _PR_SET_KEEPCAPS, int(keeps_reading), 0, 0, 0)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    drop_capabilities(_READ_ANY_FILE if keeps_reading else 0)


def drop_capabilities(kept: int = 0) -> None:
    """Keep no capability but those of the bits `kept`."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    _call("capset", header, struct.pack("=6I", kept, kept, 0, 0, 0, 0))
    _give_up_new_rights()


def load_filter(program: bytes) -> None:
    """Let the kernel judge every further system call of this process and its children by `program`."""

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]

    program = program.replace(struct.pack("=I", OWN_PROCESS), struct.pack("=I", os.getpid()))
    _give_up_new_rights()
    instructions = Program(len(program) // 8, program)
    _call("prctl", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(instructions), 0, 0)


def _give_up_new_rights() -> None:
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _permit(ruleset: int, path: str, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, descriptor)
        _call("syscall", _LANDLOCK_ADD, ruleset, 1, rule, 0)
    finally:
        os.close(descriptor)


def _call(name: str, *arguments) -> int:
    """Call the C library; whatever it refuses is an OSError that names the call."""
    words = [ctypes.c_ulong(word) if isinstance(word, int) else word for word in arguments]
    outcome = getattr(_LIBC, name)(*words)
    if outcome < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return outcome
