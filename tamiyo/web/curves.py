"""The curves of a run: which fields of its metrics are drawn together, and a plain drawing of them as SVG.

The drawing serves readers without scripts; static/curves.js puts live curves of the same fields in its place.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle, pairwise
from typing import Any

from markupsafe import Markup

Rows = Sequence[Mapping[str, Any]]

#: Colours of lines, those of a run's report.
BLUE, ORANGE, GREEN, RED = "#3b82d6", "#d9663a", "#1f9d8a", "#d1435b"
PURPLE, OCHRE, PINK, GREY = "#9a63d8", "#b58a1b", "#c94f83", "#8b949e"
_CYCLE = (BLUE, ORANGE, GREEN, PURPLE, OCHRE, PINK, RED, GREY)
_TERMS = {"task": BLUE, "stability": GREEN, "parameters": OCHRE, "latency": PURPLE, "redundancy": ORANGE}
#: Points of a drawn line at most; of more rows every n-th is drawn, and the last.
_MOST_POINTS = 200
#: Size of a drawing, and its margins at the left and below.
WIDTH, HEIGHT, LEFT, BOTTOM = 480.0, 190.0, 44.0, 22.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line: the field of the metrics, its name and colour, and whether it is dashed."""

    field: str
    label: str
    colour: str
    is_dashed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Lines that share an axis.

    Attributes:
        name: identifier, unique on the page.
        title: what they show, with the unit.
        note: one sentence on how to read them.
        series: at least one.
        band: fields between which the ground is coloured; empty for none.
        low: end of the axis; None where the values decide.
        high: likewise.
    """

    name: str
    title: str
    note: str
    series: tuple[Series, ...]
    band: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


def curves_of(rows: Rows) -> list[Curve]:
    """Return the curves that have something to show, in reading order."""
    fields = list(dict.fromkeys(name for row in rows for name in row))
    return [curve for curve in _all_curves(fields) if curve.series]


def definitions(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """Return the curves as values of JSON, for the script that draws them."""
    return [asdict(curve) for curve in curves]


def curve_svg(curve: Curve, rows: Rows) -> Markup:
    """Return the lines of a curve over the generations, on a grid, without a legend."""
    step = max(1, math.ceil(len(rows) / _MOST_POINTS))
    kept = [row for place, row in enumerate(rows) if place % step == 0 or place == len(rows) - 1]
    lines = [(series, _values(kept, series.field)) for series in curve.series]
    known = [value for _, values in lines for value in values if value is not None]
    low = curve.low if curve.low is not None else min(known, default=0.0)
    high = curve.high if curve.high is not None else max(known, default=1.0)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    first, last = kept[0]["generation"], kept[-1]["generation"]

    def place(generation: float, value: float) -> tuple[float, float]:
        x = (generation - first) / ((last - first) or 1)
        y = (min(max(value, low), high) - low) / (high - low)
        return LEFT + x * (WIDTH - LEFT - 6), 6 + (1 - y) * (HEIGHT - BOTTOM - 6)

    parts = [
        Markup("").join(
            grid_line(low + share * (high - low), place(first, low + share * (high - low))[1])
            for share in (0, 0.5, 1)
        )
    ]
    for series, values in lines:
        points = [(row["generation"], value) for row, value in zip(kept, values, strict=True)]
        parts.append(_line(series, [None if v is None else place(g, v) for g, v in points]))
    parts.append(axis_ends(first, last, "generation"))
    return Markup(
        '<svg class="curve" role="img" aria-label="{}" viewBox="0 0 {:.0f} {:.0f}">{}</svg>'
    ).format(f"{curve.title}, generations {first} to {last}", WIDTH, HEIGHT, Markup("").join(parts))


def _all_curves(fields: Sequence[str]) -> list[Curve]:
    own = dict.fromkeys(fields)

    def some(*series: Series) -> tuple[Series, ...]:
        return tuple(one for one in series if one.field in own)

    def each(pattern: str, label: str = "{}") -> tuple[Series, ...]:
        found = [(name, match.group(1)) for name in fields if (match := re.fullmatch(pattern, name))]
        return tuple(
            Series(field=name, label=label.format(what), colour=colour)
            for (name, what), colour in zip(found, cycle(_CYCLE), strict=False)
        )

    scores = each(r"score_(.+)_mean")
    bests = tuple(
        Series(field=f"score_{one.label}_best", label=f"{one.label}, best", colour=one.colour, is_dashed=True)
        for one in scores
    )
    return [
        Curve(
            name="reward",
            title="Reward",
            note="Of all programs of a generation; an invalid one gets −1. Shaded, 10th to 90th percentile.",
            series=some(
                Series(field="best_so_far", label="best so far", colour=GREEN),
                Series(field="reward_mean", label="mean", colour=BLUE),
                Series(field="reward_q50", label="median", colour=BLUE, is_dashed=True),
                Series(field="reward_q10", label="10 %", colour=GREY, is_dashed=True),
                Series(field="reward_q90", label="90 %", colour=GREY, is_dashed=True),
            ),
            band=("reward_q90", "reward_q10") if {"reward_q10", "reward_q90"} <= own.keys() else (),
        ),
        Curve(
            name="terms",
            title="Every term of the reward",
            note="Mean over valid programs, before weights; parameters, latency and redundancy are costs.",
            series=tuple(
                replace(one, colour=_TERMS.get(one.label, one.colour)) for one in each(r"term_(.+)_mean")
            ),
            low=0.0,
            high=1.0,
        ),
        Curve(
            name="scores",
            title="Task score (0 to 1)",
            note="Mean held-out score of valid, distinct programs; dashed, the best of the generation.",
            series=(*scores, *some(*bests)),
            low=0.0,
            high=1.0,
        ),
        Curve(
            name="rates",
            title="Valid, unique and novel programs (share)",
            note="Unique and novel up to isomorphism; a novel one was never trained before in this run.",
            series=some(
                Series(field="valid_rate", label="valid", colour=BLUE),
                Series(field="unique_rate", label="unique", colour=ORANGE),
                Series(field="novel_rate", label="novel", colour=PURPLE),
            ),
            low=0.0,
            high=1.0,
        ),
        Curve(
            name="solved",
            title="Programs that solve the task (share)",
            note="Of valid, distinct ones; promotion rests on them.",
            series=each(r"solved_(.+)_rate"),
            low=0.0,
            high=1.0,
        ),
        Curve(
            name="entropy",
            title="Entropy (nats)",
            note="Of the policy's next token, and of the tokens at each position among the programs written.",
            series=some(
                Series(field="entropy", label="policy", colour=BLUE),
                Series(field="token_entropy", label="programs", colour=ORANGE),
            ),
            low=0.0,
        ),
        Curve(
            name="length",
            title="Program length (tokens)",
            note="Mean over all programs of a generation.",
            series=some(Series(field="length_mean", label="mean", colour=BLUE)),
            low=0.0,
        ),
        Curve(
            name="learning",
            title="Learning",
            note="What the strategy says of its own updates.",
            series=some(
                Series(field="policy_loss", label="policy loss", colour=BLUE),
                Series(field="gradient_norm", label="gradient norm", colour=ORANGE),
            ),
        ),
        Curve(
            name="time",
            title="Time of each phase (s)",
            note="Wall-clock, by generation.",
            series=each(r"(?!generation)(.+)(?<!_per)_s"),
            low=0.0,
        ),
    ]


def _values(rows: Rows, field: str) -> list[float | None]:
    found = (row.get(field) for row in rows)
    return [float(v) if isinstance(v, int | float) and math.isfinite(v) else None for v in found]


def _line(series: Series, places: Sequence[tuple[float, float] | None]) -> Markup:
    """Return a line with gaps where values are missing, and a dot where a value stands alone."""
    known = [place for place in places if place is not None]
    if len(known) == 1:
        return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3" fill="{}"/>').format(*known[0], series.colour)
    pairs = [(a, b) for a, b in pairwise(places) if a is not None and b is not None]
    path = "".join(f"M{a[0]:.1f} {a[1]:.1f}L{b[0]:.1f} {b[1]:.1f}" for a, b in pairs)
    dashes = Markup(' stroke-dasharray="4 3"') if series.is_dashed else ""
    return Markup('<path d="{}" stroke="{}"{}/>').format(path, series.colour, dashes)


def grid_line(value: float, y: float) -> Markup:
    """Return a line across a drawing, with the number that it stands for."""
    return Markup(
        '<line x1="{:.0f}" x2="{:.0f}" y1="{y:.1f}" y2="{y:.1f}"/><text x="{:.0f}" y="{:.1f}">{:.3g}</text>'
    ).format(LEFT, WIDTH - 6, LEFT - 6, y + 4, value, y=y)


def axis_ends(first: int, last: int, unit: str) -> Markup:
    """Return what a drawing's lower axis begins and ends with."""
    y = HEIGHT - 6
    return Markup(
        '<text class="start" x="{:.0f}" y="{:.0f}">{}</text><text x="{:.0f}" y="{:.0f}">{} {}</text>'
    ).format(LEFT, y, first, WIDTH - 6, y, unit, last)
