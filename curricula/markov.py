"""The next symbol of a random Markov chain of order two; leaves exact questions to the other tasks."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from curricula.distinct import deal, distinct
from curricula.task import NUM_PROBES, Split, Splits, Task, TaskError

#: Keeps this task's random streams apart from every other task's.
_STREAM = 0x4D4152
#: Largest table of next-symbol probabilities, in numbers.
MAX_TABLE = 1 << 22
#: What share of what there is to know solves the task, and over how many tables that is a mean.
_SOLVED_SHARE, _NUM_TABLES = 0.7, 16
#: Where the distribution of the chain's states is taken to stand still, and the rounds until it must.
_TOLERANCE = 1e-12
_MAX_ROUNDS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Markov(Task):
    """What comes next in a stream whose every symbol depends on the `order` symbols before it?

    Each seed has a table of its own: for every sequence of `order` symbols a distribution of the next one,
    the softmax of `sharpness` times standard normal numbers (a random Markov language, as Shannon 1948 wrote
    English by tables of letter pairs). Streams start in the chain's stationary distribution, so that every
    step is like every other, and the label at every step is the symbol after it. Training, validation and
    test streams come from one table, and none is met twice. (One met before is drawn again, which shifts what
    is seen where some streams are likely: five of the first 16 seeds draw more than 1 % again, at most 21 %.)

    The score is the explained share of the labels' entropy, and no blueprint can score 1, since the chain is
    random. `explained(seed, memory)` tells what knowing the last `memory` symbols is worth: with one, all
    that a memoryless blueprint can know, a mean of 0.14 over the first 16 seeds; with `order`, all that there
    is to know, 0.57; at a sharpness of 2, 0.07 and 0.40. The task is solved at seven tenths of the latter.

    Example, `num_symbols=12, length=20` (the first steps of row 0 of `splits(0).train`)::

        inputs  5 7 6 10 10 11 2 7
        target  7 6 10 10 11 2 7 10    # 7 has 6 after it behind 5, and 10 behind 2

    Attributes:
        num_symbols: V, symbols of the language.
        order: symbols on which the next one depends.
        length: T of all streams.
        sharpness: standard deviation of the table's logits; 0 makes the next symbol a fair draw.
    """

    name: str = "markov"
    num_train: int = 1024
    num_validation: int = 256
    num_test: int = 512
    batch_size: int = 64
    epochs: int = 10
    num_symbols: int = 12
    order: int = 2
    length: int = 20
    sharpness: float = 3.0

    head = "step_likelihood"
    input = "embedding"

    def __post_init__(self) -> None:
        Task.__post_init__(self)
        if self.num_symbols < 2 or self.order < 1 or self.length < 1 or self.sharpness < 0:
            raise TaskError(
                f"{self.name}: num_symbols = {self.num_symbols}, order = {self.order}, length = "
                f"{self.length}, sharpness = {self.sharpness}; expected at least 2, 1, 1 and 0"
            )
        if self.num_symbols ** (self.order + 1) > MAX_TABLE:
            raise TaskError(
                f"{self.name}: a table of {self.num_symbols} symbols and order {self.order} has more than "
                f"{MAX_TABLE} numbers; ask for fewer symbols or a lower order"
            )

    @property
    def input_width(self) -> int:
        """The symbols."""
        return self.num_symbols

    @property
    def output_width(self) -> int:
        """The symbols."""
        return self.num_symbols

    @property
    def solved(self) -> float:
        """Seven tenths of what there is to know, a mean over some tables."""
        return max(0.01, round(_SOLVED_SHARE * _typical(self)[0], 2))

    @property
    def solved_loss(self) -> float:
        """The loss of whoever just solves the task, on those tables."""
        return (1 - self.solved) * _typical(self)[1]

    def draw(self, seed: int) -> Splits:
        """Draw the three splits of `seed`, of one table; no two streams are equal."""
        rng = np.random.default_rng((_STREAM, 1, seed))
        chain = _chain(self, (_STREAM, 0, seed))
        return deal(self, _examples(self, rng, chain, sum(self.sizes)), self.length)

    def draw_probe(self) -> torch.Tensor:
        """Draw 256 fixed streams, of a table that no seed has."""
        chain = _chain(self, (_STREAM, 2))
        return _examples(self, np.random.default_rng((_STREAM, 3)), chain, NUM_PROBES).inputs

    def table(self, seed: int) -> np.ndarray:
        """Return `[V ** order, V]`: probabilities of the next symbol, after the last `order` of them.

        They are read as a number of that many digits, the latest last. Never write into it: it is cached.
        """
        return _chain(self, (_STREAM, 0, seed)).table

    def explained(self, seed: int, memory: int) -> float:
        """Return the share of the labels' entropy that the last `memory` symbols explain.

        It is exact, a mean over the steps of a stream; early steps have fewer symbols before them.
        """
        joint = _chain(self, (_STREAM, 0, seed)).joint
        nats_T = [_conditional_entropy(self, joint, min(memory, t + 1)) for t in range(self.length)]
        return 1.0 - float(np.mean(nats_T)) / _conditional_entropy(self, joint, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chain:
    """A table, and how often each state and next symbol are met. S states are the numbers of `order` symbols.

    Attributes:
        table: `[S, V]` probabilities of the next symbol.
        joint: `[S, V]` probabilities of a state and its next symbol.
    """

    table: np.ndarray
    joint: np.ndarray


@lru_cache(maxsize=64)
def _chain(task: Markov, key: tuple[int, ...]) -> _Chain:
    """Return the chain drawn from the random stream `key`."""
    num_states = task.num_symbols**task.order
    logits_SV = task.sharpness * np.random.default_rng(key).standard_normal((num_states, task.num_symbols))
    table_SV = np.exp(logits_SV - logits_SV.max(axis=1, keepdims=True))
    table_SV /= table_SV.sum(axis=1, keepdims=True)
    state_S = np.full(num_states, 1.0 / num_states)
    for _ in range(_MAX_ROUNDS):
        # The oldest symbol is forgotten: state and next symbol, without it, are the next state.
        next_S = (state_S[:, None] * table_SV).reshape(task.num_symbols, -1).sum(axis=0)
        moved, state_S = np.abs(next_S - state_S).sum(), next_S
        if moved < _TOLERANCE:
            break
    return _Chain(table=table_SV, joint=state_S[:, None] * table_SV)


@lru_cache(maxsize=64)
def _typical(task: Markov) -> tuple[float, float]:
    """Return the share to be explained and the entropy of the labels in nats, each a mean over tables."""
    joints = [_chain(task, (_STREAM, 0, seed)).joint for seed in range(_NUM_TABLES)]
    explained = [task.explained(seed, task.order) for seed in range(_NUM_TABLES)]
    return float(np.mean(explained)), float(np.mean([_conditional_entropy(task, j, 0) for j in joints]))


def _conditional_entropy(task: Markov, joint_SV: np.ndarray, memory: int) -> float:
    """Return the entropy of the next symbol, in nats, given the last `memory` symbols."""
    known = task.num_symbols ** min(memory, task.order)
    joint_KV = joint_SV.reshape(-1, known, task.num_symbols).sum(axis=0)
    with_next, alone = joint_KV[joint_KV > 0], joint_KV.sum(axis=1)
    return float((alone[alone > 0] * np.log(alone[alone > 0])).sum() - (with_next * np.log(with_next)).sum())


def _examples(task: Markov, rng: np.random.Generator, chain: _Chain, size: int) -> Split:
    """Draw `size` different streams, each with the symbol after every step."""
    rows = distinct(task, lambda num: _streams(task, rng, chain, num), size, task.length)
    stream_BT = torch.from_numpy(rows)
    return Split(inputs=stream_BT[:, :-1].clone(), targets=stream_BT[:, 1:].clone())


def _streams(task: Markov, rng: np.random.Generator, chain: _Chain, size: int) -> np.ndarray:
    """Return `[size, T + 1]` symbols. The first are those of a state, as far as a stream is that long."""
    num_states = len(chain.table)
    state_B = rng.choice(num_states, size=size, p=chain.joint.sum(axis=1))
    places = task.num_symbols ** np.arange(task.order - 1, -1, -1)
    symbol_BT = np.empty((size, task.order + task.length + 1), dtype=np.int64)
    symbol_BT[:, : task.order] = state_B[:, None] // places % task.num_symbols
    cumulated_SV = chain.table.cumsum(axis=1)
    for t in range(task.order, symbol_BT.shape[1]):
        below_BV = rng.random((size, 1)) >= cumulated_SV[state_B, :-1]
        symbol_BT[:, t] = below_BV.sum(axis=1)
        state_B = (state_B * task.num_symbols + symbol_BT[:, t]) % num_states
    return symbol_BT[:, : task.length + 1]
