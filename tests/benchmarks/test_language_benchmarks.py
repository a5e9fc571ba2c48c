"""The benchmarks of the language on small inputs: awkward recipes, known blocks, what a fuzzer counts."""

import csv
import gzip
import io
import json
import random
import sys
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from architect.corpus import CorpusConfig
from benchmarks import language, language_coverage, language_fuzz
from benchmarks.known_blocks import KNOWN_BLOCKS, LACKS, PEEPHOLE_LSTM, ROOMY
from benchmarks.language_coverage import CellError, cell_of, examine_all, run_cell, stacked
from blueprints import HUMAN_BLUEPRINTS, compile_blueprint
from blueprints.modules import MODULES
from blueprints.ops import OPS
from blueprints.parser import parse_graph

WORDS = 33_278 * 400 + 33_278
LAYERS = ((400, 600), (600, 600), (600, 400))

OP_NAMES = (
    "activation_leaky_relu",
    "activation_sigm",
    "activation_tanh",
    "elementwise_sum",
    "elementwise_prod",
)

#: What a table may hold beside the cells that everybody draws; `parsed` reads them.
AWKWARD = {
    "Elman": "a = linear x h_prev_0; h_new_0 = tanh a",
    "nodes in any order": "h_new_0 = tanh b; b = linear a; a = linear h_prev_0 x",
    "duplicates": "a = linear x x h_prev_0; b = prod a a; h_new_0 = blend b a a",
    "a wide linear": "h_new_0 = linear x h_prev_0 x h_prev_0 h_prev_1; h_new_1 = linear x",
    "dead nodes": "a = linear x; dead = linear a x; deader = sigm dead; h_new_0 = leaky_relu a",
    "a state of a state": "h_new_1 = linear h_new_0 h_prev_1; a = linear x h_prev_0; h_new_0 = sigm a",
    "read and never stored": "a = linear h_prev_1 h_prev_2 x; h_new_0 = tanh a",
    "stored and never read": "a = linear x; h_new_0 = tanh a; h_new_1 = sigm a; h_new_2 = linear a",
    "a gap among the states": "a = linear x h_prev_2; h_new_0 = tanh a; h_new_2 = sum a h_prev_0",
    "an activation in vain": "a = linear x h_prev_0; s = sigm a; h_new_0 = leaky_relu s; h_new_1 = sum s a s",
    "without a memory": "h_new_0 = linear x",
}


def parsed(text: str) -> dict:
    """Read `name = op inputs; ...` as a recipe; the longer names of ops may be cut in front."""
    recipe = {}
    for line in text.split(";"):
        name, _, op, *inputs = line.split()
        recipe[name] = {"op": next((o for o in OP_NAMES if o.endswith(op)), op), "input": inputs}
    return recipe


def entry(name: str, text: str, num_params: int) -> dict[str, str]:
    return {"cell_hash": name, "recipe_json": json.dumps(parsed(text)), "num_params": str(num_params)}


def num_params(recipe: dict) -> int:
    """The published formula: every linear node has a weight for each input's feature and a bias."""
    linear = [node["input"] for node in recipe.values() if node["op"] == "linear"]
    return WORDS + sum(
        w_out * (1 + sum(w_in if name == "x" else w_out for name in inputs))
        for w_in, w_out in LAYERS
        for inputs in linear
    )


def table(recipes: dict[str, str]) -> list[dict[str, str]]:
    return [entry(name, text, num_params(parsed(text))) for name, text in recipes.items()]


def test_awkward_recipes_are_written_exactly():
    rows = examine_all(table(AWKWARD))
    assert [row.cell for row in rows] == list(AWKWARD)
    assert [row.reason for row in rows] == [""] * len(AWKWARD)
    assert all(row.is_expressed and row.is_exact for row in rows)
    assert max(row.max_error for row in rows) < 1e-13


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ("n = linear x", "there is no h_new_0"),
        ("h_new_0 = linear h_new_0 x", "h_new_0 depend on themselves"),
        ("h_new_0 = linear y", "h_new_0 reads y, which is neither a node nor"),
        ("h_new_0 = softmax x", "h_new_0 is a 'softmax'; expected linear or one"),
        ("h_new_0 = blend x x", "h_new_0 is a blend of 2 inputs; expected 3"),
        (
            "h_new_0 = sum x h_prev_0",
            "ADD merges the widths 1, 3/2",
        ),
        ("h_new_0 = tanh x", "h_new_0 is as wide as the cell's input"),
    ],
)
def test_a_recipe_that_cannot_be_written_is_counted_with_its_reason(recipe, reason):
    (row,) = examine_all([entry("odd", recipe, 1)])
    assert row.reason.startswith(reason)
    assert not row.is_expressed
    assert not row.is_exact
    summary = language_coverage.summarise([row])
    assert (summary["total"], summary["expressed"], summary["params_exact"]) == (1, 0, 0)


def test_a_program_that_computes_something_else_is_not_expressed():
    right = parsed("z = linear x h_prev_0; a = linear x; b = tanh a; h_new_0 = blend z a b")
    wrong = {**right, "h_new_0": {"op": "blend", "input": ["z", "b", "a"]}}
    language = language_coverage.language_for([right])
    cells = [
        cell_of(right, language, w_in, w_out) for w_in, w_out in pairwise((1, *language_coverage.RATIOS))
    ]
    graph, _ = parse_graph(language_coverage.to_tokens(stacked(cells), language), language)
    assert language_coverage.max_error(right, cells, graph, language) < 1e-13
    assert language_coverage.max_error(wrong, cells, graph, language) > 1e-2


def test_a_body_of_another_shape_is_not_matched():
    recipes = [parsed(f"h_new_0 = linear x {name}") for name in ("h_prev_0", "x")]
    language = language_coverage.language_for(recipes)
    one, other = (cell_of(recipe, language, 1, 1).body for recipe in recipes)
    with pytest.raises(CellError, match="the program's graph is not the recipe's"):
        language_coverage.matched(one, other, language)


def test_the_interpreter_on_numbers_by_hand():
    recipe = parsed(
        "h_new_1 = prod a h_prev_0; a = linear x h_prev_1; l = leaky_relu a; "
        "zero = sum h_prev_7 h_prev_7; z = sigm zero; h_new_0 = blend z l x"
    )
    weights = {"a": (np.array([[2.0, 3.0]]), np.array([-5.0]))}
    x_TBW = np.array([[[1.0]], [[4.0]], [[0.0]]])
    # h1 = a h0 of the step before; a = 2 x + 3 h1 - 5; h0 = (leaky(a) + x) / 2, since z = sigmoid(0).
    outputs = [(-0.03 + 1) / 2]  # a = -3, h1 = 0
    outputs.append((3 + 4) / 2)  # a = 3, as h1 was 0 still; h1 = 3 * 0.485
    a = 3 * (3 * outputs[0]) - 5
    outputs.append(0.01 * a / 2)
    assert a < 0
    assert run_cell(recipe, weights, x_TBW, 1)[:, 0, 0].tolist() == pytest.approx(outputs)


def test_the_command_reads_a_table_and_writes_its_figures(tmp_path, monkeypatch, capsys):
    cells, out = tmp_path / "cells.csv.gz", tmp_path / "out.json"
    entries = table({name: AWKWARD[name] for name in ("Elman", "dead nodes")})
    entries[1]["num_params"] = "7"
    text = io.StringIO()
    writer = csv.DictWriter(text, [*entries[0], "status"])
    writer.writeheader()
    writer.writerows({**row, "status": "loss is nan!"} for row in entries)
    cells.write_bytes(gzip.compress(text.getvalue().encode()))
    monkeypatch.setattr(sys, "argv", ["language_coverage.py", "--cells", str(cells), "--json", str(out)])
    assert language_coverage.main() == 0
    document = json.loads(out.read_text())
    assert (document["total"], document["expressed"], document["params_exact"]) == (2, 2, 1)
    assert document["max_abs_error"] < 1e-13
    assert len(document["known_blocks"]) == 40
    assert "Row(cell='dead nodes'" in capsys.readouterr().out


# -- well-known blocks ---------------------------------------------------------------------------------------


def test_every_well_known_block_has_a_program_or_a_reason():
    assert len(KNOWN_BLOCKS) == 40
    assert len({block.name for block in KNOWN_BLOCKS}) == 40
    for block in KNOWN_BLOCKS:
        assert bool(block.tokens) == (block.verdict != "no")
        assert block.verdict == "yes" or block.reason
    assert {block.lacks for block in KNOWN_BLOCKS} - {""} == set(LACKS)


def test_the_peephole_lstm_is_the_published_one():
    graph, _ = parse_graph(PEEPHOLE_LSTM.split(), ROOMY)
    body = graph.nodes[1].body
    module = compile_blueprint(graph, 16, ROOMY).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    ops = [op for node, op in zip(body.nodes[1:], module.ops[0].body.ops, strict=True) if node.op == "LINEAR"]
    gains = [o for node, o in zip(body.nodes[1:], module.ops[0].body.ops, strict=True) if node.op == "SCALE"]
    x = torch.randn(2, 5, 16, dtype=torch.float64, generator=generator)
    h = c = torch.zeros(2, 16, dtype=torch.float64)
    for t in range(5):
        both = torch.cat([x[:, t], h], dim=1)
        i, f, g, o = (op(both) for op in ops)
        new = torch.sigmoid(f + gains[1].weight * c) * c
        c = new + torch.sigmoid(i + gains[0].weight * c) * torch.tanh(g)
        h = torch.sigmoid(o + gains[2].weight * c) * torch.tanh(c)
        torch.testing.assert_close(module(x)[:, t], h)


def test_what_the_language_is_said_to_lack_it_lacks():
    """Every op: one example never sees another, nothing is drawn, weights know no length; T steps or one."""
    not_causal = set()
    for op in OPS:
        attributes = {
            a.name: 16 if a.name == "width" else next(iter(a.tokens.values())) for a in op.attributes
        }
        module = MODULES[op.name](16, 32 if op.widths == "sum" else 16, attributes).train()
        inputs = [torch.randn(4, 6, 16) for _ in range(op.arity)]
        whole = module(*inputs)
        assert whole.shape[1] in (1, 6), "resolution"
        assert torch.equal(whole, module(*inputs)), "chance"
        torch.testing.assert_close(whole[:1], module(*(x[:1] for x in inputs)))
        assert module(*(x[:, :3] for x in inputs)).shape[1] in (1, 3), "weights over time"
        if not op.causal or "full" in attributes:
            not_causal.add(op.name)
    assert not_causal == {"POOL_MEAN", "POOL_MAX", "POOL_LAST", "ATTENTION"}, "backwards"


# -- fuzzing -------------------------------------------------------------------------------------------------


def test_the_fuzzer_counts_rules_and_repeats_with_its_seed():
    outcomes = language_fuzz.fuzz(400, "7:0")
    assert outcomes.rules.total() == 400
    assert not outcomes.escaped
    assert outcomes.rules["accepted"] > 10
    assert len(outcomes.rules) > 6
    again = language_fuzz.fuzz(400, "7:0")
    assert again.rules == outcomes.rules
    figures = language_fuzz.figures(outcomes, 2.0)
    assert figures["accepted"] + sum(figures["rules"].values()) == pytest.approx(1)
    assert figures["sequences_per_s"] == 200


def test_the_fuzzer_reports_what_escapes(monkeypatch):
    def broken(tokens):
        raise KeyError(len(tokens))

    monkeypatch.setattr(language_fuzz, "parse", broken)
    outcomes = language_fuzz.fuzz(3, "0:0")
    assert outcomes.rules == Counter(escaped=3)
    assert outcomes.escaped[0].startswith("KeyError")
    assert "escaped" in language_fuzz.report(outcomes, 1.0)


def test_edits_stay_near_programs():
    rng = random.Random(0)
    soup, near = [], []
    for index, tokens in enumerate(language_fuzz.sequences(2_000, rng)):
        (near if index % 2 else soup).append(language_fuzz.outcome(tokens))
    assert near.count("accepted") > 5 * soup.count("accepted")


# -- what legality costs -------------------------------------------------------------------------------------


def test_every_part_of_reading_is_timed_in_a_language_that_knows_nothing_yet():
    programs = [entry.tokens for entry in HUMAN_BLUEPRINTS[:5]]
    seconds, blueprints = language.read(programs)
    assert [blueprint.tokens for blueprint in blueprints] == programs
    assert list(seconds) == ["masks", "parse", "verify", "hash"]
    assert seconds["masks"] > seconds["hash"] > 0


@pytest.mark.slow
def test_the_ratios_stand_between_their_least_and_most(tmp_path, monkeypatch, capsys):
    out = tmp_path / "language.json"
    options = ["--num", "4", "--rounds", "2", "--workers", "1", "--epochs", "1", "--json", str(out)]
    monkeypatch.setattr(sys, "argv", ["language.py", *options])
    monkeypatch.setattr(language, "CorpusConfig", lambda: CorpusConfig(num_programs=256))
    language.main()
    document = json.loads(out.read_text())
    ratios = [document["reading"]["share"], *(row["ratio"] for row in document["sampling"])]
    assert all(0 < r["least"] <= r["median"] <= r["most"] for r in ratios)
    assert [row["epochs"] for row in document["sampling"]] == [0, 1]
    assert document["sampling"][0]["free_validity"] == 0
    assert document["machine"]["cores"] >= 1
    assert "meant: under 10%" in capsys.readouterr().out
