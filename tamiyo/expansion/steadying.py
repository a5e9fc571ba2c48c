"""Finds how a block must be run not to overflow in single precision; most need nothing. Writes no files."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch

from blueprints.compiler import compile_blueprint
from blueprints.graph import Graph
from blueprints.language import LANGUAGE, Language

#: Factors of a block's input, tried in this order.
FACTORS = (1.0, 2**-3, 2**-6)
#: Steps that it sees at a time.
STRETCHES = (16, 4, 1)
#: Largest value and gradient that count as bounded: far from the end of single precision, 3e38, since four
#: layers follow each other and training makes weights larger.
BOUND = 1e8
NUM_SEEDS, NUM_EXAMPLES = 2, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Steadiness:
    """How a block is run: the factor of its input, and the steps that it sees at a time."""

    factor: float
    stretch: int


@lru_cache(maxsize=64)
def steadiness(graph: Graph, width: int, length: int, language: Language = LANGUAGE) -> Steadiness:
    """Return the mildest way to run a block on which values and gradients stay bounded, or the last of all.

    Args:
        graph: of the block.
        width: D.
        length: most steps.
        language: of the graph.
    """
    *tried, last = _ways(length)
    return next((way for way in tried if _is_bounded(graph, width, length, way, language)), last)


def _ways(length: int) -> Iterator[Steadiness]:
    for stretch in (length, *(stretch for stretch in STRETCHES if stretch < length)):
        for factor in FACTORS:
            yield Steadiness(factor=factor, stretch=stretch)


def _is_bounded(graph: Graph, width: int, length: int, way: Steadiness, language: Language) -> bool:
    for seed in range(NUM_SEEDS):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            block = compile_blueprint(graph, width, language)
            steps = torch.randn(2, NUM_EXAMPLES, way.stretch, width)
            steps[1] = steps[1, :, :1]  # the same at every step, so that a mean over them is no smaller
        steps = steps.flatten(0, 1)
        given = (way.factor * steps).requires_grad_()
        output = block(given)
        gradients = torch.autograd.grad(output.sum(), (given, *block.parameters()), allow_unused=True)
        values = (output.detach(), *(gradient for gradient in gradients if gradient is not None))
        if not all(bool((value.abs() <= BOUND).all()) for value in values):
            return False
    return True
