"""Knobs of the tasks of numbers: families stay exact, splits apart, and nonsense is refused."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from curricula.adding import Adding
from curricula.copying import Copying
from curricula.counting import Counting
from curricula.delayed_xor import DelayedXor
from curricula.heads import IGNORED
from curricula.order import Order
from curricula.parity import Parity
from curricula.spirals import Spirals
from curricula.suites import task_named
from curricula.task import Split, Task, TaskError

VARIANTS: dict[str, Task] = {
    **{f"delayed_xor_{k}": DelayedXor(delay=k) for k in (1, 3, 5, 6)},
    "delayed_xor_same_length": DelayedXor(train_length=20, test_length=20),
    "parity_short": Parity(shortest=8, longest=12, test_length=30),
    "counting_4": Counting(modulus=4),
    "counting_5": Counting(modulus=5, num_train=320),
    "copying_8": Copying(num_symbols=8, num_items=4, gap=1),
    "order_same_length": Order(train_length=18, test_length=18, num_distractors=1),
    "spirals_3": Spirals(turns=3.0),
    "adding_same_length": Adding(train_length=12, test_length=12),
}
#: Tasks with a label at many steps, by what no present symbol may tell.
RUNNING = [name for name in VARIANTS if not name.startswith(("order", "spirals", "adding"))]


def parts(task: Task, seed: int) -> list[Split]:
    splits = task.splits(seed)
    return [splits.train, splits.validation, splits.test]


def counted(split: Split) -> set[bytes]:
    """Return the examples without what lies beyond the last answer that counts."""
    found = set()
    for row, label in zip(split.inputs, split.targets, strict=True):
        end = int((label != IGNORED).nonzero().max()) + 1 if label.ndim else len(row)
        found.add(row[:end].numpy().tobytes())
    return found


@pytest.mark.parametrize("name", VARIANTS)
def test_at_every_setting_no_example_is_in_two_splits_or_twice_in_one(name):
    task = VARIANTS[name]
    for seed in range(3):
        rows = [row.numpy().tobytes() for split in parts(task, seed) for row in split.inputs]
        assert len(set(rows)) == len(rows) == task.num_train + task.num_validation + task.num_test


@pytest.mark.parametrize("name", ["parity_short", "counting_4", "counting_5"])
def test_no_stream_is_in_two_splits_even_without_its_padding(name):
    task = VARIANTS[name]
    for seed in range(3):
        train, validation, test = (counted(split) for split in parts(task, seed))
        assert len(train) == task.num_train
        assert not train & validation
        assert not (train | validation) & test


@pytest.mark.parametrize("delay", [3, 4])
def test_no_stream_of_delayed_xor_begins_like_one_of_another_split(delay):
    task = DelayedXor(delay=delay)
    for seed in range(3):
        starts = [
            {row[: task.train_length].numpy().tobytes() for row in split.inputs}
            for split in parts(task, seed)
        ]
        assert sum(map(len, starts)) == len(set.union(*starts))


@pytest.mark.parametrize("name", RUNNING)
def test_beside_each_symbol_at_each_step_every_label_stands_equally_often(name):
    task = VARIANTS[name]
    for split in parts(task, 0):
        symbol_BT = split.inputs.reshape(split.inputs.shape[:2]).numpy()
        for step in range(1, symbol_BT.shape[1]):
            for symbol in np.unique(symbol_BT[:, step]):
                label_P = split.targets.numpy()[symbol_BT[:, step] == symbol, step]
                counts = np.bincount(label_P[label_P != IGNORED], minlength=task.output_width)
                assert counts.min() == counts.max()


@pytest.mark.parametrize("delay", [3, 4, 5, 6])
def test_delayed_xor_has_a_label_wherever_there_is_a_bit_to_compare_with(delay):
    split = DelayedXor(delay=delay).splits(0).test
    bit_BT = split.inputs[..., 0] > 0
    assert (split.targets[:, :delay] == IGNORED).all()
    assert torch.equal(split.targets[:, delay:], (bit_BT[:, delay:] ^ bit_BT[:, :-delay]).long())


def test_lengths_are_as_even_as_there_are_streams():
    counts_BT = (Parity().splits(0).train.targets != IGNORED).numpy()
    num_L = np.bincount(counts_BT.sum(axis=1), minlength=21)[3:]
    assert num_L[:2].tolist() == [4, 8]  # half of the 8 streams of three bits, and of the 16 of four
    assert num_L[2:].max() - num_L[2:].min() <= 2


def test_spirals_come_in_mirror_images():
    split = Spirals().splits(0).test
    sides = [{tuple(point) for point in split.inputs[split.targets == k, 0].tolist()} for k in (0, 1)]
    assert sides[1] == {(-x, -y) for x, y in sides[0]}


def test_marks_of_adding_are_one_in_each_half_and_never_at_the_last_step():
    marker_BT = np.concatenate([Adding().splits(seed).test.inputs[..., 1].numpy() for seed in range(4)])
    assert set(np.unique(marker_BT)) == {0.0, 1.0}
    length = marker_BT.shape[1]
    assert (marker_BT[:, : length // 2].sum(axis=1) == 1).all()
    assert (marker_BT[:, length // 2 : -1].sum(axis=1) == 1).all()
    assert (marker_BT[:, :-1].sum(axis=0) > 0).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DelayedXor(delay=0), "delay, train_length, test_length = 0, 16, 24"),
        (lambda: DelayedXor(delay=16), "delay, train_length, test_length = 16, 16, 24"),
        (lambda: DelayedXor(train_length=8), "hardly 320 families of 8 steps exist"),
        (lambda: Parity(shortest=1), r"shortest, longest, test_length = \(1, 20, 60\)"),
        (lambda: Parity(longest=60), r"shortest, longest, test_length = \(3, 60, 60\)"),
        (lambda: Parity(longest=7), "fewer than 512 different streams of 3 to 7 steps exist"),
        (lambda: Counting(modulus=1), "modulus = 1; expected at least 2"),
        (lambda: Counting(modulus=5), "a split of 384; expected a multiple of 5"),
        (lambda: Counting(modulus=4, longest=40), "longest = 40; expected fewer steps, or a lower modulus"),
        (lambda: Adding(train_length=3), "streams of 3; expected at least 4 steps"),
        (lambda: Order(num_distractors=0), "num_distractors = 0; expected at least 1"),
        (lambda: Order(train_length=7), "train_length, test_length = 7, 27; expected at least 8"),
        (lambda: Order(test_length=12), "train_length, test_length = 24, 12"),
        (lambda: Copying(num_items=1), r"num_symbols, num_items, gap = \(4, 1, 4\)"),
        (lambda: Copying(num_items=4), "64 families of 4 items exist; expected 320"),
        (lambda: Copying(num_items=33), "families of 33 items exist"),
        (lambda: Spirals(turns=0.0), r"turns, sigma = \(0.0, 0.05\)"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(make: Callable[[], Task], message: str):
    with pytest.raises(TaskError, match=message):
        make()


def test_a_setting_with_too_few_different_streams_is_refused_when_drawn():
    task = Order(train_length=8, test_length=8, num_distractors=1)
    with pytest.raises(TaskError, match="different streams exist"):
        task.splits(0)


def test_the_least_streams_that_are_enough_are_drawn():
    # Each family of three to eight bits is used: half of each length in training, half in validation.
    task = Parity(longest=8, num_train=128, num_validation=128, num_test=32, test_length=12)
    assert len({row.numpy().tobytes() for split in parts(task, 0)[:2] for row in split.inputs}) == 256


@pytest.mark.parametrize("name", ["parity", "counting"])
def test_the_named_tasks_train_on_3_to_20_steps_and_count_20_to_59_at_test(name):
    knobs = task_named(name).knobs
    assert (knobs["shortest"], knobs["longest"], knobs["test_length"]) == (3, 20, 60)
