"""Languages smaller than the built-in one: what they lack is no token, and what is left keeps its meaning."""

import random

import pytest

from blueprints import CORE_LANGUAGE, CORE_OPS, LANGUAGE, Language, TamiyoError, parse, random_program
from blueprints.ops import OPS


def test_a_language_without_bodies_and_registers_has_no_tokens_for_them():
    assert {op.name for op in CORE_OPS if op.arity == 1} < set(CORE_LANGUAGE.tokens)
    absent = (
        "LOOP_START REPEAT_2 LOOP_END SCAN_START SCAN_END SAVE LOAD ADD TAP_0 STATE_0 MERGE_BLEND ATTENTION"
    )
    assert set(absent.split()).isdisjoint(CORE_LANGUAGE.tokens)
    assert set(absent.split()) < set(LANGUAGE.tokens)


def test_programs_of_a_smaller_language_are_the_same_blueprints_in_the_whole_one():
    rng = random.Random(0)
    for _ in range(200):
        tokens = random_program(rng, CORE_LANGUAGE)
        small, whole = parse(tokens, CORE_LANGUAGE), parse(tokens)
        assert (small.graph, small.id) == (whole.graph, whole.id)
        assert small.language_version != whole.language_version


def _without(*names: str) -> Language:
    return Language(ops=tuple(op for op in OPS if op.name not in names))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: _without("ADD"),
            r"RES_START needs ADD, .* leave .*blocks=\('GATE_START', .*'SCAN_START'\)$",
        ),
        (
            lambda: _without("MUL"),
            "GATE_START needs MUL, which the ops lack; put that among them, or leave",
        ),
        (lambda: _without("SIGMOID", "MUL"), "GATE_START needs SIGMOID and MUL, which the ops lack"),
        (
            lambda: Language(ops=OPS[:12], blocks=("BRANCH_START", "LOOP_START")),
            r"BRANCH_START needs an op that merges, .* blocks=\('LOOP_START',\)$",
        ),
        (
            lambda: Language(blocks=("RES_STRAT",)),
            "'RES_STRAT' opens no block; expected some of RES_START, GATE",
        ),
        (
            lambda: Language(ops=(*OPS, OPS[0])),
            "two tokens are called LINEAR; give each op and value its own",
        ),
    ],
)
def test_a_language_that_could_not_close_its_blocks_or_name_its_tokens_is_refused(make, message):
    with pytest.raises(TamiyoError, match=message):
        make()


def test_a_block_left_out_needs_no_ops():
    ops = tuple(op for op in OPS if op.name not in ("MUL", "SIGMOID"))
    language = Language(ops=ops, blocks=("RES_START", "BRANCH_START"))
    assert parse("RES_START TANH RES_END".split(), language).id == parse("RES_START TANH RES_END".split()).id
