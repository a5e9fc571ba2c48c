"""Splits the variance of scores into that between blueprints and that between seeds; trains nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceSplit:
    """A one-way analysis of variance with blueprints as random effects (Shrout and Fleiss 1979, case 1).

    Attributes:
        between: variance of the blueprints' true means, not below 0.
        within: variance of the scores of one blueprint over seeds.
        num_blueprints: blueprints that were looked at.
        num_scores: scores of all of them.
    """

    between: float
    within: float
    num_blueprints: int
    num_scores: int

    @property
    def icc(self) -> float:
        """Share of a single score's variance that is the blueprint's: ICC(1); 0 where no score differs."""
        total = self.between + self.within
        return self.between / total if total > 0 else 0.0


def split_variance(scores: Sequence[Sequence[float]]) -> VarianceSplit | None:
    """Return the split of the scores of each blueprint over its seeds; their numbers may differ.

    Absent where the data do not allow it: with fewer than two blueprints, or no blueprint with two seeds.
    """
    groups = [group for group in scores if group]
    sizes = [len(group) for group in groups]
    num = sum(sizes)
    if len(groups) < 2 or num == len(groups):
        return None
    means = [fmean(group) for group in groups]
    mean = sum(size * m for size, m in zip(sizes, means, strict=True)) / num
    within = sum((x - m) ** 2 for group, m in zip(groups, means, strict=True) for x in group)
    within /= num - len(groups)
    between = sum(size * (m - mean) ** 2 for size, m in zip(sizes, means, strict=True)) / (len(groups) - 1)
    typical_size = (num - sum(size**2 for size in sizes) / num) / (len(groups) - 1)
    return VarianceSplit(
        between=max(0.0, (between - within) / typical_size),
        within=within,
        num_blueprints=len(groups),
        num_scores=num,
    )
