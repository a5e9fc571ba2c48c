"""One expansion from a library to a folder: made, checked, committed, on record, written; designs no part.

What was made is committed before it is on record, and on record before it is written out. A process that is
killed in between leaves what the same command, given again, goes on from: a commit has the same hash, equal
work has the same id, and answers that were paid for are in the journal.
"""

import hashlib
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from blueprints import LANGUAGE, emit
from crucible.devices import device_model
from hall_of_fame.database import dump_json
from hall_of_fame.expansions import ExpansionBook, ExpansionCall, ExpansionRecord
from tamiyo.expansion.conduct import ATTEMPTS, Conductor, Expansion, Part, Step
from tamiyo.expansion.examination import check_architecture, check_plan, check_unit
from tamiyo.expansion.folders import FolderError, check_free, write_folder
from tamiyo.expansion.journal import Journal
from tamiyo.expansion.provenance import SHORT_ID, Repository, file_hashes, has_git, tag_of, tree_hash
from tamiyo.expansion.records import (
    Brief,
    Check,
    Designer,
    ExpansionError,
    Plan,
    TargetName,
    UnitName,
    Verdict,
)
from tamiyo.expansion.subjects import Subject
from tamiyo.expansion.template import TemplateDesigner
from tamiyo.runs import code_version
from tamiyo.sandbox.contract import Job, Limits, Outcome, ResourceUse, Sandbox

#: Folder beside the repository that holds the journals of what is not finished.
JOURNALS = "expansions.pending"
#: The check whose detail tells times, which no two runs share.
TIMED = "resources"
#: The check that says the hash of all that the architecture put out, which is equal on an equal machine.
OUTPUTS = "outputs"

_PARAMETERS = re.compile(r"^([\d,]+) parameters")


class FailedExpansionError(ExpansionError):
    """An expansion that does not hold even as the template makes it; it is on record, and nowhere else."""

    def __init__(self, expansion: Expansion, record: ExpansionRecord | None) -> None:
        failure = expansion.verdict.failure
        assert failure is not None, "what failed has a failure"
        self.record = record
        kept = f"; on record as {record.id[:SHORT_ID]}" if record is not None else ""
        super().__init__(
            f"the template's own work does not pass check '{failure.name}': {failure.detail}; expected an "
            f"architecture that passes them all; nothing was written{kept}; report the blueprint's tokens"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How to expand.

    Attributes:
        target: what the architecture is for.
        max_parameters: most parameters of the whole.
        attempts: at the plan and at each unit.
        knowledge: passages that retrieval found.
        settings: of the designer, as the ledger keeps them: budget, seed, temperature, retrieval.
    """

    target: TargetName
    max_parameters: int = 5_000_000
    attempts: int = ATTEMPTS
    knowledge: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expanded:
    """What an expansion left.

    Attributes:
        record: as it is on record; not on record where the program is of no library, and has no id then.
        calls: those made for it.
        files: path to content.
        is_written: whether the folder is new; False where it held all of this already.
        notes: what else the user should know, a line each.
    """

    record: ExpansionRecord
    calls: tuple[ExpansionCall, ...]
    files: Mapping[str, bytes]
    is_written: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SandboxedChecks:
    """The checks of `examination.py` in one sandbox."""

    sandbox: Sandbox
    subject: Subject

    def plan(self, brief: Brief, plan: Plan) -> Verdict:
        """Return the verdict on a plan."""
        return check_plan(self.sandbox, brief, plan)

    def unit(
        self, brief: Brief, plan: Plan, name: UnitName, source: str, done: Mapping[UnitName, str]
    ) -> Verdict:
        """Return the verdict on a unit."""
        return check_unit(self.sandbox, brief, plan, name, source, done)

    def whole(self, brief: Brief, files: Mapping[str, bytes]) -> tuple[Verdict, ResourceUse]:
        """Return the verdict on a folder, and what its examination used."""
        heard = _Listening(self.sandbox)
        verdict, usage = check_architecture(
            heard, files, self.subject.blueprint, brief.target, max_parameters=brief.max_parameters
        )
        if verdict.is_passed:
            told = f"sha256 {heard.digest.hexdigest()} of every number that came out"
            outputs = Check(name=OUTPUTS, is_passed=True, detail=told, seconds=0.0)
            verdict = Verdict(subject=verdict.subject, checks=(*verdict.checks, outputs))
        return verdict, usage


class _Listening:
    """A sandbox whose jobs' files are hashed as they come back, so that they can be compared to the bit."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.digest = hashlib.sha256()

    @property
    def name(self) -> str:
        return self._sandbox.name

    def run(self, job: Job, limits: Limits) -> Outcome:
        outcome = self._sandbox.run(job, limits)
        for name, content in sorted(outcome.files.items()):
            self.digest.update(f"{name} {len(content)}\0".encode() + content)
        return outcome

    def close(self) -> None:
        self._sandbox.close()


def brief_of(subject: Subject, asked: Asked) -> Brief:
    """Return what a designer is told."""
    return Brief(
        blueprint_id=subject.blueprint.id,
        tokens=subject.blueprint.tokens,
        target=asked.target,
        block_source=emit(subject.blueprint),
        facts=subject.facts,
        knowledge=asked.knowledge,
        max_parameters=asked.max_parameters,
    )


def settings_of(subject: Subject, asked: Asked, designer: str) -> dict[str, Any]:
    """Return everything that decides an expansion beside its blueprint, target and the answers of a model."""
    shared = {
        "max_parameters": asked.max_parameters,
        "facts": dict(subject.facts),
        "tamiyo": code_version(),
        "language": LANGUAGE.version_hash,
    }
    if designer == TemplateDesigner().name:
        return shared
    knowledge = hashlib.sha256("\0".join(asked.knowledge).encode()).hexdigest()
    own = {"attempts": asked.attempts, "num_passages": len(asked.knowledge), "knowledge": knowledge}
    return {**shared, **own, **asked.settings}


def journal_path(folder: Path | None, subject: Subject, asked: Asked, designer: str) -> Path | None:
    """Return where the calls of an expansion are kept until it is on record; nothing else is kept there."""
    if folder is None or designer == TemplateDesigner().name:
        return None
    key = dump_json([subject.blueprint.id, asked.target, designer, settings_of(subject, asked, designer)])
    return folder / JOURNALS / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.jsonl"


def expand(
    subject: Subject,
    asked: Asked,
    designer: Designer,
    sandbox: Sandbox,
    out: Path,
    *,
    journal: Journal,
    book: ExpansionBook | None = None,
    folder: Path | None = None,
    tell: Callable[[Step], None] = lambda step: None,
) -> Expanded:
    """Make an expansion and write it to `out`.

    Args:
        subject: what is expanded.
        asked: how.
        designer: who decides and writes.
        sandbox: where the checks run.
        out: the folder that is written.
        journal: where the designer's provider records its calls.
        book: where it goes on record; None for a program of no library.
        folder: where the repository of generated code lies; None keeps no code.
        tell: hears of every step.

    Raises:
        FailedExpansionError: not even the template's work passes the checks.
        ExpansionError: the blueprint does not serve the target, or what is made cannot be kept or written.
        SandboxError: the sandbox is gone.
    """
    check_free(out, is_empty=designer.name != TemplateDesigner().name)
    settings = settings_of(subject, asked, designer.name)
    conductor = Conductor(
        brief=brief_of(subject, asked),
        designer=designer,
        checks=SandboxedChecks(sandbox, subject),
        journal=journal,
        describe=lambda parts: provenance_of(subject, asked.target, designer.name, settings, parts),
        tell=tell,
        attempts=asked.attempts,
    )
    made = conductor.conduct()
    journal.keep_rest()
    notes: list[str] = []
    commit = _committed(subject, asked.target, made, folder, notes) if made.verdict.is_passed else None
    record = _record(subject, asked.target, designer.name, settings, made, commit, sandbox.name)
    if book is not None and subject.is_on_record:
        record = book.add(record, journal.calls)
    else:
        notes.append("not on record: its program is of no library")
    journal.finish()
    if not made.verdict.is_passed:
        raise FailedExpansionError(made, record if record.id else None)
    return Expanded(
        record=record,
        calls=tuple(journal.calls),
        files=made.files,
        is_written=_written(made.files, out, record.id),
        notes=tuple(notes),
    )


def _written(files: Mapping[str, bytes], out: Path, id_: str) -> bool:
    """Write the folder; where that fails, say how what is on record comes out of it."""
    try:
        return write_folder(files, out)
    except FolderError as error:
        if not id_:
            raise
        short = id_[:SHORT_ID]
        raise FolderError(
            f"{error}; it is on record as expansion {short}: get its files from the same library with "
            f"`tamiyo reproduce {short} --out DIR`"
        ) from error


def provenance_of(
    subject: Subject,
    target: str,
    designer: str,
    settings: Mapping[str, Any],
    parts: tuple[Part, ...],
) -> dict[str, Any]:
    """Return what provenance.json and the model card say; equal for equal inputs, whatever the time."""
    origin = {"run": subject.run_id, "generation": subject.generation} if subject.is_on_record else {}
    fallbacks = {part.name: part.cause for part in parts if part.cause}
    return {
        "blueprint": subject.blueprint.id,
        **origin,
        "target": target,
        "designer": designer,
        "authors": {"block": "the search", **{part.name: part.author for part in parts}},
        **({"fallbacks to the template": fallbacks} if fallbacks else {}),
        "tamiyo": settings["tamiyo"],
        "language": settings["language"],
    }


def environment() -> dict[str, Any]:
    """Return what the figures of the checks depend on beside the code; the sandbox uses one thread."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": device_model(torch.device("cpu")),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
    }


def _committed(
    subject: Subject, target: str, made: Expansion, folder: Path | None, notes: list[str]
) -> str | None:
    """Commit what was made, and return the hash; None, with a note, where there is no git."""
    if folder is None or not subject.is_on_record:
        return None
    if not has_git():
        notes.append("not committed: there is no git program; the ledger has its sources and hashes")
        return None
    id_ = subject.blueprint.id
    authors = "\n".join(f"{part.name}: {part.author}" for part in made.parts)
    message = f"{id_[:12]} as {target}\n\nBlueprint: {id_}\nRun: {subject.run_id}\n\n{authors}\n"
    tag = tag_of(subject.run_id, id_, target, tree_hash(made.files))
    return Repository(folder).keep(made.files, tag=tag, message=message, created=subject.created)


def _record(
    subject: Subject,
    target: str,
    designer: str,
    settings: Mapping[str, Any],
    made: Expansion,
    commit: str | None,
    sandbox: str,
) -> ExpansionRecord:
    return ExpansionRecord(
        blueprint_id=subject.blueprint.id,
        run_id=subject.run_id,
        generation=subject.generation,
        created=datetime.now(UTC).isoformat(timespec="microseconds"),
        target=target,
        designer=designer,
        verdict="passed" if made.verdict.is_passed else "failed",
        reason=made.reason,
        fallbacks=made.fallbacks,
        settings=settings,
        plan=asdict(made.plan),
        units=tuple(asdict(part) for part in made.parts),
        files=file_hashes(made.files),
        num_parameters=_num_parameters(made.verdict),
        tree_hash=tree_hash(made.files),
        commit_hash=commit,
        sandbox=sandbox,
        environment=environment(),
        usage=asdict(made.usage),
        checks=tuple(asdict(check) for check in made.verdict.checks),
    )


def _num_parameters(verdict: Verdict) -> int:
    """Return the number of parameters that the check of construction counted; 0 if it came to none."""
    told = next((check.detail for check in verdict.checks if check.name == "construction"), "")
    found = _PARAMETERS.match(told)
    return int(found[1].replace(",", "")) if found is not None else 0
