"""The library in a notebook: frames hold what the ledger holds, and cards and tables show it, escaped."""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ledgers import commit, evaluation, human_blueprints, measured, run_record

import hall_of_fame
from blueprints import blueprint_svg, human
from crucible.evaluation import LossCurve, TaskResult
from hall_of_fame.errors import StoreError
from hall_of_fame.html_form import entries_html
from hall_of_fame.library import Library
from hall_of_fame.proofs import ProofBook
from hall_of_fame.records import Proof, TaskProof
from hall_of_fame.store import Store

CURVE = LossCurve(planned_steps=9, means=(0.75, 0.5))
DOCS = Path(__file__).resolve().parents[2] / "docs"


def write(path: Path) -> Path:
    """Write a ledger of three blueprints: good on two tasks, good on one, and never trained well."""
    good, late, bad = human_blueprints(3)
    with Store.open(path, create=True) as store:
        store.add_run(run_record())
        xor = [TaskResult(task="xor", seed=seed, score=0.9 - seed / 10) for seed in (0, 1)]
        temporal = TaskResult(task="temporal", seed=0, score=0.8, num_steps=7, loss_curve=CURVE)
        broken = TaskResult(task="xor", seed=0, status="diverged", reason="the loss is NaN")
        commit(store, 0, [(good, evaluation(good, *xor, temporal)), (bad, evaluation(bad, broken))])
        commit(store, 1, [(late, evaluation(late, xor[1]))])
        store.add_latencies("run", 1, {good.id: measured()})
    return path


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with hall_of_fame.open(write(tmp_path / "library.db")) as library:
        yield library


def test_a_frame_has_a_row_for_each_blueprint_with_its_evidence(library: Library) -> None:
    good, late, _ = human_blueprints(3)
    frame = library.to_pandas()
    assert list(frame["id"]) == [good.id, late.id]
    assert list(frame["rank"]) == [1, 2]
    assert list(frame["tokens"]) == [str(good), str(late)]
    first, second = frame.to_dict("records")
    assert (first["score_xor"], first["low_xor"], first["high_xor"]) == pytest.approx((0.85, 0.8, 0.9))
    assert (first["seeds_xor"], first["score_temporal"]) == (2, 0.8)
    assert (first["num_parameters"], first["latency_us"], first["measured_us_cpu/a_16"]) == (100, 5.0, 12.5)
    assert (first["run_id"], first["generation"], second["generation"]) == ("run", 0, 1)
    assert frame["score_temporal"].isna().tolist() == [False, True]
    assert frame["seeds_temporal"].isna().tolist() == [False, True]
    assert str(frame["seeds_temporal"].dtype) == "Int64"
    assert [row["performance"] for row in (first, second)] == [e.performance for e in library.list()]


def test_a_frame_can_be_cut_and_ranked_by_a_stage(library: Library) -> None:
    assert len(library.to_pandas(1)) == 1
    assert list(library.to_pandas(stage="xor")["id"]) == [entry.id for entry in library.list(stage="xor")]
    with pytest.raises(StoreError, match="no stage 'later'; expected one of xor"):
        library.to_pandas(stage="later")


def test_the_long_form_has_a_row_for_each_training_good_or_bad(library: Library) -> None:
    frame = library.evaluations_to_pandas()
    assert len(frame) == library.store.counts().evaluations == 5
    assert sorted(set(frame["blueprint_id"])) == sorted(b.id for b in human_blueprints(3))
    assert frame["status"].value_counts().to_dict() == {"ok": 4, "diverged": 1}
    means = frame.groupby(["blueprint_id", "task"])["score"].mean()
    assert means[human_blueprints(1)[0].id, "xor"] == pytest.approx(0.85)
    assert frame.loc[frame["task"] == "temporal", "num_steps"].tolist() == [7]
    assert frame.loc[frame["task"] == "temporal", "loss_curve"].tolist() == [CURVE.means]
    assert frame["planned_steps"].dropna().tolist() == [9]
    assert frame["loss_curve"].isna().sum() == 4
    assert {"task_key", "seed", "engine_id", "run_id", "generation", "flops"} <= set(frame.columns)
    assert "fingerprint" not in frame.columns


def test_an_empty_ledger_gives_frames_of_the_same_columns(library: Library, tmp_path: Path) -> None:
    with Store.open(tmp_path / "empty.db", create=True):
        pass
    with hall_of_fame.open(tmp_path / "empty.db") as empty:
        assert len(empty.to_pandas()) == len(empty.evaluations_to_pandas()) == 0
        assert set(empty.to_pandas().columns) <= set(library.to_pandas().columns)
        assert list(empty.evaluations_to_pandas().columns) == list(library.evaluations_to_pandas().columns)
        assert empty._repr_html_() == "<p>No blueprint has been trained well yet.</p>"


def test_without_pandas_the_error_names_the_extra(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    for frame in (library.to_pandas, library.evaluations_to_pandas):
        with pytest.raises(StoreError, match=r"no pandas; .* pip install 'tamiyo\[notebook\]'"):
            frame()


def test_a_library_opens_by_its_file_its_folder_and_its_url(library: Library, tmp_path: Path) -> None:
    for named in (tmp_path, str(tmp_path), tmp_path / "library.db", f"sqlite:///{tmp_path}/library.db"):
        with hall_of_fame.open(named) as found:
            assert found.list() == library.list()
    with pytest.raises(StoreError, match="missing"):
        hall_of_fame.open(tmp_path / "missing")


def test_an_entry_shows_its_drawing_its_evidence_and_its_program(library: Library) -> None:
    blueprint = human_blueprints(1)[0]
    html = library.list()[0]._repr_html_()
    title, drawn, facts, tokens = ElementTree.fromstring(html)
    assert title.text == f"1  {blueprint.id[:12]}"
    assert blueprint_svg(blueprint.graph) in html
    assert len(drawn) == 1
    said = "".join(facts.itertext())
    for part in (
        "xor 0.850 ± 0.050, 2 seeds",
        "temporal 0.800, 1 seed",
        "parameters 100",
        "predicted latency 5.0",
    ):
        assert part in said
    assert "measured on cpu/a 12.5" in said
    assert tokens.text == str(blueprint)
    assert library.get(blueprint.id)._repr_html_().count(f">{blueprint.id[:12]}<") == 1


def test_the_library_shows_a_table_whose_programs_open_into_drawings(library: Library) -> None:
    root = ElementTree.fromstring(library._repr_html_())
    head, *rows = root.iter("tr")
    names = ["".join(cell.itertext()) for cell in head]
    assert names[:6] == ["#", "id", "status", "proof", "shrinkage", "performance"]
    assert names[6:8] == ["temporal", "xor"]
    cells = ["".join(cell.itertext()) for cell in rows[1]]
    assert cells[2:5] == ["candidate", "-", "-"]
    assert cells[6:8] == ["-", "0.800"]
    assert [row[-1][0].tag for row in rows] == ["details"] * 2
    assert [row[-1][0][0].text for row in rows] == [str(b) for b in human_blueprints(2)]
    assert [row[-1][0][1].get("class") for row in rows] == ["blueprint"] * 2


def proof_of(blueprint_id: str, **fields: Any) -> Proof:
    """Return a proof of a search on one task, with one held out."""
    values: dict[str, Any] = {
        "blueprint_id": blueprint_id,
        "protocol": "demo",
        "settings": {},
        "run_id": "run",
        "generation": 1,
        "created": "2026-01-02T00:00:00+00:00",
        "rank": 1,
        "search_score": 0.8,
        "search_trainings": 2,
        "mean": 0.625,
        "low": 0.5,
        "high": 0.75,
        "mean_as_searched": 0.6,
        "floor": 0.0,
        "verdict": "entered",
    }
    return Proof(**{**values, **fields})


def test_who_entered_who_not_and_why_stand_in_table_and_card(library: Library) -> None:
    good, late, _ = human_blueprints(3)
    tasks = (
        TaskProof(task="xor", held_out=False, mean=0.625, low=0.5, high=0.75),
        TaskProof(task="counting", held_out=True, mean=0.25, low=0.125, high=0.375),
        TaskProof(task="copying", held_out=True, reason="rule 'not-causal'"),
    )
    book = ProofBook(library.store)
    assert book.add(proof_of(good.id, tasks=tasks, nearest=late.id, similarity=0.5), {}, [])
    assert book.add(proof_of(late.id, verdict="refused", reason="begins <below> 0.1"), {}, [])
    html = library._repr_html_()
    _, *rows = ElementTree.fromstring(html).iter("tr")
    cells = [["".join(cell.itertext()) for cell in row] for row in rows]
    assert [row[1] for row in cells] == [good.id[:12], late.id[:12]]
    assert [row[2:5] for row in cells] == [
        ["entrant", "0.625 [0.500, 0.750]", "+0.175"],
        ["refused", "0.625 [0.500, 0.750]", "+0.175"],
    ]
    assert rows[1][2][0].get("title") == "begins <below> 0.1"
    entered, refused = (
        "".join(ElementTree.fromstring(e._repr_html_())[2].itertext()) for e in library.list()
    )
    for part in (
        "status entrant",
        "proof 0.625 [0.500, 0.750]",
        "shrinkage +0.175",
        "proof on counting (held out) 0.250 [0.125, 0.375]",
        "proof on copying (held out) not asked, rule 'not-causal'",
        f"nearest entrant {late.id[:12]}, similarity 0.500",
    ):
        assert part in entered
    assert "proof on xor" not in entered, "it would repeat the proof"
    assert "status refused: begins <below> 0.1" in refused


def test_tokens_that_spell_nothing_are_shown_escaped_and_not_drawn(library: Library) -> None:
    strange = replace(library.list()[0], tokens=("<script>",), run_id="<b>")
    for html in (strange._repr_html_(), entries_html([strange])):
        ElementTree.fromstring(html)
        assert "<svg" not in html
        assert "<script>" not in html
        assert "&lt;script&gt;" in html
        assert "Not drawn" in html
    other = replace(library.list()[0], id="0" * 64)
    assert "Not drawn" in other._repr_html_()


def cells(page: str) -> Iterator[object]:
    """Run the Python cells of a page in their order, in one name space, and yield what each ends with."""
    names: dict[str, object] = {}
    for source in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        *before, last = ast.parse(source).body
        exec(compile(ast.Module(before, []), "cell", "exec"), names)
        assert isinstance(last, ast.Expr)
        yield eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_the_cells_of_the_page_run_and_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    write(tmp_path / "runs" / "demo" / "library.db")
    monkeypatch.chdir(tmp_path)
    blueprint, library, entry, best, counted, described, closed = cells((DOCS / "notebook.md").read_text())
    assert all("<svg" in shown._repr_html_() for shown in (blueprint, library, entry))
    assert list(best["score_xor"]) == pytest.approx([0.85, 0.8])
    assert counted["xor", "diverged"] == 1
    assert described.loc["xor", "count"] == 3
    assert closed is None


def test_the_picture_of_the_page_is_what_a_notebook_draws() -> None:
    picture = (DOCS / "figures" / "notebook.svg").read_text()
    drawn = human("gru_cell")._repr_html_()
    assert re.sub(r'<svg color="#\w+" ', "<svg ", picture).strip() in drawn
