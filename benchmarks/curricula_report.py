"""Compares tasks on the same blueprints: spread, repeatability, size, each other; trains and draws nothing.

Axes: N blueprints, S seeds, C tasks.

A blueprint counts on a task once it has a training from every seed there. Counted apart and left out are
those that the task refuses, since they are not causal or over a bound of the Crucible, and the blind, which
do not see what the task needs (`Task.needs`): it holds them at the floor by construction, however easy the
question is. One whose training failed has 0.
"""

import json
import math
import os
import platform
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from benchmarks.ranks import Estimate, against, retest, spearman
from blueprints import HUMAN_BLUEPRINTS, parse
from curricula.task import Task

#: Of the trainings of every blueprint on every task.
SEEDS = (0, 1)
#: Normalised scores under and over which a blueprint is at the floor or at the top of a task.
FLOOR, TOP = 0.05, 0.95
#: Least and most share at the floor, and the share at the top under which a task's difficulty is calibrated.
FLOOR_SHARES, TOP_SHARE = (0.10, 0.30), 0.20
#: Correlation, corrected for noise, from which two tasks count as one.
SAME = 0.90
#: Correlation with the number of parameters, of either sign, from which size rules a task.
RULED_BY_SIZE = 0.50
#: Fewest blueprints of which a correlation is told.
FEWEST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What one sample did on one task.

    Attributes:
        task: the task.
        scores: normalised scores, seed by seed, of the blueprints that count.
        blind: the same of those that are left out since they do not see what the task needs.
        parameters: number of parameters of either.
        num_not_causal: blueprints that the task refuses by the rule `not-causal`.
        num_too_large: blueprints over a bound of the Crucible.
        num_failed: blueprints that count and of which a training diverged, crashed or took too long.
        cpu_s: mean CPU seconds of one training.
    """

    task: Task
    scores: Mapping[str, tuple[float, ...]]
    blind: Mapping[str, tuple[float, ...]]
    parameters: Mapping[str, int]
    num_not_causal: int
    num_too_large: int
    num_failed: int
    cpu_s: float

    @property
    def by_seed(self) -> np.ndarray:
        """Return the scores that count, `[N, S]`."""
        return np.array(list(self.scores.values()), np.float64)

    @property
    def share_floor(self) -> float:
        """Share of the blueprints whose mean score is under 0.05."""
        return _share_floor(self.scores)

    @property
    def share_top(self) -> float:
        """Share of the blueprints whose mean score is over 0.95."""
        return float((self.by_seed.mean(1) > TOP).mean())

    @property
    def is_calibrated(self) -> bool:
        """Whether the task tells most blueprints apart and is hard for some, as tasks in a mean must."""
        return FLOOR_SHARES[0] <= self.share_floor <= FLOOR_SHARES[1] and self.share_top < TOP_SHARE


def report(rows: Sequence[Mapping], head: Mapping[str, str], tasks: Sequence[Task], path: Path) -> dict:
    """Print every table, write them as JSON to `path`, and return them."""
    columns = [found for task in tasks if (found := column(rows, task, "random"))]
    humans = [found for task in tasks if (found := column(rows, task, "humans"))]
    document = {
        **head,
        "machine": _machine(),
        "tasks": [spread(own) for own in columns],
        "pairs": pairs(columns),
        "mean": of_the_mean([own for own in columns if own.is_calibrated]),
        "humans": _humans(humans),
    }
    if columns:
        print(f"\n{_spread_table(document['tasks'])}\n\n{_pairs_table(document['pairs'])}")
        print(f"\n{_mean_line(document['mean'])}")
    else:
        print("no task has a blueprint with all its trainings yet; call again without --report")
    document = _plain(document)
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\nnumbers {path}")
    return document


def column(rows: Iterable[Mapping], task: Task, sample: str) -> Column | None:
    """Return what `sample` did on `task`; nothing where no blueprint with all its trainings counts."""
    own = [row for row in rows if row["task"] == task.name and row["sample"] == sample]
    by_blueprint = defaultdict(list)
    for row in sorted(own, key=lambda row: row["seed"]):
        by_blueprint[row["blueprint"]].append(row)
    complete = {id_: found for id_, found in by_blueprint.items() if len(found) == len(SEEDS)}
    reasons = [found[0]["reason"] for found in complete.values() if found[0]["status"] == "rejected"]
    taken = {id_: found for id_, found in complete.items() if found[0]["status"] != "rejected"}
    counted = {id_: found for id_, found in taken.items() if task.needs <= set(found[0]["sees"])}
    if not counted:
        return None
    num_not_causal = sum(reason.startswith("rule 'not-causal'") for reason in reasons)
    scores = {id_: _normalised(task, found) for id_, found in taken.items()}
    return Column(
        task=task,
        scores={id_: scores[id_] for id_ in counted},
        blind={id_: scores[id_] for id_ in taken.keys() - counted.keys()},
        parameters={id_: found[0]["parameters"] for id_, found in taken.items()},
        num_not_causal=num_not_causal,
        num_too_large=len(reasons) - num_not_causal,
        num_failed=sum(any(row["status"] != "ok" for row in found) for found in counted.values()),
        cpu_s=float(np.mean([row["cpu_s"] for found in taken.values() for row in found])),
    )


def spread(own: Column) -> dict[str, Any]:
    """Return one task's row: how its scores spread, whether they repeat, whether size decides them."""
    score_N = own.by_seed.mean(1)
    return {
        "task": own.task.name,
        "num": len(score_N),
        "num_not_causal": own.num_not_causal,
        "num_too_large": own.num_too_large,
        "num_blind": len(own.blind),
        "num_blind_floor": round(len(own.blind) * _share_floor(own.blind)),
        "num_failed": own.num_failed,
        "share_floor": own.share_floor,
        "share_floor_with_blind": _share_floor({**own.scores, **own.blind}),
        "share_top": own.share_top,
        "quartiles": np.quantile(score_N, (0.25, 0.5, 0.75)).tolist(),
        "std": float(score_N.std()),
        "retest": _retest(own.by_seed),
        "parameters": _with_parameters([own.parameters[id_] for id_ in own.scores], score_N),
        "cpu_s": own.cpu_s,
        "is_calibrated": own.is_calibrated,
        "scores": sorted(score_N.tolist()),
    }


def pairs(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Return a row for every two tasks, over the blueprints that count on both.

    `corrected` is what the correlation would be without noise: it is divided by the geometric mean of the two
    reliabilities, which follow from test-retest (Spearman 1904, 1910).
    """
    rows = []
    for a, b in combinations(columns, 2):
        shared = [id_ for id_ in a.scores if id_ in b.scores]
        if len(shared) < FEWEST:
            continue
        a_NS, b_NS = (np.array([own.scores[id_] for id_ in shared]) for own in (a, b))
        rho = float(spearman(a_NS.mean(1), b_NS.mean(1))[0])
        reliability = _reliability(a_NS) * _reliability(b_NS)
        corrected = float(np.clip(rho / math.sqrt(reliability), -1, 1)) if reliability > 0 else math.nan
        rows.append(
            {
                "tasks": [a.task.name, b.task.name],
                "num": len(shared),
                "spearman": rho,
                "corrected": corrected,
            }
        )
    return rows


def of_the_mean(columns: Sequence[Column]) -> dict[str, Any]:
    """Return what the mean over calibrated tasks is worth, over the blueprints that count on all."""
    shared = [id_ for id_ in columns[0].scores if all(id_ in c.scores for c in columns)] if columns else []
    names = [own.task.name for own in columns]
    if len(shared) < FEWEST:
        return {"tasks": names, "num": len(shared)}
    score_CNS = np.array([[own.scores[id_] for id_ in shared] for own in columns])
    mean_NS = score_CNS.mean(0)
    rest_CN = [np.delete(score_CNS, i, 0).mean((0, 2)) for i in range(len(columns))] if columns[1:] else []
    return {
        "tasks": names,
        "num": len(shared),
        "retest": _retest(mean_NS),
        "parameters": _with_parameters([columns[0].parameters[id_] for id_ in shared], mean_NS.mean(1)),
        "cpu_s": sum(own.cpu_s for own in columns),
        "with_the_rest": {
            name: float(spearman(score_NS.mean(1), rest_N)[0])
            for name, score_NS, rest_N in zip(names, score_CNS, rest_CN, strict=False)
        },
    }


def _retest(score_NS: np.ndarray) -> Estimate:
    return retest([(score_NS[:, i], score_NS[:, j]) for i, j in combinations(range(score_NS.shape[1]), 2)])


def _reliability(score_NS: np.ndarray) -> float:
    """Return the test-retest correlation that the mean over the seeds would have (Spearman-Brown)."""
    pairs_of_seeds = combinations(range(score_NS.shape[1]), 2)
    single = float(np.mean([spearman(score_NS[:, i], score_NS[:, j])[0] for i, j in pairs_of_seeds]))
    num = score_NS.shape[1]
    return num * single / (1 + (num - 1) * single)


def _with_parameters(parameters: Sequence[int], score_N: np.ndarray) -> Estimate:
    return against(score_N[:, None], np.array(parameters, np.float64))


def _normalised(task: Task, rows: Sequence[Mapping]) -> tuple[float, ...]:
    return tuple(task.normalised(row["score"]) if row["status"] == "ok" else 0.0 for row in rows)


def _share_floor(scores: Mapping[str, Sequence[float]]) -> float:
    return fmean(fmean(own) < FLOOR for own in scores.values()) if scores else 0.0


def _humans(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Return each human blueprint's mean score by task; a task is absent where it was refused."""
    rows, seen = [], set()
    for human in HUMAN_BLUEPRINTS:
        id_ = parse(human.tokens).id
        found = {own.task.name: {**own.scores, **own.blind}.get(id_) for own in columns}
        scores = {task: fmean(score_S) for task, score_S in found.items() if score_S is not None}
        if scores and id_ not in seen:
            rows.append({"name": human.name, "family": human.family, "scores": scores})
        seen.add(id_)
    return rows


def _spread_table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| task | blueprints | not causal | too large | blind, at the floor | failed | under 0.05 "
        "| with the blind | over 0.95 | quartiles | std | test-retest | with parameters | CPU s "
        "| calibrated |",
        "|---" * 15 + "|",
    ]
    for r in rows:
        quartiles = " ".join(f"{value:.2f}" for value in r["quartiles"])
        size = f"{r['parameters']}{' (size rules)' if _is_ruled(r['parameters']) else ''}"
        lines.append(
            f"| {r['task']} | {r['num']} | {r['num_not_causal']} | {r['num_too_large']} "
            f"| {r['num_blind']}, {r['num_blind_floor']} | {r['num_failed']} "
            f"| {r['share_floor']:.1%} | {r['share_floor_with_blind']:.1%} | {r['share_top']:.1%} "
            f"| {quartiles} | {r['std']:.2f} | {r['retest']} | {size} | {r['cpu_s']:.3f} | {verdict(r)} |"
        )
    return "\n".join(lines)


def verdict(row: Mapping[str, Any]) -> str:
    """Return whether a task's difficulty is calibrated, or what is amiss."""
    if row["is_calibrated"]:
        return "yes"
    amiss = []
    if row["share_floor"] < FLOOR_SHARES[0]:
        amiss.append("too few at the floor")
    if row["share_floor"] > FLOOR_SHARES[1]:
        amiss.append("too many at the floor")
    if row["share_top"] >= TOP_SHARE:
        amiss.append("too many at the top")
    return f"no: {', '.join(amiss)}"


def _is_ruled(found: Estimate) -> bool:
    return abs(found.value) >= RULED_BY_SIZE


def _pairs_table(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row["tasks"]))
    if not names:
        return "no two tasks share blueprints enough for a correlation"
    table = {(a, b): row for row in rows for a, b in (row["tasks"], reversed(row["tasks"]))}
    lines = [f"| Spearman | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for a in names:
        cells = [f"{table[a, b]['spearman']:.2f}" if (a, b) in table else "" for b in names]
        lines.append(f"| {a} | {' | '.join(cells)} |")
    same = [
        f"{' and '.join(r['tasks'])} ({r['corrected']:.2f} without noise, {r['spearman']:.2f} as measured)"
        for r in rows
        if r["corrected"] >= SAME
    ]
    return "\n".join([*lines, "", f"Two tasks that count as one: {'; '.join(same) or 'none'}."])


def _mean_line(found: Mapping[str, Any]) -> str:
    if "retest" not in found:
        return f"Mean over the calibrated tasks ({', '.join(found['tasks']) or 'none'}): too little to tell."
    rest = ", ".join(f"{name} {value:.2f}" for name, value in found["with_the_rest"].items())
    return (
        f"Mean over the calibrated tasks {', '.join(found['tasks'])}, {found['num']} blueprints that count "
        f"on all: test-retest {found['retest']}, with parameters {found['parameters']}, {found['cpu_s']:.2f} "
        f"CPU s a blueprint and seed. Each with the mean of the others: {rest or 'there are no others'}."
    )


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "platform": platform.platform(),
    }


def _plain(value: Any) -> Any:
    """Return plain data with five decimals; NaN as nothing."""
    if isinstance(value, Estimate):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value
