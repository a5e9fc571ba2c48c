"""The catalogue's benchmark: libraries as runs leave them, the same for equal words, and its document."""

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import benchmarks.catalogue
import benchmarks.catalogue_rows
from benchmarks.catalogue_rows import copy, fill
from blueprints import parse
from hall_of_fame.catalogue import Catalogue, CatalogueQuery
from hall_of_fame.kinship import lineages
from hall_of_fame.store import Store


@pytest.fixture(autouse=True)
def few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.catalogue_rows, "NUM_PARTS", 40)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that runs one of both commands with these words."""

    def command(main: Callable[[], None], *words: object) -> None:
        monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, words)])
        main()

    return command


def test_a_library_has_runs_of_real_programs_with_proofs_and_lineage(tmp_path: Path) -> None:
    with Store.open(tmp_path / "library.db", create=True) as store:
        fill(store, 90)
        rows = Catalogue(store).page(CatalogueQuery(limit=200)).rows
        assert len(rows) == len({row.blueprint_id for row in rows}) == 90
        assert all(parse(row.tokens).id == row.blueprint_id for row in rows)
        assert {row.strategy for row in rows} == {"reinforce", "evolution", "random"}
        assert {row.status for row in rows} == {"entrant", "candidate", "refused"}
        assert len(store.runs()) == 3
        assert store.metrics("evolution_seed1")[-1]["term_task_mean"] > 0.0
        with Store.open(tmp_path / "again.db", create=True) as again:
            fill(again, 90)
            assert Catalogue(again).page(CatalogueQuery(limit=200)).rows == rows


def test_copies_are_counted_and_found(tmp_path: Path) -> None:
    with Store.open(tmp_path / "library.db", create=True) as store:
        fill(store, 30)
        before = store.counts()
        copy(store, 3)
        assert store.counts().blueprints == Catalogue(store).facets().num == 3 * before.blueprints == 90
        assert store.counts().evaluations == 3 * before.evaluations
        rows = Catalogue(store).page(CatalogueQuery(limit=200)).rows
        assert sorted(row.blueprint_id for row in rows) == store.ids()
        assert all(lineages(store, row.blueprint_id).rows for row in random.Random(0).sample(rows, 5))


def test_every_question_is_timed_and_written(run: Callable[..., None], tmp_path: Path) -> None:
    run(benchmarks.catalogue_rows.main, tmp_path / "made", "--blueprints", 30)
    run(benchmarks.catalogue.main, tmp_path / "made", "--repeats", 2, "--json", tmp_path / "figures.json")
    document = json.loads((tmp_path / "figures.json").read_text())["made"]
    assert document["num_blueprints"] == 30
    assert len(document["queries"]) == 23
    assert all(found["p95_s"] >= found["median_s"] > 0.0 for found in document["queries"].values())


def test_a_larger_library_is_made_of_another_which_stays(run: Callable[..., None], tmp_path: Path) -> None:
    run(benchmarks.catalogue_rows.main, tmp_path / "made", "--blueprints", 10)
    run(benchmarks.catalogue_rows.main, tmp_path / "larger", "--of", tmp_path / "made", "--copies", 4)
    for name, num in (("made", 10), ("larger", 40)):
        with Store.open(tmp_path / name / "library.db") as store:
            assert store.counts().blueprints == num


def test_a_library_that_exists_is_not_written_over(run: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "library.db").write_text("mine")
    with pytest.raises(SystemExit):
        run(benchmarks.catalogue_rows.main, tmp_path)
    assert (tmp_path / "library.db").read_text() == "mine"


def test_commits_are_compared_with_those_that_keep_no_catalogue() -> None:
    found = benchmarks.catalogue.commits(2)
    assert found["with"]["num"] == found["without"]["num"] == 2
    assert found["ratio"] > 0.0
