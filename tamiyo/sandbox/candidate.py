"""What a forked child does: it gives up its rights, calls the function of the job, tells what came back."""

import importlib
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tamiyo.sandbox import confinement, watching

_RESULT = 3  # the descriptor on which the result leaves


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Where a candidate is put.

    Attributes:
        has_namespaces: whether it gets mounts and processes of its own.
        readable: what it may read besides its own folders, where the kernel has Landlock.
        user: whom it becomes; None where the zygote is an ordinary user already.
        keeps_reading: whether it keeps the right to read what only the superuser could, within the fence.
        programs: the filters of system calls.
        folder: the candidate's files, which it cannot change.
        scratch: where it works.
    """

    has_namespaces: bool
    readable: tuple[str, ...]
    user: int | None
    keeps_reading: bool
    programs: tuple[bytes, ...]
    folder: str
    scratch: str


def live(
    cell: Cell, limits: Mapping[str, Any], function: str, payload: Any, output: int, result: int
) -> None:
    """Run `function` in this freshly forked process, and end it; never returns.

    Args:
        cell: where it is put.
        limits: the arguments of `confinement.limit`.
        function: `module:function` of the candidate's folder.
        payload: its argument.
        output: descriptor of what it prints.
        result: descriptor of what it returns.
    """
    status = 1
    try:
        _take_descriptors(output, result)
        _confine(cell, limits)
        _tell(_answer(cell.folder, function, payload))
        status = 0
    except (
        BaseException
    ) as error:  # there is nobody above: whatever it is, it must not reach the zygote's code
        _tell(_failure(f"the cell could not be closed: {type(error).__name__}: {error}"))
    finally:
        os._exit(status)


def _take_descriptors(output: int, result: int) -> None:
    """Keep nothing open but an empty input, the output and the way of the result."""
    empty = os.open(os.devnull, os.O_RDONLY)
    output, result = os.dup(output), os.dup(result)  # away from the numbers that are overwritten below
    for source, target in ((empty, 0), (output, 1), (output, 2), (result, _RESULT)):
        os.dup2(source, target)
    os.closerange(_RESULT + 1, os.sysconf("SC_OPEN_MAX"))


def _confine(cell: Cell, limits: Mapping[str, Any]) -> None:
    """Give up everything; the order matters, since each step needs rights that a later one takes."""
    os.setsid()
    confinement.come_within_reach()
    os.umask(0o077)
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    user = os.getuid() if cell.user is None else cell.user
    others = watching.threads_of_user(user)
    confinement.limit(**{**limits, "num_processes": limits["num_processes"] + others})
    if cell.has_namespaces:
        confinement.enter_own_mounts()
        confinement.show_read_only(os.path.dirname(os.path.dirname(cell.folder)))
    os.chdir(cell.scratch)
    os.environ.update(HOME=cell.scratch, TMPDIR=cell.scratch)
    tempfile.tempdir = cell.scratch
    if cell.user is None:
        confinement.drop_capabilities()
    else:
        confinement.become(cell.user, cell.keeps_reading)
    confinement.end_with_parent()  # now, since a change of user takes it back
    if confinement.landlock_version():
        confinement.fence_files((*cell.readable, cell.folder), cell.scratch)
    for program in cell.programs:
        confinement.load_filter(program)


def _answer(folder: str, function: str, payload: Any) -> bytes:
    """What the function returned, or the error that it ended with, as JSON."""
    sys.path.insert(0, folder)
    module, _, name = function.partition(":")
    try:
        result = getattr(importlib.import_module(module), name)(payload)
        return json.dumps({"result": result}, allow_nan=False).encode()
    except (
        BaseException
    ) as error:  # a candidate may raise anything, SystemExit too; all of it is its own failure
        traceback.print_exc()
        return _failure(f"{type(error).__name__}: {error}")


def _failure(error: str) -> bytes:
    return json.dumps({"error": error[:2000]}).encode()


def _tell(answer: bytes) -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # the candidate may have closed or replaced them
            continue
    view = memoryview(answer)
    while view:
        view = view[os.write(_RESULT, view) :]
