"""The engines of this machine, jobs for them, and the bits of their results; leaves the laws to tests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from persistent_host import OPTIMISED, HostLauncher, build

from blueprints import Blueprint, parse
from crucible import TaskResult
from crucible.engines.base import Engine, Job
from crucible.engines.batched import BatchedEngine
from crucible.engines.cuda.engine import PersistentEngine
from crucible.engines.kernels import AutogradKernel
from crucible.engines.native.engine import NativeEngine
from crucible.engines.native.library import find_library
from crucible.engines.reference import ReferenceEngine
from crucible.program import build_program
from curricula.task import Task

HAS_NATIVE = find_library() is not None
NEEDS_NATIVE = pytest.mark.skipif(not HAS_NATIVE, reason="the package was built without a C++ compiler")
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """An engine, and how much is asked of it.

    Attributes:
        make: makes it, with `max_seconds` and, the reference apart, with `kernels`.
        arrangements: other keywords of `make`, none of which may change a bit of a result; with the last ones
            a small job that comes first does not wait for greater ones.
        alone: keywords of `make` for a job that is trained alone, which may change no bit either.
        num_jobs: trained side by side where one is compared with many.
        max_examples: of a law about random programs, where that law's own number would take too long.
    """

    name: str
    make: Callable[..., Engine]
    arrangements: Sequence[Mapping[str, Any]] = ()
    alone: Mapping[str, Any] = field(default_factory=dict)
    num_jobs: int = 24
    max_examples: int | None = None


REFERENCE = Contender(name="reference", make=ReferenceEngine)
BATCHED = Contender(name="batched", make=BatchedEngine, arrangements=[{"chunk_bytes": 1 << 20}])
NATIVE = Contender(name="native", make=NativeEngine, arrangements=[{"num_workers": 2}], num_jobs=96)


def persistent(folder: Path) -> Contender:
    """Return the persistent engine on this host, which is slow, with libraries that `folder` takes."""
    names = {torch.float32: "float", torch.float64: "double"}
    libraries = {
        dtype: build(folder / f"{name}.so", *OPTIMISED, scalar=name) for dtype, name in names.items()
    }
    return Contender(
        name="persistent",
        make=partial(persistent_engine, libraries),
        arrangements=[{"limit": 24 << 20}, {"is_backwards": True}],
        alone={"num_threads": 2},
        num_jobs=48,
        max_examples=100,
    )


def persistent_engine(
    libraries: dict[torch.dtype, Path],
    num_threads: int = 1,
    *,
    is_backwards: bool = False,
    limit: int = 1 << 30,
    **keywords: Any,
) -> PersistentEngine:
    """Return an engine whose blocks run here, in so many threads each."""
    launcher = HostLauncher(libraries, num_threads, is_backwards=is_backwards, limit=limit)
    return PersistentEngine(launcher, **keywords)


class Doubled(AutogradKernel):
    """SIGMOID, twice as large."""

    def forward(self, x, parameters, signature):
        return 2 * torch.sigmoid(x[0])


def jobs_of(programs: Sequence[str | Blueprint], task: Task, seeds: Sequence[int] = (0,)) -> list[Job]:
    """Return a job for each program, given as tokens in one string or parsed; the seeds go round."""
    blueprints = [parse(p.split()) if isinstance(p, str) else p for p in programs]
    return [
        Job(program=build_program(b.graph, task, 16), seed=seeds[i % len(seeds)])
        for i, b in enumerate(blueprints)
    ]


def bits(result: TaskResult) -> tuple[str, bytes | None]:
    """Return a result so that equality means equality of bits; NaN equals NaN."""
    fingerprint = None if result.fingerprint is None else result.fingerprint.tobytes()
    return repr(replace(result, fingerprint=None)), fingerprint
