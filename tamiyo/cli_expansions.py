"""What `tamiyo expand`, `expansions` and `reproduce` print: progress, tables, comparisons; makes none."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.text import Text

from hall_of_fame.database import dump_json
from hall_of_fame.expansions import ExpansionCall, ExpansionRecord
from tamiyo.cli_tables import facts, number, show, table
from tamiyo.expansion.provenance import tag_of

if TYPE_CHECKING:
    from tamiyo.expansion.conduct import Step
    from tamiyo.expansion.expanding import Expanded
    from tamiyo.expansion.reproducing import Reproduction

SHORT_ID = 12
_DONE = {"passed": "green", "failed": "red", "fallback": "yellow"}


@contextmanager
def told() -> "Iterator[Callable[[Step], None]]":
    """Give what prints each step as it is done: live in a terminal, else in lines; to standard error."""
    console = Console(stderr=True, highlight=False)
    with console.status("reading the blueprint") as status:

        def tell(step: "Step") -> None:
            if step.state in _DONE:
                console.print(_step_text(step), soft_wrap=True)
            else:
                doing = "checking" if step.state == "checking" else "asking for"
                again = f", attempt {step.attempt}" if step.attempt > 1 else ""
                status.update(f"{doing} the {step.subject} ({step.author}{again})")

        yield tell


def print_expanded(expanded: "Expanded", out: Path, *, as_json: bool) -> None:
    """Say what was made, where it is, how it is trained, and what the template had to make."""
    record = expanded.record
    if as_json:
        _print_json(
            {
                "out": str(out),
                "is_written": expanded.is_written,
                "notes": expanded.notes,
                "cost_usd": _cost(expanded.calls),
                "num_calls": len(expanded.calls),
                **record_json(record),
            }
        )
        return
    by = record.designer if not record.fallbacks else f"{record.designer}, in part the template"
    by = "template" if len(record.fallbacks) == len(record.units) else by
    lines = [
        f"{out}: {record.blueprint_id[:SHORT_ID]} as {record.target}, {record.num_parameters:,} parameters, "
        f"by {by}" + ("" if expanded.is_written else "; it was there already"),
        f"{_num_passed(record)} checks passed in the sandbox {record.sandbox}, {_used(record)}",
        *_fallback_lines(record),
        *(f"calls: {text}" for text in [_calls_text(expanded.calls)] if text),
        *(f"note: {note}" for note in expanded.notes),
    ]
    if record.id:
        kept = "" if record.commit_hash is None else f", commit {record.commit_hash[:SHORT_ID]}"
        lines.append(f"on record as expansion {record.id[:SHORT_ID]}{kept}")
    lines.append(f"train it: cd {shlex.quote(str(out))} && python train.py --steps 1000 --seed 0")
    print("\n".join(lines))


def print_all(records: Sequence[ExpansionRecord], costs: Mapping[str, float], *, as_json: bool) -> None:
    """Print a row for each expansion."""
    if as_json:
        _print_json([{**record_json(record), "cost_usd": costs.get(record.id)} for record in records])
        return
    if not records:
        print("nothing has been expanded yet; `tamiyo expand` does")
        return
    made = table(
        ("expansion", "blueprint", "target", "by", "verdict", "created"),
        ("parameters", "USD"),
        ("made by the template instead",),
    )
    for record in records:
        made.add_row(
            record.id[:SHORT_ID],
            record.blueprint_id[:SHORT_ID],
            record.target,
            record.designer,
            Text(record.verdict, style=_DONE[record.verdict]),
            record.created[:19],
            f"{record.num_parameters:,}",
            number(costs.get(record.id), ".4f"),
            " ".join(record.fallbacks),
        )
    show(made)


def print_one(record: ExpansionRecord, calls: Sequence[ExpansionCall], *, as_json: bool) -> None:
    """Print everything on record about one expansion."""
    if as_json:
        _print_json({**record_json(record), "calls": [asdict(call) for call in calls]})
        return
    plan = " ".join(f"{name}={value}" for name, value in record.plan.items())
    commit = record.commit_hash or "none"
    rows: list[tuple[str, RenderableType]] = [
        ("expansion", record.id),
        ("blueprint", record.blueprint_id),
        ("run", f"{record.run_id}, generation {record.generation}"),
        ("target", record.target),
        ("by", record.designer),
        ("verdict", Text(record.verdict, style=_DONE[record.verdict])),
        *([("reason", record.reason)] if record.reason else []),
        ("plan", plan),
        ("parameters", f"{record.num_parameters:,}"),
        ("commit", commit),
        ("tag", _tag(record) or "none"),
        ("tree", record.tree_hash or "none"),
        ("checked", f"in the sandbox {record.sandbox}, {_used(record)}"),
        *((name, str(value)) for name, value in record.environment.items()),
    ]
    units = table(("part", "author"), ("attempts",), ("why the template made it",), title="who wrote what")
    for unit in record.units:
        units.add_row(unit["name"], unit["author"], str(unit["attempts"]), unit["reason"])
    checks = table(("check", ""), ("seconds",), ("detail",), title="checks")
    for check in record.checks:
        word = "passed" if check["is_passed"] else "failed"
        checks.add_row(
            check["name"], Text(word, style=_DONE[word]), f"{check['seconds']:.3f}", check["detail"]
        )
    parts: list[RenderableType] = [facts(rows), "", units, "", checks]
    if calls:
        parts += ["", _calls_table(calls)]
    show(*parts)


def print_reproduced(found: "Reproduction", out: str | None, *, as_json: bool) -> None:
    """Say whether the figures are the same, and where they are not."""
    from tamiyo.expansion.reproducing import LOSS_TOLERANCE

    record = found.record
    differing = {name: list(pair) for name, pair in found.differing.items()}
    if as_json:
        _print_json(
            {
                "id": record.id,
                "is_reproduced": found.is_reproduced,
                "is_exact": found.is_exact,
                "source": found.source,
                "tree_hash": record.tree_hash,
                "commit_hash": record.commit_hash,
                "differing": differing,
                "loss_tolerance": None if found.is_exact else LOSS_TOLERANCE,
                "figures": [asdict(figure) for figure in found.figures],
                "usage": asdict(found.usage),
                "out": out,
            }
        )
        return
    where = f"commit {(record.commit_hash or '')[:SHORT_ID]}" if found.source == "commit" else "the ledger"
    tree = (record.tree_hash or "")[:SHORT_ID]
    lines = [f"code: {len(found.files)} files from {where}, tree {tree} as on record"]
    if found.is_exact:
        lines.append("environment: the same, so that every figure must be equal")
    else:
        lines += [
            f"environment: {name} is {now}, was {then}" for name, (then, now) in found.differing.items()
        ]
        lines.append(f"so checks must pass, parameters be as many, losses within {LOSS_TOLERANCE} nats")
    for figure in found.figures:
        if not figure.is_same:
            lines.append(f"{figure.name}: {figure.now}; was: {figure.then or 'not made'}")
    num = sum(figure.is_same for figure in found.figures)
    verdict = "reproduced" if found.is_reproduced else "NOT reproduced"
    lines.append(
        f"expansion {record.id[:SHORT_ID]} {verdict}: {num} of {len(found.figures)} figures the same"
    )
    lines += [f"written to {out}"] if out else []
    print("\n".join(lines))


def record_json(record: ExpansionRecord) -> dict[str, Any]:
    """Return an expansion as a row of JSON: its fields and its tag."""
    return {**asdict(record), "tag": _tag(record)}


def _tag(record: ExpansionRecord) -> str | None:
    if record.commit_hash is None or record.tree_hash is None:
        return None
    return tag_of(record.run_id, record.blueprint_id, record.target, record.tree_hash)


def _step_text(step: "Step") -> Text:
    text = Text(f"{step.subject:<15}")
    if step.state == "fallback":
        return text.append(f"left to the template: {step.detail}", style=_DONE[step.state])
    text.append(step.state, style=_DONE[step.state])
    text.append(f"  {step.author}" + (f", attempt {step.attempt}" if step.attempt > 1 else ""))
    return text.append(f": {step.detail}" if step.detail else "")


def _fallback_lines(record: ExpansionRecord) -> Iterator[str]:
    """Yield why the template made what another was asked for, a line for all parts with the same cause."""
    causes: dict[str, list[str]] = {}
    for unit in record.units:
        if unit["cause"]:
            causes.setdefault(unit["reason"], []).append(unit["name"])
    for reason, names in causes.items():
        yield f"made by the template instead: {', '.join(names)} ({reason})"


def _calls_text(calls: Sequence[ExpansionCall]) -> str:
    if not calls:
        return ""
    tokens = sum(call.prompt_tokens + call.completion_tokens for call in calls)
    cost = _cost(calls)
    return f"{len(calls)}, {tokens:,} tokens, " + ("price unknown" if cost is None else f"${cost:.4f}")


def _cost(calls: Sequence[ExpansionCall]) -> float | None:
    """Return what calls cost in USD; None where the price of any is unknown, or there were none."""
    costs = [call.cost_usd for call in calls]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known and len(known) == len(costs) else None


def _calls_table(calls: Sequence[ExpansionCall]) -> RenderableType:
    made = table(
        ("for", "verdict"),
        ("attempt", "asked", "answered", "USD", "seconds"),
        ("what came of it",),
        title="calls",
    )
    for call in calls:
        made.add_row(
            call.subject,
            call.verdict,
            str(call.attempt),
            f"{call.prompt_tokens:,}",
            f"{call.completion_tokens:,}",
            number(call.cost_usd, ".4f"),
            f"{call.seconds:.1f}",
            call.error or call.detail,
        )
    return made


def _num_passed(record: ExpansionRecord) -> int:
    return sum(check["is_passed"] for check in record.checks)


def _used(record: ExpansionRecord) -> str:
    usage = record.usage
    return f"{usage['cpu_s']:.1f} s of computing, {usage['peak_bytes'] / 2**20:.0f} MiB"


def _print_json(value: Any) -> None:
    print(dump_json(value, indent=2))
