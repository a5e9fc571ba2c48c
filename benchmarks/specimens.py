"""A table of published recurrent cells as blueprints, equal cells once; leaves scoring them to others."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import permutations
from pathlib import Path

from benchmarks.cells import (
    INPUT_NAME,
    LINEAR,
    NEW,
    OUTPUT,
    PREVIOUS,
    CellError,
    Recipe,
    cell_of,
    check_recipe,
    stacked,
)
from benchmarks.language_coverage import language_for, read_table
from blueprints import Blueprint, Language, TamiyoError, parse, to_tokens

#: Columns without which a table cannot be read.
COLUMNS = ("recipe_json", "num_params", "best_val_loss")
#: Ops whose inputs may change places: what a cell can learn stays the same.
UNORDERED = (LINEAR, "elementwise_sum", "elementwise_prod")


@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen:
    """A cell that was really trained, once or several times.

    Attributes:
        meaning: the same for cells that compute the same family of functions.
        blueprint: one scan of the host's width.
        num_params: of the published language model.
        losses: validation losses in nats a token, one a training.
    """

    meaning: str
    blueprint: Blueprint
    num_params: int
    losses: tuple[float, ...]

    @property
    def loss(self) -> float:
        """Mean over its trainings."""
        return sum(self.losses) / len(self.losses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What a table holds.

    Attributes:
        specimens: distinct cells, in the order of their first rows.
        language: in which all of them are legal.
        num_rows: rows of the table.
        reasons: why rows were left out, one each.
    """

    specimens: tuple[Specimen, ...]
    language: Language
    num_rows: int
    reasons: tuple[str, ...]


def collect(path: Path) -> Collection:
    """Read a table of cells; rows without a finite loss, and cells that cannot be written, are left out.

    Raises:
        CellError: when a column is missing, or no row is left.
    """
    table = read_table(path)
    missing = [name for name in COLUMNS if not table or name not in table[0]]
    if missing:
        raise CellError(f"{path} has no row with {', '.join(missing)}; expected {', '.join(COLUMNS)}")
    recipes: list[Recipe] = [json.loads(row["recipe_json"]) for row in table]
    language = language_for(recipes)
    found: dict[str, Specimen] = {}
    reasons = []
    for row, recipe in zip(table, recipes, strict=True):
        loss = _number(row["best_val_loss"])
        if not math.isfinite(loss):
            reasons.append("no finite loss")
            continue
        try:
            specimen = _specimen(recipe, int(row["num_params"]), loss, language)
        except TamiyoError as refused:
            reasons.append(str(refused))
            continue
        known = found.get(specimen.meaning)
        found[specimen.meaning] = specimen if known is None else _with_loss(known, loss)
    if not found:
        raise CellError(f"no row of {path} can be scored: {'; '.join(sorted(set(reasons)))}")
    return Collection(
        specimens=tuple(found.values()), language=language, num_rows=len(table), reasons=tuple(reasons)
    )


def meaning(recipe: Recipe) -> str:
    """Return an expression of the states that matter, equal for cells that differ in names and order alone.

    Dead nodes are left out, inputs of linear maps, sums and products are sorted, and states other than the
    output's are named in every way, of which the alphabet's first counts.
    """
    check_recipe(recipe)
    states = list(_live_states(recipe))
    return min(_expression(recipe, (OUTPUT, *others)) for others in permutations(states[1:]))


def _live_states(recipe: Recipe) -> Iterator[str]:
    """Yield the output's state and every one that it depends on, through however many steps."""
    waiting, seen = [OUTPUT], {OUTPUT}
    while waiting:
        node = waiting.pop(0)
        if node.startswith(NEW):
            yield node
        for source in recipe[node]["input"] if node in recipe else ():
            name = source.replace(PREVIOUS, NEW)
            if name not in seen and (name in recipe or name.startswith(NEW)):
                seen.add(name)
                waiting.append(name)


def _expression(recipe: Recipe, states: Sequence[str]) -> str:
    names = {state.replace(NEW, PREVIOUS): f"s{number}" for number, state in enumerate(states)}
    known: dict[str, str] = {INPUT_NAME: INPUT_NAME, **names}

    def express(name: str) -> str:
        if name not in known:
            op, inputs = recipe[name]["op"], [express(source) for source in recipe[name]["input"]]
            known[name] = f"{op}({','.join(sorted(inputs) if op in UNORDERED else inputs)})"
        return known[name]

    return "; ".join(express(state) if state in recipe else "0" for state in states)


def _specimen(recipe: Recipe, num_params: int, loss: float, language: Language) -> Specimen:
    graph = stacked([cell_of(recipe, language, Fraction(1), Fraction(1))])
    return Specimen(
        meaning=meaning(recipe),
        blueprint=parse(to_tokens(graph, language), language),
        num_params=num_params,
        losses=(loss,),
    )


def _with_loss(known: Specimen, loss: float) -> Specimen:
    return Specimen(
        meaning=known.meaning,
        blueprint=known.blueprint,
        num_params=known.num_params,
        losses=(*known.losses, loss),
    )


def _number(text: str) -> float:
    """Return the number in a field; NaN where there is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
