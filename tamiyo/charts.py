"""The curves of a run as a table of charts, drawn by matplotlib; leaves the page around them to report.py."""

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

Rows = Sequence[Mapping[str, Any]]

#: Text, faint text and grid; in an SVG they stand for the page's own, so that it follows the page's theme.
INK, FAINT, GRID = "#1f2328", "#59636e", "#d1d9e0"
BLUE, ORANGE, GREEN, RED = "#3b82d6", "#d9663a", "#1f9d8a", "#d1435b"
PURPLE, OCHRE, PINK, GREY = "#9a63d8", "#b58a1b", "#c94f83", "#8b949e"
_CYCLE = (BLUE, ORANGE, GREEN, PURPLE, OCHRE, PINK, RED, GREY)
_TERMS = {"task": BLUE, "stability": GREEN, "parameters": OCHRE, "latency": PURPLE, "redundancy": ORANGE}
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "svg.fonttype": "none",
    "svg.hashsalt": "tamiyo",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One picture of a run.

    Attributes:
        name: identifier, unique in the page.
        title: what it shows, with the unit.
        note: one sentence on how to read it.
        draw: draws the rows on the axes.
        is_stacked: whether the legend runs upwards, as the stack does.
    """

    name: str
    title: str
    note: str
    draw: Callable[[Axes, Rows], None]
    is_stacked: bool = False


def chart_svg(chart: Chart, rows: Rows) -> str:
    """Return the chart as an `<svg>` element that takes `--ink`, `--faint` and `--grid` from its page."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(6.0, 3.1), layout="constrained", facecolor="none")
        _draw(figure.add_subplot(), chart, rows, has_title=False)
        written = io.StringIO()
        FigureCanvasSVG(figure).print_svg(written, metadata={"Date": None})
    return _for_page(written.getvalue(), chart)


def curves_png(rows: Rows) -> bytes:
    """Return all charts as one PNG on white."""
    with rc_context(_STYLE):
        num_lines = math.ceil(len(CHARTS) / 2)
        figure = Figure(figsize=(12.0, 3.1 * num_lines), layout="constrained", facecolor="white")
        figure.get_layout_engine().set(w_pad=0.15, h_pad=0.12)  # type: ignore[union-attr]
        for place, chart in enumerate(CHARTS, start=1):
            _draw(figure.add_subplot(num_lines, 2, place), chart, rows, has_title=True)
        written = io.BytesIO()
        FigureCanvasAgg(figure)
        figure.savefig(written, format="png", dpi=110)
    return written.getvalue()


def phases(rows: Rows) -> list[str]:
    """Return the timed phases of a generation, in the order in which they happen."""
    names = [name for row in rows for name in row if name.endswith("_s") and not name.endswith("_per_s")]
    return [name for name in dict.fromkeys(names) if name != "generation_s"]


def _draw(axes: Axes, chart: Chart, rows: Rows, has_title: bool) -> None:
    axes.patch.set_alpha(0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)
    axes.tick_params(colors=FAINT, length=0, labelsize=8.5)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("generation", color=FAINT)
    if has_title:
        axes.set_title(chart.title, loc="left", color=INK, pad=18)
    chart.draw(axes, rows)
    generations = _values(rows, "generation")
    axes.set_xlim(min(generations) - 0.5, max(generations) + 0.5)
    if axes.has_data():
        _draw_stages(axes, rows)
    else:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", color=FAINT)
        axes.set_yticks([])
    handles, labels = axes.get_legend_handles_labels()
    if chart.is_stacked:
        handles, labels = handles[::-1], labels[::-1]
    if labels:
        legend = axes.legend(
            handles, labels, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, handlelength=1.4
        )
        for text in legend.get_texts():
            text.set_color(INK)


def _draw_stages(axes: Axes, rows: Rows) -> None:
    """Mark where each stage of the curriculum begins."""
    stage = None
    for row in rows:
        if row.get("stage") in (stage, None):
            continue
        is_first = stage is None
        stage, x = row["stage"], row["generation"] - 0.5
        if not is_first:
            axes.axvline(x, color=FAINT, linewidth=1, linestyle=(0, (3, 3)))
        axes.annotate(
            str(stage),
            (x, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, 3),
            textcoords="offset points",
            color=FAINT,
            fontsize=8.5,
            fontstyle="italic",
        )


def _values(rows: Rows, name: str) -> list[float]:
    """Return one number a row; NaN, which leaves a gap, where the field is missing or no number."""
    values = (row.get(name) for row in rows)
    return [float(v) if isinstance(v, int | float) and math.isfinite(v) else math.nan for v in values]


def _line(axes: Axes, rows: Rows, name: str, label: str, color: str, **style: Any) -> None:
    """Draw one field as a line, with its points where they are few; nothing if no row has it."""
    values = _values(rows, name)
    if all(map(math.isnan, values)):
        return
    has_points = len(rows) <= 40 and "linestyle" not in style
    style = {"linewidth": 1.8, "marker": "o" if has_points else "", "markersize": 3} | style
    if sum(map(math.isfinite, values)) == 1:  # a line of one point would not be seen
        style |= {"marker": "o", "markersize": 2 * style["linewidth"]}
    axes.plot(_values(rows, "generation"), values, color=color, label=label, **style)


def _matching(rows: Rows, pattern: str) -> list[str]:
    """Return what the pattern's group catches in the rows' fields, in the order of their appearance."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [found.group(1) for name in names if (found := re.fullmatch(pattern, name))]


def _draw_reward(axes: Axes, rows: Rows) -> None:
    low, high = _values(rows, "reward_q10"), _values(rows, "reward_q90")
    _line(axes, rows, "best_so_far", "best so far", GREEN, drawstyle="steps-post", marker="")
    _line(axes, rows, "reward_mean", "mean", BLUE)
    _line(axes, rows, "reward_q50", "median", BLUE, linestyle=(0, (4, 2)), linewidth=1.2)
    if not all(map(math.isnan, low)):
        generations = _values(rows, "generation")
        axes.fill_between(
            generations, low, high, color=BLUE, alpha=0.18, linewidth=0, label="10th to 90th\npercentile"
        )


def _draw_rates(axes: Axes, rows: Rows) -> None:
    # Often all near 100 %: each line is thinner than the one that it covers.
    _line(axes, rows, "valid_rate", "valid, of all", BLUE, linewidth=4.5, marker="")
    _line(axes, rows, "unique_rate", "unique, of valid", ORANGE, linewidth=2.6, marker="")
    _line(axes, rows, "novel_rate", "novel, of all", PURPLE, linewidth=1.2)
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))


def _draw_scores(axes: Axes, rows: Rows) -> None:
    for task, color in zip(_matching(rows, r"score_(.+)_mean"), cycle(_CYCLE), strict=False):
        _line(axes, rows, f"score_{task}_mean", task, color)
        for best in _matching(rows, rf"(best\d+)_{re.escape(task)}_mean"):
            label = f"{task}, best {best.removeprefix('best')}\nso far"
            _line(axes, rows, f"{best}_{task}_mean", label, color, linestyle=(0, (4, 2)), linewidth=1.2)


def _draw_solved(axes: Axes, rows: Rows) -> None:
    for task, color in zip(_matching(rows, r"solved_(.+)_rate"), cycle(_CYCLE), strict=False):
        _line(axes, rows, f"solved_{task}_rate", task, color)
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))


def _draw_entropy(axes: Axes, rows: Rows) -> None:
    if _values(rows, "entropy") != _values(rows, "token_entropy"):
        _line(axes, rows, "entropy", "policy", BLUE)
    _line(axes, rows, "token_entropy", "programs", ORANGE)
    alarms = [row["generation"] for row in rows if row.get("collapse_alarm")]
    if alarms:
        axes.plot(
            alarms, [0] * len(alarms), "^", color=RED, markersize=6, clip_on=False, label="collapse alarm"
        )
    if axes.has_data():
        axes.set_ylim(bottom=0)


def _draw_length(axes: Axes, rows: Rows) -> None:
    _line(axes, rows, "length_mean", "mean", BLUE)
    if axes.has_data():
        axes.set_ylim(bottom=0)


def _draw_time(axes: Axes, rows: Rows) -> None:
    bottom = [0.0] * len(rows)
    generations = _values(rows, "generation")
    for name, color in zip(phases(rows), (GREY, PINK, BLUE, OCHRE, GREEN, PURPLE, RED, ORANGE), strict=False):
        heights = [0.0 if math.isnan(value) else value for value in _values(rows, name)]
        axes.bar(generations, heights, 0.82, bottom, color=color, linewidth=0, label=name.removesuffix("_s"))
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]


def _draw_terms(axes: Axes, rows: Rows) -> None:
    others = iter((PINK, RED, GREY))
    for term in _matching(rows, r"term_(.+)_mean"):
        _line(axes, rows, f"term_{term}_mean", term, _TERMS.get(term) or next(others, INK))
    if axes.has_data():
        axes.set_ylim(-0.03, 1.03)


#: Every chart of a run, in reading order.
CHARTS: tuple[Chart, ...] = (
    Chart(
        name="reward",
        title="Reward",
        note="Of all programs of a generation; an invalid one gets -1.",
        draw=_draw_reward,
    ),
    Chart(
        name="scores",
        title="Task score of valid, distinct programs (0 to 1)",
        note="Mean held-out score; dashed, the mean of the best distinct programs found so far.",
        draw=_draw_scores,
    ),
    Chart(
        name="rates",
        title="Valid, unique and novel programs",
        note="Unique and novel up to isomorphism; a novel one was never trained before in this run.",
        draw=_draw_rates,
    ),
    Chart(
        name="solved",
        title="Valid, distinct programs that solve the task",
        note="At or above the task's solved threshold; promotion and demotion rest on solved programs.",
        draw=_draw_solved,
    ),
    Chart(
        name="terms",
        title="Terms of the reward",
        note="Mean over valid programs, before weights; parameters, latency and redundancy are costs.",
        draw=_draw_terms,
    ),
    Chart(
        name="entropy",
        title="Entropy (nats)",
        note="Of the policy's next token, and of the tokens at each position among the programs written.",
        draw=_draw_entropy,
    ),
    Chart(
        name="length",
        title="Program length (tokens)",
        note="Mean over all programs of a generation.",
        draw=_draw_length,
    ),
    Chart(
        name="time",
        title="Time of each phase of a generation (s)",
        note="Wall-clock, stacked.",
        draw=_draw_time,
        is_stacked=True,
    ),
)


def _for_page(svg: str, chart: Chart) -> str:
    """Return matplotlib's file as an element of a page: own ids, the page's colours, no foreign addresses."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'\bid="', f'id="{chart.name}-', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{chart.name}-", svg)
    for colour, variable in ((INK, "ink"), (FAINT, "faint"), (GRID, "grid")):
        svg = svg.replace(colour, f"var(--{variable})")
    opening = f'<svg class="chart" role="img" aria-label="{chart.title}"'
    return re.sub(r'^<svg width="[^"]*" height="[^"]*"', opening, re.sub(r' version="1.1"', "", svg, count=1))
