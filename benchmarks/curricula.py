"""How hard is each task, and does it say what others do not? Trains samples; curricula_report.py compares.

    python benchmarks/curricula.py --json docs/figures/curricula.json --figure docs/figures/curricula.png

Random programs of the whole language, of four ops and more, and people's designs are trained on every task
from two seeds, as the Crucible trains by default. Every finished training is a line in the folder, so a run
that was killed, or that ended at `--minutes`, goes on where it stopped; `--num` may grow. A line names the
knobs and examples of its task, so a task that was changed is trained anew, and beside it nothing else.
`--report` only compares what is there.

The folder of the benchmarks must not precede the repository's on the path of imports: the package `curricula`
would be this file.
"""

import argparse
import hashlib
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

if __name__ == "curricula":
    raise ImportError(f"{__file__} is no package; put the repository's folder before benchmarks/ on sys.path")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.curricula_report import SEEDS, report
from benchmarks.preflight import check
from benchmarks.trainings import Trainings
from blueprints import (
    HUMAN_BLUEPRINTS,
    LANGUAGE,
    Blueprint,
    compile_blueprint,
    num_parameters,
    parse,
    random_program,
)
from crucible import Crucible
from curricula.suites import TASKS, task_named
from curricula.task import Sight, Task

SAMPLE_SEED = 20_262
#: Ops of a random program, before it is closed. Most shorter ones are one function of one step, or affine.
NUM_OPS = (4, 12)
#: D of the host.
WIDTH = 16
#: Trainings between two writes.
CHUNK = 32
#: Standard deviations of the random weights with which it is tried what a blueprint sees.
WEIGHT_SIZES = (0.3, 0.1, 1.0, 0.03)
#: Share of the largest output under which a change is rounding.
FAINT = 1e-13


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Blueprints that are looked at together, in a fixed order.

    Attributes:
        name: `random` or `humans`.
        blueprints: each of another identity.
    """

    name: str
    blueprints: tuple[Blueprint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Trainings that are written together."""

    sample: str
    task: Task
    seed: int
    blueprints: tuple[Blueprint, ...]


def main() -> int:
    """Train what is missing within the time, then compare what is there."""
    options = _options()
    for path in (options.json, options.figure):
        check("cpu", path)
    options.dir.mkdir(parents=True, exist_ok=True)
    trainings = Trainings(options.dir / "trainings.jsonl")
    tasks = [task_named(name) for name in options.tasks]
    samples = draw_samples(options.num, options.humans)
    if not options.report:
        train_missing(trainings, samples, tasks, options.workers, options.minutes)
    settings = {task.name: setting_of(task) for task in tasks}
    rows = [row for row in trainings.rows if settings.get(row["task"]) == row["setting"]]
    document = report(rows, trainings.head, tasks, options.json or options.dir / "curricula.json")
    if document["tasks"] and options.figure:
        from benchmarks.curricula_picture import draw

        draw(document, options.figure)
        print(f"picture {options.figure}")
    return 0 if document["tasks"] else 1


def draw_samples(num: int, num_humans: int | None = None) -> tuple[Sample, Sample]:
    """Return the first `num` different random programs of a frozen order, and human blueprints."""
    rng = random.Random(SAMPLE_SEED)
    found: dict[str, Blueprint] = {}
    while len(found) < num:
        blueprint = parse(random_program(rng, LANGUAGE, *NUM_OPS))
        found.setdefault(blueprint.id, blueprint)
    humans = {b.id: b for b in (parse(human.tokens) for human in HUMAN_BLUEPRINTS)}
    return (
        Sample(name="random", blueprints=tuple(found.values())),
        Sample(name="humans", blueprints=tuple(humans.values())[:num_humans]),
    )


def setting_of(task: Task) -> str:
    """Return a digest of all that makes a task: class, knobs, head and the examples of seed 0."""
    names = ("head", "input", "output_width", "knobs")
    made_of = [type(task).__qualname__, *(repr(getattr(task, name)) for name in names)]
    digest = hashlib.sha256("\n".join(made_of).encode())
    splits = task.splits(0)
    for split in (splits.train, splits.validation, splits.test):
        for tensor in (split.inputs, split.targets):
            digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def train_missing(
    trainings: Trainings, samples: Sequence[Sample], tasks: Sequence[Task], workers: int, minutes: float
) -> None:
    """Train whatever is not on disk, sample by sample and task by task, until done or out of time."""
    start = time.perf_counter()
    with Crucible(width=WIDTH, num_workers=workers) as crucible:
        head = {"engine_id": crucible.engine_id, "language": LANGUAGE.version_hash, "width": str(WIDTH)}
        trainings.begin(head)
        for batch in missing(trainings, samples, tasks):
            if time.perf_counter() - start > 60 * minutes:
                print(f"{minutes:g} minutes are over; call again to go on", flush=True)
                return
            rows = train(crucible, batch)
            trainings.add(rows)
            print(
                f"{batch.task.name:18} {batch.sample:7} seed {batch.seed} {len(rows):3} trainings, "
                f"{sum(row['cpu_s'] for row in rows):6.1f} CPU s, "
                f"{(time.perf_counter() - start) / 60:5.1f} min so far",
                flush=True,
            )


def missing(trainings: Trainings, samples: Sequence[Sample], tasks: Sequence[Task]) -> Iterator[Batch]:
    """Yield the trainings that are not on disk, in batches."""
    for sample, task, seed in product(samples, tasks, SEEDS):
        setting = setting_of(task)
        rest = [
            blueprint
            for blueprint in sample.blueprints
            if (sample.name, task.name, setting, seed, blueprint.id) not in trainings.known
        ]
        for i in range(0, len(rest), CHUNK):
            yield Batch(sample=sample.name, task=task, seed=seed, blueprints=tuple(rest[i : i + CHUNK]))


def train(crucible: Crucible, batch: Batch) -> list[dict]:
    """Return the finished batch as lines; the CPU's time is spread evenly over what was not refused."""
    begun = time.process_time()
    results = crucible.run_jobs([(b, batch.task, batch.seed) for b in batch.blueprints], competing=False)
    spent = time.process_time() - begun
    num_trained = sum(result.status != "rejected" for result in results)
    setting = setting_of(batch.task)
    return [
        {
            "sample": batch.sample,
            "task": batch.task.name,
            "setting": setting,
            "seed": batch.seed,
            "blueprint": blueprint.id,
            "parameters": num_parameters(blueprint.graph, WIDTH),
            "sees": sorted(sees(blueprint)),
            "status": result.status,
            "reason": result.reason,
            "score": result.score,
            "cpu_s": 0.0 if result.status == "rejected" else spent / num_trained,
        }
        for blueprint, result in zip(batch.blueprints, results, strict=True)
    ]


@cache
def sees(blueprint: Blueprint) -> frozenset[Sight]:
    """Return what the output depends on, for weights of any few sizes.

    Inputs are exchanged: all but the last step's for the past, the last step's for the present, and steps
    with one another for the order. Float64 sees what later layers make faint; large weights may overflow,
    small ones forget.
    """
    generator = torch.Generator().manual_seed(SAMPLE_SEED)
    module = compile_blueprint(blueprint, WIDTH).double().eval()
    found: set[Sight] = set()
    for size in WEIGHT_SIZES:
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=size, generator=generator)
        x_BTW, other_BTW = torch.randn(2, 4, 12, WIDTH, dtype=torch.float64, generator=generator)
        is_last_T1 = (torch.arange(12) == 11)[:, None]
        shuffled_BTW = x_BTW[:, torch.randperm(12, generator=generator)]
        with torch.no_grad():
            y_BTW = module(x_BTW)
            gaps: dict[Sight, torch.Tensor] = {
                "past": (module(torch.where(is_last_T1, x_BTW, other_BTW)) - y_BTW)[:, -1],
                "present": (module(torch.where(is_last_T1, other_BTW, x_BTW)) - y_BTW)[:, -1],
                "order": (module(shuffled_BTW) - y_BTW).mean(1),
            }
        least = FAINT * float(y_BTW.nan_to_num().abs().max())  # a sum in another order rounds otherwise
        found |= {sight for sight, gap in gaps.items() if bool((gap.abs() > least).any())}
    return frozenset(found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dir", type=Path, default=Path("runs/curricula"), help="where trainings are kept")
    parser.add_argument("--num", type=int, default=256, help="random blueprints")
    parser.add_argument("--humans", type=int, help="human blueprints; all when absent")
    parser.add_argument("--tasks", nargs="+", choices=tuple(TASKS), default=tuple(TASKS), metavar="TASK")
    parser.add_argument("--workers", type=int, default=2, help="cores that train")
    parser.add_argument("--minutes", type=float, default=30.0, help="stop training after so long")
    parser.add_argument("--report", action="store_true", help="compare what is there, train nothing")
    parser.add_argument("--json", type=Path, help="where the figures go; curricula.json in the folder")
    parser.add_argument("--figure", type=Path, help="where they are drawn (needs matplotlib)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
