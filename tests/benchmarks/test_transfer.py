"""The benchmark of transfer: matched sizes, choices by validation alone, Holm by hand, going on."""

from pathlib import Path

import pytest
import torch
from scipy.stats import ttest_1samp

from benchmarks.transfer import FRESH_SEEDS, HUMANS, RATES, Trainings, run
from benchmarks.transfer_data import DATA_SETS
from benchmarks.transfer_models import TOLERANCE, Architecture, Block
from benchmarks.transfer_picture import draw, front
from benchmarks.transfer_report import Training, chosen_rate, holm, p_value
from blueprints import human


def training(block: str, rate: float, seed: int, loss: float | None, data_set: str = "digits") -> Training:
    figures = None if loss is None else {"loss": loss, "accuracy": 0.5}
    return Training(
        data_set=data_set,
        block=block,
        rate=rate,
        seed=seed,
        depth=2,
        width=64,
        num_parameters=60_000,
        cpu_s=1.0,
        validation=figures,
        test=figures if seed in FRESH_SEEDS else None,
    )


def block(name: str) -> Block:
    return Block(name=name, is_human=name in HUMANS, blueprint=human(name))


@pytest.mark.slow
def test_peoples_blocks_are_matched_within_five_percent(tmp_path: Path) -> None:
    sizes = [Architecture(block(name), DATA_SETS["digits"], tmp_path).sized for name in HUMANS]
    counts = [size.num_parameters for size in sizes if size]
    assert len(counts) == len(HUMANS)
    assert max(counts) / min(counts) <= 1.05
    assert all(abs(count / 60_000 - 1) <= TOLERANCE for count in counts)


def test_digits_are_split_once_for_all_and_nothing_is_in_two_splits(tmp_path: Path) -> None:
    import types

    data = types.SimpleNamespace(Data=lambda splits, **sizes: splits)
    splits = DATA_SETS["digits"].load(data, None)
    rows = {name: {tuple(x.flatten().tolist()) for x in inputs} for name, (inputs, _) in splits.items()}
    assert {name: len(inputs) for name, (inputs, _) in splits.items()} == {
        "train": 1078,
        "validation": 359,
        "test": 360,
    }
    assert not rows["train"] & rows["test"]
    assert not rows["validation"] & rows["test"]
    again = DATA_SETS["digits"].load(data, None)
    assert torch.equal(again["test"][1], splits["test"][1])


def test_the_rate_that_validates_best_is_chosen_and_a_diverged_one_never() -> None:
    found = [training("gru", 1e-3, 0, 0.5), training("gru", 3e-3, 0, 0.4), training("gru", 1e-2, 0, None)]
    assert chosen_rate(found) == 3e-3


def test_holm_is_that_of_a_hand_worked_case() -> None:
    rows = [
        {"data_set": "a", "differences": [1.0, 2.0, 3.0], "p": 0.04},
        {"data_set": "b", "differences": [1.0, 1.1, 0.9], "p": 0.003},
    ]
    found = holm(rows)
    assert [row["data_set"] for row in found] == ["a", "b"]
    assert [row["p_holm"] for row in found] == [0.04, 0.006]
    assert [row["confidence"] for row in found] == [0.95, 0.975]
    # t(2) is 6.205 at 97.5 %: 1 +- 6.205 * 0.1 / sqrt(3).
    assert found[1]["low"] == pytest.approx(0.6418, abs=1e-3)
    assert found[1]["high"] == pytest.approx(1.3582, abs=1e-3)
    assert found[1]["is_ahead"]


def test_nothing_is_ahead_after_the_first_that_fails() -> None:
    rows = [
        {"data_set": "a", "differences": [1.0, 2.0, 3.0], "p": 0.03},
        {"data_set": "b", "differences": [1.0, 1.1, 0.9], "p": 0.04},
    ]
    found = holm(rows)
    assert [row["is_ahead"] for row in found] == [False, False]
    assert [row["confidence"] for row in found] == [0.975, 0.975]
    assert [row["p_holm"] for row in found] == [0.06, 0.06]


def test_the_p_value_is_that_of_scipy() -> None:
    differences = [0.1, 0.3, -0.05, 0.2, 0.15]
    assert p_value(differences) == pytest.approx(ttest_1samp(differences, 0).pvalue)
    assert p_value([0.0, 0.0]) == 1.0


def test_the_front_holds_what_nothing_beats() -> None:
    assert front({"a": (1, 3), "b": (2, 2), "c": (3, 2.5), "d": (0.5, 4)}) == [(0.5, 4), (1, 3), (2, 2)]


class Rehearsed(Trainings):
    """Trainings that are all on record, with losses by block; one that is missing is an error."""

    def __init__(self, folder: Path, blocks: list[Block], losses: dict[str, float]) -> None:
        super().__init__(folder, blocks)
        for data_set in DATA_SETS:
            for name, loss in losses.items():
                for rate in RATES:
                    for seed in (0, *FRESH_SEEDS):
                        worth = loss + 0.01 * seed * (rate == 3e-3) + abs(rate - 3e-3) * 10
                        row = training(name, rate, seed, worth + 0.001 * seed * len(name), data_set)
                        self.done[row.key] = row

    def architecture(self, block: str, data_set):
        class Fits:
            sized = True

        return Fits()


def test_the_best_on_validation_are_compared_and_everything_is_told(tmp_path: Path) -> None:
    entrants = [block(name) for name in ("min_gru_block", "mamba_block", "conv_gru")]
    losses = {
        **dict.fromkeys(HUMANS, 2.0),
        "gru": 1.5,
        "min_gru_block": 1.4,
        "mamba_block": 1.2,
        "conv_gru": 1.9,
    }
    people = [block(name) for name in HUMANS]
    document = run(Rehearsed(tmp_path, [*entrants, *people], losses), entrants, people)
    assert document["winners"] == ["mamba_block", "min_gru_block"]
    for row in document["comparisons"]:
        assert (row["winner"], row["human"]) == ("mamba_block", "gru")
        assert row["mean"] == pytest.approx(0.3 - 0.003 * 8, abs=1e-6)
        assert row["is_ahead"]
    assert set(document["rates"]["digits"].values()) == {3e-3}
    compared = {row["name"] for row in document["blocks"] if row["is_compared"]}
    assert compared == {*HUMANS, "mamba_block", "min_gru_block"}
    draw(document, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_a_training_on_record_is_not_done_again(tmp_path: Path) -> None:
    row = training("gru", 1e-3, 0, 0.5)
    (tmp_path / "trainings.jsonl").write_text(row.to_line() + "\n")
    trainings = Trainings(tmp_path, [block("gru")])
    assert trainings.get("gru", DATA_SETS["digits"], 1e-3, 0) == row
    assert not (tmp_path / "architectures").exists()


@pytest.mark.slow
def test_a_training_is_done_and_kept_and_tests_fresh_seeds_alone(tmp_path: Path, monkeypatch) -> None:
    from dataclasses import replace

    short = replace(DATA_SETS["digits"], steps=5)
    trainings = Trainings(tmp_path, [block("swiglu")])
    chosen, fresh = (trainings.get("swiglu", short, 3e-3, seed) for seed in (0, FRESH_SEEDS[0]))
    assert chosen.test is None
    assert fresh.test is not None
    assert Trainings(tmp_path, [block("swiglu")]).done == trainings.done
