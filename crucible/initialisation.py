"""Initial parameters of a blueprint in its host, as one flat vector; leaves its use to the engines.

Of a graft, the host's are those with which it was trained before; crucible/grafting.py has that training.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from crucible.grafting import trained_host
from crucible.program import Program

#: Parameters of the largest program whose draws are kept for others.
MOST_SHARED = 1 << 14


def initial_parameters(program: Program, seed: int) -> torch.Tensor:
    """Return the initial parameters `[P]` float32 of `program`, in the order of `Program.parameters`.

    The vector depends on the shapes and distributions of the program's parameters and on `seed` alone; the
    host of a graft on its task, too.
    """
    values_P = _drawn(program, seed)
    if program.graft is not None:
        host = trained_host(program.graft, seed, program.width)
        values_P[: len(host.input_map)] = host.input_map
        values_P[-len(host.readout) :] = host.readout
    return torch.from_numpy(values_P)


def _drawn(program: Program, seed: int) -> np.ndarray:
    parameters, num = program.parameters, program.num_parameters
    sizes = [parameter.size for parameter in parameters]
    bounds = np.array([p.bound if p.init == "uniform" else 0.0 for p in parameters], np.float32)
    starts = np.array([p.init == "ones" for p in parameters], np.float32)
    draws = _draws(seed, 1 << (num - 1).bit_length()) if num <= MOST_SHARED else _draw(seed, num)
    values_P = draws[:num] * np.repeat(bounds, sizes)
    values_P += np.repeat(starts, sizes)
    return values_P


def _draw(seed: int, num: int) -> np.ndarray:
    """Return `[num]` float32 from (-1, 1); the first of more draws are the same ones."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num, generator=generator).mul_(2).sub_(1).numpy()


#: Programs of one seed take theirs from the same draws.
_draws = lru_cache(maxsize=64)(_draw)


def split(program: Program, flat_P: torch.Tensor) -> Sequence[torch.Tensor]:
    """Return one view of `flat_P` a parameter, shaped as torch.nn stores it."""
    views = []
    offset = 0
    for parameter in program.parameters:
        views.append(flat_P[offset : offset + parameter.size].view(parameter.shape))
        offset += parameter.size
    assert offset == flat_P.numel(), "the vector belongs to another program"
    return views
