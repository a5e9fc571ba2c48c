"""The arithmetic behind the checks: distances, packed tensors, equal programs, small problems."""

import math

import pytest
import torch
from checking import TOKENS
from torch import nn

from blueprints.compiler import compile_blueprint
from blueprints.emitter import emit
from blueprints.parser import parse
from tamiyo.expansion.equality import block_difference, dead_parameters, gap, same_program
from tamiyo.expansion.inside.tensors import pack, unpack
from tamiyo.expansion.inside.watching import difference, likeness
from tamiyo.expansion.judgements import FALL
from tamiyo.expansion.probing import Probes
from tamiyo.expansion.records import TARGETS, TargetName
from tamiyo.expansion.small_problems import small_problem
from tamiyo.expansion.targets import target_named

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.5], [1.0, 2.0], 0.25),
        ([0.1], [0.2], 0.1),
        ([INF, NAN, 1.0], [INF, NAN, 1.0], 0.0),
        ([NAN, 1.0], [0.0, 1.0], INF),
        ([INF, 1.0], [0.0, 1.0], INF),
        ([0.0, 1.0], [INF, 1.0], INF),
        ([1.0], [1.0, 2.0], INF),
    ],
)  # fmt: skip
def test_the_gap_is_the_largest_difference_relative_to_the_largest_value(
    one: list[float], other: list[float], expected: float
) -> None:
    assert gap(torch.tensor(one), torch.tensor(other)) == pytest.approx(expected)


def test_tensors_come_back_as_they_were_packed() -> None:
    tensors = {
        "floats": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
        "doubles": torch.tensor([INF, NAN, -0.0], dtype=torch.float64),
        "ids": torch.arange(6).reshape(2, 3).t(),
        "flags": torch.tensor([True, False]),
        "one": torch.tensor(2.5),
        "none": torch.empty(0, 3),
    }
    for name, tensor in unpack(pack(tensors)).items():
        assert tensor.dtype == tensors[name].dtype
        assert torch.allclose(tensor.double(), tensors[name].double(), 0, 0, equal_nan=True)
        assert tensor.shape == tensors[name].shape


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        (10**9).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{]",
        (28).to_bytes(8, "little") + b'[["x", "float32", [9999999]]',
        (24).to_bytes(8, "little") + b'[["x", "float32", [-4]]]',
        (22).to_bytes(8, "little") + b'[["x", "object", [1]]]',
        (2).to_bytes(8, "little") + b"17",
    ],
)
def test_bytes_that_are_no_packed_tensors_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no packed tensors"):
        unpack(data)


def test_a_program_is_the_same_with_other_docstrings_and_layout_only() -> None:
    blueprint = parse(TOKENS)
    emitted = emit(blueprint)
    assert same_program(emit(blueprint, provenance="run 7"), emitted)
    assert same_program(emitted.replace("\n\n\n", "\n"), emitted)
    assert not same_program(emitted.replace("F.gelu", "F.relu"), emitted)
    assert not same_program("class Block:", emitted)


def answers_of(module: nn.Module, probes: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return {name: module(probe) for name, probe in probes.items() if name.startswith("alone.")}


def test_a_block_that_differs_by_one_weight_is_found() -> None:
    probes = Probes(target_named("char_lm"), "model", 16)
    module = probes.draw_block(parse(TOKENS).graph)
    answers = answers_of(module, probes.tensors)
    assert block_difference(module, answers, probes.tensors) == ""
    with torch.no_grad():
        next(module.parameters()).flatten()[0] += 1e-6
    assert "differs from the compiled blueprint by" in block_difference(module, answers, probes.tensors)


def test_a_block_that_gives_another_shape_or_nothing_is_found() -> None:
    probes = Probes(target_named("char_lm"), "model", 16)
    module = probes.draw_block(parse(TOKENS).graph)
    answers = answers_of(module, probes.tensors)
    assert "gave the shape None" in block_difference(module, {}, probes.tensors)
    shorter = {name: answer[:, :1] for name, answer in answers.items()}
    assert "the compiled blueprint gives [" in block_difference(module, shorter, probes.tensors)


def test_parameters_are_dead_where_the_blueprint_gives_them_no_gradient() -> None:
    module = compile_blueprint(parse(("ATTENTION", "HEADS_1")), 16).double()
    generator = torch.Generator().manual_seed(0)
    steps = torch.randn(2, 3, 16, generator=generator)
    assert dead_parameters(module, [steps], generator) == set()
    assert dead_parameters(module, [], generator) == set(range(len(list(module.parameters()))))


@pytest.mark.parametrize("target", TARGETS)
def test_no_constant_answer_to_the_small_problem_comes_near_the_bound(target: TargetName) -> None:
    problem = small_problem(target_named(target), torch.Generator().manual_seed(3))
    counts = torch.bincount(problem.test_labels.flatten()).double()
    shares = counts[counts > 0] / counts.sum()
    best = float(-(shares * shares.log()).sum())
    assert best == pytest.approx(problem.chance)
    assert problem.chance == pytest.approx(math.log(4))
    assert best > problem.chance * FALL * 1.4


@pytest.mark.parametrize("target", TARGETS)
def test_unseen_examples_of_the_small_problem_are_no_training_examples(target: TargetName) -> None:
    problem = small_problem(target_named(target), torch.Generator().manual_seed(3))
    shown = problem.train_inputs.flatten(1)
    unseen = problem.test_inputs.flatten(1)
    share = (unseen.unsqueeze(1) == shown).all(-1).any(-1).double().mean()
    assert float(share) < 0.1


def test_torch_is_found_changed_and_found_whole_again() -> None:
    before = likeness()
    assert difference(before) == ""
    original = nn.Linear.extra_repr
    nn.Linear.extra_repr = lambda self: "mine"  # type: ignore[method-assign]
    try:
        assert difference(before) == "Linear.extra_repr is no longer torch's own"
    finally:
        nn.Linear.extra_repr = original
    torch.set_default_dtype(torch.float64)
    try:
        assert difference(before) == "torch.get_default_dtype() was torch.float32, is torch.float64"
    finally:
        torch.set_default_dtype(torch.float32)
    assert difference(before) == ""
