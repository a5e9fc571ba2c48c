"""The space of programs a strategy searches: vocabulary, legality, maximum length; knows no language."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from architect.strategy import Program

#: Id of the end marker in every TokenSpace.
END_ID = 0
#: A place in a walk: hashable, immutable, and the TokenSpace's own business.
Cursor = Any


class Walk(Protocol):
    """Many prefixes at once, empty at first; a program that took its end marker may only take it again."""

    def legal(self) -> np.ndarray:
        """Return the masks `[N, V]` of the legal next tokens; no row is empty."""
        ...

    def advance(self, tokens: np.ndarray) -> None:
        """Move each program on by its token of `tokens` `[N]`, which must be legal."""
        ...


@runtime_checkable
class TokenSpace(Protocol):
    """What a strategy may know. Token 0 is the end marker; it is never part of a `Program`.

    Legality is walked with cursors, so that a step costs the same at any prefix length.
    """

    #: Token names; `tokens[0]` is the end marker.
    tokens: tuple[str, ...]
    #: Largest number of tokens of a program, the end marker excluded.
    max_length: int
    #: Identifies the space in checkpoints.
    version_hash: str

    def start(self) -> Cursor:
        """Return the cursor of the empty prefix."""
        ...

    def advance(self, cursor: Cursor, token_id: int) -> Cursor:
        """Return the cursor after one more *legal* token (not the end marker)."""
        ...

    def legal(self, cursor: Cursor) -> np.ndarray:
        """Return a boolean mask `[V]` of the legal next tokens, the end marker included; never empty."""
        ...

    def walk(self, num: int) -> Walk:
        """Return a walk of `num` programs; `CursorWalk(self, num)` is one for any space."""
        ...


class CursorWalk:
    """A walk by a cursor for each program."""

    def __init__(self, space: TokenSpace, num: int) -> None:
        self._space = space
        self._end_only = np.arange(len(space.tokens)) == END_ID
        self._cursors: list[Cursor | None] = [space.start()] * num

    def legal(self) -> np.ndarray:
        """Return the masks `[N, V]`, each cursor's only once asked for."""
        masks = {c: self._end_only if c is None else self._space.legal(c) for c in set(self._cursors)}
        return np.stack([masks[cursor] for cursor in self._cursors])

    def advance(self, tokens: np.ndarray) -> None:
        """Move each program on by its token."""
        self._cursors = [
            None if token == END_ID else self._space.advance(cursor, token)
            for cursor, token in zip(self._cursors, tokens.tolist(), strict=True)
        ]


def is_legal(space: TokenSpace, program: Program) -> bool:
    """Say whether `program` is complete and legal in `space`."""
    cursor = space.start()
    for token_id in program:
        if token_id == END_ID or not space.legal(cursor)[token_id]:
            return False
        cursor = space.advance(cursor, token_id)
    return bool(space.legal(cursor)[END_ID])


def names(space: TokenSpace, program: Program) -> tuple[str, ...]:
    """Return the token names of `program`."""
    return tuple(space.tokens[token_id] for token_id in program)


def ids(space: TokenSpace, tokens: Sequence[str]) -> Program:
    """Return the program of the named tokens, all of which are in the vocabulary."""
    index = {token: token_id for token_id, token in enumerate(space.tokens)}
    return tuple(index[token] for token in tokens)
