"""What can be expanded, and what is known of it: a blueprint of a library, or a program from a file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blueprints import Blueprint, BlueprintError, parse
from hall_of_fame.library import Library
from hall_of_fame.records import Entry
from tamiyo.comparing import score_interval, scores_by_seed
from tamiyo.expansion.records import ExpansionError, TargetName
from tamiyo.expansion.targets import target_named
from tamiyo.reading import UnreadableError, readable

#: Blueprints of a library that are looked at for the best that serves a target.
NUM_LOOKED_AT = 256
#: Where nothing says which target is meant: the first that takes the blueprint.
PREFERRED: tuple[TargetName, ...] = ("char_lm", "sequence_classifier")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is expanded.

    Attributes:
        blueprint: the block.
        run_id: the run that found it; empty for a program of no library.
        generation: the generation of that run.
        created: ISO 8601 time of that run's start, which becomes the date of what is made.
        facts: figures with their intervals, sizes and origin, as JSON says them.
    """

    blueprint: Blueprint
    run_id: str = ""
    generation: int = 0
    created: str = "1970-01-01T00:00:00+00:00"
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_on_record(self) -> bool:
        """Whether a library has it."""
        return bool(self.run_id)


def subject_of(library: Library, blueprint_id: str) -> Subject:
    """Return the blueprint of a library whose id is, or alone begins with, `blueprint_id`.

    Raises:
        StoreError: there is none, more than one, or it is written in another language.
    """
    entry = library.get(blueprint_id)
    run = library.store.run(entry.run_id)
    assert run is not None, "a blueprint on record belongs to a run on record"
    return Subject(
        blueprint=readable(entry.id, entry.tokens, entry.language_version),
        run_id=entry.run_id,
        generation=entry.generation,
        created=run.created,
        facts=facts_of(library, entry),
    )


def best_subject(library: Library, target: TargetName | None) -> Subject:
    """Return the best blueprint of a library that can serve a target, entrants before candidates.

    Raises:
        ExpansionError: the library has none.
    """
    for entry in library.list(NUM_LOOKED_AT):
        try:
            blueprint = readable(entry.id, entry.tokens, entry.language_version)
        except UnreadableError:
            continue
        if not target_named(target or PREFERRED[-1]).refusal(blueprint.graph):
            return subject_of(library, entry.id)
    asked = f" that {target} can use" if target else ""
    raise ExpansionError(
        f"{library.store.name} has no blueprint{asked} among its best {NUM_LOOKED_AT}; expected one that was "
        "trained well; let a run go on, or name another library"
    )


def subject_in_file(path: Path) -> Subject:
    """Return the program whose tokens a text file holds.

    Raises:
        ExpansionError: it cannot be read, or holds no program.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExpansionError(f"cannot read {path}: {error}; expected a text file with tokens") from error
    try:
        return Subject(blueprint=parse(re.findall(r"[^\s,\[\]'\"]+", text)))
    except BlueprintError as error:
        raise ExpansionError(f"{path} holds no program: {error}; `tamiyo check` explains it") from error


def target_for(blueprint: Blueprint) -> TargetName:
    """Return the first of `PREFERRED` that takes a blueprint."""
    return next(name for name in PREFERRED if not target_named(name).refusal(blueprint.graph))


def facts_of(library: Library, entry: Entry) -> dict[str, Any]:
    """Return what a library knows of a blueprint: its standing, scores with intervals, and sizes."""
    proof = entry.standing.proof
    found: dict[str, Any] = {"status": entry.standing.status}
    if entry.standing.reason:
        found["reason"] = entry.standing.reason
    if proof is not None:
        seeds = max((task.num_seeds for task in proof.tasks), default=0)
        found["score when proved"] = _interval(proof.mean, proof.low, proof.high, seeds)
        for task in proof.tasks:
            kind = "held-out task" if task.held_out else "task"
            found[f"{kind} {task.task} when proved"] = _interval(
                task.mean, task.low, task.high, task.num_seeds
            )
    found["score in the search"] = entry.performance
    records = library.store.evaluations(entry.id)
    names = {record.task_key: record.result.task for record in records}
    for key, scores in sorted(scores_by_seed(records).items()):
        measured = score_interval(scores)
        if measured is not None:
            found[f"task {names[key]} ({key})"] = _interval(
                measured.mean, measured.low, measured.high, measured.num_seeds
            )
    found |= {
        "parameters in the host": entry.num_parameters,
        "FLOPs in the host": entry.flops,
        "predicted latency us": entry.latency_us,
        "run": entry.run_id,
        "generation": entry.generation,
        "found by": entry.lineage.strategy or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _interval(mean: float, low: float | None, high: float | None, num_seeds: int) -> dict[str, Any]:
    return {"mean": mean, "low": low, "high": high, "num_seeds": num_seeds}
