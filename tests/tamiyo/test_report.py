"""The report: one page that opens offline, whatever a run recorded."""

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import pytest

from blueprints import HUMAN_BLUEPRINTS, LANGUAGE, parse
from crucible.evaluation import MeasuredLatency
from hall_of_fame.records import Entry, TaskScore
from tamiyo.charts import CHARTS, chart_svg, phases
from tamiyo.report import DRAWN, report_html, write_report

#: Elements without an end.
VOID = {"meta", "link", "br", "img", "input", "hr"}
SUMMARY = {"run_id": "demo", "strategy": "reinforce", "seed": 3, "generations": 6, "budget_generations": 9}


def metrics(generation: int) -> dict:
    """Return a line of metrics such as the loop writes; the stage changes at generation 3."""
    stage = "xor" if generation < 3 else "temporal"
    row = {
        "generation": generation,
        "evaluations_total": 100 * generation,
        "stage": stage,
        "reward_mean": generation / 10,
        "reward_q10": -1.0,
        "reward_q50": generation / 9,
        "reward_q90": generation / 8,
        "best_so_far": 0.9,
        "valid_rate": 0.5,
        "unique_rate": 0.75,
        "novel_rate": 0.25,
        "entropy": 1.5,
        "token_entropy": 2.0,
        "collapse_alarm": float(generation == 5),
        "gradient_norm": None,
        "length_mean": 9.0,
        "score_xor_mean": 0.7,
        "best50_xor_mean": 0.9,
        "solved_xor_rate": 0.4,
        "term_task_mean": 0.3,
        "term_latency_mean": 0.2,
        "status_ok": 40,
        "rule_token-expected": 7,
        "sample_s": 1.0,
        "evaluate_s": 20.0,
        "generation_s": 30.0,
        "blueprints_per_s": 50.0,
    }
    if stage == "temporal":
        row |= {"score_temporal_mean": 0.55, "solved_temporal_rate": 0.1}
    return row


ROWS = [metrics(generation) for generation in range(6)]


def entry(rank: int, tokens: tuple[str, ...], **changes) -> Entry:
    score = {"task_key": "k", "mean": 0.9, "std": 0.0625, "low": 0.8, "high": 1.0}
    tasks = (
        TaskScore(task="xor", num_seeds=2, num_ok=2, **score),
        TaskScore(task="temporal", num_seeds=1, num_ok=1, **score),
    )
    fields = {
        "rank": rank,
        "id": f"{rank:064x}"[::-1],
        "tokens": tokens,
        "language_version": LANGUAGE.version_hash,
        "performance": 0.8,
        "reward": 0.7,
        "num_parameters": 12345,
        "flops": 678900,
        "latency_us": 45.67,
        "tasks": tasks,
        "num_evaluations": 3,
        "run_id": "demo",
        "generation": 4,
    }
    return Entry(**(fields | changes))


ENTRIES = [entry(rank, human.tokens) for rank, human in enumerate(HUMAN_BLUEPRINTS, start=1)]


class Page(HTMLParser):
    """Reads a page: its elements, its text, and whether every element is closed where it should be.

    Attributes:
        elements: name and attributes of each element.
        text: all text outside style sheets.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text += data

    def num(self, tag: str, css_class: str) -> int:
        """Count the elements of a class."""
        found = [a for t, a in self.elements if t == tag and css_class in a.get("class", "").split()]
        return len(found)


def page(rows=ROWS, entries=ENTRIES, summary=SUMMARY, folder: Path = Path("runs/demo")) -> Page:
    return Page(report_html(folder, rows, entries, summary))


def test_the_files_are_written_and_nothing_else(tmp_path: Path):
    before = dict(matplotlib.rcParams)
    write_report(tmp_path, ROWS, ENTRIES, SUMMARY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "report.html"]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert Page((tmp_path / "report.html").read_text(encoding="utf-8")).elements
    assert dict(matplotlib.rcParams) == before


def test_the_page_refers_to_nothing_outside_itself():
    html = report_html(Path("runs/demo"), ROWS, ENTRIES, SUMMARY)
    assert not re.search(r"https?:|//\w|@import|url\((?!#)", html)
    for tag, attributes in Page(html).elements:
        assert tag not in ("script", "iframe", "img")
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:,")), f"{tag} refers to {attributes}"


def test_every_id_is_unique_and_every_reference_meets_one():
    html = report_html(Path("runs/demo"), ROWS, ENTRIES, SUMMARY)
    ids = [attributes["id"] for _, attributes in Page(html).elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    references = set(re.findall(r'(?:url\(|href=")#([^")]+)', html))
    assert references
    assert references <= set(ids)


def test_the_page_has_every_chart_and_the_best_blueprints():
    seen = page()
    assert seen.num("svg", "chart") == len(CHARTS)
    ids = [attributes.get("id") for _, attributes in seen.elements]
    assert all(f"chart-{chart.name}" in ids for chart in CHARTS)
    assert all(chart.title in seen.text for chart in CHARTS)
    assert seen.num("svg", "blueprint") == DRAWN == 12
    nodes = sum(len(list(parse(entry.tokens).graph.all_nodes())) for entry in ENTRIES[:DRAWN])
    assert seen.num("g", "node") == nodes


def test_a_card_draws_the_bodies_of_loops_and_scans():
    program = "LOOP_START REPEAT_3 SCAN_START OUT_DIM_IN ADD STATE_0 TANH SCAN_END LOOP_END".split()
    seen = page(entries=[entry(1, tuple(program))])
    assert seen.num("g", "node") == len("INPUT LOOP INPUT SCAN INPUT STATE ADD TANH".split())
    assert seen.num("g", "body") == 2
    assert "→ state 0" in seen.text


def test_the_page_gives_the_key_figures_of_the_run():
    text = page().text
    for figure in ("reinforce", "6 of 9", "from generation 3", "3.0 min"):
        assert figure in text


def test_a_card_tells_a_measured_latency_with_its_spread():
    sizes = {"width": 16, "time": 16, "batch_size": 32, "repeats": 51}
    times = {"median_us": 1234.56, "spread_us": 7.89, "reference_us": 50.0, "ratio": 24.5}
    latency = MeasuredLatency(device="cpu/<a>", **sizes, **times)
    text = Page(report_html(Path("run"), ROWS, [entry(1, ("RELU",), measured=(latency,))], {})).text
    assert "measured on cpu/<a>" in text
    assert "1,234.6 µs, interquartile range 7.9, 24.50 x the reference" in text
    assert "measured on" not in page().text


def test_a_card_tells_scores_with_spread_and_how_to_get_the_blueprint():
    text = page(folder=Path("my runs/demo")).text
    for figure in ("0.900 ± 0.062, 2 seeds", "0.900, 1 seed", "12,345", "678,900", "45.7 µs", "generation 4"):
        assert figure in text
    short = ENTRIES[0].id[:12]
    assert f"tamiyo show {short} --library 'my runs/demo'" in text
    assert f"tamiyo export {short} blueprint_{short}.py --library 'my runs/demo'" in text
    assert " ".join(ENTRIES[0].tokens) in text


def test_numbers_of_every_generation_and_counts_of_refusals_are_tables():
    html = report_html(Path("runs/demo"), ROWS, ENTRIES, SUMMARY)
    (table,) = re.findall(r"<thead>.*?</tbody>", html)
    lines = [re.findall(r"<t[hd](?: [^>]*)?>(.*?)</t[hd]>", line) for line in table.split("</tr>")]
    titles, *rows = [line for line in lines if line]
    assert titles[:5] == ["generation", "stage", "trainings", "reward", "best so far"]
    assert [row[:6] for row in rows[2:4]] == [
        ["2", "xor", "200", "0.200", "0.900", "50.0 %"],
        ["3", "temporal", "300", "0.300", "0.900", "50.0 %"],
    ]
    assert len(rows) == len(ROWS)
    assert "gradient norm" not in titles, "a column that no generation has"
    assert "<td>token-expected</td><td>42</td>" in html


@pytest.mark.parametrize(
    "rows",
    [[metrics(0)], [{"generation": 0}], [metrics(0), {"generation": 1, "stage": "xor"}, metrics(2)]],
    ids=["one row", "no fields", "a gap"],
)
def test_missing_rows_and_fields_are_tolerated(rows: list[dict], tmp_path: Path):
    write_report(tmp_path, rows, [], {})
    seen = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert seen.num("svg", "chart") == len(CHARTS)
    assert "No blueprint is on record yet." in seen.text


def test_a_curve_that_was_not_recorded_says_so():
    charts = {chart.name: chart_svg(chart, [{"generation": 0, "reward_mean": 0.5}]) for chart in CHARTS}
    assert [name for name, svg in charts.items() if "not recorded" not in svg] == ["reward"]


def test_the_curves_of_a_single_generation_are_points_that_can_be_seen():
    reward = next(chart_svg(chart, ROWS[:1]) for chart in CHARTS if chart.name == "reward")
    curves = re.findall(r'<g id="reward-line2d_\d+">(.*?)</g>', reward, re.DOTALL)
    num_points = sum("<use" in curve for curve in curves)
    num_keys = len({"best so far", "mean", "median"})
    assert num_points == 2 * num_keys, "each curve and its key in the legend"


def test_numbers_that_are_not_finite_leave_a_gap():
    rows = [metrics(0), metrics(1) | {"best_so_far": -math.inf, "reward_mean": math.nan}, metrics(2)]
    assert not re.search(r"\b(nan|inf)\b", report_html(Path("x"), rows, [], {"best_reward": -math.inf}))


def test_stages_and_alarms_are_marked_in_the_curves():
    entropy = next(chart_svg(chart, ROWS) for chart in CHARTS if chart.name == "entropy")
    assert {"xor", "temporal", "collapse alarm"} <= set(re.findall(r">([^<>]+)</text>", entropy))
    quiet = next(chart_svg(chart, ROWS[:3]) for chart in CHARTS if chart.name == "entropy")
    assert not {"temporal", "collapse alarm"} & set(re.findall(r">([^<>]+)</text>", quiet))


def test_a_stage_that_a_run_went_back_to_is_told_with_every_beginning():
    stages = ("xor", "temporal", "temporal", "xor", "temporal", "temporal")
    rows = [row | {"stage": stage} for row, stage in zip(ROWS, stages, strict=True)]
    rows[2] |= {"stage_window_rate": 0.5, "stage_earlier_rate": 0.125}
    page = report_html(Path("run"), rows, [], SUMMARY)
    assert "<dt>stage xor</dt><dd>from generation 0, 3</dd>" in page
    assert "<dt>stage temporal</dt><dd>from generation 1, 4</dd>" in page
    assert "<td>50.0 %</td><td>12.5 %</td>" in page


def test_a_suite_of_many_tasks_has_a_curve_for_each():
    names = [f"task{i}" for i in range(12)]
    rows = [row | {f"score_{name}_mean": 0.5 for name in names} for row in ROWS]
    svg = chart_svg(next(chart for chart in CHARTS if chart.name == "scores"), rows)
    assert {name for name in names if name in svg} == set(names)


def test_phases_are_the_timed_parts_of_a_generation():
    assert phases(ROWS) == ["sample_s", "evaluate_s"]


def test_names_from_outside_are_escaped():
    hostile = "<script>alert(1)</script>&"
    rows = [metrics(0) | {"stage": hostile, f"rule_{hostile}": 1, f"score_{hostile}_mean": 0.5}]
    entries = [entry(1, (hostile,), latency_us=None, reward=None)]
    seen = page(rows, entries, {"run_id": hostile, "strategy": hostile}, Path(hostile))
    assert "script" not in [tag for tag, _ in seen.elements]
    assert hostile in seen.text
    assert "Not drawn" in seen.text
