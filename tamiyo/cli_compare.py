"""What `tamiyo compare` prints of two blueprints side by side; comparing.py gathers it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.text import Text

from tamiyo.cli_tables import between, show, status_text, table
from tamiyo.comparing import Comparison
from tamiyo.intervals import Interval


def comparison_json(found: Comparison) -> dict[str, Any]:
    """Return a comparison as plain JSON types."""
    return {
        "blueprints": [
            {**asdict(entry), "sizes": None if sizes is None else asdict(sizes)}
            for entry, sizes in zip(found.entries, found.sizes, strict=True)
        ],
        "likeness": found.likeness,
        "edit_distance": found.edit_distance,
        "edits": [[kind, list(tokens)] for kind, tokens in found.edits],
        "tasks": {key: asdict(task) for key, task in found.tasks.items()},
    }


def print_comparison(found: Comparison) -> None:
    """Print a comparison as a table, and the edit of one program into the other."""
    first, second = found.entries
    made = table(("",), (first.id[:12], second.id[:12], "second - first"))
    for row in (*_cost_rows(found), *_proof_rows(found), *_task_rows(found)):
        made.add_row(*row)
    told = f"{found.edit_distance} tokens to edit"
    told += "" if found.likeness is None else f", graphs {found.likeness:.3f} alike"
    told += ", the same blueprint" if first.id == second.id else ""
    show(made, "", Text(told, style="bold"), _edited(found.edits))


def _cost_rows(found: Comparison) -> list[tuple[str, ...]]:
    first, second = found.entries
    rows = []
    for name in ("nodes", "edges", "depth"):
        rows.append(_row(name, *(getattr(sizes, name, None) for sizes in found.sizes), form=",d"))
    for name, field, form in (
        ("parameters", "num_parameters", ",d"),
        ("FLOPs", "flops", ",d"),
        ("latency, us predicted", "latency_us", ",.1f"),
    ):
        rows.append(_row(name, getattr(first, field), getattr(second, field), form))
    times = [{(of.device, of.width): of.median_us for of in entry.measured} for entry in found.entries]
    for place in sorted(times[0].keys() | times[1].keys()):
        name = f"latency, us measured on {place[0]}, width {place[1]}"
        rows.append(_row(name, times[0].get(place), times[1].get(place), ",.1f"))
    rows.append(_row("performance", first.performance, second.performance, ".3f"))
    rows.append(_row("best reward", first.reward, second.reward, ".3f"))
    return rows


def _proof_rows(found: Comparison) -> list[tuple[str | Text, ...]]:
    """Return where both stand, and what their proofs found where there is one."""
    standings = [entry.standing for entry in found.entries]
    rows: list[tuple[str | Text, ...]] = [
        ("status", *(status_text(standing.status) for standing in standings), "")
    ]
    proofs = [standing.proof for standing in standings]
    if any(proofs):
        texts = ["-" if p is None else between(p.mean, p.low, p.high) for p in proofs]
        rows.append(("proved anew", *texts, _row("", *(p and p.mean for p in proofs), form=".3f")[-1]))
    return rows


def _task_rows(found: Comparison) -> list[tuple[str, ...]]:
    names = [task.task for task in found.tasks.values()]
    rows = []
    for key, task in found.tasks.items():
        name = task.task if names.count(task.task) == 1 else key
        rows.append((name, *map(_interval_text, task.scores), _interval_text(task.difference, "+.3f")))
        if task.cka is not None:
            rows.append((f"  CKA on {name}", "", f"{task.cka:.3f}", ""))
    return rows


def _row(name: str, first: float | None, second: float | None, form: str) -> tuple[str, ...]:
    values = ["-" if value is None else format(value, form) for value in (first, second)]
    difference = "-" if first is None or second is None else format(second - first, f"+{form}")
    return name, *values, difference


def _interval_text(of: Interval | None, form: str = ".3f") -> str:
    """Return mean, ends of the interval and number of seeds."""
    if of is None:
        return "-"
    seeds = f"{of.num_seeds} seed{'' if of.num_seeds == 1 else 's'}"
    return f"{between(of.mean, of.low, of.high, form)}, {seeds}"


def _edited(edits: Sequence[tuple[str, tuple[str, ...]]]) -> Text:
    """Return both programs as one line: what goes in [-...-], what comes in {+...+}."""
    marks = {"equal": ("", "", ""), "delete": ("[-", "-]", "red"), "insert": ("{+", "+}", "green")}
    words = []
    for kind, tokens in edits:
        before, after, style = marks[kind]
        words.append(Text(f"{before}{' '.join(tokens)}{after}", style=style))
    return Text(" ").join(words)
