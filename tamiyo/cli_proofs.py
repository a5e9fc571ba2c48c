"""`tamiyo prove`, and what `list` and `show` say of proofs and lineage; leaves proving to reproving.py."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blueprints import LANGUAGE, Language, TamiyoError

if TYPE_CHECKING:
    from crucible import Crucible
    from curricula.curriculum import Curriculum
    from curricula.task import Task
    from hall_of_fame.library import Library
    from hall_of_fame.records import Entry, GenerationRecord, Lineage, Proof, Standing, TaskProof
    from tamiyo.config import Config
    from tamiyo.reproving import Reprover


class ProvingError(TamiyoError):
    """A run whose candidates cannot be proved; the message says how to mend it."""


def prove(library: "Library", options: argparse.Namespace) -> "list[Proof]":
    """Prove `options.top` ranks of a run, `options.stride` apart, but those proved before; return the proofs.

    They are proved as the run's own configuration says, on the tasks of its last generation.
    """
    from tamiyo.reproving import build_reprover

    config, last = _run_to_prove(library, options.run)
    curriculum = config.curriculum.build()
    language = Language(
        ops=LANGUAGE.ops, max_length=config.language.max_length, max_flops=config.language.max_flops
    )
    with _crucible(config, language, options.workers) as crucible:
        reprover = build_reprover(config, curriculum, crucible, library.store, last.run_id, language)
        tasks = _tasks(curriculum, last, reprover)
        chosen = reprover.selected(tasks)[: options.top * options.stride : options.stride]
        proofs = [
            reprover.prove(candidate, tasks, last.generation)
            for candidate in chosen
            if not candidate.is_proved
        ]
    return [proof for proof in proofs if proof is not None]


def standing_json(entry: "Entry") -> dict[str, Any]:
    """Return what a row of JSON says beside the fields of an entry: status, score, shrinkage and niche."""
    from hall_of_fame.views import niche_of

    proof = entry.standing.proof
    return {
        "status": entry.standing.status,
        "score": entry.score,
        "shrinkage": proof and proof.shrinkage,
        "niche": asdict(niche_of(entry)),
    }


def proof_json(proof: "Proof") -> dict[str, Any]:
    """Return a proof as a row of JSON."""
    return {**asdict(proof), "shrinkage": proof.shrinkage}


def proof_line(proof: "Proof") -> str:
    """Return a proof in a line."""
    return (
        f"{proof.rank:>4}  {proof.blueprint_id[:12]}  {proof.verdict:<7}  {proof.mean:.3f} "
        f"[{proof.low:.3f}, {proof.high:.3f}] after {proof.search_score:.3f} in the search  {proof.reason}"
    ).rstrip()


def standing_lines(standing: "Standing") -> list[str]:
    """Return the lines that say where a blueprint stands, and its proof."""
    reason = f": {standing.reason}" if standing.reason else ""
    lines = [f"status       {standing.status}{reason}"]
    proof = standing.proof
    if proof is None:
        return lines
    lines += [
        f"proof        {proof.mean:.3f}, 95 % interval {proof.low:.3f} to {proof.high:.3f}; the identity has "
        f"{proof.floor:.3f}",
        f"  search     {proof.search_score:.3f} over {proof.search_trainings} trainings, rank {proof.rank}; "
        f"shrinkage {proof.shrinkage:+.3f} ({proof.search_score - proof.mean_as_searched:+.3f} at the "
        "search's learning rates)",
        *(f"  {_task_line(task)}" for task in proof.tasks),
    ]
    if proof.nearest is not None:
        lines.append(f"  nearest    {proof.nearest[:12]}, CKA {proof.similarity:.3f}")
    if proof.supersedes:
        lines.append(f"  supersedes {', '.join(id_[:12] for id_ in proof.supersedes)}")
    return [*lines, f"  protocol   {proof.protocol}, after generation {proof.generation}, {proof.created}"]


def lineage_line(lineage: "Lineage") -> str:
    """Return the line that says how a blueprint came about."""
    made = f", from {', '.join(id_[:12] for id_ in lineage.parents)}" if lineage.parents else ""
    return f"strategy     {lineage.strategy or 'not recorded'}{made}"


def _task_line(task: "TaskProof") -> str:
    name = f"{task.task}{' (held out)' if task.held_out else ''}"
    if task.reason:
        return f"{name}: not asked, {task.reason}"
    return (
        f"{name}: {task.mean:.3f}, {task.low:.3f} to {task.high:.3f} over {task.num_seeds} seeds at "
        f"{task.factor:g} times the task's learning rate"
    )


def _run_to_prove(library: "Library", run_id: str | None) -> "tuple[Config, GenerationRecord]":
    """Return the configuration of a run, the newest unless named, and its last generation."""
    from tamiyo.config import config_of

    runs = library.store.runs()
    run = next((run for run in reversed(runs) if run_id in (None, run.id)), None)
    if run is None:
        known = ", ".join(run.id for run in runs) or "none yet"
        raise ProvingError(f"no run '{run_id or ''}' in {library.store.name}; expected one of: {known}")
    last = library.store.last_generation(run.id)
    if last is None:
        raise ProvingError(f"run {run.id} has no generation yet; expected one; let it run on")
    copy = Path(library.store.name).with_name("user_tasks.py")
    return config_of(run.config, copy if copy.exists() else None), last


@contextmanager
def _crucible(config: "Config", language: Language, workers: int | None) -> "Iterator[Crucible]":
    from crucible import Crucible

    settings = config.crucible
    with Crucible(
        width=settings.width,
        engine=settings.engine,
        device=config.device,
        num_workers=workers,
        max_seconds=settings.max_seconds,
        language=language,
        effort=settings.effort,
    ) as crucible:
        yield crucible


def _tasks(curriculum: "Curriculum", last: "GenerationRecord", reprover: "Reprover") -> "tuple[Task, ...]":
    """Return the tasks of the last generation's stage, unless they no longer ask what they asked."""
    stages = [stage.name for stage in curriculum.stages]
    tasks = curriculum.tasks(stages.index(last.stage)) if last.stage in stages else ()
    asked = reprover.keys(tasks)
    if asked != list(last.task_keys):
        raise ProvingError(
            f"run {last.run_id} was judged on {', '.join(last.task_keys)}; stage '{last.stage}' now asks "
            f"{', '.join(asked) or 'nothing'}; use the package and tasks of the run"
        )
    return tasks
