"""The library that people look at: the best blueprints, and one by its id; leaves ranking to the store."""

from hall_of_fame.errors import StoreError, UnknownBlueprintError
from hall_of_fame.records import Entry
from hall_of_fame.store import Store

#: Hexadecimal digits that are enough to show an id.
SHORT_ID = 12


class Library:
    """The top of a ledger, unique by isomorphism; never empty once a training went well."""

    def __init__(self, store: Store) -> None:
        self.store = store

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
