"""Draws what benchmarks/novelty.py measured: ROC curves, and how alike the same and different ones are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

#: Of tasks, in their order.
COLOURS = ("#1b6ca8", "#d98324", "#5a9e5d", "#8e6bb0")
BLACK, GREY = "#222222", "#8a8a8a"
#: Rows of the middle picture, from the top, with what the document calls them.
ROWS = {
    "same blueprint,\nother seed": "same",
    "equal, written\ndifferently": "equal_written_differently",
    "different\nblueprints": "different",
    "different,\nuntrained": "untrained_different",
    "independent\nnoise": "independent",
}


def draw(document: Mapping[str, Any], path: str | Path) -> None:
    """Write the picture of a document of benchmarks/novelty.py."""
    figure = Figure(figsize=(14, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.0, 1.25, 0.9))
    _draw_curves(left, document["function"])
    _draw_ranges(middle, document["function"]["tasks"])
    _draw_identity(right, document["structure"])
    for axes in (left, middle, right):
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def _draw_curves(axes: Axes, function: Mapping[str, Any]) -> None:
    coloured = zip(function["tasks"].items(), COLOURS, strict=False)
    lines = [(n, t, t["auc"]["likeness"], colour) for (n, t), colour in coloured]
    lines.append(("three together", function["together"], function["together"]["auc"]["one_seed"], BLACK))
    for name, found, area, colour in lines:
        label = f"{name} {area['value']:.3f} [{area['low']:.3f}, {area['high']:.3f}]"
        axes.plot(found["false_positive_rate"], found["true_positive_rate"], color=colour, label=label)
    axes.plot((0, 1), (0, 1), color=GREY, linewidth=0.8)
    axes.set(xlabel="different blueprints called alike", ylabel="same blueprint called alike")
    axes.set_title("One seed each: area under the curve, 95 % interval", fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")


def _draw_ranges(axes: Axes, tasks: Mapping[str, Any]) -> None:
    for number, ((name, found), colour) in enumerate(zip(tasks.items(), COLOURS, strict=False)):
        places = [-row + 0.18 * (1.5 - number) for row in range(len(ROWS))]
        spans = [found["likeness"][key] for key in ROWS.values()]
        axes.hlines(places, [s["q10"] for s in spans], [s["q90"] for s in spans], color=colour, lw=2)
        axes.plot([s["q50"] for s in spans], places, "o", color=colour, markersize=5, label=name)
    axes.set_yticks([-row for row in range(len(ROWS))], list(ROWS), fontsize=8.5)
    axes.set(xlim=(-0.03, 1.03), xlabel="likeness of traits")
    axes.set_title("Median, and tenth to ninetieth percentile", fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=8.5, loc="lower left")


def _draw_identity(axes: Axes, structure: Mapping[str, Any]) -> None:
    names = {"canonical_id": "canonical id", "similarity_1": "WL similarity 1"}
    for number, (key, name) in enumerate(names.items()):
        values = [structure[key][part] for part in ("precision", "recall")]
        bars = axes.bar([0.4 * number, 1.2 + 0.4 * number], values, 0.36, label=name)
        axes.bar_label(bars, [f"{value:.4f}" for value in values], fontsize=8.5)
    axes.set_xticks((0.2, 1.4), ("precision", "recall"))
    axes.set_ylim(0, 1.25)
    title = f"{structure['isomorphic']:,} planted isomorphs in {structure['pairs']:,} near-misses"
    axes.set_title(title, fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=8.5, loc="upper center", ncols=2)
