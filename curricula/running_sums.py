"""Streams of many lengths, labelled at each step by their sum modulo m; leaves how they are sent to tasks.

A family is a stream with each of the m symbols in its first place: behind it the members hold the same
symbols, and each label once. Axes: N families, M members, B examples, T time, L lengths.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch

from curricula.distinct import distinct
from curricula.families import num_families, shuffled
from curricula.heads import IGNORED
from curricula.task import NUM_PROBES, Split, Splits, Task, TaskError

#: Families of one length are numbered by 64 bits.
_MAX_FAMILIES = 1 << 62

#: Symbols `[B, T]`, of which `modulus` stands for what lies beyond a stream's end, and their labels.
_Examples = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSum(Task):
    """What is the sum of the symbols up to this step, modulo m, on streams longer than in training?

    Attributes:
        shortest: least steps of a training stream.
        longest: most steps of a training stream, and T of training and validation.
        test_length: T of test streams.
    """

    #: Keeps a subclass's random streams apart from every other task's.
    stream: ClassVar[int]

    shortest: int = 3
    longest: int = 20
    test_length: int = 60

    head = "step_cross_entropy"
    needs = frozenset({"past", "present"})
    solved = 0.90

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        lengths = (self.shortest, self.longest, self.test_length)
        if self.modulus < 2:
            raise TaskError(f"{self.name}: modulus = {self.modulus}; expected at least 2")
        if not 2 <= self.shortest <= self.longest < self.test_length:
            raise TaskError(
                f"{self.name}: shortest, longest, test_length = {lengths}; expected 2 or more, ascending"
            )
        if self.modulus ** (self.longest - 1) > _MAX_FAMILIES:
            raise TaskError(
                f"{self.name}: longest = {self.longest}; expected fewer steps, or a lower modulus"
            )
        num_families(self, self.sizes, self.modulus)
        self._quotas(self.sizes[:2])
        self._quotas([self._probe_size])

    @property
    @abstractmethod
    def modulus(self) -> int:
        """The m of the sums; symbols are 0 to m - 1."""

    @abstractmethod
    def sent(self, symbol_BT: np.ndarray) -> torch.Tensor:
        """Return the inputs that stand for symbols, of which `modulus` is what lies beyond a stream's end."""

    def draw(self, seed: int) -> Splits:
        """Draw the three splits of `seed`; no two streams are equal."""
        rng = np.random.default_rng((self.stream, 0, seed))
        train, validation = self._training(rng, self.sizes[:2])
        test = self._test(rng)
        return Splits(train=self._split(*train), validation=self._split(*validation), test=self._split(*test))

    def draw_probe(self) -> torch.Tensor:
        """Draw 256 fixed streams like those of training."""
        rng = np.random.default_rng((self.stream, 1))
        ((symbol_BT, _),) = self._training(rng, [self._probe_size])
        return self.sent(symbol_BT[:NUM_PROBES])

    def _split(self, symbol_BT: np.ndarray, label_BT: np.ndarray) -> Split:
        return Split(inputs=self.sent(symbol_BT), targets=torch.from_numpy(label_BT))

    def _training(self, rng: np.random.Generator, sizes: Sequence[int]) -> list[_Examples]:
        """Return splits of those sizes in padded streams of every length, as even as there are streams."""
        parts: list[list[_Examples]] = [[] for _ in sizes]
        quota_IL = self._quotas(sizes)
        for length, quota_I in zip(range(self.shortest, self.longest + 1), quota_IL.T, strict=True):
            rank_N = rng.choice(self.modulus ** (length - 1), size=quota_I.sum(), replace=False)
            tail_NT = rank_N[:, None] // self.modulus ** np.arange(length - 1) % self.modulus
            for part, own_NT in zip(parts, np.split(tail_NT, np.cumsum(quota_I)[:-1]), strict=True):
                part.append(self._padded(own_NT))
        joined = [[np.concatenate(arrays) for arrays in zip(*part, strict=True)] for part in parts]
        return [shuffled(rng, symbol_NMT, label_NMT) for symbol_NMT, label_NMT in joined]

    def _test(self, rng: np.random.Generator) -> _Examples:
        """Return the test split: labels count from the step on that no training stream reaches."""
        (num,) = num_families(self, [self.num_test], self.modulus)
        width = self.test_length - 1
        tail_NT = distinct(self, lambda n: rng.integers(self.modulus, size=(n, width)), num, width)
        symbol_NMT, label_NMT = self._labelled(tail_NT)
        label_NMT[..., : self.longest] = IGNORED
        return shuffled(rng, symbol_NMT, label_NMT)

    @property
    def _probe_size(self) -> int:
        """The probes, rounded up to whole families."""
        return -(-NUM_PROBES // self.modulus) * self.modulus

    def _labelled(self, tail_NT: np.ndarray) -> _Examples:
        """Return families `[N, M, T]` from all but their first symbols, with the sums."""
        first_M = np.arange(self.modulus)
        shape = (len(tail_NT), self.modulus)
        symbol_NMT = np.concatenate(
            [
                np.broadcast_to(first_M[:, None], (*shape, 1)),
                np.broadcast_to(tail_NT[:, None], (*shape, tail_NT.shape[1])),
            ],
            axis=2,
        )
        return symbol_NMT, symbol_NMT.cumsum(axis=2) % self.modulus

    def _padded(self, tail_NT: np.ndarray) -> _Examples:
        """Return families that are `longest` steps wide; nothing counts beyond their end."""
        symbol_NMT, label_NMT = self._labelled(tail_NT)
        beyond = ((0, 0), (0, 0), (0, self.longest - symbol_NMT.shape[2]))
        return (
            np.pad(symbol_NMT, beyond, constant_values=self.modulus),
            np.pad(label_NMT, beyond, constant_values=IGNORED),
        )

    def _quotas(self, sizes: Sequence[int]) -> np.ndarray:
        """Return `[splits, L]`: how many families of each length each split gets."""
        num_I = num_families(self, sizes, self.modulus)
        quotas = [_evenly(self.modulus, self.shortest, self.longest, num, sum(num_I)) for num in num_I]
        if any(quota_L is None for quota_L in quotas):
            raise TaskError(
                f"{self.name}: fewer than {sum(sizes)} different streams of {self.shortest} to "
                f"{self.longest} steps exist; ask for fewer or longer ones"
            )
        return np.array(quotas)


@lru_cache(maxsize=64)
def _evenly(modulus: int, shortest: int, longest: int, num: int, num_all: int) -> np.ndarray | None:
    """Return `[L]`: `num` families spread over the lengths, each within a split's share of those there are.

    The share is `num / num_all` of a length's families. None where there are too few.
    """
    exist_L = np.array([modulus ** (length - 1) for length in range(shortest, longest + 1)], dtype=object)
    room_L = np.minimum(exist_L * num // num_all, num).astype(np.int64)
    if room_L.sum() < num:
        return None
    quota_L = np.zeros_like(room_L)
    for _ in range(num):
        quota_L[np.argmin(np.where(quota_L < room_L, quota_L, num))] += 1
    return quota_L
