"""The audit trail: who wrote what into a library, and when; added to in the transaction of what it tells.

The databases themselves refuse to change or delete a row of it, of the evaluations, of the proofs with their
trainings, and of the expansions with their calls. That guards against mistakes: who owns a file can take the
guards away, yet a changed row of the trail no longer has the id of its content.
"""

import getpass
import hashlib
import json
import os
import re
import shlex
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from hall_of_fame import schema
from hall_of_fame.errors import StoreError

#: Ends the verb of what is written in several transactions, and has begun.
BEGUN = " begun"

_LONG = ("import", "merge")
_PASSWORDS = (
    (re.compile(r"(://[^:/@\s]*:)[^@\s]*@"), r"\1***@"),
    (re.compile(r"(password=)[^&\s'\"]*", re.IGNORECASE), r"\1***"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One transaction that wrote into a library.

    Attributes:
        id: SHA-256 of the other fields.
        created: when, in UTC, to the microsecond.
        who: user@host.
        command: the command line, without the passwords of its URLs.
        verb: what was done: run, generation, latencies, proof, expansion, upgrade, restore, import or merge;
            of a long import or merge `import begun` or `merge begun` comes first, a row for each run that
            gets rows.
        run_id: the run that it was done for; None where there is not one.
        generation: the generation that it was done for.
        counts: rows that were added, by table.
        note: what else there is to say, such as the file that was read.
    """

    id: str
    created: str
    who: str
    command: str
    verb: str
    run_id: str | None
    generation: int | None
    counts: dict[str, int]
    note: str

    @property
    def is_genuine(self) -> bool:
        """Whether the id is that of the content."""
        return self.id == _digest({name: getattr(self, name) for name in self.__slots__ if name != "id"})


def record(
    connection: Connection,
    verb: str,
    *,
    run_id: str | None = None,
    generation: int | None = None,
    counts: Mapping[str, int],
    note: str = "",
) -> None:
    """Add a row to the trail, within the caller's transaction."""
    row = {
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "who": f"{_user()}@{socket.gethostname()}",
        "command": without_passwords(shlex.join(sys.argv)),
        "verb": verb,
        "run_id": run_id,
        "generation": generation,
        "counts": dict(counts),
        "note": without_passwords(note),
    }
    connection.execute(schema.audit.insert(), [{"id": _digest(row), **row}])


def records(connection: Connection, run_id: str | None = None) -> list[AuditRecord]:
    """Return the trail, of one run or of all, oldest first."""
    table = schema.audit
    query = select(table).order_by(table.c.created, table.c.id)
    if run_id is not None:
        query = query.where(table.c.run_id == run_id)
    return [AuditRecord(**row) for row in connection.execute(query).mappings()]


def unfinished(connection: Connection) -> list[AuditRecord]:
    """Return what the trail tells of imports and merges that have begun and not ended, oldest first.

    Each is under way in another process or was interrupted; what it was to bring may be there in part.
    """
    table = schema.audit
    verbs = [f"{verb}{ending}" for verb in _LONG for ending in ("", BEGUN)]
    query = select(table).where(table.c.verb.in_(verbs)).order_by(table.c.created, table.c.id)
    begun: list[AuditRecord] = []
    for row in connection.execute(query).mappings():
        record = AuditRecord(**row)
        if record.verb.endswith(BEGUN):
            begun.append(record)
        else:
            begun = [other for other in begun if not is_begun(other, record.verb, record.note)]
    return begun


def is_begun(record: AuditRecord, verb: str, note: str) -> bool:
    """Return whether a record tells of the beginning of this import or merge, whatever its file is called."""
    same = record.note.rpartition("sha256 ")[2] == note.rpartition("sha256 ")[2]
    return record.verb == f"{verb}{BEGUN}" and same


def check_whole(connection: Connection, run_id: str) -> None:
    """Refuse a run that an import or a merge has brought in part."""
    for begun in unfinished(connection):
        if begun.run_id == run_id:
            raise StoreError(
                f"run {run_id} is there in part: {begun.verb} at {begun.created}, and not ended",
                expected="a run with all its generations",
                mend=f"end it with the same command: {begun.command}",
            )


def without_passwords(text: str) -> str:
    """Return `text` with the passwords of the URLs in it made unreadable."""
    for pattern, replacement in _PASSWORDS:
        text = pattern.sub(replacement, text)
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as some containers have
        return str(os.getuid())


def _digest(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()
