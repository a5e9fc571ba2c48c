"""Batched gradients == reference gradients in float64, op by op and for random programs.

The reference differentiates the compiled module by autograd; the compiled module equals the reference
interpreter (tests/blueprints). By transitivity the batched engine trains what the language says.
"""

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from blueprints import LANGUAGE, Blueprint, parse, random_program
from crucible.engines.base import Job
from crucible.engines.batched import BatchedEngine
from crucible.engines.kernels import AutogradKernel
from crucible.engines.reference import ReferenceEngine
from crucible.initialisation import initial_parameters
from crucible.program import build_program
from curricula.task import Task
from curricula.temporal import Temporal
from curricula.xor import Xor

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


def assert_gradients_agree(
    blueprints: list[Blueprint], task: Task, seed: int = 0, steps: int | None = None
) -> None:
    """Compare float32 and float64 batched losses and gradients with the reference's in float64.

    In float32 a program amplifies rounding by itself (a norm of nearly equal features does); there the
    batched ones may be ten times as far from the truth as the reference's own. A loop may leave what is
    finite: it must in both engines or in neither.
    """
    programs = [build_program(blueprint.graph, task, 16) for blueprint in blueprints]
    parameters = [initial_parameters(program, seed) for program in programs]
    train = task.splits(seed).train
    arguments = (programs, parameters, train.inputs[:32, :steps], train.targets[:32])
    truths = ReferenceEngine().loss_and_gradients(*arguments, torch.float64)
    doubles = BatchedEngine().loss_and_gradients(*arguments, torch.float64)
    rounded = ReferenceEngine().loss_and_gradients(*arguments, torch.float32)
    singles = BatchedEngine().loss_and_gradients(*arguments, torch.float32)
    for blueprint, *results in zip(blueprints, truths, doubles, rounded, singles, strict=True):
        (loss, gradient), (loss64, gradient64), (own_loss, own_gradient), (loss32, gradient32) = results
        scale, message = float(gradient.abs().max()), str(blueprint)
        assert_near(loss64, loss, loss, 1e-12 * max(1.0, abs(loss)), message)
        assert_near(gradient64, gradient, gradient, 1e-11 * max(1.0, scale), message)
        own = 10 * abs(own_loss - loss)
        assert_near(loss32, loss, own_loss, max(2e-5 * max(1.0, abs(loss)), own), message)
        own = 10 * float((own_gradient - gradient).abs().max())
        assert_near(gradient32, gradient, own_gradient, max(2e-4 * scale + 1e-7, own), message)


def assert_near(
    came: float | torch.Tensor,
    true: float | torch.Tensor,
    peer: float | torch.Tensor,
    bound: float,
    message: str,
) -> None:
    """Check how far what came is from the truth; it must be finite exactly where its peer is."""
    came, true, peer = (torch.as_tensor(value, dtype=torch.float64) for value in (came, true, peer))
    is_finite = bool(came.isfinite().all())
    assert is_finite == bool(peer.isfinite().all()), message
    assert not is_finite or float((came - true).abs().max()) < bound, message


@pytest.mark.parametrize("op", sorted((*LANGUAGE.table, "LOOP", "SCAN")))
def test_every_op_has_the_gradients_of_its_module(op: str) -> None:
    blueprint = parse(OP_PROGRAMS[op].split())
    assert any(node.op == op for node in blueprint.graph.nodes)
    assert_gradients_agree([blueprint], Xor())
    for steps in (2, 5, 16):
        assert_gradients_agree([blueprint], Temporal(), steps=steps)


@given(seed=st.integers(0, 2**31), num=st.integers(1, 2), sequence=st.booleans())
def test_random_programs_have_the_gradients_of_their_modules(seed: int, num: int, sequence: bool) -> None:
    rng = random.Random(seed)
    blueprints = [parse(random_program(rng)) for _ in range(num)]
    assert_gradients_agree(blueprints, Temporal() if sequence else Xor(), seed % 1000)


def test_human_blueprints_have_the_gradients_of_their_modules(human_blueprints: list[Blueprint]) -> None:
    assert_gradients_agree(human_blueprints, Temporal())


def test_short_trainings_agree_in_losses_and_representations(random_blueprints: list[Blueprint]) -> None:
    task = Temporal(epochs=1, learning_rate=1e-4)
    jobs = [Job(program=build_program(b.graph, task, 16), seed=1) for b in random_blueprints[:24]]
    reference = ReferenceEngine().train(jobs, task, fingerprints=True)
    batched = BatchedEngine().train(jobs, task, fingerprints=True)
    for a, b in zip(reference, batched, strict=True):
        assert a.loss_first == pytest.approx(b.loss_first, rel=1e-5)
        assert a.loss_last == pytest.approx(b.loss_last, rel=1e-3)
        assert a.gradient_norm_mean == pytest.approx(b.gradient_norm_mean, rel=1e-3)
        assert a.fingerprint is not None
        assert b.fingerprint is not None
        assert a.fingerprint.shape == (256, 16)
        np.testing.assert_allclose(a.fingerprint, b.fingerprint, atol=3e-3)


def test_full_trainings_agree_in_their_mean_score(human_blueprints: list[Blueprint]) -> None:
    task = Xor()
    jobs = [Job(program=build_program(b.graph, task, 16), seed=0) for b in human_blueprints[:12]]
    reference = [result.score for result in ReferenceEngine().train(jobs, task)]
    batched = [result.score for result in BatchedEngine().train(jobs, task)]
    assert np.mean(reference) == pytest.approx(np.mean(batched), abs=0.02)


class SlowLinear(AutogradKernel):
    """LINEAR with a forward alone."""

    def forward(self, x, parameters, signature):
        weight_MOI, bias_MO = parameters
        return torch.einsum("mtbi,moi->mtbo", x[0], weight_MOI) + bias_MO[:, None, None]


class SlowSilu(AutogradKernel):
    """SILU with a forward alone."""

    def forward(self, x, parameters, signature):
        return x[0] * torch.sigmoid(x[0])


def test_a_kernel_with_a_forward_alone_trains_like_one_with_a_backward() -> None:
    task = Temporal(epochs=1)
    programs = ["LINEAR OUT_DIM_HALF SILU LINEAR OUT_DIM_IN", "RES_START SILU LINEAR OUT_DIM_IN RES_END TANH"]
    jobs = [Job(program=build_program(parse(p.split()).graph, task, 16), seed=0) for p in programs]
    written = BatchedEngine().train(jobs, task)
    derived = BatchedEngine(kernels={"LINEAR": SlowLinear(), "SILU": SlowSilu()}).train(jobs, task)
    for a, b in zip(written, derived, strict=True):
        assert a.status == b.status == "ok"
        assert a.loss_last == pytest.approx(b.loss_last, rel=1e-4)
