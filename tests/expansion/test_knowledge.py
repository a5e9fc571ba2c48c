"""Cards, notes and neighbours as passages: what is read, what is refused, and that every card is sound."""

import re
from pathlib import Path

import pytest

from blueprints import parse
from blueprints.human import human
from crucible.evaluation import TaskResult
from hall_of_fame.store import Store
from tamiyo.expansion.front_matter import FrontMatterError
from tamiyo.expansion.knowledge import (
    MAX_FILE,
    MAX_PASSAGE,
    Card,
    card_passage,
    cards,
    neighbour_passages,
    notes,
    read_card,
)
from tests.hall_of_fame.ledgers import commit, evaluation, run_record

CARD = """---
name: A name
idea: One sentence.
equation: y = x
tokens: LINEAR OUT_DIM_IN
paper: Doe et al. 2020, A Title
helps: Often.
targets: char_lm, tabular
---

How it works.
"""


def test_there_are_at_least_sixty_cards_of_distinct_ideas() -> None:
    assert len(cards()) >= 60
    assert len({card.name for card in cards()}) == len(cards())
    assert len({card.idea for card in cards()}) == len(cards())


@pytest.mark.parametrize("card", cards(), ids=lambda card: card.slug)
def test_a_card_is_sound(card: Card) -> None:
    """Its tokens are a legal program, causal where it concerns language; its text is of even length."""
    if card.tokens:
        assert parse(card.tokens).graph.type.causal or "char_lm" not in card.targets
    assert re.fullmatch(r"[A-Z].+[^.]|.+\)", card.name)
    assert card.idea.endswith(".")
    assert card.helps.endswith(".")
    assert 150 <= len(card.body) <= 600, "two to five sentences"
    assert len(card_passage(card).text) < MAX_PASSAGE
    assert "  " not in card_passage(card).text


def test_every_target_has_cards_and_most_ideas_of_the_language_have_tokens() -> None:
    for target in ("char_lm", "sequence_classifier", "tabular"):
        assert sum(target in card.targets for card in cards()) >= 25
    assert sum(bool(card.tokens) for card in cards()) >= len(cards()) / 2


def test_a_card_is_read_from_its_front_matter() -> None:
    card = read_card(CARD, "a-name")
    assert card.tokens == ("LINEAR", "OUT_DIM_IN")
    assert card.targets == ("char_lm", "tabular")
    assert card_passage(card).text.splitlines() == [
        "A name. One sentence.",
        "Equation: y = x",
        "Tokens: LINEAR OUT_DIM_IN",
        "When it helps: Often.",
        "How it works.",
        "Paper: Doe et al. 2020, A Title",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("---\nname", "name", "card x has no front matter; begin it with `---` and lines `key: value`"),
        ("name: A name\n", "", "card x does not say name; add `key: value` between the ---"),
        ("equation:", "formula:", "card x, line 4: unknown key 'formula'; expected name, idea, equation"),
        ("idea: One", "name: One", "card x, line 3: 'name' is given twice; keep one"),
        ("One sentence.", "", "card x, line 3: 'idea' has no value; write one or leave it out"),
        ("idea: One sentence.", "One sentence.", "card x, line 3: 'One sentence.' is no `key: value`"),
        ("LINEAR OUT_DIM_IN", "LINEAR KERNEL_5", "its tokens are no legal program: rule 'attribute-fits-op'"),
        ("et al. 2020", "et al.", "card x: paper is 'Doe et al., A Title'; expected authors and a year"),
        ("tabular", "images", "unknown target 'images'; expected char_lm, sequence_classifier, tabular"),
        ("How it works.", "", "card x has no text below its front matter; say how it works"),
    ],
)  # fmt: skip
def test_a_card_that_says_too_little_or_too_much_is_refused(old: str, new: str, message: str) -> None:
    assert old in CARD
    with pytest.raises(FrontMatterError, match=re.escape(message)):
        read_card(CARD.replace(old, new, 1), "x")


def test_notes_are_cut_at_headings_and_long_ones_at_paragraphs(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    long = "\n\n".join(f"Paragraph {i}: {'word ' * 60}" for i in range(12))
    (tmp_path / "b.md").write_text(
        f"---\ntags: [a, b]\n---\nIntro.\n\n# First\n\nText.\n\n# Second\n\n{long}\n"
    )
    (tmp_path / "sub" / "a.md").write_text(CARD)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    found = notes(tmp_path)
    assert [passage.name for passage in found][:3] == ["b.md#0", "b.md#1", "b.md#2"]
    assert found[0].text == "Intro."
    assert found[1].text == "# First\nText."
    assert found[-1].name == "sub/a.md"
    assert found[-1].targets == ("char_lm", "tabular")
    assert found[-1].text == card_passage(read_card(CARD, "a")).text
    assert all(len(passage.text) <= MAX_PASSAGE and passage.kind == "note" for passage in found)
    seconds = [passage.text for passage in found[2:-1]]
    assert len(seconds) > 1
    assert all(text.startswith("# Second\n") for text in seconds)
    for i in range(12):
        assert sum(f"Paragraph {i}:" in text for text in seconds) == 1


def test_a_folder_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FrontMatterError, match=r"no folder .*missing; name one that holds Markdown"):
        notes(tmp_path / "missing")
    with pytest.raises(FrontMatterError, match=r"holds no Markdown file; expected names that end in \.md"):
        notes(tmp_path)
    (tmp_path / "a.md").write_bytes(b"caf\xe9")
    with pytest.raises(FrontMatterError, match=r"a\.md is no UTF-8 text \(.* at byte 3\)"):
        notes(tmp_path)
    (tmp_path / "a.md").write_text("x" * (MAX_FILE + 1))
    with pytest.raises(FrontMatterError, match=r"a\.md is longer than 400000 bytes; cut it"):
        notes(tmp_path)
    (tmp_path / "a.md").write_text(CARD.replace("A name", ""))
    with pytest.raises(FrontMatterError, match="card a, line 2: 'name' has no value"):
        notes(tmp_path)


def test_neighbours_are_told_with_tokens_score_and_what_else_is_known(tmp_path: Path) -> None:
    names = ("lstm", "stacked_lstm", "prenorm_lstm", "mlp")
    blueprints = [human(name) for name in names]
    found = [(one, evaluation(one, TaskResult(task="xor", seed=0, score=0.75))) for one in blueprints]
    with Store.open(tmp_path / "library.db", create=True) as store:
        store.add_run(run_record())
        commit(store, 0, found)
        remark = "A plan of depth 2 did well."
        found = neighbour_passages(store, blueprints[0].id, 2, {blueprints[1].id: remark})
        assert neighbour_passages(store, blueprints[0].id, 0) == ()
    assert {passage.name for passage in found} == {blueprints[1].id, blueprints[2].id}
    (told,) = (passage.text for passage in found if passage.name == blueprints[1].id)
    assert re.fullmatch(
        rf"Neighbour {blueprints[1].id[:12]} in the library, likeness [01]\.\d\d\.\n"
        r"Tokens: LSTM LSTM\n"
        r"Carries time by: \w+; candidate with score 0\.\d{3}, 100 parameters in the host\.\n"
        rf"{re.escape(remark)}",
        told,
    ), told
