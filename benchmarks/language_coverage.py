"""How much of what people built the language can hold: a table of published cells, and well-known blocks.

    python benchmarks/language_coverage.py --cells cells.csv.gz --json coverage.json

Every cell becomes the body of a scan, three of them a language model as it was published (widths 400, 600,
600, 400), printed as tokens and parsed again. Its parameters are counted on the compiled module and held
against the table's; its outputs are held against a plain interpreter of the recipe with the same weights, in
a host of width 16. It trains nothing: how good a cell is stands in the table.
"""

# ruff: noqa: E402

import argparse
import csv
import gzip
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from statistics import fmean

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import numpy as np
import torch
from cells import Cell, CellError, Recipe, cell_of, draw_weights, run_cell, stacked
from known_blocks import KNOWN_BLOCKS
from networkx.algorithms.isomorphism import DiGraphMatcher
from preflight import check

from blueprints import LANGUAGE, BlueprintError, Graph, Language, TamiyoError, parse, to_tokens, verify
from blueprints.canonical import to_networkx
from blueprints.compiler import Scan, compile_blueprint
from blueprints.parser import parse_graph
from blueprints.types import WIDTHS

#: Widths of the published model: of its embedding and its three layers, and how many words it knows.
EMBEDDING, LAYERS, NUM_WORDS = 400, (600, 600, 400), 33_278
#: The model's widths as rationals of the embedding's, which is the host's width.
SESQUI = Fraction(3, 2)
RATIOS = tuple(Fraction(width, EMBEDDING) for width in LAYERS)
#: The width at which values are compared, and how close they have to be.
WIDTH, TOLERANCE = 16, 1e-5
STEPS, EXAMPLES = 6, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of one cell.

    Attributes:
        cell: its name in the table.
        reason: why it could not be written, or empty.
        tokens: of the whole model's program.
        cell_tokens: of the cell alone, as a scan of the host's width.
        default_rule: the rule by which the language at its default budgets refuses the cell alone, or empty.
        num_params: of the whole model, counted on the compiled module.
        published_params: the same in the table.
        max_error: largest difference from the interpreter, over layers, steps, examples and features.
    """

    cell: str
    reason: str = ""
    tokens: int = 0
    cell_tokens: int = 0
    default_rule: str = ""
    num_params: int = 0
    published_params: int = 0
    max_error: float = float("inf")

    @property
    def is_expressed(self) -> bool:
        """Whether the program parses and computes what the recipe says."""
        return not self.reason and self.max_error <= TOLERANCE

    @property
    def is_exact(self) -> bool:
        """Whether the model has exactly as many parameters as the published one."""
        return not self.reason and self.num_params == self.published_params


# -- cells ---------------------------------------------------------------------------------------------------


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file, which may be gzipped."""
    csv.field_size_limit(1 << 30)
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
        return list(csv.DictReader(file))


def language_for(recipes: Sequence[Recipe]) -> Language:
    """Return the language with budgets and registers that hold every one of the recipes."""
    most_inputs = max((len(node["input"]) for recipe in recipes for node in recipe.values()), default=1)
    num_states = max((len(_state_names(recipe)) for recipe in recipes), default=1)
    return Language(
        max_length=100_000,
        max_flops=10**9,
        num_taps=16,
        num_states=num_states + 1,
        max_width=max(4, most_inputs) * SESQUI,
        widths={**WIDTHS, "SESQUI": SESQUI},
    )


def _state_names(recipe: Recipe) -> set[str]:
    names = {*recipe, *(source for node in recipe.values() for source in node["input"])}
    return {name.replace("h_prev_", "h_new_") for name in names if name.startswith(("h_prev_", "h_new_"))}


def examine(cell: str, recipe: Recipe, published_params: int, language: Language) -> Row:
    """Write a cell as a program, read it back, count its parameters and compare its values."""
    try:
        cells = [
            cell_of(recipe, language, width_in, width)
            for width_in, width in zip((Fraction(1), *RATIOS), RATIOS, strict=False)
        ]
        tokens = to_tokens(stacked(cells), language)
        verify(parse(tokens, language).graph, language)
        graph, _ = parse_graph(tokens, language)
        alone = to_tokens(stacked([cell_of(recipe, language, Fraction(1), Fraction(1))]), language)
        error = max_error(recipe, cells, graph, language)
    except BlueprintError as refused:
        return Row(cell=cell, reason=f"the parser refuses its program: {refused}")
    except TamiyoError as refused:
        return Row(cell=cell, reason=str(refused))
    return Row(
        cell=cell,
        tokens=len(tokens),
        cell_tokens=len(alone),
        default_rule=_default_rule(recipe),
        num_params=_model_parameters(graph, language),
        published_params=published_params,
        max_error=error,
    )


def _default_rule(recipe: Recipe) -> str:
    """Return the rule by which the default language refuses the cell alone, or nothing."""
    try:
        parse(to_tokens(stacked([cell_of(recipe, LANGUAGE, Fraction(1), Fraction(1))])))
    except BlueprintError as error:
        return error.rule
    except TamiyoError:
        return "registers"
    return ""


def _model_parameters(graph: Graph, language: Language) -> int:
    """Return the parameters of the module with the published model's tied embedding around it."""
    with torch.device("meta"):
        module = compile_blueprint(graph, EMBEDDING, language)
    return sum(p.numel() for p in module.parameters()) + NUM_WORDS * EMBEDDING + NUM_WORDS


@torch.no_grad()
def max_error(recipe: Recipe, cells: Sequence[Cell], graph: Graph, language: Language) -> float:
    """Return how far the outputs of the compiled scans are from the interpreter's, at most.

    A difference of values beyond 1 counts relative to them: the squares of an unbounded cell soon grow large.
    """
    rng = np.random.default_rng(0)
    module = compile_blueprint(graph, WIDTH, language).double()
    x_TBW = rng.standard_normal((STEPS, EXAMPLES, WIDTH))
    y_BTW = torch.from_numpy(x_TBW).transpose(0, 1)
    errors = []
    for cell, scan in zip(cells, module.ops, strict=True):
        assert isinstance(scan, Scan)
        width = cell.body.type.channels(WIDTH)
        weights = draw_weights(recipe, x_TBW.shape[2], width, rng)
        places = matched(cell.body, scan.body.graph, language)
        for name, index in cell.linear.items():
            linear = scan.body.ops[places[index] - 1]
            assert isinstance(linear, torch.nn.Linear)
            linear.weight.copy_(torch.from_numpy(weights[name][0]))
            linear.bias.copy_(torch.from_numpy(weights[name][1]))
        x_TBW = run_cell(recipe, weights, x_TBW, width)
        y_BTW = scan(y_BTW)
        errors.append((np.abs(y_BTW.transpose(0, 1).numpy() - x_TBW) / np.maximum(1, np.abs(x_TBW))).max())
    return float(np.max(errors)) if np.isfinite(errors).all() else float("inf")


def matched(built: Graph, parsed: Graph, language: Language) -> dict[int, int]:
    """Return which node of a scan's parsed body each node of the built one became.

    Raises:
        CellError: when the two are not isomorphic.
    """
    graphs = []
    for body in (built, parsed):
        graphs.append(to_networkx(body, language))
        for (index,), node in graphs[-1].nodes.items():
            node["label"] += f" {[state for state, taken in enumerate(body.stores) if taken == index]}"
    matcher = DiGraphMatcher(
        *graphs,
        node_match=lambda a, b: a["label"] == b["label"],
        edge_match=lambda a, b: a["slots"] == b["slots"],
    )
    if not matcher.is_isomorphic():
        raise CellError("the program's graph is not the recipe's")
    return {index: other for (index,), (other,) in matcher.mapping.items()}


# -- report --------------------------------------------------------------------------------------------------


def summarise(rows: Sequence[Row]) -> dict[str, object]:
    """Return the figures over all cells."""
    written = [row for row in rows if not row.reason]
    return {
        "total": len(rows),
        "expressed": sum(row.is_expressed for row in rows),
        "params_exact": sum(row.is_exact for row in rows),
        "max_abs_error": max((row.max_error for row in written), default=0.0),
        "tokens_mean": fmean([row.tokens for row in written] or [0]),
        "tokens_max": max((row.tokens for row in written), default=0),
        "cell_tokens_mean": fmean([row.cell_tokens for row in written] or [0]),
        "cell_tokens_max": max((row.cell_tokens for row in written), default=0),
        "beyond_default_budgets": dict(Counter(row.default_rule for row in written if row.default_rule)),
        "reasons": dict(Counter(row.reason for row in rows if row.reason)),
    }


def main() -> int:
    """Examine the cells and the well-known blocks, print both tables, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=Path, required=True, help="CSV with recipe_json and num_params")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to OUT")
    arguments = parser.parse_args()
    check("cpu", arguments.json)
    torch.set_num_threads(1)
    start = time.perf_counter()
    rows = examine_all(read_table(arguments.cells))
    summary = summarise(rows)
    for row in rows:
        if not (row.is_expressed and row.is_exact):
            print(row)
    for name, value in summary.items():
        print(f"{name:24} {value}")
    print(f"{len(rows)} cells in {time.perf_counter() - start:.0f} s\n")
    blocks = known_blocks()
    for block in blocks:
        print("{name:30}  {verdict:17}  {reason}".format(**block).rstrip())
        if block["program"]:
            print(f"{'':30}  {block['program']}")
    verdicts = Counter(block["verdict"] for block in blocks)
    print(
        f"{len(blocks)} well-known blocks: {', '.join(f'{n} {verdict}' for verdict, n in verdicts.items())}"
    )
    if arguments.json:
        document = {**summary, "known_blocks": blocks, "rows": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def examine_all(table: Sequence[Mapping[str, str]]) -> list[Row]:
    """Return a row a cell; equal recipes are examined once."""
    recipes = [json.loads(row["recipe_json"]) for row in table]
    language = language_for(recipes)
    known: dict[tuple[str, str], Row] = {}
    rows = []
    for entry, recipe in zip(table, recipes, strict=True):
        key = entry["recipe_json"], entry["num_params"]
        if key not in known:
            known[key] = examine(entry["cell_hash"], recipe, int(entry["num_params"]), language)
        rows.append(replace(known[key], cell=entry["cell_hash"]))
    return rows


def known_blocks() -> list[dict[str, object]]:
    """Return what became of each well-known block; every program is parsed."""
    return [
        {
            "name": block.name,
            "paper": block.paper,
            "verdict": block.verdict,
            "reason": block.reason,
            "tokens": len(block.tokens),
            "program": " ".join(block.tokens),
        }
        for block in KNOWN_BLOCKS
    ]


if __name__ == "__main__":
    sys.exit(main())
