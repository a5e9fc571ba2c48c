"""Remembers every evaluation and shows the best; leaves judging to the Crucible, proposing to strategies."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hall_of_fame.library import Library

__all__ = ["open"]


def open(path_or_url: str | Path) -> "Library":
    """Open the library of a run's folder, in a file, or at a database URL.

    `hall_of_fame.open("runs/demo").to_pandas()` is the way into a notebook.

    Raises:
        StoreError: when there is none, or it cannot be read.
    """
    from hall_of_fame.library import Library

    return Library.open(path_or_url)
