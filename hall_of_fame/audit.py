"""The audit trail: who wrote what into a library, and when; added to in the transaction of what it tells.

The databases themselves refuse to change or delete a row of it, and of the evaluations. That guards against
mistakes: who owns a file can take the guards away, yet a changed row no longer has the id of its content.
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
        verb: what was done: run, generation, latencies, proof, upgrade, restore, import or merge.
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
