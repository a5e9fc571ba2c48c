"""The ledger's exceptions: what came, what was expected and how to mend it; raises none itself."""

from collections.abc import Sequence

from blueprints.errors import TamiyoError


class StoreError(TamiyoError):
    """A database that cannot be opened, read or written; what it had recorded before is still there.

    Attributes:
        came: what was found.
        expected: what would have been right.
        mend: what the caller can do about it.
    """

    def __init__(self, came: str, *, expected: str, mend: str) -> None:
        self.came = came
        self.expected = expected
        self.mend = mend
        super().__init__(f"{came}; expected {expected}; {mend}")


class UnknownBlueprintError(StoreError):
    """An id, or the beginning of one, that names no blueprint of the ledger or more than one.

    Attributes:
        near: recorded ids that the caller may have meant.
    """

    def __init__(self, came: str, *, expected: str, near: Sequence[str]) -> None:
        self.near = tuple(near)
        mend = f"near it: {', '.join(self.near)}" if self.near else "this ledger holds no blueprint yet"
        super().__init__(came, expected=expected, mend=mend)


class SlowQueryError(StoreError):
    """A query that was ended because it took longer than whoever asked would wait."""


class UnknownExpansionError(StoreError):
    """An id, or the beginning of one, that names no expansion of the ledger or more than one."""


class QueryError(StoreError):
    """A question to the catalogue that it cannot be asked."""


class CursorError(QueryError):
    """A cursor that no page of this very query gave."""
