"""Rank correlations with bootstrap intervals over blueprints, and retest correlations; draws no picture.

Axes: N blueprints, R bootstrap resamples, C columns (seeds, or scores of one blueprint from several seeds).

Everything is computed from signs of differences, so ties need no rule of their own: Spearman's coefficient is
Pearson's of average ranks, Kendall's is tau-b. A bootstrap draws blueprints with their repeats as weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

#: Resamples of every interval.
NUM_RESAMPLES = 400
#: Difference of long scores from which two blueprints count as clearly different.
MARGIN = 0.05
_SEED = 0x52414E4B


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure with its 95 % bootstrap interval over `num` blueprints; NaN where nothing varies."""

    value: float
    low: float
    high: float
    num: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


Coefficient = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def spearman(x_N: np.ndarray, y_N: np.ndarray, weight_RN: np.ndarray | None = None) -> np.ndarray:
    """Return Spearman's rho `[R]` for each row of weights (one row of ones when absent)."""
    weight_RN = _weights(x_N, weight_RN)
    x_RN, y_RN = (weight_RN @ _signs(values_N).T for values_N in (x_N, y_N))
    xy, xx, yy = ((weight_RN * a * b).sum(1) for a, b in ((x_RN, y_RN), (x_RN, x_RN), (y_RN, y_RN)))
    return _ratio(xy, xx * yy)


def kendall(x_N: np.ndarray, y_N: np.ndarray, weight_RN: np.ndarray | None = None) -> np.ndarray:
    """Return Kendall's tau-b `[R]` for each row of weights (one row of ones when absent)."""
    weight_RN = _weights(x_N, weight_RN)
    x_NN, y_NN = _signs(x_N), _signs(y_N)
    xy, xx, yy = (
        ((weight_RN @ (a * b)) * weight_RN).sum(1) for a, b in ((x_NN, y_NN), (x_NN, x_NN), (y_NN, y_NN))
    )
    return _ratio(xy, xx * yy)


def in_order(score_N: np.ndarray, truth_N: np.ndarray, weight_RN: np.ndarray | None = None) -> np.ndarray:
    """Return, for each row of weights, the share `[R]` of clearly different pairs that the score ranks right.

    Clearly different are pairs whose truths lie `MARGIN` apart; a pair of equal scores is half right.
    """
    weight_RN = _weights(score_N, weight_RN)
    clear_NN = np.abs(truth_N[:, None] - truth_N[None, :]) > MARGIN
    right_NN = (1 + _signs(score_N) * _signs(truth_N)) / 2
    right, all_ = (((weight_RN @ a) * weight_RN).sum(1) for a in (clear_NN * right_NN, clear_NN * 1.0))
    return np.where(all_ > 0, right / np.maximum(all_, 1), np.nan)


def against(score_NC: np.ndarray, truth_N: np.ndarray, coefficient: Coefficient = spearman) -> Estimate:
    """Return the mean over columns of each column's correlation with `truth_N`: what one column is worth."""
    pairs = [(column_N, truth_N) for column_N in score_NC.T]
    return _estimate(pairs, coefficient)


def beyond(
    score_NC: np.ndarray, other_NC: np.ndarray, truth_N: np.ndarray, coefficient: Coefficient = spearman
) -> Estimate:
    """Return by how much one score's correlation with `truth_N` is above another's, on the same resamples."""
    values_R = [
        _mean_over([(column_N, truth_N) for column_N in columns_NC.T], coefficient)
        for columns_NC in (score_NC, other_NC)
    ]
    return _with_interval(values_R[0] - values_R[1], len(truth_N))


def retest(pairs: Sequence[tuple[np.ndarray, np.ndarray]], coefficient: Coefficient = spearman) -> Estimate:
    """Return the mean correlation of pairs of scores that share no seed."""
    return _estimate(pairs, coefficient)


def resamples(num: int, num_resamples: int = NUM_RESAMPLES) -> np.ndarray:
    """Return `[R, N]`: how often each of `num` blueprints is drawn in each resample; always the same ones."""
    rng = np.random.default_rng((_SEED, num))
    return rng.multinomial(num, np.full(num, 1 / num), size=num_resamples).astype(np.float64)


def _estimate(pairs: Sequence[tuple[np.ndarray, np.ndarray]], coefficient: Coefficient) -> Estimate:
    return _with_interval(_mean_over(pairs, coefficient), len(pairs[0][0]))


def _mean_over(pairs: Sequence[tuple[np.ndarray, np.ndarray]], coefficient: Coefficient) -> np.ndarray:
    """Return the mean over pairs `[1 + R]`, of all blueprints, then of each resample; NaN of fewer than 3."""
    num = len(pairs[0][0])
    if num < 3:
        return np.full(1, np.nan)
    weight_RN = np.concatenate([np.ones((1, num)), resamples(num)])
    return np.mean([coefficient(x_N, y_N, weight_RN) for x_N, y_N in pairs], axis=0)


def _with_interval(value_R: np.ndarray, num: int) -> Estimate:
    drawn = value_R[1:][np.isfinite(value_R[1:])]
    low, high = np.quantile(drawn, (0.025, 0.975)) if len(drawn) else (np.nan, np.nan)
    return Estimate(value=float(value_R[0]), low=float(low), high=float(high), num=num)


def _signs(values_N: np.ndarray) -> np.ndarray:
    """Return `[N, N]`: the sign of entry i minus entry j."""
    return np.sign(values_N[:, None].astype(np.float64) - values_N[None, :])


def _weights(x_N: np.ndarray, weight_RN: np.ndarray | None) -> np.ndarray:
    return np.ones((1, len(x_N))) if weight_RN is None else weight_RN


def _ratio(covariance_R: np.ndarray, squares_R: np.ndarray) -> np.ndarray:
    """Return the coefficient; NaN where one of the two does not vary."""
    known_R = squares_R > 0
    return np.where(known_R, covariance_R / np.sqrt(np.where(known_R, squares_R, 1.0)), np.nan)
