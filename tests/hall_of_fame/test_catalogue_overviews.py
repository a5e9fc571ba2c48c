"""Front, heat map and curves agree with a reading of everything, and read a bounded part of it."""

import random
from collections.abc import Iterator
from statistics import fmean

import pytest
from ledgers import TEMPORAL, XOR, commit, evaluation, random_generation, run_record

from crucible.evaluation import TaskResult
from hall_of_fame import overviews
from hall_of_fame.cataloguing import cell_of, cheapest_of
from hall_of_fame.library import Library
from hall_of_fame.overviews import curves, front, heat
from hall_of_fame.store import Store
from hall_of_fame.views import pareto_front

PARAMETERS = (0, 0, 1, 2, 17, 100, 130, 150, 4000)
LATENCIES = (None, 0.0, 0.1, 3.0, 4.0, 4.5, 80.0)


@pytest.fixture
def store(library_url: str) -> Iterator[Store]:
    """A run with scores and costs of which many are equal."""
    rng = random.Random(0)
    with Store.open(library_url, create=True) as store:
        store.add_run(run_record())
        for generation in range(4):
            judged = [
                (
                    blueprint,
                    evaluation(
                        blueprint,
                        *(TaskResult(task="xor", seed=seed, score=rng.randrange(8) / 8) for seed in (0, 1)),
                        *(
                            [TaskResult(task="temporal", seed=0, score=rng.randrange(8) / 8)]
                            if generation % 2
                            else []
                        ),
                        num_parameters=rng.choice(PARAMETERS),
                        latency_us=rng.choice(LATENCIES),
                    ),
                )
                for blueprint, _ in random_generation(generation, 60)
            ]
            judged = list({blueprint.id: (blueprint, made) for blueprint, made in judged}.values())
            known = set(store.ids())
            judged = [(b, made) for b, made in judged if b.id not in known]
            metrics = {"generation": generation, "reward_mean": rng.random()}
            commit(store, generation, judged, tasks=[XOR, TEMPORAL], metrics=metrics)
        yield store


def test_the_front_is_that_of_all_blueprints(store: Store) -> None:
    entries = Library(store).list(10_000)
    expected = {(round(e.score, 9), e.num_parameters, e.latency_us) for e in pareto_front(entries)}
    found = front(store)
    costs = [(round(row.score, 9), row.num_parameters, row.latency_us) for row in found.rows]
    assert set(costs) == expected
    assert len(costs) == len(expected) > 3
    assert [cost[0] for cost in costs] == sorted((cost[0] for cost in costs), reverse=True)
    assert (found.num, found.is_whole) == (len(entries), True)


def test_a_front_that_could_not_read_enough_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = front(store)
    monkeypatch.setattr(overviews, "READ", 3)
    assert not front(store).is_whole
    monkeypatch.setattr(overviews, "READ", 20_000)
    monkeypatch.setattr(overviews, "MAX_FRONT", 2)
    assert front(store).rows == whole.rows[:2]
    assert not front(store).is_whole


def test_an_empty_library_has_an_empty_front_and_heat_map(library_url: str) -> None:
    with Store.open(library_url, create=True) as store:
        assert front(store).rows == ()
        assert front(store).is_whole
        assert heat(store).rows == ()
        assert curves(store, "none").num == 0


@pytest.mark.parametrize("parameters", [0, 1, 2, 3, 17, 10**9, 2**62, None])
@pytest.mark.parametrize("latency_us", [0.0, 0.125, 0.13, 7.0, 1e9, float("inf"), None])
def test_no_cost_is_below_the_least_of_its_cell(parameters: int | None, latency_us: float | None) -> None:
    least = cheapest_of(cell_of(parameters, latency_us))
    assert least[0] <= (float("inf") if parameters is None else parameters)
    assert least[1] <= (float("inf") if latency_us is None else latency_us)


def test_a_heat_map_holds_the_mean_score_on_every_task(store: Store) -> None:
    found = heat(store, 30)
    assert [task.key for task in found.tasks] == sorted([XOR.key, TEMPORAL.key])
    assert len(found.rows) == len(found.scores) == 30
    for row, scores in zip(found.rows, found.scores, strict=True):
        records = store.evaluations(row.blueprint_id)
        for task, score in zip(found.tasks, scores, strict=True):
            own = [record.result.score for record in records if record.task_key == task.key]
            assert (score is None) == (not own)
            assert score is None or score == pytest.approx(fmean(own))
    asked = [row.blueprint_id for row in found.rows[5:2:-1]]
    assert [row.blueprint_id for row in heat(store, ids=[*asked, "0" * 64]).rows] == asked
    assert any(score is None for scores in heat(store, 200).scores for score in scores)


def test_curves_of_a_long_run_are_thinned_and_keep_its_end(store: Store) -> None:
    assert curves(store, "run").lines == tuple(store.metrics("run"))
    for generation in range(4, 50):
        commit(store, generation, [], metrics={"generation": generation})
    found = curves(store, "run", points=10)
    assert (found.num, found.stride) == (50, 5)
    assert found.generations == (*range(0, 50, 5), 49)
    assert [line["generation"] for line in found.lines] == list(found.generations)
