"""The native engine == the reference in float64, op by op and for random programs; a result has one value.

The reference differentiates the compiled module by autograd, which equals the reference interpreter
(tests/blueprints). By transitivity the native engine trains what the language says.
"""

import random
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_crucible_results import bits
from test_engine_equality import OP_PROGRAMS, assert_near

from blueprints import CORE_LANGUAGE, LANGUAGE, Blueprint, parse, random_program
from crucible import Crucible
from crucible.engines import native
from crucible.engines.base import Job
from crucible.engines.batched import BatchedEngine
from crucible.engines.kernels import AutogradKernel
from crucible.engines.native import library
from crucible.engines.native.engine import NativeEngine
from crucible.engines.native.records import ops_of
from crucible.engines.reference import ReferenceEngine
from crucible.errors import CrucibleError
from crucible.initialisation import initial_parameters
from crucible.program import build_program
from curricula.task import Split, Splits, Task
from curricula.temporal import Temporal
from curricula.xor import Xor

if library.find_library() is None:
    pytest.skip("the package was built without a C++ compiler", allow_module_level=True)

VARIANTS = ("avx512", "avx2", "generic")


def variants_here() -> list[str]:
    """Return the variants that this processor runs: its best one and all that are less."""
    best = library.load_library().variant
    return list(VARIANTS[VARIANTS.index(best) :])


def jobs_of(programs: list[str], task: Task, seed: int = 0) -> list[Job]:
    return [Job(program=build_program(parse(p.split()).graph, task, 16), seed=seed) for p in programs]


def assert_gradients_agree(
    blueprints: list[Blueprint], task: Task, variant: str | None = None, *, seed: int = 0, **data: int
) -> None:
    """Compare as tests/crucible/test_engine_equality.py does; `data` may give `steps` and `batch`.

    In float64 a loss may be off by rounding alone. In float32 a program amplifies rounding by itself; there
    the native one may be ten times as far from the truth as the reference's own.
    """
    programs = [build_program(blueprint.graph, task, 16) for blueprint in blueprints]
    parameters = [initial_parameters(program, seed) for program in programs]
    train, batch = task.splits(seed).train, data.get("batch", 32)
    arguments = (programs, parameters, train.inputs[:batch, : data.get("steps")], train.targets[:batch])
    engine = NativeEngine(variant=variant)
    truths = ReferenceEngine().loss_and_gradients(*arguments, torch.float64)
    doubles = engine.loss_and_gradients(*arguments, torch.float64)
    rounded = ReferenceEngine().loss_and_gradients(*arguments, torch.float32)
    singles = engine.loss_and_gradients(*arguments, torch.float32)
    for blueprint, *results in zip(blueprints, truths, doubles, rounded, singles, strict=True):
        (loss, gradient), (loss64, gradient64), (own_loss, own_gradient), (loss32, gradient32) = results
        scale, message = float(gradient.abs().max()), str(blueprint)
        assert_near(loss64, loss, loss, 1e-12 * max(1.0, abs(loss)), message)
        assert_near(gradient64, gradient, gradient, 1e-11 * max(1.0, scale), message)
        own = 10 * abs(own_loss - loss)
        assert_near(loss32, loss, own_loss, max(2e-5 * max(1.0, abs(loss)), own), message)
        own = 10 * float((own_gradient - gradient).abs().max())
        assert_near(gradient32, gradient, own_gradient, max(2e-4 * scale + 1e-7, own), message)


@pytest.mark.parametrize("op", sorted((*LANGUAGE.table, "LOOP", "SCAN")))
def test_every_native_op_has_the_gradients_of_its_module(op: str) -> None:
    blueprint = parse(OP_PROGRAMS[op].split())
    assert not NativeEngine().missing_ops(ops_of(build_program(blueprint.graph, Xor(), 16)))
    assert any(node.op == op for node in blueprint.graph.nodes)
    for variant in variants_here():
        assert_gradients_agree([blueprint], Xor(), variant)
        for steps in (2, 5, 16):
            assert_gradients_agree([blueprint], Temporal(), variant, steps=steps)


ACTIVATIONS = {
    "ABS": torch.abs,
    "ELU": torch.nn.functional.elu,
    "GELU": torch.nn.functional.gelu,
    "HARD_SWISH": torch.nn.functional.hardswish,
    "LEAKY_RELU": torch.nn.functional.leaky_relu,
    "MISH": torch.nn.functional.mish,
    "RELU": torch.relu,
    "SIGMOID": torch.sigmoid,
    "SILU": torch.nn.functional.silu,
    "SIN": torch.sin,
    "SOFTPLUS": torch.nn.functional.softplus,
    "SQUARE_RELU": lambda x: torch.relu(x).square(),
    "TANH": torch.tanh,
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("op", ACTIVATIONS)
def test_activations_and_their_slopes_are_as_near_the_truth_as_is_said(op: str, variant: str) -> None:
    """The bound stands in src/functions.h; places are dense around zero and reach far out."""
    if variant not in variants_here():
        pytest.skip(f"the processor has no {variant}")
    near = np.linspace(-12, 12, 20_000)
    far = np.geomspace(1e-12, 1e15, 4_992)
    x = np.concatenate([near, far, -far]).astype(np.float32)
    values, slopes = library.load_library().activate(op, x, variant)
    place = torch.from_numpy(x).double().requires_grad_()
    true_values = ACTIVATIONS[op](place)
    (true_slopes,) = torch.autograd.grad(true_values.sum(), place)
    for came, true in ((values, true_values), (slopes, true_slopes)):
        true = true.detach().numpy()
        error = np.abs(came - true) / np.maximum(np.abs(true), 1)
        assert error.max() < 1e-6, f"{error.max()} at {x[error.argmax()]}"


@pytest.mark.parametrize("op", ACTIVATIONS)
def test_what_is_undefined_stays_undefined(op: str) -> None:
    values, _ = library.load_library().activate(op, np.full(16, np.nan, np.float32), variants_here()[0])
    assert np.isnan(values).all()


@given(seed=st.integers(0, 2**31), batch=st.integers(1, 33), sequence=st.booleans(), core=st.booleans())
def test_random_programs_have_the_gradients_of_their_modules(
    seed: int, batch: int, sequence: bool, core: bool
) -> None:
    rng = random.Random(seed)
    program = random_program(rng, CORE_LANGUAGE, min_ops=1, max_ops=12) if core else random_program(rng)
    task = Temporal() if sequence else Xor()
    assert_gradients_agree([parse(program)], task, seed=seed % 1000, batch=batch)


def test_human_blueprints_have_the_gradients_of_their_modules(human_blueprints: list[Blueprint]) -> None:
    for variant in variants_here():
        assert_gradients_agree(human_blueprints, Temporal(), variant)


@pytest.mark.parametrize(
    "program",
    [
        "LOOP_START REPEAT_2 SAVE TAP_0 TANH POOL_MEAN ADD TAP_0 LOOP_END",
        "SAVE TAP_3 TANH BLEND TAP_3 TAP_3",
        "CONV1D KERNEL_5 CHANNELS_QUARTER GRU LINEAR OUT_DIM_IN",
    ],
    ids=["a pool in a loop", "a blend of one value with itself", "a cell narrower than a register"],
)
def test_programs_that_once_went_wrong_have_the_gradients_of_their_modules(program: str) -> None:
    for variant in variants_here():
        assert_gradients_agree([parse(program.split())], Temporal(), variant)


def test_a_wider_host_has_the_gradients_of_its_module() -> None:
    task = Temporal()
    blueprint = parse("CONV1D KERNEL_5 CHANNELS_QUAD GELU LINEAR OUT_DIM_HALF GRU LINEAR OUT_DIM_IN".split())
    program = build_program(blueprint.graph, task, 48)
    train, flat_P = task.splits(0).train, initial_parameters(program, 0)
    arguments = ([program], [flat_P], train.inputs, train.targets, torch.float64)
    ((true_loss, true_P),) = ReferenceEngine().loss_and_gradients(*arguments)
    ((loss, gradient_P),) = NativeEngine().loss_and_gradients(*arguments)
    assert loss == pytest.approx(true_loss, abs=1e-12)
    assert float((gradient_P - true_P).abs().max()) < 1e-11


def test_short_trainings_agree_in_losses_and_representations(random_blueprints: list[Blueprint]) -> None:
    task = Temporal(epochs=1, learning_rate=1e-4)
    jobs = [Job(program=build_program(b.graph, task, 16), seed=1) for b in random_blueprints[:24]]
    reference = ReferenceEngine().train(jobs, task, fingerprints=True)
    interpreted = NativeEngine().train(jobs, task, fingerprints=True)
    for a, b in zip(reference, interpreted, strict=True):
        assert a.loss_first == pytest.approx(b.loss_first, rel=1e-5)
        assert a.loss_last == pytest.approx(b.loss_last, rel=1e-3)
        assert a.gradient_norm_mean == pytest.approx(b.gradient_norm_mean, rel=1e-3)
        assert a.fingerprint is not None
        assert b.fingerprint is not None
        assert a.fingerprint.shape == b.fingerprint.shape == (256, 16)
        np.testing.assert_allclose(a.fingerprint, b.fingerprint, atol=3e-3)


def test_full_trainings_agree_in_their_mean_score(human_blueprints: list[Blueprint]) -> None:
    task = Xor()
    jobs = [Job(program=build_program(b.graph, task, 16), seed=0) for b in human_blueprints[:12]]
    reference = [result.score for result in ReferenceEngine().train(jobs, task)]
    interpreted = [result.score for result in NativeEngine().train(jobs, task)]
    assert np.mean(reference) == pytest.approx(np.mean(interpreted), abs=0.02)


@pytest.mark.parametrize("task", [Xor(epochs=4), Temporal(epochs=1), Xor(epochs=2, batch_size=8)], ids=repr)
def test_bits_are_equal_alone_in_company_and_with_any_number_of_threads(
    task: Task, random_blueprints: list[Blueprint]
) -> None:
    jobs = [
        Job(program=build_program(b.graph, task, 16), seed=i % 3)
        for i, b in enumerate(random_blueprints[:96])
    ]
    together = [bits(r) for r in NativeEngine().train(jobs, task, fingerprints=True)]
    shuffled = NativeEngine(num_workers=2).train(jobs[::-1], task, fingerprints=True)
    assert [bits(r) for r in shuffled] == together[::-1]
    for i in range(0, len(jobs), 8):
        (alone,) = NativeEngine().train([jobs[i]], task, fingerprints=True)
        assert bits(alone) == together[i], jobs[i].program.graph


class Doubled(AutogradKernel):
    """SIGMOID, twice as large."""

    def forward(self, x, parameters, signature):
        return 2 * torch.sigmoid(x[0])


def test_programs_with_a_callers_own_kernel_train_in_the_batched_engine(short_xor: Xor, caplog) -> None:
    jobs = jobs_of(["TANH", "LINEAR OUT_DIM_IN SIGMOID", "GELU"], short_xor)
    finished: list[int] = []
    with caplog.at_level("INFO"):
        own = NativeEngine(kernels={"SIGMOID": Doubled()}).train(jobs, short_xor, progress=finished.append)
    batched = BatchedEngine(kernels={"SIGMOID": Doubled()}).train(jobs, short_xor)
    plain = NativeEngine().train(jobs, short_xor)
    assert bits(own[1]) == bits(batched[1]) != bits(plain[1])
    assert [bits(own[0]), bits(own[2])] == [bits(plain[0]), bits(plain[2])]
    assert sum(finished) == 3
    assert "no native kernel for ['SIGMOID']" in caplog.text


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoiltSeed(Xor):
    """Xor whose training inputs of seed 1 hold an undefined value."""

    def splits(self, seed: int) -> Splits:
        splits = super(SpoiltSeed, self).splits(seed)
        if seed != 1:
            return splits
        inputs = splits.train.inputs.clone()
        inputs[3] = float("nan")
        return replace(splits, train=Split(inputs=inputs, targets=splits.train.targets))


def test_a_job_that_meets_an_undefined_value_ends_alone() -> None:
    task = SpoiltSeed(epochs=4)
    program = build_program(parse("LINEAR OUT_DIM_IN SILU".split()).graph, task, 16)
    jobs = [Job(program=program, seed=seed) for seed in (0, 1, 2)]
    good, bad, other = NativeEngine().train(jobs, task)
    assert (bad.status, bad.nonfinite_step, bad.score) == ("diverged", 0, 0.0)
    assert [bits(good), bits(other)] == [bits(r) for r in NativeEngine().train(jobs[::2], task)]
    assert (good.status, other.status) == ("ok", "ok")


def test_an_exploding_run_is_diverged() -> None:
    task = Temporal(epochs=5, learning_rate=1e18)
    jobs = jobs_of(["LINEAR OUT_DIM_IN SILU LINEAR OUT_DIM_IN"], task)
    (result,) = NativeEngine().train(jobs, task)
    assert result.status == "diverged"
    assert result.nonfinite_step is not None
    assert 0 < result.nonfinite_step < task.num_steps
    assert np.isfinite(result.loss_first)


def test_exams_that_are_not_finite_after_finite_training_are_diverged() -> None:
    task = Xor(epochs=1, batch_size=Xor().num_train, learning_rate=1e30)
    jobs = jobs_of(["LINEAR OUT_DIM_IN RELU LINEAR OUT_DIM_IN", "SIGMOID"], task)
    bad, good = NativeEngine().train(jobs, task)
    assert bad.reason == "logits of the validation split are not finite after training"
    assert bad.nonfinite_step is None
    assert good.status == "ok"


def test_a_program_over_a_cap_is_rejected_alone(short_xor: Xor) -> None:
    with Crucible(engine="native", num_workers=1, max_parameters=100) as crucible:
        big, small = crucible.run_jobs([(parse(["GRU"]), Temporal(), 0), (parse(["TANH"]), short_xor, 0)])
    assert (big.status, small.status) == ("rejected", "ok")


def test_a_job_ends_at_its_deadline_and_the_others_do_not() -> None:
    task = Temporal(epochs=20_000)
    jobs = jobs_of(["TANH"], task)
    (late,) = NativeEngine(max_seconds=0.2).train(jobs, task)
    assert (late.status, late.score) == ("timed_out", 0.0)
    assert late.reason == "not done after 0.2 seconds"
    (quick,) = NativeEngine(max_seconds=60).train(jobs_of(["TANH"], Temporal(epochs=1)), Temporal(epochs=1))
    assert quick.status == "ok"


def test_progress_that_raises_ends_the_work() -> None:
    task = Temporal(epochs=200)

    def interrupt(num_new: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        NativeEngine(num_workers=2).train(
            jobs_of(["TANH", *["GRU GRU GRU GRU"] * 200], task), task, progress=interrupt
        )


def test_the_crucible_selects_it_by_name(short_xor: Xor) -> None:
    with Crucible(engine="native", num_workers=2) as crucible:
        (evaluation,) = crucible.evaluate([parse(["TANH"])], [short_xor], [0, 1], fingerprints=True)
    assert evaluation.status == "ok"
    assert evaluation.engine_id.startswith(f"native-3/{library.load_library().variant}-")


def test_an_unknown_variant_is_refused(short_xor: Xor) -> None:
    with pytest.raises(CrucibleError, match="'mmx' is unknown, or not for this processor"):
        NativeEngine(variant="mmx").train(jobs_of(["TANH"], short_xor), short_xor)


def test_a_missing_library_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "find_library", lambda: None)
    library.load_library.cache_clear()
    with pytest.raises(CrucibleError, match=r"install g\+\+ or clang and build again"):
        NativeEngine()
    library.load_library.cache_clear()


def test_its_sources_say_what_they_are_for_and_stay_short() -> None:
    folder = Path(native.__file__).parent / "src"
    sources = [path for path in folder.iterdir() if path.suffix in (".h", ".cpp", ".inc")]
    assert len(sources) > 15
    for path in sources:
        lines = path.read_text().splitlines()
        assert re.match(r"// [A-Z].*", lines[0]), f"{path.name} does not open with a sentence"
        assert len(lines) <= 500, path.name
        assert max(map(len, lines)) <= 110, path.name
