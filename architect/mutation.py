"""Small edits of a program, legal by construction in any TokenSpace; judges none of them."""

import random
from collections.abc import Sequence

import numpy as np

from architect.strategy import Program
from architect.token_space import END_ID, Cursor, TokenSpace

#: Edits tried for one mutation; the one that needed the fewest repairs wins.
NUM_TRIES = 6
#: Rounds of tries before a program is taken to have no other program near it.
NUM_ROUNDS = 8


def mutate(space: TokenSpace, program: Program, rng: random.Random) -> Program:
    """Return a legal program that differs from `program` by one edit and the repairs that it calls for.

    An edit substitutes, inserts or deletes a token at a random position. The parent need not be legal. It is
    returned unchanged only when, as in a space of one program, nothing else was found.
    """
    for _ in range(NUM_ROUNDS):
        repaired = [_repaired(space, _edited(space, program, rng), rng) for _ in range(NUM_TRIES)]
        children = [(repairs, child) for repairs, child in repaired if child != program]
        if children:
            return min(children, key=lambda pair: pair[0])[1]
    return program


def _edited(space: TokenSpace, program: Program, rng: random.Random) -> Program:
    """Return `program` with one token substituted, inserted or deleted; often not legal."""
    edit = rng.choice(("substitute", "insert", "delete")) if program else "insert"
    position = rng.randrange(len(program) + (edit == "insert"))
    behind = program[position:] if edit == "insert" else program[position + 1 :]
    if edit == "delete":
        return (*program[:position], *behind)
    old = None if edit == "insert" else program[position]
    return (*program[:position], _replacement(space, program[:position], old, rng), *behind)


def _replacement(space: TokenSpace, before: Program, old: int | None, rng: random.Random) -> int:
    """Return a random token that is legal after `before` (any token where `before` is not legal itself)."""
    choices = np.ones(len(space.tokens), bool)
    cursor: Cursor | None = space.start()
    for token_id in before:
        if not space.legal(cursor)[token_id]:
            cursor = None
            break
        cursor = space.advance(cursor, token_id)
    if cursor is not None:
        choices = space.legal(cursor).copy()
    choices[END_ID] = False
    if old is not None:
        choices[old] = False
    found = np.flatnonzero(choices).tolist()
    return rng.choice(found) if found else rng.randrange(1, len(space.tokens))


def _repaired(space: TokenSpace, wanted: Sequence[int], rng: random.Random) -> tuple[int, Program]:
    """Walk the legal tokens as close to `wanted` as a coin lets; return (repairs, program).

    A wanted token that is legal is taken. One that is not is either dropped or preceded by a random legal
    token. When nothing is left but the program may not end, random legal tokens lead on.
    """
    cursor, child, repairs, position = space.start(), [], 0, 0
    while True:
        legal = space.legal(cursor)
        if position < len(wanted) and legal[wanted[position]]:
            token_id = wanted[position]
            position += 1
        elif position == len(wanted) and legal[END_ID]:
            return repairs, tuple(child)
        else:
            repairs += 1
            choices = np.flatnonzero(legal[1:]) + 1
            if len(choices) == 0:
                return repairs + len(wanted) - position, tuple(child)
            if position < len(wanted) and rng.random() < 0.5:
                position += 1
                continue
            token_id = rng.choice(choices.tolist())
        child.append(token_id)
        cursor = space.advance(cursor, token_id)
