"""What processes use, read beside them: memory, seconds, threads and files, as they were told to use them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tamiyo.sandbox import watching
from tamiyo.sandbox.watching import Watch

MIB = 2**20
#: A child that is told in a word what to do and says when it has done so.
CHILD = """\
import os, sys, threading, time
held = []
for line in sys.stdin:
    verb, _, number = line.strip().partition(" ")
    if verb == "hold":
        held.append(b"x" * (int(number) * 2**20))
    elif verb == "drop":
        held.clear()
    elif verb == "think":
        end = time.process_time() + float(number)
        while time.process_time() < end:
            pass
    elif verb == "threads":
        for _ in range(int(number)):
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    elif verb == "fork":  # a child that shares all that is held
        if os.fork() == 0:
            time.sleep(600)
    print("done", flush=True)
"""


@contextmanager
def child() -> Iterator[tuple[int, Callable[[str], None]]]:
    """Start a child; give its id and what tells it something and waits until it is done."""
    with subprocess.Popen(
        [sys.executable, "-I", "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def tell(words: str) -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{words}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"

        try:
            tell("nothing")
            yield process.pid, tell
        finally:
            os.killpg(process.pid, 9)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return what has a watch see one process and all below it, and none of the tests' other children."""
    below = watching.descendants

    def only(process: int) -> None:
        monkeypatch.setattr(watching, "descendants", lambda _: [process, *below(process)])

    return only


def test_memory_is_what_is_held_now_and_the_peak_is_what_was(alone) -> None:
    with child() as (process, tell):
        alone(process)
        watch = Watch(held_bytes=0)
        before = watch.look()
        tell("hold 64")
        held = watch.look()
        tell("drop")
        after = watch.look()
    assert 60 * MIB < held - before < 70 * MIB
    assert after < before + 8 * MIB
    assert watch.peak_bytes == held


def test_memory_that_the_watcher_shares_is_not_counted(alone) -> None:
    with child() as (process, tell):
        alone(process)
        tell("hold 32")
        whole = Watch(held_bytes=0).look()
        assert 0 < Watch(held_bytes=16 * MIB).look() <= whole - 15 * MIB
        assert Watch(held_bytes=10 * whole).look() == 0


def test_memory_that_two_share_is_counted_once(alone) -> None:
    with child() as (process, tell):
        alone(process)
        tell("hold 64")
        one = Watch(held_bytes=0).look()
        tell("fork")
        watch = Watch(held_bytes=0)
        both = watch.look()
    assert watch.num_processes == 2
    assert one - MIB < both < one + 24 * MIB


def test_seconds_of_computing_are_those_of_all_and_outlast_who_used_them(alone) -> None:
    watch = Watch(held_bytes=0)
    with child() as (process, tell):
        alone(process)
        watch.look()
        before = watch.cpu_s
        tell("think 0.5")
        watch.look()
        assert 0.4 <= watch.cpu_s - before < 5
        seen = watch.cpu_s
    watch.look()
    assert watch.num_processes == 0
    assert watch.cpu_s == seen


def test_threads_count(alone) -> None:
    with child() as (process, tell):
        alone(process)
        tell("threads 5")
        watch = Watch(held_bytes=0)
        watch.look()
        assert watch.num_processes == 6
        assert watching.threads_of_user(os.getuid()) >= 6
    assert watching.threads_of_user(2**31 - 7) == 0


def test_descendants_are_all_below_and_none_of_a_process_that_is_gone() -> None:
    with child() as (process, tell):
        assert process in watching.descendants(os.getpid())
        assert watching.descendants(process) == []
        tell("fork")
        [grandchild] = watching.descendants(process)
        assert {process, grandchild} <= set(watching.descendants(os.getpid()))
    until_gone(process)
    assert watching.descendants(process) == []


def until_gone(process: int) -> None:
    end = time.monotonic() + 60
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_private_memory_is_this_processes_own() -> None:
    before = watching.private_bytes()
    held = bytearray(os.urandom(MIB)) * 48
    assert 40 * MIB < watching.private_bytes() - before < 60 * MIB
    del held


def test_a_folder_weighs_what_its_files_take_on_disk_and_an_empty_one_is_free(tmp_path: Path) -> None:
    assert watching.folder_bytes(str(tmp_path), MIB) == 0
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    weight = watching.folder_bytes(str(tmp_path), MIB)
    assert 100_000 + 3 * 4096 <= weight < 150_000
    assert 1000 < watching.folder_bytes(str(tmp_path), 1000) <= weight, "it stops soon once it is too much"
    assert watching.folder_bytes(str(tmp_path / "nowhere"), MIB) == 0


def test_a_folder_that_cannot_be_listed_is_too_much(tmp_path: Path) -> None:
    assert watching.folder_bytes(str(tmp_path / ("x" * 300)), MIB) == MIB + 1
