"""Maps of samples: equal for equal members and seeds, worth looking at, refused clearly; serves none."""

import random
import subprocess
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from json import dumps, loads

import numpy as np
import pytest
import torch

from blueprints import parse, random_program
from hall_of_fame.views import shape_of
from tamiyo.space import FEWEST_MEMBERS, SpaceError, draw_map
from tamiyo.space_records import Member, SpaceMap, SpaceSettings

with warnings.catch_warnings():
    # torch-geometric scripts some of its modules as it is imported, which torch has deprecated.
    warnings.filterwarnings("ignore", message="`torch.jit", category=DeprecationWarning)
    from tamiyo import space_clusters, space_network

SETTINGS = SpaceSettings(num_steps=80, most_clusters=6)


@cache
def members(num: int = 160) -> tuple[Member, ...]:
    """Return random blueprints whose reward rises with the share of their ops that are recurrent."""
    rng = random.Random(7)
    found: dict[str, Member] = {}
    while len(found) < num:
        blueprint = parse(random_program(rng, max_ops=6))
        family, _ = shape_of(blueprint.tokens)
        recurrent = {"LSTM", "GRU", "DIAGONAL_SCAN", "SCAN"}
        share = np.mean([node.op in recurrent for node in blueprint.graph.all_nodes()])
        found[blueprint.id] = Member(
            id=blueprint.id,
            tokens=blueprint.tokens,
            family=family,
            reward=float(share) + 0.01 * rng.random(),
        )
    return tuple(found.values())


def drawn(of: Sequence[Member], settings: SpaceSettings = SETTINGS) -> SpaceMap:
    return draw_map(of, settings, lambda phase, share: None)


@cache
def a_map() -> SpaceMap:
    return drawn(members())


def test_members_in_any_order_give_the_same_map() -> None:
    assert drawn(members()[::-1]) == a_map()


def test_another_seed_gives_another_map() -> None:
    again = drawn(members(), replace(SETTINGS, seed=1))
    assert [point.tsne for point in again.points] != [point.tsne for point in a_map().points]


def test_a_map_goes_through_json_unchanged() -> None:
    assert SpaceMap.from_json(loads(dumps(asdict(a_map())))) == a_map()


def test_every_member_has_a_place_and_a_cluster() -> None:
    found = a_map()
    assert {point.id for point in found.points} == {member.id for member in members()}
    for which in ("pca", "tsne"):
        places = np.array([getattr(point, which) for point in found.points])
        assert np.hypot(places[:, 0], places[:, 1]).max() == pytest.approx(1.0, abs=1e-3)
        assert np.abs(places.mean(axis=0)).max() < 1e-3
    sizes = [sum(point.cluster == cluster.index for point in found.points) for cluster in found.clusters]
    assert sizes == [cluster.num_members for cluster in found.clusters]
    assert 5 <= len(sizes) <= SETTINGS.most_clusters


def test_clusters_are_told_by_reward_and_named_by_what_their_members_share() -> None:
    found, by_id = a_map(), {member.id: member for member in members()}
    means = [cluster.reward_mean for cluster in found.clusters]
    assert means == sorted(means, key=lambda mean: -(mean or 0))
    assert len({cluster.label for cluster in found.clusters}) == len(found.clusters)
    for cluster in found.clusters:
        inside = [by_id[point.id] for point in found.points if point.cluster == cluster.index]
        assert cluster.reward_mean == pytest.approx(np.mean([m.reward or 0 for m in inside]), abs=1e-4)
        assert by_id[cluster.best_id].reward == max(m.reward or 0 for m in inside)
        for op in cluster.ops:
            has = [op.op in {n.op for n in parse(m.tokens).graph.all_nodes()} for m in inside]
            assert op.share == pytest.approx(np.mean(has), abs=1e-4)


def test_embeddings_foretell_rewards_that_they_never_saw() -> None:
    quality = a_map().quality
    assert quality.num_held_out == 32
    assert quality.reward_correlation is not None
    assert quality.reward_correlation > 0.5
    assert quality.family_agreement > quality.family_chance + 0.1


def test_rewards_that_are_noise_cannot_be_foretold() -> None:
    rng = random.Random(3)
    noise = [replace(member, reward=rng.random()) for member in members()]
    quality = drawn(noise).quality
    assert quality.reward_correlation is not None
    assert abs(quality.reward_correlation) < 0.5


def test_held_out_rewards_do_not_change_the_embeddings() -> None:
    graphs = [parse(member.tokens).graph for member in members()]
    counts, _ = space_network.op_counts(graphs)
    rewards = [member.reward for member in members()]
    _, held_out = space_network._split(rewards, torch.Generator().manual_seed(SETTINGS.seed))
    others = [99.0 if place in held_out else reward for place, reward in enumerate(rewards)]
    one, other = (
        space_network.embed(graphs, counts, these, SETTINGS, lambda phase, share: None).embeddings
        for these in (rewards, others)
    )
    assert torch.equal(one, other)


def test_blueprints_without_a_reward_have_a_place() -> None:
    found = drawn([replace(member, reward=None) for member in members()])
    assert found.quality.reward_correlation is None
    assert all(cluster.reward_mean is None for cluster in found.clusters)


def test_programs_of_another_language_are_left_out_and_counted() -> None:
    strange = replace(members()[0], id="f" * 64, tokens=("NOT_AN_OP",))
    found = drawn([*members(), strange])
    assert found.num_unread == 1
    assert found.points == a_map().points


def test_too_few_blueprints_are_refused_with_how_many_it_takes() -> None:
    with pytest.raises(SpaceError, match=f"3 blueprints make no map; expected at least {FEWEST_MEMBERS}"):
        drawn(members()[:3])


@pytest.mark.parametrize("package", ["sklearn", "torch_geometric"])
def test_a_package_that_is_missing_is_named_with_its_extra(package: str) -> None:
    source = (
        f"import sys; sys.modules['{package}'] = None\n"
        "from tamiyo.space import SpaceError, draw_map\n"
        "from tamiyo.space_records import SpaceSettings\n"
        "try: draw_map([], SpaceSettings(), print)\n"
        "except SpaceError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("which is not installed: pip install 'tamiyo[api,interop]'")
    assert f"the map needs {package}" in done.stdout


def test_the_outline_goes_round_the_points_near_the_middle_alone() -> None:
    square = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
    inner = [(0.5, 0.5), (0.4, 0.6), (0.6, 0.4), (0.5, 0.4)]
    far = [(50.0, 50.0), (60.0, 0.0)]
    assert space_clusters.outline([*square, *inner, *far]) == tuple(square)


def test_chance_is_the_share_of_pairs_of_one_family() -> None:
    assert space_clusters.chance(["a", "a", "a", "b"]) == 0.5
