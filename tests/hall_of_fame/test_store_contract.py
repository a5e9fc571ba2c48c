"""The store's contract, for every database that it runs on; leaves files and crashes to their own tests."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ledgers
import numpy as np
import pytest
from ledgers import ENGINE, TEMPORAL, XOR, commit, evaluation, human_blueprints, run_record

from blueprints import Blueprint
from crucible.evaluation import Evaluation, LossCurve, TaskResult
from crucible.reward import reward
from curricula.suites import task_named
from curricula.task import Task
from curricula.xor import Xor
from hall_of_fame.errors import StoreError, UnknownBlueprintError
from hall_of_fame.library import Library
from hall_of_fame.records import CandidateRecord, GenerationRecord, TaskRecord
from hall_of_fame.store import Store


def finite(**fields: Any) -> TaskResult:
    """Return a result without NaN, so that it equals itself."""
    norms = {"gradient_norm_mean": 1.0, "gradient_norm_max": 2.0}
    return TaskResult(task="xor", loss_first=0.7, loss_last=0.1, loss_late_std=0.0, **norms, **fields)


def random_evidence(rng: random.Random, blueprint: Blueprint, tasks: Sequence[Task]) -> Evaluation:
    """Return invented results on each task: of one to three seeds, some of them failed, the first never."""
    results = []
    for task in tasks:
        for seed in range(rng.randint(1, 3)):
            if seed and rng.random() < 0.4:
                results.append(TaskResult(task=task.name, seed=seed, status="diverged"))
            else:
                results.append(TaskResult(task=task.name, seed=seed, score=rng.uniform(0.4, 1)))
    return evaluation(blueprint, *results)


class StoreContract:
    """What any database must do; a subclass gives the fixture `store` with a run recorded."""

    def test_a_generation_is_read_back_as_it_was_committed(self, store: Store) -> None:
        generation = ledgers.random_generation(3)
        metrics = {"reward_mean": 0.1 + 0.2, "bad": float("nan"), "nested": {"b": 1, "a": [2.5]}}
        assert commit(store, 0, generation, metrics=metrics)

        last = store.last_generation("run")
        assert last == GenerationRecord(
            run_id="run",
            generation=0,
            stage="xor",
            metrics={"reward_mean": 0.1 + 0.2, "bad": None, "nested": {"b": 1, "a": [2.5]}},
            checkpoint="generation-0.pt",
            task_keys=("xor-a", "temporal-a"),
        )
        assert list(last.metrics) == list(metrics)
        assert store.metrics("run") == [last.metrics]
        candidates = store.candidates("run", 0)
        assert [c.tokens for c in candidates] == [blueprint.tokens for blueprint, _ in generation]
        assert [c.reward for c in candidates] == [judged.results[0].score for _, judged in generation]
        assert store.run("run") == run_record()
        assert store.run("other") is None
        assert store.tasks() == [TEMPORAL, XOR]

    def test_a_program_that_is_no_blueprint_is_a_candidate_too(self, store: Store) -> None:
        candidate = CandidateRecord(
            position=0,
            tokens=("LINEAR", "KERNEL_5"),
            status="rejected",
            rule="attribute-fits-op",
            reward=-1.0,
        )
        store.commit_generation("run", 0, stage="xor", metrics={}, candidates=[candidate])
        assert store.candidates("run", 0) == [candidate]
        assert store.top(5) == []
        assert store.counts().candidates == 1

    def test_known_results_come_back_whole(self, store: Store) -> None:
        good, bad, unknown = human_blueprints(3)
        shape = np.linspace(-3, 5, 32, dtype=np.float32).reshape(8, 4)
        means = np.float32([0.5, 1 / 3, 1e-40, 3e38]).tolist()
        result = TaskResult(
            task="xor",
            seed=2**40,
            score=1 / 3,
            validation_score=0.7,
            num_steps=40,
            loss_first=0.69,
            loss_last=0.1,
            loss_late_std=0.01,
            solved_step=7,
            gradient_norm_mean=1.5,
            gradient_norm_max=float("inf"),
            loss_curve=LossCurve(planned_steps=100, means=tuple(means)),
            clipped_share=0.25,
            fingerprint=shape,
        )
        failed = TaskResult(task="xor", seed=1, status="diverged", reason="loss was nan", nonfinite_step=3)
        commit(store, 0, [(good, evaluation(good, result)), (bad, evaluation(bad, failed))])

        ids = [good.id, bad.id, unknown.id]
        known = store.known_results(ids, ENGINE, ["xor-a"], with_fingerprints=True)
        assert set(known) == {good.id, bad.id}
        assert known[good.id] == [result]
        np.testing.assert_allclose(known[good.id][0].fingerprint, shape, rtol=1e-3, atol=1e-3)
        assert repr(known[bad.id]) == repr([failed])
        assert store.known_results(ids, "another engine", ["xor-a"]) == {}
        assert store.known_results(ids, ENGINE, ["temporal-a"]) == {}
        assert store.known_results(ids, ENGINE, ["xor-a"], run_id="another run") == {}
        assert store.known_results([], ENGINE, ["xor-a"]) == {}

    def test_a_grafts_gain_and_harm_come_back_whole(self, store: Store) -> None:
        [blueprint] = human_blueprints(1)
        reason = "the old question's loss rose by 2.50%; at most 1% is allowed"
        figures = {"gain": 0.75, "retention_rise": 0.025, "rival_gain": 0.5}
        harmed = TaskResult(task="xor", seed=0, reason=reason, **figures)
        alone = TaskResult(task="xor", seed=1, score=0.25, gain=0.25, retention_rise=-1 / 3)
        commit(store, 0, [(blueprint, evaluation(blueprint, harmed, alone))])
        found = store.known_results([blueprint.id], ENGINE, ["xor-a"])[blueprint.id]
        assert repr(found) == repr([harmed, alone])
        assert [result.gain_over_rival for result in found] == [0.25, None]

    def test_evidence_of_a_thousand_ids_is_one_call(self, store: Store) -> None:
        [blueprint] = human_blueprints(1)
        commit(store, 0, [(blueprint, evaluation(blueprint, TaskResult(task="xor", seed=0, score=0.5)))])
        ids = [f"{number:064x}" for number in range(3000)] + [blueprint.id]
        assert list(store.known_results(ids, ENGINE, ["xor-a"])) == [blueprint.id]

    def test_an_equal_generation_changes_nothing_and_a_different_one_is_refused(self, store: Store) -> None:
        generation = ledgers.random_generation(0)
        metrics = {"reward_mean": float("nan"), "generation_s": 1.0}
        assert commit(store, 0, generation, metrics=metrics)
        before = store.counts()
        assert not commit(store, 0, generation, metrics={**metrics, "generation_s": 2.0})
        assert store.metrics("run") == [{"reward_mean": None, "generation_s": 1.0}]
        with pytest.raises(StoreError, match="another generation 0 of run run; expected the one on record"):
            commit(store, 0, generation, metrics={"reward_mean": 0.5})
        with pytest.raises(StoreError, match="another generation 0"):
            commit(store, 0, generation[1:], metrics=metrics)
        with pytest.raises(StoreError, match="generation 5 of run run; expected generation 1, the last"):
            commit(store, 5, generation)
        assert store.counts() == before

    def test_evidence_is_never_changed(self, store: Store) -> None:
        [blueprint] = human_blueprints(1)
        first = finite(seed=0, score=0.5)
        commit(store, 0, [(blueprint, evaluation(blueprint, first))])
        second = finite(seed=1, score=1.0)
        commit(store, 1, [(blueprint, evaluation(blueprint, first, second))])
        assert store.known_results([blueprint.id], ENGINE, ["xor-a"])[blueprint.id] == [first, second]
        assert [record.generation for record in store.evaluations(blueprint.id)] == [0, 1]
        changed = finite(seed=0, score=0.75)
        with pytest.raises(StoreError, match=r"\('ok', 0.75\) of .* seed 0; expected \('ok', 0.5\)"):
            commit(store, 2, [(blueprint, evaluation(blueprint, changed))])
        assert store.last_generation("run").generation == 1

    def test_a_training_of_before_curves_were_kept_is_the_same_training_without_one(
        self, store: Store
    ) -> None:
        [blueprint] = human_blueprints(1)
        without = finite(seed=0, score=0.5)
        commit(store, 0, [(blueprint, evaluation(blueprint, without))])
        again = replace(without, loss_curve=LossCurve(planned_steps=100, means=(0.75, 0.125)))
        commit(store, 1, [(blueprint, evaluation(blueprint, again))])
        [record] = store.evaluations(blueprint.id)
        assert (record.generation, record.result) == (0, without)

    def test_a_latency_is_recorded_once_a_device_and_width(self, store: Store) -> None:
        fast, slow = human_blueprints(2)
        results = [(b, evaluation(b, TaskResult(task="xor", seed=0, score=0.5))) for b in (fast, slow)]
        commit(store, 0, results)
        assert store.entry(fast.id).measured == ()
        store.add_latencies("run", 0, {fast.id: ledgers.measured()})
        store.add_latencies("run", 0, {})
        commit(store, 1, [])
        again, wide = ledgers.measured(median_us=99.0), ledgers.measured(width=32)
        elsewhere = ledgers.measured(device="cuda/b")
        for latency in (elsewhere, wide, again):
            store.add_latencies("run", 1, {fast.id: latency})
        assert store.entry(fast.id).measured == (ledgers.measured(), wide, elsewhere)
        assert {entry.id: len(entry.measured) for entry in store.top(5)} == {fast.id: 3, slow.id: 0}
        snapshot = store.snapshot(5, ["xor-a"], run_id="run")
        assert {entry.id: len(entry.measured) for entry in snapshot.entries} == {fast.id: 3, slow.id: 0}

    def test_a_latency_of_a_blueprint_or_generation_that_is_not_on_record_is_refused(
        self, store: Store
    ) -> None:
        known, unknown = human_blueprints(2)
        commit(store, 0, [(known, evaluation(known, TaskResult(task="xor", seed=0, score=0.5)))])
        for generation, blueprint in ((0, unknown), (1, known)):
            with pytest.raises(StoreError, match="cannot write latencies to"):
                store.add_latencies("run", generation, {blueprint.id: ledgers.measured()})
        assert store.entry(known.id).measured == ()

    def test_an_error_in_the_middle_leaves_nothing(self, store: Store) -> None:
        commit(store, 0, ledgers.random_generation(0))
        before = store.counts()
        generation = ledgers.random_generation(1)
        stranger = evaluation(human_blueprints(1)[0], TaskResult(task="xor", seed=0))
        with pytest.raises(StoreError, match="cannot write generation 1"):
            commit(
                store,
                1,
                [*generation, (human_blueprints(1)[0], stranger)],
                blueprints=[b for b, _ in generation],
            )
        with pytest.raises(KeyError):
            commit(store, 1, generation, tasks=[TEMPORAL])
        with pytest.raises(StoreError, match="cannot write generation 0"):
            commit(store, 0, generation, run_id="a run that was never recorded")
        assert store.counts() == before
        assert store.last_generation("run").generation == 0
        assert commit(store, 1, generation)

    def test_a_second_run_adds_its_own_evidence(self, store: Store) -> None:
        [blueprint] = human_blueprints(1)
        result = finite(seed=0, score=0.5)
        assert store.add_run(run_record("second"))
        assert not store.add_run(run_record("second", seed=99))
        assert [run.seed for run in store.runs()] == [1, 1]
        commit(store, 0, [(blueprint, evaluation(blueprint, result))])
        commit(store, 0, [(blueprint, evaluation(blueprint, result))], run_id="second")
        assert [record.run_id for record in store.evaluations(blueprint.id)] == ["run", "second"]
        assert store.known_results([blueprint.id], ENGINE, ["xor-a"])[blueprint.id] == [result]
        assert store.blueprint(blueprint.id).run_id == "run"
        assert store.counts("second").evaluations == 1
        assert store.counts("second").blueprints == 0

    def test_runs_and_tasks_come_in_the_same_order_from_any_database(self, store: Store) -> None:
        names = ["Run-c", "run", "run-a", "run_b"]
        for name in reversed(names):
            store.add_run(run_record(name))
        commit(store, 0, [], tasks=[replace(XOR, key=name) for name in reversed(names)])
        assert [run.id for run in store.runs()] == names
        assert [task.key for task in store.tasks()] == names

    def test_the_ranking_is_the_mean_over_tasks_above_chance(self, store: Store) -> None:
        small, large, narrow, failed = human_blueprints(4)
        both = [TaskResult(task=task, seed=0, score=0.9) for task in ("xor", "temporal")]
        commit(
            store,
            0,
            [
                (large, evaluation(large, *both, num_parameters=200)),
                (small, evaluation(small, *both, num_parameters=100)),
                # Perfect on one task and unseen on the other.
                (narrow, evaluation(narrow, TaskResult(task="xor", seed=0, score=1.0))),
                (failed, evaluation(failed, TaskResult(task="xor", seed=0, status="diverged"))),
            ],
        )
        entries = store.top(10)
        assert [(e.rank, e.id) for e in entries] == [(1, small.id), (2, large.id), (3, narrow.id)]
        assert [e.performance for e in entries] == pytest.approx([0.8, 0.8, 0.5])
        assert [e.id for e in store.top(1, task_keys=["xor-a"])] == [narrow.id]
        assert store.top(10, run_id="another run") == []
        assert store.top(10, engine_id="another engine") == []
        # 0.9 is 0.8 of the way from chance to perfect and 0.4 none of it, as in the reward.
        commit(store, 1, [(small, evaluation(small, TaskResult(task="xor", seed=1, score=0.4)))])
        [entry] = [e for e in store.top(10, task_keys=["xor-a"]) if e.id == small.id]
        assert entry.performance == pytest.approx(0.4)
        assert entry.tasks[0].mean == pytest.approx(0.65)
        assert entry.tasks[0].std == pytest.approx(0.25)
        assert (entry.tasks[0].low, entry.tasks[0].high) == (0.4, 0.9)
        assert entry.reward == 0.9
        assert entry.latency_us == 5.0

    def test_tasks_weigh_in_the_ranking_what_the_caller_says(self, store: Store) -> None:
        first, second = human_blueprints(2)
        commit(
            store,
            0,
            [
                (blueprint, evaluation(blueprint, TaskResult(task="xor", seed=0, score=xor), other))
                for blueprint, xor, other in (
                    (first, 1.0, TaskResult(task="temporal", seed=0, score=0.6)),
                    (second, 0.6, TaskResult(task="temporal", seed=0, score=0.9)),
                )
            ],
        )

        def performances(**weights: float) -> dict[str, float]:
            by_key = {f"{name}-a": weight for name, weight in weights.items()}
            return {entry.id: entry.performance for entry in store.top(2, weights=by_key)}

        assert performances() == pytest.approx({first.id: 0.6, second.id: 0.5})
        # As a gate XOR is solved at 0.95, which is 0.9 of the way to perfect; 0.6 is 0.2 of it.
        assert performances(xor=0.0) == pytest.approx({first.id: 0.2, second.id: 0.8 * 0.2 / 0.9})
        assert performances(temporal=0.0) == pytest.approx({first.id: 0.2 / 0.9, second.id: 0.2 * 0.8 / 0.9})
        assert performances(temporal=3.0) == pytest.approx({second.id: 0.65, first.id: 0.4})
        assert performances(xor=0.0, temporal=0.0) == performances()
        weights = {"xor-a": 0.0}
        snapshot = store.snapshot(1, ["xor-a", "temporal-a"], weights={"xor-a": 0.1})
        assert [entry.id for entry in snapshot.entries] == [second.id]
        [alone] = store.top(1, task_keys=["xor-a"], weights=weights)
        assert (alone.id, alone.performance) == (first.id, 1.0)

    def test_without_a_word_tasks_weigh_what_the_latest_run_gave_them(self, store: Store) -> None:
        first, second = human_blueprints(2)
        scores = {first: (1.0, 0.6), second: (0.7, 0.9)}
        found = [
            (
                b,
                evaluation(
                    b, TaskResult(task="xor", seed=0, score=x), TaskResult(task="temporal", seed=0, score=t)
                ),
            )
            for b, (x, t) in scores.items()
        ]
        commit(store, 0, found, metrics={"weight_xor": 0.0})
        assert store.entry(second.id).performance == pytest.approx(0.8 * 0.4 / 0.9)
        assert [entry.id for entry in store.top(2)] == [second.id, first.id]
        assert store.entry(first.id).performance == pytest.approx(0.2)
        assert store.snapshot(1, ["xor-a", "temporal-a"]).ids == {second.id}
        store.add_run(run_record("later", created="2026-02-01T00:00:00+00:00"))
        commit(store, 0, [], run_id="later")
        assert [entry.id for entry in store.top(2)] == [first.id, second.id]
        assert [entry.id for entry in store.top(2, run_id="run")] == [second.id, first.id]

    def test_the_performance_is_the_task_term_of_the_reward(self, store: Store) -> None:
        rng = random.Random(3)
        tasks = [task_named(name) for name in ("xor", "temporal", "markov")]
        records = [TaskRecord.of(task) for task in tasks]
        found = [(blueprint, random_evidence(rng, blueprint, tasks)) for blueprint in human_blueprints(24)]
        commit(store, 0, found, tasks=records)
        for weights in (
            {},
            {"xor": 0.0},
            {"xor": 0.0, "markov": 0.0},
            {"xor": 0.5, "temporal": 3.0, "markov": 0.0},
            {"xor": 0.0, "temporal": 0.0, "markov": 0.0},
        ):
            by_key = {record.key: weights.get(record.name, 1.0) for record in records}
            rewards = [reward(judged, tasks, redundancy=0.0, task_weights=weights) for _, judged in found]
            terms = {b.id: judged.terms.task for (b, _), judged in zip(found, rewards, strict=True)}
            for keys in (None, list(by_key)):
                entries = store.top(99, task_keys=keys, weights=by_key)
                assert {entry.id: entry.performance for entry in entries} == pytest.approx(terms)
            assert len(set(terms.values())) > 12

    def test_a_gate_asks_those_of_the_runs_that_trained_it_and_who_never_met_it_has_not_passed(
        self, store: Store
    ) -> None:
        met, missed, elsewhere, both = human_blueprints(4)
        ranked = TaskResult(task="temporal", seed=0, score=1.0)
        half = TaskResult(task="xor", seed=0, score=0.725)
        commit(store, 0, [(met, evaluation(met, half, ranked)), (missed, evaluation(missed, ranked))])
        others = [(elsewhere, evaluation(elsewhere, ranked)), (both, evaluation(both, ranked))]
        store.add_run(run_record("other"))
        commit(store, 0, others, run_id="other")
        weights = {"xor-a": 0.0}

        def performances(**of: Any) -> dict[str, float]:
            return {entry.id: entry.performance for entry in store.top(9, weights=weights, **of)}

        # A run that never trained the gate cannot say who passes it; in one that did, a blank is a failure.
        expected = {met.id: 0.5, missed.id: 0.0, elsewhere.id: 1.0, both.id: 1.0}
        assert performances() == pytest.approx(expected)
        assert performances(task_keys=["xor-a", "temporal-a"]) == pytest.approx(expected)
        assert performances(run_id="run") == pytest.approx({met.id: 0.5, missed.id: 0.0})
        # Met in both runs, it is asked what either asks.
        commit(store, 1, [(both, evaluation(both, TaskResult(task="temporal", seed=1, score=1.0)))])
        assert performances() == pytest.approx({**expected, both.id: 0.0})
        assert performances(run_id="other") == pytest.approx({elsewhere.id: 1.0, both.id: 1.0})

    def test_a_snapshot_holds_the_first_fingerprints_of_the_best(self, store: Store) -> None:
        good, better = human_blueprints(2)
        shapes = [np.full((4, 2), value, dtype=np.float32) for value in (1.0, 2.0, 3.0)]

        def judged(blueprint, score, seed, shape):
            return evaluation(blueprint, TaskResult(task="xor", seed=seed, score=score, fingerprint=shape))

        commit(
            store, 0, [(good, judged(good, 0.8, 0, shapes[0])), (better, judged(better, 0.9, 0, shapes[1]))]
        )
        commit(store, 1, [(better, judged(better, 0.9, 1, shapes[2]))])
        snapshot = store.snapshot(1, ["xor-a"])
        assert snapshot.ids == {better.id}
        assert set(snapshot.fingerprints["xor"]) == {better.id}
        np.testing.assert_array_equal(snapshot.fingerprints["xor"][better.id], shapes[1])
        assert set(store.snapshot(2, ["xor-a"]).fingerprints["xor"]) == {good.id, better.id}
        assert store.snapshot(2, ["never seen"]).entries == ()

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_a_fingerprint_that_is_not_finite_is_left_out(self, store: Store, value: float) -> None:
        shape = np.ones((8, 4), dtype=np.float32)
        spoilt = shape.copy()
        spoilt[3, 2] = value
        both, bad, good = human_blueprints(3)
        shapes = {both: (spoilt, shape), bad: (spoilt,), good: (shape,)}
        generation = [
            (b, evaluation(b, *(finite(seed=s, score=0.5, fingerprint=f) for s, f in enumerate(found))))
            for b, found in shapes.items()
        ]
        commit(store, 0, generation)
        assert set(store.snapshot(3, ["xor-a"]).fingerprints["xor"]) == {both.id, good.id}
        results = store.known_results([both.id], ENGINE, ["xor-a"], with_fingerprints=True)[both.id]
        assert [result.fingerprint is not None for result in results] == [False, True]
        assert len(store.known_results([bad.id], ENGINE, ["xor-a"])[bad.id]) == 1

    def test_fingerprints_are_kept_of_the_best_of_a_generation(self, store: Store) -> None:
        generation = {blueprint.id: (blueprint, e) for blueprint, e in ledgers.random_generation(0)}
        commit(store, 0, list(generation.values()), max_fingerprints=3)
        snapshot = store.snapshot(len(generation), ["xor-a"])
        best = sorted(generation, key=lambda id_: -generation[id_][1].results[0].score)[:3]
        assert set(snapshot.fingerprints["xor"]) == set(best)

    def test_the_library_finds_by_the_beginning_of_an_id(self, store: Store) -> None:
        library = Library(store)
        with pytest.raises(UnknownBlueprintError, match=r"no blueprint 'abc'.*holds no blueprint yet"):
            library.get("abc")
        generation = ledgers.random_generation(0, num=40)
        commit(store, 0, generation)
        wanted = generation[0][0]
        assert library.get(wanted.id[:20].upper()).id == wanted.id
        assert library.get(wanted.id).tokens == wanted.tokens
        with pytest.raises(
            UnknownBlueprintError, match="expected an id on record or its beginning"
        ) as raised:
            library.get(wanted.id[:8] + "zzzz")
        assert wanted.id[:12] in raised.value.near
        digits = [id_[0] for id_ in store.ids()]
        digit = max(set(digits), key=digits.count)
        with pytest.raises(UnknownBlueprintError, match="begins more than one id"):
            library.get(digit)
        with pytest.raises(UnknownBlueprintError):
            library.get("%")

    def test_the_library_lists_by_stage_and_is_never_empty_after_a_good_training(self, store: Store) -> None:
        library = Library(store)
        assert library.list(5) == []
        [blueprint] = human_blueprints(1)
        floor = TaskResult(task="xor", seed=0, score=0.1)
        commit(store, 0, [(blueprint, evaluation(blueprint, floor))], tasks=[XOR])
        assert [entry.performance for entry in library.list(5)] == [0.0]
        assert [entry.id for entry in library.list(5, stage="xor")] == [blueprint.id]
        with pytest.raises(StoreError, match="no stage 'later'; expected one of xor"):
            library.list(5, stage="later")

    def test_a_failed_blueprint_is_shown_though_not_listed(self, store: Store) -> None:
        [blueprint] = human_blueprints(1)
        commit(
            store, 0, [(blueprint, evaluation(blueprint, TaskResult(task="xor", seed=0, status="crashed")))]
        )
        assert store.top(5) == []
        entry = Library(store).get(blueprint.id)
        assert (entry.performance, entry.tasks[0].num_ok) == (0.0, 0)


class TestSQLite(StoreContract):
    """SQLite in a file."""

    @pytest.fixture
    def store(self, tmp_path: Path):
        with Store.open(tmp_path / "library.db", create=True) as store:
            store.add_run(run_record())
            yield store


class TestPostgreSQL(StoreContract):
    """PostgreSQL in a database of its own."""

    @pytest.fixture
    def store(self, postgres_url: str):
        with Store.open(postgres_url, create=True) as store:
            store.add_run(run_record())
            yield store


def test_task_keys_differ_exactly_when_something_that_decides_a_score_does() -> None:
    key = TaskRecord.of(Xor(), width=16).key
    assert key == TaskRecord.of(Xor(), width=16).key
    assert key.startswith("xor-")
    assert key != TaskRecord.of(Xor(), width=32).key
    assert key != TaskRecord.of(Xor(epochs=7), width=16).key
