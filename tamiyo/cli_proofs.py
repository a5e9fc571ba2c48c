"""`tamiyo prove`, and what rows of JSON say of proofs; leaves proving to reproving.py."""

import argparse
from collections.abc import Iterator, Sequence
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
    from hall_of_fame.records import Entry, GenerationRecord, Proof
    from tamiyo.config import Config
    from tamiyo.reproving import Reprover


class ProvingError(TamiyoError):
    """A run whose candidates cannot be proved; the message says how to mend it."""


def prove(library: "Library", options: argparse.Namespace) -> "list[Proof]":
    """Prove `options.top` ranks of a run, `options.stride` apart, but those proved before; return the proofs.

    They are proved as the run's own configuration says, on the tasks of its last generation.
    """
    with opened_reprover(library, options.run, options.workers) as (reprover, tasks, last):
        chosen = reprover.selected(tasks)[: options.top * options.stride : options.stride]
        proofs = [
            reprover.prove(candidate, tasks, last.generation)
            for candidate in chosen
            if not candidate.is_proved
        ]
    return [proof for proof in proofs if proof is not None]


@contextmanager
def opened_reprover(
    library: "Library", run_id: str | None, workers: int | None
) -> "Iterator[tuple[Reprover, Sequence[Task], GenerationRecord]]":
    """Give who proves a run's candidates, the newest run's unless named, its tasks and last generation."""
    from tamiyo.reproving import build_reprover

    config, last = _run_to_prove(library, run_id)
    curriculum = config.curriculum.build()
    language = Language(
        ops=LANGUAGE.ops, max_length=config.language.max_length, max_flops=config.language.max_flops
    )
    with _crucible(config, language, workers) as crucible:
        reprover = build_reprover(config, curriculum, crucible, library.store, last.run_id, language)
        yield reprover, _tasks(curriculum, last, reprover), last


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
