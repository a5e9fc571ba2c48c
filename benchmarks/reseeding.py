"""What fresh seeds for the best of a batch are worth, replayed on recorded trainings; trains nothing.

Axes: N blueprints, S seeds, G generations replayed, F figures of one.

A generation gives every blueprint some seeds; the best get fresh ones and all are ranked by their means, as
`tamiyo.judging` does. Three figures say what that brings: how much more the best are told than they are
worth, how well the top decile is ranked, and what the one finally picked is worth.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.ranks import spearman

#: Generations replayed for each row.
NUM_GENERATIONS = 400
#: Seeds for all, share of the best, and fresh seeds for them.
POLICIES = (
    *((1, share, fresh) for share in (0.05, 0.1, 0.2) for fresh in (1, 2, 3)),
    *((seeds, 0.1, fresh) for seeds in (2, 4) for fresh in (1, 2)),
)
#: Share of the batch over which the best's figures are averaged: what a default run would reseed.
TOP = 0.05
_SEED = 0x4652


@dataclass(frozen=True, slots=True, kw_only=True)
class Reseeding:
    """Means over replayed generations.

    Attributes:
        num_seeds: what every blueprint gets.
        share: of the batch that got fresh seeds.
        num_fresh: how many each of them got.
        cost: trainings, as a multiple of one a blueprint.
        excess: what the best 5 % are told minus the mean of all their other seeds: the winner's curse.
        excess_se: its standard error over generations.
        top_worth: mean long score of the best 5 %.
        first_worth: mean long score of the very best.
        top_rank: Spearman of the told and the long score within the top decile of the quick score.
        rank: the same over the whole batch.
    """

    num_seeds: int
    share: float
    num_fresh: int
    cost: float
    excess: float
    excess_se: float
    top_worth: float
    first_worth: float
    top_rank: float
    rank: float


def replay(quick_NS: np.ndarray, long_N: np.ndarray) -> list[Reseeding]:
    """Return one row a policy; the first for each number of seeds reseeds nobody."""
    numbers = sorted({num for num, _, _ in POLICIES})
    policies = sorted([*((num, 0.0, 0) for num in numbers), *POLICIES])
    return [_replay(quick_NS, long_N, *policy) for policy in policies]


def table(rows: list[Reseeding]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| seeds | share | fresh | cost | told above worth (best 5 %) | long score of best 5 % | of the best "
        "| Spearman in top decile | Spearman |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        lines.append(
            f"| {r.num_seeds} | {r.share:.0%} | {r.num_fresh} | {r.cost:.2f} "
            f"| {r.excess:+.4f} ± {2 * r.excess_se:.4f} | {r.top_worth:.4f} "
            f"| {r.first_worth:.4f} | {r.top_rank:.3f} | {r.rank:.3f} |"
        )
    return "\n".join(lines)


def as_plain(rows: list[Reseeding]) -> list[dict[str, Any]]:
    """Return the rows as plain data."""
    return [asdict(row) for row in rows]


def _replay(
    quick_NS: np.ndarray, long_N: np.ndarray, num_seeds: int, share: float, num_fresh: int
) -> Reseeding:
    num = len(quick_NS)
    rng = np.random.default_rng(_SEED)
    figures_GF = []
    num_top, num_decile = max(1, round(TOP * num)), max(3, round(0.1 * num))
    for _ in range(NUM_GENERATIONS):
        drawn_NS = rng.permuted(quick_NS, axis=1)
        # Of equals the earlier wins, in an order that says nothing of their worth.
        place_N = rng.permutation(num)
        told_N = drawn_NS[:, :num_seeds].mean(1)
        first_N = np.lexsort((place_N, -told_N))
        again = first_N[: round(share * num)]
        told_N[again] = drawn_NS[again, : num_seeds + num_fresh].mean(1)
        best = np.lexsort((place_N, -told_N))[:num_top]
        unused = drawn_NS[best, num_seeds + num_fresh :].mean(1)
        decile = first_N[:num_decile]
        figures_GF.append(
            (
                (told_N[best] - unused).mean(),
                long_N[best].mean(),
                long_N[best[0]],
                spearman(told_N[decile], long_N[decile])[0],
                spearman(told_N, long_N)[0],
            )
        )
    # Where all of a decile are alike, nothing can rank them: such a generation counts as ranked by chance.
    mean = np.nan_to_num(figures_GF).mean(axis=0)
    return Reseeding(
        num_seeds=num_seeds,
        share=share,
        num_fresh=num_fresh,
        cost=num_seeds + share * num_fresh,
        excess=float(mean[0]),
        excess_se=float(np.std([figures[0] for figures in figures_GF]) / NUM_GENERATIONS**0.5),
        top_worth=float(mean[1]),
        first_worth=float(mean[2]),
        top_rank=float(mean[3]),
        rank=float(mean[4]),
    )
