"""Puts block, units and fixed files together to a folder that runs on its own with torch only."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from blueprints.drawing import blueprint_svg
from blueprints.language import LANGUAGE, Language
from blueprints.parser import parse
from tamiyo.expansion.card import model_card
from tamiyo.expansion.records import UNITS, Brief, Designer, ExpansionError, Plan, UnitName
from tamiyo.expansion.targets import require_fit, target_named
from tamiyo.expansion.template import unit_file

#: Files that are the same for every blueprint; a target may have its own of that name.
FIXED = ("config.py", "model.py", "data.py", "train.py", "test_model.py", "LICENSE")


def assemble(
    brief: Brief,
    plan: Plan,
    units: Mapping[UnitName, str],
    provenance: Mapping[str, Any],
    language: Language = LANGUAGE,
) -> dict[str, bytes]:
    """Return the files of an architecture, path to content; equal arguments give equal bytes.

    Args:
        brief: what is expanded; its block stands in the folder as it was emitted.
        plan: becomes config.json, with the sizes of the target's own data.
        units: the source of every unit.
        provenance: where the folder comes from, what JSON can say; it becomes provenance.json.
        language: the language of the tokens.

    Raises:
        ExpansionError: the blueprint cannot serve the target, or a unit is missing or unknown.
    """
    target, graph = target_named(brief.target), parse(brief.tokens, language).graph
    require_fit(graph, target)
    if set(units) != set(UNITS):
        raise ExpansionError(f"units are {', '.join(units) or 'none'}; expected exactly {', '.join(UNITS)}")
    texts = {
        "block.py": brief.block_source,
        **{f"{name}.py": units[name] for name in UNITS},
        **{path: unit_file(brief.target, path) for path in FIXED},
        "config.json": config_text(brief, plan),
        "block.svg": blueprint_svg(graph, language) + "\n",
        "MODEL_CARD.md": model_card(brief, plan, provenance, language),
        "provenance.json": json.dumps(dict(provenance), indent=1, sort_keys=True) + "\n",
    }
    return {path: text.encode() for path, text in sorted(texts.items())}


def config_text(brief: Brief, plan: Plan) -> str:
    """Return config.json: the plan, the target and the sizes of its data."""
    target = target_named(brief.target)
    sizes = {name: getattr(target, name) for name in ("input_size", "output_size", "max_length")}
    return json.dumps({"target": target.name, **sizes, **asdict(plan)}, indent=1) + "\n"


def expand_by(
    designer: Designer, brief: Brief, provenance: Mapping[str, Any], language: Language = LANGUAGE
) -> dict[str, bytes]:
    """Return the folder that a designer makes at the first attempt, with nothing checked.

    Raises:
        ExpansionError: the blueprint cannot serve the target, or no plan is within the budget.
    """
    plan = designer.plan(brief, ())
    units: dict[UnitName, str] = {name: designer.unit(brief, plan, name, ()) for name in UNITS}
    return assemble(brief, plan, units, provenance, language)
