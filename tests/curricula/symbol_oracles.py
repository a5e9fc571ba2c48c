"""What the tasks of symbols should answer, worked out apart from how they are drawn."""

from collections.abc import Callable
from functools import wraps
from itertools import pairwise

import numpy as np
import torch

from curricula.dyck import Dyck
from curricula.heads import IGNORED
from curricula.induction import Induction
from curricula.markov import Markov
from curricula.memorisation import Memorisation
from curricula.recall import Recall
from curricula.selective_copy import SelectiveCopy

Answer = Callable[..., torch.Tensor]


def by_stream(labels_of: Callable[..., list[int]]) -> Answer:
    """Return the oracle that answers `[B, T]` inputs by a rule for one stream."""

    @wraps(labels_of)
    def answer(task, seed: int, inputs: torch.Tensor) -> torch.Tensor:
        return torch.tensor([labels_of(task, stream) for stream in inputs.tolist()])

    return answer


def markov(task: Markov, seed: int, inputs: torch.Tensor) -> torch.Tensor:
    """Return the logarithms of the chain's probabilities; of the first steps those that all states share."""
    table_SV = torch.from_numpy(task.table(seed)).float()
    logits_BTV = table_SV.mean(0).log().repeat(*inputs.shape, 1)
    state_BT = torch.zeros_like(inputs[:, task.order - 1 :])
    for back in range(task.order):
        state_BT += inputs[:, task.order - 1 - back : inputs.shape[1] - back] * task.num_symbols**back
    logits_BTV[:, task.order - 1 :] = table_SV[state_BT].log()
    return logits_BTV


def memorisation(task: Memorisation, seed: int, inputs: torch.Tensor) -> torch.Tensor:
    value_of = dict(np.ndenumerate(task.facts(seed)))
    return torch.tensor(
        [[IGNORED, *(value_of[pair] for pair in pairwise(stream))] for stream in inputs.tolist()]
    )


@by_stream
def recall(task: Recall, stream: list[int]) -> list[int]:
    num_keys, opening = task.num_symbols // 2, 2 * task.num_pairs
    value_of = dict(zip(stream[:opening:2], stream[1:opening:2], strict=True))
    rest = [value_of[key] - num_keys if key in value_of else IGNORED for key in stream[opening:]]
    return [IGNORED] * opening + rest


@by_stream
def selective_copy(task: SelectiveCopy, stream: list[int]) -> list[int]:
    items = iter([symbol for symbol in stream if symbol < task.num_symbols])
    return [next(items, IGNORED) if symbol == task.num_symbols + 1 else IGNORED for symbol in stream]


@by_stream
def induction(task: Induction, stream: list[int]) -> list[int]:
    labels = []
    for t, symbol in enumerate(stream):
        earlier = [s for s in range(t) if stream[s] == symbol >= task.num_symbols]
        labels.append(stream[earlier[-1] + 1] if earlier else IGNORED)
    return labels


@by_stream
def dyck(task: Dyck, stream: list[int]) -> list[int]:
    """Answer by a stack; behind a bracket that may not stand there nothing is asked any more."""
    labels, stack = [], []
    for symbol in stream:
        if symbol < task.num_kinds:
            stack.append(symbol)
            labels.append(IGNORED)
        elif stack and stack.pop() == symbol - task.num_kinds:
            labels.append(stack[-1] if len(set(stack)) > 1 else IGNORED)
        else:
            break
    return labels + [IGNORED] * (len(stream) - len(labels))
