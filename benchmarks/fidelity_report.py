"""Compares quick scores with long ones: tables, JSON and a picture; trains nothing, defines no score."""

import json
import math
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.fidelity_picture import draw
from benchmarks.fidelity_plan import (
    DEFAULT,
    LONG,
    OTHERS,
    QUICK,
    SAMPLES,
    Setting,
    cost,
)
from benchmarks.fidelity_scores import DEFINITIONS, PROBABILITY, TEST_SCORE, Exam, View, choices, exams
from benchmarks.ranks import Estimate, against, beyond, in_order, kendall, retest
from benchmarks.reseeding import as_plain, replay
from benchmarks.reseeding import table as reseeding_table
from crucible.effort import FULL
from crucible.reward import RewardBounds, RewardWeights, log_scale
from crucible.variance import split_variance
from curricula.suites import task_named

#: Long scores, normalised, between which a blueprint counts as neither at the floor nor saturated.
UNSATURATED = (0.20, 0.96)
#: Seeds by which the default score is looked at, and those of every other way.
DEFAULT_SEEDS, OTHER_SEEDS = (1, 2, 4, 8), (1, 2, 4)
#: Most by which the costs of what is compared at equal cost may differ, as a share.
TOLERANCE = 0.2


def report(
    rows: Sequence[Mapping], head: Mapping[str, str], suites: Iterable[str], folder: Path, out: Path | None
) -> int:
    """Print every table, write JSON and picture; return 1 when nothing is complete yet.

    `head` says which engine and language made the rows.
    """
    samples = [s for s in SAMPLES if any(row["sample"] == s for row in rows)]
    groups = [(s, (s,)) for s in samples] + ([("both", tuple(samples))] if len(samples) > 1 else [])
    document: dict[str, Any] = {**head, "machine": _machine(), "suites": {}}
    panels: dict[str, dict[str, Exam]] = {}
    for suite in suites:
        found = {name: exams(rows, members, suite) for name, members in groups}
        found = {name: of_group for name, of_group in found.items() if of_group}
        if found:
            print(f"\n# {suite}")
            document["suites"][suite] = _suite(found)
            panels[suite] = {name: of_group[-1] for name, of_group in found.items()}
    if not panels:
        print("no blueprint has all its trainings yet; call again without --report")
        return 1
    path = out or folder / "fidelity.json"
    path.write_text(json.dumps(_plain(document), indent=1) + "\n")
    picture = path.with_suffix(".png")
    draw(panels, document["suites"], picture)
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


def _suite(found: Mapping[str, Sequence[Exam]]) -> dict[str, Any]:
    """Print the tables of one suite and return its figures."""
    whole = next(iter(found.values()))[-1]
    reasons = {name: whole.misfit(name) for name in DEFINITIONS}
    left_out = {name: reason for name, reason in reasons.items() if reason}
    for name, reason in left_out.items():
        print(f"\nleft out of {whole.name}: {name}; {reason}")
    samples = {name: _sample(name, of_group) for name, of_group in found.items()}
    return {"exam": whole.name, "left_out": left_out, "samples": samples}


def _sample(name: str, found: Sequence[Exam]) -> dict[str, Any]:
    """Print the tables of one sample, of which the last exam is the suite's, and return their figures."""
    print(f"\n## {name}\n\n### The default score of one seed\n")
    default = {exam.name: default_row(exam) for exam in found}
    print(_default_table(default))
    result: dict[str, Any] = {"default": default}
    print("\n### Terms of the reward\n")
    result["terms"] = {exam.name: terms(exam) for exam in found}
    print(_terms_table(result["terms"]))
    exam = found[-1]
    rows = list(settings(exam))
    print(f"\n### Settings on {exam.name}\n\n{_settings_table(rows)}")
    result["settings"], result["equal_cost"] = {exam.name: rows}, {exam.name: equal_cost(rows)}
    print(f"\n### Seeds on {exam.name}, against the best setting at equal cost\n")
    print(_equal_cost_table(result["equal_cost"][exam.name]))
    print(f"\n### Fresh seeds for the best on {exam.name}\n")
    played = replay(exam.quick(), exam.long())
    result["reseeding"] = {exam.name: as_plain(played)}
    print(reseeding_table(played))
    return result


# -- the default score ---------------------------------------------------------------------------------------


def default_row(exam: Exam) -> dict[str, Any]:
    """Return what the default score of one seed is worth on an exam."""
    quick_NS, long_N = exam.quick(), exam.long()
    fine_NS = None if exam.misfit(PROBABILITY) else exam.quick(definition=PROBABILITY)
    split = split_variance(quick_NS.tolist())
    low, high = UNSATURATED
    between_N = (long_N > low) & (long_N < high)
    half = len(LONG[0].seeds) // 2
    halves = exam.long(slice(0, half)), exam.long(slice(half, None))
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
        "spearman_unsaturated_fine": None
        if fine_NS is None
        else against(fine_NS[between_N], long_N[between_N]),
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
            f"| {r['retest_long'].value:.3f} "
            f"| {_number(r['variance_between'])} | {_number(r['variance_within'])} "
            f"| {_number(r['icc'])} | {r['share_floor']:.0%} / {r['share_saturated']:.0%} "
            f"| {r['num_unsaturated']}, {r['spearman_unsaturated']} "
            f"| {r['spearman_unsaturated_fine'] or '-'} |"
        )
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5f}"


# -- terms of the reward -------------------------------------------------------------------------------------


def terms(exam: Exam) -> dict[str, dict[str, Any]]:
    """Return, for each term, how well the quick one ranks the long one, and repeats on another seed.

    Latency comes from a table and is no property of a training, and redundancy is a matter of the library.
    The total leaves both out.
    """
    quick = {"task": exam.quick(), "stability": exam.mean([_stability(view) for view in exam.views])}
    long = {"task": exam.long(), "stability": exam.mean([_long_stability(view) for view in exam.views])}
    parameters = [_parameters(exam.views[0], setting) for setting in (DEFAULT, LONG[0])]
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


def _stability(view: View) -> np.ndarray:
    return np.stack([_calm(view, DEFAULT, seed) for seed in DEFAULT.seeds], axis=1)


def _long_stability(view: View) -> np.ndarray:
    return _at_best_rate(view, _calm)


def _calm(view: View, setting: Setting, seed: int) -> np.ndarray:
    """Return the stability term `[N]`, as `crucible.reward.stability` computes it."""
    restless = view.column(setting, seed, "loss_late_std") / RewardBounds().loss_late_std
    return np.nan_to_num((1 - view.column(setting, seed, "clipped_share")) * np.clip(1 - restless, 0, 1))


def _at_best_rate(view: View, measure) -> np.ndarray:
    means = np.array([np.mean([measure(view, s, seed) for seed in s.seeds], axis=0) for s in LONG])
    return means[view.best_rates, np.arange(len(view.ids))]


def _parameters(view: View, setting: Setting) -> np.ndarray:
    own = [view.rows[sample, setting.name, setting.seeds[0], id_]["parameters"] for sample, id_ in view.ids]
    return np.array([log_scale(number, RewardBounds().parameters) for number in own])


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
    """Yield one row a way to score, with its cost in FLOPs of the default one.

    Where it costs about as much as a number of default seeds, its correlation is compared with theirs.
    """
    baseline = {num: choices(exam.quick(), num)[0] for num in range(1, len(DEFAULT.seeds) + 1)}
    for setting in (*QUICK, *OTHERS):
        if not all(view.has(setting) for view in (*exam.views, *exam.gates)):
            continue
        for num in DEFAULT_SEEDS if setting == DEFAULT else OTHER_SEEDS:
            if num <= len(setting.seeds):
                yield _setting_row(exam, setting, TEST_SCORE, num, baseline)
    for num in (3, 4):
        yield _setting_row(exam, DEFAULT, TEST_SCORE, num, baseline, median=True)
    for definition in (name for name in DEFINITIONS if name != TEST_SCORE and not exam.misfit(name)):
        for num in OTHER_SEEDS:
            yield _setting_row(exam, DEFAULT, definition, num, baseline)
    if not exam.misfit(PROBABILITY):
        for steps in (0.5, 2.0):
            setting = next(s for s in QUICK if s.steps == steps)
            yield _setting_row(exam, setting, PROBABILITY, 1, baseline)


def _setting_row(
    exam: Exam,
    setting: Setting,
    definition: str,
    num: int,
    baseline: Mapping[int, np.ndarray],
    *,
    median: bool = False,
) -> dict[str, Any]:
    column_NC, pairs = choices(exam.quick(setting, definition), num, median=median)
    views = (*exam.views, *exam.gates)
    weights = [_task_cost(view.task) for view in views]
    price = float(num * np.average([_cost(setting, view) for view in views], weights=weights))
    is_default = setting == DEFAULT and definition == TEST_SCORE and not median
    as_dear = None if is_default else _seeds_as_dear(price, len(baseline))
    return {
        "setting": setting.name,
        "score": definition,
        "seeds": f"median of {num}" if median else str(num),
        "cost": price,
        "spearman": against(column_NC, exam.long()),
        "in_order": against(column_NC, exam.long(), in_order),
        "retest": retest(pairs) if pairs else None,
        "as_dear": as_dear,
        "beyond": None if as_dear is None else beyond(column_NC, baseline[as_dear], exam.long()),
    }


def _seeds_as_dear(price: float, most: int) -> int | None:
    """Return how many default seeds cost about `price`, or nothing."""
    num = min(max(1, round(price)), most)
    return num if abs(price / num - 1) <= TOLERANCE else None


def equal_cost(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the default score by number of seeds, each beside the best of what costs as much.

    The best of many is partly the luckiest: its interval takes no account of the choice.
    """
    found = []
    for row in rows:
        if row["setting"] == DEFAULT.name and row["score"] == TEST_SCORE and row["seeds"].isdigit():
            rivals = [r for r in rows if r["as_dear"] == int(row["seeds"])]
            rival = max(rivals, key=lambda r: r["spearman"].value, default=None)
            found.append(
                {
                    **{name: row[name] for name in ("seeds", "cost", "spearman", "in_order", "retest")},
                    "rival": None
                    if rival is None
                    else {name: rival[name] for name in ("setting", "score", "seeds", "cost", "beyond")},
                }
            )
    return found


def _equal_cost_table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| seeds | Spearman to long | clear pairs in order | test-retest | best of the others | beyond it |",
        "|---|---|---|---|---|---|",
    ]
    for r in rows:
        rival = r["rival"]
        other = "-" if rival is None else f"{rival['setting']}, {rival['score']}, seeds {rival['seeds']}"
        lines.append(
            f"| {r['seeds']} | {r['spearman']} | {r['in_order']} | {r['retest'] or '-'} | {other} "
            f"| {'-' if rival is None else rival['beyond']} |"
        )
    return "\n".join(lines)


def _cost(setting: Setting, view: View) -> float:
    """Return the cost on a task, weighed by the share of steps that were taken where some were spared."""
    task = task_named(view.task)
    if setting.effort == FULL:
        return cost(setting, task)
    taken = np.nanmean([view.column(setting, seed, "num_steps_taken") for seed in setting.seeds])
    return cost(setting, task, share=float(taken) / setting.of(task).num_steps)


@cache
def _task_cost(name: str) -> float:
    """Return the steps in time that one default training takes, by which tasks weigh in a suite."""
    task = task_named(name)
    return task.num_steps * task.batch_size * task.splits(0).train.inputs.shape[1]


def _settings_table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| setting | score | seeds | cost | Spearman to long | beyond default seeds as dear "
        "| clear pairs in order | test-retest |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        lines.append(
            f"| {r['setting']} | {r['score']} | {r['seeds']} | {r['cost']:.2f} | {r['spearman']} "
            f"| {r['beyond'] or '-'} | {r['in_order']} | {r['retest'] or '-'} |"
        )
    return "\n".join(lines)
