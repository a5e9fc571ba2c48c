"""No task of numbers is open to a shortcut by places, counts or the present step; trains no blueprint.

A shortcut is tried as a least-squares classifier: features that must not tell, and a constant. Axes: B
examples, T time, V symbols, F features, P labelled steps.
"""

from collections.abc import Callable

import numpy as np
import pytest

from curricula.adding import Adding
from curricula.copying import Copying
from curricula.counting import Counting
from curricula.delayed_xor import DelayedXor
from curricula.heads import IGNORED
from curricula.order import Order
from curricula.parity import Parity
from curricula.spirals import Spirals
from curricula.suites import task_named
from curricula.task import Split, Task

SEEDS = range(8)
#: What a shortcut may score above chance in the mean over seeds, by fitting the luck of a training split.
LUCK = 0.02

PER_STEP: dict[str, type[Task]] = {
    "delayed_xor": DelayedXor,
    "parity": Parity,
    "counting": Counting,
    "copying": Copying,
}


def symbols(split: Split) -> np.ndarray:
    """Return `[B, T]` numbers from 0 on, one for each input that can come."""
    if split.inputs.is_floating_point():
        return split.inputs[..., 0].round().long().numpy() + 1
    return split.inputs.numpy()


def one_hot(symbol_BT: np.ndarray) -> np.ndarray:
    return np.eye(12)[symbol_BT]


def present_step(split: Split) -> np.ndarray:
    """Return `[B, T, F]`: the present symbol, and which step it is, up to any function of the two."""
    symbol_BT = symbols(split)
    step_T = np.arange(symbol_BT.shape[1])
    return np.eye(12 * 60)[symbol_BT * 60 + step_T]


def counts_so_far(split: Split) -> np.ndarray:
    """Return `[B, T, F]`: how often each symbol came, as numbers and as shares, and which step it is."""
    count_BTV = one_hot(symbols(split)).cumsum(axis=1)
    step_BT1 = count_BTV.sum(axis=2, keepdims=True)
    return np.concatenate([count_BTV, count_BTV / step_BT1, step_BT1], axis=2)


def accuracy(task: Task, features: Callable[[Split], np.ndarray], seed: int) -> float:
    """Fit the training split and return the accuracy on the test split, over the labels that count."""
    splits = task.splits(seed)

    def seen(split: Split) -> tuple[np.ndarray, np.ndarray]:
        target = split.targets.numpy()
        feature_PF, label_P = features(split)[target != IGNORED], target[target != IGNORED]
        return np.concatenate([feature_PF, np.ones((len(feature_PF), 1))], axis=1), label_P

    (train_PF, train_P), (test_PF, test_P) = seen(splits.train), seen(splits.test)
    weight_FK = np.linalg.lstsq(train_PF, np.eye(task.output_width)[train_P], rcond=1e-9)[0]
    return float(((test_PF @ weight_FK).argmax(axis=1) == test_P).mean())


def mean_accuracy(task: Task, features: Callable[[Split], np.ndarray]) -> float:
    return float(np.mean([accuracy(task, features, seed) for seed in SEEDS]))


@pytest.mark.parametrize("name", PER_STEP)
def test_the_present_symbol_and_the_step_score_exactly_chance(name):
    task = task_named(name)
    for seed in range(3):
        assert accuracy(task, present_step, seed) == pytest.approx(task.chance, abs=1e-9)


@pytest.mark.parametrize("name", PER_STEP)
def test_beside_each_symbol_at_each_step_every_label_stands_equally_often(name):
    task = task_named(name)
    for split in (task.splits(1).train, task.splits(1).validation, task.splits(1).test):
        symbol_BT, label_BT = symbols(split), split.targets.numpy()
        for step in range(1, symbol_BT.shape[1]):
            for symbol in np.unique(symbol_BT[:, step]):
                label_P = label_BT[symbol_BT[:, step] == symbol, step]
                counts = np.bincount(label_P[label_P != IGNORED], minlength=task.output_width)
                assert counts.min() == counts.max()


@pytest.mark.parametrize("name", ["delayed_xor", "parity", "counting"])
def test_counts_do_not_tell_a_running_label(name):
    task = task_named(name)
    assert mean_accuracy(task, counts_so_far) <= task.chance + LUCK


@pytest.mark.parametrize("name", ["delayed_xor", "parity"])
def test_no_linear_function_of_the_whole_past_tells_a_running_label(name):
    def past(split: Split) -> np.ndarray:
        width = 8
        x_BT = split.inputs[..., 0].numpy()
        padded_BT = np.pad(x_BT, ((0, 0), (width - 1, 0)))
        window_BTW = np.lib.stride_tricks.sliding_window_view(padded_BT, width, axis=1)
        return np.concatenate([window_BTW, x_BT.cumsum(axis=1)[..., None]], axis=2)

    task = task_named(name)
    assert abs(mean_accuracy(task, past) - task.chance) <= LUCK


def test_in_order_every_class_has_the_same_multisets_of_symbols_and_the_same_places():
    task = Order()
    for split in (task.splits(2).train, task.splits(2).test):
        symbol_BT, target_B = split.inputs.numpy(), split.targets.numpy()
        bags = [sorted(map(tuple, np.sort(symbol_BT[target_B == k], axis=1))) for k in range(4)]
        places = [sorted(map(tuple, symbol_BT[target_B == k] < 2)) for k in range(4)]
        assert bags[0] == bags[1] == bags[2] == bags[3]
        assert places[0] == places[1] == places[2] == places[3]


def test_in_order_neither_counts_nor_places_tell_the_class():
    def counts_and_places(split: Split) -> np.ndarray:
        symbol_BT = split.inputs.numpy()
        is_place_BT = symbol_BT < 2
        step_B4 = np.nonzero(is_place_BT)[1].reshape(-1, 4) / symbol_BT.shape[1]
        return np.concatenate([one_hot(symbol_BT).sum(axis=1), step_B4, step_B4**2], axis=1)

    assert abs(mean_accuracy(Order(), counts_and_places) - 0.25) <= LUCK


def test_in_order_one_end_tells_the_class_half_of_the_time_as_the_docstring_states():
    def last_of_four(split: Split) -> np.ndarray:
        return np.eye(2)[[row[row < 2][-1] for row in split.inputs.numpy()]]

    def first_of_four(split: Split) -> np.ndarray:
        return np.eye(2)[[row[row < 2][0] for row in split.inputs.numpy()]]

    assert mean_accuracy(Order(), last_of_four) == pytest.approx(0.5, abs=0.02)
    assert mean_accuracy(Order(), first_of_four) == pytest.approx(0.5, abs=0.02)


def test_in_copying_the_most_frequent_item_scores_what_the_docstring_states():
    task, scores = Copying(), []
    for seed in SEEDS:
        item_BI = task.splits(seed).test.inputs[:, : task.num_items].numpy()
        count_BV = one_hot(item_BI).sum(axis=1)
        scores.append((count_BV.max(axis=1) / task.num_items).mean())
    assert np.mean(scores) == pytest.approx(0.47, abs=0.01)


def explained(task: Adding, features: Callable[[np.ndarray], np.ndarray], seed: int) -> float:
    """Fit sums by least squares on the training split, and return the share explained on the test split."""

    def seen(split: Split) -> tuple[np.ndarray, np.ndarray]:
        stream_BT2 = split.inputs.double().numpy()
        feature_BF = features(stream_BT2)
        ones = np.ones((len(feature_BF), 1))
        return np.concatenate([feature_BF, ones], axis=1), split.targets[:, -1, 0].double().numpy()

    (train_BF, train_B), (test_BF, test_B) = seen(task.splits(seed).train), seen(task.splits(seed).test)
    weight_F = np.linalg.lstsq(train_BF, train_B, rcond=1e-9)[0]
    return float(1.0 - ((test_BF @ weight_F - test_B) ** 2).mean() / test_B.var())


def test_in_adding_the_last_step_and_the_marks_places_explain_nothing():
    def last_step(stream_BT2: np.ndarray) -> np.ndarray:
        return stream_BT2[:, -1]

    def places(stream_BT2: np.ndarray) -> np.ndarray:
        step_B2 = np.nonzero(stream_BT2[..., 1])[1].reshape(-1, 2) / stream_BT2.shape[1]
        return np.concatenate([step_B2, step_B2**2], axis=1)

    for features in (last_step, places):
        assert np.mean([explained(Adding(), features, seed) for seed in SEEDS]) <= 0.01


def test_in_adding_the_mean_of_all_values_explains_what_the_docstring_states():
    task = Adding()

    def mean_value(stream_BT2: np.ndarray) -> np.ndarray:
        return stream_BT2[:, :-1, 0].mean(axis=1, keepdims=True)

    found = np.mean([explained(task, mean_value, seed) for seed in SEEDS])
    assert found <= 2 / (task.test_length - 1) + 0.02


def test_in_adding_one_is_the_best_constant_and_its_error_is_a_sixth():
    targets = np.concatenate([Adding().splits(seed).test.targets[:, -1, 0].numpy() for seed in SEEDS])
    assert targets.mean() == pytest.approx(1.0, abs=0.02)
    assert ((targets - 1.0) ** 2).mean() == pytest.approx(1 / 6, abs=0.01)


def test_no_line_tells_the_spirals_apart():
    task = Spirals()

    def coordinates(split: Split) -> np.ndarray:
        return split.inputs[:, 0].numpy()

    assert abs(mean_accuracy(task, coordinates) - 0.5) <= 0.10


@pytest.mark.parametrize("name", ["parity", "counting"])
def test_labels_count_where_the_docstring_says(name):
    splits = task_named(name).splits(0)
    counts_BT = (splits.train.targets != IGNORED).numpy()
    lengths = counts_BT.sum(axis=1)
    assert counts_BT.shape[1] == 20
    assert (counts_BT == (np.arange(20) < lengths[:, None])).all()
    assert set(lengths) == set(range(3, 21))
    counts_BT = (splits.test.targets != IGNORED).numpy()
    assert (counts_BT == (np.arange(60) >= 20)).all()


def test_in_copying_recall_alone_counts():
    task = Copying()
    split = task.splits(0).test
    counts_BT = (split.targets != IGNORED).numpy()
    length = task.gap + 2 * task.num_items
    assert counts_BT.shape[1] == length
    assert (counts_BT == (np.arange(length) >= length - task.num_items)).all()
    assert (split.inputs[:, : task.num_items] == split.targets[:, -task.num_items :]).all()


def test_copying_with_a_gap_of_1500_steps_is_drawn_alike():
    task = Copying(name="long", gap=1500, num_train=32, num_validation=16, num_test=16)
    split = task.splits(0).test
    assert split.inputs.shape == (16, 1500 + 2 * task.num_items)
    assert (split.inputs[:, : task.num_items] == split.targets[:, -task.num_items :]).all()
