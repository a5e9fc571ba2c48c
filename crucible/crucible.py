"""The Crucible: blueprints, tasks and seeds in, evaluations out; leaves training to the engines."""

import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from types import TracebackType
from typing import Literal, NamedTuple, get_args

import torch

from blueprints.compiler import modules_of
from blueprints.cost import flops, num_parameters
from blueprints.language import LANGUAGE, Language
from blueprints.modules import ModuleBuilder
from blueprints.parser import Blueprint
from crucible.devices import find_device
from crucible.effort import FULL, Effort
from crucible.engines.base import MAX_SECONDS, Engine, Job, Progress
from crucible.engines.batched import BatchedEngine
from crucible.engines.chunks import job_bytes
from crucible.engines.cuda.engine import PersistentEngine
from crucible.engines.cuda.launcher import CudaLauncher
from crucible.engines.kernels import KERNELS, Kernel, ModuleKernel
from crucible.engines.native.engine import NativeEngine
from crucible.engines.native.library import load_library
from crucible.engines.reference import ReferenceEngine
from crucible.errors import CrucibleError
from crucible.evaluation import Evaluation, TaskResult
from crucible.heads import refusal
from crucible.latency import LatencyTable
from crucible.pipeline import Pipeline
from crucible.program import Program, build_program
from crucible.rivals import Rivals
from curricula.task import Task

EngineName = Literal["auto", "batched", "native", "persistent", "reference"]


class Run(NamedTuple):
    """One training run asked for: a blueprint on a task from a seed."""

    blueprint: Blueprint
    task: Task
    seed: int


class _Prepared(NamedTuple):
    """A blueprint's program for a task, its FLOPs for one example, and why it is not trained, or nothing."""

    program: Program
    flops: int
    reason: str


class Crucible:
    """Trains and judges blueprints. A result depends on blueprint, task, seed, engine and effort alone.

    With an effort that has rungs, how many steps are taken also depends on the other jobs of the call.

    Attributes:
        width: D of the host, a multiple of 16.
        latency_table: predicts latencies where present.

    `engine` is `reference`, `batched`, `native` on a CPU, `persistent` on a CUDA device, or `auto`: the
    native one on a CPU where it was built, else the batched one. It may also be an engine of the caller's own
    making, which settles what `device`, `num_workers`, `max_seconds`, `kernels` and `effort` else would.

    What a run may cost is bounded before it starts, by `max_parameters` of the blueprint, `max_flops` for one
    example forward, `max_memory_bytes` of one training, and while it runs by `max_seconds` for one training:
    beyond the former it is `rejected`, beyond the latter `timed_out`. A task that reads every step has a
    blueprint that is not causal `rejected` by the rule `not-causal`.

    `language` and `kernels` make room for a caller's own ops: rows of the op table with their modules, and
    batched kernels beside the built-in ones. Without a kernel, the batched engine runs an op's module member
    by member.

    `effort` says what trainings may be spared. The default is the full work, and the native engine alone does
    less.
    """

    def __init__(
        self,
        width: int = 16,
        engine: EngineName | Engine = "auto",
        device: str = "cpu",
        num_workers: int | None = None,
        *,
        max_parameters: int = 1 << 20,
        max_flops: int = 1 << 28,
        max_memory_bytes: int = 1 << 30,
        max_seconds: float = MAX_SECONDS,
        latency_table: LatencyTable | None = None,
        language: Language = LANGUAGE,
        kernels: Mapping[str, Kernel] | None = None,
        effort: Effort = FULL,
    ) -> None:
        if width < 16 or width % 16:
            raise CrucibleError(f"width = {width}; expected a positive multiple of 16")
        if num_workers is not None and num_workers < 1:
            raise CrucibleError(f"num_workers = {num_workers}; expected at least 1, or None for all cores")
        for name, value in (
            ("max_parameters", max_parameters),
            ("max_flops", max_flops),
            ("max_memory_bytes", max_memory_bytes),
        ):
            if value < 1:
                raise CrucibleError(f"{name} = {value}; expected at least 1")
        if not max_seconds > 0:
            raise CrucibleError(f"max_seconds = {max_seconds}; expected more than 0")
        self.width = width
        self.latency_table = latency_table
        self._language = language
        self._max_parameters = max_parameters
        self._max_flops = max_flops
        self._max_memory_bytes = max_memory_bytes
        if isinstance(engine, Engine):
            self._engine = engine
        else:
            cores, modules = num_workers or num_cores(), modules_of(language)
            found = find_device(device)
            self._engine = _build_engine(engine, found, cores, max_seconds, modules, kernels, effort)

        self._rivals = Rivals(self._engine, width)

    @property
    def engine_id(self) -> str:
        """Identifies the engine in every cache key."""
        return self._engine.engine_id

    @property
    def fallback_ops(self) -> tuple[str, ...]:
        """The ops of the language whose blueprints the native engine leaves to the batched one."""
        return tuple(sorted(self._engine.missing_ops(self._language.table)))

    def evaluate(
        self,
        blueprints: Sequence[Blueprint],
        tasks: Sequence[Task],
        seeds: Sequence[int],
        *,
        fingerprints: bool = False,
        progress: Progress | None = None,
    ) -> list[Evaluation]:
        """Return one evaluation a blueprint, with a result for every task and seed, tasks outermost."""
        if not tasks or not seeds:
            raise CrucibleError(f"{len(tasks)} tasks and {len(seeds)} seeds; expected at least one of each")
        with _garbage_uncollected():
            return self._evaluate(blueprints, tasks, seeds, fingerprints, progress)

    def _evaluate(
        self,
        blueprints: Sequence[Blueprint],
        tasks: Sequence[Task],
        seeds: Sequence[int],
        fingerprints: bool,
        progress: Progress | None,
    ) -> list[Evaluation]:
        runs = [Run(b, task, seed) for b in blueprints for task in tasks for seed in seeds]
        results, prepared = self._run_jobs(runs, fingerprints, True, progress)
        size, engine_id = len(tasks) * len(seeds), self.engine_id
        return [
            self._describe(
                blueprint,
                engine_id,
                results[i * size : (i + 1) * size],
                prepared[blueprint.id, tasks[0]].program.num_slot_parameters,
                max([prepared[blueprint.id, task].flops for task in tasks]),
            )
            for i, blueprint in enumerate(blueprints)
        ]

    def describe(
        self, blueprint: Blueprint, tasks: Sequence[Task], results: Sequence[TaskResult]
    ) -> Evaluation:
        """Return the evaluation that holds `results` and what the blueprint costs on `tasks`."""
        graph, width, language = blueprint.graph, self.width, self._language
        most = max(flops(graph, width, _longest(task), language) for task in tasks)
        own = num_parameters(graph, width, language)
        return self._describe(blueprint, self.engine_id, results, own, most)

    def _describe(
        self,
        blueprint: Blueprint,
        engine_id: str,
        results: Sequence[TaskResult],
        num_parameters: int,
        flops: int,
    ) -> Evaluation:
        return Evaluation(
            blueprint_id=blueprint.id,
            engine_id=engine_id,
            results=tuple(results),
            num_parameters=num_parameters,
            flops=flops,
            latency_us=None if self.latency_table is None else self.latency_table.predict(blueprint.graph),
        )

    def run_jobs(
        self,
        runs: Sequence[tuple[Blueprint, Task, int]],
        *,
        fingerprints: bool = False,
        competing: bool = True,
        progress: Progress | None = None,
    ) -> list[TaskResult]:
        """Return one result a (blueprint, task, seed), in their order.

        Unless they are `competing`, none is ended by a rung of the effort.
        """
        with _garbage_uncollected():
            return self._run_jobs(runs, fingerprints, competing, progress)[0]

    def _run_jobs(
        self,
        runs: Sequence[tuple[Blueprint, Task, int]],
        fingerprints: bool,
        competing: bool,
        progress: Progress | None,
    ) -> tuple[list[TaskResult], dict[tuple[str, Task], _Prepared]]:
        results: list[TaskResult | None] = [None] * len(runs)
        prepared: dict[tuple[str, Task], _Prepared] = {}
        num_rejected = 0
        for run in runs:
            _check(*run)
        with Pipeline(self._engine, fingerprints=fingerprints, progress=progress) as pipeline:
            for i, (blueprint, task, seed) in enumerate(runs):
                key = (blueprint.id, task)
                if key not in prepared:
                    prepared[key] = self._prepare(blueprint, task)
                program, _, reason = prepared[key]
                if reason:
                    results[i] = TaskResult(task=task.name, seed=seed, status="rejected", reason=reason)
                    num_rejected += 1
                else:
                    pipeline.add(i, task, Job(program=program, seed=seed, competes=competing))
            if progress is not None and num_rejected:
                progress(num_rejected)
            for i, result in pipeline.finish():
                results[i] = result
        found = [result for result in results if result is not None]
        assert len(found) == len(runs), "every run must have a result"
        programs = [prepared[blueprint.id, task].program for blueprint, task, _ in runs]
        return self._rivals.compared(programs, found), prepared

    def _prepare(self, blueprint: Blueprint, task: Task) -> _Prepared:
        time = _longest(task)
        program = build_program(blueprint.graph, task, self.width, self._language)
        operations = flops(blueprint.graph, self.width, time, self._language)
        reason = refusal(blueprint.graph, program.head) or self._excess(program, task, time, operations)
        return _Prepared(program, operations, reason)

    def _excess(self, program: Program, task: Task, time: int, operations: int) -> str:
        """Return which cap a program exceeds, or nothing."""
        parameters = program.num_slot_parameters
        if parameters > self._max_parameters:
            return f"{parameters} parameters exceed max_parameters = {self._max_parameters}"
        if operations > self._max_flops:
            return f"{operations} FLOPs an example exceed max_flops = {self._max_flops}"
        memory = job_bytes(program, task, time)
        if memory > self._max_memory_bytes:
            return f"about {memory} bytes exceed max_memory_bytes = {self._max_memory_bytes}"
        return ""

    def close(self) -> None:
        """End worker processes; they start again when the Crucible is used again."""
        self._engine.close()

    def __enter__(self) -> "Crucible":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def _garbage_uncollected() -> Iterator[None]:
    """Let the search for cycles wait: thousands of plain records would set it off again and again.

    It comes at the end, so what was built on the way should be gone by then.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def num_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find_engine(name: str, device: torch.device) -> tuple[str, str]:
    """Return the engine that serves where `name` is asked for, and why; `auto` takes the fastest there is."""
    if name != "auto":
        return name, "it was asked for"
    if device.type != "cpu":
        return "batched", f"the native engine runs on the CPU alone, and the device is '{device}'"
    try:
        return "native", f"it was built, and this processor runs its variant {load_library().variant}"
    except CrucibleError as error:
        return "batched", str(error)


def _build_engine(
    name: str,
    device: torch.device,
    num_workers: int,
    max_seconds: float,
    modules: Mapping[str, ModuleBuilder],
    kernels: Mapping[str, Kernel] | None,
    effort: Effort,
) -> Engine:
    slow = {op: ModuleKernel(builder) for op, builder in modules.items() if op not in KERNELS}
    own = {**slow, **(kernels or {})}
    name, _ = find_engine(name, device)
    if name in ("batched", "persistent", "reference"):
        effort.check(name)
    if name == "batched":
        return BatchedEngine(device, num_workers, own, max_seconds=max_seconds)
    if name == "native":
        if device.type != "cpu":
            raise CrucibleError(f"engine 'native' runs on the CPU alone, and device '{device}' was asked for")
        return NativeEngine(num_workers, own, max_seconds=max_seconds, effort=effort)
    if name == "persistent":
        if device.type != "cuda":
            raise CrucibleError(
                f"engine 'persistent' runs on CUDA devices alone, and device '{device}' was asked for; "
                "use the engine 'native' or 'batched', or device 'cuda'"
            )
        return PersistentEngine(CudaLauncher(device), own, max_seconds=max_seconds)
    if name == "reference":
        return ReferenceEngine(device, modules, max_seconds=max_seconds)
    raise CrucibleError(f"engine '{name}' is unknown; expected one of {', '.join(get_args(EngineName))}")


def _check(blueprint: Blueprint, task: Task, seed: int) -> None:
    if not isinstance(blueprint, Blueprint):
        raise CrucibleError(f"{blueprint!r} is no blueprint; expected what blueprints.parse(tokens) returns")
    if not isinstance(task, Task):
        raise CrucibleError(f"{task!r} is no task; expected an instance of curricula.task.Task")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise CrucibleError(f"seed {seed!r}; expected an integer from 0 to 2**31 - 1")


@lru_cache(maxsize=64)
def _longest(task: Task) -> int:
    """Return the number of steps of the task's longest split."""
    return max(split.inputs.shape[1] for split in task.splits(0).by_name.values())
