"""What novelty's two levels mean: who is told apart by structure and by function, and how fast.

    python benchmarks/novelty.py --json docs/figures/novelty.json --figure docs/figures/novelty.png

Function: human and random blueprints are trained on three tasks from several seeds. A good measure calls one
blueprint across two seeds more alike than two blueprints: the area under that ROC curve, with the 95 %
interval of a bootstrap over blueprints. `cka` and `rsa` are of plain fingerprints, `cka_emphasised` and
`rsa_emphasised` of those that redundancy compares, `together` their mean over tasks: from one seed each, and
with the fingerprints of several seeds side by side. Structure: near-misses of language_identity.py, where
networkx says who is isomorphic. It judges no search.
"""

# ruff: noqa: E402

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations, islice
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import networkx as nx
import numpy as np
import torch
from language_identity import LABELS, pairs
from novelty_figure import draw
from preflight import check

from blueprints import HUMAN_BLUEPRINTS, Blueprint, canonical_form, mutate, parse, random_program
from crucible import Crucible
from crucible.heads import refusal
from curricula.heads import HEADS
from curricula.suites import task_named
from curricula.task import Task
from hall_of_fame.similarity import alike, cka, emphasised, rsa
from hall_of_fame.structure import features, similarity

TASKS = ("xor", "temporal", "markov_once")
#: Two ways to write one family of functions: exactly equal, or equal for some weights of either.
EQUAL_PAIRS = (
    (
        "LINEAR OUT_DIM_DOUBLE RELU LINEAR OUT_DIM_IN",
        "LINEAR OUT_DIM_DOUBLE LINEAR OUT_DIM_DOUBLE RELU LINEAR OUT_DIM_IN",
    ),
    ("LINEAR OUT_DIM_IN SIN", "LINEAR OUT_DIM_IN LINEAR OUT_DIM_IN SIN"),
    ("GRU", "LINEAR OUT_DIM_IN GRU"),
    ("CONV1D KERNEL_3 CHANNELS_IN GELU", "CONV1D KERNEL_3 CHANNELS_IN LINEAR OUT_DIM_IN GELU"),
    ("CONV1D KERNEL_3 CHANNELS_IN GELU", "LINEAR OUT_DIM_IN CONV1D KERNEL_3 CHANNELS_IN GELU"),
    ("LINEAR OUT_DIM_IN TANH", "RES_START LINEAR OUT_DIM_IN RES_END TANH"),
    ("LINEAR OUT_DIM_IN TANH", "LINEAR OUT_DIM_IN SCALE TANH"),
    ("GRU LINEAR OUT_DIM_IN", "GRU LINEAR OUT_DIM_DOUBLE LINEAR OUT_DIM_IN"),
    (
        "BRANCH_START TANH BRANCH_SEP ABS MERGE_CONCAT LINEAR OUT_DIM_IN",
        "BRANCH_START TANH LINEAR OUT_DIM_IN BRANCH_SEP ABS LINEAR OUT_DIM_IN MERGE_ADD",
    ),
    ("SHIFT RELU LINEAR OUT_DIM_IN", "RELU SHIFT LINEAR OUT_DIM_IN"),
)
BOOTSTRAPS = 200
#: Points of a curve in the document.
POINTS = 101


def main() -> int:
    """Measure, print, write what is asked for; return 1 when structural identity erred."""
    options = _options()
    for out in (options.json, options.figure):
        check("cpu", out)
    document = {"structure": structure(options.pairs), "times": times()}
    document["function"] = function(options.num, options.seeds)
    print(json.dumps(_without_curves(document), indent=1))
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if options.figure:
        draw(document, options.figure)
    identity = document["structure"]["canonical_id"]
    return 0 if identity["precision"] == identity["recall"] == 1.0 else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num", type=int, default=80, help="blueprints to train (default 80)")
    parser.add_argument("--seeds", type=int, default=4, help="seeds of each, at least 4 (default 4)")
    parser.add_argument("--pairs", type=int, default=10_000, help="pairs of near-misses (default 10,000)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="where to write the document")
    parser.add_argument("--figure", type=Path, metavar="OUT", help="where to draw it")
    options = parser.parse_args()
    for name, least in (("num", 8), ("seeds", 4), ("pairs", 1)):
        if getattr(options, name) < least:
            parser.error(f"--{name} must be at least {least}, got {getattr(options, name)}")
    return options


def structure(num: int) -> dict[str, Any]:
    """Return precision and recall of canonical ids, and of structural similarity 1, on planted isomorphs."""
    truth, by_id, alike_ = [], [], []
    for a, b in islice(pairs(random.Random(0)), num):
        truth.append(nx.is_isomorphic(a.form, b.form, **LABELS))
        by_id.append(a.id == b.id)
        one, other = (features([canonical_form(member.written)]) for member in (a, b))
        alike_.append(similarity(one, other).item())
    isomorphic = np.array(truth)
    return {
        "pairs": num,
        "isomorphic": int(isomorphic.sum()),
        "canonical_id": _precision(np.array(by_id), isomorphic),
        "similarity_1": _precision(np.array(alike_) == 1, isomorphic),
        "near_misses_median": float(np.median(np.array(alike_)[~isomorphic])),
    }


def _precision(said: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    hits = float((said & truth).sum())
    return {"precision": hits / max(1, said.sum()), "recall": hits / max(1, truth.sum())}


def times(num: int = 1024, entries: int = 1000, probes: int = 256, width: int = 16) -> dict[str, Any]:
    """Return seconds of the processor and of the clock for `num` candidates against `entries` entries."""
    rng, generator = random.Random(0), torch.Generator().manual_seed(0)
    humans = [human.tokens for human in HUMAN_BLUEPRINTS]
    archive = [parse(mutate(rng.choice(humans), rng)).graph for _ in range(entries)]
    candidates = [parse(random_program(rng)).graph for _ in range(num)]
    new, old = (torch.randn(n, probes, width, generator=generator) for n in (num, entries))
    probe = torch.randn(probes, 16, 2, generator=generator)
    known = features(archive)
    found: dict[str, Any] = {"candidates": num, "entries": entries, "probes": probes, "width": width}
    own = features(candidates)
    works: dict[str, Callable[[], Any]] = {
        "structure_features": lambda: features(candidates),
        "structure_product": lambda: similarity(own, known),
        "emphasised": lambda: emphasised(new, probe, 2),
        "cka": lambda: cka(new, old),
        "rsa": lambda: rsa(new, old),
    }
    for name, work in works.items():
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        found[name] = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    return {**found, "threads": torch.get_num_threads()}


def function(num: int, seeds: int) -> dict[str, Any]:
    """Return, for each task and all together, what tells one blueprint across seeds from two blueprints."""
    tasks = [task_named(name) for name in TASKS]
    sample = draw_sample(num)
    with Crucible(max_seconds=30) as crucible:
        prints = [fingerprints(crucible, sample, task, seeds) for task in tasks]
        blank = [fingerprints(crucible, sample, untrained(task), seeds) for task in tasks]
        twins = [fingerprints(crucible, _written(EQUAL_PAIRS), task, seeds) for task in tasks]
    document: dict[str, Any] = {"num": num, "seeds": seeds, "tasks": {}}
    for task, of_task, of_blank, of_twins in zip(tasks, prints, blank, twins, strict=True):
        shown = [x.view(-1, seeds, *x.shape[1:]) for x in (of_task, of_blank, of_twins)]
        document["tasks"][task.name] = on_task(task, *shown)
        print(f"{task.name}: {document['tasks'][task.name]['auc']}", flush=True)
    made = [of_task.view(num, seeds, *of_task.shape[1:]) for of_task in prints]
    made = [emphasis(task, x) for task, x in zip(tasks, made, strict=True)]
    together = across_seeds(lambda a, b: alike([x[:, a] for x in made], [x[:, b] for x in made]), seeds)
    document["together"] = {"auc": {"one_seed": auc_interval(together)}, **curve(together)}
    half = seeds // 2
    double = [torch.cat([x[:, i] for i in range(half)], dim=2) for x in made]
    rest = [torch.cat([x[:, half + i] for i in range(half)], dim=2) for x in made]
    document["together"]["auc"][f"{half}_seeds"] = auc_interval([alike(double, rest).numpy()])
    document["structure_and_function"] = foretold(sample, together)
    return document


def on_task(task: Task, prints: torch.Tensor, blank: torch.Tensor, twins: torch.Tensor) -> dict[str, Any]:
    """Return the areas under the curve of every measure, and the distributions of the one in use."""
    num_pairs, seeds = len(EQUAL_PAIRS), prints.shape[1]
    strong, untrained_, written = (emphasis(task, x) for x in (prints, blank, twins))
    measured = {
        f"{measure.__name__}{suffix}": across_seeds(lambda a, b, m=measure, x=x: m(x[:, a], x[:, b]), seeds)
        for suffix, x in (("", prints), ("_emphasised", strong))
        for measure in (cka, rsa)
    }
    used = measured["cka_emphasised"]
    equal = across_seeds(lambda a, b: cka(written[:num_pairs, a], written[num_pairs:, b]), seeds)
    before = across_seeds(lambda a, b: cka(untrained_[:, a], untrained_[:, b]), seeds)
    noise = torch.randn(strong.shape, generator=torch.Generator().manual_seed(0))
    independent = across_seeds(lambda a, b: cka(noise[:, a], noise[:, b]), seeds)
    return {
        "auc": {name: auc_interval(values) for name, values in measured.items()},
        "trained": int(torch.isfinite(prints).all(dim=3).all(dim=2).sum()),
        "same": quantiles(same(used)),
        "different": quantiles(different(used)),
        "equal_written_differently": quantiles(same(equal)),
        "auc_equal_against_different": auc(same(equal), different(used)),
        "untrained_same": quantiles(same(before)),
        "untrained_different": quantiles(different(before)),
        "independent": quantiles(different(independent)),
        "invariance": invariance(task, prints[:, 0]),
        **curve(used),
    }


def invariance(task: Task, x: torch.Tensor) -> dict[str, float]:
    """Return by how much, at most, permuted channels, and a change of scale, move a similarity."""
    x = x[torch.isfinite(x).all(dim=2).all(dim=1)]
    order = torch.randperm(x.shape[2], generator=torch.Generator().manual_seed(0))
    expected = cka(*(emphasised(x, task.probe(), task.input_width) for _ in range(2)))
    changes = {"permuted": x[:, :, order], "times_1000": 1000 * x, "over_1000": x / 1000}
    return {
        name: (cka(*(emphasised(y, task.probe(), task.input_width) for y in (z, x))) - expected)
        .abs()
        .max()
        .item()
        for name, z in changes.items()
    }


def foretold(sample: Sequence[Blueprint], together: Sequence[np.ndarray]) -> dict[str, float]:
    """Return how well structure foretells function over pairs of different blueprints (Spearman)."""
    found = features([blueprint.graph for blueprint in sample])
    above = np.triu_indices(len(sample), 1)
    built, acts = similarity(found, found)[above], np.mean(together, axis=0)[above]
    nearest = built >= np.quantile(built, 0.99)
    return {
        "spearman": float(np.corrcoef(_ranks(built), _ranks(acts))[0, 1]),
        "function_of_nearest_percent": float(acts[nearest].mean()),
        "function_of_all": float(acts.mean()),
    }


# -- sample and trainings ------------------------------------------------------------------------------------


def draw_sample(num: int) -> list[Blueprint]:
    """Return distinct blueprints, half of them human ones, half random, all of them causal at every step."""
    rng = random.Random(11)
    humans = [human.tokens for human in rng.sample(HUMAN_BLUEPRINTS, len(HUMAN_BLUEPRINTS))]
    found: dict[str, Blueprint] = {}
    while len(found) < num:
        tokens = (
            humans.pop() if humans and len(found) < num // 2 else random_program(rng, min_ops=2, max_ops=10)
        )
        blueprint = parse(tokens)
        if not refusal(blueprint.graph, HEADS["step_likelihood"]):
            found.setdefault(blueprint.id, blueprint)
    return list(found.values())


def untrained(task: Task) -> Task:
    """Return the task with steps that change nothing."""
    return replace(task, learning_rate=1e-12, epochs=1)


def fingerprints(crucible: Crucible, sample: Sequence[Blueprint], task: Task, seeds: int) -> torch.Tensor:
    """Return `[blueprints * seeds, P, D]`, blueprints outermost; NaN where a training failed."""
    nothing = np.full((len(task.probe()), crucible.width), np.nan, np.float32)
    found = crucible.evaluate(sample, [task], range(seeds), fingerprints=True)
    prints = [r.fingerprint for evaluation in found for r in evaluation.results]
    return torch.from_numpy(np.stack([nothing if x is None else x for x in prints]))


def _written(couples: Sequence[tuple[str, str]]) -> list[Blueprint]:
    return [parse(couple[side].split()) for side in (0, 1) for couple in couples]


# -- curves --------------------------------------------------------------------------------------------------


def emphasis(task: Task, x_NSPD: torch.Tensor) -> torch.Tensor:
    """Return `[N, S, P, D]` as redundancy compares them."""
    return emphasised(x_NSPD.flatten(0, 1), task.probe(), task.input_width).view_as(x_NSPD)


def across_seeds(measure: Callable[[int, int], torch.Tensor], seeds: int) -> list[np.ndarray]:
    """Return a matrix of similarities for each two seeds."""
    return [measure(a, b).numpy() for a, b in combinations(range(seeds), 2)]


def same(matrices: Sequence[np.ndarray]) -> np.ndarray:
    """Return the similarities of each blueprint to itself from another seed."""
    return np.concatenate([np.diagonal(matrix) for matrix in matrices])


def different(matrices: Sequence[np.ndarray]) -> np.ndarray:
    """Return the similarities of different blueprints from different seeds."""
    return np.concatenate([matrix[~np.eye(len(matrix), dtype=bool)] for matrix in matrices])


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return how often a positive is above a negative; a tie counts half."""
    negative = np.sort(negative)
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.mean() / 2 / len(negative))


def auc_interval(matrices: Sequence[np.ndarray]) -> dict[str, float]:
    """Return the area and its 95 % interval over blueprints drawn with replacement."""
    rng = np.random.default_rng(0)
    num = len(matrices[0])
    values = []
    for _ in range(BOOTSTRAPS):
        drawn = rng.integers(num, size=num)
        is_same = drawn[:, None] == drawn[None]
        parts = [matrix[np.ix_(drawn, drawn)] for matrix in matrices]
        negative = np.concatenate([part[~is_same] for part in parts])
        values.append(auc(np.concatenate([np.diagonal(part) for part in parts]), negative))
    low, high = np.quantile(values, (0.025, 0.975))
    return {"value": auc(same(matrices), different(matrices)), "low": float(low), "high": float(high)}


def curve(matrices: Sequence[np.ndarray]) -> dict[str, list[float]]:
    """Return the ROC curve at quantiles of the negatives, and the quantiles of both sides."""
    positive, negative = same(matrices), different(matrices)
    grid = np.linspace(0, 1, POINTS)
    thresholds = np.quantile(negative, 1 - grid)
    return {
        "false_positive_rate": [float((negative > t).mean()) for t in thresholds] + [1.0],
        "true_positive_rate": [float((positive > t).mean()) for t in thresholds] + [1.0],
        "curve_same": np.quantile(positive, grid).tolist(),
        "curve_different": np.quantile(negative, grid).tolist(),
    }


def quantiles(values: np.ndarray) -> dict[str, float]:
    """Return the tenth, the middle and the ninetieth percentile."""
    return dict(zip(("q10", "q50", "q90"), np.quantile(values, (0.1, 0.5, 0.9)).tolist(), strict=True))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks, ties at their mean."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def _without_curves(document: Any) -> Any:
    if not isinstance(document, dict):
        return document
    return {k: _without_curves(v) for k, v in document.items() if not isinstance(v, list)}


if __name__ == "__main__":
    sys.exit(main())
