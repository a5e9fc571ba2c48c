"""Compares quick scores with long ones: tables, JSON and a picture; trains nothing, defines no score."""

import json
import math
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.fidelity_picture import draw
from benchmarks.fidelity_plan import (
    DEFAULT,
    LONG,
    LOOP_LANGUAGE,
    OTHERS,
    QUICK,
    SAMPLES,
    Setting,
    cost,
    draw_sample,
)
from benchmarks.fidelity_scores import CURRICULUM, DEFINITIONS, Exam, View, choices, exams, probability
from benchmarks.ranks import Estimate, against, in_order, kendall, retest
from benchmarks.reseeding import as_plain, replay
from benchmarks.reseeding import table as reseeding_table
from blueprints.cost import num_parameters
from crucible.effort import FULL
from crucible.reward import RewardBounds, RewardWeights, log_scale
from crucible.variance import split_variance
from curricula.suites import TASKS, task_named

#: Long accuracies between which a blueprint counts as neither at the floor nor saturated.
UNSATURATED = (0.60, 0.98)
#: Long accuracy from which a blueprint counts as saturated.
SATURATED = UNSATURATED[1]


def report(rows: Sequence[Mapping], head: Mapping[str, str], folder: Path, out: Path | None) -> int:
    """Print every table, write JSON and picture; return 1 when nothing is complete yet.

    `head` says which engine and language made the rows.
    """
    samples = [s for s in SAMPLES if any(row["sample"] == s for row in rows)]
    tasks = [t for t in TASKS if any(row["task"] == t for row in rows)]
    groups = [(s, (s,)) for s in samples] + ([("both", tuple(samples))] if len(samples) > 1 else [])
    document: dict[str, Any] = {**head, "machine": _machine(), "samples": {}}
    panels = {}
    for name, members in groups:
        found = exams(rows, members, tasks)
        if found:
            panels[name] = found
            document["samples"][name] = _sample(name, found)
    if not panels:
        print("no blueprint has all its trainings yet; call again without --report")
        return 1
    path = out or folder / "fidelity.json"
    path.write_text(json.dumps(_plain(document), indent=1) + "\n")
    picture = path.with_suffix(".png")
    draw(panels, document["samples"], picture)
    print(f"\npicture {picture}, numbers {path}")
    return 0


def _plain(value: Any) -> Any:
    """Return plain data with five decimals; an estimate as text, as in the tables; NaN as nothing."""
    if isinstance(value, Estimate):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "platform": platform.platform(),
    }


def _sample(name: str, found: Sequence[Exam]) -> dict[str, Any]:
    """Print the tables of one sample and return their figures."""
    print(f"\n# {name}\n\n## The default score\n")
    default = {exam.name: default_row(exam) for exam in found}
    print(_default_table(default))
    result: dict[str, Any] = {"default": default}
    print("\n## Terms of the reward\n")
    result["terms"] = {exam.name: terms(exam) for exam in found}
    print(_terms_table(result["terms"]))
    result["settings"], result["reseeding"] = {}, {}
    for exam in found:
        if name == "both" and len(exam.views) == 1:
            continue
        print(f"\n## Settings on {exam.name}\n")
        result["settings"][exam.name] = list(settings(exam))
        print(_settings_table(result["settings"][exam.name]))
    for exam in found:
        if len(exam.views) > 1 or exam.name in CURRICULUM:
            print(f"\n## Fresh seeds for the best on {exam.name}\n")
            played = replay(exam.quick(), exam.long())
            result["reseeding"][exam.name] = as_plain(played)
            print(reseeding_table(played))
    return result


# -- the default score ---------------------------------------------------------------------------------------


def default_row(exam: Exam) -> dict[str, Any]:
    """Return what the default score of one seed is worth on an exam."""
    quick_NS, long_N = exam.quick(), exam.long()
    fine_NS = exam.quick(definition=probability)
    split = split_variance(quick_NS.tolist())
    low, high = (2 * a - 1 for a in UNSATURATED)
    between_N = (long_N > low) & (long_N < high)
    halves = exam.long(slice(0, 2)), exam.long(slice(2, 4))
    return {
        "num": len(long_N),
        "spearman": against(quick_NS, long_N),
        "kendall": against(quick_NS, long_N, kendall),
        "in_order": against(quick_NS, long_N, in_order),
        "retest": retest(choices(quick_NS, 1)[1]),
        "retest_long": retest([halves]),
        "variance_within": split.within if split else None,
        "variance_between": split.between if split else None,
        "icc": split.icc if split else None,
        "share_saturated": float((long_N >= high).mean()),
        "share_floor": float((long_N <= low).mean()),
        "num_unsaturated": int(between_N.sum()),
        "spearman_unsaturated": against(quick_NS[between_N], long_N[between_N]),
        "spearman_unsaturated_fine": against(fine_NS[between_N], long_N[between_N]),
        "best_rates": [int(n) for n in _best_rates(exam)],
    }


def _best_rates(exam: Exam) -> np.ndarray:
    """Return how often each learning rate was the best of a long score, over the exam's tasks."""
    return np.sum([np.bincount(view.best_rates, minlength=len(LONG)) for view in exam.views], axis=0)


def _default_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        "| exam | n | Spearman to long | Kendall | clear pairs in order | test-retest | long halves "
        "| var. between | within | ICC | floor / saturated | unsaturated: n, Spearman "
        "| with right-class probability |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, r in rows.items():
        lines.append(
            f"| {name} | {r['num']} | {r['spearman']} | {r['kendall']} | {r['in_order']} | {r['retest']} "
            f"| {r['retest_long'].value:.3f} | {r['variance_between']:.5f} | {r['variance_within']:.5f} "
            f"| {r['icc']:.3f} | {r['share_floor']:.0%} / {r['share_saturated']:.0%} "
            f"| {r['num_unsaturated']}, {r['spearman_unsaturated']} | {r['spearman_unsaturated_fine']} |"
        )
    return "\n".join(lines)


# -- terms of the reward -------------------------------------------------------------------------------------


def terms(exam: Exam) -> dict[str, dict[str, Any]]:
    """Return, for each term, how well the quick one ranks the long one, and repeats on another seed.

    Latency comes from a table and is no property of a training. The total leaves latency and redundancy out.
    """
    quick = {"task": exam.quick(), "stability": _mean(exam, _stability)}
    long = {"task": exam.long(), "stability": _mean(exam, _long_stability)}
    parameters = [_parameters(exam.views[0], setting.width) for setting in (DEFAULT, LONG[0])]
    quick["redundancy"] = _mean(exam, _redundancy)
    long["redundancy"] = _mean(exam, _long_redundancy)
    quick["parameters"], long["parameters"] = parameters[0][:, None], parameters[1]
    weights = RewardWeights()
    quick["total"], long["total"] = (
        weights.task * found["task"] + weights.stability * found["stability"] - weights.parameters * cost_N
        for found, cost_N in ((quick, parameters[0][:, None]), (long, parameters[1]))
    )
    return {
        name: {
            "spearman": against(quick[name], long[name]),
            "retest": retest(choices(quick[name], 1)[1]) if quick[name].shape[1] > 1 else None,
            "spread_quick": float(quick[name].mean(1).std()),
        }
        for name in quick
    }


def _mean(exam: Exam, measure) -> np.ndarray:
    return np.mean([measure(view) for view in exam.views], axis=0)


def _stability(view: View) -> np.ndarray:
    return np.stack([_calm(view, DEFAULT, seed) for seed in DEFAULT.seeds], axis=1)


def _long_stability(view: View) -> np.ndarray:
    return _at_best_rate(view, _calm)


def _calm(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Return the stability term `[N]`, as `crucible.reward.stability` computes it."""
    restless = view.column(setting, seed, "loss_late_std") / RewardBounds().loss_late_std
    return np.nan_to_num((1 - view.column(setting, seed, "clipped_share")) * np.clip(1 - restless, 0, 1))


PRINTED = next(setting for setting in QUICK if setting.is_printed)


def _redundancy(view: View) -> np.ndarray:
    return np.stack([_similarity(view, PRINTED, seed) for seed in PRINTED.seeds], axis=1)


def _long_redundancy(view: View) -> np.ndarray:
    return _at_best_rate(view, _similarity)


def _similarity(view: View, setting: Setting, seed: int) -> np.ndarray:
    return np.nan_to_num(view.column(setting, seed, "redundancy"))


def _at_best_rate(view: View, measure) -> np.ndarray:
    means = np.array([np.mean([measure(view, s, seed) for seed in s.seeds], axis=0) for s in LONG])
    return means[view.best_rates, np.arange(len(view.ids))]


def _parameters(view: View, width: int) -> np.ndarray:
    known = {
        (sample, b.id): num_parameters(b.graph, width, LOOP_LANGUAGE)
        for sample in SAMPLES
        for b in _drawn(sample, len(view.ids))
    }
    return np.array([log_scale(known[key], RewardBounds().parameters) for key in view.ids])


@cache
def _drawn(sample: str, num: int):
    return draw_sample(sample, num)


def _terms_table(rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    lines = ["| exam | term | Spearman to long | test-retest | standard deviation |", "|---|---|---|---|---|"]
    for exam, found in rows.items():
        for name, r in found.items():
            lines.append(
                f"| {exam} | {name} | {r['spearman']} | {r['retest'] or '-'} | {r['spread_quick']:.4f} |"
            )
    return "\n".join(lines)


# -- settings ------------------------------------------------------------------------------------------------


def settings(exam: Exam) -> Iterator[dict[str, Any]]:
    """Yield one row a way to score, with its cost in FLOPs of the default one."""
    unprinted = [setting for setting in (*QUICK, *OTHERS) if not setting.is_printed]
    for setting in (s for s in unprinted if all(view.has(s) for view in exam.views)):
        for num in (1, 2, 4):
            yield _setting_row(exam, setting, "test accuracy", num)
    for num in (3, 4):
        yield _setting_row(exam, DEFAULT, "test accuracy", num, median=True)
    for definition in list(DEFINITIONS)[1:]:
        for num in (1, 2, 4):
            yield _setting_row(exam, DEFAULT, definition, num)
    for steps in (0.5, 2.0):
        yield _setting_row(exam, Setting(steps=steps), "right-class probability", 1)


def _setting_row(
    exam: Exam, setting: Setting, definition: str, num: int, *, median: bool = False
) -> dict[str, Any]:
    quick_NS = exam.quick(setting, DEFINITIONS[definition])
    column_NC, pairs = choices(quick_NS, num, median=median)
    weights = [_task_cost(view.task) for view in exam.views]
    factor = np.average([_cost(setting, view) for view in exam.views], weights=weights)
    return {
        "setting": setting.name,
        "score": definition,
        "seeds": f"median of {num}" if median else str(num),
        "cost": float(num * factor),
        "spearman": against(column_NC, exam.long()),
        "in_order": against(column_NC, exam.long(), in_order),
        "retest": retest(pairs) if pairs else None,
    }


def _cost(setting: Setting, view: View) -> float:
    """Return the cost on a task, weighed by the share of steps that were taken where some were spared."""
    task = task_named(view.task)
    if setting.effort == FULL:
        return cost(setting, task)
    taken = np.nanmean([view.column(setting, seed, "num_steps_taken") for seed in setting.seeds])
    return cost(setting, task, share=float(taken) / setting.of(task).num_steps)


@cache
def _task_cost(name: str) -> float:
    """Return the steps in time that one default training takes, by which tasks of a curriculum weigh."""
    task = task_named(name)
    return task.num_steps * task.batch_size * task.splits(0).train.inputs.shape[1]


def _settings_table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| setting | score | seeds | cost | Spearman to long | clear pairs in order | test-retest |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        lines.append(
            f"| {r['setting']} | {r['score']} | {r['seeds']} | {r['cost']:.2f} | {r['spearman']} "
            f"| {r['in_order']} | {r['retest'] or '-'} |"
        )
    return "\n".join(lines)
