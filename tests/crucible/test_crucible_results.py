"""A result depends on blueprint, task, seed and engine alone; a hostile blueprint ends alone."""

import importlib
import random
import time

import numpy as np
import pytest
import torch
from engines_here import HAS_NATIVE, bits

from blueprints import IDENTITY, Blueprint, parse
from crucible import Crucible
from crucible.crucible import find_engine
from crucible.devices import find_device
from crucible.engines.kernels import AutogradKernel
from crucible.errors import CrucibleError
from curricula.xor import Xor

#: Every engine that a Crucible has here; tests/test_house.py says that setup builds the native one.
ENGINES = ("reference", "batched", "native") if HAS_NATIVE else ("reference", "batched")


@pytest.fixture(scope="module", params=ENGINES[1:])
def pair(request):
    with (
        Crucible(engine=request.param, num_workers=1) as one,
        Crucible(engine=request.param, num_workers=2) as two,
    ):
        yield one, two


def test_bits_are_equal_alone_and_among_a_thousand_on_xor(pair, random_blueprints, short_xor) -> None:
    """The native engine's among 1,024, the batched engine's, which takes longer, among 512."""
    one, two = pair
    seeds = (0, 1) if one.engine_id.startswith("native") else (0,)
    runs = [(b, short_xor, seed) for seed in seeds for b in random_blueprints]
    together = [bits(r) for r in one.run_jobs(runs, fingerprints=True)]
    for i in range(0, len(runs), 16):
        assert bits(one.run_jobs([runs[i]], fingerprints=True)[0]) == together[i], runs[i][0].tokens
    order = list(range(len(runs)))
    random.Random(0).shuffle(order)
    shuffled = two.run_jobs([runs[i] for i in order], fingerprints=True)
    assert [bits(r) for r in shuffled] == [together[i] for i in order]


def test_bits_are_equal_alone_and_in_company_on_temporal(pair, random_blueprints, short_temporal) -> None:
    one, two = pair
    runs = [(b, short_temporal, i % 3) for i, b in enumerate(random_blueprints[:192])]
    together = [bits(r) for r in one.run_jobs(runs, fingerprints=True)]
    for i in range(0, 192, 8):
        assert bits(one.run_jobs([runs[i]], fingerprints=True)[0]) == together[i], runs[i][0].tokens
    shuffled = two.run_jobs(runs[::-1], fingerprints=True)
    assert [bits(r) for r in shuffled] == together[::-1]


class Burst(AutogradKernel):
    """SIGMOID that overflows from the first step on."""

    def forward(self, x, parameters, signature):
        return torch.exp(x[0] * 1e4)


class Poison(AutogradKernel):
    """SIGMOID whose gradient is NaN although its value is fine."""

    def forward(self, x, parameters, signature):
        return torch.sqrt(torch.relu(x[0]) * 0.0)


#: SIGMOID that kills the process it runs in; a module of its own, so that a worker can import it.
DEADLY = """
import os, signal
from crucible.engines.kernels import AutogradKernel

class Deadly(AutogradKernel):
    def forward(self, x, parameters, signature):
        os.kill(os.getpid(), signal.SIGKILL)
"""


#: SIGMOID that says so and never comes back.
HANGING = """
import pathlib, time
from crucible.engines.kernels import AutogradKernel

class Hanging(AutogradKernel):
    def forward(self, x, parameters, signature):
        pathlib.Path(__file__).with_name("called").touch()
        time.sleep(3600)
"""


class Sluggish(AutogradKernel):
    """SIGMOID that takes seconds."""

    def forward(self, x, parameters, signature):
        time.sleep(1.0)
        return torch.sigmoid(x[0])


VICTIM = parse("LINEAR OUT_DIM_IN SIGMOID LINEAR OUT_DIM_IN".split())


def healthy(blueprints: list[Blueprint]) -> list[Blueprint]:
    return [b for b in blueprints if all(n.op != "SIGMOID" for n in b.graph.all_nodes())][:15]


@pytest.mark.parametrize("kernel", [Burst(), Poison()])
def test_a_blueprint_that_is_not_finite_ends_alone(kernel, random_blueprints, short_xor) -> None:
    company = healthy(random_blueprints)
    with Crucible(num_workers=1) as plain:
        before = plain.run_jobs([(b, short_xor, 0) for b in company])
    with Crucible(num_workers=1, kernels={"SIGMOID": kernel}) as hostile:
        runs = [(b, short_xor, 0) for b in [*company[:7], VICTIM, *company[7:]]]
        after = hostile.run_jobs(runs, fingerprints=False)
    victim = after.pop(7)
    assert victim.status == "diverged"
    assert victim.nonfinite_step == 0
    assert victim.score == 0.0
    assert "step 0" in victim.reason
    assert [bits(r) for r in after] == [bits(r) for r in before]


@pytest.mark.parametrize("cap", ["max_parameters", "max_flops", "max_memory_bytes"])
def test_an_oversize_blueprint_is_rejected_alone(cap, short_xor) -> None:
    big = parse("LINEAR OUT_DIM_QUAD RELU LINEAR OUT_DIM_IN".split())
    small = parse(["RELU"])
    limit = {"max_parameters": 1000, "max_flops": 1000, "max_memory_bytes": 60_000}[cap]
    with Crucible(num_workers=1, **{cap: limit}) as crucible:
        rejected, fine = crucible.evaluate([big, small], [short_xor], [0])
    assert rejected.status == "rejected"
    assert cap in rejected.results[0].reason
    assert fine.status == "ok"


def test_a_blueprint_that_kills_its_worker_is_crashed_alone(
    random_blueprints, short_xor, tmp_path, monkeypatch
) -> None:
    company = healthy(random_blueprints)[:8]
    (tmp_path / "deadly_kernel.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(tmp_path)
    kernel = importlib.import_module("deadly_kernel").Deadly()
    with Crucible(num_workers=1) as plain:
        before = plain.run_jobs([(b, short_xor, 0) for b in company])
    with Crucible(num_workers=2, kernels={"SIGMOID": kernel}) as hostile:
        after = hostile.run_jobs([(b, short_xor, 0) for b in [*company[:7], VICTIM, *company[7:]]])
    victim = after.pop(7)
    assert victim.status == "crashed"
    assert "-9" in victim.reason
    assert [bits(r) for r in after] == [bits(r) for r in before]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_deadline_ends_a_training_that_takes_longer(engine, num_workers, short_xor) -> None:
    slow = Xor(name="slow", num_train=4096, batch_size=16, epochs=2_000)
    with Crucible(engine=engine, num_workers=num_workers, max_seconds=0.2) as crucible:
        begun = time.monotonic()
        results = crucible.run_jobs([(VICTIM, slow, 0), (VICTIM, slow, 1)])
        seconds = time.monotonic() - begun
    assert [(r.status, r.reason, r.seed) for r in results] == [
        ("timed_out", "not done after 0.2 seconds", 0),
        ("timed_out", "not done after 0.2 seconds", 1),
    ]
    assert seconds < 60, "the deadline ended the work"
    with Crucible(engine=engine, num_workers=num_workers, max_seconds=60) as crucible:
        (result,) = crucible.run_jobs([(VICTIM, short_xor, 0)])
    assert result.status == "ok"


def test_a_slow_blueprint_does_not_take_its_chunk_with_it(random_blueprints, short_xor) -> None:
    company = healthy(random_blueprints)[:7]
    with Crucible(engine="batched", num_workers=1) as plain:
        before = plain.run_jobs([(b, short_xor, 0) for b in company])
    with Crucible(
        engine="batched", num_workers=1, max_seconds=3.0, kernels={"SIGMOID": Sluggish()}
    ) as hostile:
        after = hostile.run_jobs([(b, short_xor, 0) for b in [*company[:3], VICTIM, *company[3:]]])
    victim = after.pop(3)
    assert victim.status == "timed_out"
    assert [bits(r) for r in after] == [bits(r) for r in before]


def test_a_worker_that_hangs_is_killed(tmp_path, monkeypatch, short_xor) -> None:
    (tmp_path / "hanging_kernel.py").write_text(HANGING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("crucible.engines.batched.GRACE_SECONDS", 2.0)
    kernel = importlib.import_module("hanging_kernel").Hanging()
    with Crucible(engine="batched", num_workers=2, max_seconds=8.0, kernels={"SIGMOID": kernel}) as hostile:
        (result,) = hostile.run_jobs([(VICTIM, short_xor, 0)])
    assert (tmp_path / "called").exists()
    assert result.status == "timed_out"


def test_what_a_worker_cannot_import_is_trained_here(random_blueprints, short_xor) -> None:
    class Local(AutogradKernel):
        def forward(self, x, parameters, signature):
            return torch.sigmoid(x[0])

    with Crucible(num_workers=2, kernels={"SIGMOID": Local()}) as crucible:
        (result,) = crucible.run_jobs([(VICTIM, short_xor, 0)])
    assert result.status == "ok"


def test_wrong_arguments_are_named(short_xor) -> None:
    for keywords, words in (
        ({"width": 20}, "multiple of 16"),
        ({"num_workers": 0}, "num_workers = 0"),
        ({"max_flops": 0}, "max_flops = 0"),
        ({"max_seconds": 0.0}, "max_seconds = 0"),
        ({"engine": "magic"}, "engine 'magic' is unknown"),
        ({"device": "abacus"}, "device 'abacus'"),
    ):
        with pytest.raises(CrucibleError, match=words):
            Crucible(**keywords)
    with Crucible(num_workers=1) as crucible:
        with pytest.raises(CrucibleError, match="0 tasks"):
            crucible.evaluate([IDENTITY], [], [0])
        with pytest.raises(CrucibleError, match="seed -1"):
            crucible.evaluate([IDENTITY], [short_xor], [-1])
        with pytest.raises(CrucibleError, match="no blueprint"):
            crucible.evaluate(["RELU"], [short_xor], [0])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_cuda_one_line_says_so() -> None:
    with pytest.raises(CrucibleError, match="no CUDA device") as caught:
        Crucible(device="cuda")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["meta", "mps", "xpu", "quantum", "cuda:7", "cuda:-1", "cpu:0", "CPU", "", "cpu\n"]
)
def test_a_device_that_the_crucible_cannot_use_is_one_clear_line(name, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(CrucibleError, match="expected") as caught:
        find_device(name)
    assert repr(name)[1:-1] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_devices_that_are_there_are_found(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("cpu", "cuda", "cuda:0", "cuda:1"):
        assert find_device(name) == torch.device(name)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_trains_to_the_scores_of_the_cpu(human_blueprints) -> None:
    scores = []
    for device in ("cpu", "cuda"):
        with Crucible(device=device) as crucible:
            evaluations = crucible.evaluate(human_blueprints, [Xor()], [0])
            scores.append(np.mean([e.results[0].score for e in evaluations]))
    assert scores[0] == pytest.approx(scores[1], abs=0.03)


def test_an_evaluation_says_what_the_blueprint_costs(short_xor, short_temporal) -> None:
    blueprint = parse("CONV1D KERNEL_3 CHANNELS_IN".split())
    with Crucible(num_workers=1) as crucible:
        (evaluation,) = crucible.evaluate([blueprint], [short_xor, short_temporal], [0, 1], fingerprints=True)
    assert [(r.task, r.seed) for r in evaluation.results] == [
        ("xor", 0),
        ("xor", 1),
        ("temporal", 0),
        ("temporal", 1),
    ]
    assert evaluation.num_parameters == 3 * 16 * 16 + 16
    assert evaluation.flops == 24 * 2 * 3 * 16 * 16
    assert evaluation.blueprint_id == blueprint.id
    assert evaluation.latency_us is None
    assert all(r.fingerprint.shape == (256, 16) for r in evaluation.results)
    assert evaluation.engine_id.startswith(find_engine("auto", torch.device("cpu"))[0])
