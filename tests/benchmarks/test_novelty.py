"""The novelty benchmark: areas by hand, its sample and pairs, document and picture, and what it refuses."""

import json
from functools import partial

import numpy as np
import pytest

from benchmarks import novelty
from benchmarks.novelty import EQUAL_PAIRS, auc, auc_interval, curve, main, structure
from benchmarks.novelty_fit import FIT_SEED
from benchmarks.novelty_sample import NUM_JUDGED, draw_sample
from blueprints import parse


def test_the_area_by_hand() -> None:
    assert auc(np.array([0.9, 0.5]), np.array([0.1, 0.5, 0.7])) == pytest.approx((3 + 1.5) / 6)
    assert auc(np.array([1.0]), np.array([0.0])) == 1.0
    assert auc(np.zeros(4), np.zeros(9)) == 0.5


def test_a_measure_that_tells_all_apart_has_area_one_and_one_that_knows_nothing_a_half() -> None:
    sharp = [np.eye(12), np.eye(12)]
    assert auc_interval(sharp) == {"value": 1.0, "low": 1.0, "high": 1.0}
    noise = list(np.random.default_rng(0).random((20, 12, 12)))
    found = auc_interval(noise)
    assert found["low"] < 0.5 < found["high"]
    assert found["high"] - found["low"] < 0.3


def test_a_curve_runs_from_nothing_to_all() -> None:
    found = curve(list(np.random.default_rng(0).random((3, 12, 12))))
    for rates in (found["false_positive_rate"], found["true_positive_rate"]):
        assert rates == sorted(rates)
        assert rates[0] < 0.1
        assert rates[-1] == 1.0


def test_the_sample_is_distinct_and_always_the_same() -> None:
    ids = [blueprint.id for blueprint in draw_sample(16)]
    assert len(set(ids)) == 16
    assert ids == [blueprint.id for blueprint in draw_sample(16)]


def test_what_is_fitted_and_what_is_judged_share_no_blueprint() -> None:
    judged = {blueprint.id for blueprint in draw_sample(NUM_JUDGED)}
    fitted = draw_sample(24, seed=FIT_SEED, without=judged)
    assert judged.isdisjoint({blueprint.id for blueprint in fitted})


def test_equal_pairs_are_written_differently_in_every_sense() -> None:
    for one, other in EQUAL_PAIRS:
        assert parse(one.split()).id != parse(other.split()).id, (one, other)


def test_planted_isomorphs_are_all_found_and_nothing_else() -> None:
    found = structure(600)
    assert found["isomorphic"] > 20
    assert found["canonical_id"] == {"precision": 1.0, "recall": 1.0}
    assert found["similarity_1"]["recall"] == 1.0
    assert 0 < found["near_misses_median"] < 1


def test_a_small_run_writes_document_and_picture(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(novelty, "TASKS", ("xor",))
    monkeypatch.setattr(novelty, "UNSEEN_TASK", "xor_distractors_4")
    monkeypatch.setattr(novelty, "times", partial(novelty.times, 24, 16))
    out, picture = tmp_path / "novelty.json", tmp_path / "novelty.png"
    monkeypatch.setattr("sys.argv", f"novelty --num 8 --pairs 50 --json {out} --figure {picture}".split())
    assert main() == 0
    document = json.loads(out.read_text())
    assert set(document["function"]["tasks"]) == {"xor", "xor_distractors_4"}
    assert document["function"]["tasks"]["xor"]["trained"] == 8 * 4
    for moved in document["function"]["tasks"]["xor"]["invariance"].values():
        assert moved["cka"] < 1e-3
        assert moved["likeness"] < 1e-3
    assert document["function"]["tasks"]["xor"]["cka"]["independent"]["q90"] < 0.1
    assert len(document["function"]["together"]["confused"]) == novelty.NUM_CONFUSED
    assert document["times"]["greatest_error"] < 2e-5
    assert picture.stat().st_size > 10_000


def test_too_small_a_sample_is_refused(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["novelty", "--num", "2"])
    with pytest.raises(SystemExit):
        main()
    assert "--num must be at least 8, got 2" in capsys.readouterr().err
