"""Repairs parse, are as near as they say, and leave legal programs alone."""

import random
from functools import cache

import pytest
from hypothesis import example, given
from programs import programs, token_soup

from blueprints import LANGUAGE, BlueprintError, Language, parse, random_program
from blueprints.repair import edit_distance, forget_walks, repair


def distance(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """The textbook recursion for the Levenshtein distance."""

    @cache
    def rest(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return len(a) - i + len(b) - j
        if a[i] == b[j]:
            return rest(i + 1, j + 1)
        return 1 + min(rest(i + 1, j), rest(i, j + 1), rest(i + 1, j + 1))

    return rest(0, 0)


def edited(tokens: tuple[str, ...], rng: random.Random) -> tuple[str, ...]:
    """Return the tokens with one replaced, deleted or inserted, whatever is legal."""
    kind = rng.choice(("replace", "insert", "delete"))
    position = rng.randrange(len(tokens) + (kind == "insert"))
    written = () if kind == "delete" else (rng.choice(LANGUAGE.tokens[1:]),)
    return (*tokens[:position], *written, *tokens[position + (kind != "insert") :])


@given(programs())
def test_a_legal_program_is_returned_as_it_is(tokens):
    found = repair(tokens)
    assert (found.tokens, found.edits) == (tokens, 0)


@given(token_soup())
@example(["END", "END", "RES_START", "BRANCH_START"])
def test_whatever_came_the_repair_parses_and_is_as_far_off_as_it_says(tokens):
    found = repair(tokens)
    parse(found.tokens)
    assert found.edits == distance(tuple(tokens), found.tokens)
    assert found.edits <= len(tokens) + 1, "writing one op for all tokens is always possible"


def test_a_program_one_edit_away_is_found():
    rng = random.Random(4)
    for _ in range(300):
        assert repair(edited(random_program(rng), rng)).edits <= 1


def test_after_three_edits_the_repair_takes_hardly_more():
    rng = random.Random(5)
    edits = []
    for _ in range(60):
        tokens = random_program(rng)
        for _ in range(3):
            tokens = edited(tokens, rng) or tokens
        edits.append(repair(tokens).edits)
    assert sum(number > 3 for number in edits) <= 3


def test_equal_tokens_are_repaired_equally_whatever_was_repaired_before():
    rng = random.Random(6)
    soups = [tuple(rng.choices(LANGUAGE.tokens, k=12)) for _ in range(20)]
    first = [repair(tokens) for tokens in soups]
    fresh = Language()
    assert [repair(tokens, fresh) for tokens in reversed(soups)] == first[::-1]


WIDE = "CONV1D KERNEL_7 CHANNELS_QUAD"
SMALL = ("LINEAR", "RELU", "SIGMOID", "ADD", "MUL")


@pytest.mark.parametrize(
    ("program", "repaired", "edits"),
    [
        ("LINEAR KERNEL_5", "LINEAR OUT_DIM_IN", 1),
        ("RES_START TANH", "RES_START TANH RES_END", 1),
        ("RES_START LINEAR OUT_DIM_HALF RES_END", "RES_START LINEAR OUT_DIM_IN RES_END", 1),
        ("linear OUT_DIM_INN", "LINEAR OUT_DIM_IN", 2),
        ("RELU RELU", "RELU", 1),
        ("TANH END", "TANH", 1),
        ("", "GELU", 1),
        (f"{WIDE} {WIDE}", f"{WIDE} CONV1D KERNEL_7 CHANNELS_IN", 1),
        ("TANH " * 51, "TANH " * 48, 3),
    ],
)
def test_repairs_are_what_one_would_write(program, repaired, edits):
    found = repair(program.split())
    assert (found.tokens, found.edits) == (tuple(repaired.split()), edits)


def test_where_the_budgets_bind_the_repair_keeps_to_them():
    rng = random.Random(7)
    large = Language(max_length=64, max_flops=200_000)
    refused = 0
    for _ in range(12):
        tokens = random_program(rng, large, min_ops=14, max_ops=24)
        try:
            parse(tokens)
        except BlueprintError as error:
            refused += error.rule in ("too-long", "over-cost")
            parse(repair(tokens).tokens)
    assert refused > 3


def test_tokens_far_past_the_longest_program_are_dropped_unread():
    found = repair(["NO_SUCH_TOKEN"] * 5_000)
    assert (len(found.tokens), found.edits) == (1, 5_000)


def test_a_repair_is_written_in_its_own_language():
    small = Language(ops=tuple(op for op in LANGUAGE.ops if op.name in SMALL), max_length=5)
    found = repair("RES_START GRU RELU RES_END".split(), small)
    assert parse(found.tokens, small).tokens == ("RES_START", "RELU", "RES_END")


def test_the_distance_worked_by_hand():
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("", "abc") == edit_distance("abc", "") == 3
    assert edit_distance("abc", "abc") == 0


@given(token_soup())
def test_a_search_that_may_try_little_still_finds_a_program(tokens):
    found = repair(tokens, max_edits_tried=3)
    parse(found.tokens)
    assert found.edits == edit_distance(tokens, found.tokens) >= repair(tokens).edits


def test_a_search_that_may_try_more_finds_a_nearer_program():
    tokens = "STATE_0 LAYERNORM LINEAR OUT_DIM_QUAD GELU LINEAR OUT_DIM_IN RES_END".split()
    assert [repair(tokens, max_edits_tried=most).edits for most in (0, 400)] == [2, 1]


def test_what_was_forgotten_is_found_again():
    before = repair(("LINEAR", "KERNEL_5"))
    forget_walks()
    assert repair(("LINEAR", "KERNEL_5")) == before
