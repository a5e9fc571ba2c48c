"""Initial parameters depend on shapes and seed alone, and follow torch.nn's defaults."""

import torch

from blueprints import parse
from crucible.host import build_host, load_parameters
from crucible.initialisation import MOST_SHARED, initial_parameters, split
from crucible.minibatches import minibatches
from crucible.program import build_program
from curricula.temporal import Temporal
from curricula.xor import Xor

PROGRAM = build_program(parse("GRU LAYERNORM CONV1D KERNEL_3 CHANNELS_IN".split()).graph, Temporal(), 16)


def test_a_seed_means_one_vector() -> None:
    assert torch.equal(initial_parameters(PROGRAM, 3), initial_parameters(PROGRAM, 3))
    assert not torch.equal(initial_parameters(PROGRAM, 3), initial_parameters(PROGRAM, 4))


def test_programs_of_any_size_take_the_first_of_their_seeds_draws() -> None:
    draws = torch.rand(1 << 17, generator=torch.Generator().manual_seed(3)) * 2 - 1
    for width in (16, 32, 64):
        program = build_program(parse(["GRU", "GRU"]).graph, Xor(), width)
        bounds = torch.cat([torch.full((p.size,), p.bound) for p in program.parameters])
        assert torch.equal(initial_parameters(program, 3), draws[: program.num_parameters] * bounds)
    assert program.num_parameters > MOST_SHARED


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    initial_parameters(PROGRAM, 3)
    minibatches(Temporal(), 3)
    assert torch.equal(before, torch.get_rng_state())


def test_every_parameter_lies_in_its_distribution() -> None:
    for parameter, view in zip(
        PROGRAM.parameters, split(PROGRAM, initial_parameters(PROGRAM, 0)), strict=True
    ):
        if parameter.init == "ones":
            assert (view == 1).all()
        elif parameter.init == "zeros":
            assert (view == 0).all()
        else:
            assert view.abs().max() <= parameter.bound
            assert view.abs().max() > 0.5 * parameter.bound or view.numel() < 8


def test_parameters_have_the_shapes_of_the_module_in_its_order() -> None:
    module = build_host(PROGRAM)
    flat = initial_parameters(PROGRAM, 1)
    load_parameters(module, flat)
    for parameter, view in zip(module.parameters(), split(PROGRAM, flat), strict=True):
        assert parameter.shape == view.shape
        assert torch.equal(parameter, view)


def test_the_bounds_are_those_of_torch_nn() -> None:
    torch_module = build_host(PROGRAM)
    for parameter, tensor in zip(PROGRAM.parameters, torch_module.parameters(), strict=True):
        if parameter.init == "uniform" and tensor.numel() >= 64:
            assert 0.8 * parameter.bound < float(tensor.detach().abs().max()) <= parameter.bound * (1 + 1e-6)


def test_an_epoch_sees_every_example_once_and_in_an_order_of_its_own() -> None:
    task = Temporal()
    epochs = minibatches(task, 0).reshape(task.epochs, task.num_train)
    assert (epochs.sort(1).values == torch.arange(task.num_train)).all()
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[0], minibatches(task, 1).reshape(epochs.shape)[0])
    assert torch.equal(minibatches(Xor(), 0)[0], torch.arange(64))
