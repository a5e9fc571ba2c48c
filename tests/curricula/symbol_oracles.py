"""What the tasks of symbols should answer, worked out apart from how they are drawn."""

import torch

from curricula.markov import Markov


def markov(task: Markov, seed: int, inputs: torch.Tensor) -> torch.Tensor:
    """Return the logarithms of the chain's probabilities; of the first steps those that all states share."""
    table_SV = torch.from_numpy(task.table(seed)).float()
    logits_BTV = table_SV.mean(0).log().repeat(*inputs.shape, 1)
    state_BT = torch.zeros_like(inputs[:, task.order - 1 :])
    for back in range(task.order):
        state_BT += inputs[:, task.order - 1 - back : inputs.shape[1] - back] * task.num_symbols**back
    logits_BTV[:, task.order - 1 :] = table_SV[state_BT].log()
    return logits_BTV
