"""Every row of the op table tells the truth about its module: parameters, type, causality, source, no-ops."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import blueprints.modules
from blueprints.modules import MODULES
from blueprints.ops import CORE_OPS, OPS, Op
from blueprints.ops.core import NOT_NEGATIVE
from blueprints.types import ValueType

TABLE = {op.name: op for op in OPS}
#: Channels of the input, in a host of width D.
WIDTH, D = 8, 16
each_row = pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)


def attributes_of(op: Op) -> Iterator[dict[str, int]]:
    """Yield every choice of the op's attributes, widths as channels."""
    choices = []
    for a in op.attributes:
        values = [*a.tokens.values(), *([] if a.default is None else [a.default])]
        choices.append([int(v * D) if a.name == "width" else int(v) for v in values])
    for values in product(*choices):
        yield dict(zip((a.name for a in op.attributes), values, strict=True))


def times_of(op: Op) -> Iterator[tuple[str, ...]]:
    return product(("sequence",) if op.needs_sequence else ("sequence", "single"), repeat=op.arity)


def infer(op: Op, times: tuple[str, ...], attributes: Mapping[str, int]) -> ValueType:
    types = tuple(ValueType(time=t, width=Fraction(WIDTH, D)) for t in times)  # pyright: ignore[reportArgumentType]
    values = {n: Fraction(v, D) if n == "width" else v for n, v in attributes.items()}
    return op.infer(types, values)


def module_of(op: Op, attributes: Mapping[str, int]) -> nn.Module:
    w_out = infer(op, ("sequence",) * op.arity, attributes).channels(D)
    torch.manual_seed(0)
    return MODULES[op.name](WIDTH, w_out, attributes).double()


def inputs_of(times: tuple[str, ...], steps: int = 9) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = [(3, steps if t == "sequence" else 1, WIDTH) for t in times]
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def test_every_row_has_a_module_and_every_module_a_row() -> None:
    assert set(MODULES) == set(TABLE)
    assert len(TABLE) == len(OPS)


def test_the_core_table_is_the_head_of_the_whole_one() -> None:
    assert OPS[: len(CORE_OPS)] == CORE_OPS
    assert len(CORE_OPS) == 15


@each_row
def test_the_documentation_is_complete(op: Op) -> None:
    assert op.summary.endswith(".")
    assert all((op.formula, op.paper, op.source.forward))
    assert op.family in {"mixing", "recurrent", "pool", "norm", "activation", "merge"}
    assert (op.family == "merge") == (op.arity > 1)
    defaults = [a.default is not None for a in op.attributes]
    assert defaults == sorted(defaults), "optional attributes come last"


@each_row
def test_parameters_are_those_of_the_module(op: Op) -> None:
    for attributes in attributes_of(op):
        w_out = infer(op, ("sequence",) * op.arity, attributes).channels(D)
        built = [(n, tuple(p.shape)) for n, p in module_of(op, attributes).named_parameters()]
        assert built == [(p.name, p.shape) for p in op.parameters(WIDTH, w_out, attributes)]


@each_row
def test_initial_values_are_drawn_as_the_module_draws_them(op: Op) -> None:
    for attributes in attributes_of(op):
        w_out = infer(op, ("sequence",) * op.arity, attributes).channels(D)
        drawn = [p.abs().max().item() for p in module_of(op, attributes).parameters()]
        for largest, p in zip(drawn, op.parameters(WIDTH, w_out, attributes), strict=True):
            if p.init == "uniform":
                assert 0.3 * p.bound < largest <= p.bound * (1 + 1e-6), p.name
            else:
                assert largest == (1 if p.init == "ones" else 0), p.name


@each_row
def test_outputs_have_the_inferred_type(op: Op) -> None:
    for attributes, times in product(attributes_of(op), times_of(op)):
        y = module_of(op, attributes)(*inputs_of(times))
        type_ = infer(op, times, attributes)
        assert y.shape == (3, type_.steps(9), type_.channels(D))
        assert torch.isfinite(y).all()


@each_row
def test_rows_are_causal_exactly_when_they_say_so(op: Op) -> None:
    # A pool has a single step, which any of the later inputs may change.
    for attributes in attributes_of(op) if not op.pools else ():
        module = module_of(op, attributes)
        x = inputs_of(("sequence",) * op.arity)
        y = module(*x)
        leaks = False
        for step in range(8):
            changed = [t.clone() for t in x]
            for t in changed:
                t[:, step + 1 :] += 1
            leaks |= not torch.equal(module(*changed)[:, : step + 1], y[:, : step + 1])
        assert leaks != infer(op, ("sequence",) * op.arity, attributes).causal


@each_row
def test_flops_are_counted_and_optional_attributes_change_none(op: Op) -> None:
    for attributes in attributes_of(op):
        w_out = infer(op, ("sequence",) * op.arity, attributes).channels(D)
        default = {**attributes, **{a.name: int(a.default) for a in op.attributes if a.default is not None}}
        assert op.flops(WIDTH, w_out, attributes) == op.flops(WIDTH, w_out, default) > 0


@each_row
def test_an_op_changes_nothing_after_those_of_which_it_says_so(op: Op) -> None:
    extremes = torch.tensor([0.0, -0.0, 1e-30, -1e-30, 1e30, -1e30, 19.9, 20.1, -800.0, 800.0])
    x = torch.cat([inputs_of(("sequence",), 200)[0].flatten(), extremes.double()]).view(1, -1, 1)
    if op.attributes or op.parameters(WIDTH, WIDTH, {}):
        return  # may be refused where it only adds parameters
    for earlier in op.no_op_after:
        y = MODULES[earlier](1, 1, {})(x)
        assert torch.equal(MODULES[op.name](1, 1, {})(y), y), earlier


def test_ops_that_leave_not_negative_values_alone_are_refused_there() -> None:
    found = {
        op.name
        for op in OPS
        if op.family == "activation"
        and not op.attributes
        and torch.equal(MODULES[op.name](1, 1, {})(x := torch.linspace(0, 9, 99).view(1, -1, 1)), x)
    }
    assert found == {op.name for op in OPS if op.no_op_after >= NOT_NEGATIVE}


@each_row
def test_source_computes_what_the_module_computes(op: Op) -> None:
    classes = {
        name: value
        for info in pkgutil.iter_modules(blueprints.modules.__path__)
        for name, value in vars(importlib.import_module(f"blueprints.modules.{info.name}")).items()
        if isinstance(value, type)
    }
    for attributes, times in product(attributes_of(op), times_of(op)):
        names: dict[str, object] = {"torch": torch, "nn": nn, "F": F}
        for written in op.source.classes:
            assert isinstance(written, str), "a built-in row names its classes"
            exec(inspect.getsource(classes[written]), names)
        module = module_of(op, attributes)
        w_out = infer(op, times, attributes).channels(D)
        host = nn.Module()
        if op.source.init:
            init = op.source.init.format(**{"w_in": WIDTH, "w_out": w_out, **attributes})
            host.op = eval(init, names).double()
            for ours, theirs in zip(module.parameters(), host.op.parameters(), strict=True):
                theirs.data.copy_(ours.data)
        x = inputs_of(times)
        operands = dict(zip("xyz", ("a", "b", "c"), strict=True))
        forward = op.source.forward.format(name="op", **operands)
        y = eval(forward, {**names, "self": host, **dict(zip("abc", x, strict=False))})
        torch.testing.assert_close(y, module(*x), rtol=1e-12, atol=1e-12)


def test_attention_is_torchs_multi_head_attention() -> None:
    x = inputs_of(("sequence",))[0]
    mask = nn.Transformer.generate_square_subsequent_mask(9).double()
    for attributes in attributes_of(TABLE["ATTENTION"]):
        ours = module_of(TABLE["ATTENTION"], attributes)
        theirs = nn.MultiheadAttention(WIDTH, attributes["heads"], batch_first=True).double()
        theirs.load_state_dict(ours.state_dict())
        expected, _ = theirs(x, x, x, attn_mask=None if attributes["full"] else mask, need_weights=False)
        torch.testing.assert_close(ours(x), expected)


def test_lstm_and_rms_norm_are_torchs() -> None:
    x = inputs_of(("sequence",))[0]
    ours = module_of(TABLE["LSTM"], {})
    theirs = nn.LSTM(WIDTH, WIDTH, batch_first=True).double()
    theirs.load_state_dict({name.removeprefix("lstm."): p for name, p in ours.state_dict().items()})
    torch.testing.assert_close(ours(x), theirs(x)[0])
    expected = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(module_of(TABLE["RMSNORM"], {})(x), expected)


def test_fast_weights_are_the_matrix_recurrence_that_their_row_states() -> None:
    x = inputs_of(("sequence",))[0]
    module = module_of(TABLE["HEBBIAN"], {})
    state = module.state_dict()
    with torch.no_grad():
        q, k, v = (x @ state["projection.weight"].T + state["projection.bias"]).split(WIDTH, -1)
        q, k = q / q.norm(dim=-1, keepdim=True), k / k.norm(dim=-1, keepdim=True)
        decay = torch.sigmoid(2 * state["decay"])
        A = torch.zeros(3, WIDTH, WIDTH, dtype=torch.float64)
        for t in range(9):
            A = decay * A + v[:, t, :, None] * k[:, t, None, :]
            torch.testing.assert_close(module(x)[:, t], (A @ q[:, t, :, None])[..., 0])


def test_a_dilated_convolution_sees_every_second_step() -> None:
    module = module_of(TABLE["DWCONV1D"], {"kernel": 3, "dilation": 2})
    x = torch.zeros(1, 9, WIDTH, dtype=torch.float64)
    x[:, 0] = 1
    response = (module(x) - module(torch.zeros_like(x)))[0, :, 0]
    assert [t for t in range(9) if response[t] != 0] == [0, 2, 4]


def test_winners_are_a_share_of_each_step_ties_kept() -> None:
    winners = MODULES["KWINNERS"](4, 4, {"divisor": 2})
    x = torch.tensor([[[3.0, -1.0, 2.0, 0.5], [1.0, 1.0, 1.0, 0.0], [-4.0, -3.0, -2.0, -1.0]]])
    expected = [[3.0, 0.0, 2.0, 0.0], [1.0, 1.0, 1.0, 0.0], [0.0, 0.0, -2.0, -1.0]]
    assert winners(x)[0].tolist() == expected
    assert torch.isnan(winners(torch.full((1, 1, 4), torch.nan))).all(), "what is not finite stays so"


def test_a_signed_scan_flips_its_memory() -> None:
    scan = MODULES["DIAGONAL_SCAN"](1, 1, {"signed": 1})
    scan.load_state_dict(
        {"projection.weight": torch.zeros(2, 1), "projection.bias": torch.tensor([-0.5, 1.0])}
    )
    a = torch.tanh(torch.tensor(-0.5)).item()
    expected = [(1 + a) * (1 - a**t) / (1 - a) for t in (1, 2, 3)]
    assert scan(torch.zeros(1, 3, 1))[0, :, 0].tolist() == pytest.approx(expected, rel=1e-6)
