"""Sends a run's curves, best blueprints and ledger to W&B; the run's own files never depend on it."""

import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hall_of_fame.html_form import entry_drawing
from hall_of_fame.records import Entry

if TYPE_CHECKING:
    import wandb

#: Seconds that the end of a run waits for an upload.
_FINISH_TIMEOUT_S = 60
#: A page for one drawing: W&B shows it in a frame of its own, whose colours are not those of its theme.
_PAGE = '<!doctype html><meta charset="utf-8"><body style="margin:0;background:#fff;color:#1f2328">{}</body>'


class Tracker(Protocol):
    """Where a run's curves go besides its own files."""

    def log(self, metrics: Mapping[str, Any]) -> None:
        """Add one generation's metrics."""
        ...

    def log_table(self, entries: Sequence[Entry]) -> None:
        """Add the table of the best blueprints."""
        ...

    def log_ledger(self, write: Callable[[], Path]) -> None:
        """Add what the run has put on record, as the file that `write` makes."""
        ...

    def finish(self) -> None:
        """Write what is still open; nothing may be logged afterwards."""
        ...


class NullTracker(Tracker):
    """Tracks nothing."""

    def log(self, metrics: Mapping[str, Any]) -> None:
        """Do nothing."""

    def log_table(self, entries: Sequence[Entry]) -> None:
        """Do nothing."""

    def log_ledger(self, write: Callable[[], Path]) -> None:
        """Do nothing, and write nothing."""

    def finish(self) -> None:
        """Do nothing."""


class WandbTracker(Tracker):
    """Tracks in a W&B run until that fails once; the failure costs one line on stderr and nothing else."""

    def __init__(self, run: "wandb.Run") -> None:
        self._run: wandb.Run | None = run

    def log(self, metrics: Mapping[str, Any]) -> None:
        """Add one generation's metrics, at the step of its number."""
        values = {name: value for name, value in metrics.items() if _is_loggable(value)}
        self._try(lambda run: run.log(values, step=metrics["generation"]))

    def log_table(self, entries: Sequence[Entry]) -> None:
        """Add the table `top_blueprints` with drawings; nothing happens without entries."""
        if entries:
            self._try(lambda run: run.log({"top_blueprints": _drawn_table(entries)}))

    def log_ledger(self, write: Callable[[], Path]) -> None:
        """Add the file as an artifact of type `ledger`; it is read where it lies, so it must stay there."""
        if self._run is not None:
            path = write()
            self._try(lambda run: run.log_artifact(_artifact(f"ledger-{run.id}", path)))

    def finish(self) -> None:
        """Close the W&B run."""
        self._try(lambda run: run.finish())
        self._run = None

    def _try(self, action: "Callable[[wandb.Run], object]") -> None:
        if self._run is None:
            return
        try:
            action(self._run)
        except Exception as error:  # see make_tracker
            self._run = None
            _turn_off(error)


def make_tracker(mode: str, project: str, run_id: str, folder: Path, config: Mapping[str, Any]) -> Tracker:
    """Return the tracker of one run; a W&B that cannot start is one line on stderr and tracks nothing.

    What wandb raises has no common base: `wandb.Error` without an account or a network, OSError when its
    service dies or the folder cannot be written, ValueError (pydantic) from its settings, and a dozen private
    classes derived from Exception itself; `wandb.init` re-raises whatever it meets. Therefore Exception is
    caught, around calls of wandb alone.

    Args:
        mode: `offline` writes into the folder, `online` uploads, `disabled` tracks nothing.
        project: the W&B project.
        run_id: the run's name; a resumed run goes on under the same one.
        folder: the run's folder, which gets a folder `wandb`.
        config: the resolved configuration.
    """
    if mode == "disabled":
        return NullTracker()
    try:
        return WandbTracker(_start(mode, project, run_id, folder, config))
    except Exception as error:
        _turn_off(error)
        return NullTracker()


def blueprint_table(entries: Sequence[Entry]) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and rows of the table of best blueprints, a mean and a spread for each task."""
    tasks = list(dict.fromkeys(score.task for entry in entries for score in entry.tasks))
    columns = ["rank", "id", "program", "status", "proof_mean", "proof_low", "proof_high", "shrinkage"]
    columns += ["performance", "reward", "parameters", "flops", "latency_us"]
    for task in tasks:
        columns += [f"{task}_mean", f"{task}_std", f"{task}_seeds"]
    rows = []
    for entry in entries:
        scores = {score.task: score for score in entry.tasks}
        proof = entry.standing.proof
        row = [entry.rank, entry.id, " ".join(entry.tokens), entry.standing.status]
        row += [None] * 4 if proof is None else [proof.mean, proof.low, proof.high, proof.shrinkage]
        row += [entry.performance, entry.reward, entry.num_parameters, entry.flops, entry.latency_us]
        for task in tasks:
            score = scores.get(task)
            row += [None] * 3 if score is None else [score.mean, score.std, score.num_seeds]
        rows.append(row)
    return columns, rows


def _drawn_table(entries: Sequence[Entry]) -> Any:
    """Return the table as W&B's own, with a drawing in the last column."""
    columns, rows = blueprint_table(entries)
    drawings = [_wandb().Html(_PAGE.format(entry_drawing(entry)), inject=False) for entry in entries]
    data = [[*row, drawing] for row, drawing in zip(rows, drawings, strict=True)]
    return _wandb().Table(columns=[*columns, "drawing"], data=data)


def _artifact(name: str, path: Path) -> Any:
    artifact = _wandb().Artifact(
        name, type="ledger", description="Read it with: tamiyo library import FILE --into LIBRARY"
    )
    artifact.add_file(str(path), policy="immutable", skip_cache=True)
    return artifact


def _start(mode: str, project: str, run_id: str, folder: Path, config: Mapping[str, Any]) -> "wandb.Run":
    if mode == "offline":
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # else even this run calls a server
        os.environ.setdefault("WANDB_DISABLE_WEAVE", "true")  # else it advertises where openai is imported
    wandb = _wandb()
    (folder / "wandb").mkdir(exist_ok=True)  # wandb itself would turn to the system's temporary folder
    run = wandb.init(
        mode=mode,
        project=project,
        id=re.sub(r"[^\w.-]", "-", run_id),
        name=run_id,
        dir=folder,
        resume="allow",
        config=dict(config),
        settings=wandb.Settings(
            silent=mode != "online",
            x_disable_stats=True,
            disable_git=True,
            disable_code=True,
            console="off",
            finish_timeout=_FINISH_TIMEOUT_S,
        ),
    )
    run.define_metric("*", step_metric="generation")
    return run


def _wandb() -> Any:
    """Import wandb on first use: it takes a second, and an installation without it still trains."""
    import wandb

    return wandb


def _is_loggable(value: Any) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _turn_off(error: Exception) -> None:
    """Let go of wandb's service, which if dead would print a traceback when the process ends, and say why."""
    with suppress(Exception, SystemExit):  # teardown calls sys.exit when the service ended badly
        _wandb().teardown()
    reason = str(error).strip().split("\n")[0]
    print(f"W&B is off for this run: {type(error).__name__}: {reason}", file=sys.stderr)
