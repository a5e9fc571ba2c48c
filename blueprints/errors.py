"""The language's exceptions: what came, what was expected, where, and how to mend it."""

from collections.abc import Sequence


class TamiyoError(Exception):
    """Base of every error that a caller of this distribution can cause and mend."""


class BlueprintError(TamiyoError):
    """A token sequence that is not a blueprint.

    Attributes:
        rule: name of the broken rule, so that failures can be counted.
        position: index of the offending token; the length of the sequence when it ended too early.
        tokens: the whole sequence.
        expected: tokens that would have been legal at `position`, in the order of the vocabulary.
        reason: one sentence saying what came and what is wrong with it.
    """

    #: The fitness of anything that is not a blueprint.
    fitness = -1.0

    def __init__(
        self, rule: str, reason: str, *, position: int, tokens: Sequence[str], expected: Sequence[str]
    ) -> None:
        self.rule = rule
        self.reason = reason
        self.position = position
        self.tokens = tuple(tokens)
        self.expected = tuple(expected)
        super().__init__(f"rule '{rule}': {reason}; expected {self._expectation()}")

    def _expectation(self) -> str:
        if not self.expected:
            return "no token here (the budget is spent)"
        return self.expected[0] if len(self.expected) == 1 else "one of " + ", ".join(self.expected)

    def explain(self, near: Sequence[str] = ()) -> str:
        """Return the tokens on one line, a caret under the fault, the message, and what to try instead.

        Args:
            near: a legal program close to the tokens, as `repair(error.tokens, language).tokens`. Errors are
                raised by the thousand and explained one by one, so who explains one looks for it.
        """
        shown = [*self.tokens, "<end>"]
        column = sum(len(token) + 1 for token in shown[: self.position])
        caret = " " * column + "^" * len(shown[self.position])
        line = " ".join(shown if self.position == len(self.tokens) else shown[:-1])
        advice = f"\ntry: {' '.join(near)}" if near else ""
        return f"{line}\n{caret}\n{self}{advice}"
