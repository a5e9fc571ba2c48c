"""`tamiyo compare`: figures of two blueprints against those on record, by hand where they are computed."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from blueprints import Blueprint, edit_distance, parse
from crucible.evaluation import Evaluation, MeasuredLatency, TaskResult
from hall_of_fame.proofs import ProofBook
from hall_of_fame.records import CandidateRecord, RunRecord, TaskRecord
from hall_of_fame.similarity import cka
from hall_of_fame.store import Store
from hall_of_fame.structure import features, similarity
from tamiyo.cli import main
from tests.hall_of_fame.ledgers import proof

FIRST = parse("RES_START CONV1D KERNEL_5 CHANNELS_IN GELU LINEAR OUT_DIM_IN RES_END".split())
SECOND = parse("RES_START LOOP_START REPEAT_2 GELU LINEAR OUT_DIM_IN LOOP_END TANH RES_END".split())
UNTRAINED = parse("TANH".split())
XOR = TaskRecord(key="xor-a", name="xor", knobs={}, chance=0.5, solved=0.95)
LATE = TaskRecord(key="temporal-a", name="temporal", knobs={}, chance=0.5, solved=0.95)
LATENCY = MeasuredLatency(
    device="cpu/a",
    width=16,
    time=16,
    batch_size=32,
    median_us=12.5,
    spread_us=0.5,
    reference_us=50.0,
    ratio=0.25,
    repeats=51,
)


def fingerprint(seed: int) -> np.ndarray:
    """Return `[probes, D]` random values that half precision keeps."""
    values = np.random.default_rng(seed).normal(size=(32, 4)).astype(np.float16)
    return values.astype(np.float32)


def evaluation(blueprint: Blueprint, *results: TaskResult, parameters: int = 100) -> Evaluation:
    return Evaluation(
        blueprint_id=blueprint.id,
        engine_id="batched 1",
        num_parameters=parameters,
        flops=20 * parameters,
        latency_us=parameters / 10,
        results=results,
    )


def result(task: str, seed: int, score: float, print_seed: int | None = None) -> TaskResult:
    array = None if print_seed is None else fingerprint(print_seed)
    return TaskResult(task=task, seed=seed, score=score, fingerprint=array)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Write a ledger of two blueprints that share two seeds of xor, and one without a training."""
    path = tmp_path / "library.db"
    evaluations = [
        evaluation(FIRST, result("xor", 0, 0.5, 1), result("xor", 1, 0.7), result("temporal", 0, 0.75, 1)),
        evaluation(
            SECOND, result("xor", 0, 0.6, 2), result("xor", 1, 0.9), result("xor", 2, 0.9), parameters=1100
        ),
    ]
    with Store.open(path, create=True) as store:
        store.add_run(RunRecord(id="demo", created="2026-01-01T00:00:00+00:00", seed=7, config={}))
        store.commit_generation(
            "demo",
            0,
            stage="xor",
            metrics={},
            candidates=[
                CandidateRecord(position=i, tokens=b.tokens, blueprint_id=b.id, reward=0.5 + i / 4)
                for i, b in enumerate((FIRST, SECOND, UNTRAINED))
            ],
            blueprints=[FIRST, SECOND, UNTRAINED],
            evaluations=evaluations,
            tasks=[XOR, LATE],
        )
        store.add_latencies("demo", 0, {FIRST.id: LATENCY})
    return path


def table(printed: str) -> dict[str, list[str]]:
    """Return the words of each row by what stands first."""
    return {line.split("  ")[0].strip(): line.split() for line in printed.splitlines()}


@pytest.fixture
def compare(capsys: pytest.CaptureFixture[str], library: Path):
    """Return a function that compares two blueprints of the library."""

    def run(*arguments: str) -> SimpleNamespace:
        status = main(["compare", *arguments, "--library", str(library)])
        captured = capsys.readouterr()
        return SimpleNamespace(status=status, out=captured.out, err=captured.err)

    return run


def test_json_holds_sizes_edits_scores_with_intervals_and_similarity(compare) -> None:
    done = compare(FIRST.id, SECOND.id[:10], "--json")
    assert (done.status, done.err) == (0, "")
    found = json.loads(done.out)
    first, second = found["blueprints"]
    assert (first["id"], second["id"]) == (FIRST.id, SECOND.id)
    assert first["sizes"] == {"nodes": 5, "edges": 5, "depth": 4}
    assert second["sizes"] == {"nodes": 7, "edges": 6, "depth": 4}
    assert (first["num_parameters"], second["latency_us"]) == (100, 110.0)
    assert found["edit_distance"] == edit_distance(FIRST.tokens, SECOND.tokens)
    wanted = similarity(features([FIRST.graph]), features([SECOND.graph]))
    assert 0 < wanted.item() < 1
    assert found["likeness"] == pytest.approx(wanted.item())

    xor, late = found["tasks"]["xor-a"], found["tasks"]["temporal-a"]
    assert xor["scores"][0]["mean"] == pytest.approx(0.6)
    assert (xor["scores"][0]["low"], xor["scores"][0]["high"]) == (0.0, 1.0)
    half = 4.303 * 0.1  # deviation 0.3 / sqrt 3, over sqrt 3
    assert (xor["scores"][1]["mean"], xor["scores"][1]["low"]) == pytest.approx((0.8, 0.8 - half))
    assert (xor["scores"][1]["num_seeds"], xor["difference"]["num_seeds"]) == (3, 2)
    assert xor["difference"]["mean"] == pytest.approx(0.15)
    assert xor["difference"]["high"] == pytest.approx(0.15 + 12.706 * 0.05)
    arrays = [torch.from_numpy(fingerprint(seed))[None] for seed in (1, 2)]
    assert xor["cka"] == pytest.approx(float(cka(*arrays)), abs=1e-3)
    assert (late["scores"][0]["low"], late["scores"][1], late["difference"], late["cka"]) == (None,) * 4


def test_the_edits_turn_the_first_program_into_the_second(compare) -> None:
    edits = json.loads(compare(FIRST.id, SECOND.id, "--json").out)["edits"]
    before = [token for kind, tokens in edits if kind != "insert" for token in tokens]
    after = [token for kind, tokens in edits if kind != "delete" for token in tokens]
    assert (tuple(before), tuple(after)) == (FIRST.tokens, SECOND.tokens)
    assert edits[0] == ["equal", ["RES_START"]]


def test_the_table_puts_both_and_their_difference_side_by_side(compare) -> None:
    done = compare(FIRST.id, SECOND.id)
    assert (done.status, done.err) == (0, "")
    rows = table(done.out)
    assert rows["parameters"][1:] == ["100", "1,100", "+1,000"]
    assert rows["FLOPs"][1:] == ["2,000", "22,000", "+20,000"]
    assert rows["nodes"][1:] == ["5", "7", "+2"]
    assert rows["latency, us measured on cpu/a, width 16"][-3:] == ["12.5", "-", "-"]
    assert rows["status"][1:] == ["candidate", "candidate"]
    assert "proved anew" not in rows
    assert rows["best reward"][2:] == ["0.500", "0.750", "+0.250"]
    assert rows["temporal"][1:] == ["0.750,", "1", "seed", "-", "-"]
    assert "0.600 [0.000, 1.000], 2 seeds" in done.out
    assert "+0.150 [-0.485, +0.785], 2 seeds" in done.out
    assert "CKA on xor" in done.out
    assert "CKA on temporal" not in done.out
    shown = done.out.splitlines()[-1]
    assert shown.startswith("RES_START [-CONV1D KERNEL_5 CHANNELS_IN-] {+LOOP_START REPEAT_2+} GELU")


def test_a_proof_is_told_with_its_interval(compare, library: Path) -> None:
    proved = proof(SECOND.id, run_id="demo", search_score=0.8, mean=0.625, low=0.5, high=0.75)
    with Store.open(library) as store:
        assert ProofBook(store).add(proved, {}, [])
    rows = table(compare(FIRST.id, SECOND.id).out)
    assert rows["status"][1:] == ["candidate", "entrant"]
    assert rows["proved anew"][2:] == ["-", "0.625", "[0.500,", "0.750]", "-"]
    assert table(compare(SECOND.id, SECOND.id).out)["proved anew"][-1] == "+0.000"


def test_a_blueprint_is_the_same_as_itself_and_an_untrained_one_has_no_figures(compare) -> None:
    same = compare(FIRST.id, FIRST.id)
    assert "0 tokens to edit, graphs 1.000 alike, the same blueprint" in same.out
    assert json.loads(compare(FIRST.id, FIRST.id, "--json").out)["tasks"]["xor-a"]["cka"] == pytest.approx(
        1.0
    )
    found = json.loads(compare(UNTRAINED.id, SECOND.id, "--json").out)
    assert found["tasks"]["xor-a"]["scores"][0] is None
    assert found["tasks"]["xor-a"]["difference"] is None
    assert found["blueprints"][0]["num_parameters"] is None
    assert compare(UNTRAINED.id, SECOND.id).status == 0


def test_an_unknown_id_is_one_line(compare) -> None:
    done = compare(FIRST.id, "zz")
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert "no blueprint 'zz'" in done.err
