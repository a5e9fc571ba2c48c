"""The frozen samples that throughput is measured on; leaves measuring to the benchmarks."""

import random
from collections.abc import Iterator, Sequence

from blueprints import (
    CORE_LANGUAGE,
    HUMAN_BLUEPRINTS,
    Blueprint,
    Language,
    flops,
    mutate,
    parse,
    random_program,
)
from crucible.heads import refusal
from curricula.heads import HEADS
from curricula.task import Task

#: D of the host.
WIDTH = 16
SAMPLE_SEED = 20_240


def draw_sample(
    num: int, mix: str, language: Language = CORE_LANGUAGE, task: Task | None = None
) -> list[Blueprint]:
    """Return the frozen sample: random legal programs of 1 to 12 ops, or human blueprints and mutations.

    The random programs are of the core ops, which the yardsticks of other systems know, or of `language`.
    What `task` refuses is left out.
    """
    rng = random.Random(SAMPLE_SEED)
    found: list[Blueprint] = []
    for tokens in _random(rng, language) if mix == "random" else _human(rng):
        if len(found) == num:
            break
        blueprint = parse(tokens)
        if task is None or not refusal(blueprint.graph, HEADS[task.head]):
            found.append(blueprint)
    return found


def _random(rng: random.Random, language: Language) -> Iterator[Sequence[str]]:
    while True:
        yield random_program(rng, language, min_ops=1, max_ops=12)


def _human(rng: random.Random) -> Iterator[Sequence[str]]:
    programs = [tuple(entry.tokens) for entry in HUMAN_BLUEPRINTS]
    yield from programs
    while True:
        programs.append(mutate(rng.choice(programs), rng))
        yield programs[-1]


def one_of_each_stratum(sample: Sequence[Blueprint], task: Task, width: int, num: int) -> list[Blueprint]:
    """Return the middle blueprint of each of `num` strata of FLOPs, or all of a smaller sample."""
    costs = [flops(blueprint.graph, width, steps_of(task)) for blueprint in sample]
    order = sorted(range(len(sample)), key=costs.__getitem__)
    strata = min(num, len(sample))
    return [sample[order[int((i + 0.5) * len(sample) / strata)]] for i in range(strata)]


def steps_of(task: Task) -> int:
    """Return T of the training examples."""
    return task.splits(0).train.inputs.shape[1]
