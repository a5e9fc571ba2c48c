"""How long do pages of the catalogue take as it grows? Median and 95th percentile of each question.

    python benchmarks/catalogue_rows.py runs/large --blueprints 100000
    python benchmarks/catalogue.py runs/large --json figures.json

Questions are those of pages, through the methods that pages call, each `--repeats` times with arguments drawn
anew; pages of the database are warm. `--write-every S` measures while another process commits 1,024 trainings
every S seconds, into the library itself: take a copy. `--commits N` measures instead what keeping the
catalogue costs: N generations of a new library, in turn with the catalogue and without it, as a ratio.
"""

# ruff: noqa: E402

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import numpy as np
from library_rows import Generation, Written, generations

from blueprints import Blueprint, parse
from hall_of_fame import cataloguing
from hall_of_fame.catalogue import SORTS, Catalogue, CatalogueQuery, CatalogueRow
from hall_of_fame.kinship import lineages, neighbours
from hall_of_fame.library import Library
from hall_of_fame.overviews import curves, front, heat
from hall_of_fame.store import Store

#: Rows of a page.
LIMIT = 50


def main() -> None:
    """Measure every library named, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="*", help="libraries of benchmarks/catalogue_rows.py")
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--write-every", type=float, metavar="S", help="while a generation comes every S s")
    parser.add_argument("--commits", type=int, metavar="N", help="measure commits instead, N of each kind")
    parser.add_argument("--json", type=Path, help="where the numbers go")
    options = parser.parse_args()
    document: dict[str, Any] = {}
    if options.commits:
        document["commits"] = commits(options.commits)
        print(json.dumps(document["commits"], indent=1))
    for folder in options.folders:
        with _writing(folder, options.write_every):
            document[folder.name] = measure(folder, options.repeats)
        _print(folder.name, document[folder.name])
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n")


def measure(folder: Path, repeats: int) -> dict[str, Any]:
    """Return the seconds of every question to a library."""
    with Library.open(folder) as library:
        catalogue = Catalogue(library.store)
        rows = _some(catalogue)
        rng = random.Random(0)
        timed = {}
        for name, question in _questions(library, rows, rng).items():
            seconds, computed = zip(*(_seconds(question) for _ in range(repeats + 1)), strict=True)
            timed[name] = {"first_s": seconds[0], **_summary(seconds[1:]), "cpu_s": median(computed[1:])}
        return {"num_blueprints": catalogue.facets().num, "queries": timed}


def _some(catalogue: Catalogue) -> list[CatalogueRow]:
    """Return rows of every sort, best and worst."""
    queries = [CatalogueQuery(sort=sort, descending=down) for sort in SORTS for down in (True, False)]
    return [row for query in queries for row in catalogue.page(query).rows]


def _questions(
    library: Library, rows: Sequence[CatalogueRow], rng: random.Random
) -> Mapping[str, Callable[[], Any]]:
    """Return what pages ask, each with fresh arguments at every call."""
    store, catalogue = library.store, Catalogue(library.store)
    tokens = sorted({token for row in rows for token in row.tokens})
    runs = list(catalogue.facets().run)

    def page(**fields: Any) -> Any:
        return catalogue.page(CatalogueQuery(limit=LIMIT, **fields))

    def far() -> Any:
        """Ask for a page in the middle, which costs what a first one does."""
        cursor = page(sort="score", max_score=rng.uniform(0.2, 0.9)).next_cursor
        return cursor

    def someone() -> CatalogueRow:
        return rng.choice(rows)

    return {
        "first page": page,
        "page by any sort": lambda: page(sort=rng.choice(SORTS), descending=rng.random() < 0.5),
        "page far down": far,
        "a family": lambda: page(family=someone().family),
        "a family by parameters": lambda: page(
            family=someone().family, sort="num_parameters", descending=False
        ),
        "a run": lambda: page(run_id=rng.choice(runs)),
        "a run by score": lambda: page(run_id=rng.choice(runs), sort="score"),
        "entrants": lambda: page(status="entrant"),
        "candidates of a family and stage": lambda: page(
            status="candidate", family=someone().family, stage=someone().stage
        ),
        "two ranges": lambda: page(min_score=0.5, max_latency_us=someone().latency_us),
        "ranges of nothing": lambda: page(max_num_parameters=3, min_length=30, sort="reward"),
        "search, one word": lambda: page(search=rng.choice(tokens)),
        "search, three words": lambda: page(search=" ".join(rng.sample(tokens, 3))),
        "search, no hit": lambda: page(search="LSTM ATTENTION MOE SCAN HEBBIAN"),
        "facets": catalogue.facets,
        "best 1,000": lambda: catalogue.sample(1000),
        "a row": lambda: catalogue.row(someone().blueprint_id),
        "an entry": lambda: library.get(someone().blueprint_id),
        "front": lambda: front(store),
        "heat map of 50": lambda: heat(store, 50),
        "curves of a run": lambda: curves(store, rng.choice(runs)),
        "lineages": lambda: lineages(store, someone().blueprint_id),
        "neighbours": lambda: neighbours(store, someone().blueprint_id),
    }


def commits(num: int) -> dict[str, Any]:
    """Return the seconds of generations of 1,024 with the catalogue and without, side by side."""
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    with tempfile.TemporaryDirectory() as folder:
        stores = {name: Store.open(Path(folder) / f"{name}.db", create=True) for name in seconds}
        for number, generation in enumerate(generations(10**9)):
            if number == num:
                break
            blueprints = [_parsed(written) for written in generation.blueprints]
            order = list(stores)[:: 1 if number % 2 else -1]
            for name in order:
                with contextlib.ExitStack() as stack:
                    if name == "without":
                        skipped = patch.object(cataloguing, "add_generation", lambda *_, **__: False)
                        stack.enter_context(skipped)
                    seconds[name].append(_seconds(partial(_commit, stores[name], generation, blueprints))[0])
        for store in stores.values():
            store.close()
    ratios = [a / b for a, b in zip(seconds["with"], seconds["without"], strict=True)]
    return {
        **{name: _summary(found) for name, found in seconds.items()},
        "ratio": median(ratios),
        "ratio_last_tenth": median(ratios[-max(1, num // 10) :]),
    }


def _parsed(written: Written) -> Blueprint:
    """Return a blueprint with its graph at hand, as a run commits it."""
    return replace(_program(written.tokens), id=written.id)


@cache
def _program(tokens: tuple[str, ...]) -> Blueprint:
    return parse(tokens)


def _commit(store: Store, generation: Generation, blueprints: Sequence[Blueprint]) -> None:
    store.add_run(generation.run)
    store.commit_generation(
        generation.run.id,
        generation.number,
        stage=generation.stage,
        metrics=generation.metrics,
        candidates=generation.candidates,
        blueprints=blueprints,
        evaluations=generation.evaluations,
        tasks=generation.tasks,
    )


@contextlib.contextmanager
def _writing(folder: Path, every_s: float | None) -> Iterator[None]:
    """Have another process write into the library meanwhile."""
    if every_s is None:
        yield
        return
    script = Path(__file__).with_name("catalogue_rows.py")
    command = [sys.executable, str(script), str(folder), "--write-every", str(every_s)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None
        print(f"writer: {writer.stdout.readline().strip()}")
        yield
    finally:
        writer.terminate()
        writer.wait()


def _seconds(question: Callable[[], Any]) -> tuple[float, float]:
    """Return the seconds that a call takes, and those of them in which this process computes."""
    start, computed = time.perf_counter(), time.process_time()
    question()
    return time.perf_counter() - start, time.process_time() - computed


def _summary(seconds: Sequence[float]) -> dict[str, Any]:
    middle_s, p95_s = np.quantile(seconds, (0.5, 0.95))
    return {"median_s": float(middle_s), "p95_s": float(p95_s), "num": len(seconds)}


def _print(name: str, measured: Mapping[str, Any]) -> None:
    print(f"\n{name}, {measured['num_blueprints']:,} blueprints")
    print(f"{'':<34}{'median ms':>10}{'95 %':>10}{'CPU':>10}")
    for question, found in measured["queries"].items():
        shown = "".join(f"{1000 * found[key]:10.1f}" for key in ("median_s", "p95_s", "cpu_s"))
        print(f"{question:<34}{shown}")


if __name__ == "__main__":
    main()
