"""Which rows of a ledger belong to a run or to its best blueprints, and what they refer to; reads none."""

from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import ColumnElement, Select, Table, or_, select, tuple_, union

from hall_of_fame import schema
from hall_of_fame.errors import StoreError
from hall_of_fame.library import Library
from hall_of_fame.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Evidence of one run, or on some blueprints, or both; neither takes everything.

    A blueprint is told with the run and the generation that found it first, whichever run that was, and every
    task is: so that what is selected makes a library of its own.

    Attributes:
        run_id: only evidence of this run.
        ids: only evidence on these blueprints.
    """

    run_id: str | None = None
    ids: tuple[str, ...] | None = None

    @classmethod
    def of(cls, store: Store, *, run_id: str | None, top: int | None) -> Self:
        """Return the selection of a run, or of the `top` best blueprints, on record in `store`."""
        if run_id is not None and store.run(run_id) is None:
            known = [run.id for run in store.runs()][-5:]
            raise StoreError(
                f"no run '{run_id}'",
                expected=f"one of {', '.join(known)}" if known else "a library with runs",
                mend="check its name",
            )
        if top is None:
            return cls(run_id=run_id)
        best = Library(store).list(top) if run_id is None else store.top(top, run_id=run_id)
        return cls(run_id=run_id, ids=tuple(entry.id for entry in best))

    def where(self, table: Table) -> list[ColumnElement[bool]]:
        """Return the conditions that the selected rows of `table` meet."""
        if (self.run_id is None and self.ids is None) or table is schema.tasks:
            return []
        if table is schema.audit:
            return [table.c.run_id == self.run_id]
        if table is schema.blueprints:
            return [self._found(table)]
        if table is schema.generations:
            return [tuple_(table.c.run_id, table.c.generation).in_(self._generations())]
        if table is schema.runs:
            found = self._generations().subquery()
            return [or_(table.c.id == self.run_id, table.c.id.in_(select(found.c.run_id)))]
        if table in _evidence_tables():
            return self._evidence(table)
        return [self._belongs(table)]

    def _belongs(self, table: Table) -> ColumnElement[bool]:
        """Return the condition that a row belongs to selected evidence, as trainings do to their proof."""
        [above] = [c for c in table.foreign_key_constraints if c.referred_table in _evidence_tables()]
        keys = select(*(element.column for element in above.elements))
        return tuple_(*above.columns).in_(keys.where(*self._evidence(above.referred_table)))

    def _evidence(self, table: Table) -> list[ColumnElement[bool]]:
        of_run = [] if self.run_id is None else [table.c.run_id == self.run_id]
        return of_run if self.ids is None else [*of_run, table.c.blueprint_id.in_(self.ids)]

    def _found(self, blueprints: Table) -> ColumnElement[bool]:
        if self.ids is not None:
            return blueprints.c.id.in_(self.ids)
        return blueprints.c.id.in_(
            union(
                *(
                    select(table.c.blueprint_id).where(
                        table.c.blueprint_id.is_not(None), *self._evidence(table)
                    )
                    for table in _evidence_tables()
                )
            )
        )

    def _generations(self) -> Any:
        """Return run and generation of all that is selected, and of a run all its generations."""
        found: list[Select[Any, Any]] = [
            select(table.c.run_id, table.c.generation).where(*self._evidence(table))
            for table in _evidence_tables()
        ]
        found.append(
            select(schema.blueprints.c.run_id, schema.blueprints.c.generation).where(
                self._found(schema.blueprints)
            )
        )
        if self.ids is None:
            of_run = schema.generations.alias()
            found.append(select(of_run.c.run_id, of_run.c.generation).where(of_run.c.run_id == self.run_id))
        return union(*found)


def _evidence_tables() -> list[Table]:
    """Return the tables whose rows are about a blueprint, or may be, in a generation of a run."""
    needed = {"blueprint_id", "run_id", "generation"}
    return [table for table in schema.LEDGER if needed <= set(table.c.keys())]
