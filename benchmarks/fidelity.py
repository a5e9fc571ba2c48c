"""What is the Crucible's quick score worth? Trains samples briefly and long; fidelity_report.py compares.

    python benchmarks/fidelity.py --dir runs/fidelity --json docs/figures/fidelity.json

Every finished training is a line in the folder, so a run that was killed, or that ended at `--minutes`,
goes on where it stopped; `--num` may grow. A line names the knobs and examples of its task, so a task that
was changed is trained anew. `--report` only compares what is there.

Of each suite all tasks are trained, gates included, with blueprints that all of them examine. Quick trainings
are the default ones of the loop at other lengths, learning rates and widths, from seeds that the long ones do
not use. A long training has five times the steps in a host twice as wide; three learning rates are tried, and
the report chooses among them on the validation split. Where a training meets no example twice, five times the
steps are five times the examples.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from benchmarks.curricula import setting_of
from benchmarks.fidelity_plan import (
    LONG,
    LOOP_LANGUAGE,
    OTHERS,
    QUICK,
    SAMPLES,
    SUITE_SIZES,
    Setting,
    draw_sample,
    tasks_of,
)
from benchmarks.fidelity_report import report
from benchmarks.fidelity_scores import tells_classes
from benchmarks.preflight import check
from benchmarks.trainings import Trainings
from blueprints import Blueprint, num_parameters
from crucible.effort import FULL
from crucible.engines.base import Job, single_thread
from crucible.engines.native.engine import NativeEngine
from crucible.evaluation import TaskResult
from crucible.program import Program, build_program
from curricula.heads import InputKind
from curricula.suites import task_named
from curricula.task import Splits, Task

#: Trainings between two writes.
CHUNK = 32
#: Fields of a result that the report needs.
FIELDS = (
    *("status", "score", "validation_score", "gain"),
    *("loss_first", "loss_last", "loss_late_std", "clipped_share"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Trainings of one setting and seed that are written together."""

    sample: str
    task: str
    setting: Setting
    seed: int
    blueprints: tuple[Blueprint, ...]

    def key(self, blueprint: Blueprint) -> tuple[str, str, str, int, str]:
        """Return what names a training among all."""
        return self.sample, self.task, self.setting.name, self.seed, blueprint.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed(Task):
    """Another task whose probe set is the test split of one seed: what the readout says there is kept."""

    task: Task
    seed: int

    @classmethod
    def of(cls, task: Task, seed: int) -> "Probed":
        """Return `task` probed on the test split of `seed`."""
        return cls(**{field.name: getattr(task, field.name) for field in fields(Task)}, task=task, seed=seed)

    @property
    def input(self) -> InputKind:
        """As the task's."""
        return self.task.input

    @property
    def input_width(self) -> int:
        """As the task's."""
        return self.task.input_width

    @property
    def output_width(self) -> int:
        """As the task's."""
        return self.task.output_width

    @property
    def solved_loss(self) -> float:
        """As the task's."""
        return self.task.solved_loss

    def draw(self, seed: int) -> Splits:
        """As the task's."""
        return self.task.splits(seed)

    def draw_probe(self) -> torch.Tensor:
        """Return the inputs of the test split."""
        return self.task.splits(self.seed).test.inputs


def main() -> int:
    """Train what is missing within the time, then compare what is there."""
    options = _options()
    check("cpu", options.json)
    options.dir.mkdir(parents=True, exist_ok=True)
    trainings = Trainings(options.dir / "trainings.jsonl")
    sizes = {suite: options.num or SUITE_SIZES[suite] for suite in options.suite}
    if not options.report:
        train_missing(trainings, sizes, options.samples, options.workers, options.minutes)
    return report(up_to_date(trainings.rows), trainings.head, sizes, options.dir, options.json)


def train_missing(
    trainings: Trainings, sizes: Mapping[str, int], samples: Sequence[str], workers: int, minutes: float
) -> None:
    """Train whatever is not on disk, the cheap first, until done or out of time.

    `sizes` says how many blueprints of each sample a suite is trained with.
    """
    start = time.perf_counter()
    examiner = Examiner(workers)
    trainings.begin({"engine_id": examiner.engine_id, "language": LOOP_LANGUAGE.version_hash})
    with single_thread():
        for batch in missing(trainings.rows, sizes, samples):
            if time.perf_counter() - start > 60 * minutes:
                print(f"{minutes:g} minutes are over; call again to go on", flush=True)
                return
            begun, spent = time.perf_counter(), time.process_time()
            trainings.add(examiner.train(batch))
            print(
                f"{batch.sample:7} {batch.task:12} {batch.setting.name:38} seed {batch.seed:3} "
                f"{len(batch.blueprints):3} in {time.perf_counter() - begun:5.1f} s "
                f"({time.process_time() - spent:.1f} CPU), {(begun - start) / 60:.1f} min before",
                flush=True,
            )


def up_to_date(rows: Sequence[dict]) -> list[dict]:
    """Return the lines of tasks as they are now."""
    digests = {task: setting_of(task_named(task)) for task in {row["task"] for row in rows}}
    return [row for row in rows if row["knobs"] == digests[row["task"]]]


def missing(rows: Sequence[dict], sizes: Mapping[str, int], samples: Sequence[str]) -> Iterator[Batch]:
    """Yield the trainings that are not among the lines, in batches; suites share what they have in common."""
    names = ("sample", "task", "setting", "seed", "blueprint")
    known = {tuple(row[name] for name in names) for row in up_to_date(rows)}
    for settings, suite, sample in product((QUICK, LONG, OTHERS), sizes, samples):
        tasks = tasks_of(suite)
        blueprints = draw_sample(sample, sizes[suite], tasks)
        for task in tasks:
            pairs = [(setting, seed) for setting in settings for seed in setting.seeds]
            for setting, seed in sorted(pairs, key=lambda pair: pair[1]):
                whole = Batch(sample=sample, task=task, setting=setting, seed=seed, blueprints=())
                rest = [b for b in blueprints if whole.key(b) not in known]
                known |= {whole.key(b) for b in rest}
                for i in range(0, len(rest), CHUNK):
                    yield replace(whole, blueprints=tuple(rest[i : i + CHUNK]))


class Examiner:
    """Trains batches, and reads held-out losses off what the readout says of classes."""

    def __init__(self, num_workers: int) -> None:
        efforts = {setting.effort for setting in (*QUICK, *LONG, *OTHERS)}
        self._engines = {effort: NativeEngine(num_workers, effort=effort) for effort in efforts}

    @property
    def engine_id(self) -> str:
        """Identifies the engine; how little it may do stands in a setting's name."""
        return self._engines[FULL].engine_id

    def train(self, batch: Batch) -> list[dict]:
        """Return the finished batch as lines."""
        results = self.results(batch)
        task = task_named(batch.task)
        if tells_classes(task):
            test = task.splits(batch.seed).test
            extras = [held_out(result.fingerprint, test.targets) for result in results]
        else:
            extras = [{} for _ in results]
        digest = setting_of(task)
        return [
            {
                **dict(zip(("sample", "task", "setting", "seed", "blueprint"), batch.key(b), strict=True)),
                "knobs": digest,
                **{name: _plain(getattr(result, name)) for name in FIELDS},
                "solved_step": result.solved_step,
                "num_steps": batch.setting.of(task).num_steps,
                "num_steps_taken": result.num_steps,
                "parameters": num_parameters(b.graph, batch.setting.width, LOOP_LANGUAGE),
                **extra,
            }
            for b, result, extra in zip(batch.blueprints, results, extras, strict=True)
        ]

    def results(self, batch: Batch) -> list[TaskResult]:
        """Return the finished batch; fingerprints are logits on the test split, where they tell classes."""
        task = batch.setting.of(task_named(batch.task))
        jobs = [
            Job(program=build_program(b.graph, task, batch.setting.width, LOOP_LANGUAGE), seed=batch.seed)
            for b in batch.blueprints
        ]
        engine = self._engines[batch.setting.effort]
        if not tells_classes(task):
            return engine.train(jobs, task)
        jobs = [replace(job, program=_speaking(job.program)) for job in jobs]
        return engine.train(jobs, Probed.of(task, batch.seed), fingerprints=True)


def _speaking(program: Program) -> Program:
    """Return the program with its logits in the place of the slot's output."""
    return replace(program, pooled=len(program.nodes) - 1, width=program.output_width)


def held_out(logits_BC: np.ndarray | None, targets_B: torch.Tensor) -> dict[str, float]:
    """Return the test split's mean cross entropy in nats and mean probability of the right class."""
    if logits_BC is None:
        return {"test_loss": float("nan"), "probability": 0.0}
    shares_BC = torch.from_numpy(logits_BC).double().log_softmax(1)
    right_B = shares_BC[torch.arange(len(targets_B)), targets_B]
    return {"test_loss": float(-right_B.mean()), "probability": float(right_B.exp().mean())}


def _plain(value: float | str | None) -> float | str | None:
    return round(float(value), 6) if isinstance(value, (int, float)) else value


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dir", type=Path, default=Path("runs/fidelity"), help="where trainings are kept")
    parser.add_argument("--suite", nargs="+", choices=tuple(SUITE_SIZES), default=tuple(SUITE_SIZES))
    sizes = ", ".join(f"{name} {num}" for name, num in SUITE_SIZES.items())
    parser.add_argument("--num", type=int, help=f"blueprints of each sample; when absent {sizes}")
    parser.add_argument("--samples", nargs="+", choices=SAMPLES, default=SAMPLES)
    parser.add_argument("--workers", type=int, default=2, help="threads that train")
    parser.add_argument("--minutes", type=float, default=30.0, help="stop training after so long")
    parser.add_argument("--report", action="store_true", help="compare what is there, train nothing")
    parser.add_argument("--json", type=Path, help="where the figures go; fidelity.json in the folder")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
