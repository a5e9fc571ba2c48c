"""Draws what curricula.py measured: people's blueprints by task, tasks by task, how random ones spread."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.curricula_report import FLOOR, TOP

GREY = "#d5d5d5"
#: Inches that a blueprint's row takes.
ROW = 0.115


def draw(document: Mapping[str, Any], path: str | Path) -> None:
    """Write the picture of a document of curricula_report.py."""
    rows = _by_family(document["humans"])
    figure = Figure(figsize=(15, max(9.0, 1.8 + ROW * len(rows))), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15), squeeze=False)[0]
    _draw_humans(left.add_subplot(), rows, [row["task"] for row in document["tasks"]])
    places = right.add_gridspec(3, 1, height_ratios=(1, 1, max(0.01, len(rows) / 80 - 1)))
    _draw_pairs(right.add_subplot(places[0]), document)
    _draw_spread(right.add_subplot(places[1]), document["tasks"])
    figure.savefig(path, dpi=110)


def _by_family(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows family by family, within each the best first."""
    families = list(dict.fromkeys(row["family"] for row in rows))
    return sorted(rows, key=lambda row: (families.index(row["family"]), -fmean(row["scores"].values())))


def _draw_humans(axes: Axes, rows: Sequence[Mapping[str, Any]], tasks: Sequence[str]) -> None:
    """Draw a cell a blueprint and task; grey where the task refuses the blueprint."""
    score_NK = np.array([[row["scores"].get(task) for task in tasks] for row in rows], np.float64)
    axes.set_facecolor(GREY)
    image = axes.imshow(
        score_NK.reshape(len(rows), len(tasks)), cmap="viridis", vmin=0, vmax=1, aspect="auto"
    )
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=5.5)
    axes.set_xticks(range(len(tasks)), tasks, rotation=55, ha="left", rotation_mode="anchor", fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for i, row in enumerate(rows):
        if i == 0 or row["family"] != rows[i - 1]["family"]:
            axes.axhline(i - 0.5, color="white", linewidth=1.5)
            axes.text(len(tasks) - 0.3, i, row["family"], va="center", fontsize=6, color="#555555")
    axes.figure.colorbar(
        image, ax=axes, location="bottom", aspect=40, pad=0.01, label="normalised score; grey: not causal"
    )


def _draw_pairs(axes: Axes, document: Mapping[str, Any]) -> None:
    tasks = [row["task"] for row in document["tasks"]]
    rho_KK = np.full((len(tasks), len(tasks)), np.nan)
    for pair in document["pairs"]:
        if pair["spearman"] is not None:
            i, j = (tasks.index(name) for name in pair["tasks"])
            rho_KK[i, j] = rho_KK[j, i] = pair["spearman"]
    axes.set_facecolor(GREY)
    axes.imshow(rho_KK, cmap="RdBu_r", vmin=-1, vmax=1)
    for (i, j), rho in np.ndenumerate(rho_KK):
        if np.isfinite(rho):
            colour = "white" if abs(rho) > 0.6 else "black"
            axes.text(j, i, f"{rho:.2f}", ha="center", va="center", fontsize=6, color=colour)
    axes.set_xticks(range(len(tasks)), tasks, rotation=55, ha="right", rotation_mode="anchor", fontsize=7)
    axes.set_yticks(range(len(tasks)), tasks, fontsize=7)
    axes.tick_params(length=0)
    axes.set_title("Spearman between tasks, random blueprints", fontsize=10, loc="left")


def _draw_spread(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw every random blueprint's score, sorted, as one strip a task."""
    colours = colormaps["viridis"]
    for i, row in enumerate(rows):
        score_N = np.array(row["scores"])
        place_N = (np.arange(len(score_N)) + 0.5) / len(score_N)
        axes.scatter(place_N * 0.8 + i - 0.4, score_N, s=4, color=colours(score_N))
        axes.text(i, 1.03, "✓" if row["is_calibrated"] else "", ha="center", fontsize=9)
    for bound in (FLOOR, TOP):
        axes.axhline(bound, color="#888888", linewidth=0.8, linestyle=(0, (3, 3)))
    names = [f"{row['task']} ({row['num']})" for row in rows]
    axes.set_xticks(range(len(rows)), names, rotation=55, ha="right", rotation_mode="anchor", fontsize=7)
    axes.set_ylim(-0.03, 1.08)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylabel("normalised score", fontsize=8)
    axes.set_title("Random blueprints, lowest first; how many count; ✓ calibrated", fontsize=10, loc="left")
