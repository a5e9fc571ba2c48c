"""Two blueprints of a library side by side, gathered as plain data; prints, judges and trains none."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from math import sqrt

import numpy as np

from blueprints import Graph, edit_distance
from hall_of_fame.html_form import entry_graph
from hall_of_fame.library import Library
from hall_of_fame.records import Entry, EvaluationRecord
from hall_of_fame.structure import features, similarity
from tamiyo.intervals import Interval, interval, paired

#: As in hall_of_fame/similarity.py: spread under which a representation counts as constant, and similarity to
#: itself under which nothing but a lone probe stands out.
_CONSTANT, _STRUCTURELESS = 1e-4, 1e-6


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
        edits=tuple(edits(*programs)),
        tasks=_tasks(library, entries),
    )


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


def edits(first: Sequence[str], second: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return what stays, goes and comes, in the order of the programs."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for _, a, b, c, d in SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        if first[a:b] == second[c:d]:
            found.append(("equal", tuple(first[a:b])))
            continue
        found += [("delete", tuple(first[a:b]))] if a < b else []
        found += [("insert", tuple(second[c:d]))] if c < d else []
    return found


def _tasks(library: Library, entries: tuple[Entry, Entry]) -> dict[str, TaskComparison]:
    evaluations = [library.store.evaluations(entry.id) for entry in entries]
    names = {record.task_key: record.result.task for records in evaluations for record in records}
    first, second = (scores_by_seed(records) for records in evaluations)
    similarity = _similarity(library, entries, [record for records in evaluations for record in records])
    return {
        key: TaskComparison(
            task=names[key],
            scores=(score_interval(first[key]), score_interval(second[key])),
            difference=paired(first[key], second[key]),
            cka=similarity.get(key),
        )
        for key in sorted(names)
    }


def scores_by_seed(records: Sequence[EvaluationRecord]) -> Mapping[str, dict[int, float]]:
    """Return the score by task key and seed; of several engines the mean."""
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        found[record.task_key][record.result.seed].append(record.result.score)
    scores: dict[str, dict[int, float]] = defaultdict(dict)
    for key, by_seed in found.items():
        scores[key] = {seed: float(np.mean(values)) for seed, values in by_seed.items()}
    return scores


def score_interval(scores: Mapping[int, float]) -> Interval | None:
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
    both = {key: arrays for key, arrays in found.items() if arrays.keys() >= set(ids)}
    return {key: cka(*(arrays[id_] for id_ in ids)) for key, arrays in both.items()}


def cka(first: np.ndarray, second: np.ndarray) -> float:
    """Return the debiased linear CKA of `[P, D]` and `[P, E]`: `hall_of_fame.similarity.cka` of one pair.

    Written without torch, which takes seconds to load, for a server that compares two now and then.
    """
    x_PD, y_PE = _unit(first), _unit(second)
    own = _hsic(x_PD, x_PD), _hsic(y_PE, y_PE)
    if min(own) <= _STRUCTURELESS:
        return 0.0
    return float(np.clip(_hsic(x_PD, y_PE) / sqrt(own[0] * own[1]), 0.0, 1.0))


def _unit(x_PD: np.ndarray) -> np.ndarray:
    """Return a representation centred over the probes with norm 1; all 0 where constant or not finite."""
    x_PD = x_PD.astype(np.float64)
    largest = np.abs(x_PD).max(initial=0.0)
    if not np.isfinite(x_PD).all() or largest == 0.0:
        return np.zeros_like(x_PD)
    x_PD = x_PD / largest
    x_PD = x_PD - x_PD.mean(axis=0)
    norm = np.linalg.norm(x_PD)
    return x_PD / norm if norm > _CONSTANT else np.zeros_like(x_PD)


def _hsic(x_PD: np.ndarray, y_PE: np.ndarray) -> float:
    """Return the unbiased HSIC of two representations of norm 1, times P(P - 3); 0 where one is all 0."""
    num = len(x_PD)
    energy = np.square(x_PD.T @ y_PE).sum()
    if not (x_PD.any() and y_PE.any()):
        return 0.0
    diagonal = np.square(x_PD).sum(axis=1) @ np.square(y_PE).sum(axis=1)
    return float(energy + 1 / ((num - 1) * (num - 2)) - num / (num - 2) * diagonal)
