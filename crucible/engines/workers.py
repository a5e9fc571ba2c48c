"""Worker processes that train batches of jobs; leaves what a batch is to batched.py.

A worker is a fresh interpreter fed through its standard input, so it neither imports the caller's main module
nor inherits its threads. It ends as soon as that input does, even when its parent was killed.
"""

import contextlib
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import IO, Any

_LENGTH = struct.Struct("<Q")
_COMMAND = "from crucible.engines.workers import serve; serve()"


class WorkerDiedError(Exception):
    """The process ended in the middle of a request."""


class LateWorkerError(TimeoutError):
    """The process did not answer in time and was killed."""


class UnloadableError(Exception):
    """The request cannot be sent to, or be understood by, a fresh interpreter."""


class Worker:
    """One process that calls functions for us, one at a time."""

    def __init__(self) -> None:
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path or os.getcwd() for path in sys.path))
        environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._replies = self._process.stdin, self._process.stdout

    def call(self, function: Callable[..., Any], *arguments: Any, seconds: float | None = None) -> Any:
        """Return `function(*arguments)` as computed by the process, or raise what it raised there.

        After `seconds`, if given, the process is killed and a LateWorkerError says so.
        """
        try:
            request = _packed((function, arguments))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UnloadableError(str(error)) from error
        is_late = threading.Event()

        def end() -> None:
            is_late.set()
            self._process.kill()

        timer = None if seconds is None else threading.Timer(seconds, end)
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            _write(self._requests, request)
            outcome, value = pickle.loads(_read(self._replies))
        except (BrokenPipeError, EOFError) as error:
            code = self._process.wait()
            if is_late.is_set():
                raise LateWorkerError(f"worker did not answer within {seconds:g} seconds") from error
            raise WorkerDiedError(f"worker ended with exit code {code}") from error
        finally:
            if timer is not None:
                timer.cancel()
        if outcome == "raised":
            raise value
        return value

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()
        self._process.kill()
        self._process.wait()
        self._replies.close()


class WorkerPool:
    """Hands tasks to a fixed number of workers, first come first served."""

    def __init__(self, num_workers: int) -> None:
        self._workers: list[Worker | None] = [None] * num_workers

    def run(
        self,
        function: Callable[..., Any],
        tasks: Sequence[tuple[Any, ...]],
        done: Callable[[int, Any], None],
        failed: Callable[[int, Exception], Sequence[tuple[int, tuple[Any, ...]]]],
        seconds: float | None = None,
    ) -> None:
        """Call `function(*task)` for every task, in order of starting; kill a worker that takes `seconds`.

        `done(index, value)` receives results in the caller's thread. `failed(index, error)` is asked there
        for (index, task) pairs to try instead when a worker died, could not load a task or was late, or a
        task raised a TimeoutError. Whatever else one of them, a task or Ctrl-C raises ends the workers and
        leaves the tasks that wait undone.
        """
        todo: queue.SimpleQueue[tuple[int, tuple[Any, ...]] | None] = queue.SimpleQueue()
        outcomes: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()
        for item in enumerate(tasks):
            todo.put(item)
        pending = len(tasks)
        threads = [
            threading.Thread(target=self._feed, args=(slot, function, seconds, todo, outcomes), daemon=True)
            for slot in range(min(len(self._workers), max(1, pending)))
        ]
        interrupted = True
        try:
            for thread in threads:
                thread.start()
            while pending:
                index, value, error = outcomes.get()
                pending -= 1
                if error is None:
                    done(index, value)
                elif isinstance(error, (WorkerDiedError, UnloadableError, TimeoutError)):
                    for item in failed(index, error):
                        todo.put(item)
                        pending += 1
                else:
                    raise error
            interrupted = False
        finally:
            if interrupted:
                _drain(todo)
            for _ in threads:
                todo.put(None)
            for thread in threads:
                while thread.is_alive():
                    if interrupted:  # again and again: a thread may be about to start a worker for its task
                        self.close()
                    thread.join(0.1 if interrupted else None)
            if interrupted:
                self.close()

    def _feed(self, slot: int, function: Any, seconds: Any, todo: Any, outcomes: Any) -> None:
        while (item := todo.get()) is not None:
            index, task = item
            try:
                worker = self._workers[slot] or Worker()
                self._workers[slot] = worker
                outcomes.put((index, worker.call(function, *task, seconds=seconds), None))
            except (WorkerDiedError, LateWorkerError) as error:
                self._end(slot)
                outcomes.put((index, None, error))
            except BaseException as error:
                outcomes.put((index, None, error))

    def _end(self, slot: int) -> None:
        worker, self._workers[slot] = self._workers[slot], None
        if worker is not None:
            worker.close()

    def close(self) -> None:
        """End all workers; the next `run` starts new ones."""
        for slot in range(len(self._workers)):
            self._end(slot)


def serve() -> None:
    """Answer requests from standard input until it ends; the body of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    received: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while True:
                received.put(_read(requests))
        except EOFError:
            os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    while True:
        request = received.get()
        try:
            function, arguments = pickle.loads(request)
        except (AttributeError, ImportError) as error:
            _write(replies, _packed(("raised", UnloadableError(str(error)))))
            continue
        try:
            reply = _packed(("returned", function(*arguments)))
        except Exception as error:
            reply = _packed(("raised", error))
        try:
            _write(replies, reply)
        except BrokenPipeError:
            os._exit(0)


def _drain(todo: "queue.SimpleQueue[Any]") -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            todo.get_nowait()


def _packed(message: Any) -> bytes:
    return pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)


def _write(stream: IO[bytes], payload: bytes) -> None:
    stream.write(_LENGTH.pack(len(payload)) + payload)
    stream.flush()


def _read(stream: IO[bytes]) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    return _exactly(stream, length)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    payload = stream.read(size)
    if payload is None or len(payload) < size:
        raise EOFError("the other side closed the pipe")
    return payload
