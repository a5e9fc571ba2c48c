"""What novelty's two levels mean: who is told apart by structure and by function, and how fast.

    python benchmarks/novelty.py --json docs/figures/novelty.json --figure docs/figures/novelty.png

Function: human and random blueprints are trained on three tasks from several seeds. A good measure calls one
blueprint across two seeds more alike than two blueprints: the area under that ROC curve, with the 95 %
interval of a bootstrap over blueprints. `cka` and `rsa` are of plain fingerprints, `cka_emphasised` and
`rsa_emphasised` of those that redundancy compares, `likeness` of their traits, as the library's entrants are
compared. `together` is over three tasks, from one seed each and from the mean of several. No blueprint here
was seen by benchmarks/novelty_fit.py, and of `delayed_xor` not even the task. Structure: near-misses of
language_identity.py, where networkx says who is isomorphic. It judges no search.
"""

# ruff: noqa: E402

import argparse
import json
import random
import sys
from collections.abc import Callable, Mapping, Sequence
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
from novelty_sample import NUM_JUDGED, TASKS, draw_sample, fingerprints
from novelty_times import times
from preflight import check

from blueprints import Blueprint, canonical_form, parse
from crucible import Crucible
from curricula.suites import DEFAULT_SUITE, suite_named, task_named
from curricula.task import Task
from hall_of_fame.similarity import alike, cka, emphasised, rsa
from hall_of_fame.structure import features, similarity
from hall_of_fame.traits import likeness, traits

#: A task of which benchmarks/novelty_fit.py saw nothing.
UNSEEN_TASK = "delayed_xor"
#: Likenesses at which it is counted who is called the same.
THRESHOLDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.82, 0.85)
#: Pairs of blueprints that the document names.
NUM_CONFUSED = 10
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
    parser.add_argument(
        "--num", type=int, default=NUM_JUDGED, help=f"blueprints to train (default {NUM_JUDGED})"
    )
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


def function(num: int, seeds: int) -> dict[str, Any]:
    """Return, for each task and all together, what tells one blueprint across seeds from two blueprints."""
    sample = draw_sample(num)
    document: dict[str, Any] = {"num": num, "seeds": seeds, "tasks": {}}
    strong, marked = {}, {}
    with Crucible(max_seconds=30) as crucible:
        for task in map(task_named, (*TASKS, UNSEEN_TASK)):
            shown = [
                fingerprints(crucible, of, task_, seeds).unflatten(0, (-1, seeds))
                for of, task_ in (
                    (sample, task),
                    (sample, untrained(task)),
                    (_written(EQUAL_PAIRS), task),
                )
            ]
            document["tasks"][task.name] = on_task(task, *shown)
            strong[task.name], marked[task.name] = emphasis(task, shown[0]), traits_of(task, shown[0])
            print(f"{task.name}: {document['tasks'][task.name]['auc']}", flush=True)
    made = [strong[name] for name in TASKS]
    outputs = across_seeds(lambda a, b: alike([x[:, a] for x in made], [x[:, b] for x in made]), seeds)
    document["together"] = together(sample, [marked[name] for name in TASKS])
    document["together"]["auc"]["cka_emphasised"] = auc_interval(outputs)
    suite = [marked[name] for name in suite_named(DEFAULT_SUITE) if name in marked]
    document["suite"] = together(sample, suite)
    document["structure_and_function"] = foretold(sample, outputs)
    return document


def together(sample: Sequence[Blueprint], marked: Sequence[torch.Tensor]) -> dict[str, Any]:
    """Return what the traits `[N, S, F]` of several tasks tell, from one seed each and from half of them."""
    num_seeds = marked[0].shape[1]
    one = across_seeds(lambda a, b: likeness([x[:, a] for x in marked], [x[:, b] for x in marked]), num_seeds)
    several = []
    for first in combinations(range(num_seeds), num_seeds // 2):
        if 0 in first:
            rest = [seed for seed in range(num_seeds) if seed not in first]
            sides = ([x[:, list(side)].nanmean(dim=1) for x in marked] for side in (first, rest))
            several.append(likeness(*sides).numpy())
    return {
        "auc": {"one_seed": auc_interval(one), f"{num_seeds // 2}_seeds": auc_interval(several)},
        "same": quantiles(same(one)),
        "different": quantiles(different(one)),
        "called_same": {
            name: [
                {
                    "threshold": threshold,
                    "different": float((different(values) >= threshold).mean()),
                    "same": float((same(values) >= threshold).mean()),
                }
                for threshold in THRESHOLDS
            ]
            for name, values in (("one_seed", one), (f"{num_seeds // 2}_seeds", several))
        },
        "confused": confused(sample, several),
        **curve(one),
    }


def confused(sample: Sequence[Blueprint], matrices: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    """Return the different blueprints that are most alike on average."""
    mean = np.mean([(matrix + matrix.T) / 2 for matrix in matrices], axis=0)
    rows, columns = np.triu_indices(len(sample), 1)
    order = np.argsort(-mean[rows, columns])[:NUM_CONFUSED]
    return [
        {
            "likeness": float(mean[row, column]),
            "one": " ".join(sample[row].tokens),
            "other": " ".join(sample[column].tokens),
        }
        for row, column in zip(rows[order], columns[order], strict=True)
    ]


def on_task(task: Task, prints: torch.Tensor, blank: torch.Tensor, twins: torch.Tensor) -> dict[str, Any]:
    """Return the areas under the curve of every measure, and the distributions of the two in use."""
    seeds = prints.shape[1]
    strong, marked = emphasis(task, prints), traits_of(task, prints)
    measured = {
        f"{measure.__name__}{suffix}": across_seeds(lambda a, b, m=measure, x=x: m(x[:, a], x[:, b]), seeds)
        for suffix, x in (("", prints), ("_emphasised", strong))
        for measure in (cka, rsa)
    }
    measured["likeness"] = across_seeds(lambda a, b: likeness([marked[:, a]], [marked[:, b]]), seeds)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(strong.shape, generator=generator)
    made = {"used": prints, "before": blank, "twins": twins, "noise": noise}
    outputs = {name: noise if name == "noise" else emphasis(task, x) for name, x in made.items()}
    kinds = {name: traits_of(task, x) for name, x in made.items()}
    return {
        "auc": {name: auc_interval(values) for name, values in measured.items()},
        "trained": int(torch.isfinite(prints).all(dim=3).all(dim=2).sum()),
        "cka": distributions(cka, outputs),
        "likeness": distributions(lambda x, y: likeness([x], [y]), kinds),
        "invariance": invariance(task, prints[:, 0]),
        **curve(measured["likeness"]),
    }


def distributions(
    measure: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], made: Mapping[str, torch.Tensor]
) -> dict[str, Any]:
    """Return how alike a measure finds the same, different, untrained and equal ones, and noise."""
    num_pairs, seeds = len(EQUAL_PAIRS), made["used"].shape[1]
    used, before, noise = (
        across_seeds(lambda a, b, x=made[name]: measure(x[:, a], x[:, b]), seeds)
        for name in ("used", "before", "noise")
    )
    twins = made["twins"]
    equal = across_seeds(lambda a, b: measure(twins[:num_pairs, a], twins[num_pairs:, b]), seeds)
    return {
        "same": quantiles(same(used)),
        "different": quantiles(different(used)),
        "equal_written_differently": quantiles(same(equal)),
        "auc_equal_against_different": auc(same(equal), different(used)),
        "untrained_same": quantiles(same(before)),
        "untrained_different": quantiles(different(before)),
        "independent": quantiles(different(noise)),
    }


def invariance(task: Task, x: torch.Tensor) -> dict[str, dict[str, float]]:
    """Return by how much, at most, permuted channels, and a change of scale, move CKA and likeness."""
    x = x[torch.isfinite(x).all(dim=2).all(dim=1)]
    order = torch.randperm(x.shape[2], generator=torch.Generator().manual_seed(0))
    changes = {"permuted": x[:, :, order], "times_1000": 1000 * x, "over_1000": x / 1000}

    def both(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = (emphasised(y, task.probe(), task.input_width) for y in (z, x))
        kinds = (traits(y, task.probe(), task.input_width) for y in (z, x))
        return cka(*outputs), likeness(*([kind] for kind in kinds))

    expected = both(x)
    return {
        name: {
            measure: (found - true).abs().max().item()
            for measure, found, true in zip(("cka", "likeness"), both(z), expected, strict=True)
        }
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


def untrained(task: Task) -> Task:
    """Return the task with steps that change nothing."""
    return replace(task, learning_rate=1e-12, epochs=1)


def _written(couples: Sequence[tuple[str, str]]) -> list[Blueprint]:
    return [parse(couple[side].split()) for side in (0, 1) for couple in couples]


# -- curves --------------------------------------------------------------------------------------------------


def emphasis(task: Task, x_NSPD: torch.Tensor) -> torch.Tensor:
    """Return `[N, S, P, D]` as redundancy compares them."""
    return emphasised(x_NSPD.flatten(0, 1), task.probe(), task.input_width).view_as(x_NSPD)


def traits_of(task: Task, x_NSPD: torch.Tensor) -> torch.Tensor:
    """Return `[N, S, F]`."""
    return traits(x_NSPD.flatten(0, 1), task.probe(), task.input_width).unflatten(0, x_NSPD.shape[:2])


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
