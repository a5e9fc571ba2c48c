"""Invented ledgers of any size for benchmarks/library.py; programs are real, scores are drawn.

A ledger is filled as runs fill one: generations of 1,024 candidates, in runs of a quarter of a million
evaluations whose stages open one after the other. Ids are hashes of a place; programs come from a stock of
2,048 random ones, again and again. Scores are drawn near what such programs get: most solve `xor`, of the
other tasks most stay at the floor and a fifth is solved.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from blueprints import LANGUAGE, random_program
from crucible.evaluation import NUM_POINTS, Evaluation, LossCurve, TaskResult
from curricula.suites import task_named
from hall_of_fame.records import CandidateRecord, RunRecord, TaskRecord

BATCH = 1024
#: Evaluations after which the next run starts.
RUN_EVALUATIONS = 250_000
#: The stages' newest tasks and the generations in which they open.
STAGES = {"xor": 0, "temporal": 2, "parity": 8}
#: What each task weighs in a run; where other tasks are, xor is a gate.
WEIGHTS = {"xor": 0.0, "temporal": 1.0, "parity": 1.0}
ENGINE = "native-3/avx512-gcc12+batched-3/torch-2.13.0+cpu/cpu/AVX512"
#: Shares of a batch that are no blueprint, that were proposed before, and of trainings that diverge.
REJECTED, KNOWN, DIVERGED = 0.02, 0.03, 0.005
#: Share of random programs that a task leaves at the floor, and that solve it.
OUTCOMES = {"xor": (0.05, 0.9), "temporal": (0.6, 0.2), "parity": (0.7, 0.1)}
NUM_PROGRAMS = 2048
#: Metrics that a run's line holds beside the few that have a name here.
NUM_METRICS = 56


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What the ledger needs to know of a blueprint."""

    id: str
    tokens: tuple[str, ...]
    language_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One generation to commit, with the run that it belongs to."""

    run: RunRecord
    number: int
    stage: str
    tasks: tuple[TaskRecord, ...]
    metrics: dict[str, float]
    candidates: list[CandidateRecord]
    blueprints: list[Written]
    evaluations: list[Evaluation]


def generations(num_evaluations: int) -> Iterator[Generation]:
    """Yield generations that hold `num_evaluations` trainings in all; the last is cut to fit."""
    done = run = 0
    while done < num_evaluations:
        number = paid = 0
        while paid < RUN_EVALUATIONS and done < num_evaluations:
            left = min(RUN_EVALUATIONS - paid, num_evaluations - done)
            generation = _generation(run, number, left)
            num = sum(len(evaluation.results) for evaluation in generation.evaluations)
            done, paid, number = done + num, paid + num, number + 1
            yield generation
        run += 1


def blueprint_id(run: int, generation: int, position: int) -> str:
    """Return the id that the blueprint at this place has."""
    return hashlib.sha256(f"{run}/{generation}/{position}".encode()).hexdigest()


@cache
def task_records() -> tuple[TaskRecord, ...]:
    """Return the records of the tasks in the order in which their stages open."""
    return tuple(TaskRecord.of(task_named(name), width=16) for name in STAGES)


def run_record(run: int) -> RunRecord:
    """Return the run of this number."""
    return RunRecord(
        id=f"invented_seed{run}-{run:08x}",
        created=f"2026-01-{run % 28 + 1:02d}T00:00:00+00:00",
        seed=run,
        config={"batch_size": BATCH, "invented": True},
        language_version=LANGUAGE.version_hash,
    )


def _generation(run: int, number: int, left: int) -> Generation:
    rng = random.Random(f"{run}/{number}")
    num_open = sum(opens <= number for opens in STAGES.values())
    tasks = task_records()[:num_open]
    candidates: list[CandidateRecord] = []
    blueprints: list[Written] = []
    evaluations: dict[str, Evaluation] = {}
    paid = 0
    for position in range(BATCH):
        if paid == left:
            break
        tokens = rng.choice(_programs())
        if rng.random() < REJECTED:
            candidates.append(_rejected(position, tokens))
            continue
        place = (run, number, position)
        if number and rng.random() < KNOWN:
            place = (run, rng.randrange(number), rng.randrange(BATCH))
        written = Written(id=blueprint_id(*place), tokens=tokens, language_version=LANGUAGE.version_hash)
        if written.id in evaluations:
            continue
        evaluation = _evaluation(rng, written.id, number, tasks[: left - paid])
        blueprints.append(written)
        evaluations[written.id] = evaluation
        candidates.append(_candidate(rng, position, written, evaluation))
        paid += len(evaluation.results)
    return Generation(
        run=run_record(run),
        number=number,
        stage=tasks[-1].name,
        tasks=tasks,
        metrics=_metrics(rng, number, tasks),
        candidates=candidates,
        blueprints=blueprints,
        evaluations=list(evaluations.values()),
    )


def _metrics(rng: random.Random, number: int, tasks: Sequence[TaskRecord]) -> dict[str, float]:
    metrics = {f"metric_{i:02d}_mean": rng.random() for i in range(NUM_METRICS)}
    return {"generation": number, **metrics, **{f"weight_{task.name}": WEIGHTS[task.name] for task in tasks}}


@cache
def _programs() -> tuple[tuple[str, ...], ...]:
    rng = random.Random(0)
    return tuple(tuple(random_program(rng, min_ops=1, max_ops=12)) for _ in range(NUM_PROGRAMS))


def _rejected(position: int, tokens: tuple[str, ...]) -> CandidateRecord:
    return CandidateRecord(
        position=position, tokens=tokens, status="rejected", rule="attribute-fits-op", reward=-1.0
    )


def _candidate(
    rng: random.Random, position: int, written: Written, evaluation: Evaluation
) -> CandidateRecord:
    mean = sum(result.score for result in evaluation.results) / len(evaluation.results)
    costs = {name: rng.random() for name in ("parameters", "latency", "stability", "redundancy")}
    return CandidateRecord(
        position=position,
        tokens=written.tokens,
        blueprint_id=written.id,
        status=evaluation.status,
        reward=mean - 0.1 * sum(costs.values()),
        terms={"task": mean, **costs},
    )


def _evaluation(rng: random.Random, id_: str, generation: int, tasks: Sequence[TaskRecord]) -> Evaluation:
    """Return one training on each task, from a seed that no earlier generation used."""
    parameters = int(10 ** rng.uniform(1.5, 4.5))
    return Evaluation(
        blueprint_id=id_,
        engine_id=ENGINE,
        results=tuple(result(rng, task, generation) for task in tasks),
        num_parameters=parameters,
        flops=2 * parameters * 16,
        latency_us=rng.uniform(5.0, 400.0),
    )


def result(rng: random.Random, task: TaskRecord, seed: int) -> TaskResult:
    """Return an invented training of a task, from this seed."""
    if rng.random() < DIVERGED:
        return TaskResult(
            task=task.name, seed=seed, status="diverged", reason="loss was nan", num_steps=9, nonfinite_step=9
        )
    score = _score(rng, task)
    noise, first, last = rng.gauss(0.0, 0.01), rng.uniform(0.6, 0.9), rng.random()
    means = np.linspace(first, last, NUM_POINTS, dtype=np.float32)
    return TaskResult(
        task=task.name,
        seed=seed,
        score=score,
        validation_score=min(1.0, max(0.0, score + noise)),
        num_steps=200,
        loss_first=first,
        loss_last=last,
        loss_curve=LossCurve(planned_steps=200, means=tuple(means.tolist())),
        loss_late_std=0.1 * rng.random(),
        solved_step=rng.randrange(200) if score > task.solved else None,
        gradient_norm_mean=rng.expovariate(1.0),
        gradient_norm_max=5.0 * rng.expovariate(1.0),
        clipped_share=rng.random(),
    )


def _score(rng: random.Random, task: TaskRecord) -> float:
    """Return a share of 1,024 answers: near chance, solved, or anywhere between."""
    floor, solved = OUTCOMES[task.name]
    draw = rng.random()
    if draw < floor:
        score = rng.gauss(task.chance, 0.015)
    elif draw < floor + solved:
        score = 1.0 - (1.0 - task.solved) * rng.random() ** 2
    else:
        score = rng.uniform(task.chance, task.solved)
    return round(1024 * min(1.0, max(0.0, score))) / 1024
