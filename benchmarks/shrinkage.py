"""How far the scores of a search shrink under re-proving: the winner's curse over a library; proves nothing.

    python scripts/train_architect.py run.dir=runs/shrinkage curriculum.tasks=[xor_distractors_4] \\
        architect.batch_size=1024 budget.generations=21 crucible.num_seeds=1 crucible.max_seeds=4
    tamiyo prove --library runs/shrinkage --top 128
    tamiyo prove --library runs/shrinkage --top 128 --stride 64
    python benchmarks/shrinkage.py --library runs/shrinkage --figure docs/figures/shrinkage.png

A proof may score higher than the search did, since it takes the best of several learning rates. So it is also
compared at the search's own rates, where nothing but selection differs. Were the search's scores free of
luck, that shrinkage would be 0 at every rank, and the regression of proof on search would have slope 1.
"""

# ruff: noqa: E402

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hall_of_fame.library import Library
from hall_of_fame.records import Proof
from tamiyo.intervals import Interval, interval

#: Settings of a run that its numbers are written down with.
SHOWN = ("strategy", "seed", "budget", "curriculum", "crucible", "language")
ENTERED, REFUSED, LINE = "#1b6ca8", "#b0b0b0", "#d98324"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The proofs of one band of ranks, or of one number of trainings in the search.

    Attributes:
        name: what they share.
        num: how many there are.
        as_searched: shrinkage at the search's own learning rates.
        shrinkage: shrinkage at the best of the learning rates.
    """

    name: str
    num: int
    as_searched: Interval
    shrinkage: Interval


def main() -> int:
    """Print how scores shrink by rank and by trainings, and write numbers and picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--library", required=True, metavar="PATH_OR_URL")
    parser.add_argument("--figure", type=Path, help="picture to write")
    parser.add_argument("--json", type=Path, help="numbers to write (default: beside the picture)")
    options = parser.parse_args()
    with Library.open(options.library) as library:
        proofs, evaluations = library.proofs.proofs(), library.store.counts().evaluations
        runs = [{name: run.config.get(name) for name in SHOWN} for run in library.store.runs()]
    if len(proofs) < 3:
        print(f"{len(proofs)} proofs in {options.library}; expected 3 or more: tamiyo prove", file=sys.stderr)
        return 1
    by_rank, by_trainings = grouped_by_rank(proofs), grouped_by_trainings(proofs)
    slope, intercept = regression(proofs)
    print(f"{len(proofs)} proofs of {evaluations:,} evaluations, slope of proof on search {slope:.3f}")
    for group in (*by_rank, *by_trainings):
        print(f"{group.name:<24}{group.num:>5}  {_text(group.as_searched)}  {_text(group.shrinkage)}")
    result = {
        "evaluations": evaluations,
        "entered": sum(proof.verdict == "entered" for proof in proofs),
        "slope": slope,
        "intercept": intercept,
        "by_rank": [asdict(group) for group in by_rank],
        "by_trainings": [asdict(group) for group in by_trainings],
        "proofs": [_row(proof) for proof in sorted(proofs, key=lambda proof: proof.rank)],
        "settings": proofs[0].settings,
        "runs": runs,
    }
    target = options.json or (options.figure and options.figure.with_suffix(".json"))
    if target:
        target.write_text(json.dumps(result, indent=1) + "\n")
    if options.figure:
        draw(proofs, by_rank, (slope, intercept), evaluations, options.figure)
    return 0


def regression(proofs: Sequence[Proof]) -> tuple[float, float]:
    """Return slope and intercept of the least-squares line of proof on search, at the search's rates."""
    x, y = np.array([(proof.search_score, proof.mean_as_searched) for proof in proofs]).T
    centred = x - x.mean()
    if not centred.any():
        return float("nan"), float(y.mean())
    slope = float(centred @ (y - y.mean()) / (centred @ centred))
    return slope, float(y.mean() - slope * x.mean())


def grouped_by_rank(proofs: Sequence[Proof]) -> list[Group]:
    """Return the proofs in bands of ranks, each band four times as long as the one before it."""
    groups, start, end = [], 1, 16
    while start <= max(proof.rank for proof in proofs):
        found = [proof for proof in proofs if start <= proof.rank <= end]
        if found:
            groups.append(_group(f"rank {start} to {end}", found))
        start, end = end + 1, 4 * end
    return groups


def grouped_by_trainings(proofs: Sequence[Proof]) -> list[Group]:
    """Return the proofs by the number of trainings behind the score of the search."""
    nums = sorted({proof.search_trainings for proof in proofs})
    return [_group(f"searched {n} times", [p for p in proofs if p.search_trainings == n]) for n in nums]


def draw(
    proofs: Sequence[Proof],
    by_rank: Sequence[Group],
    line: tuple[float, float],
    evaluations: int,
    path: Path,
) -> None:
    """Draw search against proof with its regression, and shrinkage by rank."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    scores, ranks = figure.subplots(1, 2)
    for verdict, colour in (("refused", REFUSED), ("entered", ENTERED)):
        own = [proof for proof in proofs if proof.verdict == verdict]
        points = [proof.search_score for proof in own], [proof.mean_as_searched for proof in own]
        scores.scatter(*points, s=11, color=colour, alpha=0.7, linewidths=0, label=f"{verdict} ({len(own)})")
    x = np.array([min(p.search_score for p in proofs), max(p.search_score for p in proofs)])
    scores.plot(x, x, color="black", linewidth=0.8, linestyle=":", label="no shrinkage")
    scores.plot(x, line[0] * x + line[1], color=LINE, label=f"regression, slope {line[0]:.2f}")
    scores.set(xlabel="score in the search", ylabel="score from fresh seeds, same learning rate")
    scores.legend(frameon=False, fontsize=8)
    scores.set_title(f"{len(proofs)} proofs after {evaluations:,} evaluations", fontsize=10)
    places = np.arange(len(by_rank))
    for shift, colour, label, found in (
        (-0.1, LINE, "same learning rate: selection alone", [group.as_searched for group in by_rank]),
        (0.1, ENTERED, "best of the learning rates", [group.shrinkage for group in by_rank]),
    ):
        means = [one.mean for one in found]
        spread = [0.0 if one.high is None else one.high - one.mean for one in found]
        ranks.errorbar(places + shift, means, yerr=spread, fmt="o", color=colour, capsize=3, label=label)
    ranks.axhline(0, color="black", linewidth=0.8, linestyle=":")
    names = [f"{group.name.removeprefix('rank ')}\n({group.num})" for group in by_rank]
    ranks.set_xticks(places, names, fontsize=7)
    ranks.set(xlabel="rank by reward when selected", ylabel="shrinkage: search minus proof")
    ranks.legend(frameon=False, fontsize=8)
    ranks.set_title("mean and 95 % interval over proofs", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _group(name: str, proofs: Sequence[Proof]) -> Group:
    return Group(
        name=name,
        num=len(proofs),
        as_searched=interval([proof.search_score - proof.mean_as_searched for proof in proofs]),
        shrinkage=interval([proof.shrinkage for proof in proofs]),
    )


def _row(proof: Proof) -> dict[str, object]:
    names = ("rank", "search_score", "search_trainings", "mean_as_searched", "mean", "low", "high", "verdict")
    return {"id": proof.blueprint_id[:12], **{name: getattr(proof, name) for name in names}}


def _text(found: Interval) -> str:
    between = "" if found.low is None else f" [{found.low:+.3f}, {found.high:+.3f}]"
    return f"{found.mean:+.3f}{between}"


if __name__ == "__main__":
    sys.exit(main())
