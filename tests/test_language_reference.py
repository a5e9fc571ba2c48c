"""The reference of the language says what the op table says now, about every op, token and rule."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from blueprints import LANGUAGE, parse
from blueprints.explanations import EXPLANATIONS
from scripts import language_reference

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / language_reference.PAGE).read_text()


def test_the_page_and_its_drawings_are_current():
    assert not language_reference.stale(), f"write them anew: {language_reference.COMMAND}"


def test_every_op_token_and_rule_has_its_place(page: str):
    headings = set(re.findall(r"^#+ (.*)", page, re.MULTILINE))
    assert {op.name for op in LANGUAGE.ops} <= headings
    assert {row.rule for row in EXPLANATIONS} <= headings
    named = set(re.findall(r"`(\w+)`", page))
    assert set(LANGUAGE.tokens[1:]) <= named


@pytest.mark.parametrize("op", LANGUAGE.ops, ids=lambda op: op.name)
def test_the_example_of_an_op_holds_it(op):
    example = language_reference.shortest_example(op)
    assert op.name in {node.op for node in parse(example.split()).graph.nodes}
    assert len(example.split()) <= 6


def test_drawings_that_are_shown_exist_and_are_well_formed(page: str):
    shown = re.findall(r"\]\((figures/\S+\.svg)\)", page)
    assert len(shown) == len(set(shown)) == len(LANGUAGE.ops) + len(language_reference.SURFACE)
    for name in shown:
        assert ElementTree.parse(ROOT / "docs" / name).getroot().get("color") == language_reference.INK


def test_numbers_are_those_of_the_table_worked_by_hand(page: str):
    linear = page.split("#### LINEAR\n")[1].split("####")[0]
    assert f"{16 * 4 + 4} with `OUT_DIM_QUARTER` to {16 * 64 + 64:,} with `OUT_DIM_QUAD`" in linear
    assert f"{2 * 16 * 4} with `OUT_DIM_QUARTER` to {2 * 16 * 64:,} with `OUT_DIM_QUAD`" in linear


def test_what_is_not_current_is_named_and_written_anew(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(language_reference, "ROOT", tmp_path)
    gone = tmp_path / language_reference.FIGURES / "GONE.svg"
    monkeypatch.setattr(language_reference.sys, "argv", ["language_reference.py", "--write"])
    assert language_reference.main() == 0
    gone.write_text("<svg/>")
    (tmp_path / language_reference.PAGE).write_text("old")
    monkeypatch.setattr(language_reference.sys, "argv", ["language_reference.py", "--check"])
    assert language_reference.main() == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{path} is not current; write it anew: {language_reference.COMMAND}"
        for path in (language_reference.PAGE, language_reference.FIGURES / "GONE.svg")
    ]
    language_reference.write()
    assert (language_reference.main(), gone.exists()) == (0, False)
