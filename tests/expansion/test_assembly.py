"""A folder is whole: it runs on its own, learns, keeps its weights, and tells equal numbers twice."""

import json
import re
from pathlib import Path

import pytest
from architectures import brief_of, folder_of, run_in

from blueprints import emit, human
from tamiyo.expansion.assembly import assemble, expand_by
from tamiyo.expansion.records import TARGETS, UNITS, ExpansionError, TargetName
from tamiyo.expansion.template import TemplateDesigner

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_the_folder_passes_its_own_tests(target: TargetName, tmp_path: Path) -> None:
    done = run_in(folder_of("residual_mlp", target, tmp_path), "-m", "unittest")
    assert done.returncode == 0, done.stderr
    assert "Ran 6 tests" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("name", "target"), [("gru_last", "tabular"), ("bert_block", "sequence_classifier")])
def test_blueprints_that_see_later_steps_serve_classifiers(
    name: str, target: TargetName, tmp_path: Path
) -> None:
    done = run_in(folder_of(name, target, tmp_path), "-m", "unittest")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_training_tells_equal_numbers_twice_and_weights_come_back(target: TargetName, tmp_path: Path) -> None:
    folder = folder_of("residual_swiglu", target, tmp_path)
    runs = [run_in(folder, "train.py", "--steps", "20", "--seed", "3") for _ in range(2)]
    assert runs[0].returncode == 0, runs[0].stderr
    assert runs[0].stdout == runs[1].stdout
    assert re.search(r"^step +20  loss \d\.\d+$", runs[0].stdout, re.MULTILINE)
    again = run_in(folder, "train.py", "--evaluate", "model.pt")
    assert again.stdout.splitlines() == runs[0].stdout.splitlines()[-2:]


@pytest.mark.slow
def test_a_text_of_ones_own_is_learned(tmp_path: Path) -> None:
    folder = folder_of("gru", "char_lm", tmp_path)
    (folder / "own.txt").write_text("abcd " * 2000)
    done = run_in(folder, "train.py", "--steps", "60", "--data", "own.txt")
    assert done.returncode == 0, done.stderr
    assert float(re.findall(r"accuracy (\S+)", done.stdout)[-1]) > 0.9


def test_a_text_that_is_too_short_is_refused(tmp_path: Path) -> None:
    folder = folder_of("gru", "char_lm", tmp_path)
    (folder / "own.txt").write_text("abcd")
    done = run_in(folder, "train.py", "--data", "own.txt")
    assert "ValueError: 4 characters leave a split of 0; a window has 65: give more text" in done.stderr


def test_a_table_of_ones_own_decides_the_sizes(tmp_path: Path) -> None:
    folder = folder_of("residual_mlp", "tabular", tmp_path)
    rows = [f"{i % 7},{i % 5},{i % 3},{'high' if i % 7 > 3 else 'low'}" for i in range(300)]
    (folder / "own.csv").write_text("\n".join(["a,b,c,class", *rows]) + "\n")
    done = run_in(folder, "train.py", "--steps", "100", "--data", "own.csv")
    assert done.returncode == 0, done.stderr
    assert float(re.findall(r"accuracy (\S+)", done.stdout)[-1]) > 0.95


def test_sequences_of_ones_own_decide_their_length(tmp_path: Path) -> None:
    folder = folder_of("gru", "sequence_classifier", tmp_path)
    rows = [",".join(map(str, [*range(i % 2, 40 + i % 2), i % 2])) for i in range(50)]
    (folder / "own.csv").write_text("\n".join([",".join("x" * 41), *rows]) + "\n")
    done = run_in(folder, "train.py", "--steps", "30", "--data", "own.csv")
    assert done.returncode == 0, done.stderr
    assert float(re.findall(r"accuracy (\S+)", done.stdout)[-1]) == 1


def test_the_block_is_the_emitted_source_to_the_byte() -> None:
    files = expand_by(TemplateDesigner(), brief_of(human("gru"), "char_lm"), {})
    assert files["block.py"] == emit(human("gru")).encode()


def test_equal_arguments_give_equal_bytes() -> None:
    brief = brief_of(human("gru"), "tabular")
    assert expand_by(TemplateDesigner(), brief, {"run": "r"}) == expand_by(
        TemplateDesigner(), brief, {"run": "r"}
    )


def test_a_missing_unit_is_named() -> None:
    brief, designer = brief_of(human("gru"), "tabular"), TemplateDesigner()
    with pytest.raises(ExpansionError, match="units are none; expected exactly embedding, layer, head, init"):
        assemble(brief, designer.plan(brief), {}, {})


def test_a_plan_that_is_given_cannot_carry_a_blueprint_past_the_rule() -> None:
    fits, refused = brief_of(human("gru"), "char_lm"), brief_of(human("gru_last"), "char_lm")
    designer = TemplateDesigner()
    plan = designer.plan(fits)
    units = {name: designer.unit(fits, plan, name) for name in UNITS}
    with pytest.raises(ExpansionError, match="rule 'not-causal'"):
        assemble(refused, plan, units, {})


def test_the_licence_is_that_of_this_checkout() -> None:
    files = expand_by(TemplateDesigner(), brief_of(human("gru"), "tabular"), {})
    assert files["LICENSE"] == (ROOT / "LICENSE").read_bytes()


def test_the_card_tells_tokens_figures_and_provenance() -> None:
    facts = {"score_temporal": {"mean": 0.9, "low": 0.8765, "high": 0.9235, "num_seeds": 5}}
    provenance = {"designer": "template", "run": "run-1", "fallback_units": []}
    brief = brief_of(human("residual_mlp"), "char_lm", "b-17", facts=facts)
    files = expand_by(TemplateDesigner(), brief, provenance)
    card = files["MODEL_CARD.md"].decode()
    assert "# b-17 as char_lm" in card
    assert "RES_START LINEAR OUT_DIM_DOUBLE GELU LINEAR OUT_DIM_IN RES_END" in card
    assert "| score temporal | 0.9 [0.8765, 0.9235] (5 seeds) |" in card
    assert "| run | run-1 |" in card
    assert "adds its input by itself" in card
    assert json.loads(files["provenance.json"]) == provenance
    assert files["block.svg"].startswith(b"<svg")


def test_every_file_that_the_card_names_is_there() -> None:
    files = expand_by(TemplateDesigner(), brief_of(human("gru"), "tabular"), {})
    card = files["MODEL_CARD.md"].decode()
    named = set(re.findall(r"`(\w+\.\w+)`", card)) | {"block.svg", "LICENSE"}
    assert named >= {"block.py", "model.py", "train.py"}
    assert named <= set(files)
