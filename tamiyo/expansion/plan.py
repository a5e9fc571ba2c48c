"""The plan as JSON: its schema, how it is read, and what is wrong with one that breaks a rule."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tamiyo.expansion.records import ExpansionError, Plan, TargetName

#: Values that each choice of a plan can take, in the order of the schema.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "positions": ("none", "learned", "sinusoidal"),
    "normalisation": ("none", "layernorm", "rmsnorm"),
    "head": ("linear", "norm_linear", "mlp"),
    "initialisation": ("default", "small_normal", "depth_scaled"),
}
MAX_DEPTH, MAX_WIDTH, WIDTH_STEP, MAX_DROPOUT = 16, 512, 16, 0.5

#: JSON schema of a plan.
PLAN_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "depth": {"type": "integer", "minimum": 1, "maximum": MAX_DEPTH},
        "width": {"type": "integer", "enum": list(range(WIDTH_STEP, MAX_WIDTH + 1, WIDTH_STEP))},
        **{name: {"type": "string", "enum": list(values)} for name, values in CHOICES.items()},
        "dropout": {"type": "number", "minimum": 0, "maximum": MAX_DROPOUT},
    },
    "required": ["depth", "width", *CHOICES, "dropout"],
    "additionalProperties": False,
}


class PlanError(ExpansionError):
    """A text that is no plan; `rule` names what it breaks, so that failures can be counted."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"rule '{rule}': {reason}")
        self.rule = rule


def parse_plan(text: str, target: TargetName | None = None) -> Plan:
    """Return the plan that a JSON text tells, for a target where one is named.

    Raises:
        PlanError: `plan-is-json`, `plan-is-object`, `plan-keys`, `plan-values`, or `rows-have-no-order`.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise PlanError("plan-is-json", f"the plan is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise PlanError("plan-is-object", f"the plan is a {type(document).__name__}; expected an object")
    _check_keys(document)
    _check_number(document["depth"], "depth", 1, MAX_DEPTH)
    _check_number(document["width"], "width", WIDTH_STEP, MAX_WIDTH, WIDTH_STEP)
    for name, values in CHOICES.items():
        if document[name] not in values:
            raise PlanError(
                "plan-values", f"{name} is {json.dumps(document[name])}; expected one of {', '.join(values)}"
            )
    dropout = document["dropout"]
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= MAX_DROPOUT:
        raise PlanError(
            "plan-values", f"dropout is {json.dumps(dropout)}; expected a number from 0 to {MAX_DROPOUT}"
        )
    if target == "tabular" and document["positions"] != "none":
        raise PlanError(
            "rows-have-no-order", f"positions is {document['positions']}; a tabular target takes none"
        )
    return Plan(**{**document, "dropout": float(dropout)})


def plan_text(plan: Plan) -> str:
    """Return a plan as JSON; `parse_plan` reads it back."""
    return json.dumps(asdict(plan), indent=1)


def _check_keys(document: Mapping[str, Any]) -> None:
    required = PLAN_SCHEMA["required"]
    missing = [name for name in required if name not in document]
    unknown = [name for name in document if name not in required]
    if missing or unknown:
        problems = [f"lacks {', '.join(missing)}"] if missing else []
        problems += [f"has unknown {', '.join(unknown)}"] if unknown else []
        raise PlanError(
            "plan-keys", f"the plan {' and '.join(problems)}; expected exactly {', '.join(required)}"
        )


def _check_number(value: Any, name: str, low: int, high: int, step: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high or value % step:
        multiple = f", a multiple of {step}" if step > 1 else ""
        raise PlanError(
            "plan-values",
            f"{name} is {json.dumps(value)}; expected an integer from {low} to {high}{multiple}",
        )
