"""The contract of a training engine: jobs in, task results out; leaves how to train to the engines."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from crucible.evaluation import TaskResult
from crucible.program import Program
from curricula.task import Task

#: Called now and then with the number of jobs finished since the last call, perhaps none; what it raises
#: ends the work.
Progress = Callable[[int], None]
#: Seconds that one job may take, unless the caller says otherwise: far beyond what the caps on cost allow.
MAX_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training run: a program from one seed; a rung ends it only if it competes."""

    program: Program
    seed: int
    competes: bool = True


class Engine(ABC):
    """Trains jobs of one task. Attributes: `name`, `version`, `device`, `cohort`."""

    name: str
    #: Raised whenever a change of the engine may change a result.
    version: int
    device: torch.device
    #: Jobs that are enough for one call, where `train` may be called in several threads at once and tells its
    #: progress when the training begins; None where one call should have all.
    cohort: int | None = None

    @property
    def engine_id(self) -> str:
        """Everything about the engine that decides a result's bits; part of every cache key."""
        cuda = self.device.type == "cuda"
        unit = torch.cuda.get_device_name(self.device) if cuda else torch.backends.cpu.get_cpu_capability()
        return f"{self.name}-{self.version}/torch-{torch.__version__}/{self.device.type}/{unit}"

    def missing_ops(self, ops: Iterable[str]) -> frozenset[str]:
        """Return which of `ops` this engine leaves to another one."""
        return frozenset()

    @abstractmethod
    def train(
        self,
        jobs: Sequence[Job],
        task: Task,
        *,
        fingerprints: bool = False,
        progress: Progress | None = None,
    ) -> list[TaskResult]:
        """Train and examine every job; results in the order of the jobs."""

    @abstractmethod
    def loss_and_gradients(
        self,
        programs: Sequence[Program],
        parameters: Sequence[torch.Tensor],
        inputs: torch.Tensor,
        targets: torch.Tensor,
        dtype: torch.dtype = torch.float32,
    ) -> list[tuple[float, torch.Tensor]]:
        """Return, for each program at its flat parameters, the loss and the flat gradient on one batch.

        Inputs and targets are as a `Split` holds them. All programs are of one task.
        """

    def close(self) -> None:
        """Release processes and memory; the engine starts them again when it is used again."""
        return


class Deadline:
    """So many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        """Raise a TimeoutError once the time is over."""
        if time.monotonic() > self._end:
            raise TimeoutError(f"not done after {self.seconds:g} seconds")


def timed_out(job: Job, task: Task, max_seconds: float) -> TaskResult:
    """Return the result of a job that its deadline ended."""
    reason = f"not done after {max_seconds:g} seconds"
    return TaskResult(task=task.name, seed=job.seed, status="timed_out", reason=reason)


@contextmanager
def single_thread() -> Iterator[None]:
    """Let torch use one thread for a while: more only slow small ops down, and change their bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
