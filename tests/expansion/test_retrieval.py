"""Retrieval finds the cards that answer a question, is the same each time, and keeps to its bounds."""

import itertools
import sys

import pytest

from benchmarks.retrieval_queries import QUERIES, hits
from blueprints.human import HUMAN_BLUEPRINTS, human
from tamiyo.expansion.knowledge import MAX_PASSAGE, Passage, card_passage, cards
from tamiyo.expansion.records import TARGETS
from tamiyo.expansion.retrieval import MAX_TOTAL, Index, RetrievalError, question, retrieve, words


@pytest.fixture(scope="module")
def index() -> Index:
    return Index([card_passage(card) for card in cards()])


def test_questions_name_cards_that_there_are() -> None:
    assert len(QUERIES) >= 30
    assert set(itertools.chain(*QUERIES.values())) <= {card.slug for card in cards()}


@pytest.mark.parametrize("method", ["bm25", "tfidf", "both"])
def test_most_questions_find_their_card_among_the_first_three(index: Index, method: str) -> None:
    assert hits(index, method, 3) >= 0.85 * len(QUERIES)  # pyright: ignore[reportArgumentType]


def test_a_card_is_found_by_its_own_name_and_by_its_idea(index: Index) -> None:
    named = [card.slug in [p.name for p in index.search(card.name, 3)] for card in cards()]
    meant = [card.slug == index.search(card.idea, 1)[0].name for card in cards()]
    assert sum(named) >= 0.95 * len(named)
    assert sum(meant) >= 0.95 * len(meant)


def test_a_question_without_a_known_word_finds_nothing(index: Index) -> None:
    assert index.search("", 5) == ()
    assert index.search("the of a", 5) == ()
    assert index.search("zzzqqq", 5) == ()


def test_fusion_ranks_first_what_both_rankings_rank_high(index: Index) -> None:
    """By hand: 1/61 + 1/61 for what both put first; nothing can be above it."""
    query = "squeeze and excitation of channels"
    first = {method: index.search(query, 1, method=method)[0].name for method in ("bm25", "tfidf", "both")}
    assert first == dict.fromkeys(first, "squeeze-and-excitation")


def test_cards_of_other_targets_are_left_out(index: Index) -> None:
    query = "columns of a table with numbers"
    found = {target: index.search(query, 10, target=target) for target in TARGETS}
    assert "ft-transformer" in [passage.name for passage in found["tabular"]]
    for target, passages in found.items():
        assert passages
        assert all(target in passage.targets for passage in passages)


def test_equal_questions_have_equal_answers_in_another_index_too() -> None:
    tokens = human("residual_swiglu").tokens
    once, again = (retrieve(tokens, "char_lm") for _ in range(2))
    assert once == again
    assert len(once) == 6


def test_ties_keep_the_order_of_the_passages() -> None:
    same = [Passage(kind="note", name=str(i), text="gated scan") for i in range(5)]
    assert [passage.name for passage in Index(same).search("gated scan", 5)] == list("01234")


def test_a_program_finds_the_card_that_has_it() -> None:
    """Of the cards with tokens, their own tokens as a question find nearly all within six."""
    index = Index([card_passage(card) for card in cards()])
    with_tokens = [card for card in cards() if len(card.tokens) > 1]
    found = [
        card.slug in [p.name for p in index.search(question(card.tokens, card.targets[0]), 6)]
        for card in with_tokens
    ]
    assert sum(found) >= 0.85 * len(found)


@pytest.mark.parametrize("target", TARGETS)
def test_every_human_blueprint_finds_knowledge_within_the_bound(index: Index, target) -> None:
    for entry in HUMAN_BLUEPRINTS:
        assert len(index.search(question(entry.tokens, target), 6, target=target)) == 6


def test_notes_are_found_beside_cards_and_neighbours_follow_them() -> None:
    note = Passage(kind="note", name="mine", text="Our squeeze excitation gate wants a POOL_MEAN of bananas.")
    near = [Passage(kind="neighbour", name=str(i), text=f"Neighbour {i}") for i in range(3)]
    tokens = human("squeeze_excitation").tokens
    found = retrieve(tokens, "sequence_classifier", notes=[note], entries=near, remarks="bananas", num=4)
    assert note.text in found[:4]
    assert found[4:] == tuple(passage.text for passage in near)
    assert retrieve(tokens, "sequence_classifier", entries=near, num=0) == tuple(p.text for p in near)


def test_what_is_told_is_bounded_in_all() -> None:
    long = [Passage(kind="note", name=str(i), text=f"gate {i} " * 190) for i in range(20)]
    assert all(len(passage.text) <= MAX_PASSAGE for passage in long)
    found = retrieve(human("glu").tokens, "char_lm", notes=long, remarks="gate", num=20, entries=long)
    assert 0 < sum(map(len, found)) <= MAX_TOTAL
    huge = question(human("glu").tokens * 10_000, "char_lm", "gate " * 100_000)
    assert Index(long).search(huge, 3)


def test_words_lose_plurals_and_the_commonest() -> None:
    assert words("The gates of RMSNORM_2, and glass!") == ["gate", "rmsnorm", "2", "glass"]


def test_a_missing_extra_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(RetrievalError, match=r"retrieval needs bm25s: pip install 'tamiyo\[expand\]'"):
        Index([Passage(kind="note", name="a", text="a text")])


def test_an_index_of_nothing_is_refused() -> None:
    with pytest.raises(RetrievalError, match="nothing to search; give at least one passage"):
        Index([])
