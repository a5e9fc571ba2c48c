"""Runs a candidate's folder stage by stage and hands back what it did; it is judged outside.

A stage that fails ends the examination with the file, the line and the error. Inputs come from `probes.bin`
beside the folder's files, answers go to `answers.bin`, and `progress` names the stage that runs, for the case
that nothing comes back.
"""

import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tamiyo.expansion.inside.stages import STAGES, Exam, StageError
from tamiyo.expansion.inside.tensors import pack, unpack

FOLDER = Path(__file__).resolve().parent.parent
PROBES, ANSWERS, PROGRESS = "probes.bin", "answers.bin", "progress"


def examine(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Run the stages that `payload` names and return their facts, as JSON can say them.

    Args:
        payload: `stages`, the names in their order; `subject`, what is built (`model` or a unit's name);
            `settings` of the stages.
    """
    torch.set_num_threads(1)
    exam = Exam(
        subject=str(payload["subject"]),
        settings=dict(payload["settings"]),
        probes=unpack((FOLDER / PROBES).read_bytes()),
    )
    facts: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    failure = None
    for name in payload["stages"]:
        Path(PROGRESS).write_text(str(name))
        started = time.perf_counter()
        try:
            facts[name] = STAGES[name](exam)
        except Exception as error:  # whatever a candidate raises is what the examination is about
            failure = {"stage": name, **_described(error, exam)}
            break
        finally:
            seconds[name] = time.perf_counter() - started
    Path(ANSWERS).write_bytes(pack(exam.answers))
    return {"facts": facts, "seconds": seconds, "failure": failure}


def _described(error: Exception, exam: Exam) -> dict[str, Any]:
    """Return file, line and function of the candidate's innermost frame, the error, and what was tried."""
    doing = exam.doing
    if isinstance(error, StageError):
        return {"where": "", "error": str(error), "doing": doing}
    if isinstance(error, SyntaxError) and error.filename:
        return {
            "where": f"{Path(error.filename).name}, line {error.lineno}",
            "error": error.msg,
            "doing": doing,
        }
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).resolve().parent == FOLDER
    ]
    where = f"{Path(own[-1].filename).name}, line {own[-1].lineno}, in {own[-1].name}" if own else ""
    shown = own[-1].line or "" if own else ""
    return {"where": where, "source": shown, "error": f"{type(error).__name__}: {error}", "doing": doing}
