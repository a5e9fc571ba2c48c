"""What a generation is worth: evidence grows, nothing is trained twice, duplicates are redundant."""

import dataclasses

import pytest

from blueprints import LANGUAGE
from crucible import Crucible
from crucible.reward import RewardBounds, RewardWeights
from curricula.suites import task_named
from hall_of_fame.records import CandidateRecord, RunRecord
from hall_of_fame.store import Store
from tamiyo.judging import Judge
from tamiyo.metrics import generation_metrics, num_solved, token_entropy

XOR = task_named("xor")
MLP = ("RES_START", "LINEAR", "OUT_DIM_DOUBLE", "GELU", "LINEAR", "OUT_DIM_IN", "RES_END")
A = ("BRANCH_START", "TANH", "BRANCH_SEP", "SILU", "MERGE_ADD")
SAME_AS_A = ("BRANCH_START", "SILU", "BRANCH_SEP", "TANH", "MERGE_ADD")
BROKEN = ("LINEAR", "KERNEL_5")


@pytest.fixture
def judge(tmp_path):
    with Store.open(tmp_path / "library.db", create=True) as store, Crucible(num_workers=1) as crucible:
        store.add_run(RunRecord(id="run", created="2026-01-01T00:00:00+00:00", seed=0, config={}))
        yield Judge(
            language=LANGUAGE,
            crucible=crucible,
            store=store,
            run_id="run",
            seeds=(10, 11, 12),
            weights=RewardWeights(),
            bounds=RewardBounds(),
            hall_of_fame_size=4,
        )


def commit(judge: Judge, judgement, generation: int) -> None:
    judge.store.commit_generation(
        "run",
        generation,
        stage="xor",
        metrics={},
        candidates=[
            CandidateRecord(
                position=i,
                tokens=v.tokens,
                blueprint_id=v.blueprint and v.blueprint.id,
                reward=v.reward.total,
            )
            for i, v in enumerate(judgement.verdicts)
        ],
        blueprints=[v.blueprint for v in judgement.verdicts if v.blueprint],
        evaluations=judgement.trained,
        tasks=judge.task_records([XOR]),
    )


def test_evidence_grows_by_one_fresh_seed_a_generation_and_never_repeats(judge):
    seeds = []
    for generation in range(5):
        judgement = judge.judge([MLP, MLP], [XOR])
        seeds.append([result.seed for evaluation in judgement.trained for result in evaluation.results])
        assert judgement.verdicts[0].is_novel == (generation == 0)
        assert len(judgement.verdicts[0].evaluation.results) == min(generation + 1, 3)
        commit(judge, judgement, generation)
    assert seeds == [[10], [11], [12], [], []]


def test_a_known_blueprint_is_trained_on_the_task_it_lacks(judge):
    commit(judge, judge.judge([MLP], [XOR]), 0)
    temporal = task_named("temporal")
    judgement = judge.judge([MLP], [XOR, temporal])
    [evaluation] = judgement.trained
    assert [(result.task, result.seed) for result in evaluation.results] == [("xor", 11), ("temporal", 10)]


def test_novelty_is_counted_by_task(judge):
    commit(judge, judge.judge([MLP], [XOR]), 0)
    temporal = task_named("temporal")
    [verdict] = judge.judge([MLP], [XOR, temporal]).verdicts
    assert not verdict.is_novel
    assert verdict.novel_tasks == {"temporal"}


def test_a_blueprint_whose_seeds_are_spent_is_redundant_even_outside_the_hall_of_fame(judge):
    nobody = dataclasses.replace(judge, hall_of_fame_size=0)
    for generation in range(3):
        judgement = nobody.judge([MLP], [XOR])
        assert judgement.verdicts[0].reward.terms.redundancy == 0.0
        commit(nobody, judgement, generation)
    assert nobody.judge([MLP], [XOR]).verdicts[0].reward.terms.redundancy == 1.0


def test_the_number_of_trainings_is_announced_and_then_counted(judge):
    begun, done = [], []
    judge.judge([MLP, MLP, BROKEN, A], [XOR], begin=begun.append, progress=done.append)
    assert begun == [2]
    assert sum(done) == 2


def test_isomorphic_and_known_programs_are_fully_redundant(judge):
    first = judge.judge([A, SAME_AS_A], [XOR])
    a, same = first.verdicts
    assert a.blueprint.id == same.blueprint.id
    assert (a.reward.terms.redundancy, same.reward.terms.redundancy) == (0.0, 1.0)
    assert (a.is_novel, same.is_novel) == (True, False)
    assert same.reward.total == pytest.approx(a.reward.total - RewardWeights().redundancy)
    commit(judge, first, 0)
    known, other = judge.judge([A, MLP], [XOR]).verdicts
    assert known.reward.terms.redundancy == 1.0
    assert 0.0 < other.reward.terms.redundancy < 1.0


def test_what_is_not_a_blueprint_earns_minus_one_and_its_rule_is_counted(judge):
    judgement = judge.judge([BROKEN, MLP, MLP], [XOR])
    metrics = generation_metrics(judgement, [XOR])
    broken, mlp, again = judgement.verdicts
    assert (broken.reward.total, broken.reward.status, broken.evaluation) == (-1.0, "invalid", None)
    assert metrics["valid_rate"] == pytest.approx(2 / 3)
    assert metrics["unique_rate"] == 0.5
    assert metrics["novel_rate"] == pytest.approx(1 / 3)
    assert metrics["rule_attribute-fits-op"] == 1
    assert metrics["status_ok"] == 2
    assert metrics["evaluations"] == 1
    assert metrics["reward_mean"] == pytest.approx((mlp.reward.total + again.reward.total - 1) / 3)
    assert metrics["score_xor_mean"] == mlp.evaluation.results[0].score > 0.9
    assert num_solved(judgement, XOR) == (2, 2)


def test_a_generation_without_any_blueprint_is_judged_too(judge):
    judgement = judge.judge([BROKEN], [XOR])
    metrics = generation_metrics(judgement, [XOR])
    assert (metrics["valid_rate"], metrics["unique_rate"], metrics["evaluations"]) == (0.0, 0.0, 0)
    assert num_solved(judgement, XOR) == (0, 0)


def test_token_entropy_by_hand():
    programs = [("A", "B"), ("A", "C"), ("B",), ("B",)]
    assert token_entropy(programs) == pytest.approx(0.6931472)
    assert token_entropy([("A",), ("A",)]) == 0.0
