"""One generation as one line of numbers; says nothing of where the line goes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

import numpy as np

from crucible.evaluation import Evaluation
from crucible.variance import split_variance
from curricula.task import Task
from tamiyo.judging import Judgement, Tokens, Verdict


def generation_metrics(judgement: Judgement, tasks: Sequence[Task]) -> dict[str, Any]:
    """Return reward quantiles and terms, rates, scores and counts of one judged generation."""
    verdicts = judgement.verdicts
    valid = [v for v in verdicts if v.blueprint is not None]
    distinct = _distinct(valid)
    rewards = np.array([v.reward.total for v in verdicts])
    quantiles = {f"reward_q{int(100 * q)}": float(np.quantile(rewards, q)) for q in (0.1, 0.5, 0.9)}
    return {
        "evaluations": sum(len(evaluation.results) for evaluation in judgement.trained),
        "reward_mean": float(rewards.mean()),
        "reward_best": float(rewards.max()),
        **quantiles,
        "valid_rate": len(valid) / len(verdicts),
        "unique_rate": len(distinct) / len(valid) if valid else 0.0,
        "novel_rate": sum(v.is_novel for v in verdicts) / len(verdicts),
        "length_mean": fmean(len(v.tokens) for v in verdicts),
        "token_entropy": token_entropy([v.tokens for v in verdicts]),
        **_score_metrics([v.evaluation for v in distinct if v.evaluation], tasks),
        **_seed_metrics([v.evaluation for v in distinct if v.evaluation], tasks),
        **_reseed_metrics(judgement, distinct),
        **_term_metrics(valid),
        **_novelty_metrics(judgement, distinct),
        **_count_metrics(verdicts),
    }


def task_score(evaluation: Evaluation, task: Task) -> float:
    """Return the mean test score over the recorded seeds; a training that failed counts as 0."""
    return fmean(result.score for result in evaluation.results if result.task == task.name)


def num_solved(judgement: Judgement, *tasks: Task) -> tuple[int, ...]:
    """Return how many candidates are valid, and how many of them solve each of `tasks`."""
    evaluations = [v.evaluation for v in judgement.verdicts if v.evaluation is not None]
    solved = [sum(task_score(found, task) >= task.solved for found in evaluations) for task in tasks]
    return len(evaluations), *solved


def token_entropy(programs: Sequence[Tokens]) -> float:
    """Return the mean over positions of the entropy, in nats, of the token there among the programs.

    It is measured on the programs, so it exists for every strategy; a policy logs its own as `entropy`.
    """
    entropies = []
    for position in range(max((len(program) for program in programs), default=0)):
        counts = Counter(program[position] for program in programs if len(program) > position)
        share = np.array(list(counts.values())) / counts.total()
        entropies.append(float(-(share * np.log(share)).sum()))
    return fmean(entropies) if entropies else 0.0


def _distinct(valid: Sequence[Verdict]) -> list[Verdict]:
    """Return the first candidate of each isomorphism class."""
    first: dict[str, Verdict] = {}
    for verdict in valid:
        assert verdict.blueprint is not None
        first.setdefault(verdict.blueprint.id, verdict)
    return list(first.values())


def _score_metrics(distinct: Sequence[Evaluation], tasks: Sequence[Task]) -> dict[str, float]:
    metrics = {}
    for task in tasks:
        scores = [task_score(evaluation, task) for evaluation in distinct]
        if scores:
            metrics[f"score_{task.name}_mean"] = fmean(scores)
            metrics[f"score_{task.name}_best"] = max(scores)
            metrics[f"solved_{task.name}_rate"] = fmean(score >= task.solved for score in scores)
    return metrics


def _seed_metrics(distinct: Sequence[Evaluation], tasks: Sequence[Task]) -> dict[str, float]:
    """Return how far each task's scores differ between blueprints, and between seeds of one.

    Absent for a task on which no blueprint of the generation has two seeds yet.
    """
    metrics = {}
    for task in tasks:
        scores = [[r.score for r in evaluation.results if r.task == task.name] for evaluation in distinct]
        if (split := split_variance(scores)) is not None:
            metrics[f"variance_between_{task.name}"] = split.between
            metrics[f"variance_within_{task.name}"] = split.within
            metrics[f"icc_{task.name}"] = split.icc
    return metrics


def _reseed_metrics(judgement: Judgement, distinct: Sequence[Verdict]) -> dict[str, float]:
    """Return how many of the best got fresh seeds, and what their rewards lost by them on average."""
    drops = [
        judgement.reseeded[v.blueprint.id] - v.reward.total
        for v in distinct
        if v.blueprint is not None and v.blueprint.id in judgement.reseeded
    ]
    return {"num_reseeded": len(drops), **({"reseed_drop_mean": fmean(drops)} if drops else {})}


def _term_metrics(valid: Sequence[Verdict]) -> dict[str, float]:
    terms: list[Mapping[str, float]] = [asdict(v.reward.terms) for v in valid if v.reward.terms is not None]
    return {f"term_{name}_mean": fmean(row[name] for row in terms) for name in (terms[0] if terms else ())}


def _novelty_metrics(judgement: Judgement, distinct: Sequence[Verdict]) -> dict[str, float]:
    """Return the mean novelty, against the hall of fame, of the generation's distinct blueprints.

    In structure, 1 less the similarity to the nearest entry, absent while there is none; in function, 1 less
    the redundancy.
    """
    redundancies = [v.reward.terms.redundancy for v in distinct if v.reward.terms is not None]
    metrics = {"novelty_functional_mean": 1 - fmean(redundancies)} if redundancies else {}
    if judgement.likenesses:
        metrics["novelty_structural_mean"] = 1 - fmean(judgement.likenesses.values())
    return metrics


def _count_metrics(verdicts: Sequence[Verdict]) -> dict[str, int]:
    statuses = Counter(v.reward.status for v in verdicts)
    rules = Counter(v.rule for v in verdicts if v.rule)
    return {
        **{f"status_{name}": count for name, count in sorted(statuses.items())},
        **{f"rule_{name}": count for name, count in sorted(rules.items())},
    }
