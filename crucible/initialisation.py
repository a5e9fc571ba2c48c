"""Initial parameters of a blueprint in its host, as one flat vector; leaves its use to the engines."""

from collections.abc import Sequence

import numpy as np
import torch

from crucible.program import Program


def initial_parameters(program: Program, seed: int) -> torch.Tensor:
    """Return the initial parameters `[P]` float32 of `program`, in the order of `Program.parameters`.

    The vector depends on the shapes and distributions of the program's parameters and on `seed` alone.
    """
    generator = torch.Generator().manual_seed(seed)
    flat_P = torch.rand(program.num_parameters, generator=generator).mul_(2).sub_(1)
    parameters = program.parameters
    sizes = [parameter.size for parameter in parameters]
    bounds = np.array([p.bound if p.init == "uniform" else 0.0 for p in parameters], np.float32)
    starts = np.array([p.init == "ones" for p in parameters], np.float32)
    values_P = flat_P.numpy()
    values_P *= np.repeat(bounds, sizes)
    values_P += np.repeat(starts, sizes)
    return flat_P


def split(program: Program, flat_P: torch.Tensor) -> Sequence[torch.Tensor]:
    """Return one view of `flat_P` a parameter, shaped as torch.nn stores it."""
    views = []
    offset = 0
    for parameter in program.parameters:
        views.append(flat_P[offset : offset + parameter.size].view(parameter.shape))
        offset += parameter.size
    assert offset == flat_P.numel(), "the vector belongs to another program"
    return views
