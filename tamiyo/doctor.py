"""What Tamiyo finds on this machine: which engine trains, on what, and why; it mends nothing."""

import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import torch

from blueprints import CORE_LANGUAGE, LANGUAGE, parse
from crucible.crucible import Crucible, find_engine, num_cores
from crucible.engines.native.library import find_library
from curricula.xor import Xor

#: Packages that training and its records need, beside torch.
PACKAGES = ("numpy", "networkx", "sqlalchemy", "lightning", "hydra-core", "wandb", "matplotlib")


def findings(device: str = "cpu") -> list[tuple[str, str]]:
    """Return (name, what was found) for all that decides how a run trains on `device`.

    A blueprint is trained for a moment, so that an engine is named that works and not one that ought to.
    """
    return [
        ("python", f"{platform.python_version()} at {sys.executable}"),
        ("torch", torch.__version__),
        *_packages(),
        ("processor", f"{platform.machine()}, {num_cores()} cores for this process"),
        ("cuda", torch.cuda.get_device_name() if torch.cuda.is_available() else "no device that torch finds"),
        *_engine(device),
    ]


def _packages() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, "missing: install tamiyo[train]"


def _engine(device: str) -> Iterator[tuple[str, str]]:
    yield "native engine", str(find_library() or "not built")
    if find_library() is None:
        compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
        yield "c++ compiler", compiler or "none found"
    with Crucible(device=device, num_workers=1) as crucible:
        name, why = find_engine("auto", torch.device(device))
        yield "engine", f"{name}: {why}"
        yield "engine id", crucible.engine_id
        yield "ops left to the batched engine", ", ".join(crucible.fallback_ops) or "none"
        (result,) = crucible.run_jobs([(parse(["RELU"], CORE_LANGUAGE), Xor(), 0)])
        yield "a ReLU on XOR", f"{result.status}, {result.score:.3f} of the held-out points right"
    yield "language", f"{len(LANGUAGE.table)} ops"
