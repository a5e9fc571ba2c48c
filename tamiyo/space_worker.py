"""Draws one map in a process of its own: `python -m tamiyo.space_worker`; keeps nothing.

Takes a line of JSON from standard input, `{"settings": {...}, "members": [...]}`, and writes lines to
standard output: `{"phase": ..., "share": ...}` while it works, then `{"map": ...}` or `{"error": ...}`. It
ends when standard input does, so that it never outlives who started it.
"""

import json
import os
import sys
import threading
from dataclasses import asdict
from typing import Any

from tamiyo.space import SpaceError, draw_map
from tamiyo.space_records import Member, SpaceSettings


def main() -> int:
    """Draw the map that standard input asks for, on one thread, behind everybody else."""
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    os.nice(10)
    try:
        import torch

        torch.set_num_threads(1)
        members = [Member(**{**row, "tokens": tuple(row["tokens"])}) for row in asked["members"]]
        found = draw_map(members, SpaceSettings(**asked["settings"]), _tell_phase)
    except SpaceError as error:
        _tell({"error": str(error)})
        return 1
    _tell({"map": asdict(found)})
    return 0


def _tell_phase(phase: str, share: float) -> None:
    _tell({"phase": phase, "share": round(share, 3)})


def _tell(values: dict[str, Any]) -> None:
    print(json.dumps(values, separators=(",", ":")), flush=True)


def _end_with_input() -> None:
    """Wait until standard input ends: who started this process has ended, or wants it no more."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
