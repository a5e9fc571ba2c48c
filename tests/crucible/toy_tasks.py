"""Small tasks for every head and input, which ask what happened a step ago; and one that is spoilt."""

from dataclasses import dataclass, replace

import torch

from curricula.heads import HEADS, IGNORED, HeadName, InputKind
from curricula.task import NUM_PROBES, Split, Splits, Task
from curricula.xor import Xor


@dataclass(frozen=True, slots=True, kw_only=True)
class Toy(Task):
    """Labels and numbers that stand for the step before; the first step has none and does not count.

    A pooled head is asked about the step before the last. One in five of the other steps does not count.
    """

    name: str = "toy"
    num_train: int = 64
    num_validation: int = 48
    num_test: int = 144
    batch_size: int = 16
    epochs: int = 2
    asks: HeadName = "step_cross_entropy"
    takes: InputKind = "embedding"
    symbols: int = 12
    length: int = 7
    test_length: int = 9

    @property
    def head(self) -> HeadName:
        """As the knob says."""
        return self.asks

    @property
    def input(self) -> InputKind:
        """As the knob says."""
        return self.takes

    @property
    def input_width(self) -> int:
        """Symbols, or two numbers a step."""
        return self.symbols if self.takes == "embedding" else 2

    @property
    def output_width(self) -> int:
        """Four classes, or two numbers."""
        return 2 if HEADS[self.asks].loss == "mse" else 4

    def draw(self, seed: int) -> Splits:
        """Draw random streams, longer at test."""
        generator = torch.Generator().manual_seed(seed)
        train = _examples(self, generator, self.num_train, self.length)
        validation = _examples(self, generator, self.num_validation, self.length)
        test = _examples(self, generator, self.num_test, self.test_length)
        return Splits(train=train, validation=validation, test=test)

    def draw_probe(self) -> torch.Tensor:
        """Draw fixed streams."""
        return _examples(self, torch.Generator().manual_seed(99), NUM_PROBES, self.length).inputs


def _examples(task: Toy, generator: torch.Generator, size: int, length: int) -> Split:
    numbers_BT2 = torch.rand(size, length, 2, generator=generator) * 2 - 1
    inputs = numbers_BT2
    if task.takes == "embedding":
        inputs = torch.randint(task.symbols, (size, length), generator=generator)
        numbers_BT2 = torch.stack([inputs % 2, inputs % 3], 2).float() - 0.5
    before_BT2 = numbers_BT2.roll(1, dims=1)
    labels_BT = (before_BT2[..., 0] > 0).long() + 2 * (before_BT2[..., 1] > 0).long()
    head = HEADS[task.head]
    targets = before_BT2 if head.loss == "mse" else labels_BT
    if not head.is_per_step:
        return Split(inputs=inputs, targets=targets[:, -1].clone())
    counts_BT = torch.rand(size, length, generator=generator) > 0.2
    counts_BT[:, 0] = False
    targets = targets.clone()
    targets[~counts_BT] = float("nan") if head.loss == "mse" else IGNORED
    return Split(inputs=inputs, targets=targets)


#: A task for every head and input.
TOYS = {
    f"{head}-{kind}": Toy(name=f"toy_{head}_{kind}", asks=head, takes=kind)
    for head in HEADS
    for kind in ("linear", "embedding")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GraftToy(Toy):
    """A toy for a host that is trained before; the old question is the same as the new one."""

    is_graft = True

    def draw(self, seed: int) -> Splits:
        """Draw the toy's splits, and the test split of another seed."""
        return replace(Toy.draw(self, seed), retention=Toy.draw(self, seed + 1).test)


#: A graft for every head that may have one, and every input.
GRAFT_TOYS = {
    f"{head}-{kind}": GraftToy(name=f"graft_{head}_{kind}", asks=head, takes=kind)
    for head in HEADS
    if HEADS[head].loss == "mse"
    for kind in ("linear", "embedding")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoiltSeed(Xor):
    """Xor whose training inputs of seed 1 hold an undefined value."""

    def draw(self, seed: int) -> Splits:
        """Draw Xor's, one of them spoilt."""
        splits = super(SpoiltSeed, self).draw(seed)
        if seed != 1:
            return splits
        inputs = splits.train.inputs.clone()
        inputs[3] = float("nan")
        return replace(splits, train=Split(inputs=inputs, targets=splits.train.targets))
