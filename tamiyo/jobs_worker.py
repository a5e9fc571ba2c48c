"""The process in which jobs train, one after the other; leaves deadlines and queues to who started it.

It reads a line of JSON for its settings and one for each job, and answers in lines of JSON: `ready` once,
then `training`, `result` and at last `done` or `failed` for each job. It dies with who started it: by the end
of its input, which takes the processes that it started along, and on Linux by a signal of the kernel, which
reaches it when it hangs or is stopped too.
"""

import ctypes
import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from blueprints import TamiyoError
from tamiyo.jobs_records import EvaluationRequest, JobSettings

#: A line that starts work: of settings, or of a job.
Line = dict[str, Any]
#: Pages are answered before jobs are trained.
NICENESS = 10
_PARENT_DEATH_SIGNAL = 1


def serve(parent: int) -> None:
    """Carry out jobs from standard input until it ends; the body of a worker process of process `parent`."""
    _die_with(parent)
    os.nice(NICENESS)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a task prints is no answer
    lines: queue.SimpleQueue[Line] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin, lines), daemon=True).start()
    try:
        _work(lines, answers)
    except Exception as error:
        traceback.print_exc()
        _answer(answers, "failed", {"is_over": True, **_told("worker-crashed", error)})
        sys.exit(1)


def _work(lines: "queue.SimpleQueue[Line]", answers: IO[str]) -> None:
    import torch

    from curricula.task import TaskError
    from tamiyo.jobs_examination import build_examiner

    torch.set_num_threads(1)
    first = lines.get()
    examiner = build_examiner(JobSettings(**first["settings"]), first["latency_table"])
    table = examiner.crucible.latency_table
    assert table is not None, "an examiner's Crucible has a latency table"
    _answer(answers, "ready", {"engine_id": examiner.crucible.engine_id, "latency_table": table.to_text()})
    while True:
        request = request_of(lines.get())
        try:
            examiner.examine(request, lambda kind, row: _answer(answers, kind, row))
        except (TamiyoError, TaskError) as error:
            _answer(answers, "failed", {"is_over": False, **_told("evaluation-failed", error)})
        else:
            _answer(answers, "done", {})


def request_of(line: Mapping[str, Any]) -> EvaluationRequest:
    """Return the request that its fields spell, as JSON brought them."""
    programs = tuple(tuple(tokens) for tokens in line["programs"])
    lists = {name: tuple(line[name]) for name in ("tasks", "seeds")}
    return EvaluationRequest(**{**line, **lists, "programs": programs})


def _listen(stream: IO[str], lines: "queue.SimpleQueue[Line]") -> None:
    """Take lines until there are no more, and then end this process and those that it started."""
    for line in stream:
        lines.put(json.loads(line))
    _end()


def _end() -> NoReturn:
    """End this process and those that it started, which are a group of their own."""
    os.killpg(0, signal.SIGKILL)
    raise AssertionError("a process that was killed does not go on")


def _die_with(parent: int) -> None:
    """Let the kernel kill this process as soon as `parent` is gone, where the kernel can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _answer(answers: IO[str], kind: str, row: Mapping[str, Any]) -> None:
    from hall_of_fame.database import dump_json

    try:
        answers.write(dump_json({"kind": kind, **row}) + "\n")
        answers.flush()
    except BrokenPipeError:
        _end()  # nobody listens any more


def _told(code: str, error: Exception) -> dict[str, str]:
    """Return what went wrong, in the parts of an error that has some; of a foreign one its kind too."""
    found = {"expected": getattr(error, "expected", ""), "mend": getattr(error, "mend", "")}
    parts = {name: part if isinstance(part, str) else "" for name, part in found.items()}
    text = " ".join(str(error).split())
    is_own = code == "evaluation-failed"
    message = text if is_own else f"{type(error).__name__}: {text}"
    return {"code": code, "message": message, **parts}
