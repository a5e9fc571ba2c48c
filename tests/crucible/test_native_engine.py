"""The native engine's variants, activations, refusals and sources; leaves what every engine owes to others.

That stands in test_engine_contract.py, where the best variant is tried.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_agreement import ONCE_WRONG, OP_PROGRAMS, OPS, assert_gradients_agree
from engines_here import bits, jobs_of
from toy_tasks import TOYS, Toy

from blueprints import Blueprint, parse
from crucible import Crucible
from crucible.engines import native
from crucible.engines.native import library
from crucible.engines.native.engine import NativeEngine
from crucible.errors import CrucibleError
from curricula.temporal import Temporal
from curricula.xor import Xor

if library.find_library() is None:
    pytest.skip("the package was built without a C++ compiler", allow_module_level=True)

VARIANTS = ("avx512", "avx2", "generic")


def variants_here() -> list[str]:
    """Return the variants that this processor runs: its best one and all that are less."""
    best = library.load_library().variant
    return list(VARIANTS[VARIANTS.index(best) :])


def skip_unless_here(variant: str) -> None:
    if variant not in variants_here():
        pytest.skip(f"the processor has no {variant}")


@pytest.mark.parametrize("variant", VARIANTS[1:])
@pytest.mark.parametrize("op", OPS)
def test_every_op_has_the_gradients_of_its_module_in_lesser_variants_too(op: str, variant: str) -> None:
    skip_unless_here(variant)
    engine, blueprint = NativeEngine(variant=variant), parse(OP_PROGRAMS[op].split())
    assert_gradients_agree(engine, [blueprint], Xor())
    for steps in (2, 5, 16):
        assert_gradients_agree(engine, [blueprint], Temporal(), steps=steps)


@pytest.mark.parametrize("variant", VARIANTS[1:])
def test_whole_programs_have_the_gradients_of_their_modules_in_lesser_variants_too(
    variant: str, human_blueprints: list[Blueprint]
) -> None:
    skip_unless_here(variant)
    once_wrong = [parse(program.split()) for program in ONCE_WRONG.values()]
    assert_gradients_agree(NativeEngine(variant=variant), [*human_blueprints, *once_wrong], Temporal())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("task", TOYS.values(), ids=TOYS)
def test_every_variant_has_every_head_and_input(task: Toy, variant: str) -> None:
    skip_unless_here(variant)
    programs = ("GRU LINEAR OUT_DIM_IN", "TANH POOL_MEAN", "CONV1D KERNEL_3 CHANNELS_IN")
    for batch in (1, 17, 32):
        blueprints = [parse(program.split()) for program in programs]
        assert_gradients_agree(NativeEngine(variant=variant), blueprints, task, batch=batch)


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
    skip_unless_here(variant)
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


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("op", ["SIGMOID", "SILU"])
def test_gates_are_closed_and_open_at_the_ends_of_what_a_float_can_be(op: str, variant: str) -> None:
    if variant not in variants_here():
        pytest.skip(f"the processor has no {variant}")
    ends = [-np.inf, -3e38, -1e30, -200, -88.5, -87.5, -1, 0]
    x = np.array([*ends, *(-end for end in ends)], np.float32)
    values, _ = library.load_library().activate(op, x, variant)
    true = ACTIVATIONS[op](torch.from_numpy(x).double()).float().numpy()
    np.testing.assert_allclose(values, true, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("op", ACTIVATIONS)
def test_what_is_undefined_stays_undefined(op: str) -> None:
    values, _ = library.load_library().activate(op, np.full(16, np.nan, np.float32), variants_here()[0])
    assert np.isnan(values).all()


def test_a_program_over_a_cap_is_rejected_alone(short_xor: Xor) -> None:
    with Crucible(engine="native", num_workers=1, max_parameters=100) as crucible:
        big, small = crucible.run_jobs([(parse(["GRU"]), Temporal(), 0), (parse(["TANH"]), short_xor, 0)])
    assert (big.status, small.status) == ("rejected", "ok")


def test_the_crucible_selects_it_by_name(short_xor: Xor) -> None:
    with Crucible(engine="native", num_workers=2) as crucible:
        (evaluation,) = crucible.evaluate([parse(["TANH"])], [short_xor], [0, 1], fingerprints=True)
    assert evaluation.status == "ok"
    assert evaluation.engine_id.startswith(f"native-{NativeEngine.version}/{library.load_library().variant}-")


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


def test_examples_at_hand_are_those_of_the_task_and_the_seeds_asked_for() -> None:
    """An engine keeps the examples of its last calls; of as many tasks as here, it keeps not all."""
    tasks = [Xor(epochs=2), Xor(epochs=2, sigma=0.5), Temporal(epochs=1), Xor(epochs=2, num_distractors=3)]
    engine = NativeEngine()
    for seeds in ([0, 1], [1, 0], [1, 1], [2, 0], [0, 1]):
        for task in tasks:
            jobs = jobs_of(["TANH", "GRU"], task, seeds=seeds)
            alone = [bits(result) for job in jobs for result in NativeEngine().train([job], task)]
            assert [bits(result) for result in engine.train(jobs, task)] == alone
