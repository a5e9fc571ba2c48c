"""Human blueprints compute what trusted implementations compute once they share weights, gradients included.

The trusted side is torch.nn and, where they are installed, x_transformers, mambapy and pytorch_tcn. Each case
says how the weights of the trusted module make ours, in the order in which the program writes its ops. That
map is differentiable, so our gradients are pulled back through it and compared parameter by parameter.
"""

import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from networkx.algorithms.isomorphism import DiGraphMatcher
from torch import Tensor, nn

from blueprints import Blueprint, BlueprintModule, compile_blueprint, human
from blueprints.networkx_form import to_networkx
from blueprints.parser import parse_graph

D, T = 16, 7
Weights = Callable[[Any], list[Tensor]]
Run = Callable[[Any, Tensor], Tensor]


def assert_same(name: str, theirs: Any, weights: Weights, run: Run, size: float = 1.0) -> None:
    """Compare outputs and all gradients in float64; `size` is the standard deviation of the inputs."""
    theirs = drawn(theirs.double())
    trained = [p for p in theirs.parameters() if p.requires_grad]
    made = weights(theirs)
    blueprint = human(name)
    ours = compile_blueprint(blueprint, D).double()
    parameters = [p for op in ops_as_written(blueprint, ours) for p in op.parameters()]
    assert [p.shape for p in parameters] == [m.shape for m in made]
    assert len(parameters) == len(list(ours.parameters()))
    with torch.no_grad():
        for parameter, value in zip(parameters, made, strict=True):
            parameter.copy_(value)
    generator = torch.Generator().manual_seed(1)
    x = size * torch.randn(3, T, D, generator=generator, dtype=torch.float64)
    x.requires_grad_()
    y, z = ours(x), run(theirs, x)
    along = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    ours_x, *grads = torch.autograd.grad(y, [x, *parameters], along)
    theirs_x, *expected = torch.autograd.grad(z, [x, *trained], along)
    live = [(m, g) for m, g in zip(made, grads, strict=True) if m.requires_grad]
    pulled = torch.autograd.grad([m for m, _ in live], trained, [g for _, g in live])
    for a, b in zip([y, ours_x, *pulled], [z, theirs_x, *expected], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9 * b.abs().max().item())


def drawn(module: nn.Module) -> nn.Module:
    """Draw every trained weight, those too that start at zero or one."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            if p.requires_grad:
                p.copy_(0.3 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return module


def ops_as_written(blueprint: Blueprint, module: BlueprintModule) -> Iterator[nn.Module]:
    """Yield the modules of a blueprint, bodies resolved, in the order in which its program writes them."""
    written = to_networkx(parse_graph(blueprint.tokens)[0])
    matcher = DiGraphMatcher(
        written,
        to_networkx(blueprint.graph),
        node_match=lambda a, b: a["label"] == b["label"],
        edge_match=lambda a, b: a["label"] == b["label"],
    )
    assert matcher.is_isomorphic()
    for place in sorted(written):
        within: Any = module
        *bodies, index = matcher.mapping[place]
        for body in bodies:
            within = within.ops[body - 1].body
        if index > 0 and not hasattr(within.ops[index - 1], "body"):
            yield within.ops[index - 1]


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


def plain(theirs: Any, x: Tensor) -> Tensor:
    return theirs(x)


def first(theirs: Any, x: Tensor) -> Tensor:
    return theirs(x)[0]


def channels_first(theirs: Any, x: Tensor) -> Tensor:
    return theirs(x.transpose(1, 2)).transpose(1, 2)


def in_order(theirs: Any) -> list[Tensor]:
    return list(theirs.parameters())


# -- torch.nn: recurrent nets ----------------------------------------------------------------------------


def gates(theirs: Any, num: int, suffix: str = "_l0") -> list[tuple[Tensor, Tensor]]:
    """Return each gate's weight on [input, state], and its one bias."""
    w, u, b, c = (getattr(theirs, f"{n}{suffix}") for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    return list(zip(torch.cat([w, u], dim=1).chunk(num), (b + c).chunk(num), strict=True))


def rnn_weights(theirs: Any) -> list[Tensor]:
    return list(gates(theirs, 1)[0])


def lstm_weights(theirs: Any, suffix: str = "_l0") -> list[Tensor]:
    i, f, g, o = gates(theirs, 4, suffix)
    return [*f, *i, *g, *o]


def gru_weights(theirs: Any, suffix: str = "_l0") -> list[Tensor]:
    r, z, _ = gates(theirs, 3, suffix)
    w, u, b, c = (getattr(theirs, n + suffix) for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    return [*z, w[2 * D :], b[2 * D :], *r, u[2 * D :], c[2 * D :]]


def step_by_step(theirs: Any, x: Tensor) -> Tensor:
    """Run an LSTMCell or a GRUCell over time."""
    state, outputs = None, []
    for step in x.unbind(1):
        state = theirs(step, state)
        outputs.append(state[0] if isinstance(state, tuple) else state)
    return torch.stack(outputs, dim=1)


RECURRENT = [
    ("rnn_cell", lambda: nn.RNN(D, D, batch_first=True), rnn_weights, first),
    ("relu_rnn_cell", lambda: nn.RNN(D, D, nonlinearity="relu", batch_first=True), rnn_weights, first),
    ("gru_cell", lambda: nn.GRU(D, D, batch_first=True), gru_weights, first),
    ("gru_cell", lambda: nn.GRUCell(D, D), lambda theirs: gru_weights(theirs, ""), step_by_step),
    ("lstm_cell", lambda: nn.LSTM(D, D, batch_first=True), lstm_weights, first),
    ("lstm_cell", lambda: nn.LSTMCell(D, D), lambda theirs: lstm_weights(theirs, ""), step_by_step),
    ("gru", lambda: nn.GRUCell(D, D), in_order, step_by_step),
    ("lstm", lambda: nn.LSTMCell(D, D), in_order, step_by_step),
    ("stacked_lstm", lambda: nn.LSTM(D, D, num_layers=2, batch_first=True), in_order, first),
]


@pytest.mark.parametrize(("name", "theirs", "weights", "run"), RECURRENT)
def test_recurrent_nets_are_those_of_torch(
    name: str, theirs: Callable[[], nn.Module], weights: Weights, run: Run
) -> None:
    assert_same(name, theirs(), weights, run)


# -- torch.nn: attention ---------------------------------------------------------------------------------


def encoder_layer(inner: int = 4 * D, **settings) -> nn.Module:
    return nn.TransformerEncoderLayer(D, 4, inner, dropout=0.0, batch_first=True, **settings)


def layer_weights(theirs: Any) -> list[Tensor]:
    parts = ["self_attn", "norm1", "linear1", "linear2", "norm2"]
    if theirs.norm_first:
        parts = ["norm1", "self_attn", "norm2", "linear1", "linear2"]
    return [p for part in parts for p in getattr(theirs, part).parameters()]


def full(theirs: Any, x: Tensor) -> Tensor:
    return theirs(x)


def causal(theirs: Any, x: Tensor) -> Tensor:
    mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
    return theirs(x, src_mask=mask, is_causal=True)


def repeated(run: Run, times: int) -> Run:
    def apply(theirs: Any, x: Tensor) -> Tensor:
        for _ in range(times):
            x = run(theirs, x)
        return x

    return apply


TRANSFORMERS = [
    ("transformer_block", {"activation": "gelu", "norm_first": True}, causal),
    ("transformer_encoder_block", {"activation": "gelu", "norm_first": True}, full),
    ("postnorm_encoder_block", {"activation": "relu"}, full),
    ("postnorm_decoder_block", {"activation": "relu"}, causal),
    ("bert_block", {"activation": "gelu"}, full),
    ("albert_block", {"activation": "gelu"}, repeated(full, 2)),
    ("looped_transformer", {"activation": "gelu", "norm_first": True}, repeated(causal, 2)),
    ("universal_transformer", {"activation": "relu", "inner": 2 * D}, repeated(full, 3)),
]


@pytest.mark.parametrize(("name", "settings", "run"), TRANSFORMERS)
def test_transformer_blocks_are_those_of_torch(name: str, settings: dict, run: Run) -> None:
    assert_same(name, encoder_layer(**settings), layer_weights, run)


def test_self_attention_is_that_of_torch() -> None:
    def run(theirs: Any, x: Tensor) -> Tensor:
        future = torch.ones(T, T, dtype=torch.bool).triu(1)
        return theirs(x, x, x, attn_mask=future, need_weights=False)[0]

    assert_same("self_attention", nn.MultiheadAttention(D, 4, batch_first=True), in_order, run)


def test_a_nonlocal_block_adds_attention_of_torch_over_all_steps() -> None:
    def run(theirs: Any, x: Tensor) -> Tensor:
        return x + theirs(x, x, x, need_weights=True)[0]

    assert_same("nonlocal_block", nn.MultiheadAttention(D, 1, batch_first=True), in_order, run)


# -- torch.nn: gates and convolutions --------------------------------------------------------------------


def test_a_gated_linear_unit_is_that_of_torch() -> None:
    def weights(theirs: Any) -> list[Tensor]:
        linear = theirs[0]
        return [linear.weight[:D], linear.bias[:D], linear.weight[D:], linear.bias[D:]]

    assert_same("glu", nn.Sequential(nn.Linear(D, 2 * D), nn.GLU()), weights, plain)


def padded(kernel: int, dilation: int = 1, **settings) -> tuple[nn.Module, nn.Module]:
    conv = nn.Conv1d(D, D, kernel, dilation=dilation, **settings)
    return nn.ConstantPad1d(((kernel - 1) * dilation, 0), 0.0), conv


def test_a_dilated_stack_is_padded_convolutions_of_torch() -> None:
    layers = [layer for d in (1, 2, 4, 8) for layer in (*padded(3, d), nn.ReLU())]
    assert_same("dilated_stack", nn.Sequential(*layers), in_order, channels_first)


def test_a_depthwise_separable_convolution_is_a_grouped_one_and_a_pointwise_one_of_torch() -> None:
    def weights(theirs: Any) -> list[Tensor]:
        depthwise, pointwise = theirs[1], theirs[2]
        return [depthwise.weight, depthwise.bias, pointwise.weight.squeeze(-1), pointwise.bias]

    theirs = nn.Sequential(*padded(3, groups=D), nn.Conv1d(D, D, 1), nn.ReLU())
    assert_same("depthwise_separable", theirs, weights, channels_first)


def test_the_two_paths_of_a_resnext_block_are_one_grouped_convolution_of_torch() -> None:
    half = D // 4

    def weights(theirs: Any) -> list[Tensor]:
        narrow, grouped, wide = theirs[0], theirs[3], theirs[5]
        made = []
        for path, last in ((slice(half), wide.bias), (slice(half, None), zeros(D))):
            made += [narrow.weight[path].squeeze(-1), narrow.bias[path], grouped.weight[path]]
            made += [grouped.bias[path], wide.weight[:, path].squeeze(-1), last]
        return made

    def run(theirs: Any, x: Tensor) -> Tensor:
        return torch.relu(x + channels_first(theirs, x))

    theirs = nn.Sequential(
        nn.Conv1d(D, 2 * half, 1),
        nn.ReLU(),
        nn.ConstantPad1d((2, 0), 0.0),
        nn.Conv1d(2 * half, 2 * half, 3, groups=2),
        nn.ReLU(),
        nn.Conv1d(2 * half, D, 1),
    )
    assert_same("resnext_block", theirs, weights, run)


# -- packages, where they are installed ------------------------------------------------------------------


def installed(package: str) -> ModuleType:
    """Import a package that the tests can do without; what it deprecates is none of our business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(package)


def theirs_gain(module: Any) -> Tensor:
    """Return the gain of a norm or a layer scale of x_transformers, which stores it less an offset."""
    return getattr(module, "gamma" if hasattr(module, "gamma") else "g") + float(module.unit_offset)


def theirs_norm(norm: Any) -> list[Tensor]:
    return [theirs_gain(norm), *([zeros(D)] if hasattr(norm, "gamma") else [])]


def theirs_attention(block: Any) -> list[Tensor]:
    joint = torch.cat([block.to_q.weight, block.to_k.weight, block.to_v.weight])
    return [joint, zeros(3 * D), block.to_out.weight, zeros(D)]


def theirs_mlp(block: Any) -> list[Tensor]:
    into, out = block.ff[0], block.ff[2]
    if not hasattr(into, "proj"):
        return [*in_order(into), *in_order(out)]
    weight, bias = into.proj.weight.chunk(2), into.proj.bias.chunk(2)
    return [weight[0], bias[0], weight[1], bias[1], *in_order(out)]


def theirs_layers(theirs: Any) -> list[Tensor]:
    """Return the weights of an x_transformers stack: norm, block, its gain if any, second norm if any."""
    made = []
    for (before, after, _), block, _ in theirs.layers:
        inner = getattr(block, "fn", block)
        made += theirs_norm(before)
        made += theirs_mlp(inner) if hasattr(inner, "ff") else theirs_attention(inner)
        if hasattr(block, "gamma"):
            made.append(theirs_gain(block))
        elif hasattr(block, "scale") and inner is not block:
            made.append(torch.full((D,), float(block.scale), dtype=torch.float64))
        made += [] if after is None else theirs_norm(after)
    return made


STACKS = [
    ("transformer_block", "Decoder", {}, 1.0),
    ("transformer_encoder_block", "Encoder", {}, 1.0),
    # Inputs are so large that its norm without an epsilon and ours with one agree.
    ("llama_block", "Decoder", {"use_rmsnorm": True, "ff_glu": True, "ff_swish": True, "ff_mult": 2}, 1e4),
    ("macaron_block", "Decoder", {"macaron": True}, 1.0),
    ("sandwich_norm_block", "Decoder", {"sandwich_norm": True}, 1.0),
    ("cait_block", "Encoder", {"use_layerscale": True}, 1.0),
]


@pytest.mark.parametrize(("name", "kind", "settings", "size"), STACKS)
def test_transformer_blocks_are_those_of_x_transformers(
    name: str, kind: str, settings: dict, size: float
) -> None:
    stack = getattr(installed("x_transformers"), kind)
    theirs = stack(dim=D, depth=1, heads=4, attn_dim_head=D // 4, attn_flash=True, **settings)
    theirs.final_norm = nn.Identity()
    assert_same(name, theirs, theirs_layers, plain, size)


FEED_FORWARDS = [
    ("swiglu", {"glu": True, "swish": True, "mult": 2}),
    ("geglu", {"glu": True, "mult": 2}),
]


@pytest.mark.parametrize(("name", "settings"), FEED_FORWARDS)
def test_gated_mlps_are_those_of_x_transformers(name: str, settings: dict) -> None:
    mlp = installed("x_transformers.x_transformers").FeedForward
    assert_same(name, mlp(D, **settings), theirs_mlp, plain)


def test_a_temporal_convolutional_net_is_that_of_pytorch_tcn_weight_norm_folded_in() -> None:
    def weights(theirs: Any) -> list[Tensor]:
        convs = [conv for block in theirs.network for conv in (block.conv1, block.conv2)]
        return [p for conv in convs for p in (conv.weight, conv.bias)]

    net = installed("pytorch_tcn").TCN(D, [D, D], kernel_size=3, dropout=0.0, input_shape="NLC")
    assert_same("tcn_stack", net, weights, plain)


def test_a_selective_state_space_model_is_mambapys_block_with_one_state_a_feature() -> None:
    """A = -1 and D = 1 stay as mambapy starts them: exp(-softplus(u)) is sigmoid(-u), and D is a residual."""
    mamba = installed("mambapy.mamba")

    def weights(theirs: Any) -> list[Tensor]:
        wide = 2 * D
        rank = theirs.config.dt_rank
        step, b, c = theirs.x_proj.weight.split([rank, 1, 1])
        value, gate = theirs.in_proj.weight.chunk(2)
        return [
            *(value, zeros(wide), theirs.conv1d.weight, theirs.conv1d.bias),
            *(c.expand(wide, wide), zeros(wide), b.expand(wide, wide), zeros(wide)),
            *(theirs.dt_proj.weight @ step, theirs.dt_proj.bias, -torch.ones_like(theirs.D)),
            *(gate, zeros(wide), theirs.out_proj.weight, zeros(D)),
        ]

    block = mamba.MambaBlock(mamba.MambaConfig(D, 1, dt_rank=4, d_state=1, d_conv=3, pscan=False))
    block.A_log.requires_grad_(False)
    block.D.requires_grad_(False)
    assert_same("selective_ssm", block, weights, plain)
