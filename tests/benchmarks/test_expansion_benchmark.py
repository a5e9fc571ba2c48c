"""The benchmark of expansions: rows are right or told, and a run goes on where another ended."""

import json
from pathlib import Path

import pytest

from benchmarks.expansion import main, programs, report
from tamiyo.expansion.records import TARGETS

NUM = 2


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the rows of a small run."""
    path = tmp_path_factory.mktemp("expansions") / "rows.jsonl"
    assert main(["--num", str(NUM), "--seed", "3", "--rows", str(path)]) == 0
    return path


@pytest.mark.slow
def test_every_program_meets_every_target_and_each_is_right(rows: Path) -> None:
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    expected = [(" ".join(tokens), target) for tokens in programs(NUM, 3) for target in TARGETS]
    assert [(row["tokens"], row["target"]) for row in found] == expected
    assert all(row["is_right"] and (row["is_refused"] or "training" in row["checks"]) for row in found)


@pytest.mark.slow
def test_rows_on_record_are_not_made_again(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = rows.read_text()
    assert main(["--num", str(NUM), "--seed", "3", "--rows", str(rows), "--minutes", "0"]) == 0
    assert rows.read_text() == before
    assert f"{NUM * len(TARGETS)} of {NUM * len(TARGETS)} expansions" in capsys.readouterr().out


def test_a_row_that_is_not_right_is_told_with_its_program(capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "tokens": "GELU",
        "target": "tabular",
        "is_refused": False,
        "is_right": False,
        "failure": "block: 3",
    }
    report([row])
    told = capsys.readouterr().out
    assert "tabular                     1     0.0%  0 of 0" in told
    assert "1 by block\ntabular: GELU\n    block: 3" in told
