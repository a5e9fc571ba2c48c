"""What the fidelity benchmark trains: two samples, quick settings and long ones; trains nothing itself."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from blueprints import HUMAN_BLUEPRINTS, LANGUAGE, Blueprint, BlueprintError, Language, flops, mutate, parse
from blueprints import random_program as draw_program
from crucible.effort import FULL, RUNGS, STOP, Effort
from curricula.task import Task

#: The language of the default run, as `tamiyo.config.LanguageConfig` has it.
LOOP_LANGUAGE = Language(ops=LANGUAGE.ops, max_length=24, max_flops=LANGUAGE.max_flops)
SAMPLE_SEED = 20_261
MAX_MUTATIONS = 3
SAMPLES = ("random", "humans")
#: Blueprints of a sample by which the cost of a wider host is weighed.
NUM_WEIGHED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One way to train a blueprint.

    Attributes:
        width: D of the host.
        steps: optimiser steps, as a multiple of the task's own.
        learning_rate: of Adam.
        seeds: of the trainings.
        effort: what a training may be spared.
        is_printed: whether redundancy is measured on the representation of the task's probe set; else the
            held-out loss is, on the test split.
    """

    width: int = 16
    steps: float = 1.0
    learning_rate: float = 1e-2
    seeds: tuple[int, ...] = tuple(range(8))
    effort: Effort = FULL
    is_printed: bool = False

    @property
    def name(self) -> str:
        """What the lines on disk call it."""
        printed = " printed" if self.is_printed else ""
        return f"D{self.width} x{self.steps:g} lr{self.learning_rate:g}{self.effort.id}{printed}"

    def of(self, task: Task) -> Task:
        """Return `task` with these steps and learning rate; its name, and so its batches, stay."""
        return replace(task, epochs=max(1, round(task.epochs * self.steps)), learning_rate=self.learning_rate)


DEFAULT = Setting()
#: What every table needs.
QUICK = (
    DEFAULT,
    *(Setting(steps=steps) for steps in (0.25, 0.5, 2.0)),
    Setting(seeds=(0, 1), is_printed=True),
)
FEW = (0, 1, 2, 3)
#: Further ways, compared where they are there. Rungs thin cohorts of what is trained together.
OTHERS = (
    *(Setting(learning_rate=rate, seeds=FEW) for rate in (3e-3, 5e-3, 3e-2)),
    Setting(steps=0.5, learning_rate=2e-2, seeds=FEW),
    Setting(width=32, seeds=FEW),
    *(Setting(steps=steps, effort=STOP, seeds=FEW) for steps in (1.0, 2.0)),
    Setting(steps=2.0, learning_rate=5e-3),
    Setting(steps=4.0, seeds=FEW),
    Setting(steps=4.0, learning_rate=3e-3, seeds=FEW),
    Setting(effort=RUNGS, seeds=FEW),
)
LONG = tuple(
    Setting(width=32, steps=5.0, learning_rate=rate, seeds=(100, 101, 102, 103), is_printed=True)
    for rate in (3e-3, 1e-2, 3e-2)
)


def draw_sample(kind: str, num: int) -> list[Blueprint]:
    """Return the first `num` different blueprints: random ones, or humans' with one to three mutations."""
    rng = random.Random(f"{SAMPLE_SEED} {kind}")
    parents = [human.tokens for human in HUMAN_BLUEPRINTS if is_legal(human.tokens)]
    found: dict[str, Blueprint] = {}
    while len(found) < num:
        if kind == "random":
            tokens = draw_program(rng, LOOP_LANGUAGE)
        else:
            tokens = rng.choice(parents)
            for _ in range(rng.randint(1, MAX_MUTATIONS)):
                tokens = mutate(tokens, rng, LOOP_LANGUAGE)
        blueprint = parse(tokens, LOOP_LANGUAGE)
        found.setdefault(blueprint.id, blueprint)
    return list(found.values())


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
    splits = task.splits(0)
    exams = sum(split.inputs.shape[0] * split.inputs.shape[1] for split in (splits.validation, splits.test))
    return 3 * share * task.num_steps * task.batch_size * splits.train.inputs.shape[1] + exams


@cache
def _width_factor(width: int) -> float:
    blueprints = draw_sample("random", NUM_WEIGHED)
    total, base = (
        sum(flops(b.graph, w, 16, LOOP_LANGUAGE) for b in blueprints) for w in (width, DEFAULT.width)
    )
    return total / base
