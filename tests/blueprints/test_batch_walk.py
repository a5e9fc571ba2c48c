"""Many programs walked at once are masked as each would be alone, in languages of every kind."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blueprints import CORE_LANGUAGE, LANGUAGE, OPS, BatchWalk, Language, grammar_of
from blueprints.vocabulary import END

NARROWING = tuple(op for op in OPS if op.name not in ("LINEAR", "CONV1D"))
LOOKING_BACK = tuple(
    replace(op, no_op_after=frozenset({"ADD", "CONCAT", "SCAN_END"})) if op.name == "TANH" else op
    for op in OPS
)
LANGUAGES = {
    "the default": LANGUAGE,
    "nested blocks of core ops": CORE_LANGUAGE,
    "short programs": Language(max_length=11),
    "cheap programs": Language(max_flops=1500),
    "no registers": Language(num_taps=0, num_states=0),
    "one tap": Language(num_taps=1),
    "no way back to a width but a merge": Language(ops=NARROWING, max_length=24),
    "one op that follows itself never": Language(
        ops=tuple(op for op in OPS if op.arity > 1 or op.name in ("RELU", "POOL_MEAN", "SIGMOID")),
        max_length=24,
    ),
    "an op that looks back at merges": Language(ops=LOOKING_BACK, max_length=24),
    "two branches at most": Language(ops=tuple(op for op in OPS if op.arity < 3)),
}
#: Tokens drawn more often than others, so that loops with saved and pooled values come up.
FAVOURITES = (
    "LOOP_START",
    "SAVE",
    "LOAD",
    "POOL_MEAN",
    "SCAN_START",
    "BRANCH_START",
    "BRANCH_SEP",
    "ADD",
    "BLEND",
)


def assert_masked_alike(language: Language, num: int, seed: int, favour: float) -> None:
    """Walk `num` programs at random and compare every mask with the grammar's own."""
    grammar, tokens = grammar_of(language), language.tokens
    rng = np.random.default_rng(seed)
    weights = np.where(np.isin(tokens, FAVOURITES), favour, 1.0)

    def names(mask: np.ndarray) -> tuple[str, ...]:
        return tuple(tokens[index] for index in np.flatnonzero(mask))

    walk, cursors, programs = BatchWalk(num, language), [grammar.start()] * num, [[] for _ in range(num)]
    while not walk.ended.all():
        masks, ended = walk.legal(), walk.ended.copy()
        for row in np.flatnonzero(~ended):
            expected = grammar.legal(cursors[row])
            assert names(masks[row]) == expected, " ".join(programs[row])
        assert all(names(masks[row]) == (END,) for row in np.flatnonzero(ended))
        chances = masks * weights * rng.random(masks.shape)
        chosen = chances.argmax(1)
        walk.advance(chosen)
        for row in np.flatnonzero(~walk.ended):
            programs[row].append(tokens[chosen[row]])
            cursors[row] = grammar.advance(cursors[row], tokens[chosen[row]])


@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize("favour", [1.0, 4.0])
def test_every_mask_is_that_of_the_grammar(name: str, favour: float) -> None:
    assert_masked_alike(LANGUAGES[name], 25, 0, favour)


@given(seed=st.integers(0, 2**32 - 1), favour=st.floats(0.2, 8.0))
def test_masks_of_any_walk_are_those_of_the_grammar(seed: int, favour: float) -> None:
    assert_masked_alike(LANGUAGE, 2, seed, favour)


def test_a_shorter_limit_than_the_languages_holds_for_the_walk() -> None:
    walk, programs = BatchWalk(40, max_length=9), np.zeros((40, 0), np.int64)
    rng = np.random.default_rng(0)
    while not walk.ended.all():
        masks = walk.legal()
        chosen = (masks * rng.random(masks.shape)).argmax(1)
        walk.advance(chosen)
        programs = np.concatenate([programs, chosen[:, None]], 1)
    assert programs.shape[1] == 10


def test_a_walk_of_no_programs_has_no_masks() -> None:
    walk = BatchWalk(0)
    assert walk.legal().shape == (0, len(LANGUAGE.tokens))
    walk.advance(np.zeros(0, np.int64))
