"""Libraries to write archives of, and all their rows; run as a script it takes one in and dies midway."""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ledgers
from ledgers import commit, random_generation, run_record
from sqlalchemy import Table

from hall_of_fame import merging
from hall_of_fame.archive import Archive, Encoded, Header, read_rows
from hall_of_fame.database import reading
from hall_of_fame.merging import import_, restore
from hall_of_fame.store import Store

#: Rows that an import takes at once where it is to be interrupted.
ROWS_A_TURN = 40


def fill(path: Path | str, run_id: str = "run", *, seed: int = 0, num: int = 2) -> None:
    """Write a run of `num` generations and a measured latency."""
    with Store.open(path, create=True) as store:
        store.add_run(run_record(run_id))
        for number in range(num):
            commit(store, number, random_generation(seed + number), run_id=run_id)
        store.add_latencies(run_id, 0, {store.top(1)[0].id: ledgers.measured()})


def all_rows(store: Store) -> list[tuple[str, dict[str, Any]]]:
    """Return every row of a library, what the trail tells of restoring and merging aside."""
    with reading(store.engine) as connection:
        return [
            (table.name, row)
            for table, row in read_rows(connection)
            if str(row.get("verb")).partition(" ")[0] not in ("restore", "import", "merge", "upgrade")
        ]


def sign(path: Path, header: bytes, lines: list[bytes], **fields: Any) -> Path:
    """Write an archive of these lines that seems untouched."""
    body = b"".join(lines)
    values = {**json.loads(header), "sha256": hashlib.sha256(body).hexdigest(), **fields}
    path.write_bytes(Header(**values).to_line() + body)
    return path


class Dying(Archive):
    """An archive whose reader is killed before the row that is number `last` of all that it was given."""

    last: int
    given: int = 0

    def rows(self, tables: Mapping[str, Table]) -> Iterator[tuple[Table, Encoded]]:
        for row in super().rows(tables):
            if self.given == self.last:
                self.die()
            self.given += 1
            yield row

    def die(self) -> None:
        """End the reader and all of its process."""
        os.kill(os.getpid(), signal.SIGKILL)


def take(verb: str, path: str, into: str, last: int) -> None:
    """Restore an archive, or import it a few rows at a time; die when row `last` of it is written."""
    dying = Dying(Path(path))
    if verb == "restore":
        dying.last = last
        restore(dying, into)
        return
    with Store.open(into) as store:
        # An import reads twice: first to see whether all of it fits.
        dying.last = last + sum(dying.header.counts.values())
        merging.ROWS_A_TURN = ROWS_A_TURN
        import_(dying, store)


if __name__ == "__main__":
    take(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
