"""An expansion on record is made again: the same files, the same figures, or exactly what is otherwise."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from designers import Told
from test_expanding import Ending, made

from hall_of_fame.expansions import ExpansionBook, ExpansionRecord
from hall_of_fame.library import Library
from tamiyo.expansion import reproducing
from tamiyo.expansion.expanding import FailedExpansionError
from tamiyo.expansion.provenance import Repository
from tamiyo.expansion.reproducing import ReproductionError, reproduce
from tamiyo.sandbox.contract import Sandbox


@pytest.fixture
def opened(library: Path) -> Iterator[Library]:
    with Library.open(library) as found:
        yield found


@pytest.fixture
def record(opened: Library, sandbox: Sandbox, tmp_path: Path) -> ExpansionRecord:
    """Return an expansion that a designer and the template made together."""
    return made(opened, sandbox, tmp_path / "out", Told({"head": ["import os"]}), attempts=1).record


def test_the_figures_are_equal_to_the_bit_whether_code_comes_from_git_or_from_the_ledger(
    opened: Library, sandbox: Sandbox, library: Path, record: ExpansionRecord
) -> None:
    found = reproduce(record, opened.store, sandbox, Repository(library))
    assert (found.source, found.is_exact, found.is_reproduced) == ("commit", True, True)
    assert [figure.name for figure in found.figures][-2:] == ["training", "outputs"]
    assert found.figures[-1].now.startswith("sha256 ")
    shutil.rmtree(library / "expansions.git")
    for repository in (Repository(library), None):
        again = reproduce(record, opened.store, sandbox, repository)
        assert (again.source, again.files, again.figures) == ("ledger", found.files, found.figures)


def test_a_figure_that_is_not_the_same_is_told(
    opened: Library, sandbox: Sandbox, record: ExpansionRecord
) -> None:
    changed = tuple(
        {**check, "detail": check["detail"].replace("0", "1")} if check["name"] == "training" else check
        for check in record.checks
    )
    found = reproduce(replace(record, checks=changed), opened.store, sandbox, None)
    assert found.is_exact
    assert not found.is_reproduced
    [figure] = [figure for figure in found.figures if not figure.is_same]
    assert figure.name == "training"
    assert figure.then != figure.now


def test_another_environment_is_named_and_compared_within_the_tolerance(
    opened: Library, sandbox: Sandbox, record: ExpansionRecord
) -> None:
    moved = replace(record, environment={**record.environment, "torch": "2.0"}, sandbox="rlimits of then")
    found = reproduce(moved, opened.store, sandbox, None)
    assert set(found.differing) == {"torch", "sandbox"}
    assert found.differing["torch"][0] == "2.0"
    assert found.is_reproduced
    assert not found.is_exact
    training = next(check["detail"] for check in record.checks if check["name"] == "training")
    start = training.split()[2]
    for change, is_same in ((0.05, True), (0.2, False)):
        other = training.replace(start, f"{float(start) + change:.3f}", 1)
        checks = tuple(
            {**check, "detail": other if check["name"] == "training" else check["detail"]}
            for check in moved.checks
        )
        again = reproduce(replace(moved, checks=checks), opened.store, sandbox, None)
        assert again.is_reproduced is is_same


def test_files_that_are_not_those_on_record_are_refused(
    opened: Library, library: Path, sandbox: Sandbox, record: ExpansionRecord
) -> None:
    assert record.commit_hash is not None
    other = {**Repository(library).files(record.commit_hash), "head.py": b"import os\n"}
    commit = Repository(library).keep(
        other, tag="run/other/char_lm-1", message="m", created="2026-01-01T00:00:00+00:00"
    )
    with pytest.raises(
        ReproductionError, match=r"holds other files than are on record .*: head.py; expected"
    ):
        reproduce(replace(record, commit_hash=commit), opened.store, sandbox, Repository(library))


def test_without_the_commit_another_version_says_what_it_makes_otherwise_and_where_to_look(
    opened: Library, sandbox: Sandbox, record: ExpansionRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    assemble = reproducing.assemble
    monkeypatch.setattr(
        reproducing, "assemble", lambda *arguments: {**assemble(*arguments), "train.py": b"# newer\n"}
    )
    with pytest.raises(ReproductionError, match=r"puts other files together .* train.py; .* no folder with"):
        reproduce(record, opened.store, sandbox, None)


def test_an_expansion_that_failed_is_not_made_again(
    opened: Library, sandbox: Sandbox, tmp_path: Path
) -> None:
    with pytest.raises(FailedExpansionError):
        made(opened, Ending(), tmp_path / "out")
    [failed] = ExpansionBook(opened.store).expansions()
    with pytest.raises(ReproductionError, match=r"failed when it was made, sandbox: timed_out.*expected one"):
        reproduce(failed, opened.store, sandbox, None)
