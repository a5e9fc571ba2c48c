"""Lineages are followed both ways as far as asked, and neighbours are those whose graphs are most alike."""

from collections.abc import Iterator

import pytest
from ledgers import XOR, commit, evaluation, random_generation, run_record

from blueprints import Blueprint, parse
from crucible.evaluation import Evaluation, TaskResult
from hall_of_fame.catalogue import Catalogue
from hall_of_fame.kinship import NEAR, lineages, neighbours
from hall_of_fame.records import CandidateRecord
from hall_of_fame.store import Store
from hall_of_fame.structure import features, similarity


@pytest.fixture
def store(library_url: str) -> Iterator[Store]:
    with Store.open(library_url, create=True) as store:
        store.add_run(run_record())
        yield store


def judged(num: int, seed: int = 0) -> list[tuple[Blueprint, Evaluation]]:
    """Return so many different blueprints, each with a score."""
    found: dict[str, Blueprint] = {b.id: b for b, _ in random_generation(seed, 3 * num)}
    results = [TaskResult(task="xor", seed=0, score=1.0 - place / 1000) for place in range(num)]
    return [(b, evaluation(b, result)) for b, result in zip(found.values(), results, strict=False)]


def commit_family(
    store: Store, made: list[tuple[Blueprint, Evaluation]], parents: dict[int, tuple[int, ...]]
):
    """Commit blueprints, each made from those at other places."""
    ids = [blueprint.id for blueprint, _ in made]
    candidates = [
        CandidateRecord(
            position=place,
            tokens=blueprint.tokens,
            blueprint_id=blueprint.id,
            reward=0.5,
            parents=tuple(ids[parent] for parent in parents.get(place, ())),
        )
        for place, (blueprint, _) in enumerate(made)
    ]
    commit(store, 0, made, candidates=candidates, tasks=[XOR])
    return ids


def test_lineages_lead_to_parents_and_to_children(store: Store) -> None:
    ids = commit_family(store, judged(7), {1: (0,), 2: (1, 0), 3: (2,), 4: (2, 3), 5: (4,)})
    found = lineages(store, ids[2], back=8, ahead=1)
    assert found.steps == {ids[2]: 0, ids[0]: -1, ids[1]: -1, ids[3]: 1, ids[4]: 1}
    assert found.parents[ids[2]] == tuple(sorted((ids[0], ids[1])))
    assert found.parents[ids[4]] == tuple(sorted((ids[2], ids[3])))
    assert found.rows.keys() == found.steps.keys()
    assert found.rows[ids[3]] == Catalogue(store).row(ids[3])
    assert found.is_whole
    assert lineages(store, ids[2], back=0, ahead=9).steps == {ids[2]: 0, ids[3]: 1, ids[4]: 1, ids[5]: 2}
    alone = lineages(store, ids[6])
    assert (alone.steps, alone.parents, alone.is_whole) == ({ids[6]: 0}, {ids[6]: ()}, True)


def test_lineages_that_are_cut_say_so(store: Store) -> None:
    ids = commit_family(store, judged(30), {place: (place - 1,) for place in range(1, 30)})
    assert not lineages(store, ids[29], back=5).is_whole
    assert len(lineages(store, ids[29], back=5).steps) == 6
    assert lineages(store, ids[5], back=5, ahead=0).is_whole
    assert len(lineages(store, ids[29], back=16, limit=3).steps) == 4
    assert not lineages(store, ids[29], back=16, limit=3).is_whole


def test_many_children_are_cut_to_the_limit(store: Store) -> None:
    ids = commit_family(store, judged(30), dict.fromkeys(range(1, 30), (0,)))
    found = lineages(store, ids[0], limit=10)
    assert (len(found.steps), found.is_whole) == (11, False)
    assert len(lineages(store, ids[0], limit=29).steps) == 30
    assert lineages(store, ids[0], limit=29).is_whole


def test_neighbours_are_those_of_the_family_whose_graphs_are_most_alike(store: Store) -> None:
    made = judged(40)
    commit_family(store, made, {})
    rows = Catalogue(store).sample(100)
    graphs = {blueprint.id: blueprint.graph for blueprint, _ in made}
    num_found = 0
    for own in rows:
        kind = [
            row
            for row in rows
            if row.family == own.family and row != own and abs(row.length - own.length) <= NEAR
        ]
        found = neighbours(store, own.blueprint_id, 5)
        assert found.num_compared == len(kind)
        if not kind:
            continue
        others = features([graphs[row.blueprint_id] for row in kind])
        likeness = similarity(features([graphs[own.blueprint_id]]), others)[0]
        assert [near.likeness for near in found.found] == pytest.approx(sorted(likeness, reverse=True)[:5])
        num_found += len(found.found)
    assert num_found > 40


def test_the_same_program_with_another_kernel_is_the_nearest(store: Store) -> None:
    programs = [
        "CONV1D KERNEL_3 CHANNELS_IN GELU LINEAR OUT_DIM_IN",
        "CONV1D KERNEL_5 CHANNELS_IN GELU LINEAR OUT_DIM_IN",
        "CONV1D KERNEL_3 CHANNELS_IN TANH",
        "LINEAR OUT_DIM_IN GELU",
    ]
    blueprints = [parse(program.split()) for program in programs]
    made = [(b, evaluation(b, TaskResult(task="xor", seed=0, score=0.5))) for b in blueprints]
    commit_family(store, made, {})
    found = neighbours(store, blueprints[0].id).found
    assert [near.row.blueprint_id for near in found] == [blueprints[1].id, blueprints[2].id]
    assert 1.0 > found[0].likeness > found[1].likeness > 0.0


def test_a_program_that_cannot_be_read_has_no_neighbours(store: Store) -> None:
    commit_family(store, judged(3), {})
    assert neighbours(store, "0" * 64).found == ()
