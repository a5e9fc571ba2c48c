"""Entry is earned: fresh seeds, the best of three learning rates, novelty, held-out tasks, one ledger."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from test_judging import commit

from blueprints import IDENTITY, LANGUAGE, parse
from crucible import Crucible
from crucible.crucible import Run
from crucible.reward import RewardBounds, RewardWeights
from curricula.suites import task_named
from hall_of_fame.library import Library
from hall_of_fame.records import Proof, RunRecord
from hall_of_fame.store import Store
from hall_of_fame.traits import traits
from tamiyo.config import FIRST_PROOF_SEED, MAX_SEED, SEEDS_A_RUN, ConfigError, LibraryConfig
from tamiyo.judging import Judge
from tamiyo.reproving import Bounded, Reprover, bounded

XOR = task_named("xor")
MLP = ("RES_START", "LINEAR", "OUT_DIM_DOUBLE", "GELU", "LINEAR", "OUT_DIM_IN", "RES_END")
GATED = ("LINEAR", "OUT_DIM_DOUBLE", "SILU", "LINEAR", "OUT_DIM_IN")
AFFINE = ("LINEAR", "OUT_DIM_IN")
#: Looks at steps after the present one, which a task that reads every step refuses.
BACKWARD = ("LINEAR", "OUT_DIM_DOUBLE", "GELU", "LINEAR", "OUT_DIM_IN", "ATTENTION", "HEADS_1", "FULL")


@pytest.fixture
def judge(tmp_path: Path) -> Iterator[Judge]:
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


def reprover_of(judge: Judge, **settings) -> Reprover:
    held_out = tuple(map(task_named, ("xor_distractors_4", "counting")))
    values = {"seeds": (FIRST_PROOF_SEED, FIRST_PROOF_SEED + 1), "rates": (0.3, 1.0, 3.0)}
    values |= {"held_out": held_out, "max_similarity": 1.0, "task_weights": {}}
    of_judge = {name: getattr(judge, name) for name in ("language", "crucible", "store", "run_id")}
    return Reprover(**{**values, **of_judge, **settings})


def search(judge: Judge, *programs: tuple[str, ...], generation: int = 0) -> None:
    """Judge the programs on XOR and commit them as a generation."""
    commit(judge, judge.judge(list(programs), [XOR]), generation)


def prove_all(reprover: Reprover) -> list[Proof]:
    """Prove every candidate that is not, best first."""
    chosen = [candidate for candidate in reprover.selected([XOR]) if not candidate.is_proved]
    proofs = [reprover.prove(candidate, [XOR], 0) for candidate in chosen]
    return [proof for proof in proofs if proof is not None]


def test_a_proof_rests_on_fresh_seeds_at_three_learning_rates(judge):
    search(judge, MLP)
    reprover = reprover_of(judge)
    [proof] = prove_all(reprover)
    trainings = reprover.book.trainings(proof)
    knobs = {task.key: task.knobs for task in judge.store.tasks()}
    of_xor = {key: found for key, found in trainings.items() if knobs[key]["name"] == "xor"}
    rates = sorted(knobs[key]["learning_rate"] / XOR.learning_rate for key in of_xor)
    assert rates == pytest.approx([0.3, 1.0, 3.0])
    assert all([r.seed for r in found] == list(reprover.seeds) for found in trainings.values())
    assert not set(reprover.seeds) & set(judge.seeds)
    validation = {key: fmean(r.validation_score for r in found) for key, found in of_xor.items()}
    best = max(validation, key=lambda key: validation[key])
    rate = next(task.factor for task in proof.tasks if task.task == "xor")
    assert validation[best] == max(validation.values())
    chosen = next(key for key in of_xor if knobs[key]["learning_rate"] == pytest.approx(rate * 1e-2))
    assert validation[chosen] == validation[best]
    assert proof.mean == pytest.approx(fmean(XOR.normalised(r.score) for r in of_xor[chosen]))
    [record] = judge.task_records([XOR])
    assert proof.mean_as_searched == pytest.approx(fmean(XOR.normalised(r.score) for r in of_xor[record.key]))
    [searched] = judge.store.evaluations(proof.blueprint_id)
    assert proof.search_score == pytest.approx(XOR.normalised(searched.result.score))
    assert proof.shrinkage == proof.search_score - proof.mean
    assert (proof.verdict, proof.rank, proof.search_trainings) == ("entered", 1, 1)
    assert sum(map(len, trainings.values())) == reprover.book.num_trainings("run") == 18
    assert reprover.cost([XOR]) == 18


def test_what_does_not_beat_the_identity_is_refused_and_spared_the_held_out_tasks(judge):
    search(judge, AFFINE)
    reprover = reprover_of(judge)
    [proof] = prove_all(reprover)
    assert proof.verdict == "refused"
    assert "not above the identity's" in proof.reason
    assert [task.task for task in proof.tasks] == ["xor"]
    assert reprover.book.num_trainings("run") == 6


def test_a_task_that_refuses_the_blueprint_is_on_record_and_no_failure(judge):
    search(judge, BACKWARD)
    [proof] = prove_all(
        reprover_of(judge, held_out=(task_named("delayed_xor"), task_named("xor_distractors_4")))
    )
    assert proof.verdict == "entered"
    _, refused, sat = proof.tasks
    assert refused.task == "delayed_xor"
    assert "not-causal" in refused.reason
    assert (refused.num_seeds, sat.num_seeds, sat.held_out, sat.reason) == (0, 2, True, "")


def test_no_candidate_is_proved_twice_under_one_protocol_and_numbers_repeat(judge):
    search(judge, MLP, GATED)
    reprover = reprover_of(judge)
    first = prove_all(reprover)
    assert len(first) == 2
    assert prove_all(reprover) == []
    again = prove_all(reprover_of(judge, max_similarity=0.999))
    for old, new in zip(first, again, strict=True):
        assert (old.mean, old.low, old.high, old.tasks[0]) == (new.mean, new.low, new.high, new.tasks[0])
        assert old.protocol != new.protocol


def test_of_two_that_do_the_same_the_better_one_stays(judge):
    search(judge, MLP, GATED)
    proofs = prove_all(reprover_of(judge, max_similarity=1e-6, held_out=()))
    assert proofs[0].verdict == "entered"
    better = proofs[1].mean > proofs[0].mean
    assert proofs[1].verdict == ("entered" if better else "refused")
    assert proofs[1].nearest == proofs[0].blueprint_id
    standings = Library(judge.store).proofs.standings()
    assert sorted(standing.status for standing in standings.values()) == ["entrant", "refused"]


def test_the_better_one_takes_the_place_of_those_it_resembles(judge):
    search(judge, MLP, GATED)
    reprover = reprover_of(judge, max_similarity=0.7, held_out=())
    [first, _] = prove_all(reprover)
    [task] = first.tasks
    [[key, _]] = first.settings["tasks"]
    same, other = {key: task.traits}, {key: tuple(-value for value in task.traits)}
    entrant = replace(first, mean=0.9)
    better, equal = Bounded(mean=0.95, low=0.9, high=1.0), Bounded(mean=0.9, low=0.8, high=1.0)
    for score, marked, verdict, supersedes in (
        (better, same, "entered", (first.blueprint_id,)),
        (equal, same, "refused", ()),
        (equal, other, "entered", ()),
        (better, {key: ()}, "refused", ()),
    ):
        found = reprover._verdict("new", score, marked, [XOR], [entrant])
        assert (found.verdict, found.supersedes) == (verdict, supersedes)
    elsewhere = replace(entrant, settings={**entrant.settings, "tasks": [["xor-another", 1.0]]})
    assert reprover._verdict("new", equal, same, [XOR], [elsewhere]).verdict == "entered"


def test_an_entrant_of_before_traits_is_compared_by_its_representation(judge):
    search(judge, MLP)
    reprover = reprover_of(judge, max_similarity=0.7, held_out=())
    [first] = prove_all(reprover)
    [task], [[key, _]] = first.tasks, first.settings["tasks"]
    older = replace(first, tasks=(replace(task, traits=()),))
    score = Bounded(mean=first.mean, low=first.mean, high=first.mean)
    found = reprover._verdict("new", score, {key: task.traits}, [XOR], [older])
    assert (found.verdict, found.nearest) == ("refused", first.blueprint_id)


def test_traits_on_record_are_the_mean_over_the_seeds_of_the_best_rate(judge):
    search(judge, MLP)
    reprover = reprover_of(judge, held_out=())
    [proof] = prove_all(reprover)
    [task] = proof.tasks
    jobs = [Run(parse(MLP), replace(XOR, learning_rate=task.factor * 1e-2), seed) for seed in reprover.seeds]
    prints = [r.fingerprint for r in judge.crucible.run_jobs(jobs, fingerprints=True, competing=False)]
    expected = traits(torch.from_numpy(np.stack(prints)), XOR.probe(), XOR.input_width).mean(dim=0)
    assert task.traits == pytest.approx(expected.tolist())
    assert reprover.book.proofs()[0].tasks == proof.tasks


def test_proofs_leave_the_search_as_it_was(judge):
    search(judge, MLP)
    before = repr((judge.store.counts(), judge.store.top(3)))
    unproved = judge.judge([MLP], [XOR])
    prove_all(reprover_of(judge))
    assert repr((judge.store.counts(), judge.store.top(3))) == before
    proved = judge.judge([MLP], [XOR])
    assert [v.reward for v in proved.verdicts] == [v.reward for v in unproved.verdicts]


def test_the_floor_is_the_identity_s_score_proved_likewise(judge):
    reprover = reprover_of(judge, held_out=())
    search(judge, MLP)
    [proof] = prove_all(reprover)
    scores = []
    for rate in (0.3, 1.0, 3.0):
        task = replace(XOR, learning_rate=rate * XOR.learning_rate)
        found = judge.crucible.run_jobs([(IDENTITY, task, seed) for seed in reprover.seeds])
        mean = fmean(XOR.normalised(result.score) for result in found)
        scores.append((fmean(result.validation_score for result in found), mean))
    assert proof.floor == pytest.approx(max(scores)[1])


def test_an_interval_over_seeds_by_hand():
    found = bounded([0.2, 0.4, 0.6])
    assert (found.mean, found.low, found.high) == pytest.approx((0.4, 0.0, 0.4 + 4.303 * 0.2 / 3**0.5))
    assert bounded([0.2, 0.4], 0.35).mean == 0.35
    assert bounded([1.0, 1.0]) == Bounded(mean=1.0, low=1.0, high=1.0)


def test_no_search_reaches_the_seeds_of_proofs():
    assert (MAX_SEED + 1) * SEEDS_A_RUN <= FIRST_PROOF_SEED < 2**31 - 1000


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"seeds": 1}, "seeds is 1; expected at least 2"),
        ({"share": 1.5}, "share is 1.5; expected a share"),
        ({"rates": (0.5, 2.0)}, "1 among them"),
        ({"max_similarity": 0.0}, "expected more than 0"),
        ({"held_out": ("riddle",)}, "no task is named 'riddle'"),
        ({"every": 0}, "every is 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        LibraryConfig(**setting)
