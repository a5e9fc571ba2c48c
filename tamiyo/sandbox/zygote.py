"""The process that imports torch once and forks a child for each job, which it watches; it runs none itself.

A sandbox starts it inside its fence; it reads jobs from its input and writes how they ended to its output.
"""

import gc
import os
import select
import shutil
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tamiyo.sandbox import confinement, watching, wire
from tamiyo.sandbox.candidate import Cell, live
from tamiyo.sandbox.clearing import remove_folder

#: Most bytes that a function may return; what is longer ends the job.
RESULT_BYTES = 32 * 1024**2

_TICK_S = 0.005
_FOLDER_TICK_S = 0.1
_OUTPUT_KEPT = 16 * 1024


@dataclass(slots=True, kw_only=True)
class _Running:
    """A job under way: its first process, the pipes that come from it, and what came."""

    process: int
    output: int
    result: int
    watch: watching.Watch
    started: float
    printed: bytearray = field(default_factory=bytearray)
    num_printed: int = 0
    returned: bytearray = field(default_factory=bytearray)


def serve() -> None:
    """Answer jobs until the other side closes; one at a time."""
    os.umask(0o022)
    jobs, outcomes = _take_pipes()
    settings, programs = wire.receive(jobs)
    if not settings["namespaces"]:
        # A zygote that was lost on the same disk left the folders of its jobs there.
        settings["base"] = tempfile.mkdtemp(dir=settings["base"])
        os.chmod(settings["base"], 0o711)
    tempfile.tempdir = settings["base"]  # the only folder that can be written to
    version = _warm_up()
    confinement.join_pages()
    confinement.keep_out_of_reach()
    wire.send(outcomes, {"torch": version, "python": sys.version})
    number = 0
    while True:
        try:
            header, blobs = wire.receive(jobs)
        except EOFError:
            return
        number += 1
        ended, files = _run(settings, tuple(programs), header, blobs, number, jobs)
        wire.send(outcomes, ended, files)


def _take_pipes() -> tuple[int, int]:
    """Move the pipes of input and output away from where children would find them."""
    jobs, outcomes = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDWR)
    os.dup2(empty, 0)
    os.dup2(2, 1)
    os.close(empty)
    return jobs, outcomes


def _warm_up() -> str:
    """Import torch, use it in a single thread, since threads do not survive a fork; returns its version."""
    try:
        import torch
    except ImportError:
        return ""
    torch.set_num_threads(1)
    layer = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.GELU(), torch.nn.LayerNorm(4))
    layer(torch.zeros(2, 3, 4)).sum().backward()
    torch.optim.AdamW(layer.parameters()).step()
    gc.collect()
    gc.freeze()  # children then leave most pages of the parent alone
    return str(torch.__version__)


def _run(
    settings: Mapping[str, Any],
    programs: tuple[bytes, ...],
    job: Mapping[str, Any],
    blobs: list[bytes],
    number: int,
    jobs: int,
) -> tuple[dict[str, Any], list[bytes]]:
    """Run one job to its end; returns how it ended, with the result, the output and the files as blobs."""
    limits = job["limits"]
    cell = _furnish(settings, programs, dict(zip(job["names"], blobs, strict=True)), limits, number)
    try:
        running = _start(cell, job)
        try:
            reason = _watch(running, cell, limits, jobs)
        finally:
            seconds = time.monotonic() - running.started
            exit_code, computing = _end(running)
        kept = _collect(cell.scratch, job["returned"], limits["file_bytes"])
    finally:
        _clear(cell)
    status, detail = reason if reason[0] != "ended" else _too_long(running, limits) or reason
    ended = {
        "status": status,
        "detail": detail,
        "exit_code": exit_code,
        "wall_s": seconds,
        "cpu_s": max(computing, running.watch.cpu_s),
        "peak_bytes": running.watch.peak_bytes,
        "names": list(kept),
    }
    return ended, [bytes(running.returned), bytes(running.printed), *kept.values()]


def _furnish(
    settings: Mapping[str, Any],
    programs: tuple[bytes, ...],
    files: Mapping[str, bytes],
    limits: Mapping[str, Any],
    number: int,
) -> Cell:
    """Make the two folders of a job: its files, and an empty scratch."""
    base = os.path.join(settings["base"], str(number))
    folder, scratch = os.path.join(base, "job"), os.path.join(base, "scratch")
    user = settings["user"]
    os.makedirs(folder)
    os.makedirs(scratch)
    if settings["namespaces"]:
        confinement.mount_memory(folder, 2 * sum(map(len, files.values())) + 4096 * (len(files) + 16), "0755")
        confinement.mount_memory(scratch, limits["file_bytes"], "0700")
    for name, content in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
    if settings["namespaces"]:
        confinement.make_read_only(folder)
    if user is not None:
        os.chown(scratch, user, user)
    return Cell(
        has_namespaces=settings["namespaces"],
        readable=tuple(settings["readable"]),
        user=user,
        keeps_reading=settings["keeps_reading"],
        programs=programs,
        folder=folder,
        scratch=scratch,
    )


def _start(cell: Cell, job: Mapping[str, Any]) -> _Running:
    """Fork the child of a job."""
    output, prints = os.pipe()
    result, returns = os.pipe()
    watch = watching.Watch(held_bytes=watching.private_bytes())
    limits = {
        name: job["limits"][name]
        for name in ("cpu_s", "memory_bytes", "num_processes", "num_files", "file_bytes")
    }
    own = confinement.enter_own_processes() if cell.has_namespaces else None
    started = time.monotonic()
    process = os.fork()
    if process == 0:
        live(cell, limits, job["function"], job["payload"], prints, returns)
    if own is not None:
        confinement.leave_processes(own)
    os.close(prints)
    os.close(returns)
    for descriptor in (output, result):
        os.set_blocking(descriptor, False)
    return _Running(process=process, output=output, result=result, watch=watch, started=started)


def _watch(running: _Running, cell: Cell, limits: Mapping[str, Any], jobs: int) -> tuple[str, str]:
    """Wait until the first process has ended or a limit is passed; returns the status and why."""
    end = os.pidfd_open(running.process)
    poll = select.poll()
    for descriptor in (end, running.output, running.result):
        poll.register(descriptor, select.POLLIN)
    poll.register(jobs, 0)  # tells of nothing but that the other side has gone
    look_at_folder = running.started
    try:
        while True:
            events = dict(poll.poll(_TICK_S * 1000))
            if jobs in events:
                sys.exit()
            for descriptor in (running.output, running.result):
                if descriptor in events and not _drain(running, descriptor):
                    poll.unregister(descriptor)
            if end in events:
                return "ended", ""
            broken = _passed(running, limits)
            if not broken and not cell.has_namespaces and time.monotonic() > look_at_folder:
                look_at_folder = time.monotonic() + _FOLDER_TICK_S
                if watching.folder_bytes(cell.scratch, limits["file_bytes"]) > limits["file_bytes"]:
                    broken = "crashed", f"file_bytes: more than {limits['file_bytes']} written"
            if broken:
                return broken
    finally:
        os.close(end)


def _passed(running: _Running, limits: Mapping[str, Any]) -> tuple[str, str] | None:
    """The limit that is passed, if one is."""
    memory = running.watch.look()
    seconds = time.monotonic() - running.started
    if seconds > limits["wall_s"]:
        return "timed_out", f"wall_s: {limits['wall_s']:g} seconds are over"
    if running.watch.cpu_s > limits["cpu_s"]:
        return "timed_out", f"cpu_s: {limits['cpu_s']:g} seconds of computing are over"
    if memory > limits["memory_bytes"]:
        return "out_of_memory", f"memory_bytes: {memory} in use, {limits['memory_bytes']} allowed"
    if running.watch.num_processes > limits["num_processes"]:
        return (
            "crashed",
            f"num_processes: {running.watch.num_processes} at a time, {limits['num_processes']} allowed",
        )
    return _too_long(running, limits)


def _too_long(running: _Running, limits: Mapping[str, Any]) -> tuple[str, str] | None:
    """The limit on what came out of a job, if it is passed."""
    if running.num_printed > limits["output_bytes"]:
        return "output_too_long", f"output_bytes: more than {limits['output_bytes']} printed"
    if len(running.returned) > RESULT_BYTES:
        return "output_too_long", f"the result is longer than {RESULT_BYTES} bytes"
    return None


def _drain(running: _Running, descriptor: int) -> bool:
    """Take some of what a pipe holds; returns whether more can come."""
    try:
        part = os.read(descriptor, 1024**2)
    except BlockingIOError:
        return True
    if descriptor == running.result:
        running.returned += part
    else:
        running.num_printed += len(part)
        running.printed += part
        del running.printed[:-_OUTPUT_KEPT]
    return bool(part)


def _end(running: _Running) -> tuple[int, float]:
    """Kill whatever is left of a job and take what its pipes still hold.

    Returns the exit code of the first process (a signal is negative) and its seconds of computing.

    A process that cannot be killed ends the zygote too, and with it everything below.
    """
    os.kill(running.process, signal.SIGKILL)
    _, how, use = os.wait4(running.process, 0)
    if not watching.end_all():
        sys.exit("a process of a candidate does not end")
    for descriptor in (running.output, running.result):
        while _drain(running, descriptor) and _has_more(descriptor):
            pass
        os.close(descriptor)
    return os.waitstatus_to_exitcode(how), use.ru_utime + use.ru_stime


def _has_more(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def _collect(scratch: str, names: list[str], most: int) -> dict[str, bytes]:
    """The plain files of `names` that were left; a link of any kind leads out and is left where it is."""
    kept = {}
    for name in names:
        try:
            descriptor = os.open(os.path.join(scratch, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_size <= most:
            with open(descriptor, "rb", closefd=False) as file:
                kept[name] = file.read(most)
        os.close(descriptor)
    return kept


def _clear(cell: Cell) -> None:
    """Take the folders of a job away, however deep a candidate has nested them."""
    base = os.path.dirname(cell.folder)
    if cell.has_namespaces:
        for path in (cell.folder, cell.scratch):
            confinement.unmount(path)
        shutil.rmtree(base)
    else:
        remove_folder(base)


if __name__ == "__main__":
    serve()
