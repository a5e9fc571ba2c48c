"""What tasks draw is kept by their knobs: who shares it, who does not, and which knobs are refused."""

from dataclasses import dataclass, field, replace

import pytest

from curricula.graft import Graft
from curricula.suites import TASKS
from curricula.task import NUM_KEPT, Split, Splits, Task, TaskError
from curricula.temporal import Temporal
from curricula.xor import Xor


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored(Xor):
    """Xor whose labels change places; it has the knobs of Xor."""

    def draw(self, seed: int) -> Splits:
        splits = super(Mirrored, self).draw(seed)
        return replace(splits, train=Split(inputs=splits.train.inputs, targets=1 - splits.train.targets))


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Xor):
    """Xor with a list that is no part of what tells tasks apart."""

    notes: list[str] = field(default_factory=list, compare=False)


def test_equal_tasks_share_what_one_of_them_drew_and_others_draw_their_own():
    assert Xor().splits(3) is Xor().splits(3)
    assert Xor().probe() is Xor().probe()
    for other in (Xor(sigma=0.3), Xor(epochs=1), Mirrored()):
        assert other.splits(3) is not Xor().splits(3)
        assert other.probe() is not Xor().probe()


def test_tasks_of_two_classes_keep_apart_even_with_the_same_knobs():
    assert Mirrored().knobs == Xor().knobs
    assert (Mirrored().splits(0).train.targets == 1 - Xor().splits(0).train.targets).all()


def test_a_dozen_seeds_of_every_named_task_are_kept():
    tasks = [replace(task, name=f"{name}_kept") for name, task in TASKS.items()]
    first = [task.splits(seed) for task in tasks for seed in range(12)]
    again = [task.splits(seed) for task in tasks for seed in range(12)]
    assert len(first) <= NUM_KEPT
    assert all(one is other for one, other in zip(first, again, strict=True))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda: Temporal(pattern=[1, 0, 1]),
            r"temporal: pattern = \[1, 0, 1\] \(unhashable type: 'list'\)",
        ),
        (lambda: Graft(delays=(0, [1])), r"graft: delays = \(0, \[1\]\) \(unhashable type: 'list'\)"),
        (lambda: replace(Xor(), sigma={}), r"xor: sigma = \{\} \(unhashable type: 'dict'\)"),
    ],
)
def test_a_knob_that_examples_cannot_be_kept_by_is_refused_with_the_mend(build, words):
    with pytest.raises(
        TaskError, match=rf"{words}; expected a value with a hash, such as a tuple in place of a list"
    ):
        build()


def test_a_field_outside_comparison_needs_no_hash():
    task: Task = Noted(notes=["a"])
    assert task.splits(0) is Noted(notes=["b"]).splits(0)
