"""How far the scores of a search shrink under re-proving: the winner's curse over a library; proves nothing.

    python scripts/train_architect.py run.dir=runs/shrinkage curriculum.tasks=[xor_distractors_4] \\
        architect.batch_size=1024 budget.generations=21 crucible.num_seeds=1 crucible.max_seeds=4
    tamiyo prove --library runs/shrinkage --top 128
    tamiyo prove --library runs/shrinkage --top 128 --stride 64
    python benchmarks/shrinkage.py --library runs/shrinkage --sample 256 --figure docs/figures/shrinkage.png

A proof may score higher than the search did, since it takes the best of several learning rates. So it is also
compared at the search's own rates, where nothing but selection differs. Were the search's scores free of
luck, that shrinkage would be 0 at every rank, and the regression of proof on search would have slope 1.

All blueprints share the few seeds of a search and those of proofs, and some seeds are easier for everybody.
That luck is no blueprint's, and no number of proofs averages it out. `--sample` measures it on blueprints
that no score has selected, and takes it away: see shrinkage_seeds.py.
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
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.shrinkage_seeds import Seeds, measure
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
        corrected: shrinkage at the search's own learning rates, were all seeds equally easy; None where that
            was not measured.
    """

    name: str
    num: int
    as_searched: Interval
    shrinkage: Interval
    corrected: Interval | None = None


def main() -> int:
    """Print how scores shrink by rank and by trainings, and write numbers and picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--library", required=True, metavar="PATH_OR_URL")
    parser.add_argument("--figure", type=Path, help="picture to write")
    parser.add_argument("--json", type=Path, help="numbers to write (default: beside the picture)")
    parser.add_argument(
        "--sample",
        type=int,
        default=0,
        metavar="N",
        help="blueprints that say how easy each seed is (default 0: not asked)",
    )
    options = parser.parse_args()
    seeds = None
    with Library.open(options.library) as library:
        proofs, evaluations = library.proofs.proofs(), library.store.counts().evaluations
        runs = [{name: run.config.get(name) for name in SHOWN} for run in library.store.runs()]
        if problem := _problem(proofs, len(runs), options.sample):
            print(f"{options.library}: {problem}", file=sys.stderr)
            return 1
        if options.sample:
            seeds = measure(library, proofs, options.sample)
    by_rank, by_trainings = grouped_by_rank(proofs, seeds), grouped_by_trainings(proofs, seeds)
    slope, intercept = regression(proofs)
    print(f"{len(proofs)} proofs of {evaluations:,} evaluations, slope of proof on search {slope:.3f}")
    for group in (*by_rank, *by_trainings):
        found = map(_text, (group.as_searched, group.shrinkage, group.corrected))
        print(f"{group.name:<24}{group.num:>5}  {'  '.join(found)}")
    if seeds is not None:
        print(_told(seeds))
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
        "seeds": seeds and asdict(seeds) | {"searched": None},
    }
    target = options.json or (options.figure and options.figure.with_suffix(".json"))
    if target:
        target.write_text(json.dumps(result, indent=1) + "\n")
    if options.figure:
        draw(proofs, by_rank, (slope, intercept), evaluations, seeds, options.figure)
    return 0


def regression(proofs: Sequence[Proof]) -> tuple[float, float]:
    """Return slope and intercept of the least-squares line of proof on search, at the search's rates."""
    x, y = np.array([(proof.search_score, proof.mean_as_searched) for proof in proofs]).T
    centred = x - x.mean()
    if not centred.any():
        return float("nan"), float(y.mean())
    slope = float(centred @ (y - y.mean()) / (centred @ centred))
    return slope, float(y.mean() - slope * x.mean())


def grouped_by_rank(proofs: Sequence[Proof], seeds: Seeds | None = None) -> list[Group]:
    """Return the proofs in bands of ranks, each band four times as long as the one before it."""
    groups, start, end = [], 1, 16
    while start <= max(proof.rank for proof in proofs):
        found = [proof for proof in proofs if start <= proof.rank <= end]
        if found:
            groups.append(_group(f"rank {start} to {end}", found, seeds))
        start, end = end + 1, 4 * end
    return groups


def grouped_by_trainings(proofs: Sequence[Proof], seeds: Seeds | None = None) -> list[Group]:
    """Return the proofs by the number of trainings behind the score of the search."""
    nums = sorted({proof.search_trainings for proof in proofs})
    found = {n: [proof for proof in proofs if proof.search_trainings == n] for n in nums}
    return [_group(f"searched {n} times", of, seeds) for n, of in found.items()]


def draw(
    proofs: Sequence[Proof],
    by_rank: Sequence[Group],
    line: tuple[float, float],
    evaluations: int,
    seeds: Seeds | None,
    path: Path,
) -> None:
    """Draw search against proof with its regression, shrinkage by rank, and how easy seeds are."""
    figure = Figure(figsize=(11 if seeds is None else 16, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    if seeds is None:
        scores, ranks = figure.subplots(1, 2)
    else:
        scores, ranks, eases = figure.subplots(1, 3)
        _draw_seeds(eases, seeds)
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
    series = [
        (-0.1, LINE, "same learning rate", [group.as_searched for group in by_rank]),
        (0.1, ENTERED, "best of the learning rates", [group.shrinkage for group in by_rank]),
    ]
    if seeds is not None:
        equal = [group.corrected for group in by_rank if group.corrected is not None]
        series.append((0.0, "black", "same learning rate, were all seeds equally easy", equal))
    for shift, colour, label, found in series:
        means = [one.mean for one in found]
        spread = [0.0 if one.high is None else one.high - one.mean for one in found]
        ranks.errorbar(places + shift, means, yerr=spread, fmt="o", color=colour, capsize=3, label=label)
    ranks.axhline(0, color="black", linewidth=0.8, linestyle=":")
    names = [f"{group.name.removeprefix('rank ')}\n({group.num})" for group in by_rank]
    ranks.set_xticks(places, names, fontsize=7)
    ranks.set(xlabel="rank by reward when selected", ylabel="shrinkage: search minus proof")
    ranks.margins(y=0.25)
    ranks.legend(frameon=False, fontsize=8, loc="upper right")
    ranks.set_title("mean and 95 % interval over proofs", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _draw_seeds(axes: Axes, seeds: Seeds) -> None:
    """Draw the ease of fresh seeds of both ranges, and of those that were used."""
    mean = float(np.mean([*seeds.search.values(), *seeds.proof.values()]))
    for place, found, used, colour in (
        (0, seeds.search, [seed for seed in seeds.ease if seed not in seeds.proved], LINE),
        (1, seeds.proof, seeds.proved, ENTERED),
    ):
        spread = place + np.linspace(-0.25, 0.25, len(found))
        axes.scatter(spread, [value - mean for value in found.values()], s=9, color=REFUSED, linewidths=0)
        own = [seeds.ease[seed] for seed in used]
        axes.scatter([place] * len(own), own, s=40, marker="_", color=colour)
        for number, ease in enumerate(own):
            axes.annotate(str(number), (place, ease), (7, -3), textcoords="offset points", fontsize=7)
    axes.axhline(0, color="black", linewidth=0.8, linestyle=":")
    axes.set_xticks([0, 1], ["range of the search", "range of proofs"])
    axes.set(xlim=(-0.5, 1.5), ylabel="mean score of a seed, less that of all fresh seeds")
    axes.set_title(f"fresh seeds, and those used, by {seeds.num_blueprints} blueprints", fontsize=10)


def _problem(proofs: Sequence[Proof], num_runs: int, sample: int) -> str:
    """Return why there is nothing to say, and how to mend it."""
    if len(proofs) < 3:
        return f"{len(proofs)} proofs; expected 3 or more: tamiyo prove"
    if sample < 0 or sample == 1:
        return f"--sample is {sample}; expected 2 blueprints or more, or 0"
    if sample and num_runs > 1:
        return f"{num_runs} runs; expected one, whose seeds --sample measures; leave it out"
    return ""


def _group(name: str, proofs: Sequence[Proof], seeds: Seeds | None) -> Group:
    return Group(
        name=name,
        num=len(proofs),
        as_searched=interval([proof.search_score - proof.mean_as_searched for proof in proofs]),
        shrinkage=interval([proof.shrinkage for proof in proofs]),
        corrected=None if seeds is None else interval([seeds.corrected(proof) for proof in proofs]),
    )


def _told(seeds: Seeds) -> str:
    """Return what the seeds are like, in lines."""
    used = ", ".join(f"{seed} {ease:+.3f}" for seed, ease in seeds.ease.items())
    proved = np.mean([seeds.ease[seed] for seed in seeds.proved])
    return (
        f"range of proofs less that of the search, {len(seeds.proof)} fresh seeds each: "
        f"{_text(seeds.difference)}\na seed's mean score has a standard deviation of {seeds.deviation:.3f}\n"
        f"seeds that were used: {used}; those of proofs together {proved:+.3f}"
    )


def _row(proof: Proof) -> dict[str, object]:
    names = ("rank", "search_score", "search_trainings", "mean_as_searched", "mean", "low", "high", "verdict")
    return {"id": proof.blueprint_id[:12], **{name: getattr(proof, name) for name in names}}


def _text(found: Interval | None) -> str:
    if found is None:
        return ""
    between = "" if found.low is None else f" [{found.low:+.3f}, {found.high:+.3f}]"
    return f"{found.mean:+.3f}{between}"


if __name__ == "__main__":
    sys.exit(main())
