"""Laws of the language on programs drawn from the grammar.

compiled module == executed emitted source, gradients included; parse(print(graph)) is the same graph; the
parser accepts exactly what the mask allows. By transitivity the emitted source of what the mask allows runs.
"""

import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import END, programs, token_soup

from blueprints import (
    LANGUAGE,
    BlueprintError,
    canonical_form,
    compile_blueprint,
    emit,
    flops,
    grammar_of,
    is_isomorphic,
    legal_tokens,
    mutate,
    num_parameters,
    parse,
    random_program,
    structural_hash,
    to_tokens,
    verify,
)
from blueprints.graph import Graph
from blueprints.parser import parse_graph

laws = settings(max_examples=200, deadline=None)


@laws
@given(programs())
def test_what_the_grammar_offers_parses_verifies_and_stays_in_budget(tokens):
    blueprint = parse(tokens)
    verify(blueprint.graph)
    assert len(tokens) <= LANGUAGE.max_length
    assert flops(blueprint.graph, width=16, time=1) <= LANGUAGE.max_flops


@laws
@given(token_soup())
def test_parser_accepts_exactly_what_the_mask_allows(tokens):
    def allowed() -> bool:
        grammar = grammar_of(LANGUAGE)
        cursor = grammar.start()
        for token in tokens:
            if token == END or token not in grammar.legal(cursor):
                return False
            cursor = grammar.advance(cursor, token)
        return END in grammar.legal(cursor)

    if allowed():
        parse(tokens)
    else:
        with pytest.raises(BlueprintError) as caught:
            parse(tokens)
        assert 0 <= caught.value.position <= len(tokens)
        assert caught.value.explain()


@laws
@given(programs(), st.integers(0, 23))
def test_every_prefix_can_be_completed_within_a_tighter_length(tokens, cut):
    prefix = tokens[:cut]
    grammar = grammar_of(LANGUAGE)
    cursor = grammar.start()
    for token in prefix:
        cursor = grammar.advance(cursor, token)
    limit = len(prefix) + grammar.shortest(cursor)
    while END not in (legal := legal_tokens(prefix, limit)):
        assert legal, "a legal prefix met a dead end"
        prefix = (*prefix, legal[0])
    assert len(prefix) == limit
    parse(prefix)


@laws
@given(programs())
def test_printing_a_graph_and_parsing_it_gives_the_same_graph(tokens):
    blueprint = parse(tokens)
    again = parse(to_tokens(blueprint.graph))
    assert (again.graph, again.id) == (blueprint.graph, blueprint.id)


@laws
@given(programs(), st.randoms(use_true_random=False))
def test_canonical_form_does_not_depend_on_node_order(tokens, rng):
    graph, _ = parse_graph(tokens)
    shuffled = shuffle(graph, rng)
    assert canonical_form(shuffled) == canonical_form(graph) == canonical_form(canonical_form(graph))
    assert is_isomorphic(shuffled, graph)


def shuffle(graph: Graph, rng: random.Random) -> Graph:
    """Return the graph, bodies included, in another topological order with its merges' inputs swapped."""
    order = [0]
    last = [] if graph.stores else [graph.output]
    while len(order) < len(graph.nodes):
        waiting = [i for i in range(len(graph.nodes)) if i not in order]
        ready = [i for i in waiting if all(j in order for j in graph.nodes[i].inputs)]
        order.append(rng.choice([i for i in ready if i not in last] or last))
    position = {old: new for new, old in enumerate(order)}
    nodes = []
    for old in order:
        node = graph.nodes[old]
        inputs = [position[i] for i in node.inputs]
        if node.op in LANGUAGE.table and LANGUAGE.table[node.op].commutative:
            rng.shuffle(inputs)
        body = None if node.body is None else shuffle(node.body, rng)
        nodes.append(replace(node, inputs=tuple(inputs), body=body))
    return Graph(tuple(nodes), tuple(position[i] for i in graph.stores))


def test_ids_are_equal_exactly_for_isomorphic_graphs():
    rng = random.Random(0)
    pool = [parse(random_program(rng, max_ops=4)) for _ in range(250)]
    pool += [parse(mutate(blueprint.tokens, rng)) for blueprint in pool]
    labels = [sorted(node.label for node in b.graph.nodes) for b in pool]
    equal = near = 0
    for i, a in enumerate(pool):
        for j in range(i):
            b = pool[j]
            if labels[i] != labels[j]:
                assert a.id != b.id
            else:
                near += 1
                equal += a.id == b.id
                assert (a.id == b.id) == is_isomorphic(a.graph, b.graph)
    assert equal > 100
    assert near > equal


def test_shared_and_repeated_work_are_told_apart():
    shared = parse("LINEAR OUT_DIM_IN RES_START TANH RES_END".split())
    repeated = parse("BRANCH_START LINEAR OUT_DIM_IN BRANCH_SEP LINEAR OUT_DIM_IN TANH MERGE_ADD".split())
    assert shared.id != repeated.id
    assert not is_isomorphic(shared.graph, repeated.graph)


def test_the_order_of_branches_is_without_meaning():
    a = parse("BRANCH_START TANH BRANCH_SEP SILU LINEAR OUT_DIM_IN MERGE_ADD".split())
    b = parse("BRANCH_START SILU LINEAR OUT_DIM_IN BRANCH_SEP TANH MERGE_ADD".split())
    assert a.tokens != b.tokens
    assert (a.graph, a.id) == (b.graph, b.id)
    assert structural_hash(a.graph) == a.id


@settings(max_examples=100, deadline=None)
@given(programs(), st.integers(0, 2**31))
def test_module_and_emitted_source_agree_with_gradients(tokens, seed):
    blueprint = parse(tokens)
    generator = torch.Generator().manual_seed(seed)
    module = compile_blueprint(blueprint, width=16).double()
    namespace: dict = {}
    exec(compile(emit(blueprint), "emitted", "exec"), namespace)
    emitted = namespace["Block"](width=16).double()
    with torch.no_grad():
        for ours, theirs in zip(module.parameters(), emitted.parameters(), strict=True):
            ours.copy_(torch.randn(ours.shape, generator=generator, dtype=torch.float64))
            theirs.copy_(ours)
    x = torch.randn(3, 5, 16, generator=generator, dtype=torch.float64, requires_grad=True)
    y, z = module(x), emitted(x)
    assert torch.equal(y, z)
    y.square().sum().backward()
    z.square().sum().backward()
    for ours, theirs in zip(module.parameters(), emitted.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None)  # a scan may look at its states alone
        assert ours.grad is None or torch.equal(ours.grad, theirs.grad)


@settings(max_examples=100, deadline=None)
@given(programs())
def test_the_table_predicts_the_modules_parameters_and_shapes(tokens):
    blueprint = parse(tokens)
    for width in (16, 32):
        module = compile_blueprint(blueprint, width)
        predicted = [p.shape for row in LANGUAGE.parameters(blueprint.graph, width) for p in row]
        names = [p.name for row in LANGUAGE.parameters(blueprint.graph, width) for p in row]
        built = list(module.named_parameters())
        assert [tuple(value.shape) for _, value in built] == predicted
        assert [name.split(".", 2)[2] for name, _ in built] == names
        assert num_parameters(blueprint.graph, width) == sum(value.numel() for _, value in built)
        out = module(torch.randn(2, 7, width))
        kind = blueprint.graph.type
        assert out.shape == (2, kind.steps(7), kind.channels(width))


@settings(max_examples=60, deadline=None)
@given(programs())
def test_causal_types_are_true(tokens):
    blueprint = parse(tokens)
    if not blueprint.graph.type.causal or blueprint.graph.type.time == "single":
        return
    module = compile_blueprint(blueprint, width=16)
    x = torch.randn(2, 8, 16)
    changed = x.clone()
    changed[:, 5:] = torch.randn(2, 3, 16)
    torch.testing.assert_close(module(x)[:, :5], module(changed)[:, :5])


@laws
@given(programs(), st.randoms(use_true_random=False))
def test_mutations_are_legal_and_different(tokens, rng):
    mutant = mutate(tokens, rng)
    assert mutant != tokens
    parse(mutant)


def test_twenty_thousand_random_walks_meet_no_dead_end():
    grammar, rng = grammar_of(LANGUAGE), random.Random(1)
    for _ in range(20_000):
        limit, cursor = rng.randint(1, 24), grammar.start()
        while True:
            legal = grammar.legal(cursor, limit)
            assert legal
            token = rng.choice(legal)
            if token == END:
                break
            cursor = grammar.advance(cursor, token)
        assert cursor.length <= limit


def test_random_programs_repeat_with_the_seed_and_respect_their_size():
    programs_of = [[random_program(random.Random(s), max_ops=3) for s in range(50)] for _ in range(2)]
    assert programs_of[0] == programs_of[1]
    assert all(len(parse(tokens).graph.nodes) <= 16 for tokens in programs_of[0])
