"""Counts, numbers and lists binary streams by length, ones and whether a pattern occurs; adds no noise.

A stream is read by the pattern's matching automaton: state s says that the last s bits are the pattern's
first s, and the last state, once reached, is kept. Counting the continuations of every state gives each
stream a rank among those of its kind, and a rank can be turned back into its stream: so any number of
*different* streams is drawn in one go.

Axes: B streams, T time, S states, K ones.
"""

from functools import lru_cache

import numpy as np

#: Longest stream whose counts fit 64 bits.
MAX_LENGTH = 60


def contains(bits_BT: np.ndarray, pattern: tuple[int, ...]) -> np.ndarray:
    """Return `[B]`, 1 where `pattern` occurs in a row of `bits_BT`."""
    windows = np.lib.stride_tricks.sliding_window_view(bits_BT, len(pattern), axis=1)
    return (windows == np.array(pattern)).all(axis=2).any(axis=1).astype(np.int64)


def num_streams(pattern: tuple[int, ...], length: int) -> np.ndarray:
    """Return `[2, K]`: how many streams of `length` have k ones and do not (row 0) or do (row 1) match."""
    return _counts(pattern, length)[:, length, 0]


def unrank(
    pattern: tuple[int, ...], length: int, label: int, num_ones: int, rank_B: np.ndarray
) -> np.ndarray:
    """Return the streams `[B, T]` of those ranks, in lexicographic order, among the streams of one kind.

    A kind is a label and a number of ones; it has `num_streams(pattern, length)[label, num_ones]` streams.
    """
    next_S2 = _automaton(pattern)
    counts = _counts(pattern, length)[label]
    rank_B = rank_B.copy()
    state_B = np.zeros_like(rank_B)
    ones_B = np.full_like(rank_B, num_ones)
    bits_BT = np.empty((len(rank_B), length), dtype=np.int64)
    for step in range(length):
        with_zero_B = counts[length - step - 1, next_S2[state_B, 0], ones_B]
        bit_B = (rank_B >= with_zero_B).astype(np.int64)
        rank_B -= bit_B * with_zero_B
        ones_B -= bit_B
        state_B = next_S2[state_B, bit_B]
        bits_BT[:, step] = bit_B
    return bits_BT


@lru_cache(maxsize=16)
def _automaton(pattern: tuple[int, ...]) -> np.ndarray:
    """Return `[S, 2]`: the state after reading a bit in a state."""
    size = len(pattern)
    table = np.full((size + 1, 2), size, dtype=np.int64)
    for state in range(size):
        for bit in (0, 1):
            read = (*pattern[:state], bit)
            table[state, bit] = max(s for s in range(state + 2) if read[len(read) - s :] == pattern[:s])
    return table


@lru_cache(maxsize=16)
def _counts(pattern: tuple[int, ...], length: int) -> np.ndarray:
    """Return `[2, T + 1, S, K]`: continuations of t bits with k ones from a state that end (un)matched."""
    next_S2 = _automaton(pattern)
    counts = np.zeros((2, length + 1, len(pattern) + 1, length + 1), dtype=np.int64)
    counts[0, 0, :-1, 0] = 1
    counts[1, 0, -1, 0] = 1
    for steps in range(1, length + 1):
        counts[:, steps] = counts[:, steps - 1][:, next_S2[:, 0]]
        counts[:, steps, :, 1:] += counts[:, steps - 1][:, next_S2[:, 1], :-1]
    return counts
