"""Turns records into rows of the ledger's tables and back; runs no statement."""

import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from crucible.evaluation import Evaluation, LossCurve, MeasuredLatency, TaskResult
from hall_of_fame.records import (
    BlueprintRecord,
    CandidateRecord,
    EvaluationRecord,
    GenerationRecord,
    RunRecord,
    TaskScore,
)

Row = Mapping[Any, Any]

#: Columns that hold no number where the record holds NaN.
_NAN_COLUMNS = ("loss_first", "loss_last", "loss_late_std", "gradient_norm_mean", "gradient_norm_max")
_RESULT_COLUMNS = (
    "seed",
    "status",
    "reason",
    "score",
    "validation_score",
    "num_steps",
    *_NAN_COLUMNS,
    "solved_step",
    "clipped_share",
    "nonfinite_step",
    "gain",
    "retention_rise",
    "rival_gain",
)


def run_record(row: Row) -> RunRecord:
    """Return the run that `row` holds."""
    return RunRecord(**row)


def generation_record(row: Row) -> GenerationRecord:
    """Return the generation that `row` holds."""
    return GenerationRecord(**{**row, "task_keys": tuple(row["task_keys"])})


def blueprint_record(row: Row) -> BlueprintRecord:
    """Return the blueprint that `row` holds."""
    return BlueprintRecord(**{**row, "tokens": tuple(row["tokens"].split())})


def candidate_row(candidate: CandidateRecord, run_id: str, generation: int) -> dict[str, Any]:
    """Return the row of one candidate."""
    texts = {"tokens": " ".join(candidate.tokens), "parents": " ".join(candidate.parents)}
    row = {**asdict(candidate), **texts}
    return {"run_id": run_id, "generation": generation, **row}


def candidate_record(row: Row) -> CandidateRecord:
    """Return the candidate that `row` holds."""
    fields = {name: value for name, value in row.items() if name not in ("run_id", "generation")}
    texts = {name: tuple(row[name].split()) for name in ("tokens", "parents")}
    return CandidateRecord(**{**fields, **texts})


def evaluation_rows(evaluation: Evaluation, task_keys: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    """Yield a row for each result; `task_keys` maps the names of tasks to their keys."""
    for result in evaluation.results:
        values = {name: getattr(result, name) for name in _RESULT_COLUMNS}
        values |= {name: None for name in _NAN_COLUMNS if math.isnan(values[name])}
        yield {
            "blueprint_id": evaluation.blueprint_id,
            "task_key": task_keys[result.task],
            "engine_id": evaluation.engine_id,
            "num_parameters": evaluation.num_parameters,
            "flops": evaluation.flops,
            "latency_us": evaluation.latency_us,
            **values,
            **pack_loss_curve(result.loss_curve),
        }


def task_result(row: Row, task: str, fingerprint: np.ndarray | None = None) -> TaskResult:
    """Return the result that an evaluation's row holds."""
    values = {name: row[name] for name in _RESULT_COLUMNS}
    values |= {name: float("nan") for name in _NAN_COLUMNS if values[name] is None}
    return TaskResult(task=task, fingerprint=fingerprint, loss_curve=unpack_loss_curve(row), **values)


def evaluation_record(row: Row, task: str) -> EvaluationRecord:
    """Return the evaluation that `row` holds, with its provenance."""
    names = ("blueprint_id", "run_id", "generation", "task_key", "engine_id")
    costs = ("num_parameters", "flops", "latency_us")
    return EvaluationRecord(result=task_result(row, task), **{name: row[name] for name in names + costs})


def measured_latency(row: Row) -> MeasuredLatency:
    """Return the measured latency that `row` holds."""
    return MeasuredLatency(**{field.name: row[field.name] for field in fields(MeasuredLatency)})


def task_score(records: Iterable[EvaluationRecord]) -> TaskScore:
    """Return the evidence that trainings of one blueprint on one task are."""
    records = list(records)
    scores = [record.result.score for record in records]
    mean = math.fsum(scores) / len(scores)
    return TaskScore(
        task=records[0].result.task,
        task_key=records[0].task_key,
        mean=mean,
        std=math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores)),
        low=min(scores),
        high=max(scores),
        num_seeds=len(scores),
        num_ok=sum(record.result.status == "ok" for record in records),
    )


def pack_loss_curve(curve: LossCurve | None) -> dict[str, Any]:
    """Return the columns of a curve: four bytes a point, the least significant first."""
    if curve is None:
        return {"planned_steps": None, "loss_curve": None}
    data = struct.pack(f"<{len(curve.means)}f", *curve.means)
    return {"planned_steps": curve.planned_steps, "loss_curve": data}


def unpack_loss_curve(row: Row) -> LossCurve | None:
    """Return the curve that an evaluation's row holds, equal to what was packed; None where there is none."""
    if row["loss_curve"] is None:
        return None
    means = struct.unpack(f"<{len(row['loss_curve']) // 4}f", row["loss_curve"])
    return LossCurve(planned_steps=row["planned_steps"], means=means)


def pack_fingerprint(fingerprint: np.ndarray) -> dict[str, Any]:
    """Return the columns of a finite `[probes, D]` array: half precision, its largest entry scaled to 1."""
    assert np.isfinite(fingerprint).all(), "a fingerprint that is not finite has no scale"
    scale = float(np.abs(fingerprint).max(initial=0.0)) or 1.0
    data = (fingerprint / scale).astype("<f2")
    return {"num_probes": len(fingerprint), "scale": scale, "data": data.tobytes()}


def unpack_fingerprint(row: Row) -> np.ndarray:
    """Return the `[probes, D]` float32 array of `pack_fingerprint`, equal to it within half precision."""
    data = np.frombuffer(row["data"], dtype="<f2").astype(np.float32)
    return data.reshape(row["num_probes"], -1) * np.float32(row["scale"])
