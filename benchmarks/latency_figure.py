"""Draws what benchmarks/latency.py measured: prediction, its worth by FLOPs, and the Pareto front."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#1b6ca8", "#d98324", "#8a8a8a"
Rows = Sequence[Mapping[str, Any]]


def draw(document: Mapping[str, Any], path: str | Path) -> None:
    """Write the picture of a document of benchmarks/latency.py."""
    figure = Figure(figsize=(14, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.1, 0.9, 1.25))
    _draw_prediction(left, document)
    _draw_quarters(middle, document)
    _draw_front(right, document["rows"])
    for axes in (left, middle, right):
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def _draw_prediction(axes: Axes, document: Mapping[str, Any]) -> None:
    rows = document["rows"]
    predicted, measured = ([row[key] for row in rows] for key in ("predicted_us", "measured_us"))
    ends = min(*predicted, *measured), max(*predicted, *measured)
    axes.plot(ends, ends, color=GREY, linewidth=1)
    spread = [row["spread_us"] / 2 for row in rows]
    axes.errorbar(
        predicted, measured, yerr=spread, fmt="o", markersize=3.5, alpha=0.7, color=BLUE, elinewidth=0.8
    )
    axes.set(xscale="log", yscale="log", xlabel="predicted latency, µs", ylabel="measured latency, µs")
    rho = document["all"]["spearman"]
    title = f"Spearman {rho['value']:.3f} [{rho['low']:.3f}, {rho['high']:.3f}], {len(rows)} blueprints"
    axes.set_title(title, fontsize=10, loc="left")


def _draw_quarters(axes: Axes, document: Mapping[str, Any]) -> None:
    parts = [document["all"], *document["quarters"]]
    for key, colour, label, shift in (
        ("spearman", BLUE, "predicted and measured", -0.12),
        ("ceiling", ORANGE, "measured and measured again", 0.12),
    ):
        values = [part[key]["value"] for part in parts]
        below = [part[key]["value"] - part[key]["low"] for part in parts]
        above = [part[key]["high"] - part[key]["value"] for part in parts]
        places = [place + shift for place in range(len(parts))]
        axes.errorbar(
            places, values, yerr=(below, above), fmt="o", markersize=5, color=colour, label=label, capsize=2
        )
    names = ["all", *(f"quarter {q}" for q in range(1, len(parts)))]
    axes.set_xticks(range(len(parts)), names, fontsize=8.5)
    axes.set_ylabel("Spearman's rank correlation")
    axes.set_title("Within quarters of FLOPs, 95 % intervals", fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=2)
    axes.set_ylim(top=1.005)


def _draw_front(axes: Axes, rows: Rows) -> None:
    front = [row for row in rows if row["on_front"]]
    rest = [row for row in rows if not row["on_front"]]
    most = max(row["parameters"] for row in rows)
    for part, size, edge in ((rest, 22, "none"), (front, 60, "black")):
        points = axes.scatter(
            [row["measured_us"] for row in part],
            [row["score"] for row in part],
            c=[max(1, row["parameters"]) for row in part],
            s=size,
            edgecolors=edge,
            alpha=0.85,
            cmap="viridis",
            norm=LogNorm(1, max(2, most)),
        )
    axes.set(xscale="log", xlabel="measured latency, µs", ylabel="test accuracy, temporal task")
    title = "Pareto front of parameters, latency, score: circled"
    axes.set_title(title, fontsize=10, loc="left")
    axes.figure.colorbar(points, ax=axes, label="parameters", pad=0.02)
