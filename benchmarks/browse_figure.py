"""Draws what benchmarks/browse.py measured: percentiles of every page, and what a library's size does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

#: The aim, and the library that it is set for.
AIM_MS, AIM_NUM = 300.0, "100000"
MARKS = {"p50_s": ("o", "median"), "p95_s": ("D", "95 %"), "p99_s": ("|", "99 %")}
#: Of lines: colours that eyes without red or green tell apart too (Okabe and Ito, 2008), strokes, marks.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
STROKES, DOTS = ("-", "--", ":"), "osD^vP<>Xhp*"


def look(number: int) -> dict[str, str]:
    """Return colour, stroke and mark of a line; the first 12 marks differ."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": STROKES[number // len(COLOURS) % len(STROKES)],
        "marker": DOTS[number % len(DOTS)],
    }


def draw(document: Mapping[str, Any], path: str | Path) -> None:
    """Write the picture of a document of benchmarks/browse.py with at least one library."""
    measured = document["measured"]
    num = AIM_NUM if AIM_NUM in measured else max(measured, key=int)
    pages = measured[num]["pages"]
    figure = Figure(figsize=(11.0, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=[1.0, 1.1])
    names = list(reversed(pages))
    for key, (mark, label) in MARKS.items():
        values = [1000 * pages[name][key] for name in names]
        left.plot(values, range(len(names)), mark, label=label, color="#1b6ca8", alpha=0.9)
    left.set_yticks(range(len(names)), names)
    left.set(xscale="log", xlabel="ms until the first part of the HTML")
    left.set_title(f"{int(num):,} blueprints, written to", fontsize=10)
    left.axvline(AIM_MS, color="#b3402a", linestyle="--", linewidth=1, label="aim of the 95 %")
    left.legend(frameon=False, fontsize=8)
    for number, name in enumerate(pages):
        found = [(int(n), 1000 * of["pages"][name]["p95_s"]) for n, of in measured.items()]
        right.plot(*zip(*found, strict=True), markersize=4, label=name, **look(number))
    right.axhline(AIM_MS, color="#b3402a", linestyle="--", linewidth=1)
    right.set(xscale="log", yscale="log", xlabel="blueprints", ylabel="ms, 95 %")
    right.set_title("by the size of the library", fontsize=10)
    right.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for place in (left, right):
        place.grid(alpha=0.25)
        place.spines[["top", "right"]].set_visible(False)
        place.tick_params(labelsize=8)
    figure.savefig(path, dpi=110)
