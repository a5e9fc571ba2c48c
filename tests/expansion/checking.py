"""What the tests of the checks share: briefs, the template's folders and one sandbox."""

from collections.abc import Mapping, Sequence

from blueprints.emitter import emit
from blueprints.parser import Blueprint, parse
from tamiyo.expansion.assembly import assemble
from tamiyo.expansion.examination import check_architecture
from tamiyo.expansion.records import UNITS, Brief, Plan, TargetName, UnitName, Verdict
from tamiyo.expansion.template import TemplateDesigner
from tamiyo.sandbox.contract import Limits, Sandbox

#: Causal, with parameters, and no residual connection of its own.
TOKENS = ("CONV1D", "KERNEL_3", "CHANNELS_IN", "GELU", "LINEAR", "OUT_DIM_IN")
LIMITS = Limits(wall_s=60.0, cpu_s=60.0, memory_bytes=2**30)
DESIGNER = TemplateDesigner()


def brief_for(target: TargetName, tokens: Sequence[str] = TOKENS, max_parameters: int = 5_000_000) -> Brief:
    """Return what a designer would be told of a blueprint."""
    return Brief(
        blueprint_id="b",
        tokens=tuple(tokens),
        target=target,
        block_source=emit(parse(tokens)),
        max_parameters=max_parameters,
    )


def template_units(brief: Brief, plan: Plan) -> dict[UnitName, str]:
    """Return the template's units."""
    return {name: DESIGNER.unit(brief, plan, name) for name in UNITS}


def folder_of(brief: Brief, changed: Mapping[UnitName, str] = {}) -> dict[str, bytes]:
    """Return the template's folder, some units aside."""
    plan = DESIGNER.plan(brief)
    return assemble(brief, plan, {**template_units(brief, plan), **changed}, {})


def examined(sandbox: Sandbox, files: Mapping[str, bytes], brief: Brief) -> Verdict:
    """Return the verdict on a folder."""
    blueprint: Blueprint = parse(brief.tokens)
    return check_architecture(sandbox, files, blueprint, brief.target, LIMITS)[0]
