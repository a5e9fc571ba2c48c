"""What `tamiyo show` says: one blueprint with its evidence, lineage and likes; judges and trains nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.table import Table

from blueprints import Blueprint
from hall_of_fame.html_form import entry_graph
from hall_of_fame.library import Library
from hall_of_fame.records import Entry, EvaluationRecord, Proof, RunRecord
from hall_of_fame.structure import features, similarity
from tamiyo.cli_tables import between, facts, number, program_text, show, status_text, table
from tamiyo.comparing import score_interval, scores_by_seed
from tamiyo.loss_curves import TaskCurves, by_task, loss_at

if TYPE_CHECKING:
    from crucible.evaluation import MeasuredLatency, TaskResult

#: The best so many of the library are searched for those that are built alike.
NUM_SEARCHED = 256
#: So many of them are shown.
NUM_ALIKE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What there is to say about one blueprint.

    Attributes:
        entry: what is on record about it.
        run: that brought it.
        evaluations: its trainings.
        alike: the entries whose graphs are most alike, best first, with the cosine of their Weisfeiler-Lehman
            features; of the best `NUM_SEARCHED`.
    """

    entry: Entry
    run: RunRecord
    evaluations: Sequence[EvaluationRecord]
    alike: Sequence[tuple[str, float]]


def gather(library: Library, blueprint_id: str) -> Shown:
    """Return what a library knows of the blueprint whose id is, or alone begins with, `blueprint_id`."""
    entry = library.get(blueprint_id)
    run = library.store.run(entry.run_id)
    assert run is not None, "a blueprint on record belongs to a run on record"
    return Shown(
        entry=entry,
        run=run,
        evaluations=library.store.evaluations(entry.id),
        alike=_alike(entry, library.list(NUM_SEARCHED)),
    )


def shown_json(found: Shown) -> dict[str, Any]:
    """Return what a row of JSON says of a blueprint beside its entry."""
    return {
        "run": asdict(found.run),
        "evaluations": [_training_json(record) for record in found.evaluations],
        "alike": [{"id": id_, "likeness": likeness} for id_, likeness in found.alike],
    }


def _training_json(record: EvaluationRecord) -> dict[str, Any]:
    """Return a training with the steps between which each mean of its loss curve is."""
    values, curve = asdict(record), record.result.loss_curve
    if curve is not None:
        values["result"]["loss_curve"]["bounds"] = list(curve.bounds)
    return values


def print_shown(found: Shown, blueprint: Blueprint) -> None:
    """Print it as tables: what it is, how it did on each task and when proved, and every training."""
    entry, proof = found.entry, found.entry.standing.proof
    parts: list[RenderableType] = [
        facts(_what(entry)),
        "",
        str(blueprint.graph),
        "",
        facts(_figures(found)),
        "",
        _tasks_table(found.evaluations),
    ]
    if proof is not None:
        parts += ["", _proof_table(proof)]
    if learnt := [curves for curves in by_task(found.evaluations) if curves.mean]:
        parts += ["", _losses_table(learnt)]
    run = found.run
    parts += [
        "",
        _trainings_table(found.evaluations),
        "",
        f"code       {run.code_version or 'not recorded'}, language {run.language_version[:12]}",
        f"reproduce  {run.command or 'not recorded'}",
    ]
    show(*parts)


def _alike(entry: Entry, entries: Sequence[Entry]) -> list[tuple[str, float]]:
    """Return those built most like an entry, itself aside; none where it can no longer be read."""
    graph = entry_graph(entry)
    others = [(other.id, entry_graph(other)) for other in entries if other.id != entry.id]
    readable = [(id_, other) for id_, other in others if other is not None]
    if graph is None or not readable:
        return []
    [likeness] = similarity(features([graph]), features([other for _, other in readable]))
    found = [(id_, float(value)) for (id_, _), value in zip(readable, likeness, strict=True)]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:NUM_ALIKE]


def _what(entry: Entry) -> Iterator[tuple[str, RenderableType]]:
    standing = entry.standing
    yield "id", entry.id
    status = status_text(standing.status)
    yield "status", status.append(f": {standing.reason}", style="not bold") if standing.reason else status
    yield "tokens", program_text(entry.tokens)


def _figures(found: Shown) -> Iterator[tuple[str, RenderableType]]:
    entry, run, proof = found.entry, found.run, found.entry.standing.proof
    if proof is not None:
        yield from _proof_facts(proof)
    for place, (id_, likeness) in enumerate(found.alike):
        yield "" if place else "alike", f"{id_[:12]}, graphs {likeness:.3f} alike"
    yield "performance", f"{entry.performance:.3f} (0 at chance, 1 perfect, mean over tasks times gates)"
    yield "reward", f"{number(entry.reward)} at best"
    yield "parameters", number(entry.num_parameters, ",d")
    yield "FLOPs", number(entry.flops, ",d")
    yield "latency", f"{number(entry.latency_us, '.1f')} us predicted"
    for latency in entry.measured:
        yield "  measured", _latency(latency)
    made = entry.lineage
    parents = f", from {', '.join(id_[:12] for id_ in made.parents)}" if made.parents else ""
    yield "found by", f"run {run.id}, generation {entry.generation}, seed {run.seed}, {run.created}"
    yield "strategy", f"{made.strategy or 'not recorded'}{parents}"


def _proof_facts(proof: Proof) -> Iterator[tuple[str, str]]:
    kept = proof.search_score - proof.mean_as_searched
    yield (
        "proof",
        f"{between(proof.mean, proof.low, proof.high)}, 95 % interval; the identity has {proof.floor:.3f}",
    )
    yield (
        "  search",
        f"{proof.search_score:.3f} over {proof.search_trainings} "
        f"training{'' if proof.search_trainings == 1 else 's'}, rank {proof.rank}",
    )
    yield "  shrinkage", f"{proof.shrinkage:+.3f}; {kept:+.3f} at the search's learning rates"
    if proof.nearest is not None:
        yield "  nearest", f"{proof.nearest[:12]}, similarity {proof.similarity:.3f}"
    if proof.supersedes:
        yield "  supersedes", ", ".join(id_[:12] for id_ in proof.supersedes)
    yield "  protocol", f"{proof.protocol}, after generation {proof.generation}, {proof.created}"


def _latency(latency: "MeasuredLatency") -> str:
    return (
        f"{latency.median_us:.1f} us, interquartile range {latency.spread_us:.1f}, {latency.ratio:.2f} times "
        f"the reference's {latency.reference_us:.1f} (width {latency.width}, {latency.device})"
    )


def _tasks_table(evaluations: Sequence[EvaluationRecord]) -> Table:
    """Return a row for each task and its settings; a seed of several engines counts once."""
    made = table(
        ("task in the search",),
        ("score", "95 % interval", "lowest", "highest", "seeds", "trainings", "ok"),
    )
    scores = scores_by_seed(evaluations)
    for key in sorted(scores):
        found = score_interval(scores[key])
        own = [record.result for record in evaluations if record.task_key == key]
        assert found is not None, "a task with a training has a score"
        made.add_row(
            key,
            f"{found.mean:.3f}",
            "-" if found.low is None else f"[{found.low:.3f}, {found.high:.3f}]",
            *(f"{end:.3f}" for end in (min(r.score for r in own), max(r.score for r in own))),
            *map(str, (found.num_seeds, len(own), sum(r.status == "ok" for r in own))),
        )
    return made


def _losses_table(learnt: Sequence[TaskCurves]) -> Table:
    """Return a row for each task: the course of its mean loss curve from the first step to the last."""
    shares = (("first step", 0.0), ("at 1/4", 0.25), ("at 1/2", 0.5), ("at 3/4", 0.75))
    made = table(("training loss, mean",), (*(name for name, _ in shares), "last", "steps", "trainings"))
    for curves in learnt:
        losses = [loss_at(curves, share) for _, share in shares] + [curves.mean[-1][1]]
        counts = str(curves.planned_steps), str(len(curves.averaged))
        made.add_row(curves.task_key, *(number(loss, ".4g") for loss in losses), *counts)
    return made


def _proof_table(proof: Proof) -> Table:
    """Return a row for each task of a proof; its scores are 0 at chance."""
    made = table(("task when proved",), ("score", "95 % interval", "seeds", "ok", "rate"), ("",))
    for task in proof.tasks:
        name = f"{task.task} (held out)" if task.held_out else task.task
        if task.reason:
            made.add_row(name, *["-"] * 5, f"not asked: {task.reason}")
            continue
        ends = f"[{task.low:.3f}, {task.high:.3f}]"
        counts = map(str, (task.num_seeds, task.num_ok))
        made.add_row(name, f"{task.mean:.3f}", ends, *counts, f"{task.factor:g}x", "")
    return made


def _trainings_table(evaluations: Sequence[EvaluationRecord]) -> Table:
    made = table(("training",), ("seed",), ("outcome", "run", "generation", "engine"))
    for record in evaluations:
        result = record.result
        where = record.run_id, str(record.generation), record.engine_id
        made.add_row(record.task_key, str(result.seed), _outcome(result), *where)
    return made


def _outcome(result: "TaskResult") -> str:
    """Return how one training ended, and what a graft gained and spoilt."""
    if result.status != "ok":
        return f"{result.status} {result.reason}".strip()
    parts = [f"{result.score:.3f}"]
    if result.gain is not None:
        parts.append(f"gain {result.gain:+.3f}")
    if result.gain_over_rival is not None:
        parts.append(f"over the perceptron {result.gain_over_rival:+.3f}")
    if result.retention_rise is not None:
        parts.append(f"old loss {result.retention_rise:+.2%}")
    return ", ".join([*parts, result.reason] if result.reason else parts)
