"""What `tamiyo compare` says: two blueprints of a library side by side; judges neither, trains nothing."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from blueprints import Graph, edit_distance
from hall_of_fame.html_form import entry_graph
from hall_of_fame.library import Library
from hall_of_fame.records import Entry, EvaluationRecord
from hall_of_fame.similarity import cka
from hall_of_fame.structure import features, similarity
from tamiyo.intervals import Interval, interval, paired

#: Columns of a terminal's stand-in.
_WIDTH = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large a graph is, bodies included.

    Attributes:
        nodes: ops, the input and a scan's states among them.
        edges: inputs of all of them.
        depth: ops on the longest path; a body's longest path counts once.
    """

    nodes: int
    edges: int
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskComparison:
    """Two blueprints on one task and its settings.

    Attributes:
        task: the task's name.
        scores: mean test score of each with its interval, cut to [0, 1]; a training that failed counts as 0,
            and None stands for a blueprint that was never trained on the task.
        difference: second less first over the seeds of both; None where they share none.
        cka: debiased CKA of their representations as they are on record, most of which is what any slot hands
            on; None where one has no fingerprint.
    """

    task: str
    scores: tuple[Interval | None, Interval | None]
    difference: Interval | None
    cka: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two blueprints side by side.

    Attributes:
        entries: what is on record about each.
        sizes: of their graphs; None where the tokens are no program of this version of the package.
        likeness: of their graphs, the cosine of their Weisfeiler-Lehman features; None likewise.
        edit_distance: tokens to insert, delete or replace (Levenshtein).
        edits: what turns the first program into the second: (`equal`, `delete` or `insert`, tokens).
        tasks: by task key, in its order.
    """

    entries: tuple[Entry, Entry]
    sizes: tuple[Sizes | None, Sizes | None]
    likeness: float | None
    edit_distance: int
    edits: tuple[tuple[str, tuple[str, ...]], ...]
    tasks: Mapping[str, TaskComparison]


def compare(library: Library, first_id: str, second_id: str) -> Comparison:
    """Return the comparison of two blueprints, each named by its id or the beginning of it.

    Raises:
        UnknownBlueprintError: when an id names none, or more than one.
    """
    entries = library.get(first_id), library.get(second_id)
    programs = entries[0].tokens, entries[1].tokens
    first, second = entry_graph(entries[0]), entry_graph(entries[1])
    return Comparison(
        entries=entries,
        sizes=(_sizes(first), _sizes(second)),
        likeness=_likeness(first, second),
        edit_distance=edit_distance(*programs),
        edits=tuple(_edits(*programs)),
        tasks=_tasks(library, entries),
    )


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
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    for name in (first.id[:12], second.id[:12], "second - first"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in (*_cost_rows(found), *_proof_rows(found), *_task_rows(found)):
        table.add_row(*row)
    console = Console()
    console = Console(width=console.width if console.is_terminal else _WIDTH)
    console.print(table)
    told = f"{found.edit_distance} tokens to edit"
    told += "" if found.likeness is None else f", graphs {found.likeness:.3f} alike"
    told += ", the same blueprint" if first.id == second.id else ""
    console.print(f"\n{told}", style="bold", highlight=False)
    console.print(_edited(found.edits), soft_wrap=True)


def _sizes(graph: Graph | None) -> Sizes | None:
    if graph is None:
        return None
    nodes = list(graph.all_nodes())
    return Sizes(nodes=len(nodes), edges=sum(len(node.inputs) for node in nodes), depth=_depth(graph))


def _likeness(first: Graph | None, second: Graph | None) -> float | None:
    if first is None or second is None:
        return None
    return similarity(features([first]), features([second])).item()


def _depth(graph: Graph) -> int:
    """Return how many ops the longest path to the output passes."""
    depths: list[int] = []
    for node in graph.nodes:
        above = max((depths[i] for i in node.inputs), default=-1)
        depths.append(above + (1 if node.body is None else _depth(node.body)))
    return depths[graph.output]


def _edits(first: Sequence[str], second: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return what stays, goes and comes, in the order of the programs."""
    edits: list[tuple[str, tuple[str, ...]]] = []
    for _, a, b, c, d in SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        if first[a:b] == second[c:d]:
            edits.append(("equal", tuple(first[a:b])))
            continue
        edits += [("delete", tuple(first[a:b]))] if a < b else []
        edits += [("insert", tuple(second[c:d]))] if c < d else []
    return edits


def _tasks(library: Library, entries: tuple[Entry, Entry]) -> dict[str, TaskComparison]:
    evaluations = [library.store.evaluations(entry.id) for entry in entries]
    names = {record.task_key: record.result.task for records in evaluations for record in records}
    first, second = (_scores(records) for records in evaluations)
    similarity = _similarity(library, entries, [record for records in evaluations for record in records])
    return {
        key: TaskComparison(
            task=names[key],
            scores=(_interval(first[key]), _interval(second[key])),
            difference=paired(first[key], second[key]),
            cka=similarity.get(key),
        )
        for key in sorted(names)
    }


def _scores(records: Sequence[EvaluationRecord]) -> Mapping[str, dict[int, float]]:
    """Return the score by task key and seed; of several engines the mean."""
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        found[record.task_key][record.result.seed].append(record.result.score)
    scores: dict[str, dict[int, float]] = defaultdict(dict)
    for key, by_seed in found.items():
        scores[key] = {seed: float(np.mean(values)) for seed, values in by_seed.items()}
    return scores


def _interval(scores: Mapping[int, float]) -> Interval | None:
    """Return the mean score with its interval, as far as that lies where scores can."""
    if not scores:
        return None
    found = interval(list(scores.values()))
    if found.low is None or found.high is None:
        return found
    return replace(found, low=max(0.0, found.low), high=min(1.0, found.high))


def _similarity(
    library: Library, entries: tuple[Entry, Entry], records: Sequence[EvaluationRecord]
) -> dict[str, float]:
    """Return the CKA by task key, where both blueprints have a fingerprint."""
    ids = [entry.id for entry in entries]
    found: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for key, engine_id in sorted({(record.task_key, record.engine_id) for record in records}):
        known = library.store.known_results(ids, engine_id, [key], with_fingerprints=True)
        for id_, results in known.items():
            for result in results:
                if result.fingerprint is not None:
                    found[key].setdefault(id_, result.fingerprint)
    return {
        key: float(cka(*(torch.from_numpy(arrays[id_])[None] for id_ in ids)))
        for key, arrays in found.items()
        if arrays.keys() >= set(ids)
    }


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


def _proof_rows(found: Comparison) -> list[tuple[str, ...]]:
    """Return where both stand, and what their proofs found where there is one."""
    standings = [entry.standing for entry in found.entries]
    rows = [("status", *(standing.status for standing in standings), "")]
    proofs = [standing.proof for standing in standings]
    if any(proofs):
        texts = ["-" if p is None else f"{p.mean:.3f} [{p.low:.3f}, {p.high:.3f}]" for p in proofs]
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
    if of.low is None or of.high is None:
        return f"{of.mean:{form}}, {seeds}"
    return f"{of.mean:{form}} [{of.low:{form}}, {of.high:{form}}], {seeds}"


def _edited(edits: Sequence[tuple[str, tuple[str, ...]]]) -> Text:
    """Return both programs as one line: what goes in [-...-], what comes in {+...+}."""
    marks = {"equal": ("", "", ""), "delete": ("[-", "-]", "red"), "insert": ("{+", "+}", "green")}
    words = []
    for kind, tokens in edits:
        before, after, style = marks[kind]
        words.append(Text(f"{before}{' '.join(tokens)}{after}", style=style))
    return Text(" ").join(words)
