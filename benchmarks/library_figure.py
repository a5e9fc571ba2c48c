"""Draws what benchmarks/library.py measured: latency of queries, pace of inserts and size."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = {"sqlite": "#1b6ca8", "postgresql": "#d98324"}
#: What a page or a run should not take longer than, in milliseconds.
SLOW_MS = 300.0
Rows = Sequence[Mapping[str, Any]]


def draw(document: Mapping[str, Any], path: str | Path) -> None:
    """Write the picture of a document of benchmarks/library.py."""
    measured = document["measured"]
    parts = {name: rows for name in COLOURS if (rows := [row for row in measured if row["database"] == name])}
    figure = Figure(figsize=(4.6 * (len(parts) + 1.6), 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(1, len(parts) + 2, width_ratios=[*[1.0] * len(parts), 0.8, 0.8], squeeze=False)
    *panels, pace, size = places[0]
    for place, (name, rows) in zip(panels, parts.items(), strict=True):
        _draw_queries(place, name, rows)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), frameon=False, fontsize=8)
    for name, rows in parts.items():
        _draw_pace(pace, name, rows)
        _draw_size(size, name, rows)
    for place in (pace, size):
        place.legend(frameon=False, fontsize=8)
    for place in places[0]:
        place.set(xscale="log", xlabel="evaluations")
        place.grid(alpha=0.25)
        place.spines[["top", "right"]].set_visible(False)
        place.tick_params(labelsize=8)
    figure.savefig(path, dpi=120)


def _draw_queries(place: Axes, name: str, rows: Rows) -> None:
    """Draw the median of each query, with a line up to its 95th percentile."""
    for i, query in enumerate(rows[0]["queries"]):
        median, p95 = ([1000 * row["queries"][query][key] for row in rows] for key in ("median_s", "p95_s"))
        above = [high - low for low, high in zip(median, p95, strict=True)]
        nums = [row["num_evaluations"] for row in rows]
        place.errorbar(
            nums,
            median,
            yerr=([0.0] * len(above), above),
            marker="o",
            markersize=3.5,
            linewidth=1.2,
            elinewidth=0.7,
            color=f"C{i}",
            label=query,
        )
    place.axhline(SLOW_MS, color="#8a8a8a", linewidth=0.8, linestyle="--")
    place.set_yscale("log")
    place.set_ylabel("milliseconds: median, line to the 95th percentile", fontsize=8.5)
    place.set_title(f"{name} {rows[0]['version'].split()[0]}: queries", fontsize=10, loc="left")


def _draw_pace(place: Axes, name: str, rows: Rows) -> None:
    place.plot(
        [row["num_evaluations"] for row in rows],
        [row["evaluations_per_s"] for row in rows],
        marker="o",
        color=COLOURS[name],
        label=name,
    )
    place.set_ylim(bottom=0)
    place.set_title("evaluations written a second", fontsize=10, loc="left")


def _draw_size(place: Axes, name: str, rows: Rows) -> None:
    place.plot(
        [row["num_evaluations"] for row in rows],
        [row["bytes"] / 2**20 for row in rows],
        marker="o",
        color=COLOURS[name],
        label=name,
    )
    place.set_yscale("log")
    place.set_title("size, MiB", fontsize=10, loc="left")
