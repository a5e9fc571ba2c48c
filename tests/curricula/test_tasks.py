"""The contract that every task keeps: balance, determinism, separate splits, an oracle that scores 1."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from curricula.streams import contains
from curricula.suites import TASKS, task_named
from curricula.task import NUM_PROBES, Split, Task, TaskError
from curricula.temporal import Temporal
from curricula.xor import Xor

SEEDS = range(4)


def xor_oracle(task: Task, inputs: torch.Tensor) -> torch.Tensor:
    return (inputs[:, 0, 0] * inputs[:, 0, 1] < 0).long()


def temporal_oracle(task: Task, inputs: torch.Tensor) -> torch.Tensor:
    assert isinstance(task, Temporal)
    return torch.from_numpy(contains((inputs[:, :, 0] > 0).numpy(), task.pattern))


ORACLES: dict[type[Task], Callable[[Task, torch.Tensor], torch.Tensor]] = {
    Xor: xor_oracle,
    Temporal: temporal_oracle,
}


def accuracy(task: Task, split: Split) -> float:
    return (ORACLES[type(task)](task, split.inputs) == split.targets).float().mean().item()


def parts(task: Task, seed: int) -> dict[str, Split]:
    splits = task.splits(seed)
    return {"train": splits.train, "validation": splits.validation, "test": splits.test}


@pytest.fixture(params=list(TASKS), ids=list(TASKS))
def task(request) -> Task:
    return task_named(request.param)


class TestTaskContract:
    def test_splits_have_the_sizes_and_types_that_the_task_states(self, task):
        sizes = {"train": task.num_train, "validation": task.num_validation, "test": task.num_test}
        for name, split in parts(task, 0).items():
            assert split.inputs.shape[0] == sizes[name]
            assert split.inputs.shape[2] == task.input_width
            assert split.inputs.dtype == torch.float32
            assert split.targets.shape == (sizes[name],)
            assert split.targets.dtype == torch.int64
        assert task.num_steps == task.epochs * task.num_train // task.batch_size

    def test_labels_are_balanced_in_every_split(self, task):
        for seed in SEEDS:
            for split in parts(task, seed).values():
                counts = torch.bincount(split.targets, minlength=task.output_width)
                assert (counts == len(split.targets) // task.output_width).all()

    def test_labels_are_in_no_order(self, task):
        for seed in SEEDS:
            for split in parts(task, seed).values():
                changes = (split.targets[1:] != split.targets[:-1]).float().mean().item()
                assert 0.25 < changes < 0.75

    def test_equal_seeds_give_equal_splits_without_the_cache(self, task):
        copy = replace(task, name="copy")  # another key of the cache: drawn anew
        for name, split in parts(copy, 3).items():
            cached = parts(task, 3)[name]
            assert torch.equal(split.inputs, cached.inputs)
            assert torch.equal(split.targets, cached.targets)

    def test_the_global_random_state_is_neither_used_nor_changed(self, task):
        torch.manual_seed(1)
        before = torch.get_rng_state()
        drawn = replace(task, name="first").splits(5)
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(2)
        assert torch.equal(replace(task, name="second").splits(5).train.inputs, drawn.train.inputs)

    def test_different_seeds_give_different_splits(self, task):
        assert not torch.equal(task.splits(0).train.inputs, task.splits(1).train.inputs)

    def test_no_noisy_example_is_in_two_splits_or_twice_in_one(self, task):
        for seed in SEEDS:
            rows = [row.numpy().tobytes() for split in parts(task, seed).values() for row in split.inputs]
            assert len(set(rows)) == len(rows) == task.num_train + task.num_validation + task.num_test

    def test_an_oracle_is_perfect_on_clean_examples_and_nearly_so_on_noisy_ones(self, task):
        clean = replace(task, sigma=0.0)
        for seed in SEEDS:
            assert all(accuracy(clean, split) == 1.0 for split in parts(clean, seed).values())
            assert all(accuracy(task, split) > 0.97 for split in parts(task, seed).values())

    def test_guessing_one_class_scores_the_stated_chance(self, task):
        assert (task.splits(0).test.targets == 0).float().mean().item() == task.chance
        assert task.normalised(task.chance) == 0.0
        assert task.normalised(1.0) == 1.0
        assert task.chance < task.solved < 1.0

    def test_the_probe_set_is_fixed_and_shaped_like_training_inputs(self, task):
        probe = task.probe()
        assert probe.shape == (NUM_PROBES, *task.splits(0).train.inputs.shape[1:])
        task.splits(11)
        assert torch.equal(task.probe(), probe)
        assert torch.isfinite(probe).all()

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"num_train": 40}, "num_train = 40; expected a positive multiple of 16"),
            ({"num_test": 0}, "num_test = 0; expected a positive multiple of 16"),
            ({"batch_size": 48}, "batch_size = 48 does not divide"),
            ({"epochs": 0}, "epochs = 0; expected at least 1"),
            ({"sigma": -1.0}, "sigma"),
        ],
    )
    def test_settings_that_cannot_be_honoured_are_refused(self, task, changes, message):
        with pytest.raises(TaskError, match=message):
            replace(task, **changes)


def test_every_task_has_an_oracle():
    assert {type(task) for task in TASKS.values()} == set(ORACLES)


def test_an_unknown_task_is_refused_with_the_names_there_are():
    with pytest.raises(TaskError, match="no task is named 'xnor'; expected one of xor, xor_distractors_4"):
        task_named("xnor")
