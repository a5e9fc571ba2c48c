"""A plan is read from JSON that meets the schema; anything else is refused by a named rule."""

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamiyo.expansion.plan import CHOICES, PLAN_SCHEMA, PlanError, parse_plan, plan_text
from tamiyo.expansion.records import Plan

PLAN = Plan(
    depth=2, width=64, positions="none", normalisation="rmsnorm", head="mlp", initialisation="default"
)
DOCUMENT = json.loads(plan_text(PLAN))

plans = st.builds(
    Plan,
    depth=st.integers(1, 16),
    width=st.integers(1, 32).map(lambda n: 16 * n),
    dropout=st.floats(0, 0.5),
    **{name: st.sampled_from(values) for name, values in CHOICES.items()},
)


@given(plans)
def test_a_plan_and_its_text_are_inverse(plan: Plan) -> None:
    assert parse_plan(plan_text(plan)) == plan


def _near_plans() -> st.SearchStrategy[dict]:
    value = st.one_of(
        st.none(), st.booleans(), st.integers(-1, 600), st.floats(-1, 2), st.sampled_from(["none", "mlp", ""])
    )
    return st.dictionaries(st.sampled_from([*DOCUMENT, "heads"]), value, max_size=3)


@given(_near_plans(), st.sets(st.sampled_from(list(DOCUMENT)), max_size=1))
def test_the_parser_accepts_exactly_what_the_schema_does(changes: dict, dropped: set[str]) -> None:
    document = {name: value for name, value in (DOCUMENT | changes).items() if name not in dropped}
    # JSON schema takes 2.0 for an integer; a plan does not.
    is_whole = all(not isinstance(document.get(name), float) for name in ("depth", "width"))
    is_valid = jsonschema.Draft202012Validator(PLAN_SCHEMA).is_valid(document) and is_whole
    try:
        parse_plan(json.dumps(document))
    except PlanError:
        assert not is_valid
    else:
        assert is_valid


@pytest.mark.parametrize(
    ("text", "rule", "message"),
    [
        ("depth: 2", "plan-is-json", "the plan is no JSON: Expecting value"),
        ("[2]", "plan-is-object", "the plan is a list; expected an object"),
        (
            json.dumps({**DOCUMENT, "heads": 4}),
            "plan-keys",
            "has unknown heads; expected exactly depth, width",
        ),
        ("{}", "plan-keys", "lacks depth, width, positions"),
        (json.dumps({**DOCUMENT, "width": 40}), "plan-values", "width is 40; expected .* a multiple of 16"),
        (json.dumps({**DOCUMENT, "depth": True}), "plan-values", "depth is true; expected an integer from 1"),
        (
            json.dumps({**DOCUMENT, "head": "big"}),
            "plan-values",
            'head is "big"; expected one of linear, norm_',
        ),
        (json.dumps({**DOCUMENT, "head": []}), "plan-values", r"head is \[\]; expected one of"),
        (
            json.dumps({**DOCUMENT, "dropout": 1}),
            "plan-values",
            "dropout is 1; expected a number from 0 to 0.5",
        ),
    ],
)
def test_what_is_no_plan_is_refused_by_a_named_rule(text: str, rule: str, message: str) -> None:
    with pytest.raises(PlanError, match=f"rule '{rule}': .*{message}") as refused:
        parse_plan(text)
    assert refused.value.rule == rule


def test_rows_of_a_table_have_no_order() -> None:
    text = json.dumps({**DOCUMENT, "positions": "learned"})
    assert parse_plan(text, "char_lm").positions == "learned"
    with pytest.raises(PlanError, match="rule 'rows-have-no-order'"):
        parse_plan(text, "tabular")
