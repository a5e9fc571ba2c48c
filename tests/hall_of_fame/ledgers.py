"""Small invented ledgers for the store's tests; opens no database."""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from blueprints import HUMAN_BLUEPRINTS, Blueprint, parse, random_program
from crucible.evaluation import Evaluation, LossCurve, MeasuredLatency, TaskResult
from hall_of_fame.expansions import ExpansionCall, ExpansionRecord
from hall_of_fame.records import CandidateRecord, EvaluationRecord, Proof, RunRecord, TaskRecord
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


def proof(blueprint_id: str, **fields: Any) -> Proof:
    """Return a proof, after the first generation of the run, that let this blueprint enter."""
    values = {
        "protocol": "p",
        "settings": {"seeds": [1, 2]},
        "run_id": "run",
        "generation": 0,
        "created": "2026-01-01T00:00:00+00:00",
        "rank": 1,
        "search_score": 0.9,
        "search_trainings": 3,
        "mean": 0.5,
        "low": 0.4,
        "high": 0.6,
        "mean_as_searched": 0.45,
        "floor": 0.1,
        "verdict": "entered",
    }
    return Proof(blueprint_id=blueprint_id, **{**values, **fields})


def expansion(blueprint_id: str, **fields: Any) -> ExpansionRecord:
    """Return an invented expansion of a blueprint that the first generation of the run brought."""
    unit = {"name": "head", "author": "template", "attempts": 1, "reason": "", "source": "class Head: ...\n"}
    values = {
        "run_id": "run",
        "generation": 0,
        "created": "2026-01-01T00:00:00+00:00",
        "target": "char_lm",
        "designer": "template",
        "verdict": "passed",
        "fallbacks": ("embedding", "head"),
        "settings": {"seed": 0},
        "plan": {"depth": 2, "dropout": 0.1},
        "units": (unit,),
        "files": {"block.py": "0" * 64},
        "num_parameters": 1000,
        "tree_hash": "a" * 40,
        "commit_hash": None,
        "sandbox": "rlimits",
        "environment": {"torch": "2.0", "threads": 1},
        "usage": {"wall_s": 1.5, "cpu_s": 1.25, "peak_bytes": 1 << 20},
        "checks": ({"name": "shapes", "is_passed": True, "detail": "", "seconds": 0.1},),
    }
    return ExpansionRecord(blueprint_id=blueprint_id, **{**values, **fields})


def expansion_call(subject: str, **fields: Any) -> ExpansionCall:
    """Return an invented call for the plan or a unit."""
    values = {
        "attempt": 1,
        "provider": "openai:small",
        "model": "small-1",
        "request": {"messages": [{"role": "user", "text": "Write it."}], "seed": 0},
        "answer": "class Head: ...",
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "cost_usd": 0.25,
        "usage": "told",
        "seconds": 0.5,
        "error": "",
        "verdict": "failed",
        "detail": "shapes: [2, 3] came, expected [2, 4]",
    }
    return ExpansionCall(subject=subject, **{**values, **fields})


def candidates(rewards: list[tuple[Blueprint, float]]) -> list[CandidateRecord]:
    """Return candidates with these rewards, without terms."""
    return [
        CandidateRecord(position=position, tokens=blueprint.tokens, blueprint_id=blueprint.id, reward=reward)
        for position, (blueprint, reward) in enumerate(rewards)
    ]


def commit(
    store: Store, generation: int, evaluations: list[tuple[Blueprint, Evaluation]], **fields: Any
) -> bool:
    """Commit a generation of these blueprints, each rewarded with its first score."""
    scores = [(blueprint, judged.results[0].score) for blueprint, judged in evaluations]
    rewarded = [replace(one, terms={"task": one.reward}) for one in candidates(scores)]
    values = {
        "run_id": "run",
        "stage": "xor",
        "metrics": {"generation": generation, "reward_mean": 0.5},
        "candidates": rewarded,
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
        curve = LossCurve(planned_steps=100, means=(0.6875, 0.5, float(np.float32(1 - score))))
        results = [
            TaskResult(task="xor", seed=seed, score=score, loss_curve=own, fingerprint=shape)
            for seed, own in ((0, curve), (1, None))
        ]
        found.append((blueprint, evaluation(blueprint, *results)))
    return found


def without_curves(evaluations: Mapping[str, list[EvaluationRecord]]) -> dict[str, list[EvaluationRecord]]:
    """Return evaluations as a ledger of before curves were kept holds them."""
    return {
        id_: [replace(record, result=replace(record.result, loss_curve=None)) for record in records]
        for id_, records in evaluations.items()
    }
