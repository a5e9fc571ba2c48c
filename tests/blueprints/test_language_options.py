"""Languages smaller than the built-in one: what they lack is no token, and what is left keeps its meaning."""

import random

from blueprints import CORE_LANGUAGE, CORE_OPS, LANGUAGE, parse, random_program


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
