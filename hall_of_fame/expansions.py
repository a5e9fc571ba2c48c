"""Expansions of blueprints into architectures, as the ledger has them; expands and checks nothing."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from sqlalchemy import BigInteger, Integer, Select, String, Table, select

from hall_of_fame import audit, queries, schema
from hall_of_fame.database import dump_json
from hall_of_fame.errors import UnknownExpansionError
from hall_of_fame.rows import Row
from hall_of_fame.store import Store

#: What another machine, or the same one at another time, may give otherwise without being another expansion.
_INCIDENTAL = ("id", "created", "usage", "checks")
#: Ids that an error names as near.
_NUM_NEAR = 4
_MOST_INTEGER = 2**31 - 1
#: Hexadecimal digits that are enough to show an id.
_SHORT_ID = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpansionRecord:
    """A blueprint made into an architecture that runs on its own, or what prevented it.

    Attributes:
        id: SHA-256 of inputs, outcome, environment and calls; empty until it is on record. Equal work on an
            equal machine has the same id, so that it is there once.
        blueprint_id: the blueprint.
        run_id: the run that found it first.
        generation: the generation of that run.
        created: ISO 8601 time, in UTC.
        target: what the architecture is for.
        designer: who was asked, `template` or provider and model.
        verdict: `passed` where all checks held, `failed` where even the template's work did not.
        reason: why the template took over as a whole, or what failed; empty otherwise.
        fallbacks: what the template made though another was asked: units, `plan`, or all of them.
        settings: everything asked for that decides the outcome, versions of package and language included.
        plan: the decisions around the block.
        units: the plan, then each unit in order: `name`, `author`, `attempts`, why the template made it
            instead in a word (`cause`) and exactly (`reason`), and `source`.
        files: SHA-256 of each file of the folder by its path.
        num_parameters: of the whole architecture.
        tree_hash: the folder's, as git names trees; None where nothing was made.
        commit_hash: in the repository of generated code; None where there is none.
        sandbox: the sandbox that the checks ran in.
        environment: versions and machine that the figures of the checks depend on.
        usage: `wall_s`, `cpu_s` and `peak_bytes` of the candidate in the sandbox.
        checks: each check's `name`, `is_passed`, `detail` and `seconds`, in their order.
    """

    id: str = ""
    blueprint_id: str
    run_id: str
    generation: int
    created: str
    target: str
    designer: str
    verdict: Literal["passed", "failed"]
    reason: str = ""
    fallbacks: tuple[str, ...] = ()
    settings: Mapping[str, Any]
    plan: Mapping[str, Any]
    units: tuple[Mapping[str, Any], ...]
    files: Mapping[str, str]
    num_parameters: int
    tree_hash: str | None
    commit_hash: str | None
    sandbox: str
    environment: Mapping[str, Any]
    usage: Mapping[str, Any] = field(default_factory=dict)
    checks: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpansionCall:
    """One question to a language model for an expansion, and what came of it.

    Attributes:
        subject: `plan` or the name of a unit; `unknown` where a command that was cut short asked it.
        attempt: number of the attempt at it, from 1; an attempt may take several calls.
        provider: provider and model that were asked.
        model: the model that answered, as it names itself; empty when nothing came.
        request: the messages and settings that were sent.
        answer: what came; empty when nothing did.
        prompt_tokens: tokens of the question, as the provider counts them.
        completion_tokens: tokens of the answer.
        cost_usd: its price; None where the model has none on the table of prices.
        usage: whether the provider `told` the tokens, they are `assumed` at their most, or it used `none`.
        seconds: from question to answer or error.
        error: why nothing came; empty otherwise.
        verdict: of the attempt: `passed`, `failed`, or `none` where nothing came that could be checked.
        detail: the exact error of the check that failed.
    """

    subject: str
    attempt: int
    provider: str
    model: str
    request: Mapping[str, Any]
    answer: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    usage: Literal["told", "assumed", "none"]
    seconds: float
    error: str
    verdict: Literal["passed", "failed", "none"]
    detail: str


class ExpansionBook:
    """The expansions of a ledger: rows are added, never changed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, record: ExpansionRecord, calls: Sequence[ExpansionCall] = ()) -> ExpansionRecord:
        """Write an expansion with its calls in one transaction, and return it as it is on record.

        Equal work that is on record already stays as it is, and is returned. What models and their code say
        is cut to what both databases can hold: no NUL, no halves of characters, no numbers past 32 bits.

        Args:
            record: of a blueprint and generation on record; its `id` is ignored.
            calls: in the order in which they were made.
        """
        record = _record(_writable(schema.expansions, _row(record)))
        calls = [ExpansionCall(**_writable(schema.expansion_calls, asdict(call))) for call in calls]
        id_ = digest(record, calls)
        with self._store.writing(f"write an expansion of {record.blueprint_id[:12]} to") as connection:
            table = schema.expansions
            known = connection.execute(select(table).where(table.c.id == id_)).mappings().first()
            if known is not None:
                return _record(known)
            connection.execute(table.insert(), [_row(replace(record, id=id_))])
            rows = [{"expansion_id": id_, "position": n, **asdict(call)} for n, call in enumerate(calls)]
            if rows:
                connection.execute(schema.expansion_calls.insert(), rows)
            audit.record(
                connection,
                "expansion",
                run_id=record.run_id,
                generation=record.generation,
                counts={"expansions": 1, "expansion_calls": len(rows)},
                note=f"{record.blueprint_id[:12]} {record.target} {record.verdict}",
            )
        return replace(record, id=id_)

    def expansions(
        self, blueprint_id: str | None = None, *, limit: int | None = None
    ) -> list[ExpansionRecord]:
        """Return the expansions of a blueprint, or of all, newest first, at most `limit`."""
        table = schema.expansions
        query = select(table).order_by(table.c.created.desc(), table.c.id).limit(limit)
        if blueprint_id is not None:
            query = query.where(table.c.blueprint_id == blueprint_id)
        with self._store.reading() as connection:
            return [_record(row) for row in connection.execute(query).mappings()]

    def get(self, expansion_id: str) -> ExpansionRecord:
        """Return the expansion whose id is, or alone begins with, `expansion_id`.

        Raises:
            UnknownExpansionError: when there is none, or more than one.
        """
        text = expansion_id.strip().lower()
        table = schema.expansions
        with self._store.reading() as connection:
            query = select(table).where(table.c.id.startswith(text, autoescape=True)).order_by(table.c.id)
            found = connection.execute(query.limit(2)).mappings().all() if text else []
            if len(found) == 1:
                return _record(found[0])
            near = list(connection.scalars(_newest_ids().limit(_NUM_NEAR)))
        came = f"'{text}' begins more than one expansion's id" if found else f"no expansion '{expansion_id}'"
        known = ", ".join(id_[:_SHORT_ID] for id_ in near)
        raise UnknownExpansionError(
            came,
            expected="the id of one on record or its beginning",
            mend=f"the newest: {known}" if known else "this ledger holds none yet; `tamiyo expand` makes one",
        )

    def calls(self, expansion_id: str) -> list[ExpansionCall]:
        """Return the calls behind an expansion in the order in which they were made."""
        table = schema.expansion_calls
        query = select(*(table.c[entry.name] for entry in fields(ExpansionCall)))
        query = query.where(table.c.expansion_id == expansion_id).order_by(table.c.position)
        with self._store.reading() as connection:
            return [ExpansionCall(**row) for row in connection.execute(query).mappings()]

    def costs(self, ids: Sequence[str]) -> dict[str, float]:
        """Return what the calls behind each expansion cost in USD, where the price of every one is known."""
        table = schema.expansion_calls
        query = select(table.c.expansion_id, table.c.cost_usd)
        found: dict[str, float] = {}
        unknown: set[str] = set()
        with self._store.reading() as connection:
            for chunk in queries.chunks(ids):
                for id_, cost in connection.execute(query.where(table.c.expansion_id.in_(chunk))):
                    if cost is None:
                        unknown.add(id_)
                    else:
                        found[id_] = found.get(id_, 0.0) + cost
        return {id_: cost for id_, cost in found.items() if id_ not in unknown}


def digest(record: ExpansionRecord, calls: Sequence[ExpansionCall]) -> str:
    """Return the id of an expansion: the hash of everything about it that is not incidental."""
    values = {name: value for name, value in asdict(record).items() if name not in _INCIDENTAL}
    text = dump_json([_sorted(values), [_sorted(asdict(call)) for call in calls]])
    return hashlib.sha256(text.encode()).hexdigest()


def _writable(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as both databases can hold it."""
    found = {name: _clean(value) for name, value in row.items()}
    for name, value in found.items():
        kind = table.c[name].type
        if isinstance(kind, String) and value is not None and kind.length is not None:
            found[name] = value[: kind.length]
        elif isinstance(value, int) and isinstance(kind, Integer) and not isinstance(kind, BigInteger):
            found[name] = max(-_MOST_INTEGER, min(value, _MOST_INTEGER))
    return found


def _clean(value: Any) -> Any:
    """Return what JSON can say with lists for tuples, and with texts that any database takes."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list | tuple) else value


def _sorted(value: Any) -> Any:
    """Return `value` with the keys of every mapping in their order."""
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value


def _newest_ids() -> Select[Any]:
    table = schema.expansions
    return select(table.c.id).order_by(table.c.created.desc(), table.c.id)


def _row(record: ExpansionRecord) -> dict[str, Any]:
    lists = {"units": list(record.units), "checks": list(record.checks)}
    return {**asdict(record), **lists, "fallbacks": " ".join(record.fallbacks)}


def _record(row: Row) -> ExpansionRecord:
    tuples = {"units": tuple(row["units"]), "checks": tuple(row["checks"])}
    return ExpansionRecord(**{**row, **tuples, "fallbacks": tuple(row["fallbacks"].split())})
