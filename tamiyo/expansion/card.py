"""The model card of an architecture: what it is, where it comes from, what it is worth, how it is run."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from blueprints.cost import num_parameters
from blueprints.language import LANGUAGE, Language
from blueprints.parser import parse
from tamiyo.expansion.records import Brief, Plan
from tamiyo.expansion.targets import Target, target_named
from tamiyo.expansion.template import carries_input, mixes_steps, needs_bounds

FILES = """\
| file | what it is |
|---|---|
| `block.py` | the discovered block, as Tamiyo emits it |
| `embedding.py`, `layer.py`, `head.py`, `initialisation.py` | the units around it |
| `model.py`, `config.py`, `config.json` | the architecture and its settings |
| `data.py`, `train.py` | data and training |
| `test_model.py` | tests |
| `provenance.json` | where every part comes from |
"""


def model_card(brief: Brief, plan: Plan, provenance: Mapping[str, Any], language: Language = LANGUAGE) -> str:
    """Return the card as Markdown."""
    target = target_named(brief.target)
    sections = (
        f"# {brief.blueprint_id} as {target.name}\n\n{target.summary} Its block was discovered by Tamiyo.",
        _block(brief, plan, language),
        _architecture(brief, plan, target, language),
        f"## Data and loss\n\nTrained on {target.data}; `train.py --data FILE` takes your own. It lowers the "
        f"{target.loss}. A model that learned nothing reaches {target.chance}.",
        _facts(brief.facts),
        f"## Use\n\n```sh\npython -m unittest        # its tests; torch is all that it needs\n"
        "python train.py --steps 1000 --seed 0\npython train.py --evaluate model.pt\n```\n\n"
        f"{FILES.rstrip()}",
        _provenance(provenance),
        "## Licence\n\nApache-2.0; see `LICENSE`.",
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def _block(brief: Brief, plan: Plan, language: Language) -> str:
    graph = parse(brief.tokens, language).graph
    count = num_parameters(graph, plan.width, language)
    causal = "sees no later step" if graph.type.causal else "sees later steps"
    return (
        f"## Block\n\n![the block's graph](block.svg)\n\n```\n{' '.join(brief.tokens)}\n```\n\n"
        f"Maps [B, T, D] to {graph.type}, {causal}, and has {count:,} parameters at width {plan.width}."
    )


def _architecture(brief: Brief, plan: Plan, target: Target, language: Language) -> str:
    graph = parse(brief.tokens, language).graph
    rows = "\n".join(f"| {name} | {value} |" for name, value in asdict(plan).items())
    if needs_bounds(graph, target, language):
        joined = "can grow fast, so that its layer bounds what goes in and what comes out"
    elif carries_input(graph):
        joined = "adds its input by itself, so that a layer adds the rest alone"
    else:
        joined = "stands within the residual connection of its layer"
    mixed = (
        "carries information from step to step"
        if mixes_steps(graph, language)
        else ("treats every step by itself")
    )
    return (
        f"## Architecture\n\nReads {target.inputs}; returns {target.outputs}. The block {joined}; "
        f"it {mixed}.\n\n| setting | value |\n|---|---|\n{rows}"
    )


def _facts(facts: Mapping[str, Any]) -> str:
    """Return what is known of the blueprint from its search, or nothing."""
    if not facts:
        return ""
    rows = "\n".join(f"| {name.replace('_', ' ')} | {_value(value)} |" for name, value in facts.items())
    return (
        "## What is known of the block\n\nMeasured in the search that found it, in a small host, not in this "
        f"architecture.\n\n| figure | value |\n|---|---|\n{rows}"
    )


def _provenance(provenance: Mapping[str, Any]) -> str:
    if not provenance:
        return ""
    rows = "\n".join(f"| {name.replace('_', ' ')} | {_value(value)} |" for name, value in provenance.items())
    return f"## Provenance\n\n| what | value |\n|---|---|\n{rows}"


def _value(value: Any) -> str:
    """Return a value as a cell: an interval as mean and ends, a list by its items."""
    if isinstance(value, Mapping) and "mean" in value:
        return _interval(value)
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_value(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_value(item) for item in value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def _interval(value: Mapping[str, Any]) -> str:
    """Return a mean with its 95 % interval and the number of its seeds, as far as they are known."""
    text = _value(value["mean"])
    if value.get("low") is not None and value.get("high") is not None:
        text += f" [{_value(value['low'])}, {_value(value['high'])}]"
    return f"{text} ({value['num_seeds']} seeds)" if value.get("num_seeds") else text
