"""What the fidelity benchmark trains: two samples, quick settings and long ones; trains nothing itself."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

from blueprints import HUMAN_BLUEPRINTS, LANGUAGE, Blueprint, BlueprintError, Language, flops, mutate, parse
from blueprints import random_program as draw_program
from crucible.effort import FULL, RUNGS, STOP, Effort
from crucible.heads import refusal
from curricula.heads import HEADS
from curricula.suites import suite_named, task_named
from curricula.task import Task

#: The language of the default run, as `tamiyo.config.LanguageConfig` has it.
LOOP_LANGUAGE = Language(ops=LANGUAGE.ops, max_length=24, max_flops=LANGUAGE.max_flops)
SAMPLE_SEED = 20_261
MAX_MUTATIONS = 3
SAMPLES = ("random", "humans")
#: The suites, and how many blueprints of each sample their trainings leave time for.
SUITE_SIZES: Mapping[str, int] = MappingProxyType({"classic": 48, "predictive": 32, "graft": 12})
#: Blueprints of a sample by which the cost of a wider host is weighed.
NUM_WEIGHED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One way to train a blueprint.

    Attributes:
        width: D of the host.
        steps: optimiser steps, as a multiple of the task's own.
        rate: learning rate of Adam, likewise.
        seeds: of the trainings.
        effort: what a training may be spared.
    """

    width: int = 16
    steps: float = 1.0
    rate: float = 1.0
    seeds: tuple[int, ...] = tuple(range(8))
    effort: Effort = FULL

    @property
    def name(self) -> str:
        """What the lines on disk call it."""
        return f"D{self.width} steps x{self.steps:g} rate x{self.rate:g}{self.effort.id}"

    def of(self, task: Task) -> Task:
        """Return `task` with these steps and this learning rate; its name stays.

        The steps are epochs. An exam of a single epoch, in which nothing is met twice, has as many more or
        fewer examples instead: a long training of it knows more of the same language, and repeats nothing.
        """
        rate = self.rate * task.learning_rate
        if is_once(task):
            batches = max(1, round(self.steps * task.num_train / task.batch_size))
            return replace(task, num_train=batches * task.batch_size, learning_rate=rate)
        return replace(task, epochs=max(1, round(task.epochs * self.steps)), learning_rate=rate)


def is_once(task: Task) -> bool:
    """Say whether a training of `task` meets no example twice."""
    return task.epochs == 1


DEFAULT = Setting()
FEW = (0, 1, 2, 3)
TWO = (0, 1)
#: What every table needs.
QUICK = (
    DEFAULT,
    *(Setting(steps=steps) for steps in (0.25, 0.5)),
    Setting(steps=2.0, seeds=FEW),
)
#: Further ways, compared where they are there. Rungs thin cohorts of what is trained together.
OTHERS = (
    *(Setting(rate=rate, seeds=FEW) for rate in (0.3, 0.5, 3.0)),
    Setting(steps=0.5, rate=2.0, seeds=FEW),
    Setting(effort=STOP, seeds=FEW),
    Setting(effort=RUNGS, seeds=FEW),
    Setting(steps=2.0, rate=0.5, seeds=FEW),
    Setting(steps=2.0, effort=STOP, seeds=TWO),
    Setting(width=32, seeds=TWO),
    Setting(steps=4.0, seeds=TWO),
)
LONG = tuple(Setting(width=32, steps=5.0, rate=rate, seeds=(100, 101)) for rate in (0.3, 1.0, 3.0))


def tasks_of(suite: str) -> tuple[str, ...]:
    """Return the tasks of a suite, gates included."""
    return tuple(suite_named(suite))


def counted(suite: str) -> dict[str, float]:
    """Return the weight of each task in a suite's mean; gates stay outside."""
    return {name: weight for name, weight in suite_named(suite).items() if weight > 0}


@cache
def draw_sample(kind: str, num: int, tasks: tuple[str, ...] = ()) -> tuple[Blueprint, ...]:
    """Return the first `num` different blueprints: random ones, or people's, and then mutations of those.

    What any of the `tasks` refuses is left out.
    """
    rng = random.Random(f"{SAMPLE_SEED} {kind}")
    found: dict[str, Blueprint] = {}
    for tokens in _random_programs(rng) if kind == "random" else _designs(rng):
        blueprint = parse(tokens, LOOP_LANGUAGE)
        if is_examined(blueprint, tasks):
            found.setdefault(blueprint.id, blueprint)
        if len(found) == num:
            break
    return tuple(found.values())


def _random_programs(rng: random.Random) -> Iterator[Sequence[str]]:
    while True:
        yield draw_program(rng, LOOP_LANGUAGE)


def _designs(rng: random.Random) -> Iterator[Sequence[str]]:
    parents = [human.tokens for human in HUMAN_BLUEPRINTS if is_legal(human.tokens)]
    rng.shuffle(parents)
    yield from parents
    while True:
        tokens = rng.choice(parents)
        for _ in range(rng.randint(1, MAX_MUTATIONS)):
            tokens = mutate(tokens, rng, LOOP_LANGUAGE)
        yield tokens


def is_examined(blueprint: Blueprint, tasks: Sequence[str]) -> bool:
    """Say whether each of the named tasks examines a blueprint."""
    return not any(refusal(blueprint.graph, HEADS[task_named(name).head]) for name in tasks)


def is_legal(tokens: Sequence[str]) -> bool:
    """Say whether `tokens` are a program of the default run's language."""
    try:
        parse(tokens, LOOP_LANGUAGE)
    except BlueprintError:
        return False
    return True


def cost(setting: Setting, task: Task, share: float = 1.0) -> float:
    """Return the FLOPs of one training and its exams as a multiple of the default one's.

    A training step counts three forward passes; `share` of the steps are taken. A wider host weighs as it
    does for the random sample.
    """
    return _passes(setting.of(task), share) / _passes(DEFAULT.of(task), 1.0) * _width_factor(setting.width)


def _passes(task: Task, share: float) -> float:
    """Return the steps in time that all forward passes of one training take."""
    train, *exams = task.splits(0).by_name.values()
    examined = sum(split.inputs.shape[0] * split.inputs.shape[1] for split in exams)
    return 3 * share * task.num_steps * task.batch_size * train.inputs.shape[1] + examined


@cache
def _width_factor(width: int) -> float:
    blueprints = draw_sample("random", NUM_WEIGHED)
    total, base = (
        sum(flops(b.graph, w, 16, LOOP_LANGUAGE) for b in blueprints) for w in (width, DEFAULT.width)
    )
    return total / base
