"""How much better than its generation a program did; keeps nothing between generations.

Every call sees the rewards of one generation, which is judged on one stage of the curriculum, and takes its
baseline and scale from them alone: a change of stage shifts all rewards together and so moves no advantage.

Leaving each program out of its own baseline would only multiply all advantages by N / (N - 1): with this
scale it is no different choice, hence no option.
"""

import torch
from jaxtyping import Float
from torch import Tensor

#: Reward of a program that is no blueprint.
INVALID_REWARD = -1.0
#: The scale is never smaller, so that the noise among near-equal rewards is not amplified.
MIN_SCALE = 0.1
#: How many spreads of the valid rewards an invalid program lies beneath their mean.
INVALID_SPREADS = 3.0


def advantages(rewards: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Return (reward - baseline) / scale; their sum is 0, and equal rewards give exactly 0.

    The baseline is the generation's mean and the scale its standard deviation, at least `MIN_SCALE`, both
    after `lifted`.
    """
    rewards = lifted(rewards.double())
    if len(rewards) == 0 or bool((rewards == rewards[0]).all()):
        return torch.zeros_like(rewards, dtype=torch.float32)
    scale = max(float(rewards.std(correction=0)), MIN_SCALE)
    return ((rewards - rewards.mean()) / scale).float()


def lifted(rewards: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Return the rewards with the invalid ones lifted to the lower edge of the valid ones.

    Valid rewards lie some tenths apart, an invalid one more than a whole unit beneath. A few of them would
    double the scale, and the differences among valid programs, which are what is to be learned once most are
    valid, would count for half. So an invalid reward becomes the mean of the valid less three of their
    standard deviations (each at least `MIN_SCALE`), or the worst valid reward where that is lower: still the
    worst thing to do, but no outlier. It is never lowered, and without any valid program nothing is lifted.
    """
    invalid = rewards <= INVALID_REWARD
    valid = rewards[~invalid]
    if len(valid) == 0:
        return rewards
    spread = max(float(valid.std(correction=0)), MIN_SCALE)
    edge = min(float(valid.mean()) - INVALID_SPREADS * spread, float(valid.min()))
    return torch.where(invalid, max(edge, INVALID_REWARD), rewards)
