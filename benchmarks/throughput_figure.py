"""Draws what crucible_throughput.py measured: speed-ups, shares of the floor, cost by size."""

import statistics
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

#: One colour an engine, the same in every panel.
COLOURS = {
    "loop": "#9a9a9a",
    "reference": "#6b6b6b",
    "batched": "#4c78a8",
    "native": "#e45756",
    "native+algebra": "#f58518",
    "native+stop": "#54a24b",
    "native+rungs": "#b279a2",
}


def draw(document: dict[str, Any], path: str | Path) -> None:
    """Write the picture of a document of crucible_throughput.py."""
    rows, sweep = document["rows"], document["sweep"]
    crowd = max(1.0, len({row["task"] for row in rows}) / 6)
    widths = [crowd, crowd, 1.0] if sweep else [crowd, crowd]
    figure, axes = plt.subplots(
        1, len(widths), figsize=(5.2 * sum(widths), 4.8), gridspec_kw={"width_ratios": widths}
    )
    _speed_ups(axes[0], rows)
    _floor_shares(axes[1], rows)
    if sweep:
        _sweep(axes[2], sweep)
    machine = document["machine"]
    figure.suptitle(
        f"{machine['processor']}, {machine['instruction_set']}, {machine['num_workers']} cores, "
        f"torch {machine['torch']}; medians of {len(rows[0]['ratios'])} paired rounds, lines: range",
        fontsize=10,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _grouped(axes: Axes, rows: list[dict[str, Any]], engines: list[str]) -> tuple[list[str], float]:
    """Prepare groups of bars, a group a task; return the tasks and the width of a bar."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    axes.set_xticks(range(len(tasks)), [task.replace("_", "\n") for task in tasks], fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return tasks, 0.8 / max(1, len(engines))


def _label(axes: Axes, text: str, x: float, y: float) -> None:
    axes.annotate(text, (x, y), ha="center", va="bottom", fontsize=7)


def _speed_ups(axes: Axes, rows: list[dict[str, Any]]) -> None:
    engines = [e for e in dict.fromkeys(row["engine"] for row in rows) if e != "reference"]
    tasks, width = _grouped(axes, rows, engines)
    for row in rows:
        if row["engine"] == "reference":
            continue
        x = tasks.index(row["task"]) - 0.4 + (engines.index(row["engine"]) + 0.5) * width
        low, high = row["ratio_to_reference_range"]
        ratio = row["ratio_to_reference"]
        axes.bar(x, ratio, width, color=COLOURS.get(row["engine"], "#000000"))
        axes.vlines(x, low, high, color="black", linewidth=1)
        axes.annotate(
            f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}", (x, high), ha="center", va="bottom", fontsize=7
        )
    axes.set_yscale("log")
    axes.set_ylim(top=6 * max(row["ratio_to_reference_range"][1] for row in rows))  # room for the legend
    axes.axhline(1, color=COLOURS["reference"], linewidth=1)
    axes.set_ylabel("blueprints a second, times the reference engine's")
    axes.set_title("Speed-up")
    handles = [Rectangle((0, 0), 1, 1, color=COLOURS.get(engine, "#000000")) for engine in engines]
    axes.legend(handles, engines, fontsize=8, frameon=False, ncols=2, loc="upper left")


def _floor_shares(axes: Axes, rows: list[dict[str, Any]]) -> None:
    shown = [row for row in rows if row["engine"] in ("batched", "native")]
    engines = list(dict.fromkeys(row["engine"] for row in shown))
    tasks, width = _grouped(axes, shown, engines)
    for row in shown:
        x = tasks.index(row["task"]) - 0.4 + (engines.index(row["engine"]) + 0.5) * width
        share = row["gemm_floor_share"]
        axes.bar(x, share, width, color=COLOURS[row["engine"]])
        _label(axes, f"{share:.2f}", x, share)
    axes.set_ylim(0, 1)
    axes.set_ylabel("time of the matrix products alone / time")
    axes.set_title("Share of the GEMM floor")


def _sweep(axes: Axes, sweep: list[dict[str, Any]]) -> None:
    for task, marker in zip(dict.fromkeys(row["task"] for row in sweep), "os", strict=False):
        own = [row for row in sweep if row["task"] == task]
        sizes = [row["num"] for row in own]
        mean = statistics.mean(row["seconds_per_tflop"] for row in own)
        costs = [row["seconds_per_tflop"] / mean for row in own]
        axes.plot(
            sizes,
            costs,
            marker=marker,
            color=COLOURS["native"],
            label=task,
            alpha=1 if marker == "o" else 0.6,
        )
    axes.axhspan(0.9, 1.1, color="#dddddd", zorder=0, label="within 10 %")
    axes.set_xscale("log", base=2)
    axes.set_ylim(0, None)
    axes.set_xlabel("blueprints in one call")
    axes.set_ylabel("seconds a TFLOP, times the mean of the sizes")
    axes.set_title("Cost by size, native engine")
    axes.legend(fontsize=8, frameon=False)
