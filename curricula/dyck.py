"""Which bracket must close next? Leaves counting without kinds to the tasks of numbers."""

from dataclasses import dataclass

import numpy as np
import torch

from curricula.distinct import SymbolStream, distinct
from curricula.heads import IGNORED
from curricula.task import Split, TaskError


@dataclass(frozen=True, slots=True, kw_only=True)
class Dyck(SymbolStream):
    """The closing bracket that may come next in a Dyck language of bounded depth (Hewitt et al. 2020).

    Streams are beginnings of well-formed sequences of `num_kinds` kinds of brackets. Where `max_depth` are
    open, one is closed; where none is, one is opened; else either is as likely, and a bracket's kind is a
    fair draw. The label is the kind of the innermost open bracket. It is asked for behind closing brackets
    alone, since an opening one is its own answer, and only while brackets of more than one kind are open:
    with one kind, counting each would do, and no stack were needed. Test streams are longer than any trained
    on, and every stream asks at least once, wherever it is cut.

    Kinds are interchangeable, so the last two symbols say nothing: the answer stands before what the last one
    closed. Often it is near: whoever knows the last 3 symbols by heart scores 0.72, the last 5 0.84, the last
    7 0.90, and who counts the open brackets of each kind 0.61. So a score below 0.90 does not show a stack,
    and the solved threshold lies above.

    Example, `num_kinds=2` (0 and 1 open, 2 and 3 close)::

        inputs  0 1 1 3 3 2 1 3 0    # ( [ [ ] ] ) [ ] (
        target  . . . 1 . . . . .    # "[" behind "( [ [ ]"; one more "]" leaves "(" alone

    Attributes:
        num_kinds: kinds of brackets.
        max_depth: most brackets open at a time.
        train_length: T of train and validation streams, and of the probe set.
        test_length: T of test streams.
    """

    name: str = "dyck"
    num_train: int = 1024
    num_validation: int = 256
    num_test: int = 1024
    batch_size: int = 64
    epochs: int = 10
    num_kinds: int = 2
    max_depth: int = 4
    train_length: int = 20
    test_length: int = 32

    stream = 0x44594B
    solved = 0.95

    def __post_init__(self) -> None:
        SymbolStream.__post_init__(self)
        if self.num_kinds < 2 or self.max_depth < 3 or not 5 <= self.train_length <= self.test_length:
            raise TaskError(
                f"{self.name}: num_kinds = {self.num_kinds}, max_depth = {self.max_depth}, streams of "
                f"{self.train_length} and {self.test_length}; expected at least 2, 3 and 5, longer at test"
            )

    @property
    def input_width(self) -> int:
        """Opening brackets, then closing ones."""
        return 2 * self.num_kinds

    @property
    def output_width(self) -> int:
        """The kinds."""
        return self.num_kinds

    def examples(self, rng: np.random.Generator, size: int) -> Split:
        """Draw `size` streams of the test's length that differ in the training's."""
        rows = distinct(self, lambda num: _streams(self, rng, num), size, self.train_length)
        return Split(
            inputs=torch.from_numpy(rows[:, : self.test_length].copy()),
            targets=torch.from_numpy(rows[:, self.test_length :].copy()),
        )


def _streams(task: Dyck, rng: np.random.Generator, size: int) -> np.ndarray:
    """Return at most `[size, 2 T]`: streams that ask in training's length, and behind each its labels."""
    row_B = np.arange(size)
    inputs_BT = np.empty((size, task.test_length), dtype=np.int64)
    label_BT = np.full_like(inputs_BT, IGNORED)
    open_BD = np.full((size, task.max_depth + 1), IGNORED)  # from place 1 on
    depth_B = np.zeros(size, dtype=np.int64)
    for t in range(task.test_length):
        kind_B = rng.integers(task.num_kinds, size=size)
        opens_B = (depth_B == 0) | ((depth_B < task.max_depth) & (rng.random(size) < 0.5))
        inputs_BT[:, t] = np.where(opens_B, kind_B, task.num_kinds + open_BD[row_B, depth_B])
        open_BD[row_B[~opens_B], depth_B[~opens_B]] = IGNORED
        depth_B += np.where(opens_B, 1, -1)
        open_BD[row_B[opens_B], depth_B[opens_B]] = kind_B[opens_B]
        innermost_B = open_BD[row_B, depth_B]
        mixed_B = ((open_BD != IGNORED) & (open_BD != innermost_B[:, None])).any(axis=1)
        asks_B = ~opens_B & mixed_B
        label_BT[asks_B, t] = innermost_B[asks_B]
    asks_early_B = (label_BT[:, : task.train_length] != IGNORED).any(axis=1)
    return np.concatenate([inputs_BT, label_BT], axis=1)[asks_early_B]
