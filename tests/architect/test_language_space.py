"""The real language as a TokenSpace: no dead ends, and legal exactly when it parses."""

import random

import numpy as np
import pytest
import torch

from architect.language_space import LanguageSpace
from architect.mutation import mutate
from architect.policy import Policy, PolicyConfig
from architect.sampling import sample
from architect.strategy import Program
from architect.token_space import END_ID, CursorWalk, ids, is_legal, names
from blueprints import HUMAN_BLUEPRINTS, BlueprintError, legal_tokens, parse


@pytest.fixture(scope="module")
def space() -> LanguageSpace:
    return LanguageSpace()


def walk(space: LanguageSpace, rng: random.Random, stop: float) -> Program:
    """Return a random legal program that ends with probability `stop` wherever it may."""
    cursor, program = space.start(), []
    while True:
        legal = space.legal(cursor)
        assert legal.any(), f"no token is legal after {names(space, tuple(program))}"
        choices = np.flatnonzero(legal[1:]) + 1
        if len(choices) == 0 or (legal[END_ID] and rng.random() < stop):
            return tuple(program)
        program.append(int(choices[rng.randrange(len(choices))]))
        cursor = space.advance(cursor, program[-1])


def test_twenty_thousand_random_walks_meet_no_dead_end(space: LanguageSpace) -> None:
    rng, lengths = np.random.default_rng(0), []
    for stop in (0.0, *[0.6] * 9):
        together, steps = space.walk(2_000), 0
        while not together.ended.all():
            legal = together.legal()
            assert legal.any(axis=1).all(), f"a program met a dead end after {steps} tokens"
            chances = rng.random(legal.shape) * legal
            others = legal[:, 1:].any(axis=1)
            chances[:, END_ID] = legal[:, END_ID] & ~(others & (rng.random(len(legal)) >= stop))
            together.advance(chances.argmax(axis=1))
            steps += 1
        lengths.append(steps - 1)
    assert max(lengths) == space.max_length


def test_a_walk_of_many_is_that_of_a_cursor_for_each(space: LanguageSpace) -> None:
    rng = np.random.default_rng(0)
    together, alone = space.walk(60), CursorWalk(space, 60)
    for _ in range(space.max_length + 1):
        legal = together.legal()
        assert (legal == alone.legal()).all()
        tokens = (rng.random(legal.shape) * legal).argmax(axis=1)
        together.advance(tokens)
        alone.advance(tokens)
    assert together.ended.all()


def test_walks_parse_and_print_to_themselves(space: LanguageSpace) -> None:
    rng = random.Random(1)
    for _ in range(200):
        program = walk(space, rng, stop=0.3)
        tokens = names(space, program)
        assert parse(tokens).tokens == tokens
        assert ids(space, tokens) == program


def test_masks_are_those_of_legal_tokens(space: LanguageSpace) -> None:
    for human in HUMAN_BLUEPRINTS:
        cursor = space.start()
        for position, token in enumerate(human.tokens):
            legal = {space.tokens[index] for index in np.flatnonzero(space.legal(cursor))}
            assert legal == set(legal_tokens(human.tokens[:position]))
            cursor = space.advance(cursor, space.tokens.index(token))
        assert space.legal(cursor)[END_ID]


def test_the_space_and_the_parser_agree_on_freely_sampled_programs(space: LanguageSpace) -> None:
    policy = Policy(len(space.tokens), space.max_length, PolicyConfig(width=16), seed=0)
    drawn = sample(policy, space, 300, decoding="free", generator=torch.Generator().manual_seed(0))
    verdicts = []
    for program in drawn.programs:
        try:
            parse(names(space, program))
            verdicts.append(True)
        except BlueprintError:
            verdicts.append(False)
    assert [is_legal(space, program) for program in drawn.programs] == verdicts


def test_mutations_of_human_blueprints_parse(space: LanguageSpace) -> None:
    rng = random.Random(0)
    for human in HUMAN_BLUEPRINTS:
        parent = ids(space, human.tokens)
        for _ in range(5):
            child = mutate(space, parent, rng)
            assert child != parent
            parse(names(space, child))
            parent = child


def test_forgetting_states_in_the_middle_of_a_walk_changes_nothing() -> None:
    roomy, tight = LanguageSpace(), LanguageSpace(max_states=3)
    one, same = ([walk(space, random.Random(seed), 0.3) for seed in range(30)] for space in (roomy, tight))
    assert one == same


def test_masks_are_read_only(space: LanguageSpace) -> None:
    with pytest.raises(ValueError, match="read-only"):
        space.legal(space.start())[END_ID] = True
