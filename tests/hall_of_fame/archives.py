"""Libraries to write archives of, and all their rows; run as a script it restores one and dies midway."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ledgers
from ledgers import commit, random_generation, run_record
from sqlalchemy import Table

from hall_of_fame.archive import Archive, Encoded, read_rows
from hall_of_fame.database import reading
from hall_of_fame.merging import restore
from hall_of_fame.store import Store


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
            if row.get("verb") not in ("restore", "import", "merge", "upgrade")
        ]


class Dying(Archive):
    """An archive whose reader is killed before row `last`."""

    last: int

    def rows(self, tables: Mapping[str, Table]) -> Iterator[tuple[Table, Encoded]]:
        for number, row in enumerate(super().rows(tables)):
            if number == self.last:
                os.kill(os.getpid(), signal.SIGKILL)
            yield row


if __name__ == "__main__":
    dying = Dying(Path(sys.argv[1]))
    dying.last = int(sys.argv[3])
    restore(dying, sys.argv[2])
