"""Measures forward latency, each pass beside one of a fixed reference module; predicts nothing."""

import time as time_module
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from blueprints.compiler import compile_blueprint
from blueprints.graph import Graph
from blueprints.language import LANGUAGE, Language
from crucible.devices import device_model, find_device
from crucible.engines.base import single_thread
from crucible.errors import CrucibleError
from crucible.evaluation import MeasuredLatency

#: Passes of module and reference before the first that counts.
WARM_UP = 3
#: Most and fewest repeats of one measurement.
REPEATS, LEAST_REPEATS = 51, 5
#: Shape of the reference's input, `[B, T, D]`; the same whatever is measured.
REFERENCE_SHAPE = (32, 16, 16)


class Pairs(NamedTuple):
    """The repeats of one measurement, `[R]` microseconds: of the module, and of the reference before it."""

    module_us: np.ndarray
    reference_us: np.ndarray

    @property
    def ratio(self) -> float:
        """Median over the repeats of module over reference."""
        return float(np.median(self.module_us / self.reference_us))


class Stopwatch:
    """Times modules on one device, on one thread, in inference mode.

    Each repeat runs the reference, a two-layer perceptron of a fixed size, and then the module: whatever
    slows the machine for longer than a repeat slows both and leaves their ratio. On a CPU the clock is the
    thread's own, which stands still while the system runs somebody else; on a GPU it is the wall's, up to
    the end of the last kernel.
    """

    def __init__(
        self, device: str = "cpu", *, budget_s: float = 0.05, clock: Callable[[], float] | None = None
    ) -> None:
        """Prepare the reference.

        Args:
            device: `cpu`, `cuda` or `cuda:i`.
            budget_s: seconds after which a measurement ends, once it has its fewest repeats.
            clock: seconds from any start; None takes the clock of the device.

        Raises:
            CrucibleError: for a device that is not there, or a budget below 0.
        """
        if not budget_s >= 0:
            raise CrucibleError(f"budget_s = {budget_s}; expected at least 0 seconds a measurement")
        self.device = find_device(device)
        self.budget_s = budget_s
        is_cuda = self.device.type == "cuda"
        self._clock = clock or (time_module.perf_counter if is_cuda else time_module.thread_time)
        generator = torch.Generator().manual_seed(0)
        with torch.random.fork_rng(devices=[]):
            self._reference = _reference(REFERENCE_SHAPE[-1]).to(self.device)
        self._input = torch.randn(REFERENCE_SHAPE, generator=generator).to(self.device)

    def measure(
        self,
        graph: Graph,
        *,
        width: int = 16,
        time: int = 16,
        batch_size: int = 32,
        language: Language = LANGUAGE,
    ) -> MeasuredLatency:
        """Return the latency of the compiled module of `graph` on random inputs `[batch_size, time, width]`.

        Raises:
            CrucibleError: for a width that no host has, no steps or no examples.
        """
        if width < 16 or width % 16:
            raise CrucibleError(f"width = {width}; expected a positive multiple of 16")
        if time < 1 or batch_size < 1:
            raise CrucibleError(f"time = {time} and batch_size = {batch_size}; expected at least 1 each")
        # Modules draw their initial values from the global generator, which is the caller's.
        with torch.random.fork_rng(devices=[]):
            module = compile_blueprint(graph, width, language).to(self.device).eval()
        generator = torch.Generator().manual_seed(0)
        x_BTD = torch.randn(batch_size, time, width, generator=generator).to(self.device)
        pairs = self.pairs(module, [x_BTD])
        low, high = np.quantile(pairs.module_us, (0.25, 0.75))
        return MeasuredLatency(
            device=device_model(self.device),
            width=width,
            time=time,
            batch_size=batch_size,
            median_us=float(np.median(pairs.module_us)),
            spread_us=float(high - low),
            reference_us=float(np.median(pairs.reference_us)),
            ratio=pairs.ratio,
            repeats=len(pairs.module_us),
        )

    def pairs(
        self, module: Callable[..., object], inputs: Sequence[torch.Tensor], repeats: int = REPEATS
    ) -> Pairs:
        """Return the times of `module` on `inputs` beside the reference's, at most `repeats` of them.

        A repeat during which the clock stood still is made again: a virtual machine's clock of a thread
        does so now and then.

        Raises:
            CrucibleError: for no repeats, or a clock that stands still more often than it goes.
        """
        if repeats < 1:
            raise CrucibleError(f"{repeats} repeats; expected at least 1")
        passes: list[tuple[float, float]] = []
        stood_still = 0
        with single_thread(), torch.inference_mode():
            for _ in range(WARM_UP):
                self._pair(module, inputs)
            spent = 0.0
            while len(passes) < repeats and (len(passes) < LEAST_REPEATS or spent < self.budget_s):
                pair = self._pair(module, inputs)
                if min(pair) > 0:
                    passes.append(pair)
                    spent += sum(pair)
                    continue
                stood_still += 1
                if stood_still > max(len(passes), LEAST_REPEATS):
                    raise CrucibleError(
                        f"the clock of {self.device} stood still in {stood_still} of"
                        f" {stood_still + len(passes)} timed passes; expected it to go on during a pass:"
                        " latency cannot be measured on this machine (crucible.latency_table takes a table"
                        " of another)"
                    )
        reference_s, module_s = np.array(passes).T
        return Pairs(module_s * 1e6, reference_s * 1e6)

    def _pair(self, module: Callable[..., object], inputs: Sequence[torch.Tensor]) -> tuple[float, float]:
        """Return the seconds of one pass of the reference and of one of the module behind it."""
        start = self._now()
        self._reference(self._input)
        between = self._now()
        module(*inputs)
        return between - start, self._now() - between

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self._clock()


def _reference(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)).eval()
