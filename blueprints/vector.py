"""A program as a point of the unit cube and back, for searches that know numbers alone.

Coordinate i picks among the tokens that are legal at step i, the end included, so every point is a program.
"""

from collections.abc import Sequence

import numpy as np

from blueprints.errors import TamiyoError
from blueprints.grammar import grammar_of
from blueprints.language import LANGUAGE, Language
from blueprints.parser import parse_graph
from blueprints.vocabulary import END


class VectorError(TamiyoError, ValueError):
    """A vector that is no point of the language's unit cube."""


def decode_vector(vector: Sequence[float] | np.ndarray, language: Language = LANGUAGE) -> tuple[str, ...]:
    """Return the legal program that a point of `[0, 1]^L` stands for; L is `language.max_length`.

    The unit interval of a step is cut into equal parts, one a legal token in the order of the vocabulary.
    The walk stops at the end marker, and coordinates behind it are not read. After L tokens the end alone is
    legal, so it needs no coordinate.

    Raises:
        VectorError: when the length is not L, or a coordinate lies outside of [0, 1] or is not a number.
    """
    if len(vector) != language.max_length:
        raise VectorError(
            f"a vector of {len(vector)} coordinates came, expected {language.max_length}: the language's "
            "max_length"
        )
    for index, value in enumerate(vector):
        if not 0 <= value <= 1:
            raise VectorError(
                f"coordinate {index} is {float(value):g}, expected a number in [0, 1]: clip the vector first"
            )
    grammar = grammar_of(language)
    cursor = grammar.start()
    tokens: list[str] = []
    for value in vector:
        legal = grammar.legal(cursor)
        token = legal[min(int(value * len(legal)), len(legal) - 1)]
        if token == END:
            break
        tokens.append(token)
        cursor = grammar.advance(cursor, token)
    assert END in grammar.legal(cursor), "a walk over all coordinates ends at a complete program"
    return tuple(tokens)


def encode_vector(tokens: Sequence[str], language: Language = LANGUAGE) -> tuple[float, ...]:
    """Return the point in the middle of all that decode to `tokens`: `decode_vector` is its inverse.

    Coordinates behind the end marker are 1/2.

    Raises:
        BlueprintError: when the tokens are no program, as `parse`.
    """
    parse_graph(tokens, language)
    grammar = grammar_of(language)
    cursor = grammar.start()
    vector = []
    for token in [*tokens, END][: language.max_length]:
        legal = grammar.legal(cursor)
        vector.append((legal.index(token) + 0.5) / len(legal))
        if token != END:
            cursor = grammar.advance(cursor, token)
    return (*vector, *[0.5] * (language.max_length - len(vector)))
