"""Means over seeds with their 95 % intervals, and paired differences; tests no hypothesis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, fmean, stdev

#: 97.5 % quantiles of Student's t for 1 to 9 degrees of freedom.
_STUDENT_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean over seeds and where the true mean is expected with 95 % confidence (Student 1908).

    Attributes:
        mean: over the seeds.
        low: lower end; absent for a single seed, which says nothing of the spread.
        high: upper end; absent likewise.
        num_seeds: how many there were.
    """

    mean: float
    low: float | None
    high: float | None
    num_seeds: int


def interval(values: Sequence[float]) -> Interval:
    """Return the mean of at least one value with its interval."""
    mean = fmean(values)
    if len(values) < 2:
        return Interval(mean=mean, low=None, high=None, num_seeds=len(values))
    half = student_t(len(values) - 1) * stdev(values) / sqrt(len(values))
    return Interval(mean=mean, low=mean - half, high=mean + half, num_seeds=len(values))


def paired(before: Mapping[int, float], after: Mapping[int, float]) -> Interval | None:
    """Return how much `after` is above `before` over the seeds of both, or None where they share none.

    A seed decides the data and the order of batches, so that what it is worth to both cancels.
    """
    shared = sorted(before.keys() & after.keys())
    return interval([after[seed] - before[seed] for seed in shared]) if shared else None


def student_t(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t: a table, then the expansion of Fisher and Cornish 1960."""
    if freedom <= len(_STUDENT_T):
        return _STUDENT_T[freedom - 1]
    z = NormalDist().inv_cdf(0.975)
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
