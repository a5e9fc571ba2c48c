"""Draws what transfer.py measured: test loss of every seed over the cost of a training, and the front."""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.transfer_report import tested_blocks

DISCOVERED, HUMAN, FRONT = "#1b6ca8", "#d98324", "#8a8a8a"


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Write the picture of a document of transfer.py, a panel a data set."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    names = list(document["settings"]["data_sets"])
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _panel(axes, document, name)
    figure.savefig(path, dpi=120)


def front(points: Mapping[str, tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points of which no other is lower in both, the cheapest first."""
    found: list[tuple[float, float]] = []
    for cost, loss in sorted(points.values()):
        if not found or loss < found[-1][1]:
            found.append((cost, loss))
    return found


def _panel(axes: Axes, document: Mapping[str, Any], name: str) -> None:
    people = {block["name"] for block in document["blocks"] if block["is_human"]}
    means: dict[str, tuple[float, float]] = {}
    for (data_set, block), tested in tested_blocks(document).items():
        if data_set != name:
            continue
        colour = HUMAN if block in people else DISCOVERED
        cost = fmean(row["cpu_s"] for row in tested)
        losses = [row["test"]["loss"] for row in tested]
        means[block] = (cost, fmean(losses))
        axes.scatter([cost] * len(losses), losses, s=14, color=colour, alpha=0.45, linewidths=0)
        axes.scatter([cost], [fmean(losses)], s=46, color=colour, marker="D", edgecolors="white")
    for place, (block, (cost, loss)) in enumerate(sorted(means.items(), key=lambda item: item[1])):
        offset = (8, 5) if place % 2 else (8, -11)
        axes.annotate(block, (cost, loss), xytext=offset, textcoords="offset points", fontsize=8)
    if means:
        axes.plot(*zip(*front(means), strict=True), color=FRONT, linewidth=1, linestyle="--", zorder=0)
    figures = document["settings"]["data_sets"][name]
    axes.set_title(
        f"{name}: {figures['num_parameters']:,} parameters, {figures['steps']} steps", loc="left", fontsize=10
    )
    axes.set_xlabel("processor seconds a training (blue: discovered, orange: people's)", fontsize=9)
    axes.set_ylabel("test loss, nats", fontsize=9)
    axes.margins(x=0.16, y=0.08)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
