"""Whether a block keeps what it makes of its input within bounds, measured on the compiled blueprint."""

from functools import lru_cache

import torch
import torch.nn.functional as F

from blueprints.compiler import compile_blueprint
from blueprints.graph import Graph
from blueprints.language import LANGUAGE, Language

#: Largest root mean square that a tame block gives of normalised input; most random ones stay below 1.
LARGEST = 2.0
#: Inputs are also tried at this scale, as learned gains of a norm may bring it.
STRESS = 3.0
_WIDTH, _BATCH, _SEEDS = 64, 4, (0, 1)


@lru_cache(maxsize=1024)
def is_tame(graph: Graph, length: int, language: Language = LANGUAGE) -> bool:
    """Say whether fresh weights give finite gradients and outputs of a moderate size.

    Loops of products and states that add to themselves can grow beyond any bound: with the depth of the loop,
    or with the number of steps. Tried are sequences of one step and of `length` steps.
    """
    return all(
        _holds(graph, steps, scale, seed, language)
        for seed in _SEEDS
        for steps in sorted({1, 2, length})
        for scale in (1.0, STRESS)
    )


def _holds(graph: Graph, steps: int, scale: float, seed: int, language: Language) -> bool:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = compile_blueprint(graph, _WIDTH, language)
        noise = torch.randn(_BATCH, steps, _WIDTH)
    inputs = (scale * F.layer_norm(noise, (_WIDTH,))).requires_grad_()
    output = module(inputs)
    size = output.square().mean().sqrt()
    if scale == 1.0 and not size <= LARGEST:
        return False
    if not output.requires_grad:
        return bool(output.isfinite().all())
    output.sum().backward()
    gradients = [tensor.grad for tensor in (inputs, *module.parameters()) if tensor.grad is not None]
    return all(bool(tensor.isfinite().all()) for tensor in (output, *gradients))
