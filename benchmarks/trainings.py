"""Finished trainings as lines of a file, which a killed benchmark goes on from; says nothing else."""

import json
from collections.abc import Sequence
from pathlib import Path


class Trainings:
    """The lines on disk. A line that a kill cut short is dropped; the first line says who computed them.

    Attributes:
        head: what the first line says; empty while there is none.
        rows: the other lines, oldest first.
        known: sample, task, setting, seed and blueprint of every line that was there at first.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        text = path.read_text() if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            path.write_text(whole)
        head, *self.rows = [json.loads(line) for line in whole.splitlines()] or [{}]
        self.head: dict[str, str] = head
        self.known = {(r["sample"], r["task"], r["setting"], r["seed"], r["blueprint"]) for r in self.rows}

    def begin(self, head: dict[str, str]) -> None:
        """Write the first line; end the process when another engine or language made what is there."""
        if not self.head:
            self._append([head])
            self.head = head
        elif self.head != head:
            raise SystemExit(
                f"error: {self._path} was made by {self.head}, and this is {head}; name another --dir"
            )

    def add(self, rows: Sequence[dict]) -> None:
        """Append finished trainings."""
        self._append(rows)
        self.rows += rows

    def _append(self, rows: Sequence[dict]) -> None:
        with self._path.open("a") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows))
