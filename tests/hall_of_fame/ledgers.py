"""Small invented ledgers for the store's tests; opens no database."""

import random
from typing import Any

import numpy as np

from blueprints import HUMAN_BLUEPRINTS, Blueprint, parse, random_program
from crucible.evaluation import Evaluation, MeasuredLatency, TaskResult
from hall_of_fame.records import CandidateRecord, RunRecord, TaskRecord
from hall_of_fame.store import Store

XOR = TaskRecord(key="xor-a", name="xor", knobs={"num_train": 64}, chance=0.5, solved=0.95)
TEMPORAL = TaskRecord(key="temporal-a", name="temporal", knobs={"steps": 16}, chance=0.5, solved=0.95)
ENGINE = "batched 1 avx2"


def run_record(run_id: str = "run", **fields: Any) -> RunRecord:
    """Return a run of this name."""
    created = "2026-01-01T00:00:00+00:00"
    return RunRecord(**{"id": run_id, "created": created, "seed": 1, "config": {"a": [1, 2]}, **fields})


def human_blueprints(num: int) -> list[Blueprint]:
    """Return the first `num` human blueprints."""
    return [parse(human.tokens) for human in HUMAN_BLUEPRINTS[:num]]


def evaluation(blueprint: Blueprint, *results: TaskResult, **fields: Any) -> Evaluation:
    """Return an evaluation with these results."""
    costs = {"num_parameters": 100, "flops": 2000, "latency_us": 5.0, "engine_id": ENGINE}
    return Evaluation(blueprint_id=blueprint.id, results=results, **{**costs, **fields})


def measured(**fields: Any) -> MeasuredLatency:
    """Return a latency that somebody measured."""
    sizes = {"device": "cpu/a", "width": 16, "time": 16, "batch_size": 32, "repeats": 51}
    times = {"median_us": 12.5, "spread_us": 0.5, "reference_us": 50.0, "ratio": 0.25}
    return MeasuredLatency(**{**sizes, **times, **fields})


def commit(
    store: Store, generation: int, evaluations: list[tuple[Blueprint, Evaluation]], **fields: Any
) -> bool:
    """Commit a generation of these blueprints, each rewarded with its first score."""
    candidates = [
        CandidateRecord(
            position=position,
            tokens=blueprint.tokens,
            blueprint_id=blueprint.id,
            reward=judged.results[0].score,
            terms={"task": judged.results[0].score},
        )
        for position, (blueprint, judged) in enumerate(evaluations)
    ]
    values = {
        "run_id": "run",
        "stage": "xor",
        "metrics": {"generation": generation, "reward_mean": 0.5},
        "candidates": candidates,
        "blueprints": [blueprint for blueprint, _ in evaluations],
        "evaluations": [judged for _, judged in evaluations],
        "tasks": [XOR, TEMPORAL],
        "checkpoint": f"generation-{generation}.pt",
    }
    return store.commit_generation(generation=generation, **{**values, **fields})


def random_generation(generation: int, num: int = 16) -> list[tuple[Blueprint, Evaluation]]:
    """Return `num` random blueprints with invented scores, the same for equal numbers."""
    rng = random.Random(generation)
    found = []
    for _ in range(num):
        blueprint = parse(random_program(rng, max_ops=4))
        shape = np.random.default_rng(generation).normal(size=(256, 16)).astype(np.float32)
        # Scores follow from id and seed, as an engine's do, so that a program may come twice.
        score = int(blueprint.id[:4], 16) / 0xFFFF
        results = [TaskResult(task="xor", seed=seed, score=score, fingerprint=shape) for seed in (0, 1)]
        found.append((blueprint, evaluation(blueprint, *results)))
    return found
