"""The catalogue lists what the ledger says: pages in order, whole and once, filtered, searched, counted."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from ledgers import XOR, commit, random_generation, run_record

from hall_of_fame import catalogue
from hall_of_fame.catalogue import RANGES, SORTS, Catalogue, CatalogueQuery, CatalogueRow
from hall_of_fame.errors import CursorError, QueryError
from hall_of_fame.store import Store


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Two runs of a few generations of random blueprints, which no test writes to."""
    if request.param == "postgresql":
        with request.getfixturevalue("postgres").database() as url, filled(url) as store:
            yield store
    else:
        with filled(str(tmp_path_factory.mktemp("catalogue") / "library.db")) as store:
            yield store


@contextmanager
def filled(url: str) -> Iterator[Store]:
    """Give a new library with rows."""
    with Store.open(url, create=True) as store:
        for number, run_id in enumerate(("a", "b")):
            store.add_run(run_record(run_id, config={"strategy": f"strategy {run_id}"}))
            for generation in range(3):
                rng = random.Random(generation)
                judged = [
                    (
                        b,
                        replace(
                            e, num_parameters=rng.randrange(500), latency_us=rng.choice([None, rng.random()])
                        ),
                    )
                    for b, e in random_generation(10 * number + generation, 24)
                ]
                commit(store, generation, judged, run_id=run_id, tasks=[XOR], stage=f"stage {generation}")
        yield store


def listed(store: Store, query: CatalogueQuery) -> list[CatalogueRow]:
    """Return the rows of every page of a query."""
    rows: list[CatalogueRow] = []
    for _ in range(500):
        page = Catalogue(store).page(query)
        rows += page.rows
        assert len(page.rows) <= query.limit
        if page.next_cursor is None:
            return rows
        query = replace(query, cursor=page.next_cursor)
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("descending", [False, True])
def test_pages_give_every_row_once_and_in_order(store: Store, sort: str, descending: bool) -> None:
    rows = listed(store, CatalogueQuery(sort=sort, descending=descending, limit=25))
    assert sorted(row.blueprint_id for row in rows) == store.ids()
    if sort not in ("newest", "standing"):
        unknown = float("-inf") if sort == "reward" else float("inf")
        values = [unknown if getattr(row, sort) is None else getattr(row, sort) for row in rows]
        assert values == sorted(values, reverse=descending)


def test_filters_give_what_a_reading_of_all_rows_gives(store: Store) -> None:
    rows = listed(store, CatalogueQuery(limit=200))
    rng = random.Random(0)
    words = sorted({token for row in rows for token in row.tokens})
    num_empty = 0
    for _ in range(40):
        some = rng.choice(rows)
        asked: dict[str, Any] = {
            "status": rng.choice([None, some.status]),
            "family": rng.choice([None, some.family]),
            "stage": rng.choice([None, some.stage]),
            "run_id": rng.choice([None, None, some.run_id]),
        }
        bounds: dict[str, Any] = {}
        for name in rng.sample(RANGES, rng.randrange(3)):
            value = getattr(some, name)
            if value is not None:
                bounds[rng.choice(["min_", "max_"]) + name] = value
        search = " ".join(rng.sample(words, rng.randrange(3))).lower()
        query = CatalogueQuery(
            **asked, **bounds, search=search, sort=rng.choice(SORTS), limit=rng.choice([10, 50])
        )
        expected = [row for row in rows if fits(row, query)]
        found = listed(store, query)
        assert Counter(row.blueprint_id for row in found) == Counter(row.blueprint_id for row in expected)
        assert Catalogue(store).page(query).total == len(expected)
        num_empty += not expected
    assert num_empty < 30


def fits(row: CatalogueRow, query: CatalogueQuery) -> bool:
    """Return whether a row meets a query, without SQL."""
    for name in ("status", "family", "stage", "run_id"):
        if getattr(query, name) not in (None, getattr(row, name)):
            return False
    for name in RANGES:
        value = getattr(row, name)
        least, most = getattr(query, f"min_{name}"), getattr(query, f"max_{name}")
        if value is None:
            value = float("-inf") if name == "reward" else float("inf")
        if (least is not None and value < least) or (most is not None and value > most):
            return False
    words = query.search.upper().split()
    return all(any(token.startswith(word) for token in row.tokens) for word in words)


def test_facets_count_what_is_there(store: Store) -> None:
    rows = listed(store, CatalogueQuery(limit=200))
    facets = Catalogue(store).facets()
    assert facets.num == len(rows)
    for kind, name in {"family": "family", "status": "status", "stage": "stage", "run": "run_id"}.items():
        assert getattr(facets, kind) == Counter(map(attrgetter(name), rows))


def test_a_page_looks_at_a_bounded_number_of_rows_and_its_cursor_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = listed(store, CatalogueQuery(search="linear", sort="score", limit=200))
    monkeypatch.setattr(catalogue, "VISITED", 11)
    query = CatalogueQuery(search="linear", sort="score", limit=200)
    page = Catalogue(store).page(query)
    assert 0 < len(page.rows) < 11 < len(whole)
    assert page.next_cursor is not None
    assert page.total is None
    assert page.at_least == len(page.rows)
    assert listed(store, query) == whole


def test_a_row_that_is_written_meanwhile_moves_no_other_between_pages(tmp_path: Path) -> None:
    with filled(str(tmp_path / "library.db")) as store:
        read_while_writing(store)


def read_while_writing(store: Store) -> None:
    query = CatalogueQuery(sort="newest", descending=False, limit=10)
    before = listed(store, query)
    page = Catalogue(store).page(query)
    commit(store, 3, random_generation(99, 24), run_id="a", tasks=[XOR])
    rest = listed(store, replace(query, cursor=page.next_cursor))
    assert [*page.rows, *rest][: len(before)] == [Catalogue(store).row(row.blueprint_id) for row in before]


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "é", "AAAA", "bnVsbA", "W10", "WzEsMiwzXQ", "a" * 5000, "WyIiLCIxIiwgMV0", "\0", "W1tbW1tb"],
)
def test_a_cursor_that_no_page_gave_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(CursorError, match="next_cursor of a page"):
        Catalogue(store).page(CatalogueQuery(cursor=cursor))


@pytest.mark.parametrize(
    "place", [[10**30, 1], [1, 10**30], [float("nan"), 1], ["a", 1], [None, 1], [1.0, True], [[1], 1]]
)
def test_a_forged_place_is_refused(store: Store, place: list[object]) -> None:
    query = CatalogueQuery()
    forged = catalogue._Cursor(*place, None, 1).write(query)  # type: ignore[arg-type]
    with pytest.raises(CursorError, match="without a place"):
        Catalogue(store).page(replace(query, cursor=forged))


def test_later_pages_say_what_the_first_one_counted(store: Store) -> None:
    query = CatalogueQuery(search="linear", limit=2)
    page = Catalogue(store).page(query)
    following = Catalogue(store).page(replace(query, cursor=page.next_cursor))
    assert page.total is not None
    assert page.total > 4
    assert (following.total, following.at_least) == (page.total, page.at_least)


def test_a_cursor_of_another_query_is_refused(store: Store) -> None:
    cursor = Catalogue(store).page(CatalogueQuery(limit=2)).next_cursor
    others: list[dict[str, Any]] = [
        {"sort": "score"},
        {"descending": False},
        {"search": "GRU"},
        {"min_score": 0.1},
    ]
    for other in others:
        with pytest.raises(CursorError, match="a cursor of another query"):
            Catalogue(store).page(CatalogueQuery(cursor=cursor, **other))
    assert Catalogue(store).page(CatalogueQuery(cursor=cursor, limit=100)).rows


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sort": "tokens"}, "no sort 'tokens'; expected one of standing"),
        ({"status": "best"}, "no status 'best'; expected one of entrant"),
        ({"limit": 0}, "a limit of 0; expected 1 to 200"),
        ({"limit": 201}, "a limit of 201; expected 1 to 200"),
        ({"search": "A" * 257}, "a long search; expected at most 256"),
        ({"search": " ".join(map(str, range(17)))}, "17 words; expected at most 16"),
        ({"run_id": "a\0b"}, "a zero byte in run_id"),
        ({"min_score": float("nan")}, "nan as a bound of score"),
        ({"max_length": 10**40}, "as a bound of length; expected a number within"),
    ],
)
def test_a_query_that_no_catalogue_can_be_asked_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(QueryError) as raised:
        CatalogueQuery(**fields)  # type: ignore[arg-type]
    assert message in str(raised.value)


@pytest.mark.parametrize("text", ["'; DROP TABLE runs; --", "%", "_", "\\", "LIN%", "☃", "CONV_"])
def test_signs_of_sql_find_nothing(store: Store, text: str) -> None:
    assert listed(store, CatalogueQuery(search=text)) == []
    assert listed(store, CatalogueQuery(family=text)) == []
    assert store.counts().blueprints > 0


def test_the_best_are_sampled_and_a_row_is_found_by_its_id(store: Store) -> None:
    rows = listed(store, CatalogueQuery(limit=200))
    assert Catalogue(store).sample(5) == rows[:5]
    assert Catalogue(store).row(rows[3].blueprint_id) == rows[3]
    assert Catalogue(store).row("0" * 64) is None


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("asked", [{}, {"status": "candidate"}, {"cursor": 1}])
def test_no_page_sorts_or_reads_everything(tmp_path: Path, sort: str, asked: dict[str, Any]) -> None:
    with Store.open(tmp_path / "library.db", create=True) as store:
        fields = {name: value for name, value in asked.items() if name != "cursor"}
        steps = plan(store, CatalogueQuery(sort=sort, **fields), asked)
    assert not [step for step in steps if "TEMP B-TREE" in step], steps
    assert not [step for step in steps if step == "SCAN catalogue" and sort != "newest"], steps


@pytest.mark.parametrize("column", ["family", "stage", "run_id"])
def test_a_facet_in_the_order_of_standing_is_read_along_its_index(tmp_path: Path, column: str) -> None:
    with Store.open(tmp_path / "library.db", create=True) as store:
        facet: dict[str, Any] = {column: "some"}
        steps = plan(store, CatalogueQuery(**facet), {"cursor": 1})
    assert [step for step in steps if f"USING INDEX ix_catalogue_{column}_standing" in step], steps
    assert not [step for step in steps if "TEMP B-TREE" in step], steps


def plan(store: Store, query: CatalogueQuery, asked: dict[str, Any]) -> list[str]:
    """Return the steps in which SQLite answers a page."""
    cursor = catalogue._Cursor(0.5, 7, None, 1) if "cursor" in asked else None
    with store.reading() as connection:
        hits = catalogue._Walk.of(query, catalogue.Facets()).hits(cursor, 10)
        statement = hits.compile(dialect=store.engine.dialect, compile_kwargs={"literal_binds": True})
        return [step[-1] for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")]
