"""The ledger as pandas frames: a row for each blueprint, or for each training; needs the extra `notebook`."""

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from crucible.evaluation import TaskResult
from hall_of_fame.errors import StoreError
from hall_of_fame.records import Entry, EvaluationRecord

if TYPE_CHECKING:
    import pandas

#: Columns of whole numbers that may be missing.
_WHOLE = ("num_parameters", "flops", "num_steps", "solved_step", "nonfinite_step", "planned_steps")
#: Columns that every frame has, also one without rows.
ENTRY_COLUMNS = (
    *(f.name for f in fields(Entry) if f.name not in ("tasks", "measured", "standing", "lineage")),
    *("status", "proof_mean", "proof_low", "proof_high", "shrinkage", "strategy", "parents"),
)
TRAINING_COLUMNS = tuple(f.name for f in fields(EvaluationRecord) if f.name != "result")
RESULT_COLUMNS = tuple(f.name for f in fields(TaskResult) if f.name not in ("fingerprint", "loss_curve"))
CURVE_COLUMNS = ("planned_steps", "loss_curve")


def entries_frame(entries: Sequence[Entry]) -> "pandas.DataFrame":
    """Return a row for each entry, in order: its fields, and columns for each task and measured latency.

    `score_TASK`, `std_TASK`, `low_TASK`, `high_TASK` and `seeds_TASK` say what `TaskScore` does; a task whose
    name has several settings is named by its key. `measured_us_DEVICE_WIDTH` is a median.

    Raises:
        StoreError: when pandas is not installed.
    """
    return _frame([_entry_row(entry) for entry in entries], ENTRY_COLUMNS)


def evaluations_frame(records: Sequence[EvaluationRecord]) -> "pandas.DataFrame":
    """Return a row for each training: its provenance, then the fields of its result but the fingerprint.

    `loss_curve` is the tuple of the curve's means and `planned_steps` the steps that they would be of, were
    the training whole; both are missing where there is no curve.

    Raises:
        StoreError: when pandas is not installed.
    """
    columns = (*TRAINING_COLUMNS, *RESULT_COLUMNS, *CURVE_COLUMNS)
    return _frame([_evaluation_row(record) for record in records], columns)


def _entry_row(entry: Entry) -> dict[str, Any]:
    row = {f.name: _cell(getattr(entry, f.name)) for f in fields(entry) if f.name in ENTRY_COLUMNS}
    proof = entry.standing.proof
    row |= {"status": entry.standing.status, "proof_mean": proof and proof.mean}
    row |= {"proof_low": proof and proof.low, "proof_high": proof and proof.high}
    row |= {"shrinkage": proof and proof.shrinkage, "strategy": entry.lineage.strategy}
    row |= {"parents": _cell(entry.lineage.parents)}
    for name, score in zip(entry.scores, entry.tasks, strict=True):
        row |= {f"score_{name}": score.mean, f"std_{name}": score.std, f"low_{name}": score.low}
        row |= {f"high_{name}": score.high, f"seeds_{name}": score.num_seeds}
    return row | {f"measured_us_{of.device}_{of.width}": of.median_us for of in entry.measured}


def _evaluation_row(record: EvaluationRecord) -> dict[str, Any]:
    row = {name: getattr(record, name) for name in TRAINING_COLUMNS}
    curve = record.result.loss_curve
    row |= {name: getattr(record.result, name) for name in RESULT_COLUMNS}
    return row | {"planned_steps": curve and curve.planned_steps, "loss_curve": curve and curve.means}


def _cell(value: Any) -> Any:
    """Return a value for one cell: a program or several names as words with spaces between them."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


def _frame(rows: list[dict[str, Any]], columns: Sequence[str]) -> "pandas.DataFrame":
    frame = _pandas().DataFrame(rows, columns=None if rows else list(columns))
    whole = [name for name in frame.columns if name in _WHOLE or name.startswith("seeds_")]
    return frame.astype(dict.fromkeys(whole, "Int64"))


def _pandas() -> Any:
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise StoreError(
            "no pandas",
            expected="the packages of the extra `notebook`",
            mend="pip install 'tamiyo[notebook]'",
        ) from error
    return pandas
