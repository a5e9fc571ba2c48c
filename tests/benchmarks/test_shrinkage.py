"""The shrinkage benchmark on a small search that is really trained and proved; its sums by hand."""

import json
import sys
from dataclasses import replace

import pytest

from benchmarks import shrinkage_seeds
from benchmarks.shrinkage import grouped_by_rank, grouped_by_trainings, main, regression
from benchmarks.shrinkage_seeds import Seeds
from blueprints import LANGUAGE, parse
from crucible import Crucible
from crucible.reward import RewardBounds, RewardWeights
from curricula.suites import task_named
from hall_of_fame.records import CandidateRecord, Proof, RunRecord
from hall_of_fame.store import Store
from tamiyo.cli import main as tamiyo
from tamiyo.config import FIRST_PROOF_SEED, Config, CurriculumConfig, LibraryConfig, as_dict
from tamiyo.intervals import Interval
from tamiyo.judging import Judge

XOR = task_named("xor")
PROGRAMS = (
    "RES_START LINEAR OUT_DIM_DOUBLE GELU LINEAR OUT_DIM_IN RES_END",
    "LINEAR OUT_DIM_DOUBLE SILU LINEAR OUT_DIM_IN",
    "LINEAR OUT_DIM_IN",
    "RES_START LINEAR OUT_DIM_IN TANH RES_END",
)


def proof_of(id_: str, rank: int, search: float, again: float, **fields) -> Proof:
    """Return a proof after one training, whose best learning rate brought 0.1 more."""
    values = {"search_trainings": 1, "low": 0.0, "high": 1.0, "floor": 0.0, "verdict": "entered"} | fields
    names = {"protocol": "", "settings": {}, "run_id": "run", "generation": 0, "created": ""}
    scores = {"search_score": search, "mean_as_searched": again, "mean": again + 0.1}
    return Proof(blueprint_id=id_, rank=rank, **names, **scores, **values)


PROOFS = [
    proof_of("a", 1, 0.9, 0.7),
    proof_of("b", 2, 0.8, 0.7),
    proof_of("c", 40, 0.5, 0.6, search_trainings=3),
]


def test_bands_of_ranks_and_trainings_by_hand() -> None:
    first, second = grouped_by_rank(PROOFS)
    assert (first.name, first.num, second.name, second.num) == ("rank 1 to 16", 2, "rank 17 to 64", 1)
    assert first.as_searched.mean == pytest.approx(0.15)
    assert first.shrinkage.mean == pytest.approx(0.05)
    assert first.as_searched.high == pytest.approx(0.15 + 12.706 * 0.05)
    assert (second.as_searched.mean, second.as_searched.low) == (pytest.approx(-0.1), None)
    assert first.corrected is None
    assert [(group.name, group.num) for group in grouped_by_trainings(PROOFS)] == [
        ("searched 1 times", 2),
        ("searched 3 times", 1),
    ]


def test_the_regression_is_of_proof_on_search() -> None:
    line = [proof_of("a", i, x, 0.2 + 0.5 * x) for i, x in enumerate((0.2, 0.4, 0.9), start=1)]
    assert regression(line) == pytest.approx((0.5, 0.2))


def test_what_seeds_are_worth_to_everybody_is_taken_away() -> None:
    ease = {0: -0.03, 1: 0.01, 2: 0.02, 100: 0.02, 101: 0.0}
    seeds = Seeds(
        num_blueprints=2,
        search={},
        proof={},
        difference=Interval(mean=0.0, low=None, high=None, num_seeds=1),
        deviation=0.02,
        ease=ease,
        searched={"a": [0], "b": [0], "c": [0, 1, 2]},
        proved=[100, 101],
    )
    first, second = grouped_by_rank(PROOFS, seeds)
    assert first.corrected is not None
    assert second.corrected is not None
    assert first.corrected.mean == pytest.approx(0.15 + 0.03 + 0.01)
    assert second.corrected.mean == pytest.approx(-0.1 + 0.0 + 0.01)


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> str:
    """Return the ledger of a run of one generation on XOR, three of whose candidates are proved."""
    path = tmp_path_factory.mktemp("library") / "library.db"
    settings = LibraryConfig(seeds=2, held_out=("counting",))
    config = replace(Config(), curriculum=CurriculumConfig(tasks=("xor",)), library=settings)
    with Store.open(path, create=True) as store, Crucible(num_workers=1) as crucible:
        created = "2026-01-01T00:00:00+00:00"
        store.add_run(RunRecord(id="run", created=created, seed=0, config=as_dict(config)))
        judge = Judge(
            language=LANGUAGE,
            crucible=crucible,
            store=store,
            run_id="run",
            seeds=(0,),
            weights=RewardWeights(),
            bounds=RewardBounds(),
            hall_of_fame_size=4,
        )
        judged = judge.judge([tuple(program.split()) for program in PROGRAMS], [XOR])
        found = [(v.blueprint, v.reward.total) for v in judged.verdicts if v.blueprint is not None]
        store.commit_generation(
            "run",
            0,
            stage="xor",
            metrics={},
            candidates=[
                CandidateRecord(position=i, tokens=b.tokens, blueprint_id=b.id, reward=reward)
                for i, (b, reward) in enumerate(found)
            ],
            blueprints=[blueprint for blueprint, _ in found],
            evaluations=judged.trained,
            tasks=judge.task_records([XOR]),
        )
    assert tamiyo(["prove", "--library", str(path), "--top", "3", "--workers", "1"]) == 0
    return str(path)


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Run the command with these words, on few fresh seeds."""
    monkeypatch.setattr(shrinkage_seeds, "NUM_FRESH", 4)
    monkeypatch.setattr(sys, "argv", ["shrinkage.py", *map(str, words)])
    return main()


def test_a_small_run_writes_numbers_and_picture(library, tmp_path, monkeypatch, capsys) -> None:
    picture = tmp_path / "shrinkage.png"
    assert run(monkeypatch, "--library", library, "--sample", 4, "--figure", picture) == 0
    told = json.loads(picture.with_suffix(".json").read_text())
    assert [proof["rank"] for proof in told["proofs"]] == [1, 2, 3]
    assert told["evaluations"] == 4
    assert told["by_rank"][0]["num"] == 3
    assert told["runs"][0]["curriculum"]["tasks"] == ["xor"]
    seeds = told["seeds"]
    assert set(seeds["ease"]) == {"0", str(FIRST_PROOF_SEED), str(FIRST_PROOF_SEED + 1)}
    assert len(seeds["search"]) == len(seeds["proof"]) == 4
    assert not set(seeds["ease"]) & {*seeds["search"], *seeds["proof"]}
    mean = sum([*seeds["search"].values(), *seeds["proof"].values()]) / 8
    difference = sum(seeds["proof"].values()) / 4 - sum(seeds["search"].values()) / 4
    assert seeds["difference"]["mean"] == pytest.approx(difference)
    proved = [seeds["ease"][str(FIRST_PROOF_SEED + i)] for i in (0, 1)]
    shift = seeds["ease"]["0"] - sum(proved) / 2
    [band] = told["by_rank"]
    assert band["corrected"]["mean"] == pytest.approx(band["as_searched"]["mean"] - shift)
    with Crucible(num_workers=1) as crucible:
        ids = sorted((parse(program.split()).id, program) for program in PROGRAMS)
        jobs = [(parse(program.split()), XOR, 0) for _, program in ids]
        scores = [max(0.0, XOR.normalised(result.score)) for result in crucible.run_jobs(jobs)]
    assert seeds["ease"]["0"] == pytest.approx(sum(scores) / 4 - mean)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "3 proofs of 4 evaluations" in capsys.readouterr().out


def test_seeds_are_asked_only_when_wanted(library, tmp_path, monkeypatch, capsys) -> None:
    out = tmp_path / "numbers.json"
    assert run(monkeypatch, "--library", library, "--json", out) == 0
    told = json.loads(out.read_text())
    assert told["seeds"] is None
    assert told["by_rank"][0]["corrected"] is None
    assert "range of proofs" not in capsys.readouterr().out


def test_what_cannot_be_measured_is_one_line(library, tmp_path, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "--library", library, "--sample", 1) == 1
    assert capsys.readouterr().err == f"{library}: --sample is 1; expected 2 blueprints or more, or 0\n"
    empty = tmp_path / "empty.db"
    with Store.open(empty, create=True):
        pass
    assert run(monkeypatch, "--library", empty) == 1
    assert capsys.readouterr().err == f"{empty}: 0 proofs; expected 3 or more: tamiyo prove\n"
