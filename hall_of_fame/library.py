"""The library that people look at: the best blueprints, and one by its id; leaves ranking to the store."""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from hall_of_fame.errors import StoreError, UnknownBlueprintError
from hall_of_fame.frames import entries_frame, evaluations_frame
from hall_of_fame.html_form import entries_html
from hall_of_fame.records import Entry
from hall_of_fame.store import Store

if TYPE_CHECKING:
    import pandas

#: Hexadecimal digits that are enough to show an id.
SHORT_ID = 12
#: File of a run's folder that holds its ledger.
RUN_LEDGER = "library.db"


class Library:
    """The top of a ledger, unique by isomorphism; never empty once a training went well."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    def open(cls, path_or_url: str | Path) -> Self:
        """Open the ledger of a run's folder, in a file, or at a database URL; close it after use.

        Raises:
            StoreError: when there is none, or it cannot be read.
        """
        is_folder = "://" not in str(path_or_url) and Path(path_or_url).is_dir()
        return cls(Store.open(Path(path_or_url) / RUN_LEDGER if is_folder else path_or_url))

    def close(self) -> None:
        """Close every connection; `with hall_of_fame.open(...) as library:` does so at its end."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def to_pandas(self, k: int | None = None, *, stage: str | None = None) -> "pandas.DataFrame":
        """Return a row for each of the `k` best blueprints, or of all that were trained well; see `frames`.

        Raises:
            StoreError: when pandas is not installed, or there is no such stage.
        """
        return entries_frame(self.list(self.store.counts().blueprints if k is None else k, stage=stage))

    def evaluations_to_pandas(self) -> "pandas.DataFrame":
        """Return a row for each training on record, good or bad; see `frames`.

        Raises:
            StoreError: when pandas is not installed.
        """
        return evaluations_frame(self.store.evaluations())

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the table of the best blueprints."""
        return entries_html(self.list())

    def list(self, k: int = 32, *, stage: str | None = None) -> list[Entry]:
        """Return the `k` best blueprints, by the tasks of a stage or by every task on record."""
        if stage is None:
            return self.store.top(k)
        stages = self.store.stages()
        if stage not in stages:
            raise StoreError(
                f"no stage '{stage}'",
                expected=f"one of {', '.join(stages) or 'none yet'}",
                mend="check its name",
            )
        return self.store.top(k, task_keys=stages[stage])

    def get(self, blueprint_id: str) -> Entry:
        """Return the blueprint whose id is, or alone begins with, `blueprint_id`."""
        text = blueprint_id.strip().lower()
        matches = self.store.ids(text, limit=4) if text else []
        if len(matches) == 1:
            entry = self.store.entry(matches[0])
            assert entry is not None, "an id that is on record has an entry"
            return entry
        if matches:
            raise UnknownBlueprintError(
                f"'{blueprint_id}' begins more than one id",
                expected="a longer beginning",
                near=[found[: len(text) + SHORT_ID] for found in matches],
            )
        near = [found[:SHORT_ID] for found in self.store.near_ids(text)]
        raise UnknownBlueprintError(
            f"no blueprint '{blueprint_id}'", expected="an id on record or its beginning", near=near
        )
