"""What is the Crucible's quick score worth? Trains samples briefly and long; fidelity_report.py compares.

    python benchmarks/fidelity.py --dir runs/fidelity --json docs/figures/fidelity.json

Every finished training is a line in the folder, so a run that was killed, or that ended at `--minutes`,
goes on where it stopped; `--num` may grow. `--report` only compares what is there.

Quick trainings are the default ones of the loop at other lengths, learning rates and widths, from seeds that
the long ones do not use. A long training has five times the steps in a host twice as wide; three learning
rates are tried, and the report chooses among them on the validation split.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from benchmarks.fidelity_plan import (
    LONG,
    LOOP_LANGUAGE,
    OTHERS,
    QUICK,
    SAMPLES,
    Setting,
    draw_sample,
    is_legal,
)
from benchmarks.fidelity_report import report
from benchmarks.preflight import check
from benchmarks.trainings import Trainings
from blueprints import HUMAN_BLUEPRINTS, Blueprint, parse
from crucible.effort import FULL
from crucible.engines.base import Job, single_thread
from crucible.engines.native.engine import NativeEngine
from crucible.evaluation import TaskResult
from crucible.program import Program, build_program
from curricula.suites import TASKS, task_named
from curricula.task import Splits, Task
from hall_of_fame.similarity import redundancy

#: Human blueprints that redundancy is measured against.
HALL_SIZE = 16
#: Trainings between two writes.
CHUNK = 32
#: Fields of a result that the report needs.
FIELDS = ("status", "score", "validation_score", "loss_first", "loss_last", "loss_late_std", "clipped_share")


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
        names = ("name", "num_train", "num_validation", "num_test", "batch_size", "epochs", "learning_rate")
        return cls(**{name: getattr(task, name) for name in names}, task=task, seed=seed)

    @property
    def input_width(self) -> int:
        """As the task's."""
        return self.task.input_width

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
    if not options.report:
        train_missing(
            trainings, options.num, options.samples, options.tasks, options.workers, options.minutes
        )
    return report(trainings.rows, trainings.head, options.dir, options.json)


def train_missing(
    trainings: Trainings, num: int, samples: Sequence[str], tasks: Sequence[str], workers: int, minutes: float
) -> None:
    """Train whatever is not on disk, the cheap first, until done or out of time."""
    start = time.perf_counter()
    examiner = Examiner(workers)
    trainings.begin({"engine_id": examiner.engine_id, "language": LOOP_LANGUAGE.version_hash})
    with single_thread():
        for batch in missing(trainings, num, samples, tasks):
            if time.perf_counter() - start > 60 * minutes:
                print(f"{minutes:g} minutes are over; call again to go on", flush=True)
                return
            begun, spent = time.perf_counter(), time.process_time()
            trainings.add(examiner.train(batch))
            print(
                f"{batch.sample:7} {batch.task:18} {batch.setting.name:26} seed {batch.seed:3} "
                f"{len(batch.blueprints):3} in {time.perf_counter() - begun:5.1f} s "
                f"({time.process_time() - spent:.1f} CPU), {(begun - start) / 60:.1f} min before",
                flush=True,
            )


def missing(trainings: Trainings, num: int, samples: Sequence[str], tasks: Sequence[str]) -> Iterator[Batch]:
    """Yield the trainings that are not on disk, in batches."""
    drawn = {sample: draw_sample(sample, num) for sample in samples}
    for sample, blueprints in drawn.items():
        for settings in (QUICK, LONG, OTHERS):
            for task in tasks:
                pairs = [(setting, seed) for setting in settings for seed in setting.seeds]
                for setting, seed in sorted(pairs, key=lambda pair: pair[1]):
                    whole = Batch(sample=sample, task=task, setting=setting, seed=seed, blueprints=())
                    rest = [b for b in blueprints if whole.key(b) not in trainings.known]
                    for i in range(0, len(rest), CHUNK):
                        yield replace(whole, blueprints=tuple(rest[i : i + CHUNK]))


class Examiner:
    """Trains batches and reads held-out losses, or redundancies, off what the slot or the readout says."""

    def __init__(self, num_workers: int) -> None:
        efforts = {setting.effort for setting in (*QUICK, *LONG, *OTHERS)}
        self._engines = {effort: NativeEngine(num_workers, effort=effort) for effort in efforts}
        self._hall = [parse(h.tokens, LOOP_LANGUAGE) for h in HUMAN_BLUEPRINTS if is_legal(h.tokens)]
        self._hall = self._hall[:: max(1, len(self._hall) // HALL_SIZE)][:HALL_SIZE]
        self._halls: dict[tuple[str, Setting], torch.Tensor] = {}

    @property
    def engine_id(self) -> str:
        """Identifies the engine; how little it may do stands in a setting's name."""
        return self._engines[FULL].engine_id

    def train(self, batch: Batch) -> list[dict]:
        """Return the finished batch as lines."""
        results = self.results(batch)
        if batch.setting.is_printed:
            extras = self._redundancies(batch, results)
        else:
            test = task_named(batch.task).splits(batch.seed).test
            extras = [held_out(result.fingerprint, test.targets) for result in results]
        return [
            {
                **dict(zip(("sample", "task", "setting", "seed", "blueprint"), batch.key(b), strict=True)),
                **{name: _plain(getattr(result, name)) for name in FIELDS},
                "solved_step": result.solved_step,
                "num_steps": batch.setting.of(task_named(batch.task)).num_steps,
                "num_steps_taken": result.num_steps,
                **extra,
            }
            for b, result, extra in zip(batch.blueprints, results, extras, strict=True)
        ]

    def results(self, batch: Batch) -> list[TaskResult]:
        """Return the finished batch; fingerprints are logits on the test split where none is printed."""
        task = batch.setting.of(task_named(batch.task))
        jobs = [
            Job(program=build_program(b.graph, task, batch.setting.width, LOOP_LANGUAGE), seed=batch.seed)
            for b in batch.blueprints
        ]
        if not batch.setting.is_printed:
            task = Probed.of(task, batch.seed)
            jobs = [replace(job, program=_speaking(job.program)) for job in jobs]
        return self._engines[batch.setting.effort].train(jobs, task, fingerprints=True)

    def _redundancies(self, batch: Batch, results: Sequence[TaskResult]) -> list[dict]:
        """Return each blueprint's nearest CKA in a hall of humans trained in the same way."""
        key = batch.task, batch.setting
        if key not in self._halls:
            hall = self.results(replace(batch, blueprints=tuple(self._hall), seed=batch.setting.seeds[0]))
            self._halls[key] = _stacked(hall, (256, batch.setting.width))
        prints = _stacked(results, (256, batch.setting.width))
        ids = [blueprint.id for blueprint in batch.blueprints]
        values = redundancy(ids, prints, known_ids=(), snapshot=self._halls[key])
        return [{"redundancy": value} for value in values]


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


def _stacked(results: Sequence[TaskResult], shape: tuple[int, int]) -> torch.Tensor:
    nothing = np.full(shape, np.nan, np.float32)
    return torch.from_numpy(np.stack([nothing if r.fingerprint is None else r.fingerprint for r in results]))


def _plain(value: float | str) -> float | str:
    return value if isinstance(value, str) else round(float(value), 6)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dir", type=Path, default=Path("runs/fidelity"), help="where trainings are kept")
    parser.add_argument("--num", type=int, default=128, help="blueprints of each sample")
    parser.add_argument("--samples", nargs="+", choices=SAMPLES, default=SAMPLES)
    parser.add_argument("--tasks", nargs="+", choices=tuple(TASKS), default=tuple(TASKS))
    parser.add_argument("--workers", type=int, default=2, help="threads that train")
    parser.add_argument("--minutes", type=float, default=30.0, help="stop training after so long")
    parser.add_argument("--report", action="store_true", help="compare what is there, train nothing")
    parser.add_argument("--json", type=Path, help="where the figures go; fidelity.json in the folder")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
