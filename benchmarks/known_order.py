"""Do micro-tasks put known modules in their known order? Checks thirteen published facts, ranks nothing else.

    python benchmarks/known_order.py --json docs/figures/known_order.json

A module stands twice in a host: an embedding or a linear map, [layer norm, module, add] twice, layer norm and
a readout of every step; for attention alone, learned positions are added to what enters. The whole is one
blueprint, and the Crucible trains it as it does all: Adam with clipped gradients, neither weight decay nor
warm-up. Streams are those of `curricula.parity` and `curricula.recall`, more of them than a suite takes, so
that little can be known by heart. Of two learning rates the one that serves a module better on the validation
split counts, by the mean over seeds; what holds or not is the mean score on the test split.

Every finished training is a line in the folder, and a run that was killed goes on where it stopped. The exit
status says whether all facts hold.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F

from benchmarks.crucible_throughput import describe_machine
from benchmarks.preflight import check
from benchmarks.trainings import Trainings
from blueprints import LANGUAGE, Blueprint, parse
from crucible.crucible import Crucible, num_cores
from crucible.evaluation import TaskResult
from curricula.heads import HeadName
from curricula.parity import Parity
from curricula.recall import Recall
from curricula.task import Split, Splits, Task

#: Optimiser steps, streams of a step, and how often each training stream is met.
STEPS, BATCH, EPOCHS = 2500, 32, 5
LEARNING_RATES = (1e-3, 3e-3)
NUM_SEEDS = 3
#: Streams of the validation and of the test split.
NUM_HELD_OUT = 512
#: D of the host, by task.
WIDTHS = {"parity": 32, "recall": 64}

ATTENTION = "attention"
#: What stands in each of the two residual slots. The RNN is Elman's cell; the long convolution is a filter
#: for each feature that spans 31 steps, made of two, and a linear map; all else is hardly more than an op.
MODULES: Mapping[str, str] = {
    "RNN": "SCAN_START OUT_DIM_IN CONCAT STATE_0 LINEAR OUT_DIM_IN TANH SCAN_END",
    "GRU": "GRU",
    "LSTM": "LSTM",
    "diagonal scan, gates in (-1, 1)": "DIAGONAL_SCAN GATE_SIGNED",
    "diagonal scan, gates in (0, 1)": "DIAGONAL_SCAN GATE_UNIT",
    ATTENTION: "ATTENTION HEADS_4",
    "short convolution": "CONV1D KERNEL_3 CHANNELS_IN RELU",
    "long convolution": "DWCONV1D KERNEL_7 DWCONV1D KERNEL_7 DILATION_4 GELU LINEAR OUT_DIM_IN",
}
SAMPLE = "known modules"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What is known of a module on a task: that its score is at least, or at most, the bound."""

    task: str
    module: str
    at_least: bool
    bound: float

    def holds(self, score: float) -> bool:
        """Say whether a score agrees."""
        return score >= self.bound if self.at_least else score <= self.bound


def _facts(task: str, able: Sequence[str], at_least: float, unable: Sequence[str]) -> tuple[Fact, ...]:
    return (
        *(Fact(task=task, module=module, at_least=True, bound=at_least) for module in able),
        *(Fact(task=task, module=module, at_least=False, bound=0.60) for module in unable),
    )


#: Merrill et al. (2024) and Grazzi et al. (2024) on parity beyond the training length, Arora et al. (2024) on
#: associative recall.
FACTS: tuple[Fact, ...] = (
    *_facts(
        "parity",
        able=("RNN", "GRU", "LSTM", "diagonal scan, gates in (-1, 1)"),
        at_least=0.90,
        unable=(ATTENTION, "short convolution", "diagonal scan, gates in (0, 1)"),
    ),
    *_facts(
        "recall",
        able=(ATTENTION,),
        at_least=0.95,
        unable=(
            "GRU",
            "RNN",
            "short convolution",
            "long convolution",
            "diagonal scan, gates in (0, 1)",
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Positioned(Task):
    """Another task in a host with learned positions.

    Each input says where it stands, one-hot, beside what it is: a linear map of both is a map of what it is
    plus a learned vector for each position.

    Attributes:
        task: the other.
        num_positions: steps of its longest streams.
    """

    task: Task
    num_positions: int

    input = "linear"

    @classmethod
    def of(cls, task: Task) -> "Positioned":
        """Return `task` with positions."""
        names = ("name", "num_train", "num_validation", "num_test", "batch_size", "epochs", "learning_rate")
        return cls(
            **{name: getattr(task, name) for name in names},
            task=task,
            num_positions=task.splits(0).test.inputs.shape[1],
        )

    @property
    def head(self) -> HeadName:
        """As the task's."""
        return self.task.head

    @property
    def output_width(self) -> int:
        """As the task's."""
        return self.task.output_width

    @property
    def input_width(self) -> int:
        """What the task shows, symbols one-hot, and the positions."""
        return self.task.input_width + self.num_positions

    def draw(self, seed: int) -> Splits:
        """Return the task's, with positions."""
        splits = self.task.splits(seed)
        return Splits(
            train=self._split(splits.train),
            validation=self._split(splits.validation),
            test=self._split(splits.test),
        )

    def draw_probe(self) -> torch.Tensor:
        """Return the task's, with positions."""
        return self._placed(self.task.probe())

    def _split(self, split: Split) -> Split:
        return Split(inputs=self._placed(split.inputs), targets=split.targets)

    def _placed(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return `[B, T, input_width]` float32."""
        if self.task.input == "embedding":
            inputs = F.one_hot(inputs, self.task.input_width).float()
        num, steps = inputs.shape[:2]
        positions = torch.eye(self.num_positions)[:steps].expand(num, -1, -1)
        return torch.cat([inputs, positions], dim=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """How a fact fared.

    Attributes:
        task: the fact's.
        module: the fact's.
        at_least: whether the bound is the least or the most.
        bound: the fact's.
        score: mean test score over the seeds, at the learning rate that was chosen.
        low: the least of the seeds' scores.
        high: the greatest.
        validation_score: mean over the seeds, on streams as long as those of training.
        learning_rate: which was chosen.
        holds: whether the fact does; never where a training failed.
    """

    task: str
    module: str
    at_least: bool
    bound: float
    score: float
    low: float
    high: float
    validation_score: float
    learning_rate: float
    holds: bool


def main() -> int:
    """Train what is missing, print every fact, and return 0 when all hold."""
    options = _options()
    check("cpu", options.json)
    options.dir.mkdir(parents=True, exist_ok=True)
    trainings = Trainings(options.dir / "trainings.jsonl")
    train_missing(trainings, options.steps, options.seeds, options.workers)
    rows = [row for row in trainings.rows if row["seed"] < options.seeds]
    figures = [figure_of(fact, rows) for fact in FACTS]
    print(table(figures))
    num_holding = sum(figure.holds for figure in figures)
    print(f"\n{num_holding} of {len(figures)} hold")
    if options.json:
        document = {
            "figures": [asdict(figure) for figure in figures],
            "num_holding": num_holding,
            "num_facts": len(figures),
            "modules": dict(MODULES),
            "made_by": trainings.head,
            "num_seeds": options.seeds,
            "machine": describe_machine(torch.device("cpu"), options.workers),
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if num_holding == len(figures) else 1


def tasks_of(steps: int) -> dict[str, Task]:
    """Return the two tasks by name, with as many streams as so many steps meet, `EPOCHS` times each."""
    num_train = steps * BATCH // EPOCHS
    tasks = (
        Parity(
            num_train=num_train,
            num_validation=NUM_HELD_OUT,
            num_test=NUM_HELD_OUT,
            batch_size=BATCH,
            epochs=EPOCHS,
        ),
        Recall(
            num_train=num_train,
            num_validation=NUM_HELD_OUT,
            num_test=NUM_HELD_OUT,
            batch_size=BATCH,
            epochs=EPOCHS,
        ),
    )
    return {task.name: task for task in tasks}


def in_host(module: str) -> Blueprint:
    """Return the blueprint of two residual slots that hold `module`."""
    slot = f"RES_START LAYERNORM {MODULES[module]} RES_END"
    return parse(f"{slot} {slot} LAYERNORM".split())


def train_missing(trainings: Trainings, steps: int, num_seeds: int, num_workers: int) -> None:
    """Train whatever is not on disk."""
    tasks = tasks_of(steps)
    crucibles = {name: Crucible(width=WIDTHS[name], num_workers=num_workers) for name in tasks}
    trainings.begin(
        {
            "engine_id": crucibles["parity"].engine_id,
            "language": LANGUAGE.version_hash,
            **{name: json.dumps(task.knobs) for name, task in tasks.items()},
        }
    )
    start = time.perf_counter()
    for fact, seed, rates in missing(trainings, num_seeds):
        rows = train(crucibles[fact.task], tasks[fact.task], fact.module, seed, rates)
        trainings.add(rows)
        told = ", ".join(f"{row['score']:.3f} at {row['setting']}" for row in rows)
        minutes = (time.perf_counter() - start) / 60
        print(f"{fact.task}, {fact.module}, seed {seed}: {told}; {minutes:.1f} min", flush=True)
    for crucible in crucibles.values():
        crucible.close()


def missing(trainings: Trainings, num_seeds: int) -> Iterator[tuple[Fact, int, list[float]]]:
    """Yield a fact, a seed and the learning rates that are not on disk, wherever there are some."""
    for seed in range(num_seeds):
        for fact in FACTS:
            place = fact.task, in_host(fact.module).id
            rates = [
                r
                for r in LEARNING_RATES
                if (SAMPLE, place[0], f"{r:g}", seed, place[1]) not in trainings.known
            ]
            if rates:
                yield fact, seed, rates


def train(
    crucible: Crucible, task: Task, module: str, seed: int, rates: Sequence[float]
) -> list[dict[str, Any]]:
    """Return the trainings of a module from one seed, one a learning rate, as lines."""
    blueprint = in_host(module)
    shown = Positioned.of(task) if module == ATTENTION else task
    tasks = [replace(shown, learning_rate=rate) for rate in rates]
    [evaluation] = crucible.evaluate([blueprint], tasks, [seed])
    return [
        _line(task.name, f"{rate:g}", blueprint, result)
        for rate, result in zip(rates, evaluation.results, strict=True)
    ]


def _line(task: str, setting: str, blueprint: Blueprint, result: TaskResult) -> dict[str, Any]:
    key = {
        "sample": SAMPLE,
        "task": task,
        "setting": setting,
        "seed": result.seed,
        "blueprint": blueprint.id,
    }
    figures = {
        name: getattr(result, name) for name in ("score", "validation_score", "loss_first", "loss_last")
    }
    return {**key, "status": result.status, **{name: round(value, 6) for name, value in figures.items()}}


def figure_of(fact: Fact, rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Return how `fact` fared at the learning rate of the best validation score, of equals the least loss."""
    place = fact.task, in_host(fact.module).id
    own = [row for row in rows if (row["task"], row["blueprint"]) == place]

    def worth(rate: float) -> tuple[float, float]:
        at_rate = [row for row in own if row["setting"] == f"{rate:g}"]
        return fmean(r["validation_score"] for r in at_rate), -fmean(r["loss_last"] for r in at_rate)

    rate = max(LEARNING_RATES, key=worth)
    chosen = [row for row in own if row["setting"] == f"{rate:g}"]
    scores = [row["score"] for row in chosen]
    return Figure(
        **asdict(fact),
        score=fmean(scores),
        low=min(scores),
        high=max(scores),
        validation_score=worth(rate)[0],
        learning_rate=rate,
        holds=fact.holds(fmean(scores)) and all(row["status"] == "ok" for row in chosen),
    )


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        "| task | module | known | test score | seeds | validation | learning rate | holds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for f in figures:
        lines.append(
            f"| {f.task} | {f.module} | {'at least' if f.at_least else 'at most'} {f.bound:.2f} "
            f"| {f.score:.3f} | {f.low:.3f} to {f.high:.3f} | {f.validation_score:.3f} | {f.learning_rate:g} "
            f"| {'yes' if f.holds else 'NO'} |"
        )
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dir", type=Path, default=Path("runs/known_order"), help="where trainings are kept")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of a training, a multiple of {EPOCHS}")
    parser.add_argument("--seeds", type=int, default=NUM_SEEDS, help="of data and initial parameters, from 0")
    parser.add_argument("--workers", type=int, default=num_cores(), help="trainings at once")
    parser.add_argument("--json", type=Path, help="where the figures go")
    options = parser.parse_args()
    for name in ("seeds", "workers"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    if options.steps < 1 or options.steps % EPOCHS:
        parser.error(f"--steps must be a positive multiple of {EPOCHS}, got {options.steps}")
    return options


if __name__ == "__main__":
    sys.exit(main())
