"""Noisy continuous XOR as a sequence of one step; leaves order in time to the temporal task."""

from dataclasses import dataclass

import numpy as np
import torch

from curricula.task import NUM_PROBES, Split, Splits, Task, TaskError

#: Keeps this task's random streams apart from every other task's.
_STREAM = 0x584F52
_CORNERS = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], dtype=np.float32)
_LABELS = np.array([0, 1, 1, 0], dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Xor(Task):
    """Do the signs of the first two inputs differ?

    Points scatter around the four corners (±1, ±1), every corner equally often in every split. A linear
    model is at chance; nearly every nonlinearity passes, so without distractors this is a gate and not a
    ranking. Distractor inputs (a sign and noise of their own, no word about the label) make it a ranking:
    64 points must then single out the two inputs that matter.

    Example, `sigma=0.35, num_distractors=0` (row 1 of `splits(0).train`)::

        inputs  [[-0.88, 1.15]]    # near the corner (-1, +1)
        target  1                  # the signs differ

    Attributes:
        sigma: standard deviation of the noise on every input. With 0.35 an oracle scores
            0.996, with 0.5 it scores 0.956.
        num_distractors: inputs beside the first two that carry nothing.
    """

    name: str = "xor"
    num_train: int = 64
    num_validation: int = 256
    num_test: int = 512
    batch_size: int = 64
    epochs: int = 100
    sigma: float = 0.35
    num_distractors: int = 0

    solved = 0.90

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        if self.sigma < 0 or self.num_distractors < 0:
            raise TaskError(f"{self.name}: sigma and num_distractors must not be negative")

    @property
    def input_width(self) -> int:
        """Two inputs that matter, and the distractors."""
        return 2 + self.num_distractors

    def draw(self, seed: int) -> Splits:
        """Draw the three splits of `seed`; no two points are equal."""
        rng = np.random.default_rng((_STREAM, 0, seed))
        train, validation, test = (_examples(self, rng, size) for size in self.sizes)
        return Splits(train=train, validation=validation, test=test)

    def draw_probe(self) -> torch.Tensor:
        """Draw 256 fixed points, 64 around every corner."""
        return _examples(self, np.random.default_rng((_STREAM, 1)), NUM_PROBES).inputs


def _examples(task: Xor, rng: np.random.Generator, size: int) -> Split:
    """Draw `size` points, a quarter around each corner, in random order."""
    corner_B = rng.permutation(np.arange(size) % 4)
    sign_BW = np.concatenate(
        [_CORNERS[corner_B], rng.choice((-1.0, 1.0), size=(size, task.num_distractors))], axis=1
    )
    x_BW = (sign_BW + task.sigma * rng.standard_normal(sign_BW.shape)).astype(np.float32)
    return Split(inputs=torch.from_numpy(x_BW[:, None, :]), targets=torch.from_numpy(_LABELS[corner_B]))
