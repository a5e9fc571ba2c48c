"""The temporal task: counts matched exactly, no stream twice, and the numbering of streams behind it."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curricula.streams import contains, num_streams, unrank
from curricula.task import Split, TaskError
from curricula.temporal import Temporal

PATTERNS = st.lists(st.integers(0, 1), min_size=1, max_size=4).map(tuple)


def bits(split: Split) -> np.ndarray:
    return (split.inputs[:, :, 0] > 0).long().numpy()


def clean_splits(task: Temporal, seed: int) -> list[Split]:
    splits = replace(task, sigma=0.0).splits(seed)
    return [splits.train, splits.validation, splits.test]


@pytest.mark.parametrize("seed", range(8))
def test_both_labels_have_the_same_number_of_streams_at_each_number_of_ones(seed):
    for split in clean_splits(Temporal(), seed):
        ones, target = bits(split).sum(axis=1), split.targets.numpy()
        counts = [np.bincount(ones[target == label], minlength=25) for label in (0, 1)]
        assert (counts[0] == counts[1]).all()
        assert (counts[0] > 0).sum() >= 8  # many densities, not one


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("test_length", [16, 24])
def test_no_clean_stream_is_in_two_splits_or_twice_in_one(seed, test_length):
    streams = [
        row.tobytes() for s in clean_splits(Temporal(test_length=test_length), seed) for row in bits(s)
    ]
    assert len(set(streams)) == len(streams) == 128 + 256 + 512


def test_test_streams_are_longer_than_training_streams():
    assert [split.inputs.shape[1] for split in clean_splits(Temporal(), 0)] == [16, 16, 24]


def test_knobs_change_pattern_and_lengths():
    task = Temporal(pattern=(1, 1, 0, 0), train_length=20, test_length=40)
    for split in clean_splits(task, 0):
        assert (contains(bits(split), (1, 1, 0, 0)) == split.targets.numpy()).all()
    assert clean_splits(task, 0)[2].inputs.shape == (512, 40, 1)


def test_the_transition_shortcut_is_as_the_docstring_states():
    # Noted so that a change of the task that opens it wider is seen: a threshold on transitions alone.
    scores = []
    for length in (16, 24):
        task = Temporal(test_length=length)
        splits = [clean_splits(task, seed)[2] for seed in range(8)]
        transitions = np.concatenate([(np.diff(bits(s), axis=1) != 0).sum(axis=1) for s in splits])
        target = np.concatenate([s.targets.numpy() for s in splits])
        scores.append(max(((transitions >= t) == target).mean() for t in range(length)))
    assert scores == pytest.approx([0.79, 0.82], abs=0.015)


@given(pattern=PATTERNS, length=st.integers(1, 9))
def test_streams_are_counted_and_numbered_as_enumeration_does(pattern, length):
    every = np.array(list(product((0, 1), repeat=length)))
    padded = np.pad(every, ((0, 0), (0, max(0, len(pattern) - length))), constant_values=-1)
    target = contains(padded, pattern)
    for label, num_ones in product((0, 1), range(length + 1)):
        kind = every[(target == label) & (every.sum(axis=1) == num_ones)]
        assert num_streams(pattern, length)[label, num_ones] == len(kind)
        assert (unrank(pattern, length, label, num_ones, np.arange(len(kind))) == kind).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pattern": ()}, r"pattern = \(\); expected at least one bit"),
        ({"pattern": (1, 2)}, r"pattern = \(1, 2\)"),
        ({"train_length": 3}, "streams of 3; expected 4 to 60"),
        ({"test_length": 61}, "streams of 61; expected 4 to 60"),
        ({"train_length": 8}, "fewer than 384 different count-matched streams of 8 exist"),
    ],
)
def test_streams_that_cannot_be_drawn_are_refused(changes, message):
    with pytest.raises(TaskError, match=message):
        Temporal(**changes)
