"""Merging trainings with and without a loss curve, which versions before curves did not write."""

import json
from pathlib import Path

import pytest
from archives import all_rows, fill, sign

from hall_of_fame import merging
from hall_of_fame.archive import Archive, write
from hall_of_fame.errors import StoreError
from hall_of_fame.merging import import_, restore
from hall_of_fame.store import Store


@pytest.mark.parametrize("is_first", [True, False])
def test_of_a_training_with_and_without_a_loss_curve_that_on_record_stays(
    is_first: bool, tmp_path: Path, library_url: str
) -> None:
    fill(tmp_path / "a.db")
    with Store.open(tmp_path / "a.db") as store:
        write(store, tmp_path / "whole", packed=False)
    header, *lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    rows = [json.loads(line) for line in lines]
    has_curve = [bool(row.get("loss_curve")) for row in rows]
    bare = [row | (merging.NO_CURVE if has else {}) for row, has in zip(rows, has_curve, strict=True)]
    assert 0 < sum(has_curve) < sum(row["table"] == "evaluations" for row in rows)
    sign(tmp_path / "bare", header, [json.dumps(row).encode() + b"\n" for row in bare])
    names = ("whole", "bare") if is_first else ("bare", "whole")
    first, second = (Archive(tmp_path / name) for name in names)
    restore(first, library_url)
    with Store.open(library_url) as store:
        before = all_rows(store)
        assert any(row.get("loss_curve") for _, row in before) == is_first
        assert import_(second, store).added == {}
        assert all_rows(store) == before
        index = has_curve.index(True)
        for changed in ({"loss_curve": "AAAAAA=="}, merging.NO_CURVE | {"score": 2.5}):
            forged = [*rows[:index], rows[index] | changed, *rows[index + 1 :]]
            path = sign(tmp_path / "forged", header, [json.dumps(row).encode() + b"\n" for row in forged])
            if is_first or "score" in changed:
                with pytest.raises(StoreError, match="has other evaluations under"):
                    import_(Archive(path), store)
        assert all_rows(store) == before
