"""How near an engine's sums and trainings must be to the truth, and programs with which to ask; no tests.

The truth is the reference in float64: it differentiates the compiled module by autograd, and the compiled
module equals the reference interpreter (tests/blueprints). By transitivity an engine that agrees trains what
the language says.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from blueprints import LANGUAGE, Blueprint
from crucible import TaskResult
from crucible.engines.base import Engine
from crucible.engines.reference import ReferenceEngine
from crucible.initialisation import initial_parameters
from crucible.program import Program, build_program
from curricula.task import Task

#: A program for every op, with every kind of input that it takes.
OP_PROGRAMS = {
    "LINEAR": "LINEAR OUT_DIM_QUAD LINEAR OUT_DIM_QUARTER RELU LINEAR OUT_DIM_IN",
    "CONV1D": "CONV1D KERNEL_3 CHANNELS_HALF TANH CONV1D KERNEL_5 CHANNELS_IN DILATION_4",
    "DWCONV1D": "DWCONV1D KERNEL_3 DILATION_8 GELU DWCONV1D KERNEL_7",
    "GRU": "GRU TANH GRU",
    "POOL_MEAN": "TANH POOL_MEAN LINEAR OUT_DIM_IN",
    "POOL_MAX": "RELU POOL_MAX LINEAR OUT_DIM_IN",
    "POOL_LAST": "TANH POOL_LAST LINEAR OUT_DIM_IN",
    "LAYERNORM": "LINEAR OUT_DIM_QUARTER LAYERNORM RELU LINEAR OUT_DIM_IN POOL_MAX LAYERNORM",
    "RELU": "LINEAR OUT_DIM_IN RELU",
    "GELU": "LINEAR OUT_DIM_IN GELU",
    "SILU": "LINEAR OUT_DIM_IN SILU",
    "TANH": "LINEAR OUT_DIM_IN TANH",
    "SIGMOID": "LINEAR OUT_DIM_IN SIGMOID",
    "ADD": "RES_START GELU RES_END BRANCH_START POOL_MAX BRANCH_SEP TANH MERGE_ADD",
    "LOOP": "LOOP_START REPEAT_3 RES_START LINEAR OUT_DIM_HALF TANH LINEAR OUT_DIM_IN RES_END LOOP_END TANH",
    "SCAN": "SCAN_START OUT_DIM_HALF CONCAT STATE_0 LINEAR OUT_DIM_HALF ADD STATE_1 SAVE STATE_1 TANH "
    "LOOP_START REPEAT_2 LINEAR OUT_DIM_HALF TANH LOOP_END SCAN_END LINEAR OUT_DIM_IN",
    "MUL": "GATE_START POOL_MEAN LINEAR OUT_DIM_IN GATE_END BRANCH_START RELU BRANCH_SEP TANH MERGE_MUL",
    "ATTENTION": "ATTENTION HEADS_2 ATTENTION HEADS_1 FULL TANH ATTENTION HEADS_4",
    "LSTM": "LSTM TANH LSTM",
    "DIAGONAL_SCAN": "DIAGONAL_SCAN GATE_UNIT DIAGONAL_SCAN GATE_SIGNED",
    "SHIFT": "SHIFT TANH SHIFT LINEAR OUT_DIM_IN",
    "HEBBIAN": "HEBBIAN TANH HEBBIAN",
    "RMSNORM": "LINEAR OUT_DIM_QUARTER RMSNORM LINEAR OUT_DIM_IN POOL_MAX RMSNORM",
    "SCALE": "SCALE TANH SCALE POOL_MEAN SCALE",
    "MOE": "MOE EXPERTS_2 POOL_MEAN MOE EXPERTS_4",
    "KWINNERS": "KWINNERS KEEP_HALF LINEAR OUT_DIM_QUARTER KWINNERS KEEP_QUARTER LINEAR OUT_DIM_IN",
    "CONCAT": "BRANCH_START POOL_MAX BRANCH_SEP TANH MERGE_CONCAT LINEAR OUT_DIM_IN",
    "BLEND": "BRANCH_START SIGMOID BRANCH_SEP TANH BRANCH_SEP POOL_MEAN MERGE_BLEND",
    **{
        op: f"LINEAR OUT_DIM_IN {op} POOL_MEAN {op}"
        for op in ("ABS", "ELU", "HARD_SWISH", "LEAKY_RELU", "MISH", "SIN", "SOFTPLUS", "SQUARE_RELU")
    },
}
#: Programs whose gradients an engine once had wrong, by what made it so.
ONCE_WRONG = {
    "a pool in a loop": "LOOP_START REPEAT_2 SAVE TAP_0 TANH POOL_MEAN ADD TAP_0 LOOP_END",
    "a blend of one value with itself": "SAVE TAP_3 TANH BLEND TAP_3 TAP_3",
    "a cell narrower than a register": "CONV1D KERNEL_5 CHANNELS_QUARTER GRU LINEAR OUT_DIM_IN",
    "a map that a state alone reads": "SCAN_START OUT_DIM_IN LINEAR OUT_DIM_IN SAVE STATE_1 LOAD STATE_1 "
    "SIGMOID SCAN_END",
    "a value that a state alone reads": "LINEAR OUT_DIM_IN SCAN_START OUT_DIM_IN TANH SAVE STATE_1 "
    "LOAD STATE_1 SIGMOID SCAN_END",
}
#: Every op that a program may show, in the order in which tests go through them.
OPS = sorted((*LANGUAGE.table, "LOOP", "SCAN"))


class Bound(NamedTuple):
    """How far from the truth sums in one dtype may be, relative to the greater of their size and a floor.

    `bit` is the relative change by which a parameter moves in its last bits.
    """

    loss: float
    gradient: float
    gradient_floor: float
    bit: float


BOUNDS = {
    torch.float64: Bound(loss=1e-12, gradient=1e-11, gradient_floor=1.0, bit=2.0**-50),
    torch.float32: Bound(loss=2e-5, gradient=2e-4, gradient_floor=5e-4, bit=2.0**-22),
}
#: How many times farther from the truth an engine may be than a move by the last bits takes a program. Every
#: op rounds, and loops unrolled a program has some fifty of them; parameters move but once.
LEEWAY = 50
#: Draws of parameters that differ by rounding, of each size.
NUM_MOVES = 16

Values = tuple[float, Tensor]


def assert_gradients_agree(
    engine: Engine,
    blueprints: Sequence[Blueprint],
    task: Task,
    *,
    seed: int = 0,
    width: int = 16,
    batch: int = 32,
    steps: int | None = None,
) -> None:
    """Compare an engine's losses and gradients in both dtypes with the truth, blueprints side by side.

    Beyond `BOUNDS`, see `assert_agrees`, which measures what rounding a program amplifies by itself.
    """
    programs = [build_program(blueprint.graph, task, width) for blueprint in blueprints]
    parameters = [opened(program, initial_parameters(program, seed)) for program in programs]
    train = task.splits(seed).train
    data = train.inputs[:batch, :steps], train.targets[:batch]
    reference = ReferenceEngine()
    truths = reference.loss_and_gradients(programs, parameters, *data, torch.float64)
    peers = reference.loss_and_gradients(programs, parameters, *data, torch.float32)
    for dtype in BOUNDS:
        found = engine.loss_and_gradients(programs, parameters, *data, dtype)
        for i, blueprint in enumerate(blueprints):

            def truth_at(flat_P: Tensor, program=programs[i]) -> Values:
                return reference.loss_and_gradients([program], [flat_P], *data, torch.float64)[0]

            peer = truths[i] if dtype == torch.float64 else peers[i]
            assert_agrees(found[i], truths[i], peer, BOUNDS[dtype], truth_at, parameters[i], str(blueprint))


def opened(program: Program, flat_P: Tensor) -> Tensor:
    """Return parameters with a graft's gate open: at zero no gradient reaches the blueprint."""
    if program.graft is None:
        return flat_P
    end = len(flat_P) - program.num_frozen[1]
    opened_P = flat_P.clone()
    opened_P[end - program.width : end] = torch.linspace(-0.5, 1, program.width)
    return opened_P


def assert_trainings_agree(expected: Sequence[TaskResult], found: Sequence[TaskResult]) -> None:
    """Compare short trainings, in which rounding has not had the time to become large."""
    for a, b in zip(expected, found, strict=True):
        assert a.loss_first == pytest.approx(b.loss_first, rel=1e-5)
        assert a.loss_last == pytest.approx(b.loss_last, rel=1e-3)
        assert a.gradient_norm_mean == pytest.approx(b.gradient_norm_mean, rel=1e-3)
        assert a.loss_curve is not None
        assert b.loss_curve is not None
        assert a.loss_curve.bounds == b.loss_curve.bounds
        assert a.loss_curve.means == pytest.approx(b.loss_curve.means, rel=1e-3)
        assert a.fingerprint is not None
        assert b.fingerprint is not None
        assert a.fingerprint.shape == b.fingerprint.shape == (256, 16)
        np.testing.assert_allclose(a.fingerprint, b.fingerprint, atol=3e-3)


def assert_scores_agree(expected: Sequence[TaskResult], found: Sequence[TaskResult]) -> None:
    """Compare the mean scores of full trainings."""
    means = [np.mean([result.score for result in results]) for results in (expected, found)]
    assert means[0] == pytest.approx(means[1], abs=0.02)


def assert_agrees(
    found: Values,
    truth: Values,
    peer: Values,
    bound: Bound,
    truth_at: Callable[[Tensor], Values],
    flat_P: Tensor,
    message: str,
) -> None:
    """Check a loss and its gradients: they are finite exactly where `peer` is, and as near as they can be.

    A program may amplify rounding by itself: a norm of nearly equal features does, a loop of squares, a sine
    of something great. Beyond the bound, what is found may be `LEEWAY` times as far off as the farthest of
    these: `peer`, a plain computation in the same dtype, and the truth at parameters that differ in their
    last bits, where a zero differs as a one does: without it features would stay equal whose difference an
    engine's rounding makes. A program may also stand beside a switch: of two features within rounding of one
    another either may be the greater, or one is that near to the bend of a RELU, and gradients jump. So what
    is found may also be as far off as the truth at parameters that differ by `LEEWAY` times their last bits.
    """
    are_finite = [bool(torch.as_tensor(value).isfinite().all()) for value in found]
    assert are_finite == [bool(torch.as_tensor(value).isfinite().all()) for value in peer], message
    size = float(truth[1].abs().max())
    bounds = bound.loss * max(1.0, abs(truth[0])), bound.gradient * max(bound.gradient_floor, size)
    gaps = _gaps(found, truth)
    if all(gap <= most or not finite for gap, most, finite in zip(gaps, bounds, are_finite, strict=True)):
        return
    generator = torch.Generator().manual_seed(0)
    sizes_P = torch.where(flat_P == 0, 1, flat_P).double()
    allowed = [[LEEWAY * gap for gap in _gaps(peer, truth)]]
    for _ in range(NUM_MOVES):
        for bits, times in ((1, LEEWAY), (LEEWAY, 1)):
            signs_P = torch.randint(2, flat_P.shape, generator=generator, dtype=torch.float64) * 2 - 1
            moved = truth_at(flat_P + bits * bound.bit * signs_P * sizes_P)
            allowed.append([times * gap for gap in _gaps(moved, truth)])
    for gap, most, finite, *by_rounding in zip(gaps, bounds, are_finite, *allowed, strict=True):
        assert not finite or gap <= most + max(by_rounding), (gap, most, max(by_rounding), message)


def _gaps(values: Values, truth: Values) -> list[float]:
    """Return how far a loss and its gradients are from the truth; what is not finite is endlessly far."""
    gaps = abs(values[0] - truth[0]), float((values[1].double() - truth[1].double()).abs().max())
    return [gap if math.isfinite(gap) else math.inf for gap in gaps]
