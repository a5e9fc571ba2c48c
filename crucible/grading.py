"""From what exams measured to scores, and a graft's gain and harm; leaves exams to the engines."""

from collections.abc import Mapping
from typing import Any

from crucible.grafting import trained_host
from crucible.heads import LOSSES
from crucible.program import Program
from curricula.task import Splits

#: Most by which the loss on the old question may rise, relative to the host's.
MAX_RISE = 0.01


def score_on(name: str, program: Program, seed: int, splits: Splits, measure: float) -> float:
    """Return the score of a measure on the split of that name; NaN stays NaN.

    Of a graft it is the gain over the identity, no less than 0: the share of the host's loss that is gone.
    """
    if program.graft is None:
        return LOSSES[program.head.loss].score(measure, splits.by_name[name].targets)
    return max(gain(name, program, seed, measure), 0.0) if measure == measure else measure


def gain(name: str, program: Program, seed: int, measure: float) -> float:
    """Return which share of the trained host's loss on a split is gone, from -1 (doubled, or worse) to 1."""
    assert program.graft is not None, "there is no host to gain over"
    return max(1.0 - measure / trained_host(program.graft, seed, program.width).losses[name], -1.0)


def grades(program: Program, seed: int, splits: Splits, measures: Mapping[str, float]) -> dict[str, Any]:
    """Return the fields of a `TaskResult` that finite measures on all splits but the training one decide.

    A graft with which the old question's loss rises by more than `MAX_RISE` scores 0, and is told why.
    """
    scores = {name: score_on(name, program, seed, splits, measures[name]) for name in ("validation", "test")}
    found = {"score": scores["test"], "validation_score": scores["validation"]}
    if program.graft is None:
        return found
    rise = -gain("retention", program, seed, measures["retention"])
    found |= {"gain": gain("test", program, seed, measures["test"]), "retention_rise": rise}
    if rise > MAX_RISE:
        reason = f"the old question's loss rose by {rise:.2%}; at most {MAX_RISE:.0%} is allowed"
        found |= {"score": 0.0, "validation_score": 0.0, "reason": reason}
    return found
