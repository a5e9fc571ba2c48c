"""Measures the time of novelty: many trained candidates beside many entries, in structure and in function."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch

from blueprints import HUMAN_BLUEPRINTS, Blueprint, mutate, parse, random_program
from crucible import Crucible
from curricula.suites import DEFAULT_SUITE, suite_named, task_named
from hall_of_fame.redundancy import nearest
from hall_of_fame.similarity import alike, emphasised, rsa
from hall_of_fame.structure import features, similarity

T = TypeVar("T")


def times(num: int = 1024, entries: int = 1000) -> dict[str, Any]:
    """Return seconds of the processor and of the clock for `num` candidates against `entries` entries.

    Fingerprints are of the tasks of the default suite, trained in full. `nearest` is what redundancy asks;
    `all_pairs` is what it would be to compare all of them, `greatest_error` how far apart the two are.
    """
    rng = random.Random(0)
    own = list(islice(_distinct(lambda: random_program(rng)), num))
    humans = [human.tokens for human in HUMAN_BLUEPRINTS]
    known = list(islice(_distinct(lambda: mutate(rng.choice(humans), rng)), entries))
    found: dict[str, Any] = {"candidates": num, "entries": entries, "tasks": list(suite_named(DEFAULT_SUITE))}

    def timed(name: str, work: Callable[[], T]) -> T:
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        found[name] = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
        return result

    entry_features = features([blueprint.graph for blueprint in known])
    own_features = timed("structure_features", lambda: features([blueprint.graph for blueprint in own]))
    timed("structure_product", lambda: similarity(own_features, entry_features))
    raw = _fingerprints([*own, *known], found["tasks"])
    strong = timed("emphasised", lambda: [_emphasised(name, x) for name, x in raw.items()])
    new, old = [x[:num] for x in strong], [x[num:] for x in strong]
    highest, found["share_compared"] = timed("nearest", lambda: nearest(new, old))
    exact = timed("all_pairs", lambda: alike(new, old)).amax(dim=1)
    found["greatest_error"] = (highest - exact).abs().max().item()
    timed("rsa_all_pairs", lambda: [rsa(x, y) for x, y in zip(new, old, strict=True)])
    return {**found, "threads": torch.get_num_threads()}


def _distinct(draw: Callable[[], Sequence[str]]) -> Iterator[Blueprint]:
    seen: set[str] = set()
    while True:
        blueprint = parse(draw())
        if blueprint.id not in seen:
            seen.add(blueprint.id)
            yield blueprint


def _fingerprints(blueprints: Sequence[Blueprint], names: Sequence[str]) -> dict[str, torch.Tensor]:
    """Return `[N, P, D]` by task, from one seed; NaN where a training failed."""
    found = {}
    with Crucible(max_seconds=30) as crucible:
        for task in map(task_named, names):
            nothing = np.full((len(task.probe()), crucible.width), np.nan, np.float32)
            evaluations = crucible.evaluate(blueprints, [task], [0], fingerprints=True)
            prints = [evaluation.results[0].fingerprint for evaluation in evaluations]
            found[task.name] = torch.from_numpy(np.stack([nothing if x is None else x for x in prints]))
    return found


def _emphasised(name: str, x_NPD: torch.Tensor) -> torch.Tensor:
    task = task_named(name)
    return emphasised(x_NPD, task.probe(), task.input_width)
