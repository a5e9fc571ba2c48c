"""The tasks of symbols whose labels are certain: examples as documented, and no shortcut to a label."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
import symbol_oracles as oracles

from curricula.dyck import Dyck
from curricula.heads import HEADS, IGNORED
from curricula.induction import Induction
from curricula.memorisation import Memorisation
from curricula.recall import Recall
from curricula.selective_copy import SelectiveCopy
from curricula.suites import task_named
from curricula.task import Split, Task, TaskError

NAMES = ("recall", "recall_16", "selective_copy", "induction", "memorisation", "dyck")
#: From a stream and a step to what somebody knows there who takes a shortcut.
Cues = Callable[[np.ndarray, int], Sequence]


def all_parts(task: Task, seed: int) -> list[Split]:
    splits = task.splits(seed)
    return [splits.train, splits.validation, splits.test]


def asked(task: Task, cues: Cues, seeds: Sequence[int]) -> list[tuple]:
    """Return, for every label that counts in the test splits, the cues at its step, then itself."""
    found = []
    for seed in seeds:
        split = task.splits(seed).test
        inputs_BT, label_BT = split.inputs.numpy(), split.targets.numpy()
        for row, t in zip(*np.nonzero(label_BT != IGNORED), strict=True):
            found.append((*cues(inputs_BT[row], t), label_BT[row, t]))
    return found


def share_guessed(task: Task, cues: Cues) -> float:
    """Return how often the best guess by some cues is right on seeds that it was not made on."""
    counts: dict[tuple, np.ndarray] = {}
    for *cue, label in asked(task, cues, range(4)):
        counts.setdefault(tuple(cue), np.zeros(task.output_width))[label] += 1
    best = {cue: labels.argmax() for cue, labels in counts.items()}
    return float(np.mean([best.get(tuple(cue)) == label for *cue, label in asked(task, cues, range(4, 8))]))


def share_right(task: Task, guess: Callable[[np.ndarray, int], int]) -> float:
    """Return how often a guess is the label."""
    found = asked(task, lambda stream, t: (guess(stream, t),), range(4))
    return float(np.mean([cue == label for cue, label in found]))


def most_frequent(stream: np.ndarray, first: int, size: int) -> int:
    """Return which of the `size` symbols from `first` on is the most frequent, counted from `first`."""
    return int(np.bincount(stream, minlength=first + size)[first : first + size].argmax())


class TestNoShortcut:
    @pytest.mark.parametrize("name", NAMES)
    def test_neither_place_nor_the_symbol_there_tells_the_label(self, name):
        task = task_named(name)
        assert share_guessed(task, lambda stream, t: (t,)) == pytest.approx(task.chance, abs=0.02)
        assert share_guessed(task, lambda stream, t: (stream[t],)) == pytest.approx(task.chance, abs=0.02)

    @pytest.mark.parametrize(("name", "num_values"), [("recall", 4), ("recall_16", 2)])
    def test_of_recall_the_values_without_their_keys_are_worth_a_guess_among_them(self, name, num_values):
        task = task_named(name)
        for pair in range(num_values):
            share = share_right(task, lambda stream, t, at=2 * pair + 1: stream[at] - task.output_width)
            assert share == pytest.approx(1 / num_values, abs=0.02)

    def test_of_selective_copy_the_items_without_their_order_are_worth_little(self):
        task = task_named("selective_copy")
        share = share_right(task, lambda stream, t: most_frequent(stream, 0, task.output_width))
        assert share == pytest.approx(0.45, abs=0.02)

    def test_of_induction_counts_and_fixed_delays_are_worth_as_much_as_stated(self):
        task = Induction()
        assert share_right(task, lambda stream, t: most_frequent(stream[:t], 0, 12)) < 0.25
        for delay in range(1, task.max_gap + 1):
            assert share_right(task, lambda stream, t, delay=delay: stream[t - delay]) < 0.27

    def test_of_memorisation_counts_say_nothing(self):
        task = Memorisation()
        share = share_guessed(task, lambda stream, t: (most_frequent(stream[: t + 1], 0, 10),))
        assert share == pytest.approx(task.chance, abs=0.01)

    def test_of_dyck_two_symbols_say_nothing_and_more_as_much_as_stated(self):
        task = Dyck()
        assert share_guessed(task, self.open_of_each_kind) == pytest.approx(0.61, abs=0.02)
        for last, worth in ((2, 0.50), (3, 0.72), (5, 0.84), (7, 0.90)):
            share = share_guessed(task, lambda s, t, last=last: tuple(s[max(0, t + 1 - last) : t + 1]))
            assert share == pytest.approx(worth, abs=0.02)

    @staticmethod
    def open_of_each_kind(stream: np.ndarray, t: int) -> list[int]:
        counts = np.bincount(stream[: t + 1], minlength=4)
        return [counts[0] - counts[2], counts[1] - counts[3]]


class TestSplits:
    @pytest.mark.parametrize("name", NAMES)
    def test_no_stream_begins_in_one_split_as_in_another(self, name):
        for seed in range(4):
            parts = all_parts(task_named(name), seed)
            length = parts[0].inputs.shape[1]
            rows = [row.numpy().tobytes() for part in parts for row in part.inputs[:, :length]]
            assert len(set(rows)) == len(rows)

    @pytest.mark.parametrize("name", ["induction", "dyck"])
    def test_test_streams_are_longer_than_those_trained_on(self, name):
        train, validation, test = (part.inputs.shape[1] for part in all_parts(task_named(name), 0))
        assert train == validation < test

    @pytest.mark.parametrize("name", NAMES)
    def test_every_step_is_read_so_that_blueprints_which_see_later_steps_are_refused(self, name):
        assert HEADS[task_named(name).head].is_per_step

    def test_streams_of_which_too_few_exist_are_refused(self):
        with pytest.raises(TaskError, match="selective_copy: hardly 2304 different streams exist; ask for"):
            SelectiveCopy(num_symbols=2, num_items=2, length=5).splits(0)


@pytest.mark.parametrize(
    ("oracle", "task"),
    [
        (oracles.recall, Recall(name="knobs", num_symbols=10, length=20, num_pairs=3, num_queries=6)),
        (oracles.selective_copy, SelectiveCopy(name="knobs", num_symbols=5, length=9, num_items=5)),
        (oracles.induction, Induction(name="knobs", num_triggers=3, min_gap=2, max_gap=5)),
        (oracles.memorisation, Memorisation(name="knobs", num_symbols=7, length=9)),
        (oracles.dyck, Dyck(name="knobs", num_kinds=3, max_depth=6)),
    ],
)
def test_knobs_change_the_question_and_the_oracle_agrees(oracle, task):
    for part in all_parts(task, 3):
        counts = part.targets != IGNORED
        assert oracle(task, 3, part.inputs)[counts].equal(part.targets[counts])
        assert part.inputs.unique().tolist() == list(range(task.input_width))
        assert part.targets[counts].unique().tolist() == list(range(task.output_width))


def test_a_stream_of_recall_asks_as_often_as_the_knob_says_and_for_every_pair():
    task = Recall(num_queries=6)
    targets = task.splits(0).test.targets
    assert ((targets != IGNORED).sum(dim=1) == 6).all()
    found = asked(task, lambda stream, t: (list(stream[:8:2]).index(stream[t]),), range(4))
    assert np.bincount([pair for pair, _ in found]) / len(found) == pytest.approx(0.25, abs=0.02)


def test_brackets_close_in_order_and_are_never_deeper_than_the_knob_says():
    depths = set()
    for stream in Dyck().splits(0).test.inputs.tolist():
        stack = []
        for symbol in stream:
            if symbol < 2:
                stack.append(symbol)
            else:
                assert stack.pop() == symbol - 2
            depths.add(len(stack))
    assert depths == {0, 1, 2, 3, 4}


def test_of_memorisation_each_value_belongs_to_each_symbol_once_on_either_side():
    for seed in range(8):
        facts = Memorisation().facts(seed)
        for lines in (facts, facts.T):
            assert (np.sort(lines, axis=1) == np.arange(10)).all()


def test_of_memorisation_maps_differ_between_seeds():
    assert len({Memorisation().facts(seed).tobytes() for seed in range(8)}) == 8


def test_of_memorisation_no_rule_of_modular_addition_gives_the_map():
    # In the table of a group, rows differ by one permutation wherever their numbers differ by the same.
    for seed in range(8):
        facts = Memorisation().facts(seed)
        cycles = {tuple(facts[row][np.argsort(facts[0])]) for row in range(10)}
        powers = {tuple(np.array(a)[list(b)]) for a in cycles for b in cycles}
        assert not powers <= cycles


def test_of_memorisation_every_fact_is_met_in_training_and_asked_at_test():
    for part in all_parts(Memorisation(), 0):
        assert len({pair for stream in part.inputs.tolist() for pair in pairwise(stream)}) == 100


@pytest.mark.parametrize(
    ("oracle", "task", "inputs", "targets"),
    [
        (
            oracles.recall,
            Recall(num_symbols=8, length=8, num_pairs=2, num_queries=2),
            "2 7 0 4 1 0 3 2",
            ". . . . . 0 . 3",
        ),
        (
            oracles.selective_copy,
            SelectiveCopy(num_symbols=4, length=6, num_items=2),
            "4 2 4 4 0 4 5 5",
            ". . . . . . 2 0",
        ),
        (oracles.induction, Induction(num_symbols=4), "1 4 3 0 4 2 2 4 0", ". . . . 3 . . 2 ."),
        (oracles.dyck, Dyck(), "0 1 1 3 3 2 1 3 0", ". . . 1 . . . . ."),
    ],
)
def test_the_example_in_the_docstring_is_one(oracle, task, inputs, targets):
    assert inputs in task.__doc__
    assert targets in task.__doc__
    assert labels(oracle.__wrapped__(task, [int(symbol) for symbol in inputs.split()])) == targets


def test_the_example_of_memorisation_in_the_docstring_is_one():
    square = np.array([[1, 0, 2], [2, 1, 0], [0, 2, 1]])
    documented = Memorisation.__doc__ or ""
    assert "rows 1 0 2, 2 1 0, 0 2 1" in documented
    assert "inputs  0 2 1 1 0" in documented
    answers = [IGNORED, *(int(square[pair]) for pair in pairwise([0, 2, 1, 1, 0]))]
    assert f"target  {labels(answers)}" in documented


def labels(answers: list[int]) -> str:
    return " ".join("." if label == IGNORED else str(label) for label in answers)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Recall(num_symbols=9), "num_symbols = 9, num_pairs = 4; expected an even number"),
        (lambda: Recall(num_pairs=32), "num_pairs = 32; expected an even number, and fewer pairs than half"),
        (lambda: Recall(num_queries=25), "num_queries = 25; expected 1 to 24, the steps of 32"),
        (lambda: SelectiveCopy(num_items=13), "num_items = 13, length = 12; expected at least 2 symbols"),
        (lambda: Induction(min_gap=1), "gaps from 1 to 8; expected at least 2, 1, and gaps from at least 2"),
        (lambda: Induction(train_length=15), "streams of 15 and 32; expected at least 16"),
        (lambda: Memorisation(length=1), "num_symbols = 10, length = 1; expected at least 2"),
        (lambda: Dyck(max_depth=2), "max_depth = 2, streams of 20 and 32; expected at least 2, 3 and 5"),
        (lambda: Dyck(test_length=19), "streams of 20 and 19; expected at least"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(build, message):
    with pytest.raises(TaskError, match=message):
        build()
