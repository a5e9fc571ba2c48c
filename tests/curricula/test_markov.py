"""The Markov task: a chain with the entropies that it states, every step like every other."""

import math
from dataclasses import replace

import numpy as np
import pytest

from curricula.heads import HEADS
from curricula.markov import Markov
from curricula.task import TaskError

#: Many streams of few symbols, of which hardly any is drawn twice.
MANY = Markov(
    num_symbols=4, sharpness=1.0, num_train=16000, num_validation=16, num_test=16, batch_size=16, epochs=1
)


def test_a_sample_has_the_entropies_that_are_stated():
    split = MANY.splits(2).train
    stream_BT = np.concatenate([split.inputs.numpy(), split.targets[:, -1:].numpy()], axis=1)
    nats = [entropy(stream_BT, memory) for memory in (0, 1, 2)]
    # Of 20 steps the first has but one symbol before its label.
    by_one, by_two = nats[1], (19 * nats[2] + nats[1]) / 20
    assert 1 - by_one / nats[0] == pytest.approx(MANY.explained(2, 1), abs=0.005)
    assert 1 - by_two / nats[0] == pytest.approx(MANY.explained(2, 2), abs=0.005)
    assert MANY.explained(2, 1) > 0.01
    assert MANY.explained(2, 2) > MANY.explained(2, 1) + 0.1
    assert MANY.explained(2, 0) == pytest.approx(0.0, abs=1e-12)


def entropy(stream_BT: np.ndarray, memory: int) -> float:
    """Return the entropy of a symbol given `memory` before it, in nats, counted over all steps."""
    windows = np.lib.stride_tricks.sliding_window_view(stream_BT, memory + 1, axis=1).reshape(-1, memory + 1)
    joint, before = (np.unique(w, axis=0, return_counts=True)[1] for w in (windows, windows[:, :memory]))
    share, known = joint / joint.sum(), before / before.sum()
    return float(-(share * np.log(share)).sum() + (known * np.log(known)).sum())


def test_every_step_is_like_every_other():
    targets = MANY.splits(0).train.targets
    share_TV = np.stack([np.bincount(column, minlength=4) / 16000 for column in targets.T.numpy()])
    assert np.abs(share_TV - share_TV.mean(axis=0)).max() < 4.5 * 0.5 / 16000**0.5


def test_the_table_is_what_streams_are_drawn_from():
    split, table_SV = MANY.splits(1).train, MANY.table(1)
    two_BT = 4 * split.inputs[:, :-1] + split.inputs[:, 1:]
    counts_SV = np.zeros((16, 4))
    np.add.at(counts_SV, (two_BT.numpy(), split.targets[:, 1:].numpy()), 1)
    assert np.abs(counts_SV / counts_SV.sum(axis=1, keepdims=True) - table_SV).max() < 0.02


def test_the_label_is_the_next_input():
    for split in (Markov().splits(0).train, Markov().splits(0).test):
        assert split.targets[:, :-1].equal(split.inputs[:, 1:])


def test_every_step_is_read_so_that_blueprints_which_see_the_label_are_refused():
    assert HEADS[Markov().head].is_per_step


def test_tables_differ_between_seeds_and_the_knob_sets_how_sharp_they_are():
    assert Markov().explained(0, 2) != Markov().explained(1, 2)
    assert Markov(sharpness=0.0).explained(0, 2) == pytest.approx(0.0, abs=1e-12)
    assert Markov(sharpness=100.0).explained(0, 2) > 0.9


def test_the_last_symbol_explains_much_less_than_the_last_two():
    shares = np.array([[Markov().explained(seed, memory) for memory in (1, 2)] for seed in range(16)])
    assert (shares[:, 1] > shares[:, 0] + 0.3).all()
    assert shares.mean(axis=0) == pytest.approx([0.136, 0.569], abs=0.001)


@pytest.mark.parametrize("sharpness", [2.0, 3.0])
def test_the_solved_threshold_lies_between_what_one_symbol_explains_and_what_two_do(sharpness):
    task = Markov(sharpness=sharpness)
    one, two = np.mean([[task.explained(seed, memory) for memory in (1, 2)] for seed in range(16)], axis=0)
    assert task.solved == pytest.approx(0.7 * two, abs=0.005)
    assert task.solved > 2 * one
    assert task.solved_loss < math.log(task.num_symbols) * (1 - one)


def test_the_order_is_how_far_the_chain_looks_back():
    task = Markov(num_symbols=5, order=3)
    explained = [task.explained(0, memory) for memory in range(5)]
    assert explained[0] < explained[1] < explained[2] < explained[3] == explained[4]
    at_first = replace(task, length=2)
    assert at_first.explained(0, 3) == at_first.explained(0, 2)


def test_the_probe_set_is_of_no_seed_s_table():
    assert Markov().probe().max() < 12
    assert not any(Markov().splits(seed).train.inputs[:256].equal(Markov().probe()) for seed in range(4))


def test_the_example_in_the_docstring_is_real():
    split = Markov().splits(0).train
    assert split.inputs[0, :8].tolist() == [5, 7, 6, 10, 10, 11, 2, 7]
    assert split.targets[0, :8].tolist() == [7, 6, 10, 10, 11, 2, 7, 10]


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"num_symbols": 1}, "num_symbols = 1, order = 2, length = 20, sharpness = 3.0; expected at least 2"),
        ({"order": 0}, "order = 0"),
        ({"length": 0}, "length = 0"),
        ({"sharpness": -1.0}, "sharpness = -1.0"),
        ({"num_symbols": 200}, "table of 200 symbols and order 2 has more than 4194304 numbers"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(knobs, message):
    with pytest.raises(TaskError, match=message):
        Markov(**knobs)


def test_streams_of_which_too_few_exist_are_refused():
    with pytest.raises(
        TaskError, match="markov: hardly 1792 different streams exist; ask for fewer examples"
    ):
        Markov(num_symbols=2, length=8).splits(0)
