"""The contract that every task keeps: balance, determinism, separate splits, an oracle that scores 1."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pytest
import symbol_oracles as symbols
import torch

from crucible.heads import LOSSES
from curricula.adding import Adding
from curricula.copying import Copying
from curricula.counting import Counting
from curricula.delayed_xor import DelayedXor
from curricula.dyck import Dyck
from curricula.graft import Graft
from curricula.heads import HEADS, IGNORED
from curricula.induction import Induction
from curricula.markov import Markov
from curricula.memorisation import Memorisation
from curricula.order import Order
from curricula.parity import Parity
from curricula.recall import Recall
from curricula.selective_copy import SelectiveCopy
from curricula.spirals import Spirals
from curricula.streams import contains
from curricula.suites import TASKS, task_named
from curricula.task import NUM_PROBES, Split, Task, TaskError
from curricula.temporal import Temporal
from curricula.xor import Xor

SEEDS = range(4)
#: What the best constant answer may score above chance, by luck of the draw.
LUCK = 0.02
#: A logit so large that an answer counts as certain.
CERTAIN = 50.0


@dataclass(frozen=True, kw_only=True)
class Oracle:
    """How a task is solved by rule.

    Attributes:
        answer: from task, seed and inputs to labels like a split's targets, or to what a readout would give:
            logits, or a regression's numbers. Where nothing counts, whatever it says.
        least: what it scores at least.
        quiet: knobs that take noise away.
        least_quiet: what it scores at least without noise.
        knowable: from a task to the score of whoever knows all, of which the least ones are shares; under 1
            only where the questions are random.
    """

    answer: Callable[[Any, int, torch.Tensor], torch.Tensor]
    least: float = 1.0
    quiet: Mapping[str, Any] = field(default_factory=dict)
    least_quiet: float = 1.0
    knowable: Callable[[Any], float] = lambda task: 1.0


def xor_answer(task: Xor, seed: int, inputs: torch.Tensor) -> torch.Tensor:
    return (inputs[:, 0, 0] * inputs[:, 0, 1] < 0).long()


def temporal_answer(task: Temporal, seed: int, inputs: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(contains((inputs[:, :, 0] > 0).numpy(), task.pattern))


def spirals_answer(task: Spirals, seed: int, inputs: torch.Tensor) -> torch.Tensor:
    """Return the spiral whose angle at the point's radius is nearer to the point's."""
    x_B, y_B = inputs[:, 0, 0], inputs[:, 0, 1]
    along_B = (x_B**2 + y_B**2).sqrt() / 2
    away_B = torch.atan2(y_B, x_B) - 2 * torch.pi * task.turns * along_B
    return (away_B.cos() < 0).long()


def delayed_xor_answer(task: DelayedXor, seed: int, inputs: torch.Tensor) -> torch.Tensor:
    return (inputs[..., 0] * inputs[..., 0].roll(task.delay, dims=1) < 0).long()


def parity_answer(task: Parity, seed: int, inputs: torch.Tensor) -> torch.Tensor:
    return (inputs[..., 0] > 0).cumsum(1) % 2


def counting_answer(task: Counting, seed: int, inputs: torch.Tensor) -> torch.Tensor:
    return inputs.cumsum(1) % task.modulus


def adding_answer(task: Adding, seed: int, inputs: torch.Tensor) -> torch.Tensor:
    return inputs.prod(2, keepdim=True).cumsum(1)


def order_answer(task: Order, seed: int, inputs: torch.Tensor) -> torch.Tensor:
    first, second = torch.stack([row[row < 2][:2] for row in inputs]).unbind(1)
    return 2 * first + second


def copying_answer(task: Copying, seed: int, inputs: torch.Tensor) -> torch.Tensor:
    return inputs.roll(task.gap + task.num_items, dims=1) % task.num_symbols


def graft_answer(task: Graft, seed: int, inputs: torch.Tensor) -> torch.Tensor:
    a, b, first, second, _ = inputs.double().unbind(2)
    products = [first * second.roll(delay, 1) for delay in task.delays]
    return (a - b / 2 + torch.stack(products).sum(0) / len(products) ** 0.5)[..., None].float()


ORACLES: dict[type[Task], Oracle] = {
    Graft: Oracle(answer=graft_answer, quiet={"noise": 0.0}, least=0.40),
    Xor: Oracle(answer=xor_answer, quiet={"sigma": 0.0}, least=0.97),
    Temporal: Oracle(answer=temporal_answer, quiet={"sigma": 0.0}, least=0.97),
    Markov: Oracle(
        answer=symbols.markov,
        least=0.88,
        least_quiet=0.88,
        knowable=lambda task: float(np.mean([task.explained(seed, task.order) for seed in range(16)])),
    ),
    Spirals: Oracle(answer=spirals_answer, quiet={"sigma": 0.0}, least=0.97),
    DelayedXor: Oracle(answer=delayed_xor_answer),
    Parity: Oracle(answer=parity_answer),
    Counting: Oracle(answer=counting_answer),
    Adding: Oracle(answer=adding_answer),
    Order: Oracle(answer=order_answer),
    Copying: Oracle(answer=copying_answer),
    Recall: Oracle(answer=symbols.recall),
    SelectiveCopy: Oracle(answer=symbols.selective_copy),
    Induction: Oracle(answer=symbols.induction),
    Memorisation: Oracle(answer=symbols.memorisation),
    Dyck: Oracle(answer=symbols.dyck),
}


def parts(task: Task, seed: int) -> dict[str, Split]:
    splits = task.splits(seed)
    return {"train": splits.train, "validation": splits.validation, "test": splits.test}


def is_regression(task: Task) -> bool:
    return HEADS[task.head].loss == "mse"


def score(task: Task, outputs: torch.Tensor, targets: torch.Tensor) -> float:
    """Score outputs, or labels as certain logits, as the Crucible does."""
    if not outputs.is_floating_point():
        outputs = CERTAIN * torch.nn.functional.one_hot(outputs.clamp(min=0), task.output_width).float()
    loss = LOSSES[HEADS[task.head].loss]
    return loss.score(loss.measure(outputs, targets), targets)


def oracle_score(task: Task, seed: int, split: Split) -> float:
    return score(task, ORACLES[type(task)].answer(task, seed, split.inputs), split.targets)


def best_constant(task: Task, targets: torch.Tensor) -> torch.Tensor:
    """Return the outputs of whoever knows each label's frequency, or the mean target, and nothing else."""
    shape = (*targets.shape[: 1 + HEADS[task.head].is_per_step], task.output_width)
    if is_regression(task):
        return targets.flatten(0, -2).nanmean(0).expand(shape)
    counts = torch.bincount(targets[targets != IGNORED], minlength=task.output_width)
    return (counts / counts.sum()).log().clamp(min=-CERTAIN).expand(shape)


def last_answers(task: Task, targets: torch.Tensor) -> np.ndarray:
    """Return one number an example: its target, or of every step the last that counts."""
    if not HEADS[task.head].is_per_step:
        return targets.reshape(len(targets), -1)[:, 0].numpy()
    counts_BT = ~targets[..., 0].isnan() if is_regression(task) else targets != IGNORED
    last_B = targets.shape[1] - 1 - counts_BT.flip(1).long().argmax(1)
    return targets.reshape(*targets.shape[:2], -1)[torch.arange(len(targets)), last_B, 0].numpy()


@pytest.fixture(params=list(TASKS), ids=list(TASKS))
def task(request) -> Task:
    return task_named(request.param)


class TestTaskContract:
    def test_splits_have_the_sizes_and_types_that_the_task_states(self, task):
        sizes = {"train": task.num_train, "validation": task.num_validation, "test": task.num_test}
        for name, split in parts(task, 0).items():
            check_inputs(task, split.inputs, sizes[name])
            shape = split.inputs.shape[: 1 + HEADS[task.head].is_per_step]
            if is_regression(task):
                assert split.targets.dtype == torch.float32
                assert split.targets.shape == (*shape, task.output_width)
            else:
                assert split.targets.dtype == torch.int64
                assert split.targets.shape == shape
                assert int(split.targets.max()) < task.output_width
                assert int(split.targets.min()) >= (IGNORED if HEADS[task.head].is_per_step else 0)
        assert task.num_steps == task.epochs * task.num_train // task.batch_size

    def test_every_example_has_something_that_counts(self, task):
        for split in parts(task, 0).values():
            counts = ~split.targets.isnan() if is_regression(task) else split.targets != IGNORED
            assert counts.reshape(len(counts), -1).any(1).all()

    def test_labels_of_whole_examples_are_balanced_in_every_split(self, task):
        if HEADS[task.head].is_per_step or is_regression(task):
            return  # the next test bounds what their imbalance is worth
        for seed in SEEDS:
            for split in parts(task, seed).values():
                counts = torch.bincount(split.targets, minlength=task.output_width)
                assert (counts == len(split.targets) // task.output_width).all()

    def test_no_constant_answer_beats_the_stated_chance(self, task):
        for seed in SEEDS:
            targets = task.splits(seed).test.targets
            assert score(task, best_constant(task, targets), targets) <= task.chance + LUCK
        assert task.normalised(task.chance) == 0.0
        assert task.normalised(1.0) == 1.0
        assert task.chance < task.solved < 1.0

    def test_as_a_gate_it_is_passed_by_what_solves_it_and_closed_at_chance(self, task):
        solved = task.normalised(task.solved)
        shares = [task.share_passed(share) for share in (0.0, solved / 4, solved, 1.0)]
        assert shares == [0.0, pytest.approx(0.25), 1.0, 1.0]

    def test_answers_are_in_no_order(self, task):
        for seed in SEEDS:
            for split in parts(task, seed).values():
                answers_B = last_answers(task, split.targets)
                if is_regression(task):
                    assert abs(np.corrcoef(answers_B[1:], answers_B[:-1])[0, 1]) < 0.25
                else:
                    shares = np.bincount(answers_B) / len(answers_B)
                    changes = (answers_B[1:] != answers_B[:-1]).mean()
                    assert abs(changes - (1.0 - (shares**2).sum())) < 0.25

    def test_equal_seeds_give_equal_splits_without_the_cache(self, task):
        copy = replace(task, name="copy")  # another key of the cache: drawn anew
        for name, split in parts(copy, 3).items():
            cached = parts(task, 3)[name]
            assert torch.equal(split.inputs, cached.inputs)
            torch.testing.assert_close(split.targets, cached.targets, rtol=0, atol=0, equal_nan=True)

    def test_the_global_random_states_are_neither_used_nor_changed(self, task):
        torch.manual_seed(1)
        before, numbers = torch.get_rng_state(), np.random.get_state(legacy=False)
        drawn = replace(task, name="first").splits(5)
        replace(task, name="first").probe()
        assert torch.equal(torch.get_rng_state(), before)
        assert str(np.random.get_state(legacy=False)) == str(numbers)
        torch.manual_seed(2)
        assert torch.equal(replace(task, name="second").splits(5).train.inputs, drawn.train.inputs)

    def test_different_seeds_give_different_splits(self, task):
        assert not torch.equal(task.splits(0).train.inputs, task.splits(1).train.inputs)

    def test_no_example_is_in_two_splits_or_twice_in_one(self, task):
        for seed in SEEDS:
            rows = [row.numpy().tobytes() for split in parts(task, seed).values() for row in split.inputs]
            assert len(set(rows)) == len(rows) == task.num_train + task.num_validation + task.num_test

    def test_splits_are_cached_and_shared(self, task):
        assert task.splits(0) is task.splits(0)
        assert task.probe() is task.probe()

    def test_an_oracle_is_perfect_on_clean_examples_and_nearly_so_on_noisy_ones(self, task):
        oracle = ORACLES[type(task)]
        for asked, least in ((task, oracle.least), (replace(task, **oracle.quiet), oracle.least_quiet)):
            for seed in SEEDS:
                for split in parts(asked, seed).values():
                    assert oracle_score(asked, seed, split) >= least * oracle.knowable(task) - 1e-6

    def test_what_is_asked_of_a_step_depends_on_no_later_step(self, task):
        if not HEADS[task.head].is_per_step:
            return
        inputs = task.splits(0).test.inputs
        answer = ORACLES[type(task)].answer
        for step in range(0, inputs.shape[1], 5):
            changed = inputs.clone()
            changed[:, step + 1 :] = inputs[:, step + 1 :].flip(0)  # the ends of other examples
            before, after = answer(task, 0, inputs), answer(task, 0, changed)
            counts = task.splits(0).test.targets[:, : step + 1]
            counts = ~counts.isnan().any(-1) if is_regression(task) else counts != IGNORED
            assert torch.equal(before[:, : step + 1][counts], after[:, : step + 1][counts])

    def test_the_probe_set_is_fixed_and_shaped_like_training_inputs(self, task):
        probe = task.probe()
        check_inputs(task, probe, NUM_PROBES)
        assert probe.shape[1:] == task.splits(0).train.inputs.shape[1:]
        task.splits(11)
        assert torch.equal(task.probe(), probe)
        assert torch.equal(replace(task, name="copy").probe(), probe)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"num_train": 40}, "num_train = 40; expected a positive multiple of 16"),
            ({"num_test": 0}, "num_test = 0; expected a positive multiple of 16"),
            ({"batch_size": 7 * 16 * 11}, "batch_size = 1232 does not divide"),
            ({"epochs": 0}, "epochs = 0; expected at least 1"),
            ({"sigma": -1.0}, "sigma"),
            ({"noise": -1.0}, "noise = -1.0; expected at least 0"),
        ],
    )
    def test_settings_that_cannot_be_honoured_are_refused(self, task, changes, message):
        if changes.keys() <= {knob.name for knob in fields(task)}:
            with pytest.raises(TaskError, match=message):
                replace(task, **changes)


def check_inputs(task: Task, inputs: torch.Tensor, size: int) -> None:
    """Assert that inputs are as the task's host takes them."""
    assert inputs.shape[0] == size
    if task.input == "embedding":
        assert inputs.dtype == torch.int64
        assert inputs.ndim == 2
        assert int(inputs.min()) >= 0
        assert int(inputs.max()) < task.input_width
    else:
        assert inputs.dtype == torch.float32
        assert inputs.ndim == 3
        assert inputs.shape[2] == task.input_width
        assert torch.isfinite(inputs).all()


def test_every_task_has_an_oracle():
    assert {type(task) for task in TASKS.values()} == set(ORACLES)


def test_an_unknown_task_is_refused_with_the_names_there_are():
    with pytest.raises(TaskError, match="no task is named 'xnor'; expected one of xor, xor_distractors_4"):
        task_named("xnor")
