"""On which of two spirals does a point lie, as a sequence of one step? Leaves time to other tasks."""

from dataclasses import dataclass
from math import pi

import numpy as np
import torch

from curricula.distinct import distinct
from curricula.families import dealt, shuffled
from curricula.task import NUM_PROBES, Split, Splits, Task, TaskError

#: Keeps this task's random streams apart from every other task's.
_STREAM = 0x535049
#: Points of a family: one on each spiral.
_MEMBERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Spirals(Task):
    """On which of two spirals does a point lie?

    The two spirals of Lang & Witbrock (1988), who had three turns and 194 points. The first spiral winds
    outwards from the centre, `turns` times, to radius 2; the second is the first turned by half a turn.
    Points are drawn evenly in the angle, with noise on both coordinates, and come in pairs that are each
    other's mirror image in the centre, one on each spiral: both have the same mean, and with whole turns a
    line through the centre has half of each on either side. No pair is met twice.

    Example, `turns=1, sigma=0` (five points of the first spiral, at angles 0, pi/2, pi, 3/2 pi and 2 pi)::

        inputs  [[0, 0]] [[0, 0.5]] [[-1, 0]] [[0, -1.5]] [[2, 0]]    target  0

    Attributes:
        turns: how often a spiral winds around the centre.
        sigma: standard deviation of the noise on both coordinates.
    """

    name: str = "spirals"
    num_train: int = 256
    num_validation: int = 256
    num_test: int = 512
    batch_size: int = 64
    epochs: int = 150
    turns: float = 2.0
    sigma: float = 0.05

    solved = 0.90

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        if not self.turns > 0 or not self.sigma >= 0:
            knobs = (self.turns, self.sigma)
            raise TaskError(f"{self.name}: turns, sigma = {knobs}; expected more than 0, and at least 0")

    @property
    def input_width(self) -> int:
        """Two coordinates."""
        return 2

    def draw(self, seed: int) -> Splits:
        """Draw the three splits of `seed`; no two points are equal."""
        rng = np.random.default_rng((_STREAM, 0, seed))
        point_IN2 = dealt(self, _MEMBERS, lambda num: _points(self, rng, num))
        train, validation, test = (_split(rng, point_N2) for point_N2 in point_IN2)
        return Splits(train=train, validation=validation, test=test)

    def draw_probe(self) -> torch.Tensor:
        """Draw 256 fixed points, 128 of each spiral."""
        rng = np.random.default_rng((_STREAM, 1))
        return _split(rng, _points(self, rng, NUM_PROBES // _MEMBERS)).inputs


def _points(task: Spirals, rng: np.random.Generator, num: int) -> np.ndarray:
    """Return `[N, 2]` points of the first spiral, no two alike."""

    def draw(size: int) -> np.ndarray:
        along_N = rng.random(size)
        angle_N, radius_N = 2 * pi * task.turns * along_N, 2 * along_N
        point_N2 = radius_N[:, None] * np.stack([np.cos(angle_N), np.sin(angle_N)], axis=1)
        return (point_N2 + task.sigma * rng.standard_normal(point_N2.shape)).astype(np.float32)

    return distinct(task, draw, num, 2)


def _split(rng: np.random.Generator, point_N2: np.ndarray) -> Split:
    """Return the points and their mirror images in random order."""
    point_NM2 = np.stack([point_N2, -point_N2], axis=1)
    point_B2, target_B = shuffled(rng, point_NM2, np.tile(np.arange(_MEMBERS), (len(point_N2), 1)))
    return Split(inputs=torch.from_numpy(point_B2[:, None]), targets=torch.from_numpy(target_B))
