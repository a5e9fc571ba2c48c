"""Makes an expansion on record again: its files by their hashes, its figures in the sandbox; writes nothing.

On an equal environment every figure of the checks must be equal, and all that the architecture put out must
be so to the bit. On another one, processors and libraries round otherwise: then every check must pass again,
the parameters must be as many, and losses may be `LOSS_TOLERANCE` nats apart.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hall_of_fame.expansions import ExpansionRecord
from hall_of_fame.store import Store
from tamiyo.expansion.assembly import assemble
from tamiyo.expansion.conduct import Part
from tamiyo.expansion.expanding import (
    OUTPUTS,
    TIMED,
    Asked,
    SandboxedChecks,
    brief_of,
    environment,
    provenance_of,
)
from tamiyo.expansion.provenance import Repository, RepositoryError, file_hashes, tree_hash
from tamiyo.expansion.records import UNITS, ExpansionError, Plan, TargetName, UnitName
from tamiyo.expansion.subjects import Subject
from tamiyo.expansion.targets import target_named
from tamiyo.reading import readable
from tamiyo.sandbox.contract import ResourceUse, Sandbox

#: How far apart losses of the short training may be on another environment, in nats.
LOSS_TOLERANCE = 0.1

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


class ReproductionError(ExpansionError):
    """An expansion on record that cannot be made again: its files are gone, or are not what they were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A check's figure when the expansion was made and now, and whether that is the same.

    Attributes:
        name: of the check.
        then: what it said; empty where it was not made.
        now: what it says.
        is_same: equal, or as near as another environment allows.
    """

    name: str
    then: str
    now: str
    is_same: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What came of making an expansion again.

    Attributes:
        record: the expansion.
        files: path to content, each with the hash that is on record.
        source: `commit`, or `ledger` where they were put together from what is on record there.
        differing: what is otherwise in this environment, by name: then and now.
        figures: of every check, in their order, times left out.
        usage: of the examination.
    """

    record: ExpansionRecord
    files: Mapping[str, bytes]
    source: str
    differing: Mapping[str, tuple[Any, Any]]
    figures: tuple[Figure, ...]
    usage: ResourceUse

    @property
    def is_exact(self) -> bool:
        """Whether figures had to be equal: nothing in the environment differs."""
        return not self.differing

    @property
    def is_reproduced(self) -> bool:
        """Whether every figure is the same."""
        return all(figure.is_same for figure in self.figures)


def reproduce(
    record: ExpansionRecord, store: Store, sandbox: Sandbox, repository: Repository | None
) -> Reproduction:
    """Make an expansion of a ledger again.

    Raises:
        ReproductionError: it did not pass then, or its files cannot be had as they were.
        SandboxError: the sandbox is gone.
    """
    if record.verdict != "passed":
        raise ReproductionError(
            f"expansion {record.id[:12]} failed when it was made, {_failure(record)}; expected one that "
            "passed"
        )
    subject = _subject(record, store)
    files, source = files_of(record, subject, repository)
    asked = _asked(record)
    verdict, usage = SandboxedChecks(sandbox, subject).whole(brief_of(subject, asked), files)
    here = {**environment(), "sandbox": sandbox.name}
    then = {**record.environment, "sandbox": record.sandbox}
    differing = {
        name: (then.get(name), here.get(name))
        for name in sorted({*then, *here})
        if then.get(name) != here.get(name)
    }
    known = {check["name"]: check["detail"] for check in record.checks}
    figures = tuple(
        Figure(
            name=check.name,
            then=known.get(check.name, ""),
            now=check.detail,
            is_same=check.is_passed
            and _is_same(check.name, known.get(check.name, ""), check.detail, differing),
        )
        for check in verdict.checks
        if check.name != TIMED
    )
    return Reproduction(
        record=record, files=files, source=source, differing=differing, figures=figures, usage=usage
    )


def files_of(
    record: ExpansionRecord, subject: Subject, repository: Repository | None
) -> tuple[dict[str, bytes], str]:
    """Return the files of an expansion and where they are from: its commit, or what the ledger has of it.

    Raises:
        ReproductionError: neither gives files with the hashes on record.
    """
    missing = "it was not committed"
    if record.commit_hash is not None:
        missing = "no folder with the repository was named"
        if repository is not None:
            try:
                files = repository.files(record.commit_hash)
            except RepositoryError as error:
                missing = str(error)
            else:
                _check_hashes(record, files, f"commit {record.commit_hash[:12]} of {repository.path}")
                return files, "commit"
    files = _assembled(record, subject)
    if tree_hash(files) == record.tree_hash:
        return files, "ledger"
    raise ReproductionError(
        f"this version puts other files together for expansion {record.id[:12]} than "
        f"{record.settings['tamiyo']} did: {_differing(record, files)}; expected its commit: {missing}"
    )


def _assembled(record: ExpansionRecord, subject: Subject) -> dict[str, bytes]:
    """Return the folder as this version makes it of the plan and units on record."""
    parts = tuple(Part(**unit) for unit in record.units)
    sources = {part.name: part.source for part in parts}
    units: dict[UnitName, str] = {name: sources[name] for name in UNITS}
    told = provenance_of(subject, record.target, record.designer, record.settings, parts)
    return assemble(brief_of(subject, _asked(record)), Plan(**record.plan), units, told)


def _check_hashes(record: ExpansionRecord, files: Mapping[str, bytes], where: str) -> None:
    if tree_hash(files) != record.tree_hash or file_hashes(files) != dict(record.files):
        raise ReproductionError(
            f"{where} holds other files than are on record for expansion {record.id[:12]}: "
            f"{_differing(record, files)}; expected tree {record.tree_hash}; take the repository from a "
            "backup"
        )


def _differing(record: ExpansionRecord, files: Mapping[str, bytes]) -> str:
    found = file_hashes(files)
    names = [name for name in sorted({*found, *record.files}) if found.get(name) != record.files.get(name)]
    return ", ".join(names) or "their folders differ"


def _subject(record: ExpansionRecord, store: Store) -> Subject:
    written = store.blueprint(record.blueprint_id)
    assert written is not None, "an expansion on record is of a blueprint on record"
    return Subject(
        blueprint=readable(written.id, written.tokens, written.language_version),
        run_id=record.run_id,
        generation=record.generation,
        facts=record.settings["facts"],
    )


def _asked(record: ExpansionRecord) -> Asked:
    target: TargetName = target_named(record.target).name
    return Asked(target=target, max_parameters=record.settings["max_parameters"])


def _is_same(name: str, then: str, now: str, differing: Mapping[str, Any]) -> bool:
    """Return whether a figure is the one of then, in an environment that differs in this."""
    if not differing:
        return then == now
    if name == "training":
        pairs = zip(_NUMBER.findall(then), _NUMBER.findall(now), strict=False)
        return all(abs(float(one) - float(other)) <= LOSS_TOLERANCE for one, other in pairs)
    return then == now if name == "construction" else name == OUTPUTS or bool(then)


def _failure(record: ExpansionRecord) -> str:
    return next((f"{c['name']}: {c['detail']}" for c in record.checks if not c["is_passed"]), record.reason)
