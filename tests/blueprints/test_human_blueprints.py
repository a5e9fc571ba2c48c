"""The human blueprints: how many, of which families, from which papers, and that each of them trains."""

import re
from itertools import pairwise

import pytest
import torch

from blueprints import (
    HUMAN_BLUEPRINTS,
    LANGUAGE,
    Graph,
    HumanBlueprint,
    Language,
    compile_blueprint,
    emit,
    flops,
    human,
    parse,
    to_tokens,
)
from blueprints.parser import parse_graph

each_blueprint = pytest.mark.parametrize("entry", HUMAN_BLUEPRINTS, ids=lambda entry: entry.name)

#: Other code and published tables refer to these by name.
FIRST = """
    mlp residual_mlp prenorm_mlp bottleneck_adapter low_rank_residual parallel_adapter squeeze_excitation
    global_context glu geglu swiglu residual_swiglu self_gate gated_tanh wavenet_residual conv residual_conv
    tcn_block depthwise_separable residual_depthwise_separable inverted_residual mbconv convnext_like
    inception_like gated_conv conv_pool gru gru_last residual_gru conv_gru temporal_film
""".split()

#: The catalogue of modules that the design asks for.
CATALOGUE = """
    residual_mlp bottleneck_adapter low_rank_residual squeeze_excitation glu swiglu highway film
    depthwise_separable convnext inverted_residual tcn_stack mini_attention transformer_block gmlp_block
    mixer_like residual_gru residual_lstm dense_block inception gru_cell lstm_cell min_gru mamba_block
    linear_attention mixture_of_experts universal_transformer
""".split()

#: What the printer makes of a graph may be a little longer than what a person wrote.
ROOMY = Language(max_length=56)

FAMILIES = {
    *("mlp", "experts", "adapter", "gating", "convolution", "attention", "mixer", "recurrent"),
    *("recurrent cell", "state space", "loop", "set", "brain"),
}


def test_there_are_many_of_every_family() -> None:
    assert len(HUMAN_BLUEPRINTS) >= 150
    families = [entry.family for entry in HUMAN_BLUEPRINTS]
    assert set(families) == FAMILIES
    assert all(families.count(family) >= 4 for family in FAMILIES)
    assert families.count("brain") >= 15


def test_names_and_graphs_are_all_different() -> None:
    names = [entry.name for entry in HUMAN_BLUEPRINTS]
    assert len(set(names)) == len(names)
    assert len({human(name).id for name in names}) == len(names)


def test_the_names_that_others_refer_to_are_there() -> None:
    names = {entry.name for entry in HUMAN_BLUEPRINTS}
    assert len(FIRST) == 31
    assert {*FIRST, *CATALOGUE} <= names


def test_together_they_use_every_token_but_the_end() -> None:
    used = {token for entry in HUMAN_BLUEPRINTS for token in entry.tokens}
    assert set(LANGUAGE.tokens) - used == {"END"}


@each_blueprint
def test_each_names_itself_and_its_paper(entry: HumanBlueprint) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", entry.name)
    assert re.match(r"[A-Z].* (18|19|20)\d\d\b|van den Oord et al. 2016", entry.paper)
    assert entry.program == " ".join(entry.tokens)


@each_blueprint
def test_each_fits_the_budgets_and_computes_nothing_in_vain(entry: HumanBlueprint) -> None:
    written, _ = parse_graph(entry.tokens)
    blueprint = human(entry.name)
    assert num_nodes(written) == num_nodes(blueprint.graph)
    assert flops(blueprint.graph, width=16, time=1) <= LANGUAGE.max_flops
    assert blueprint.graph.type.width == 1
    assert parse(to_tokens(blueprint.graph, ROOMY), ROOMY).id == blueprint.id


def num_nodes(graph: Graph) -> int:
    return sum(1 if node.body is None else 1 + num_nodes(node.body) for node in graph.nodes)


@each_blueprint
def test_each_trains_with_finite_numbers_and_no_idle_parameter(entry: HumanBlueprint) -> None:
    torch.manual_seed(0)
    module = compile_blueprint(human(entry.name), width=16)
    frame = torch.nn.Linear(16, 16)
    optimizer = torch.optim.Adam([*frame.parameters(), *module.parameters()], lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 24, 16, generator=generator)
    target = torch.randn(8, 24, 16, generator=generator)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        y = module(frame(x))
        assert y.shape == (8, human(entry.name).graph.type.steps(24), 16)
        loss = (y - target).square().mean()
        loss.backward()
        losses.append(loss.item())
        grads = [p.grad for p in module.parameters()]
        assert all(g is not None and torch.isfinite(g).all() and g.abs().max() < 50 for g in grads)
        optimizer.step()
    assert all(later < earlier < 20 for earlier, later in pairwise(losses))


@each_blueprint
def test_each_runs_as_plain_source(entry: HumanBlueprint) -> None:
    namespace: dict = {}
    exec(compile(emit(human(entry.name)), entry.name, "exec"), namespace)
    emitted = namespace["Block"](width=16)
    module = compile_blueprint(human(entry.name), width=16)
    for ours, theirs in zip(module.parameters(), emitted.parameters(), strict=True):
        theirs.data.copy_(ours.data)
    x = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(module(x), emitted(x))
