"""Writes `report.html`, one page that opens offline, and `curves.png`; others draw curves and graphs."""

import math
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from blueprints import LANGUAGE, BlueprintError, Language, parse
from blueprints.drawing import FAMILY_COLOURS, blueprint_svg
from crucible.evaluation import MeasuredLatency
from hall_of_fame.records import Entry, TaskScore
from tamiyo.charts import CHARTS, Rows, chart_svg, curves_png

#: Best blueprints drawn.
DRAWN = 12
_STYLESHEET = Path(__file__).with_name("report.css")
#: Columns of the table of numbers: title, field, form.
_NUMBERS: tuple[tuple[str, str, str], ...] = (
    ("generation", "generation", "d"),
    ("stage", "stage", "s"),
    ("solve it, window", "stage_window_rate", ".1%"),
    ("least of earlier tasks", "stage_earlier_rate", ".1%"),
    ("trainings", "evaluations_total", ",d"),
    ("reward", "reward_mean", ".3f"),
    ("best so far", "best_so_far", ".3f"),
    ("valid", "valid_rate", ".1%"),
    ("unique", "unique_rate", ".1%"),
    ("novel", "novel_rate", ".1%"),
    ("entropy, nats", "entropy", ".3f"),
    ("gradient norm", "gradient_norm", ".3f"),
    ("blueprints/s", "blueprints_per_s", ",.1f"),
    ("time, s", "generation_s", ",.1f"),
)
#: Facts of the header: title, key of the summary, form.
_FACTS: tuple[tuple[str, str, str], ...] = (
    ("strategy", "strategy", "s"),
    ("seed", "seed", "d"),
    ("generations", "generations", "d"),
    ("trainings", "evaluations", ",d"),
    ("distinct blueprints", "blueprints", ",d"),
    ("best reward", "best_reward", ".3f"),
)


def write_report(
    folder: Path,
    rows: Rows,
    entries: Sequence[Entry],
    summary: Mapping[str, Any],
    *,
    language: Language = LANGUAGE,
) -> None:
    """Write `report.html` and `curves.png` into the folder of a run.

    Args:
        folder: the run's folder; the command lines in the report name it.
        rows: lines of metrics, at least one; a missing field leaves a gap in its curve.
        entries: the best blueprints, best first.
        summary: how the run ended; keys that are known are shown.
        language: the language of the entries.
    """
    (folder / "curves.png").write_bytes(curves_png(rows))
    page = report_html(folder, rows, entries, summary, language=language)
    (folder / "report.html").write_text(page, encoding="utf-8")


def report_html(
    folder: Path,
    rows: Rows,
    entries: Sequence[Entry],
    summary: Mapping[str, Any],
    *,
    language: Language = LANGUAGE,
) -> str:
    """Return the page that `write_report` writes."""
    name = escape(str(summary.get("run_id", folder.name)))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{name} - Tamiyo</title>
<style>
{_STYLESHEET.read_text(encoding="utf-8")}</style>
</head>
<body>
<main>
<header>
<h1>{name}</h1>
{_facts(rows, summary)}
</header>
<section aria-label="Curves" class="charts">
{"".join(_figure(chart_svg(chart, rows), chart.name, chart.title, chart.note) for chart in CHARTS)}
</section>
<section aria-labelledby="best">
<h2 id="best">Best blueprints</h2>
{_blueprints(folder, entries[:DRAWN], language)}
</section>
<section aria-labelledby="numbers">
<h2 id="numbers">Numbers</h2>
{_table(rows)}
{_refusals(rows)}
</section>
</main>
</body>
</html>
"""


def _facts(rows: Rows, summary: Mapping[str, Any]) -> str:
    """Return the run's key figures."""
    facts = [(title, _form(summary.get(key), form)) for title, key, form in _FACTS if key in summary]
    budget = summary.get("budget_generations")
    if budget is not None:
        facts = [(t, f"{value} of {budget}" if t == "generations" else value) for t, value in facts]
    for stage, starts in _stage_starts(rows).items():
        facts.append((f"stage {stage}", f"from generation {', '.join(map(str, starts))}"))
    seconds = sum(row.get("generation_s") or 0.0 for row in rows)
    if seconds:
        facts.append(("time in generations", f"{seconds / 60:.1f} min"))
    return '<dl class="facts">' + "".join(map(_fact, facts)) + "</dl>"


def _stage_starts(rows: Rows) -> dict[str, list[int]]:
    """Return the generations at which each stage began, again where the run went back to it."""
    starts: dict[str, list[int]] = {}
    last = None
    for row in rows:
        stage = row.get("stage")
        if stage not in (None, last):
            starts.setdefault(stage, []).append(row["generation"])
            last = stage
    return starts


def _fact(fact: tuple[str, str]) -> str:
    title, value = fact
    return f"<div><dt>{escape(title)}</dt><dd>{escape(value)}</dd></div>"


def _figure(svg: str, name: str, title: str, note: str) -> str:
    return (
        f'<figure id="chart-{name}"><figcaption><h2>{escape(title)}</h2><p>{escape(note)}</p></figcaption>'
        f"{svg}</figure>\n"
    )


def _blueprints(folder: Path, entries: Sequence[Entry], language: Language) -> str:
    if not entries:
        return '<p class="note">No blueprint is on record yet.</p>'
    families = "".join(
        f'<li><span style="--family:{colour}"></span>{escape(family)}</li>'
        for family, colour in FAMILY_COLOURS.items()
    )
    cards = "".join(_card(folder, entry, language) for entry in entries)
    return (
        '<p class="note">In order of performance: the mean over tasks of the score, by their weights, scaled '
        "so that chance is 0 and perfect is 1, times how far the least passed gate is passed. Scores are "
        "held out: mean ± standard deviation over seeds. D is the width of the host.</p>"
        f'<ul class="legend">{families}</ul><div class="cards">{cards}</div>'
    )


def _card(folder: Path, entry: Entry, language: Language) -> str:
    facts = [
        ("performance", _form(entry.performance, ".3f")),
        *((score.task, _score(score)) for score in entry.tasks),
        ("best reward", _form(entry.reward, ".3f")),
        ("parameters", _form(entry.num_parameters, ",d")),
        ("FLOPs", _form(entry.flops, ",d")),
        ("predicted latency", _form(entry.latency_us, ",.1f", " µs")),
        *((f"measured on {latency.device}", _latency(latency)) for latency in entry.measured),
        ("first found", f"generation {entry.generation}"),
    ]
    short = entry.id[:12]
    library = shlex.quote(str(folder))
    commands = (
        f"tamiyo show {short} --library {library}\n"
        f"tamiyo export {short} blueprint_{short}.py --library {library}"
    )
    return (
        f'<article id="blueprint-{escape(short)}">'
        f'<h3><span class="rank">{entry.rank}</span>{escape(short)}</h3>'
        f'<div class="drawing">{_drawing(entry, language)}</div>'
        f"<dl>{''.join(map(_fact, facts))}</dl>"
        f'<code class="tokens">{escape(" ".join(entry.tokens))}</code>'
        f"<pre>{escape(commands)}</pre></article>\n"
    )


def _drawing(entry: Entry, language: Language) -> str:
    try:
        graph = parse(entry.tokens, language).graph
    except BlueprintError as error:
        return f'<p class="note">Not drawn: another language wrote it (rule {escape(error.rule)}).</p>'
    return blueprint_svg(graph, language).replace(' xmlns="http://www.w3.org/2000/svg"', "")


def _score(score: TaskScore) -> str:
    if score.num_seeds < 2:
        return f"{score.mean:.3f}, 1 seed"
    return f"{score.mean:.3f} ± {score.std:.3f}, {score.num_seeds} seeds"


def _latency(latency: MeasuredLatency) -> str:
    return (
        f"{latency.median_us:,.1f} µs, interquartile range {latency.spread_us:,.1f}, "
        f"{latency.ratio:.2f} x the reference"
    )


def _table(rows: Rows) -> str:
    """Return the numbers behind the curves, without the columns that no generation has."""
    columns = [column for column in _NUMBERS if any(row.get(column[1]) is not None for row in rows)]
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title, _, _ in columns)
    lines = (
        "<tr>"
        + "".join(f"<td>{escape(_form(row.get(name), form))}</td>" for _, name, form in columns)
        + "</tr>"
        for row in rows
    )
    return (
        '<details><summary>Every generation</summary><div class="wide"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div></details>"
    )


def _refusals(rows: Rows) -> str:
    """Return how often each rule of the language was broken, and how trainings ended."""
    parts = []
    for prefix, title in (("rule_", "Programs refused, by rule"), ("status_", "Programs, by status")):
        totals: dict[str, int] = {}
        for row in rows:
            for name, count in row.items():
                if name.startswith(prefix):
                    totals[name.removeprefix(prefix)] = totals.get(name.removeprefix(prefix), 0) + (
                        count or 0
                    )
        if totals:
            lines = "".join(
                f"<tr><td>{escape(name)}</td><td>{count:,d}</td></tr>"
                for name, count in sorted(totals.items(), key=lambda item: -item[1])
            )
            parts.append(
                f"<details><summary>{title}</summary><table><tbody>{lines}</tbody></table></details>"
            )
    return "".join(parts)


def _form(value: Any, form: str, unit: str = "") -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    return format(value, form).replace("%", " %") + unit
