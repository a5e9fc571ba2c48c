"""Does a pattern occur in a noisy binary stream? Leaves counting and numbering of streams to `streams.py`."""

from dataclasses import dataclass
from functools import lru_cache
from math import comb

import numpy as np
import torch

from curricula.streams import MAX_LENGTH, num_streams, unrank
from curricula.task import NUM_PROBES, Split, Splits, Task, TaskError

#: Keeps this task's random streams apart from every other task's.
_STREAM = 0x54454D


@dataclass(frozen=True, slots=True, kw_only=True)
class Temporal(Task):
    """Does `pattern` occur in a stream of bits, sent as ±1 under noise?

    Labels are balanced and *count-matched*: in every split, and at each number of ones, there are exactly as
    many streams with the pattern as without. Both labels then have the same distribution of the multiset of
    inputs, which is all that a memoryless module under a mean over time can see: it is provably at chance.
    Streams differ from one another within and between the splits; the test streams are longer than any
    trained on.

    What remains open to a shortcut: streams with the pattern change sign more often. Counting transitions and
    nothing else scores 0.79 on streams of 16 and 0.82 on streams of 24, transitions and ones together 0.84.
    So a score below 0.85 does not show that the pattern was found, and the solved threshold lies above.

    Example, `sigma=0` and streams of 8 for short (ones: 4 and 4)::

        inputs  + + - - - + + -    target  0    # 1 1 0 0 0 1 1 0, nowhere 1 0 1
        inputs  - + - + + - + -    target  1    # 0 1 0 1 1 0 1 0, twice

    Attributes:
        pattern: the bits to find.
        sigma: standard deviation of the noise on every step.
        train_length: T of train and validation streams, and of the probe set.
        test_length: T of test streams.
    """

    name: str = "temporal"
    num_train: int = 128
    num_validation: int = 256
    num_test: int = 512
    batch_size: int = 32
    epochs: int = 50
    pattern: tuple[int, ...] = (1, 0, 1)
    sigma: float = 0.3
    train_length: int = 16
    test_length: int = 24

    solved = 0.90
    needs = frozenset({"past", "order"})

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        if not self.pattern or set(self.pattern) - {0, 1}:
            raise TaskError(f"{self.name}: pattern = {self.pattern}; expected at least one bit, each 0 or 1")
        if self.sigma < 0:
            raise TaskError(f"{self.name}: sigma = {self.sigma}; expected at least 0")
        for length, sizes in self._sizes_by_length().items():
            if not len(self.pattern) < length <= MAX_LENGTH:
                raise TaskError(
                    f"{self.name}: streams of {length}; expected {len(self.pattern) + 1} to {MAX_LENGTH}"
                )
            quota_K = np.sum([_quotas(self.pattern, length, size // 2) for size in sizes], axis=0)
            if (quota_K > num_streams(self.pattern, length)).any():
                raise TaskError(
                    f"{self.name}: fewer than {sum(sizes)} different count-matched streams of {length} "
                    "exist; ask for fewer or longer ones"
                )

    @property
    def input_width(self) -> int:
        """One number a step."""
        return 1

    def draw(self, seed: int) -> Splits:
        """Draw the three splits of `seed`; no two streams are equal."""
        rng = np.random.default_rng((_STREAM, 0, seed))
        train, validation, test = (
            split
            for length, sizes in self._sizes_by_length().items()
            for split in _examples(self, rng, length, sizes)
        )
        return Splits(train=train, validation=validation, test=test)

    def draw_probe(self) -> torch.Tensor:
        """Draw 256 fixed streams of the training length, half of them with the pattern."""
        (split,) = _examples(self, np.random.default_rng((_STREAM, 1)), self.train_length, (NUM_PROBES,))
        return split.inputs

    def _sizes_by_length(self) -> dict[int, tuple[int, ...]]:
        """Return the sizes of the splits that share a length, in the order train, validation, test."""
        sizes = (self.num_train, self.num_validation)
        if self.train_length == self.test_length:
            return {self.train_length: (*sizes, self.num_test)}
        return {self.train_length: sizes, self.test_length: (self.num_test,)}


def _examples(task: Temporal, rng: np.random.Generator, length: int, sizes: tuple[int, ...]) -> list[Split]:
    """Draw splits of those sizes from streams of one length, no stream twice."""
    available = num_streams(task.pattern, length)
    quotas = [_quotas(task.pattern, length, size // 2) for size in sizes]
    parts: list[list[np.ndarray]] = [[] for _ in sizes]
    targets: list[list[np.ndarray]] = [[] for _ in sizes]
    for num_ones in range(length + 1):
        wanted = [int(quota_K[num_ones]) for quota_K in quotas]
        for label in (0, 1) if sum(wanted) else ():
            rank_B = rng.choice(available[label, num_ones], size=sum(wanted), replace=False)
            streams_BT = unrank(task.pattern, length, label, num_ones, rank_B)
            for i, part_BT in enumerate(np.split(streams_BT, np.cumsum(wanted)[:-1])):
                parts[i].append(part_BT)
                targets[i].append(np.full(len(part_BT), label))
    return [
        _noisy(task, rng, np.concatenate(part), np.concatenate(target))
        for part, target in zip(parts, targets, strict=True)
    ]


def _noisy(task: Temporal, rng: np.random.Generator, bits_BT: np.ndarray, target_B: np.ndarray) -> Split:
    """Shuffle clean streams and send them as ±1 under noise."""
    order_B = rng.permutation(len(bits_BT))
    x_BT = 2 * bits_BT[order_B] - 1 + task.sigma * rng.standard_normal(bits_BT.shape)
    return Split(
        inputs=torch.from_numpy(x_BT[:, :, None].astype(np.float32)),
        targets=torch.from_numpy(target_B[order_B]),
    )


@lru_cache(maxsize=64)
def _quotas(pattern: tuple[int, ...], length: int, num_per_label: int) -> np.ndarray:
    """Return `[K]`: streams of each label with k ones, as close to a fair coin's as both labels allow.

    Shares are binomial over the numbers of ones that both labels can have, rounded by largest remainder.
    """
    both_K = (num_streams(pattern, length) > 0).all(axis=0)
    weight_K = np.array([comb(length, k) for k in range(length + 1)], dtype=np.float64) * both_K
    share_K = num_per_label * weight_K / weight_K.sum()
    quota_K = np.floor(share_K).astype(np.int64)
    largest = np.argsort(quota_K - share_K, kind="stable")[: num_per_label - quota_K.sum()]
    quota_K[largest] += 1
    return quota_K
