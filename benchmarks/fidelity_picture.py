"""Draws what the quick score is worth: quick against long, fidelity against cost, the winner's curse."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.fidelity_plan import Setting
from benchmarks.fidelity_scores import TEST_SCORE, Exam

COLOURS = {"random": "#1b6ca8", "humans": "#d98324", "both": "#555555"}
#: Settings that differ in their steps alone.
LENGTHS = {Setting(steps=steps).name for steps in (0.25, 0.5, 1.0, 2.0, 4.0)}
#: The same at half the learning rate.
GENTLE = {Setting(steps=steps, rate=0.5).name for steps in (1.0, 2.0)}


def draw(panels: Mapping[str, Mapping[str, Exam]], figures: Mapping[str, Any], path: Path) -> None:
    """Draw and save the picture, a row a suite, of whose samples `panels` holds the exams."""
    figure = Figure(figsize=(13, 4 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(panels), 3, squeeze=False)
    for (suite, exams), (left, middle, right) in zip(panels.items(), rows, strict=True):
        samples = figures[suite]["samples"]
        _scatter(left, suite, exams, samples)
        _by_cost(middle, suite, figures[suite]["exam"], samples)
        _curse(right, suite, figures[suite]["exam"], samples)
    for place in rows.flat:
        place.grid(alpha=0.25)
        place.spines[["top", "right"]].set_visible(False)
        place.tick_params(labelsize=8)
    figure.savefig(path, dpi=120)


def _scatter(place: Axes, suite: str, exams: Mapping[str, Exam], figures: Mapping[str, Any]) -> None:
    """Draw each blueprint's long score over its quick one, and the seeds' range as a line."""
    place.set_title(f"{suite}: long over quick, with range of seeds", fontsize=9, loc="left")
    for sample, exam in exams.items():
        if sample == "both":
            continue
        quick_NS, long_N = exam.quick(), exam.long()
        place.hlines(long_N, quick_NS.min(1), quick_NS.max(1), color=COLOURS[sample], alpha=0.2, linewidth=1)
        rho = figures[sample]["default"][exam.name]["spearman"].value
        label = f"{sample}, Spearman {rho:.2f}"
        place.scatter(quick_NS[:, 0], long_N, s=9, color=COLOURS[sample], alpha=0.8, label=label)
    place.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=(0, (3, 3)))
    place.set_xlabel("quick, one seed", fontsize=8)
    place.set_ylabel("long", fontsize=8)
    place.legend(frameon=False, fontsize=8, loc="lower right")


def _by_cost(place: Axes, suite: str, exam: str, figures: Mapping[str, Any]) -> None:
    """Draw Spearman to the long score over cost, by number of seeds; each line has lengths of its own."""
    sample = "both" if "both" in figures else next(iter(figures))
    place.set_title(f"{suite}: fidelity by cost, sample {sample}", fontsize=9, loc="left")
    rows = figures[sample]["settings"][exam]
    for names, style, rate in ((LENGTHS, "-", ""), (GENTLE, "--", ", half the learning rate")):
        for num, colour in zip(("1", "2", "4"), ("#9fc5e8", "#1b6ca8", "#0b3050"), strict=True):
            chosen = sorted(
                (r["cost"], r["spearman"].value)
                for r in rows
                if r["seeds"] == num and r["score"] == TEST_SCORE and r["setting"] in names
            )
            if chosen:
                label = f"{num} seed{'s' if num != '1' else ''}{rate}"
                place.plot(
                    *zip(*chosen, strict=True), style, color=colour, marker="o", markersize=4, label=label
                )
    place.set_xscale("log", base=2)
    place.xaxis.set_major_formatter("{x:g}")
    place.set_xlabel("cost, default = 1", fontsize=8)
    place.set_ylabel("Spearman to the long score", fontsize=8)
    place.legend(frameon=False, fontsize=8, loc="lower right")


def _curse(place: Axes, suite: str, exam: str, figures: Mapping[str, Any]) -> None:
    """Draw what the best 5 % are told above their worth, by share and number of fresh seeds."""
    place.set_title(f"{suite}: told above worth, best 5 % of a generation", fontsize=9, loc="left")
    for sample in (s for s in figures if s != "both"):
        rows = [r for r in figures[sample]["reseeding"][exam] if r["num_seeds"] == 1]
        for share, style in ((0.05, "-"), (0.1, "--")):
            chosen = [(r["num_fresh"], r["excess"]) for r in rows if r["share"] in (0.0, share)]
            if chosen:
                place.plot(
                    *zip(*chosen, strict=True),
                    style,
                    color=COLOURS[sample],
                    marker="o",
                    markersize=4,
                    label=f"{sample}, best {share:.0%} reseeded",
                )
    place.axhline(0, color="#999999", linewidth=0.8)
    place.set_xlabel("fresh seeds", fontsize=8)
    place.set_xticks((0, 1, 2, 3))
    if place.has_data():
        place.set_ylim(top=1.3 * place.get_ylim()[1])
        place.legend(frameon=False, fontsize=8, loc="upper right")
