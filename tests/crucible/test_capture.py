"""A training step is fit for a CUDA graph: it never asks the host and launches the same on the same memory.

What a capture needs is proven on the CPU, op by op, from the list of launches; that capturing itself works is
tried where there is a CUDA device.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from engine_agreement import OP_PROGRAMS, OPS
from engines_here import NEEDS_CUDA, bits, jobs_of
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from toy_tasks import TOYS

from crucible.engines.base import Job, single_thread
from crucible.engines.batched import BatchedEngine, train_chunks
from crucible.engines.capture import captured, lanes_on
from crucible.engines.chunks import split_jobs
from crucible.engines.heads import PLANNED
from crucible.engines.kernels import KERNELS, AutogradKernel, Kernel, kernels_with
from crucible.engines.training import Batch, Minibatches, Trainer, Update
from crucible.errors import CrucibleError
from curricula.heads import HEADS
from curricula.task import Task
from curricula.temporal import Temporal
from curricula.xor import Xor

CPU = torch.device("cpu")
#: Launches whose result the host must see before it can go on, beside those that torch marks so itself.
ASKING = {"aten.equal.default", "aten.is_nonzero.default", "aten.item.default", "aten.lift_fresh.default"}
MARKS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


class Launches(TorchDispatchMode):
    """Writes down every launch: its op, its numbers, and for each tensor its layout and where it lies.

    Memory that an earlier launch of the list made is named by that launch, all other by its address. Nothing
    that was seen is freed, so an address means one tensor.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[Any, ...]] = []
        self.asking: list[str] = []
        self._made: dict[int, str] = {}
        self._kept: list[Tensor] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if str(function) in ASKING or MARKS & set(function.tags):
            self.asking.append(str(function))
        line = (str(function), self._describe(args), self._describe(sorted(kwargs.items())))
        result = function(*args, **kwargs)
        for place, value in enumerate(result if isinstance(result, tuple | list) else (result,)):
            if isinstance(value, Tensor) and self._is_new(value, (args, list(kwargs.values()))):
                self._made[value.untyped_storage()._cdata] = f"made by {len(self.lines)}, {place}"
                self._kept.append(value)
        self.lines.append(line)
        return result

    def _is_new(self, value: Tensor, arguments: Any) -> bool:
        own = value.untyped_storage()._cdata
        return all(given.untyped_storage()._cdata != own for given in _tensors(arguments))

    def _describe(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            self._kept.append(value)
            storage = value.untyped_storage()
            place = self._made.get(storage._cdata, storage.data_ptr())
            return place, value.storage_offset(), tuple(value.shape), value.stride(), value.dtype
        if isinstance(value, list | tuple):
            return tuple(self._describe(part) for part in value)
        return str(value)


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [found for part in value for found in _tensors(part)] if isinstance(value, list | tuple) else []


def of_each_seed(programs: Sequence[str], task: Task, seeds: Sequence[int] = (0, 1)) -> list[Job]:
    """Return a job of each program for each seed."""
    return [replace(job, seed=seed) for job in jobs_of(programs, task) for seed in seeds]


def launches_of_two_steps(jobs: list[Job], task: Task, kernels=KERNELS) -> list[Launches]:
    with single_thread(), torch.no_grad():
        trainer = Trainer(jobs, task, kernels, CPU)
        trainer.step()
        found = [Launches(), Launches()]
        for launches in found:
            with launches:
                trainer.step()
    return found


@pytest.mark.parametrize("task", [Xor(epochs=4, batch_size=16), Temporal(epochs=1)], ids=lambda t: t.name)
@pytest.mark.parametrize("op", OPS)
def test_every_step_makes_the_same_launches_on_the_same_memory_and_asks_nobody(op: str, task: Task) -> None:
    second, third = launches_of_two_steps(of_each_seed([OP_PROGRAMS[op]], task), task)
    assert len(second.lines) > 20
    assert second.asking == third.asking == []
    assert second.lines == third.lines


@pytest.mark.parametrize("task", TOYS.values(), ids=TOYS)
def test_every_head_and_input_makes_the_same_launches_in_every_step(task: Task) -> None:
    second, third = launches_of_two_steps(of_each_seed(["SHIFT LINEAR OUT_DIM_IN"], task), task)
    assert second.asking == third.asking == []
    assert second.lines == third.lines


class Spoilt(AutogradKernel):
    """An identity with a fault that a capture would not survive."""

    def __init__(self, fault: str) -> None:
        self._fault = fault
        self._before: Tensor | None = None
        self._count = 0

    def forward(self, x, parameters, signature):
        (value,) = x
        if self._fault == "asks for a number":
            return value * (1.0 if float(value.detach().sum()) > 0 else 2.0)
        if self._fault == "picks by a mask":
            return value + value.detach()[value.detach() > 0].sum()
        if self._fault == "counts on the host":
            self._count += 1
            return value * self._count
        if self._fault == "brings a number":
            return value * torch.tensor(2.0)
        before, self._before = self._before, value.detach().clone()
        return value if before is None else value + before


@pytest.mark.parametrize("fault", ["asks for a number", "picks by a mask"])
def test_a_launch_that_asks_the_host_is_found(fault: str) -> None:
    task = Xor(epochs=4)
    second, _ = launches_of_two_steps(
        of_each_seed(["TANH"], task), task, kernels_with({"TANH": Spoilt(fault)})
    )
    assert second.asking


@pytest.mark.parametrize("fault", ["counts on the host", "brings a number", "remembers the step before"])
def test_a_launch_that_is_another_in_the_next_step_is_found(fault: str) -> None:
    task = Xor(epochs=4)
    second, third = launches_of_two_steps(
        of_each_seed(["TANH"], task), task, kernels_with({"TANH": Spoilt(fault)})
    )
    assert second.lines != third.lines or second.asking


class Devices(TorchDispatchMode):
    """Writes down where the tensors of every launch are."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.found |= {tensor.device.type for tensor in _tensors((args, list((kwargs or {}).values())))}
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("op", OPS)
def test_a_step_touches_no_memory_but_the_devices(op: str) -> None:
    """On torch's device without memory nothing can be copied to the host, and a mixture shows."""
    task, meta = Temporal(epochs=1), torch.device("meta")
    jobs = of_each_seed([OP_PROGRAMS[op]], task)
    seed_of_J = torch.tensor([job.seed for job in jobs], device=meta)
    batch = Batch([job.program for job in jobs], KERNELS, 24, meta)
    train = [task.splits(seed).train for seed in (0, 1)]
    with torch.no_grad():
        minibatches = Minibatches(task, (0, 1), train, seed_of_J)
        plan = batch.plan(minibatches.inputs_JTBF, train=True)
        targets_JPBL = minibatches.targets(torch.tensor(plan.order, device=meta))
        loss = PLANNED["cross_entropy"](plan, targets_JPBL, HEADS[task.head])
        calls = (minibatches.load, loss.take, plan.forward, loss, plan.backward, minibatches.advance)
        with Devices() as devices:
            for call in calls:
                call()
    assert devices.found == {"meta"}


class CountingUpdate(Update):
    """The update as it was before steps could be captured: the host says which step it is."""

    def take(self, step: int) -> None:
        self._step_1 = torch.tensor([step])
        self()


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
@pytest.mark.parametrize("task", [Xor(epochs=4), Temporal(epochs=1), Xor(epochs=2, batch_size=8)], ids=repr)
def test_the_step_has_the_bits_of_a_loop_that_the_host_counts(task: Task, seeds: tuple[int, ...]) -> None:
    jobs = of_each_seed([OP_PROGRAMS[op] for op in ("CONV1D", "GRU", "SCAN", "MOE", "KWINNERS")], task, seeds)
    with single_thread(), torch.no_grad():
        trainer, loop = (Trainer(jobs, task, KERNELS, CPU) for _ in range(2))
        for _ in range(trainer.num_steps):
            trainer.step()
        losses_KJ, norms_KJ = _host_loop(loop, task, seeds)
    step_losses_KJ, step_norms_KJ = trainer.step.curves()
    assert np.isfinite(losses_KJ).all()
    np.testing.assert_array_equal(step_losses_KJ, losses_KJ)
    np.testing.assert_array_equal(step_norms_KJ, norms_KJ)
    assert torch.equal(trainer._batch.parameters, loop._batch.parameters)


def _host_loop(trainer: Trainer, task: Task, seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Train with minibatches that the host copies and a step number that the host counts."""
    batch, seed_of_J = trainer._batch, trainer._seed_of_J
    loaded = Minibatches(task, seeds, [task.splits(seed).train for seed in seeds], seed_of_J)
    inputs_JTBF = loaded._inputs_KSTBF[0][seed_of_J].clone()
    plan = batch.plan(inputs_JTBF, train=True)
    order_J = torch.tensor(plan.order)
    targets_JPBL = loaded._targets_KSPBL[0][seed_of_J[order_J]].clone()
    loss = PLANNED["cross_entropy"](plan, targets_JPBL, HEADS[task.head])
    update = CountingUpdate(batch, loss.loss_J, order_J, task, torch.zeros(1, dtype=torch.int64))
    for step in range(task.num_steps):
        at = min(step, len(loaded._inputs_KSTBF) - 1)
        inputs_JTBF.copy_(loaded._inputs_KSTBF[at][seed_of_J])
        targets_JPBL.copy_(loaded._targets_KSPBL[at][seed_of_J[order_J]])
        loss.take()
        plan.forward()
        loss()
        plan.backward()
        update.take(step)
    return update.losses_KJ.numpy(), update.norms_KJ.numpy()


def test_chunks_side_by_side_have_the_bits_of_each_alone(short_temporal: Temporal) -> None:
    chunks = [
        of_each_seed([OP_PROGRAMS[op] for op in ops], short_temporal) for ops in (OPS[:6], OPS[6:9], OPS[9:])
    ]
    together = train_chunks(chunks, short_temporal, {}, CPU, True, 60.0, lanes_on(CPU, 3), False)
    for jobs, results in zip(chunks, together, strict=True):
        alone = BatchedEngine().train(jobs, short_temporal, fingerprints=True)
        assert [bits(r) for r in results] == [bits(r) for r in alone]


def test_streams_share_the_work_in_as_many_chunks() -> None:
    task = Temporal(epochs=1)
    jobs = of_each_seed(list(OP_PROGRAMS.values()), task)
    for num in (1, 2, 4, 7):
        chunks = split_jobs(jobs, task, torch.device("cuda"), 1, num_streams=num)
        assert len(chunks) == num
        assert sorted(i for chunk in chunks for i in chunk) == list(range(len(jobs)))
    small = split_jobs(jobs, task, torch.device("cuda"), 1, 1 << 20, num_streams=2)
    assert len(small) > 2


def test_a_step_that_cannot_be_captured_is_run_launch_by_launch(caplog: pytest.LogCaptureFixture) -> None:
    """Without a CUDA device capturing fails for real."""
    if torch.cuda.is_available():
        pytest.skip("here capturing succeeds; see the tests that need a CUDA device")
    taken: list[int] = []
    step = captured(lambda: taken.append(1))
    assert taken == []
    step()
    assert taken == [1]
    assert "could not be captured and is run launch by launch: Tried to instantiate" in caplog.text


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"capture": True}, "graphs and streams are CUDA's"),
        ({"num_streams": 2}, "graphs and streams are CUDA's"),
        ({"num_streams": 0, "device": "cuda"}, "num_streams = 0; expected at least 1"),
    ],
)
def test_options_of_another_device_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(CrucibleError, match=message):
        BatchedEngine(**keywords)


@pytest.mark.gpu
@NEEDS_CUDA
@pytest.mark.parametrize("task", [Xor(epochs=20), Temporal(epochs=3)], ids=lambda t: t.name)
def test_replayed_steps_have_the_bits_of_launched_ones(task: Task, caplog: pytest.LogCaptureFixture) -> None:
    jobs = of_each_seed(list(OP_PROGRAMS.values()), task)
    for num_streams in (1, 4):
        engines = [BatchedEngine("cuda", capture=c, num_streams=num_streams) for c in (False, True)]
        launched, replayed = (engine.train(jobs, task, fingerprints=True) for engine in engines)
        assert [bits(r) for r in launched] == [bits(r) for r in replayed]
    assert "could not be captured" not in caplog.text


@pytest.mark.gpu
@NEEDS_CUDA
def test_a_kernel_that_asks_the_host_trains_all_the_same_on_cuda(caplog: pytest.LogCaptureFixture) -> None:
    task = Xor(epochs=20)
    own: dict[str, Kernel] = {"TANH": Spoilt("asks for a number")}
    launched = BatchedEngine("cuda", kernels=own, capture=False).train(of_each_seed(["TANH"], task), task)
    replayed = BatchedEngine("cuda", kernels=own).train(of_each_seed(["TANH"], task), task)
    assert [bits(r) for r in launched] == [bits(r) for r in replayed]
    assert "could not be captured" in caplog.text


@pytest.mark.gpu
@NEEDS_CUDA
def test_cuda_and_the_cpu_agree_in_losses(human_blueprints) -> None:
    task = Temporal(epochs=1, learning_rate=1e-4)
    jobs = jobs_of(human_blueprints[:24], task)
    for a, b in zip(BatchedEngine().train(jobs, task), BatchedEngine("cuda").train(jobs, task), strict=True):
        assert a.loss_first == pytest.approx(b.loss_first, rel=1e-4)
        assert a.loss_last == pytest.approx(b.loss_last, rel=1e-2)
