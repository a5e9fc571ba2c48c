"""Structural similarity: by hand, on planted isomorphs, on near-misses, and its features' independence."""

import random
from itertools import combinations

import numpy as np
import pytest

from benchmarks.language_identity import family
from blueprints import HUMAN_BLUEPRINTS, canonical_form, mutate, parse, random_program
from hall_of_fame.structure import features, similarity


def alike(a: str, b: str, rounds: int = 3) -> float:
    one, other = (features([parse(text.split()).graph], rounds=rounds) for text in (a, b))
    return similarity(one, other).item()


def test_the_cosine_of_the_colours_by_hand() -> None:
    """Of INPUT, TANH, RELU and INPUT, TANH, GELU two of three labels are shared.

    After a round INPUT, which sees TANH alone, is still shared, and TANH is not.
    """
    assert alike("TANH RELU", "TANH GELU", rounds=0) == pytest.approx(2 / 3)
    assert alike("TANH RELU", "TANH GELU", rounds=1) == pytest.approx(3 / 6)
    assert alike("TANH RELU", "TANH GELU", rounds=2) == pytest.approx(3 / 9)
    # One label that occurs twice counts as 2: (INPUT, TANH, RELU 2) and (INPUT, TANH 2, RELU).
    assert alike("RELU TANH RELU", "TANH RELU TANH", rounds=0) == pytest.approx((1 + 2 + 2) / 6)


def test_options_order_of_inputs_and_states_tell_graphs_apart() -> None:
    assert alike("CONV1D KERNEL_3 CHANNELS_IN", "CONV1D KERNEL_5 CHANNELS_IN") < 1
    concat = "BRANCH_START {} BRANCH_SEP {} MERGE_CONCAT LINEAR OUT_DIM_IN"
    assert alike(concat.format("TANH", "RELU"), concat.format("RELU", "TANH")) < 1
    sum_ = "BRANCH_START {} BRANCH_SEP {} MERGE_ADD"
    assert alike(sum_.format("TANH", "RELU"), sum_.format("RELU", "TANH")) == 1
    assert alike("LOOP_START REPEAT_2 TANH LOOP_END", "LOOP_START REPEAT_3 TANH LOOP_END") < 1


def test_a_chain_of_equal_ops_is_not_like_a_longer_one() -> None:
    chains = [features([parse(["LINEAR", "OUT_DIM_IN"] * n).graph]) for n in range(1, 12)]
    for one, other in combinations(chains, 2):
        assert similarity(one, other).item() < 1


def test_planted_isomorphs_and_only_they_have_similarity_one() -> None:
    """Shuffled nodes, swapped branches and renumbered states against graphs that differ in one place."""
    rng, wrong, isomorphs, others = random.Random(5), [], 0, 0
    for _ in range(60):
        members = family(rng)
        found = features([canonical_form(member.written) for member in members])
        one_NN = similarity(found, found) == 1
        for (i, a), (j, b) in combinations(enumerate(members), 2):
            isomorphs += a.id == b.id
            others += a.id != b.id
            if bool(one_NN[i, j]) != (a.id == b.id):
                wrong.append((a.written, b.written))
    assert not wrong
    assert isomorphs > 100
    assert others > 1000


def test_a_mutant_is_more_like_its_parent_than_like_others() -> None:
    rng = random.Random(3)
    parents = [parse(human.tokens) for human in HUMAN_BLUEPRINTS]
    mutants = [parse(mutate(parent.tokens, rng)) for parent in parents]
    found = similarity(*(features([b.graph for b in side]) for side in (mutants, parents)))
    own = np.diagonal(found)
    assert np.median((found > own[:, None]).sum(axis=1)) == 0
    assert np.median(own) > 0.4 > np.quantile(found, 0.95)


def test_features_depend_on_nothing_else_in_the_batch() -> None:
    rng = random.Random(1)
    graphs = [parse(random_program(rng)).graph for _ in range(40)]
    together = similarity(features(graphs), features(graphs[::-1]))
    for i, graph in enumerate(graphs[:8]):
        alone = similarity(features([graph]), features(graphs[::-1]))[0]
        np.testing.assert_array_equal(together[i], alone)
    assert (np.diagonal(together[:, ::-1]) == 1).all()


def test_empty_sides_give_empty_matrices() -> None:
    one, none = features([parse(["TANH"]).graph]), features([])
    assert similarity(none, one).shape == (0, 1)
    assert similarity(one, none).shape == (1, 0)
