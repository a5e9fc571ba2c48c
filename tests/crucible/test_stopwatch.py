"""The stopwatch: who runs when, what is made of the times by hand, and what it refuses."""

import itertools
import statistics
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from blueprints import parse
from crucible.devices import device_model
from crucible.errors import CrucibleError
from crucible.stopwatch import LEAST_REPEATS, REFERENCE_SHAPE, REPEATS, WARM_UP, Stopwatch, _reference

_RELU = parse(["RELU"]).graph
_X = [torch.zeros(1)]


class Recorded:
    """A clock on which each pass takes the next recorded seconds; between passes no time goes by."""

    def __init__(self, *pairs: tuple[float, float]) -> None:
        """Take the seconds of reference and module for each repeat, warm-up aside."""
        warm_up = [(100.0, 100.0)] * WARM_UP
        self._readings = self._all([*warm_up, *pairs])

    def __call__(self) -> float:
        return next(self._readings)

    @staticmethod
    def _all(pairs: list[tuple[float, float]]) -> Iterator[float]:
        now = 0.0
        for reference, module in pairs:
            yield now
            yield (now := now + reference)
            yield (now := now + module)


class Listed(nn.Module):
    """A module that notes its passes, and under what they run."""

    def __init__(self, name: str, passes: list[tuple[str, bool, int]]) -> None:
        super().__init__()
        self.name, self.passes = name, passes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes.append((self.name, torch.is_inference_mode_enabled(), torch.get_num_threads()))
        return x


def test_reference_and_module_take_turns_on_one_thread_in_inference_mode(monkeypatch) -> None:
    passes: list[tuple[str, bool, int]] = []
    monkeypatch.setattr("crucible.stopwatch._reference", lambda width: Listed("reference", passes))
    before = torch.get_num_threads()
    pairs = Stopwatch().pairs(Listed("module", passes), _X, repeats=4)
    expected = [("reference", True, 1), ("module", True, 1)] * (WARM_UP + 4)
    assert passes == expected
    assert len(pairs.module_us) == len(pairs.reference_us) == 4
    assert torch.get_num_threads() == before


def test_medians_spread_and_ratio_are_those_worked_out_by_hand() -> None:
    seconds = [(2.0, 1.0), (1.0, 3.0), (4.0, 2.0), (1.0, 9.0), (5.0, 5.0)]
    latency = Stopwatch(clock=Recorded(*seconds), budget_s=0.0).measure(_RELU)
    assert latency.repeats == 5
    assert latency.median_us == pytest.approx(3e6)  # of 1, 2, 3, 5, 9
    assert latency.spread_us == pytest.approx(3e6)  # from 2 to 5
    assert latency.reference_us == pytest.approx(2e6)  # of 1, 1, 2, 4, 5
    assert latency.ratio == pytest.approx(1.0)  # of 0.5, 0.5, 1, 3, 9; not 3 / 2


def test_a_machine_that_slows_down_half_way_moves_the_medians_and_not_the_ratio() -> None:
    calm = [(1.0, 3.0)] * 6
    slow = [(1.0, 3.0)] * 2 + [(4.0, 12.0)] * 4
    first, second = (Stopwatch(clock=Recorded(*s), budget_s=23.0).measure(_RELU) for s in (calm, slow))
    assert second.repeats == LEAST_REPEATS
    assert second.median_us == pytest.approx(4 * first.median_us)
    assert first.ratio == second.ratio == pytest.approx(3.0)


def test_a_measurement_ends_with_its_budget_but_not_before_its_fewest_repeats() -> None:
    def repeats(budget_s: float, seconds: float) -> int:
        clock = Recorded(*itertools.repeat((seconds, seconds), REPEATS + 1))
        return Stopwatch(clock=clock, budget_s=budget_s).measure(_RELU).repeats

    assert repeats(budget_s=20.0, seconds=1.0) == 10
    assert repeats(budget_s=1.0, seconds=1.0) == LEAST_REPEATS
    assert repeats(budget_s=1e9, seconds=1.0) == REPEATS


@pytest.mark.parametrize("still", [(0.0, 3.0), (3.0, 0.0), (0.0, 0.0)])
def test_a_repeat_during_which_the_clock_stood_still_is_made_again(still) -> None:
    seconds = [(1.0, 2.0), still, (1.0, 2.0), (1.0, 2.0), still, (1.0, 2.0), (1.0, 2.0)]
    latency = Stopwatch(clock=Recorded(*seconds), budget_s=0.0).measure(_RELU)
    assert latency.repeats == LEAST_REPEATS
    assert (latency.median_us, latency.spread_us, latency.ratio) == pytest.approx((2e6, 0.0, 2.0))


def test_a_clock_that_never_goes_on_is_refused() -> None:
    with pytest.raises(CrucibleError, match="stood still in 6 of 6 timed passes"):
        Stopwatch(clock=lambda: 1.0).measure(_RELU)


def test_the_record_says_what_was_measured_where() -> None:
    latency = Stopwatch(budget_s=0.0).measure(_RELU, width=32, time=4, batch_size=8)
    assert (latency.width, latency.time, latency.batch_size) == (32, 4, 8)
    assert latency.device == device_model(torch.device("cpu"))
    kind, _, model = latency.device.partition("/")
    assert kind == "cpu"
    assert model


def test_the_module_gets_inputs_of_the_shape_that_was_asked_for(monkeypatch) -> None:
    shapes = []

    def compiled(graph, width, language):
        module = nn.Identity()
        module.register_forward_pre_hook(lambda _, x: shapes.append((tuple(x[0].shape), module.training)))
        return module

    monkeypatch.setattr("crucible.stopwatch.compile_blueprint", compiled)
    Stopwatch(budget_s=0.0).measure(_RELU, width=32, time=4, batch_size=8)
    assert set(shapes) == {((8, 4, 32), False)}


def test_more_of_the_same_work_has_a_higher_ratio() -> None:
    stopwatch = Stopwatch()
    once, often = parse(["GRU"]).graph, parse(["GRU", "TANH", "GRU", "TANH", "GRU", "TANH", "GRU"]).graph
    ratios = [[stopwatch.measure(graph).ratio for graph in (once, often)] for _ in range(3)]
    one, four = (statistics.median(column) for column in zip(*ratios, strict=True))
    assert 1.5 * one < four


def test_the_reference_beside_itself_is_about_1() -> None:
    x = torch.ones(REFERENCE_SHAPE)
    ratios = [Stopwatch().pairs(_reference(REFERENCE_SHAPE[-1]), [x]).ratio for _ in range(5)]
    assert 0.5 < statistics.median(ratios) < 2.0


def test_measuring_draws_nothing_from_the_global_generator() -> None:
    before = torch.get_rng_state()
    Stopwatch(budget_s=0.0).measure(parse(["LINEAR", "OUT_DIM_IN"]).graph)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"width": 24}, "width = 24; expected a positive multiple of 16"),
        ({"width": 0}, "width = 0; expected"),
        ({"time": 0}, "time = 0 and batch_size = 32; expected at least 1"),
        ({"batch_size": 0}, "time = 16 and batch_size = 0; expected at least 1"),
    ],
)
def test_sizes_that_no_module_has_are_refused(asked: dict[str, int], words: str) -> None:
    with pytest.raises(CrucibleError, match=words):
        Stopwatch().measure(_RELU, **asked)


def test_a_device_that_is_not_there_and_a_budget_below_zero_are_refused() -> None:
    with pytest.raises(CrucibleError, match="device 'quantum' is none that the Crucible uses"):
        Stopwatch("quantum")
    for budget_s in (-1.0, float("nan")):
        with pytest.raises(CrucibleError, match=r"budget_s = .*; expected at least 0 seconds"):
            Stopwatch(budget_s=budget_s)
    with pytest.raises(CrucibleError, match="0 repeats; expected at least 1"):
        Stopwatch().pairs(nn.Identity(), _X, repeats=0)
