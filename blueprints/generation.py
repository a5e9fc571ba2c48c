"""Random legal programs and legal mutations of a program; every choice asks the grammar what is legal."""

import random
from collections.abc import Sequence

from blueprints.grammar import Cursor, Grammar, grammar_of
from blueprints.language import LANGUAGE, Language
from blueprints.vocabulary import END

Tokens = tuple[str, ...]


def random_program(
    rng: random.Random, language: Language = LANGUAGE, min_ops: int = 1, max_ops: int = 12
) -> Tokens:
    """Return a random legal program of about `min_ops` to `max_ops` ops.

    The number of ops is drawn first; tokens are then drawn uniformly from the legal ones, and once that many
    ops stand the program is closed along a shortest completion, which may take a few ops more.
    """
    grammar = grammar_of(language)
    wanted = rng.randint(min_ops, max_ops)
    tokens: list[str] = []
    cursor = grammar.start()
    num_ops = 0
    while num_ops < wanted:
        legal = [token for token in grammar.legal(cursor) if token != END]
        if not legal:
            break
        tokens.append(rng.choice(legal))
        cursor = grammar.advance(cursor, tokens[-1])
        num_ops += tokens[-1] in language.table
    return (*tokens, *_close(grammar, cursor, rng))


def mutate(
    tokens: Sequence[str], rng: random.Random, language: Language = LANGUAGE, tries: int = 20
) -> Tokens:
    """Return a legal program that differs from the legal program `tokens` by one edit and its repair.

    A token is replaced, inserted or deleted at a random position; the old tail follows as far as it stays
    legal, tokens that no longer fit are skipped, and what is left open is closed by a shortest completion.
    After `tries` edits that changed nothing, a random program is returned.
    """
    grammar = grammar_of(language)
    for _ in range(tries):
        mutant = _edit(grammar, tokens, rng)
        if mutant != tuple(tokens):
            return mutant
    return random_program(rng, language)


def _edit(grammar: Grammar, tokens: Sequence[str], rng: random.Random) -> Tokens:
    position = rng.randrange(len(tokens) + 1)
    kind = rng.choice(("replace", "insert", "delete")) if position < len(tokens) else "insert"
    cursor = grammar.start()
    for token in tokens[:position]:
        cursor = grammar.advance(cursor, token)
    mutant = list(tokens[:position])
    if kind != "delete":
        legal = [token for token in grammar.legal(cursor) if token != END]
        if not legal:
            return tuple(tokens)
        mutant.append(rng.choice(legal))
        cursor = grammar.advance(cursor, mutant[-1])
    for token in tokens[position + (kind != "insert") :]:
        if token in grammar.legal(cursor):
            mutant.append(token)
            cursor = grammar.advance(cursor, token)
    return (*mutant, *_close(grammar, cursor, rng))


def _close(grammar: Grammar, cursor: Cursor, rng: random.Random) -> list[str]:
    """Return a shortest completion, drawn at random among the shortest."""
    tokens = []
    while END not in (legal := grammar.legal(cursor, cursor.length + grammar.shortest(cursor))):
        tokens.append(rng.choice(legal))
        cursor = grammar.advance(cursor, tokens[-1])
    return tokens
