"""What fresh seeds for the best of a batch are worth, replayed on recorded trainings; trains nothing.

Axes: N blueprints, S seeds, G generations replayed.

A generation draws blueprints and one seed each; the best get fresh seeds and are ranked by their means, as
`tamiyo.judging` does. Three figures say what that brings: how much more the best are told than they are
worth, how well the top decile is ranked, and what the one finally picked is worth.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.ranks import spearman

#: Generations replayed for each row.
NUM_GENERATIONS = 400
SHARES = (0.0, 0.05, 0.1, 0.2)
FRESH = (1, 2, 3)
#: Share of the batch over which the best's figures are averaged: what a default run would reseed.
TOP = 0.05
_SEED = 0x4652


@dataclass(frozen=True, slots=True, kw_only=True)
class Reseeding:
    """Means over replayed generations.

    Attributes:
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
    """Return one row a policy; the first reseeds nobody."""
    policies = [(0.0, 0), *((share, num) for share in SHARES[1:] for num in FRESH)]
    return [_replay(quick_NS, long_N, share, num) for share, num in policies]


def table(rows: list[Reseeding]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| share | fresh seeds | cost | told above worth (best 5 %) | long score of best 5 % | of the best "
        "| Spearman in top decile | Spearman |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        lines.append(
            f"| {r.share:.0%} | {r.num_fresh} | {r.cost:.2f} | {r.excess:+.4f} ± {2 * r.excess_se:.4f} "
            f"| {r.top_worth:.4f} | {r.first_worth:.4f} | {r.top_rank:.3f} | {r.rank:.3f} |"
        )
    return "\n".join(lines)


def as_plain(rows: list[Reseeding]) -> list[dict[str, Any]]:
    """Return the rows as plain data."""
    return [asdict(row) for row in rows]


def _replay(quick_NS: np.ndarray, long_N: np.ndarray, share: float, num_fresh: int) -> Reseeding:
    num, num_seeds = quick_NS.shape
    rng = np.random.default_rng(_SEED)
    figures_G = []
    num_top, num_decile = max(1, round(TOP * num)), max(3, round(0.1 * num))
    for _ in range(NUM_GENERATIONS):
        order_NS = rng.permuted(np.tile(np.arange(num_seeds), (num, 1)), axis=1)
        drawn_NS = np.take_along_axis(quick_NS, order_NS, axis=1)
        # Of equals the earlier wins, in an order that says nothing of their worth.
        earlier_N = rng.permutation(num)
        told_N = drawn_NS[:, 0].copy()
        first_N = np.lexsort((earlier_N, -told_N))
        again = first_N[: round(share * num)]
        told_N[again] = drawn_NS[again, : 1 + num_fresh].mean(1)
        best = np.lexsort((earlier_N, -told_N))[:num_top]
        unused = drawn_NS[best, 1 + num_fresh :].mean(1)
        decile = first_N[:num_decile]
        figures_G.append(
            (
                (told_N[best] - unused).mean(),
                long_N[best].mean(),
                long_N[best[0]],
                spearman(told_N[decile], long_N[decile])[0],
                spearman(told_N, long_N)[0],
            )
        )
    # Where all of a decile are alike, nothing can rank them: such a generation counts as ranked by chance.
    mean = np.nan_to_num(figures_G).mean(axis=0)
    return Reseeding(
        share=share,
        num_fresh=num_fresh,
        cost=1 + share * num_fresh,
        excess=float(mean[0]),
        excess_se=float(np.std([f[0] for f in figures_G]) / NUM_GENERATIONS**0.5),
        top_worth=float(mean[1]),
        first_worth=float(mean[2]),
        top_rank=float(mean[3]),
        rank=float(mean[4]),
    )
