"""The measure of agreement can fail: it finds small faults of an engine, and knows rounding from a fault."""

import random
from collections.abc import Sequence

import pytest
import torch
from engine_agreement import OP_PROGRAMS, assert_gradients_agree
from engines_here import Contender
from torch import Tensor
from toy_tasks import TOYS

from blueprints import CORE_LANGUAGE, Blueprint, parse, random_program
from crucible.engines.batched import BatchedEngine
from crucible.engines.kernels import AutogradKernel
from crucible.engines.reference import ReferenceEngine
from curricula.task import Task
from curricula.temporal import Temporal
from curricula.xor import Xor


def drawn(seed: int) -> Blueprint:
    return parse(random_program(random.Random(seed)))


def drawn_from_core(seed: int) -> Blueprint:
    rng = random.Random(seed)
    rng.random()
    return parse(random_program(rng, CORE_LANGUAGE, min_ops=1, max_ops=12))


#: Programs, with task, seed and batch, of which rounding is more than a usual bound allows.
HARD: dict[str, tuple[Blueprint, Task, int, int]] = {
    "a loop of squares, in float32": (drawn(84), Xor(), 84, 6),
    "sines of something great, in float64": (drawn(21317), TOYS["pooled_cross_entropy-embedding"], 317, 32),
    "norms of features that are equal, in float64": (
        drawn(140943),
        TOYS["pooled_cross_entropy-embedding"],
        943,
        32,
    ),
    "two steps that are the greatest, in float32": (drawn_from_core(1000512), Temporal(), 512, 31),
}


@pytest.mark.parametrize(("blueprint", "task", "seed", "batch"), HARD.values(), ids=HARD)
def test_a_program_that_amplifies_rounding_is_no_fault_of_an_engine(
    blueprint: Blueprint, task: Task, seed: int, batch: int, contender: Contender
) -> None:
    assert_gradients_agree(contender.make(), [blueprint], task, seed=seed, batch=batch)


class Tilted(AutogradKernel):
    """TANH, whose slope is a thousandth too steep."""

    def forward(self, x, parameters, signature):
        y = torch.tanh(x[0])
        return y + 1e-3 * (y - y.detach())


@pytest.mark.parametrize("task", [Xor(), Temporal()], ids=lambda task: task.name)
def test_a_slope_of_one_op_that_is_a_thousandth_off_is_found(task: Task) -> None:
    engine, blueprints = BatchedEngine(kernels={"TANH": Tilted()}), [parse(OP_PROGRAMS["GRU"].split())]
    assert_gradients_agree(BatchedEngine(), blueprints, task)
    with pytest.raises(AssertionError, match="GRU TANH GRU"):
        assert_gradients_agree(engine, blueprints, task)


class Faulty(ReferenceEngine):
    """Does as the reference does, but for one fault in one dtype."""

    def __init__(self, fault: str, dtype: torch.dtype) -> None:
        super().__init__()
        self._fault, self._dtype = fault, dtype

    def loss_and_gradients(
        self, programs, parameters, inputs, targets, dtype=torch.float32
    ) -> list[tuple[float, Tensor]]:
        values = super().loss_and_gradients(programs, parameters, inputs, targets, dtype)
        return [self._spoilt(*value) for value in values] if dtype == self._dtype else values

    def _spoilt(self, loss: float, gradient_P: Tensor) -> tuple[float, Tensor]:
        spoilt_P, greatest = gradient_P.clone(), int(gradient_P.abs().argmax())
        match self._fault:
            case "a loss that is off":
                loss += 1e-9 if self._dtype == torch.float64 else 1e-4
            case "a gradient that is off":
                spoilt_P[greatest] *= 1.001
            case "a gradient that is missing":
                spoilt_P[greatest] = 0
            case "two parameters that are swapped":
                least = int(gradient_P.abs().argmin())
                spoilt_P[[greatest, least]] = gradient_P[[least, greatest]]
            case "a gradient that is undefined":
                spoilt_P[greatest] = torch.nan
        return loss, spoilt_P


FAULTS: Sequence[str] = (
    "a loss that is off",
    "a gradient that is off",
    "a gradient that is missing",
    "two parameters that are swapped",
    "a gradient that is undefined",
)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_one_number_is_found(fault: str, dtype: torch.dtype) -> None:
    for task in (Xor(), Temporal()):
        with pytest.raises(AssertionError, match="LSTM TANH LSTM"):
            assert_gradients_agree(Faulty(fault, dtype), [parse(OP_PROGRAMS["LSTM"].split())], task)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_a_program_that_amplifies_rounding_hides_no_fault(dtype: torch.dtype) -> None:
    blueprint, task, seed, batch = HARD["a loop of squares, in float32"]
    assert_gradients_agree(ReferenceEngine(), [blueprint], task, seed=seed, batch=batch)
    for fault in FAULTS[2:]:
        with pytest.raises(AssertionError, match="SQUARE_RELU"):
            assert_gradients_agree(Faulty(fault, dtype), [blueprint], task, seed=seed, batch=batch)
