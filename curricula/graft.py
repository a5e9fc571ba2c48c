"""May a blueprint enter a network that lives? Leaves training its host, and the gate, to the Crucible."""

from dataclasses import dataclass

import numpy as np
import torch

from curricula.task import NUM_PROBES, Split, Splits, Task, TaskError

#: Keeps this task's random streams apart from every other task's.
_STREAM = 0x475246
#: What the old question asks of two inputs, at every step alone.
_SLOPES = np.array([1.0, -0.5])


@dataclass(frozen=True, slots=True, kw_only=True)
class Graft(Task):
    """What does a blueprint add to a host that is trained and frozen, and does the host keep what it knew?

    Inputs of a step are two numbers a and b, two signs u and v, and a context c. The old question (c = 0, and
    no signs) asks for a - b / 2, which the host answers as well as noise allows. The new one (c = 1) asks
    for the same and, on top of it, for the mean over `delays` k of the products u_t v_(t-k), scaled to
    variance 1. A product is the exclusive or of two signs, so the host with the identity, which is affine,
    gains nothing by it; a blueprint without memory gains the share of k = 0. Questions come through the same
    inputs and the same readout, half of the training examples each.

    Answers have noise of standard deviation `noise` in training and in the retention split, which asks the
    old question: an old answer's loss is then above 0, and a hundredth of it what a blueprint may spoil. The
    exams of the new question are without noise, so that a perfect answer is a gain of 1. Only steps that
    have all delays behind them count.

    Example, `noise=0, delays=(0, 1)` (step t of an example of the new question)::

        inputs   a = 0.30  b = -0.20  u = +1  v = -1  c = 1    # at the step before v = -1
        target   0.30 + 0.10 + (-1 - 1) / sqrt(2) = -1.01

    Attributes:
        noise: standard deviation of the noise on answers.
        delays: steps between the signs of each product.
        length: T of all streams.
    """

    name: str = "graft"
    num_train: int = 8192
    num_validation: int = 256
    num_test: int = 512
    batch_size: int = 64
    epochs: int = 4
    noise: float = 1.5
    delays: tuple[int, ...] = (0, 1, 4)
    length: int = 16

    head = "step_mse"
    output_width = 1
    needs = frozenset({"present"})
    is_graft = True
    solved = 0.70

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        if self.noise < 0:
            raise TaskError(f"{self.name}: noise = {self.noise}; expected at least 0")
        if not self.delays or min(self.delays) < 0 or len(set(self.delays)) < len(self.delays):
            raise TaskError(f"{self.name}: delays = {self.delays}; expected different ones, none negative")
        if self.length <= max(self.delays):
            raise TaskError(f"{self.name}: length = {self.length}; expected more than the longest delay")

    @property
    def input_width(self) -> int:
        """Two numbers, two signs and the context."""
        return 5

    @property
    def solved_loss(self) -> float:
        """What the noise leaves, and a twentieth more."""
        return 1.05 * self.noise**2

    def draw(self, seed: int) -> Splits:
        """Draw the four splits of `seed`; their numbers are continuous, so no two examples are equal."""
        rng = np.random.default_rng((_STREAM, 0, seed))
        return Splits(
            train=_examples(self, rng, self.num_train, (0, 1), self.noise),
            validation=_examples(self, rng, self.num_validation, (1,), 0.0),
            test=_examples(self, rng, self.num_test, (1,), 0.0),
            retention=_examples(self, rng, self.num_test, (0,), self.noise),
        )

    def draw_probe(self) -> torch.Tensor:
        """Draw 256 fixed streams, half of either question."""
        return _examples(self, np.random.default_rng((_STREAM, 1)), NUM_PROBES, (0, 1), 0.0).inputs


def _examples(
    task: Graft, rng: np.random.Generator, size: int, contexts: tuple[int, ...], noise: float
) -> Split:
    """Draw `size` streams, equally often in every context, in random order."""
    shape = (size, task.length)
    context_B1 = rng.permutation(np.resize(contexts, size))[:, None]
    numbers_BT2 = rng.standard_normal((*shape, 2))
    signs_BT2 = rng.choice((-1.0, 1.0), size=(*shape, 2)) * context_B1[..., None]
    first, second = signs_BT2[..., 0], signs_BT2[..., 1]
    products_BT = sum(first * np.roll(second, delay, axis=1) for delay in task.delays)
    targets_BT = numbers_BT2 @ _SLOPES + products_BT / np.sqrt(len(task.delays))
    targets_BT = targets_BT + noise * rng.standard_normal(shape)
    targets_BT[:, : max(task.delays)] = np.nan
    context_BT1 = np.broadcast_to(context_B1, shape)[..., None]
    inputs_BTF = np.concatenate([numbers_BT2, signs_BT2, context_BT1], axis=2)
    return Split(
        inputs=torch.from_numpy(inputs_BTF.astype(np.float32)),
        targets=torch.from_numpy(targets_BT.astype(np.float32)[..., None]),
    )
