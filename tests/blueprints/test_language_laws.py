"""Laws of the language on programs drawn from the grammar, and on graphs that no grammar made.

The chain: interpreted tokens == compiled graph as written == compiled canonical form == executed emitted
source, gradients included but in the second link; parse(print(graph)) is the same graph; the parser accepts
exactly what the mask allows; what verifies compiles. By transitivity the emitted source of what the mask
allows runs, and computes what its tokens say.

How many examples a law is tried on, the loaded Hypothesis profile says (tests/conftest.py).
"""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from graphs import graphs
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from interpreter import interpret
from meanings import draw_by_meaning
from programs import END, programs, token_soup
from torch import nn

from benchmarks.language_identity import Tally, compare, shuffled
from blueprints import (
    LANGUAGE,
    BlueprintError,
    Language,
    TamiyoError,
    VerificationError,
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
from blueprints.compiler import BlueprintModule, Loop, Scan
from blueprints.graph import INPUT_NODE, Graph, Node
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
    assert_parser_and_mask_agree(tokens)


@st.composite
def almost_programs(draw: st.DrawFn) -> list[str]:
    """Draw a program with a token replaced, inserted or deleted, or its tail cut off.

    A token that is written instead is legal where it stands, or any; what follows it may not be legal.
    """
    tokens = list(draw(programs()))
    position = draw(st.integers(0, len(tokens) - 1))
    head, edit = tokens[:position], draw(st.sampled_from(("replace", "replace", "insert", "delete", "cut")))
    if edit == "cut":
        return head
    tail = tokens[position + (edit != "insert") :]
    legal = [token for token in legal_tokens(head) if token != END]
    written = draw(st.sampled_from(legal) | st.sampled_from(LANGUAGE.tokens))
    return [*head, *([] if edit == "delete" else [written]), *tail]


@given(almost_programs())
def test_parser_accepts_exactly_what_the_mask_allows_one_edit_from_a_program(tokens):
    assert_parser_and_mask_agree(tokens)


def assert_parser_and_mask_agree(tokens: list[str]) -> None:
    legal = _masked_prefix(tokens)
    if legal is None:
        assert parse(tokens).tokens == tuple(tokens)
        return
    with pytest.raises(BlueprintError) as caught:
        parse(tokens)
    assert caught.value.position == legal
    assert caught.value.explain()


def _masked_prefix(tokens: list[str]) -> int | None:
    """Return how many tokens the mask allows before it refuses one, or None when it allows the program."""
    grammar = grammar_of(LANGUAGE)
    cursor = grammar.start()
    for position, token in enumerate(tokens):
        if token == END or token not in grammar.legal(cursor):
            return position
        cursor = grammar.advance(cursor, token)
    return None if END in grammar.legal(cursor) else len(tokens)


def test_both_answers_are_common_one_edit_from_a_program():
    answers = []

    @settings(max_examples=200, database=None, derandomize=True)
    @given(almost_programs())
    def count(tokens):
        answers.append(_masked_prefix(tokens) is None)

    count()
    assert min(answers.count(True), answers.count(False)) >= 20


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
    while END not in (legal := grammar.legal(cursor, limit)):
        assert legal, "a legal prefix met a dead end"
        prefix = (*prefix, legal[0])
        cursor = grammar.advance(cursor, legal[0])
    assert len(prefix) == limit
    parse(prefix)


@given(programs())
def test_printing_a_graph_and_parsing_it_gives_the_same_graph(tokens):
    blueprint = parse(tokens)
    again = parse(to_tokens(blueprint.graph, ROOMY), ROOMY)
    assert (again.graph, again.id) == (blueprint.graph, blueprint.id)


def test_a_printed_graph_parses_where_only_a_branch_leads_back_to_a_width_without_a_token():
    fork = "BRANCH_START LINEAR OUT_DIM_DOUBLE BRANCH_SEP MERGE_CONCAT"
    tokens = f"SAVE TAP_0 LINEAR OUT_DIM_DOUBLE CONCAT TAP_0 RES_START LINEAR OUT_DIM_IN {fork} RES_END "
    graph = parse([*tokens.split(), "LINEAR", "OUT_DIM_IN"]).graph
    assert parse(to_tokens(graph, ROOMY), ROOMY).graph == graph


@given(programs())
def test_a_graph_as_written_prints_too_dead_nodes_and_all(tokens):
    graph, spans = parse_graph(tokens)
    verify(graph)
    assert len(spans) == len(graph.nodes) - 1
    assert parse(to_tokens(graph, ROOMY), ROOMY).graph == canonical_form(graph)


@given(graphs())
def test_the_canonical_form_of_any_graph_prints_or_says_why_not(graph):
    canonical = canonical_form(graph)
    verify(canonical)
    if repeats_a_norm(canonical):
        with pytest.raises(
            TamiyoError, match=r"stands directly after \w+, and no program says so: leave it out"
        ):
            to_tokens(canonical, ROOMY)
    else:
        assert parse(to_tokens(canonical, ROOMY), ROOMY).graph == canonical


def repeats_a_norm(graph: Graph) -> bool:
    """Say whether an op follows one after which the grammar refuses it, though it has parameters."""
    return any(
        (node.body is not None and repeats_a_norm(node.body))
        or (
            node.op in LANGUAGE.table
            and graph.nodes[node.inputs[0]].op in LANGUAGE.table[node.op].no_op_after
        )
        for node in graph.nodes
    )


RELU = parse(["RELU"]).graph.nodes[1]
CELL = parse("SCAN_START OUT_DIM_IN ADD STATE_0 MUL STATE_1 SAVE STATE_1 TANH SCAN_END".split()).graph.nodes[
    1
]
LOOP = parse("LOOP_START REPEAT_2 TANH LOOP_END".split()).graph.nodes[1]


def with_stores(*stores: int) -> Node:
    assert CELL.body is not None
    return replace(CELL, body=replace(CELL.body, stores=stores))


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            (RELU, replace(RELU, inputs=(1,))),
            "RELU stands directly after RELU, and no program says so: leave it out",
        ),
        (
            (replace(LOOP, body=Graph((INPUT_NODE,))),),
            "the body of LOOP repeat=2 ends with INPUT, and no program says so: end it with an op",
        ),
        (
            (with_stores(1, 4),),
            "the body of SCAN width=1 ends with STATE index=0, and no program says so: end it with an op",
        ),
        (
            (with_stores(5, 2),),
            "state 1 of SCAN width=1 takes itself, and no program says so: store another value in it",
        ),
    ],
)
def test_what_no_program_says_is_not_printed(nodes, message):
    graph = Graph((INPUT_NODE, *nodes))
    verify(graph)
    with pytest.raises(TamiyoError) as caught:
        to_tokens(graph)
    assert str(caught.value) == message


@given(programs(), st.randoms(use_true_random=False))
def test_canonical_form_does_not_depend_on_node_order(tokens, rng):
    graph, _ = parse_graph(tokens)
    assert_canonical_form_does_not_depend_on_node_order(graph, rng)


@given(graphs(), st.randoms(use_true_random=False))
def test_canonical_form_of_any_graph_does_not_depend_on_node_order(graph, rng):
    assert_canonical_form_does_not_depend_on_node_order(graph, rng)


def assert_canonical_form_does_not_depend_on_node_order(graph: Graph, rng: random.Random) -> None:
    canonical = canonical_form(graph)
    assert canonical_form(shuffled(graph, rng)) == canonical == canonical_form(canonical)
    assert is_isomorphic(shuffled(canonical, rng), canonical)


@given(programs(), st.integers(0, 2**31))
def test_canonical_form_keeps_the_function(tokens, seed):
    assert_canonical_form_keeps_the_function(parse_graph(tokens)[0], seed)


@given(graphs(), st.integers(0, 2**31))
def test_canonical_form_of_any_graph_keeps_the_function(graph, seed):
    assert_canonical_form_keeps_the_function(graph, seed)


def assert_canonical_form_keeps_the_function(graph: Graph, seed: int) -> None:
    canonical = canonical_form(graph)
    assert num_parameters(canonical, 16) <= num_parameters(graph, 16)
    written, kept = compile_blueprint(graph, 16).double(), compile_blueprint(canonical, 16).double()
    for module in (written, kept):
        draw_by_meaning(module, str(seed))
    x = torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    torch.testing.assert_close(written(x), kept(x), rtol=1e-9, atol=1e-9, equal_nan=True)


def test_ids_are_equal_exactly_for_isomorphic_graphs():
    assert_ids_are_equal_exactly_for_isomorphic_graphs(compare(10_000, seed=7))


@pytest.mark.slow
def test_ids_are_equal_exactly_for_isomorphic_graphs_among_a_hundred_thousand_pairs():
    assert_ids_are_equal_exactly_for_isomorphic_graphs(compare(100_000, seed=0))


def assert_ids_are_equal_exactly_for_isomorphic_graphs(tally: Tally) -> None:
    assert tally.wrong == []
    assert tally.equal > tally.pairs / 30
    assert set(tally.pairs_of) == {"shuffled", "rewired", "exchanged", "altered", "edited"}
    assert min(tally.pairs_of.values()) > tally.pairs / 100
    assert tally.equal_of["shuffled"] == tally.pairs_of["shuffled"]


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
def test_module_and_interpreted_tokens_agree_with_gradients(tokens, seed):
    module = compile_blueprint(parse_graph(tokens)[0], 16).double()
    ops = list(written_ops(module))
    written = [
        t for t in tokens if t == "GATE_START" or (t in LANGUAGE.table and LANGUAGE.table[t].arity == 1)
    ]
    assume(len(ops) == len(written))  # what is computed after the value that a scope ends with has no module
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4, generator=generator)
    x = torch.randn(2, 5, 16, generator=generator, dtype=torch.float64, requires_grad=True)
    y, z = module(x), interpret(tokens, iter(ops), x)
    inputs = [x, *module.parameters()]
    assert_values_and_gradients_agree((y, inputs), (z, inputs), tolerance=1e-9)


def written_ops(module: BlueprintModule) -> Iterator[nn.Module]:
    """Yield the modules of the ops of one input in the order in which a program writes them."""
    for node, op in zip(module.graph.nodes[1:], module.ops, strict=True):
        if isinstance(op, Loop | Scan):
            yield from written_ops(op.body)
        elif node.op in LANGUAGE.table and LANGUAGE.table[node.op].arity == 1:
            yield op


def assert_values_and_gradients_agree(
    ours: tuple[torch.Tensor, list[torch.Tensor]],
    theirs: tuple[torch.Tensor, list[torch.Tensor]],
    tolerance: float,
) -> None:
    """Compare two outputs, each with what it depends on; a loop may leave what is finite."""
    close = {"rtol": tolerance, "atol": tolerance, "equal_nan": True}
    torch.testing.assert_close(ours[0], theirs[0], **close)
    for a, b in zip(gradients(*ours), gradients(*theirs), strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, **close)


def gradients(y: torch.Tensor, inputs: list[torch.Tensor]) -> tuple[torch.Tensor | None, ...]:
    """Return the gradients of a loss on `y`, None where it does not depend: a scan may see states alone."""
    loss = y.square().sum() + 0 * inputs[0].sum()
    return torch.autograd.grad(loss, inputs, allow_unused=True)


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
    ours, theirs = [x, *module.parameters()], [x, *emitted.parameters()]
    assert_values_and_gradients_agree((module(x), ours), (emitted(x), theirs), tolerance=0)


@given(graphs(), st.sampled_from([16, 32]))
def test_what_is_typed_verifies_compiles_and_runs(graph, width):
    verify(graph)
    assert_compiles_and_runs_as_typed(graph, width)


@given(graphs(careless=True), st.sampled_from([16, 32]))
def test_what_verifies_compiles_and_runs_however_carelessly_it_was_made(graph, width):
    if is_verified(graph):
        assert_compiles_and_runs_as_typed(graph, width)


def assert_compiles_and_runs_as_typed(graph: Graph, width: int) -> None:
    module = compile_blueprint(graph, width)
    assert num_parameters(graph, width) == sum(value.numel() for value in module.parameters())
    out = module(torch.randn(2, 5, width))
    assert out.shape == (2, graph.type.steps(5), graph.type.channels(width))


def is_verified(graph: Graph) -> bool:
    try:
        verify(graph)
    except VerificationError:
        return False
    return True


def test_what_is_made_carelessly_often_verifies_and_often_not():
    answers = []

    @settings(max_examples=200, database=None, derandomize=True)
    @given(graphs(careless=True))
    def count(graph):
        answers.append(is_verified(graph))

    count()
    assert min(answers.count(True), answers.count(False)) >= 20


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


@given(programs(), st.integers(0, 2**31))
def test_causal_types_are_true(tokens, seed):
    blueprint = parse(tokens)
    if not blueprint.graph.type.causal or blueprint.graph.type.time == "single":
        return
    module, generator = compile_blueprint(blueprint, width=16).double(), torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4, generator=generator)
    x = torch.randn(2, 8, 16, generator=generator, dtype=torch.float64)
    changed = x.clone()
    changed[:, 5:] = torch.randn(2, 3, 16, generator=generator, dtype=torch.float64)
    y, z = module(x), module(changed)
    assume(y.isfinite().all() and z.isfinite().all())  # 0 times what a loop left infinite is not 0
    torch.testing.assert_close(y[:, :5], z[:, :5], rtol=1e-9, atol=1e-9)


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
