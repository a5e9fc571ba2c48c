"""Expansions on record: what is written is read, once, by id, and carried by archives and merges."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from archives import all_rows, fill
from ledgers import expansion, expansion_call

from hall_of_fame.archive import Archive, write
from hall_of_fame.errors import StoreError
from hall_of_fame.expansions import ExpansionBook, ExpansionRecord
from hall_of_fame.merging import merge, restore
from hall_of_fame.store import Store

CALLS = (expansion_call("plan"), expansion_call("head", cost_usd=None, error="timed_out: no answer in 5 s"))


@pytest.fixture
def store(library_url: str) -> Iterator[Store]:
    """Give a library with a run of two generations."""
    fill(library_url)
    with Store.open(library_url) as store:
        yield store


def on_record(store: Store, number: int = 0, **fields: Any) -> ExpansionRecord:
    """Return an invented expansion of one of the library's blueprints."""
    return expansion(store.ids()[number], **fields)


def test_an_expansion_is_read_as_it_was_written(store: Store) -> None:
    book = ExpansionBook(store)
    written = book.add(on_record(store), CALLS)
    assert len(written.id) == 64
    assert book.get(written.id) == book.get(written.id[:8].upper()) == written
    assert book.expansions() == book.expansions(written.blueprint_id) == [written]
    assert book.expansions(store.ids()[1]) == []
    assert book.calls(written.id) == list(CALLS)


def test_an_expansion_has_a_cost_where_the_price_of_every_call_is_known(store: Store) -> None:
    book = ExpansionBook(store)
    turned_down = expansion_call("head", cost_usd=0.0, usage="none")
    known = book.add(on_record(store), [CALLS[0], CALLS[0], turned_down])
    unknown = [book.add(on_record(store), calls) for calls in (CALLS, [turned_down, CALLS[1]], ())]
    assert book.costs([known.id, *(record.id for record in unknown), "f" * 64]) == {known.id: 0.5}


def test_equal_work_is_on_record_once_and_keeps_when_it_was_first_done(store: Store) -> None:
    book = ExpansionBook(store)
    first = book.add(on_record(store), CALLS)
    again = replace(first, id="", created="2030-01-01T00:00:00+00:00", usage={"wall_s": 9.0})
    assert book.add(again, CALLS) == first
    assert len(book.expansions()) == 1
    assert [row.verb for row in store.audit_trail()].count("expansion") == 1


@pytest.mark.parametrize(
    "fields", [{"target": "tabular"}, {"environment": {"torch": "9"}}, {"tree_hash": "b" * 40}]
)
def test_other_inputs_outcomes_and_machines_are_other_expansions(
    store: Store, fields: dict[str, Any]
) -> None:
    book = ExpansionBook(store)
    first = book.add(on_record(store))
    assert book.add(on_record(store, **fields)).id != first.id
    assert book.add(on_record(store), CALLS).id != first.id
    assert len(book.expansions()) == 3


def test_the_newest_expansion_comes_first(store: Store) -> None:
    book = ExpansionBook(store)
    for day in (2, 1, 3):
        book.add(on_record(store, created=f"2026-01-0{day}T00:00:00+00:00", target=f"day {day}"))
    assert [found.target for found in book.expansions()] == ["day 3", "day 2", "day 1"]
    assert [found.target for found in book.expansions(limit=1)] == ["day 3"]


def test_whatever_a_model_says_can_be_written(store: Store) -> None:
    book = ExpansionBook(store)
    said = "a\0b \ud800 \u2028 \U0001f600"
    call = replace(CALLS[0], answer=said, model="m" * 999, prompt_tokens=10**12, request={said: (said, 1)})
    unit = {"name": "head", "author": said, "source": said}
    written = book.add(on_record(store, reason=said, units=(unit,), checks=({"detail": said},)), [call])
    heard = "a\ufffdb ? \u2028 \U0001f600"
    assert book.get(written.id) == written
    assert written.reason == written.units[0]["source"] == written.checks[0]["detail"] == heard
    [kept] = book.calls(written.id)
    assert (kept.answer, len(kept.model), kept.prompt_tokens) == (heard, 256, 2**31 - 1)
    assert kept.request == {heard: [heard, 1]}
    assert book.add(replace(written, id=""), [call]) == written


@pytest.mark.parametrize("asked", ["zz", "", "%", "_"])
def test_an_id_that_names_no_expansion_is_refused_with_those_there_are(store: Store, asked: str) -> None:
    book = ExpansionBook(store)
    with pytest.raises(StoreError, match=r"this ledger holds none yet; `tamiyo expand` makes one$"):
        book.get(asked)
    found = book.add(on_record(store))
    with pytest.raises(StoreError, match=f"no expansion '{asked}'; .*the newest: {found.id[:12]}$"):
        book.get(asked)


def test_an_expansion_of_what_is_not_on_record_is_refused_with_its_calls(store: Store) -> None:
    before = all_rows(store)
    with pytest.raises(StoreError, match="cannot write an expansion of ffffffffffff"):
        ExpansionBook(store).add(expansion("f" * 64), CALLS)
    assert all_rows(store) == before


def test_an_expansion_is_written_with_all_its_calls_or_not_at_all(store: Store) -> None:
    book = ExpansionBook(store)
    with pytest.raises(StoreError, match="cannot write an expansion"):
        book.add(on_record(store), [CALLS[0], replace(CALLS[1], answer=None)])  # pyright: ignore[reportArgumentType]
    assert book.expansions() == []


def test_archives_and_merges_carry_expansions_with_their_calls(tmp_path: Path) -> None:
    with ExitStack() as stack:
        stores = []
        for name, seed in (("a", 0), ("b", 1)):
            fill(tmp_path / f"{name}.db", name, seed=seed)
            stores.append(stack.enter_context(Store.open(tmp_path / f"{name}.db")))
        both = sorted(set(stores[0].ids()) & set(stores[1].ids()))[0]
        same = expansion(both, run_id="a")
        first = ExpansionBook(stores[0]).add(same, CALLS)
        merge(stores[:1], tmp_path / "b.db")
        ExpansionBook(stores[1]).add(replace(same, created="2027-01-01T00:00:00+00:00", target="tabular"))
        merged = merge(stores, tmp_path / "c.db")
        assert (merged.added["expansions"], merged.added["expansion_calls"]) == (2, 2)
        with Store.open(tmp_path / "c.db") as united:
            book = ExpansionBook(united)
            assert book.get(first.id) == first
            assert book.calls(first.id) == list(CALLS)
            header = write(united, tmp_path / "file")
            part = write(united, tmp_path / "part", run_id="b")
            assert (header.counts["expansions"], part.counts["expansions"]) == (2, 0)
        restore(Archive(tmp_path / "file"), tmp_path / "d.db")
        with Store.open(tmp_path / "d.db") as restored, Store.open(tmp_path / "c.db") as united:
            assert all_rows(restored) == all_rows(united)


def test_two_libraries_with_the_same_expansion_unite_and_the_first_date_stays(tmp_path: Path) -> None:
    ids = []
    for name in ("a", "b"):
        fill(tmp_path / f"{name}.db")
    with Store.open(tmp_path / "a.db") as one, Store.open(tmp_path / "b.db") as other:
        for store, day in ((one, 1), (other, 2)):
            dated = on_record(store, created=f"2026-01-0{day}T00:00:00+00:00")
            ids.append(ExpansionBook(store).add(dated, CALLS).id)
        assert ids[0] == ids[1]
        merge([one, other], tmp_path / "c.db")
    with Store.open(tmp_path / "c.db") as united:
        [found] = ExpansionBook(united).expansions()
        assert found.created == "2026-01-01T00:00:00+00:00"
        assert ExpansionBook(united).calls(found.id) == list(CALLS)
