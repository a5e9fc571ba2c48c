"""Laws of the language on programs drawn from the grammar.

compiled module == executed emitted source, gradients included; a graph as written == its canonical form;
parse(print(graph)) is the same graph; the parser accepts exactly what the mask allows. By transitivity the
emitted source of what the mask allows runs, and computes what was written.

How many examples a law is tried on, the loaded Hypothesis profile says (tests/conftest.py).
"""

import hashlib
import random
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import END, programs, token_soup
from torch import nn

from benchmarks.language_identity import compare, shuffled
from blueprints import (
    LANGUAGE,
    BlueprintError,
    Language,
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
from blueprints.compiler import BlueprintModule
from blueprints.graph import Graph
from blueprints.parser import parse_graph

#: The language with room for whatever a printer writes.
ROOMY = Language(num_taps=8, max_length=400, max_flops=10**9)
#: A language that soon runs out of budget.
TIGHT = Language(max_length=12, max_flops=3_000)


@given(programs())
def test_what_the_grammar_offers_parses_verifies_and_stays_in_budget(tokens):
    blueprint = parse(tokens)
    verify(blueprint.graph)
    assert len(tokens) <= LANGUAGE.max_length
    assert flops(blueprint.graph, width=16, time=1) <= LANGUAGE.max_flops


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


@given(programs(), st.integers(0, 23))
def test_a_token_is_refused_exactly_where_a_rule_names_it(tokens, cut):
    grammar = grammar_of(LANGUAGE)
    cursor = grammar.start()
    for token in tokens[:cut]:
        cursor = grammar.advance(cursor, token)
    unnamed = {token for token in LANGUAGE.tokens if grammar.broken_rule(cursor, token) is None}
    assert unnamed == set(grammar.legal(cursor))


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


@given(programs())
def test_printing_a_graph_and_parsing_it_gives_the_same_graph(tokens):
    blueprint = parse(tokens)
    again = parse(to_tokens(blueprint.graph, ROOMY), ROOMY)
    assert (again.graph, again.id) == (blueprint.graph, blueprint.id)


@given(programs())
def test_a_graph_as_written_prints_too_dead_nodes_and_all(tokens):
    graph, spans = parse_graph(tokens)
    verify(graph)
    assert len(spans) == len(graph.nodes) - 1
    assert parse(to_tokens(graph, ROOMY), ROOMY).graph == canonical_form(graph)


@given(programs(), st.randoms(use_true_random=False))
def test_canonical_form_does_not_depend_on_node_order(tokens, rng):
    graph, _ = parse_graph(tokens)
    canonical = canonical_form(graph)
    assert canonical_form(shuffled(graph, rng)) == canonical == canonical_form(canonical)
    assert is_isomorphic(shuffled(canonical, rng), canonical)


@given(programs(), st.integers(0, 2**31))
def test_canonical_form_keeps_the_function(tokens, seed):
    graph, _ = parse_graph(tokens)
    canonical = canonical_form(graph)
    assert num_parameters(canonical, 16) <= num_parameters(graph, 16)
    written, kept = compile_blueprint(graph, 16).double(), compile_blueprint(canonical, 16).double()
    for module in (written, kept):
        draw_by_meaning(module, str(seed))
    x = torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    torch.testing.assert_close(written(x), kept(x), rtol=1e-9, atol=1e-9, equal_nan=True)


def draw_by_meaning(module: BlueprintModule, seed: str) -> None:
    """Draw the weights of each node from what it computes: equal meanings have equal weights."""
    for meaning, op in meanings(module.graph, module, seed):
        generator = torch.Generator().manual_seed(int(meaning[:12], 16))
        for parameter in op.parameters():
            nn.init.normal_(parameter, std=0.4, generator=generator)


def meanings(graph: Graph, module: BlueprintModule, seed: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield a digest of what each node computes, and its module; inside a body the node around it counts too.

    All states of a scan have one digest: what tells them apart may be renumbered.
    """
    digests: list[str] = [seed]
    for node, op in zip(graph.nodes[1:], module.ops, strict=True):
        row = LANGUAGE.table.get(node.op)
        inputs = [digests[i] for i in node.inputs]
        inputs = sorted(inputs) if row is not None and row.commutative else inputs
        label = node.op if node.op == "STATE" else node.label
        digests.append(hashlib.sha256("|".join([label, *inputs, _body(node.body)]).encode()).hexdigest())
        if node.body is None:
            yield digests[-1], op
        else:
            yield from meanings(node.body, op.body, digests[-1])


def _body(body: Graph | None) -> str:
    return "" if body is None else structural_hash(canonical_form(body))


def test_ids_are_equal_exactly_for_isomorphic_graphs():
    tally = compare(10_000, seed=7)
    assert tally.wrong == []
    assert tally.decided_by_networkx > 2_000
    assert tally.equal > 500


@pytest.mark.slow
def test_ids_are_equal_exactly_for_isomorphic_graphs_among_a_hundred_thousand_pairs():
    tally = compare(100_000, seed=0)
    assert tally.wrong == []
    assert tally.decided_by_networkx > 20_000


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
    torch.testing.assert_close(y, z, rtol=0, atol=0, equal_nan=True)  # a loop may leave what is finite
    y.square().sum().backward()
    z.square().sum().backward()
    for ours, theirs in zip(module.parameters(), emitted.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None)  # a scan may look at its states alone
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=0, equal_nan=True)


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


@given(programs())
def test_causal_types_are_true(tokens):
    blueprint = parse(tokens)
    if not blueprint.graph.type.causal or blueprint.graph.type.time == "single":
        return
    module = compile_blueprint(blueprint, width=16)
    x = torch.randn(2, 8, 16)
    changed = x.clone()
    changed[:, 5:] = torch.randn(2, 3, 16)
    torch.testing.assert_close(module(x)[:, :5], module(changed)[:, :5], equal_nan=True)


@given(programs(), st.randoms(use_true_random=False))
def test_mutations_are_legal_and_different(tokens, rng):
    mutant = mutate(tokens, rng)
    assert mutant != tokens
    parse(mutant)


@pytest.mark.parametrize("language", [LANGUAGE, TIGHT], ids=["default budgets", "tight budgets"])
def test_five_thousand_random_walks_meet_no_dead_end(language):
    grammar, rng = grammar_of(language), random.Random(1)
    for _ in range(5_000):
        limit, cursor = rng.randint(1, min(24, language.max_length)), grammar.start()
        while True:
            legal = grammar.legal(cursor, limit)
            assert legal
            token = rng.choice(legal)
            if token == END:
                break
            cursor = grammar.advance(cursor, token)
        assert cursor.length <= limit
        assert cursor.flops <= language.max_flops


@given(programs(max_length=12, language=TIGHT))
def test_tight_budgets_hold(tokens):
    blueprint = parse(tokens, TIGHT)
    verify(blueprint.graph, TIGHT)
    assert len(tokens) <= TIGHT.max_length
    assert flops(blueprint.graph, width=16, time=1, language=TIGHT) <= TIGHT.max_flops


def test_bodies_and_values_by_name_are_common_among_the_programs_that_laws_are_tried_on():
    counts = dict.fromkeys(("LOOP_START", "SCAN_START", "STATE_", "SAVE", "LOAD", "BLEND", "CONCAT"), 0)

    @settings(max_examples=200, database=None, derandomize=True)
    @given(programs())
    def count(tokens):
        for stem in counts:
            counts[stem] += any(token.startswith(stem) for token in tokens)

    count()
    assert min(counts.values()) >= 20, counts


def test_random_programs_repeat_with_the_seed_and_respect_their_size():
    programs_of = [[random_program(random.Random(s), max_ops=3) for s in range(50)] for _ in range(2)]
    assert programs_of[0] == programs_of[1]
    assert all(len(parse(tokens).graph.nodes) <= 16 for tokens in programs_of[0])
