"""XOR: corners met equally often, distractors that say nothing."""

import pytest
import torch

from curricula.task import TaskError
from curricula.xor import Xor


def test_every_corner_is_met_equally_often_in_every_split():
    splits = Xor(sigma=0.0).splits(0)
    for split in (splits.train, splits.validation, splits.test):
        corners, counts = split.inputs[:, 0].unique(dim=0, return_counts=True)
        assert corners.tolist() == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
        assert (counts == len(split.targets) // 4).all()


def test_the_label_is_whether_the_signs_differ():
    split = Xor(sigma=0.0).splits(0).test
    assert torch.equal(split.targets, (split.inputs[:, 0, 0] != split.inputs[:, 0, 1]).long())


def test_no_input_alone_and_no_distractor_tells_the_label():
    task = Xor(num_distractors=8)
    splits = [task.splits(seed).test for seed in range(32)]
    x = torch.cat([split.inputs[:, 0] for split in splits])
    sign = 2.0 * torch.cat([split.targets for split in splits])[:, None] - 1.0
    bound = 4.5 / len(x) ** 0.5  # standard errors of a correlation of 0
    assert ((x.sign() * sign).mean(dim=0).abs() < bound).all()
    for informative in (0, 1):
        products = x.sign() * x[:, informative : informative + 1].sign() * sign
        products = products[:, 2:]  # no distractor completes the XOR of one informative input
        assert (products.mean(dim=0).abs() < bound).all()


def test_distractors_have_the_distribution_of_the_informative_inputs():
    x = torch.cat([Xor(num_distractors=2).splits(seed).test.inputs[:, 0] for seed in range(16)])
    for moment in (1, 2, 4):
        values = (x**moment).mean(dim=0)
        torch.testing.assert_close(values, values[:1].expand(4), atol=0.12, rtol=0)


def test_the_noise_has_the_stated_deviation():
    x = Xor().splits(0).test.inputs
    assert (x.abs() - 1.0).std().item() == pytest.approx(0.35, abs=0.03)


def test_the_input_width_follows_the_knob():
    assert [Xor(num_distractors=n).input_width for n in (0, 4)] == [2, 6]
    with pytest.raises(TaskError, match="must not be negative"):
        Xor(num_distractors=-1)


def test_the_example_in_the_docstring_is_real():
    split = Xor().splits(0).train
    assert split.inputs[1].tolist() == [pytest.approx([-0.88, 1.15], abs=0.005)]
    assert split.targets[1] == 1
