"""Entries of the hall of fame as HTML, as notebooks show them: a card, and a table; reads no database."""

from collections.abc import Sequence
from functools import cache
from html import escape
from typing import TYPE_CHECKING

from blueprints import BlueprintError, Graph, Language, parse
from blueprints.html_form import Fact, card, drawing

if TYPE_CHECKING:
    from hall_of_fame.records import Entry, Proof, Standing, TaskProof, TaskScore

_CELL = "padding:3px 12px 3px 0;text-align:right;vertical-align:top;white-space:nowrap"
_WORDS = (
    "padding:3px 0;text-align:left;vertical-align:top;min-width:36ch;max-width:60ch;overflow-wrap:anywhere"
)
#: Colour of a status, seen on white and on near-black; the words take the page's.
_COLOURS = {"entrant": "#1f9d8a", "candidate": "#7d8590", "refused": "#d9663a"}
_MONOSPACE = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"


def entry_html(entry: "Entry") -> str:
    """Return an entry's card: its drawing, its evidence, and its tokens."""
    title = f"{entry.rank}  {entry.id[:12]}" if entry.rank else entry.id[:12]
    return card(title, entry_graph(entry), entry.tokens, _facts(entry))


def entries_html(entries: "Sequence[Entry]") -> str:
    """Return a table with a row for each entry; its program opens into the drawing."""
    if not entries:
        return "<p>No blueprint has been trained well yet.</p>"
    tasks = list(dict.fromkeys(task for entry in entries for task in entry.scores))
    names = ["#", "id", "status", "proof", "shrinkage", "performance", *tasks]
    names += ["reward", "parameters", "FLOPs", "latency µs"]
    head = "".join(f'<th scope="col" style="{_CELL}">{escape(name)}</th>' for name in names)
    body = "".join(_row(entry, tasks) for entry in entries)
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;font:13px/1.5 system-ui,'
        f'sans-serif;font-variant-numeric:tabular-nums"><thead><tr>{head}<th scope="col" style="{_WORDS}">'
        f"program</th></tr></thead><tbody>{body}</tbody></table></div>"
    )


def entry_drawing(entry: "Entry") -> str:
    """Return an entry's drawing alone, or a line that there is none."""
    return drawing(entry_graph(entry))


def entry_graph(entry: "Entry") -> Graph | None:
    """Return the graph of an entry, or None where its tokens now spell nothing or another blueprint."""
    try:
        blueprint = parse(entry.tokens, _unbounded())
    except BlueprintError:
        return None
    return blueprint.graph if blueprint.id == entry.id else None


@cache
def _unbounded() -> Language:
    """Return a language without budgets: the run that brought an entry may have allowed larger programs."""
    return Language(max_length=1 << 20, max_flops=1 << 60)


def _facts(entry: "Entry") -> list[Fact]:
    return [
        *_standing(entry.standing),
        ("performance", _number(entry.performance)),
        *((name, _score(score)) for name, score in zip(entry.scores, entry.tasks, strict=True)),
        ("reward", _number(entry.reward)),
        ("parameters", _number(entry.num_parameters, ",d")),
        ("FLOPs", _number(entry.flops, ",d")),
        ("predicted latency", _number(entry.latency_us, ",.1f", " µs")),
        *((f"measured on {of.device}", f"{of.median_us:,.1f} µs") for of in entry.measured),
        ("found by", f"{entry.run_id}, generation {entry.generation}"),
        *([("strategy", entry.lineage.strategy)] if entry.lineage.strategy else []),
        *(
            [("made from", ", ".join(id_[:12] for id_ in entry.lineage.parents))]
            if entry.lineage.parents
            else []
        ),
    ]


def _standing(standing: "Standing") -> list[Fact]:
    """Return status and proof, task by task."""
    reason = f": {standing.reason}" if standing.reason else ""
    facts, proof = [("status", f"{standing.status}{reason}")], standing.proof
    if proof is None:
        return facts
    facts += [("proof", _interval(proof)), ("shrinkage", f"{proof.shrinkage:+.3f}")]
    searched = sum(not task.held_out for task in proof.tasks)
    for task in proof.tasks:
        if searched == 1 and not task.held_out:
            continue  # what the proof has said
        name = f"proof on {task.task}{' (held out)' if task.held_out else ''}"
        facts.append((name, f"not asked, {task.reason}" if task.reason else _interval(task)))
    if proof.nearest is not None:
        facts.append(("nearest entrant", f"{proof.nearest[:12]}, similarity {_number(proof.similarity)}"))
    return facts


def _row(entry: "Entry", tasks: Sequence[str]) -> str:
    scores, proof = entry.scores, entry.standing.proof
    cells = [
        "-" if proof is None else _interval(proof),
        _number(proof and proof.shrinkage, "+.3f"),
        _number(entry.performance),
        *(_number(scores.get(task)) for task in tasks),
        _number(entry.reward),
        _number(entry.num_parameters, ",d"),
        _number(entry.flops, ",d"),
        _number(entry.latency_us, ",.1f"),
    ]
    named = [escape(str(entry.rank or "-")), f'<span style="{_MONOSPACE}">{escape(entry.id[:12])}</span>']
    named.append(_badge(entry.standing))
    shown = "".join(f'<td style="{_CELL}">{cell}</td>' for cell in (*named, *map(escape, cells)))
    return (
        f'<tr>{shown}<td style="{_WORDS}"><details><summary style="cursor:pointer;{_MONOSPACE}">'
        f"{escape(' '.join(entry.tokens))}</summary>{entry_drawing(entry)}</details></td></tr>"
    )


def _badge(standing: "Standing") -> str:
    """Return a status in its colour, with the reason where a pointer rests on it."""
    colour, title = (
        _COLOURS[standing.status],
        f' title="{escape(standing.reason)}"' if standing.reason else "",
    )
    style = f"padding:0 7px;border:1px solid {colour};border-radius:9px;background:{colour}2b"
    return f'<span style="{style}"{title}>{standing.status}</span>'


def _interval(of: "Proof | TaskProof") -> str:
    return f"{of.mean:.3f} [{of.low:.3f}, {of.high:.3f}]"


def _score(score: "TaskScore") -> str:
    seeds = f"{score.num_seeds} seed{'' if score.num_seeds == 1 else 's'}"
    spread = f" ± {score.std:.3f}" if score.num_seeds > 1 else ""
    return f"{score.mean:.3f}{spread}, {seeds}"


def _number(value: float | None, form: str = ".3f", unit: str = "") -> str:
    return "-" if value is None else format(value, form) + unit
