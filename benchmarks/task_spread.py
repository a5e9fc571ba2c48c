"""How random legal blueprints spread on each task: gate or ranking? Leaves speed to the other benchmark."""

# ruff: noqa: E402

import argparse
import json
import platform
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median, pstdev

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import torch
from preflight import check

from blueprints import CORE_LANGUAGE, Blueprint, parse, random_program
from crucible import Crucible
from curricula.suites import TASKS, task_named
from curricula.task import Task

#: Accuracy up to which a blueprint counts as at the floor.
FLOOR = 0.60


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Scores of the sample on one task; a blueprint that failed counts as at the floor, with score 0.

    Attributes:
        task: the task's name.
        num: blueprints in the sample.
        num_failed: of them, how many have a status other than ok.
        share_floor: share with a score of at most 0.60.
        share_solved: share that reached the task's solved threshold.
        share_between: the rest, among which the task ranks.
        mean: of the scores.
        median: of the scores.
        std: their standard deviation.
        wall_s: seconds the evaluation took.
    """

    task: str
    num: int
    num_failed: int
    share_floor: float
    share_solved: float
    share_between: float
    mean: float
    median: float
    std: float
    wall_s: float


def sample(num: int, seed: int) -> list[Blueprint]:
    """Return `num` structurally different random blueprints of 1 to 12 ops."""
    rng = random.Random(seed)
    found: dict[str, Blueprint] = {}
    while len(found) < num:
        blueprint = parse(random_program(rng, CORE_LANGUAGE))
        found.setdefault(blueprint.id, blueprint)
    return list(found.values())


def spread(task: Task, blueprints: Sequence[Blueprint], crucible: Crucible, seed: int) -> Spread:
    """Train the sample on `task`, one seed each, and summarise the scores."""
    start = time.perf_counter()
    evaluations = crucible.evaluate(list(blueprints), [task], [seed])
    wall_s = time.perf_counter() - start
    scores = [evaluation.results[0].score for evaluation in evaluations]
    share_floor = fmean(score <= FLOOR for score in scores)
    share_solved = fmean(score >= task.solved for score in scores)
    return Spread(
        task=task.name,
        num=len(scores),
        num_failed=sum(evaluation.status != "ok" for evaluation in evaluations),
        share_floor=share_floor,
        share_solved=share_solved,
        share_between=1.0 - share_floor - share_solved,
        mean=fmean(scores),
        median=median(scores),
        std=pstdev(scores),
        wall_s=wall_s,
    )


def line(row: Spread) -> str:
    """Return the row under the heading that `main` prints."""
    return (
        f"{row.task:18} {row.share_floor:6.1%} {row.share_between:8.1%} {row.share_solved:7.1%} "
        f"{task_named(row.task).solved:7.2f} {row.mean:6.3f} {row.median:7.3f} {row.std:6.3f}"
        f"   {row.num_failed} failed, {row.wall_s:.0f} s"
    )


def main() -> None:
    """Print one line a task, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=512, help="random blueprints (default 512)")
    parser.add_argument("--task", action="append", choices=list(TASKS), help="one task; may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="of the sample and of the training runs")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the rows to OUT")
    arguments = parser.parse_args()
    if arguments.num < 1:
        parser.error(f"--num {arguments.num}: expected at least 1")
    check(arguments.device, arguments.json)

    blueprints = sample(arguments.num, arguments.seed)
    print(f"{len(blueprints)} different random blueprints, seed {arguments.seed}; floor: at most {FLOOR:.2f}")
    print("task                floor  between  solved  (from)   mean  median    std")
    rows = []
    with Crucible(device=arguments.device) as crucible:
        for name in arguments.task or TASKS:
            rows.append(spread(task_named(name), blueprints, crucible, arguments.seed))
            print(line(rows[-1]), flush=True)
    if arguments.json:
        machine = {"platform": platform.platform(), "torch": torch.__version__, "device": arguments.device}
        arguments.json.write_text(
            json.dumps({"rows": [asdict(row) for row in rows], "machine": machine}, indent=2)
        )


if __name__ == "__main__":
    main()
