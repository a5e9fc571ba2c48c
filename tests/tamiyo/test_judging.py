"""What a generation is worth: evidence grows, nothing is trained twice, the best are looked at again."""

import dataclasses
from pathlib import Path
from statistics import fmean

import pytest

from blueprints import LANGUAGE
from crucible import Crucible
from crucible.effort import RUNGS
from crucible.engines.native.library import find_library
from crucible.reward import RewardBounds, RewardWeights
from curricula.suites import task_named
from curricula.user_tasks import load_user_tasks
from hall_of_fame.records import CandidateRecord, RunRecord
from hall_of_fame.store import Store
from tamiyo.judging import Judge
from tamiyo.metrics import generation_metrics, num_solved, token_entropy

XOR = task_named("xor")
MLP = ("RES_START", "LINEAR", "OUT_DIM_DOUBLE", "GELU", "LINEAR", "OUT_DIM_IN", "RES_END")
A = ("BRANCH_START", "TANH", "BRANCH_SEP", "SILU", "MERGE_ADD")
SAME_AS_A = ("BRANCH_START", "SILU", "BRANCH_SEP", "TANH", "MERGE_ADD")
BROKEN = ("LINEAR", "KERNEL_5")
#: Solves nothing, so it is never among the best.
AFFINE = ("LINEAR", "OUT_DIM_IN")


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


def test_a_blueprint_gets_as_many_seeds_at_once_as_are_asked_for_and_left(judge):
    thorough = dataclasses.replace(judge, num_seeds=2)
    first = thorough.judge([MLP], [XOR])
    assert seeds_by_program(first)[MLP] == [("xor", 10), ("xor", 11)]
    scores = [max(0.0, 2 * r.score - 1) for r in first.verdicts[0].evaluation.results]
    assert first.verdicts[0].reward.terms.task == pytest.approx(fmean(scores))
    commit(thorough, first, 0)
    assert seeds_by_program(thorough.judge([MLP], [XOR]))[MLP] == [("xor", 12)]


def test_a_known_blueprint_is_trained_on_the_task_it_lacks(judge):
    commit(judge, judge.judge([MLP], [XOR]), 0)
    temporal = task_named("temporal")
    judgement = judge.judge([MLP], [XOR, temporal])
    [evaluation] = judgement.trained
    assert [(result.task, result.seed) for result in evaluation.results] == [("xor", 11), ("temporal", 10)]


def test_what_a_user_s_own_file_says_is_part_of_the_key_of_its_task(judge, tmp_path):
    own = Path(__file__).resolve().parents[2] / "docs" / "examples" / "own_task.py"
    (tmp_path / "changed.py").write_text(own.read_text().replace("> inputs[:, 0, 0]", "< inputs[:, 0, 0]"))
    (tmp_path / "copied.py").write_text(own.read_text())
    files = (own, tmp_path / "copied.py", tmp_path / "changed.py")
    tasks = [load_user_tasks(file)["rises"] for file in files]
    own_key, copied_key, changed_key = (record.key for record in judge.task_records(tasks))
    assert own_key == copied_key != changed_key
    [known] = judge.task_records([XOR])
    assert "source" not in known.knobs


def test_weights_and_gates_reach_reward_and_hall_of_fame(judge):
    ranking = task_named("xor_distractors_4")
    gated = dataclasses.replace(judge, task_weights={"xor": 0.0})
    [plain], [weighed] = (j.judge([MLP], [XOR, ranking]).verdicts for j in (judge, gated))
    xor, other = (2 * r.score - 1 for r in plain.evaluation.results)
    assert plain.reward.terms.task == pytest.approx((max(0.0, xor) + max(0.0, other)) / 2)
    assert 0 < weighed.reward.terms.task == pytest.approx(other), "it solves XOR, so it loses nothing"
    [affine] = gated.judge([AFFINE], [XOR, ranking]).verdicts
    assert affine.reward.terms.task < 0.05
    assert gated.judge([MLP], [XOR]).verdicts[0].reward.terms.task == pytest.approx(xor)
    assert list(gated.key_weights([XOR, ranking]).values()) == [0.0, 1.0]
    assert list(gated.key_weights([XOR]).values()) == [1.0]


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


def seeds_by_program(judgement) -> dict:
    trained = {e.blueprint_id: [(r.task, r.seed) for r in e.results] for e in judgement.trained}
    return {v.tokens: trained.get(v.blueprint.id, []) for v in judgement.verdicts if v.blueprint}


def test_the_best_get_fresh_seeds_on_every_task_before_their_reward_is_told(judge):
    temporal = dataclasses.replace(task_named("temporal"), epochs=2)
    tasks, programs = [XOR, temporal], [AFFINE, MLP, BROKEN, A, MLP]
    quick = judge.judge(programs, tasks)
    again = dataclasses.replace(judge, reseed_share=0.34, reseed_seeds=2).judge(programs, tasks)
    totals = {v.tokens: v.reward.total for v in reversed(quick.verdicts)}
    best = max(totals, key=lambda tokens: totals[tokens])
    assert best in (MLP, A)
    first = [("xor", 10), ("temporal", 10)]
    fresh = [("xor", 11), ("xor", 12), ("temporal", 11), ("temporal", 12)]
    expected = {tokens: [*first, *fresh] if tokens == best else first for tokens in (AFFINE, MLP, A)}
    assert seeds_by_program(again) == expected
    for before, after in zip(quick.verdicts, again.verdicts, strict=True):
        if after.tokens == best:
            results = after.evaluation.results
            assert results[:2] == before.evaluation.results
            means = [
                fmean(max(0.0, 2 * r.score - 1) for r in results if r.task == task)
                for task in ("xor", "temporal")
            ]
            assert after.reward.terms.task == pytest.approx(fmean(means))
            assert after.reward.terms.redundancy == before.reward.terms.redundancy
            assert after.reward.total != before.reward.total
            assert after.is_novel == before.is_novel
        else:
            assert (after.evaluation, after.reward) == (before.evaluation, before.reward)
    [(id_, reward_before)] = again.reseeded.items()
    verdict = next(v for v in again.verdicts if v.tokens == best)
    assert (id_, reward_before) == (verdict.blueprint.id, totals[best])
    assert quick.reseeded == {}
    metrics = generation_metrics(again, tasks)
    assert metrics["num_reseeded"] == 1
    assert metrics["reseed_drop_mean"] == pytest.approx(reward_before - verdict.reward.total)
    assert metrics["evaluations"] == 10


def test_fresh_seeds_go_on_record_and_are_never_repeated(judge):
    careful = dataclasses.replace(judge, reseed_share=1.0)
    seeds = []
    for generation in range(4):
        judgement = careful.judge([MLP], [XOR])
        seeds.append([seed for _, seed in seeds_by_program(judgement)[MLP]])
        assert len(judgement.reseeded) == (generation == 0)
        commit(careful, judgement, generation)
    assert seeds == [[10, 11], [12], [], []]
    known = judge.store.known_results(
        [judgement.verdicts[0].blueprint.id], judge.crucible.engine_id, [judge.task_records([XOR])[0].key]
    )
    assert [result.seed for results in known.values() for result in results] == [10, 11, 12]


@pytest.mark.skipif(find_library() is None, reason="the package was built without a C++ compiler")
def test_rungs_end_first_looks_but_no_second_ones(judge):
    with Crucible(num_workers=1, engine="native", effort=RUNGS) as crucible:
        careful = dataclasses.replace(judge, crucible=crucible, reseed_share=1.0)
        judgement = careful.judge([MLP, A, AFFINE, ("GELU",)], [XOR])
    results = [result for evaluation in judgement.trained for result in evaluation.results]
    steps = {seed: sorted(r.num_steps for r in results if r.seed == seed) for seed in (10, 11)}
    assert steps == {10: [36, 36, 50, 100], 11: [100] * 4}


def test_of_equal_rewards_the_earlier_is_reseeded_and_nobody_without_a_reward_of_its_own(judge):
    # Two affine blueprints of as many parameters are at the floor alike; the broken one has no terms.
    half = dataclasses.replace(
        judge, reseed_share=0.5, weights=RewardWeights(task=0.0, stability=0.0, redundancy=0.0)
    )
    programs = [BROKEN, ("TANH",), ("SILU",)]
    judgement = half.judge(programs, [XOR])
    assert judgement.verdicts[1].reward.total == judgement.verdicts[2].reward.total
    assert list(judgement.reseeded) == [judgement.verdicts[1].blueprint.id]


def test_trainings_from_fresh_seeds_are_announced_too(judge):
    begun, done = [], []
    careful = dataclasses.replace(judge, reseed_share=1.0)
    careful.judge([MLP, BROKEN, A], [XOR], begin=begun.append, progress=done.append)
    assert begun == [2, 2]
    assert sum(done) == 4


def test_seeds_and_blueprints_share_the_variance_of_a_generation(judge):
    judgement = dataclasses.replace(judge, reseed_share=1.0, reseed_seeds=2).judge([MLP, AFFINE, A], [XOR])
    metrics = generation_metrics(judgement, [XOR])
    assert metrics["icc_xor"] > 0.9
    assert metrics["variance_between_xor"] > metrics["variance_within_xor"] > 0
    assert "icc_xor" not in generation_metrics(judge.judge([MLP, AFFINE], [XOR]), [XOR])


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


def test_novelty_in_structure_and_function_is_a_mean_over_distinct_blueprints(judge):
    first = judge.judge([A, SAME_AS_A], [XOR])
    assert "novelty_structural_mean" not in generation_metrics(first, [XOR])
    assert generation_metrics(first, [XOR])["novelty_functional_mean"] == 1.0
    commit(judge, first, 0)
    second = judge.judge([A, MLP, MLP, BROKEN], [XOR])
    metrics = generation_metrics(second, [XOR])
    a, mlp = (second.likenesses[verdict.blueprint.id] for verdict in second.verdicts[:2])
    assert a == 1.0 > mlp > 0.0
    assert metrics["novelty_structural_mean"] == pytest.approx((1 - mlp) / 2)
    redundancy = second.verdicts[1].reward.terms.redundancy
    assert metrics["novelty_functional_mean"] == pytest.approx((1 - redundancy) / 2)


def test_redundancy_is_a_mean_over_the_tasks_that_both_were_seen_on(judge):
    temporal = dataclasses.replace(task_named("temporal"), epochs=2)
    values = []
    for tasks in ([XOR], [XOR, temporal]):
        commit(judge, judge.judge([A], [XOR]), len(values))
        values.append(judge.judge([MLP], tasks).verdicts[0].reward.terms.redundancy)
    assert values[0] == values[1], "the hall of fame was never seen on the second task"


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
