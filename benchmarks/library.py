"""How fast is a library as it grows? Inserts, queries and size, from a thousand to a million evaluations.

    python benchmarks/library.py --json docs/figures/library.json --figure docs/figures/library.png

Every (database, size) is a ledger of its own, filled by the store in generations of 1,024 candidates as a run
fills it, one transaction each, with invented rows (benchmarks/library_rows.py) and without fingerprints. What
is measured is written at once, and what the JSON file holds already is not measured again.

A query is what a run or a page asks, through the same methods. `first` is its first call on a database that
was just opened, after the system was told to drop the files' pages (PostgreSQL was started anew); what the
disk itself remembers is out of reach. Median and 95th percentile are of the calls after it, so of warm pages.
PostgreSQL has the settings it comes with, and its statistics are brought up to date before the queries.
"""

# ruff: noqa: E402

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import numpy as np
import torch
from crucible_throughput import describe_machine
from library_rows import BATCH, ENGINE, STAGES, WEIGHTS, Generation, blueprint_id, generations, task_records
from library_server import Server, missing, started
from preflight import check
from sqlalchemy import create_engine, text

from hall_of_fame.database import parse_url
from hall_of_fame.library import Library
from hall_of_fame.schema import HEAD
from hall_of_fame.store import Store

DATABASES = ("sqlite", "postgresql")
ROWS = (1_000, 10_000, 100_000, 1_000_000)
#: Calls of a query after the first, and the seconds after which fewer will do.
REPEATS, LEAST_REPEATS, ENOUGH_S = 40, 5, 20.0
#: Entries that a page shows, and that a run compares with.
SHOWN, HALL = 32, 64
#: Slower than this a page or a run waits.
SLOW_S = 0.3


def main() -> None:
    """Measure what is not on file yet, print a table, write JSON and a picture."""
    options = _options()
    check("cpu", options.json)
    check("cpu", options.figure)
    document = _document(options.json)
    todo = [(d, n) for d in options.databases for n in sorted(options.rows) if not _found(document, d, n)]
    if any(database == "postgresql" for database, _ in todo) and (why := missing()):
        print(f"PostgreSQL is left out: {why}")
        document["left_out"] = {"postgresql": why}
        todo = [(database, num) for database, num in todo if database != "postgresql"]
    for database, num in todo:
        print(f"{database}, {num:,} evaluations", flush=True)
        document["measured"].append(measure(database, num, options.folder))
        document["left_out"].pop(database, None)
        _write(document, options.json)
    _write(document, options.json)
    _print(document)
    if options.figure:
        from library_figure import draw

        draw(document, options.figure)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, metavar="N", help="evaluations")
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--folder", help="where ledgers are made and removed, 2 KB an evaluation")
    parser.add_argument("--json", help="where the numbers go, and what is not measured again")
    parser.add_argument("--figure", help="where the picture goes (needs matplotlib)")
    options = parser.parse_args()
    if min(options.rows) < 1:
        parser.error(f"--rows must be at least 1, got {min(options.rows)}")
    return options


def measure(database: str, num_evaluations: int, folder: str | None = None) -> dict[str, Any]:
    """Return the figures of a ledger of that many evaluations, which is made, and removed afterwards."""
    with _ledger(database, folder) as ledger:
        with Store.open(ledger.url, create=True) as store:
            commits_s, last = fill(store, num_evaluations)
            counts = store.counts()
        ledger.settle()
        queries = {name: time_query(ledger, query) for name, query in queries_of(last).items()}
        return {
            "database": database,
            "version": ledger.version(),
            "schema": HEAD,
            "num_evaluations": counts.evaluations,
            "num_blueprints": counts.blueprints,
            "num_candidates": counts.candidates,
            "num_generations": counts.generations,
            "bytes": ledger.size(),
            "evaluations_per_s": counts.evaluations / sum(commits_s),
            "commit": summary(commits_s),
            "commit_last_tenth": summary(commits_s[-max(1, len(commits_s) // 10) :]),
            "queries": queries,
        }


def fill(store: Store, num_evaluations: int) -> tuple[list[float], Generation]:
    """Commit generations; return the seconds of each and the last one."""
    seconds: list[float] = []
    generation = None
    for generation in generations(num_evaluations):
        store.add_run(generation.run)
        start = time.perf_counter()
        store.commit_generation(
            generation.run.id,
            generation.number,
            stage=generation.stage,
            metrics=generation.metrics,
            candidates=generation.candidates,
            blueprints=generation.blueprints,
            evaluations=generation.evaluations,
            tasks=generation.tasks,
        )
        seconds.append(time.perf_counter() - start)
    assert generation is not None, "a ledger has at least one evaluation"
    return seconds, generation


Query = Callable[[Store], Any]


def queries_of(last: Generation) -> dict[str, Query]:
    """Return what users and runs ask of a ledger whose last generation this is, each with fresh arguments."""
    rng = random.Random(0)
    run_id, keys = last.run.id, [task.key for task in last.tasks]
    weights = {task.key: WEIGHTS[task.name] for task in last.tasks}

    def someone() -> str:
        return rng.choice(last.blueprints).id

    def batch() -> list[str]:
        """Half new, half of the last generation, as many as a batch has."""
        known = rng.sample(last.blueprints, min(BATCH // 2, len(last.blueprints)))
        fresh = [blueprint_id(-1, rng.randrange(10**9), i) for i in range(BATCH - len(known))]
        return [blueprint.id for blueprint in known] + fresh

    return {
        "top 32, every task": lambda store: Library(store).list(SHOWN),
        "top 32, a stage": lambda store: Library(store).list(SHOWN, stage=last.stage),
        "top 32, a run": lambda store: store.top(SHOWN, run_id=run_id),
        "snapshot of 64, a run": lambda store: store.snapshot(
            HALL, keys, run_id=run_id, engine_id=ENGINE, weights=weights
        ),
        "known results of 1,024": lambda store: store.known_results(
            batch(), ENGINE, keys, run_id=run_id, with_fingerprints=True
        ),
        "an entry by its id": lambda store: Library(store).get(someone()),
        "ids by their beginning": lambda store: store.ids(someone()[:6], limit=4),
        "metrics of a run": lambda store: store.metrics(run_id),
        "counts of a run": lambda store: store.counts(run_id),
    }


def time_query(ledger: "_Ledger", query: Query) -> dict[str, Any]:
    """Return the seconds of a query's first call, of pages not in memory, and of its calls after that."""
    ledger.forget()
    with Store.open(ledger.url) as store:
        first_s = _seconds(query, store)
        seconds: list[float] = []
        while len(seconds) < REPEATS and (len(seconds) < LEAST_REPEATS or sum(seconds) < ENOUGH_S):
            seconds.append(_seconds(query, store))
    return {"first_s": first_s, **summary(seconds)}


def summary(seconds: Sequence[float]) -> dict[str, Any]:
    """Return median and 95th percentile of some durations, and how many there are."""
    median_s, p95_s = np.quantile(seconds, (0.5, 0.95))
    return {"median_s": float(median_s), "p95_s": float(p95_s), "num": len(seconds)}


def _seconds(query: Query, store: Store) -> float:
    start = time.perf_counter()
    query(store)
    return time.perf_counter() - start


class _Ledger:
    """A new database of either kind: where it is, how large, and how its pages leave memory."""

    def __init__(self, folder: Path, server: Server | None) -> None:
        self._folder, self._server = folder, server
        self.url = f"sqlite:///{folder / 'library.db'}" if server is None else server.url()

    def settle(self) -> None:
        """Bring PostgreSQL's statistics up to date, as it does by itself within a minute; SQLite has none."""
        if self._server is not None:
            self._ask("VACUUM ANALYZE")
            self._ask("CHECKPOINT")

    def forget(self) -> None:
        """Have the system drop the pages of the ledger's files, and PostgreSQL its own."""
        if self._server is not None:
            self._server.stop()
        for path in self._folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if self._server is not None:
            self._server.start()

    def size(self) -> int:
        """Return the bytes of the database."""
        if self._server is not None:
            return int(self._ask("SELECT pg_database_size(current_database())"))
        return sum(path.stat().st_size for path in self._folder.glob("library.db*"))

    def version(self) -> str:
        """Return the version of the database's program."""
        return str(self._ask("SHOW server_version" if self._server else "SELECT sqlite_version()"))

    def _ask(self, statement: str) -> Any:
        engine = create_engine(parse_url(self.url), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            result = connection.execute(text(statement))
            value = result.scalar() if result.returns_rows else None
        engine.dispose()
        return value


@contextmanager
def _ledger(database: str, folder: str | None) -> Iterator[_Ledger]:
    if database == "postgresql":
        with started(parent=folder) as server:
            yield _Ledger(server.folder, server)
        return
    with tempfile.TemporaryDirectory(prefix="tamiyo-library-", dir=folder) as name:
        yield _Ledger(Path(name), None)


def _document(path: str | None) -> dict[str, Any]:
    """Return what was measured before, or an empty document of this machine."""
    if path and Path(path).exists():
        return json.loads(Path(path).read_text())
    return {
        "machine": describe_machine(torch.device("cpu"), 1),
        "batch": BATCH,
        "stages": {"tasks": [task.key for task in task_records()], "opened": list(STAGES.values())},
        "left_out": {},
        "measured": [],
    }


def _found(document: Mapping[str, Any], database: str, num: int) -> bool:
    return any((row["database"], row["num_evaluations"]) == (database, num) for row in document["measured"])


def _write(document: dict[str, Any], path: str | None) -> None:
    document["measured"].sort(key=lambda row: (DATABASES.index(row["database"]), row["num_evaluations"]))
    if path:
        Path(path).write_text(json.dumps(document, indent=1) + "\n")


def _print(document: Mapping[str, Any]) -> None:
    for row in document["measured"]:
        print(
            f"\n{row['database']} {row['version']}, {row['num_evaluations']:,} evaluations of"
            f" {row['num_blueprints']:,} blueprints: {row['bytes'] / 2**20:,.1f} MiB,"
            f" {row['evaluations_per_s']:,.0f} evaluations/s,"
            f" a generation in {row['commit']['median_s']:.3f} s ({row['commit']['p95_s']:.3f})"
        )
        print(f"{'':<26}{'median ms':>10}{'95 %':>10}{'first':>10}")
        for name, query in row["queries"].items():
            shown = "".join(f"{1000 * query[key]:10.1f}" for key in ("median_s", "p95_s", "first_s"))
            print(f"{name:<26}{shown}{'  slow' if query['median_s'] > SLOW_S else ''}")


if __name__ == "__main__":
    main()
