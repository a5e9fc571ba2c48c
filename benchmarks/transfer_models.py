"""Blocks in one architecture at one number of parameters, and one training of it; chooses nothing."""

import importlib
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from benchmarks.transfer_data import DataSet, write_folder
from blueprints import Blueprint, emit
from tamiyo.expansion.assembly import assemble
from tamiyo.expansion.records import UNITS, Brief, Plan, UnitName
from tamiyo.expansion.template import TemplateDesigner

#: Depths in the order in which they are tried, and widths; an emitted block takes any width of which its own
#: fractions are whole.
DEPTHS, WIDTHS = (2, 3, 1, 4, 5, 6), range(16, 257, 2)
#: How far a model's parameters may be from those wanted, so that any two are within 5 % of each other.
TOLERANCE = 0.024
#: What all architectures share.
PLAN = Plan(
    depth=2,
    width=64,
    positions="learned",
    normalisation="layernorm",
    head="norm_linear",
    initialisation="depth_scaled",
)
#: Modules of an architecture's folder, under the names by which they import one another.
MODULES = ("block", "config", "data", "embedding", "head", "initialisation", "layer", "model", "train")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block that is compared.

    Attributes:
        name: of a human blueprint, or the id of a discovered one.
        is_human: who designed it.
        blueprint: what it is.
        reward: of the search that found it; None for people's.
    """

    name: str
    is_human: bool
    blueprint: Blueprint
    reward: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """A block's architecture at the wanted number of parameters."""

    depth: int
    width: int
    num_parameters: int


class Architecture:
    """A block's folder with its modules, at the data set's number of parameters.

    Attributes:
        sized: its depth and width; None where no size is near enough.
    """

    def __init__(self, block: Block, data_set: DataSet, root: Path) -> None:
        self.block = block
        self.data_set = data_set
        self.folder = root / f"{data_set.name}-{block.name}"
        write_folder(_files(block, data_set), self.folder)
        with imported(self.folder) as modules:
            self._modules = modules
            self._data = data_set.load(modules["data"], self._config(2, 64))
        self.sized = self._size()

    def train(self, seed: int, learning_rate: float, splits: tuple[str, ...]) -> dict[str, Any]:
        """Return what a training came to on some splits, and its processor seconds.

        A training whose loss is no number any more has None for every figure.
        """
        assert self.sized is not None
        train = self._modules["train"]
        settings = train.Settings(
            steps=self.data_set.steps,
            seed=seed,
            batch_size=self.data_set.batch_size,
            learning_rate=learning_rate,
        )
        torch.manual_seed(seed)
        model = self._modules["model"].build(self._config(self.sized.depth, self.sized.width))
        begun = time.process_time()
        try:
            train.train(model, self._data, settings)
        except FloatingPointError:
            return {"cpu_s": time.process_time() - begun, **dict.fromkeys(splits)}
        spent = time.process_time() - begun
        return {"cpu_s": spent, **{split: train.evaluate(model, self._data, split) for split in splits}}

    def _config(self, depth: int, width: int) -> Any:
        settings = {**asdict(PLAN), "depth": depth, "width": width, **self.data_set.sizes}
        return self._modules["config"].Config(target=self.data_set.target, **settings)

    def _size(self) -> Sized | None:
        """Return the size nearest to the wanted one at the first depth that has one near enough."""
        wanted = self.data_set.num_parameters
        for depth in DEPTHS:
            near = []
            for width in WIDTHS:
                num = self._count(depth, width)
                if num is not None and abs(num / wanted - 1) <= TOLERANCE:
                    near.append((abs(num - wanted), width, num))
                if num is not None and num > 2 * wanted:
                    break
            if near:
                _, width, num = min(near)
                return Sized(depth=depth, width=width, num_parameters=num)
        return None

    def _count(self, depth: int, width: int) -> int | None:
        """Return the parameters at a size, or None where the block's fractions of the width are not whole."""
        try:
            model = self._modules["model"].build(self._config(depth, width))
            inputs, _ = self._data.batch("train", 2, torch.Generator().manual_seed(0))
            model(inputs)
        except (RuntimeError, ValueError, AssertionError, ZeroDivisionError):
            return None
        return sum(parameter.numel() for parameter in model.parameters())


def _files(block: Block, data_set: DataSet) -> Mapping[str, bytes]:
    brief = Brief(
        blueprint_id=block.name,
        tokens=block.blueprint.tokens,
        target=data_set.target,
        block_source=emit(block.blueprint),
    )
    designer = TemplateDesigner()
    units: dict[UnitName, str] = {name: designer.unit(brief, PLAN, name) for name in UNITS}
    return assemble(brief, PLAN, units, {"made_by": "benchmarks/transfer.py"})


@contextmanager
def imported(folder: Path) -> Iterator[dict[str, ModuleType]]:
    """Import an architecture's modules and forget their names, which those of the next one have too."""
    sys.path.insert(0, str(folder))
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        importlib.invalidate_caches()
        yield {name: importlib.import_module(name) for name in MODULES}
    finally:
        sys.dont_write_bytecode = writes
        sys.path.remove(str(folder))
        for name in MODULES:
            sys.modules.pop(name, None)
