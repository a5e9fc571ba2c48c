"""The language of blueprints as a TokenSpace; adds nothing to what the language calls legal."""

from dataclasses import dataclass, field

import numpy as np

from blueprints import LANGUAGE, BatchWalk, Cursor, Language, grammar_of


@dataclass(slots=True, eq=False)
class _State:
    """A cursor of the language with what was asked about it; compared and hashed by identity.

    Attributes:
        cursor: the language's own cursor.
        legal: its mask `[V]`, read-only.
        following: token id to the state after it, as far as it was walked.
    """

    cursor: Cursor
    legal: np.ndarray
    following: dict[int, "_State"] = field(default_factory=dict)


class LanguageSpace:
    """Adapts a `Language`. Its cursors are states that remember their mask and successors.

    Equal cursors of the language share one state, so that a batch asks the grammar about each only once.
    When `max_states` are remembered all are forgotten at once; states still held by a walk stay valid.
    """

    def __init__(self, language: Language = LANGUAGE, *, max_states: int = 50_000) -> None:
        self.language = language
        self.tokens = language.tokens
        self.max_length = language.max_length
        self.version_hash = language.version_hash
        self._grammar = grammar_of(language)
        self._ids = {token: token_id for token_id, token in enumerate(self.tokens)}
        self._max_states = max_states
        self._states: dict[Cursor, _State] = {}
        self._masks: dict[tuple[str, ...], np.ndarray] = {}

    def start(self) -> _State:
        """Return the state of the empty prefix."""
        return self._state(self._grammar.start())

    def advance(self, cursor: _State, token_id: int) -> _State:
        """Return the state after one more legal token."""
        following = cursor.following.get(token_id)
        if following is None:
            following = self._state(self._grammar.advance(cursor.cursor, self.tokens[token_id]))
            cursor.following[token_id] = following
        return following

    def legal(self, cursor: _State) -> np.ndarray:
        """Return the read-only mask `[V]` of the legal next tokens."""
        return cursor.legal

    def walk(self, num: int) -> BatchWalk:
        """Return a walk of `num` programs, whose masks are found together."""
        return BatchWalk(num, self.language)

    def _state(self, cursor: Cursor) -> _State:
        state = self._states.get(cursor)
        if state is None:
            if len(self._states) >= self._max_states:
                self._states.clear()
            legal = self._mask(self._grammar.legal(cursor))
            state = self._states[cursor] = _State(cursor, legal)
        return state

    def _mask(self, legal: tuple[str, ...]) -> np.ndarray:
        """Return the mask of the named tokens; there are far fewer masks than states."""
        mask = self._masks.get(legal)
        if mask is None:
            mask = np.zeros(len(self.tokens), bool)
            mask[[self._ids[token] for token in legal]] = True
            mask.setflags(write=False)
            self._masks[legal] = mask
        return mask
