"""The blueprints on which novelty is measured, and their trained representations; judges nothing."""

import random
from collections.abc import Collection, Sequence

import numpy as np
import torch

from blueprints import HUMAN_BLUEPRINTS, Blueprint, parse, random_program
from crucible import Crucible
from crucible.heads import refusal
from curricula.heads import HEADS
from curricula.task import Task

TASKS = ("xor", "temporal", "markov_once")
#: Blueprints on which benchmarks/novelty.py judges; nothing is fitted on any of them.
NUM_JUDGED = 80


def draw_sample(num: int, *, seed: int = 11, without: Collection[str] = ()) -> list[Blueprint]:
    """Return distinct blueprints, half of them human ones, half random, all of them causal at every step.

    Args:
        num: how many.
        seed: of the draw.
        without: ids of blueprints that are not drawn.
    """
    rng = random.Random(seed)
    humans = [human.tokens for human in rng.sample(HUMAN_BLUEPRINTS, len(HUMAN_BLUEPRINTS))]
    found: dict[str, Blueprint] = {}
    while len(found) < num:
        tokens = (
            humans.pop() if humans and len(found) < num // 2 else random_program(rng, min_ops=2, max_ops=10)
        )
        blueprint = parse(tokens)
        if blueprint.id not in without and not refusal(blueprint.graph, HEADS["step_likelihood"]):
            found.setdefault(blueprint.id, blueprint)
    return list(found.values())


def fingerprints(crucible: Crucible, sample: Sequence[Blueprint], task: Task, seeds: int) -> torch.Tensor:
    """Return `[blueprints * seeds, P, D]`, blueprints outermost; NaN where a training failed."""
    nothing = np.full((len(task.probe()), crucible.width), np.nan, np.float32)
    found = crucible.evaluate(sample, [task], range(seeds), fingerprints=True)
    prints = [r.fingerprint for evaluation in found for r in evaluation.results]
    return torch.from_numpy(np.stack([nothing if x is None else x for x in prints]))
