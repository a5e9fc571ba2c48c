"""The library that people look at: entrants, candidates and views of them; leaves ranking to the store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Literal, Self, get_args

from hall_of_fame.errors import StoreError, UnknownBlueprintError
from hall_of_fame.frames import entries_frame, evaluations_frame
from hall_of_fame.html_form import entries_html
from hall_of_fame.onlookers import Onlooker
from hall_of_fame.proofs import ProofBook
from hall_of_fame.records import Entry, Standing, Status
from hall_of_fame.store import Store
from hall_of_fame.views import by_niche, pareto_front

if TYPE_CHECKING:
    import pandas

#: Hexadecimal digits that are enough to show an id.
SHORT_ID = 12
#: File of a run's folder that holds its ledger.
RUN_LEDGER = "library.db"
#: What is neither proved nor among so many best blueprints stands in no view but `top`.
NUM_VIEWED = 4096

View = Literal["top", "pareto", "niches"]
_VIEWS: Mapping[View, Callable[[Sequence[Entry]], list[Entry]]] = MappingProxyType(
    {"pareto": pareto_front, "niches": lambda entries: list(by_niche(entries).values())}
)


class Library:
    """Views of a ledger, unique by isomorphism; never empty once a training went well.

    Attributes:
        store: the ledger.
        proofs: its proofs.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.proofs = ProofBook(store)

    @classmethod
    def open(cls, path_or_url: str | Path, *, onlooker: Onlooker | None = None) -> Self:
        """Open the ledger of a run's folder, in a file, or at a database URL; close it after use.

        An earlier version's is brought up to date, but not for an onlooker; see `Store.open`.

        Raises:
            StoreError: when there is none, or it cannot be read.
        """
        is_folder = "://" not in str(path_or_url) and Path(path_or_url).is_dir()
        place = Path(path_or_url) / RUN_LEDGER if is_folder else path_or_url
        return cls(Store.open(place, onlooker=onlooker))

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

    def list(
        self, k: int = 32, *, stage: str | None = None, status: Status | None = None, view: View = "top"
    ) -> list[Entry]:
        """Return `k` blueprints: entrants by their proofs, then candidates by performance, then the refused.

        Args:
            k: how many at most.
            stage: its tasks are the evidence; None takes every task on record.
            status: only blueprints of this one.
            view: `top` for all; `pareto` for those which no other of `status` beats in score, parameters and
                predicted latency at once; `niches` for the best entrant of each family, size and depth, or
                candidate where none entered. Scores are those of proofs where there are, and entrants come
                first here too.
        """
        if view not in get_args(View):
            raise StoreError(
                f"no view '{view}'", expected=f"one of {', '.join(get_args(View))}", mend="choose"
            )
        num = k if view == "top" else max(k, NUM_VIEWED)
        entries = self._by_status(num, self._task_keys(stage), status)
        if view != "top":
            statuses = get_args(Status)
            entries = sorted(_VIEWS[view](entries), key=lambda entry: statuses.index(entry.standing.status))
        entries = [replace(entry, rank=rank) for rank, entry in enumerate(entries[:k], start=1)]
        return [*self._with_lineage(entries)]

    def get(self, blueprint_id: str) -> Entry:
        """Return the blueprint whose id is, or alone begins with, `blueprint_id`."""
        entry = self.store.entry(self.id_of(blueprint_id))
        assert entry is not None, "an id that is on record has an entry"
        standing = self.proofs.standings().get(entry.id, Standing())
        [entry] = self._with_lineage([replace(entry, standing=standing)])
        return entry

    def id_of(self, blueprint_id: str) -> str:
        """Return the id on record that is, or alone begins with, `blueprint_id`.

        Raises:
            UnknownBlueprintError: when there is none, or more than one.
        """
        text = blueprint_id.strip().lower()
        matches = self.store.ids(text, limit=4) if text else []
        if len(matches) == 1:
            return matches[0]
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

    def _task_keys(self, stage: str | None) -> Sequence[str] | None:
        if stage is None:
            return None
        stages = self.store.stages()
        if stage not in stages:
            raise StoreError(
                f"no stage '{stage}'",
                expected=f"one of {', '.join(stages) or 'none yet'}",
                mend="check its name",
            )
        return stages[stage]

    def _by_status(self, num: int, task_keys: Sequence[str] | None, status: Status | None) -> Sequence[Entry]:
        """Return entrants, the `num` best candidates and the refused, as far as `status` asks for them."""
        standings = self.proofs.standings()
        found: Sequence[Entry] = []
        for wanted in get_args(Status):
            if status not in (None, wanted):
                continue
            if wanted == "candidate":
                best = self.store.top(num + len(standings), task_keys=task_keys)
                found = [*found, *[entry for entry in best if entry.id not in standings][:num]]
            else:
                ids = [id_ for id_, standing in standings.items() if standing.status == wanted]
                proved = self.store.top(len(ids), task_keys=task_keys, ids=ids) if ids else []
                proved = [replace(entry, standing=standings[entry.id]) for entry in proved]
                found = [*found, *sorted(proved, key=lambda entry: -entry.score)]
        return found

    def _with_lineage(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        lineages = self.proofs.lineages(entry.id for entry in entries)
        return [replace(entry, lineage=lineages.get(entry.id, entry.lineage)) for entry in entries]
