"""The benchmark of how the browser starts: a real start told, packages summed, what it refuses."""

import re
import sys
from pathlib import Path

import pytest

from benchmarks.browse_start import Import, main, packages
from hall_of_fame.store import Store


@pytest.mark.slow
def test_a_start_and_its_imports_are_told(tmp_path: Path, monkeypatch, capsys) -> None:
    Store.open(tmp_path / "library.db", create=True).close()
    monkeypatch.setattr(sys, "argv", ["browse_start.py", str(tmp_path), "--starts", "1", "--modules", "3"])
    main()
    told = capsys.readouterr().out
    listening_s, first_s, second_s = map(float, re.findall(r"^\w+_s +(\d+\.\d\d)$", told, re.M))
    assert 0 < listening_s <= first_s <= second_s
    assert len(re.findall(r"^[\w.]+ +\d+\.\d%$", told, re.M)) == 6
    assert re.search(r"^tamiyo\.api\.app +\d", told, re.M)


def test_a_package_costs_what_its_modules_take_themselves() -> None:
    found = [
        Import(name="a.b", own_s=0.25, all_s=0.25),
        Import(name="c", own_s=0.5, all_s=0.5),
        Import(name="a", own_s=0.5, all_s=1.25),
    ]
    assert packages(found) == [("a", 0.75), ("c", 0.5)]


def test_numbers_that_mean_nothing_are_refused(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["browse_start.py", "runs/none", "--starts", "0"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "at least one start" in capsys.readouterr().err
