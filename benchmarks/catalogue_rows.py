"""Makes a library of any size as runs leave it, with real programs and invented scores, to try pages on.

    python benchmarks/catalogue_rows.py runs/large --blueprints 100000
    python benchmarks/catalogue_rows.py runs/larger --of runs/large --copies 10
    python benchmarks/catalogue_rows.py runs/large --write-every 10

Programs are random legal ones put one after another, parsed, each there once; their costs are theirs.
Runs of several strategies commit them in generations of 1,024 candidates whose stages open one after the
other; strategies that mutate say what they mutated. After a run its best are proved. Scores rise a little
from generation to generation. The same words make the same library.

`--copies` then repeats the rows of blueprints, candidates and trainings under other ids, which is far faster
than parsing as many programs; with N copies each program is there N times. `--of` has it begin with another
such library in place of a new one, which stays as it is. `--write-every S` adds to a library instead, as a
run would: a generation of 1,024 trainings every S seconds until it is killed.
"""

# ruff: noqa: E402

import argparse
import random
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from library_rows import BATCH, ENGINE, STAGES, WEIGHTS, result, task_records
from sqlalchemy import Connection, text

from blueprints import LANGUAGE, Blueprint, BlueprintError, parse, random_program
from blueprints.cost import flops, num_parameters
from crucible.evaluation import Evaluation, MeasuredLatency, TaskResult
from hall_of_fame.library import RUN_LEDGER
from hall_of_fame.proofs import ProofBook
from hall_of_fame.records import CandidateRecord, Proof, RunRecord, TaskProof, TaskRecord
from hall_of_fame.store import Store

#: Strategies of the runs, in turn, and those of them that make programs from others.
STRATEGIES = ("reinforce", "evolution", "random", "map_elites")
MUTATING = frozenset({"evolution", "map_elites"})
#: Blueprints of a run at most, and short programs that longer ones are made of.
RUN_BLUEPRINTS, NUM_PARTS = 20_000, 1500
#: Blueprints that are proved after a run, seeds of a proof, and share of the proved that enter.
PROVED, PROOF_SEEDS, ENTER = 12, 8, 0.6
#: Shares of a batch that repeat an earlier blueprint, and trainings of a generation of `--write-every`.
KNOWN, WRITTEN = 0.03, 1024
_MIDNIGHT = "00:00:00+00:00"
TERMS = ("parameters", "latency", "stability", "redundancy")


def main() -> None:
    """Make the library, or write on, and say how long it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="the library is library.db in it")
    parser.add_argument("--blueprints", type=int, default=1000, metavar="N")
    parser.add_argument("--of", type=Path, metavar="FOLDER", help="the library there, in place of a new one")
    parser.add_argument("--copies", type=int, default=1, metavar="N", help="times that each is there")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--write-every", type=float, metavar="S", help="write on, a generation every S seconds"
    )
    options = parser.parse_args()
    if options.blueprints < 1 or not 1 <= options.copies <= 64:
        parser.error("expected at least one blueprint, and 1 to 64 copies")
    path = options.folder / RUN_LEDGER
    if options.write_every is not None:
        with Store.open(path) as store:
            write_on(store, options.write_every)
    if path.exists():
        parser.error(f"{path} exists; name another folder, or remove it")
    options.folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    if options.of is not None:
        duplicate(options.of / RUN_LEDGER, path)
    with Store.open(path, create=True) as store:
        if options.of is None:
            fill(store, options.blueprints, seed=options.seed)
        made_s = time.perf_counter() - start
        if options.copies > 1:
            copy(store, options.copies)
        counts = store.counts()
    copied_s = time.perf_counter() - start - made_s
    print(
        f"{path}: {counts.blueprints:,} blueprints, {counts.evaluations:,} evaluations, {counts.runs} runs,"
        f" {path.stat().st_size / 2**20:,.0f} MiB, made in {made_s:.0f} s and copied in {copied_s:.0f} s"
    )


def fill(store: Store, num_blueprints: int, *, seed: int = 0) -> None:
    """Commit runs that bring so many blueprints in all."""
    programs, done, number = _programs(random.Random(seed)), 0, 0
    while done < num_blueprints:
        run = _Run(number, random.Random(f"{seed}/{number}"), programs)
        share = min(RUN_BLUEPRINTS, max(1, num_blueprints // 3), num_blueprints - done)
        _add_run(store, run)
        while run.num < share:
            _commit(store, run, share - run.num)
        _prove(store, run)
        done, number = done + run.num, number + 1


def duplicate(path: Path, new_path: Path) -> None:
    """Copy a library as it is at one moment, whoever writes into it."""
    address = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as old, closing(sqlite3.connect(new_path)) as new:
        old.backup(new)


def write_on(store: Store, every_s: float) -> None:
    """Add a run, and a generation of 1,024 trainings to it every so many seconds, for ever."""
    number = len(store.runs())
    rng = random.Random(number)
    run = _Run(number, rng, _programs(rng), created=time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()))
    run.generation = max(STAGES.values())
    _add_run(store, run)
    due = time.monotonic()
    while True:
        start = time.perf_counter()
        _commit(store, run, -(-WRITTEN // len(STAGES)))
        print(f"generation {run.generation - 1} in {time.perf_counter() - start:.2f} s", flush=True)
        due += every_s
        time.sleep(max(0.0, due - time.monotonic()))


def copy(store: Store, copies: int) -> None:
    """Repeat blueprints, candidates and trainings so that each is there so many times; of SQLite alone."""
    with store.reading() as connection:
        last = {table: connection.scalar(text(f"SELECT max(rowid) FROM {table}")) for table in _COPIED}
    for number in range(1, copies):
        for table, changed in _COPIED.items():
            with store.writing("copy rows in") as connection:
                _copy(connection, table, changed, number, last[table])
    with store.writing("count rows in") as connection:
        connection.execute(text("UPDATE catalogue_counts SET num = num * :copies"), {"copies": copies})


#: The id of a copy: that of the original, its digits moved round.
_ROTATED = "substr({0}, 1 + :number) || substr({0}, 1, :number)"
#: Expressions of the columns that a copy changes, by table; other columns stay.
_COPIED = {
    "blueprints": {"id": _ROTATED.format("id")},
    "candidates": {
        "position": f"position + {2 * BATCH} * :number",
        "blueprint_id": _ROTATED.format("blueprint_id"),
    },
    "evaluations": {"id": None, "blueprint_id": _ROTATED.format("blueprint_id")},
    "catalogue": {"number": None, "blueprint_id": _ROTATED.format("blueprint_id")},
}


def _copy(connection: Connection, table: str, changed: Any, number: int, last: int) -> None:
    """Copy the rows that no copy made, which are those up to the last one of before."""
    names = [row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table})")]
    names = [name for name in names if changed.get(name, name) is not None]
    values = ", ".join(changed.get(name, name) for name in names)
    statement = f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM {table} WHERE rowid <= :last"
    connection.execute(text(statement), {"number": number, "last": last})


@dataclass
class _Run:
    """A run under way.

    Attributes:
        number: of the run.
        rng: what its rows are drawn from.
        programs: new blueprints without end.
        created: when it was started.
        num: blueprints that it brought.
        generation: its next generation.
        paid: trainings so far.
        found: its blueprints with their mean score, the latest ones last.
    """

    number: int
    rng: random.Random
    programs: Iterator[Blueprint]
    created: str = ""
    num: int = 0
    generation: int = 0
    paid: int = 0
    found: list[tuple[float, Blueprint]] = field(default_factory=list)

    @property
    def strategy(self) -> str:
        """What proposes its programs."""
        return STRATEGIES[self.number % len(STRATEGIES)]

    @property
    def record(self) -> RunRecord:
        """The run as it was started."""
        return RunRecord(
            id=f"{self.strategy}_seed{self.number}",
            created=self.created
            or f"2026-{self.number // 28 % 12 + 1:02d}-{self.number % 28 + 1:02d}T{_MIDNIGHT}",
            seed=self.number,
            config={"strategy": self.strategy, "batch_size": BATCH, "invented": True},
            command=f"python scripts/train_architect.py strategy={self.strategy} seed={self.number}",
            code_version="invented",
            language_version=LANGUAGE.version_hash,
        )


def _programs(rng: random.Random) -> Iterator[Blueprint]:
    """Yield different blueprints without end, of one to three short programs each."""
    parts = [random_program(rng, min_ops=1, max_ops=5) for _ in range(NUM_PARTS)]
    seen: set[str] = set()
    while True:
        tokens = [token for part in rng.choices(parts, k=rng.choice((1, 2, 2, 3))) for token in part]
        try:
            blueprint = parse(tokens)
        except BlueprintError:
            continue
        if blueprint.id not in seen:
            seen.add(blueprint.id)
            yield blueprint


def _add_run(store: Store, run: _Run) -> None:
    added = store.add_run(run.record)
    assert added, f"{run.record.id} is on record"


def _commit(store: Store, run: _Run, most: int) -> None:
    """Commit a generation that brings `most` new blueprints, or as many as a batch holds."""
    rng = run.rng
    tasks = task_records()[: sum(opens <= run.generation for opens in STAGES.values())]
    new = [next(run.programs) for _ in range(min(BATCH, most))]
    known = [blueprint for _, blueprint in rng.sample(run.found, min(len(run.found), int(KNOWN * len(new))))]
    batch = [*new, *known][:BATCH]
    new = new[: len(batch)]
    evaluations = [_evaluation(rng, blueprint, tasks, run.generation) for blueprint in batch]
    parents = run.found[-BATCH:] if run.strategy in MUTATING else []
    candidates = [
        _candidate(rng, position, blueprint, evaluation, parents)
        for position, (blueprint, evaluation) in enumerate(zip(batch, evaluations, strict=True))
    ]
    run.paid += sum(len(evaluation.results) for evaluation in evaluations)
    run.num += len(new)
    store.commit_generation(
        run.record.id,
        run.generation,
        stage=tasks[-1].name,
        metrics=_metrics(rng, run, candidates, tasks),
        candidates=candidates,
        blueprints=batch,
        evaluations=evaluations,
        tasks=tasks,
    )
    means = [sum(r.score for r in evaluation.results) / len(tasks) for evaluation in evaluations]
    run.found += list(zip(means, new, strict=False))
    run.generation += 1


def _evaluation(
    rng: random.Random, blueprint: Blueprint, tasks: Sequence[TaskRecord], generation: int
) -> Evaluation:
    parameters = num_parameters(blueprint.graph, 16)
    return Evaluation(
        blueprint_id=blueprint.id,
        engine_id=ENGINE,
        results=tuple(result(rng, task, generation) for task in tasks),
        num_parameters=parameters,
        flops=flops(blueprint.graph, 16, 16),
        latency_us=round(4.0 + 3.0 * len(blueprint.tokens) + parameters / 200 + rng.uniform(0.0, 20.0), 3),
    )


def _candidate(
    rng: random.Random,
    position: int,
    blueprint: Blueprint,
    evaluation: Evaluation,
    parents: Sequence[tuple[float, Blueprint]],
) -> CandidateRecord:
    costs = {name: round(rng.random(), 4) for name in TERMS}
    mean = sum(found.score for found in evaluation.results) / len(evaluation.results)
    chosen = rng.sample(parents, min(len(parents), rng.choice((1, 1, 2))))
    return CandidateRecord(
        position=position,
        tokens=blueprint.tokens,
        blueprint_id=blueprint.id,
        status=evaluation.status,
        reward=mean - 0.05 * sum(costs.values()),
        terms={"task": mean, **costs},
        parents=tuple(parent.id for _, parent in chosen),
    )


def _metrics(
    rng: random.Random, run: _Run, candidates: Sequence[CandidateRecord], tasks: Sequence[TaskRecord]
) -> dict[str, Any]:
    """Return the line of a generation, with the names that a run gives them."""
    rewards = sorted(candidate.reward for candidate in candidates)
    rise = 1.0 - 0.9**run.generation
    means = {name: sum(c.terms[name] for c in candidates) / len(candidates) for name in ("task", *TERMS)}
    return {
        "generation": run.generation,
        "evaluations": len(candidates) * len(tasks),
        "evaluations_total": run.paid,
        "stage": tasks[-1].name,
        "reward_mean": sum(rewards) / len(rewards) + 0.2 * rise,
        "reward_best": rewards[-1],
        **{f"reward_q{q}": rewards[len(rewards) * q // 100] + 0.2 * rise for q in (10, 50, 90)},
        "valid_rate": 1.0,
        "unique_rate": 1.0 - 0.1 * rng.random(),
        "novel_rate": 1.0 - 0.2 * rng.random(),
        "token_entropy": 3.0 - rise + 0.1 * rng.random(),
        **{f"score_{task.name}_mean": 0.6 + 0.3 * rise + 0.05 * rng.random() for task in tasks},
        **{f"score_{task.name}_best": 1.0 for task in tasks},
        **{f"term_{name}_mean": mean for name, mean in means.items()},
        **{f"weight_{task.name}": WEIGHTS[task.name] for task in tasks},
        "best_so_far": rewards[-1],
        "hall_of_fame_size": 64,
        "evaluate_s": 9.0 + rng.random(),
        "generation_s": 10.0 + rng.random(),
    }


def _prove(store: Store, run: _Run) -> None:
    """Measure and prove the best of a run; most of them enter."""
    book, tasks = ProofBook(store), task_records()
    best = sorted(run.found, key=lambda pair: (-pair[0], pair[1].id))[:PROVED]
    latencies = {blueprint.id: _measured(run.rng) for _, blueprint in best}
    store.add_latencies(run.record.id, run.generation - 1, latencies)
    for rank, (score, blueprint) in enumerate(best, start=1):
        trainings = {
            task.key: [result(run.rng, task, 10**6 + seed) for seed in range(PROOF_SEEDS)] for task in tasks
        }
        entered = run.rng.random() < ENTER
        mean = score * run.rng.uniform(0.7, 0.95)
        proof = Proof(
            blueprint_id=blueprint.id,
            protocol="invented",
            settings={"seeds": PROOF_SEEDS, "factors": [0.3, 1.0, 3.0]},
            run_id=run.record.id,
            generation=run.generation - 1,
            created=f"{run.record.created[:10]}T01:00:{rank:02d}+00:00",
            rank=rank,
            search_score=score,
            search_trainings=len(tasks),
            mean=mean,
            low=0.9 * mean,
            high=min(1.0, 1.1 * mean),
            mean_as_searched=0.98 * mean,
            floor=0.2,
            verdict="entered" if entered else "refused",
            reason="" if entered else "its interval holds the floor",
            tasks=tuple(_task_proof(task.name, trainings[task.key]) for task in tasks),
        )
        book.add(proof, trainings, tasks)


def _measured(rng: random.Random) -> MeasuredLatency:
    median_us = rng.uniform(10.0, 200.0)
    sizes = {"device": "invented", "width": 16, "time": 16, "batch_size": 32, "repeats": 51}
    return MeasuredLatency(
        **sizes, median_us=median_us, spread_us=0.5, reference_us=50.0, ratio=median_us / 50.0
    )


def _task_proof(name: str, trainings: Sequence[TaskResult]) -> TaskProof:
    mean = sum(training.score for training in trainings) / len(trainings)
    return TaskProof(
        task=name,
        held_out=False,
        mean=mean,
        low=0.9 * mean,
        high=min(1.0, 1.1 * mean),
        num_seeds=len(trainings),
        num_ok=len(trainings),
    )


if __name__ == "__main__":
    main()
