"""The loop: what is asked, checked, tried again and left to the template, with no model and no sandbox."""

from typing import Any

import pytest
from designers import NOT_CAUSAL, Suspicious, Told, brief

from tamiyo.expansion.conduct import Conductor, Expansion, Part, Step
from tamiyo.expansion.journal import Journal
from tamiyo.expansion.plan import parse_plan
from tamiyo.expansion.records import UNITS, Designer, ExpansionError
from tamiyo.expansion.template import TemplateDesigner
from tamiyo.providers.contract import Answer, FailureKind, ProviderError

ALL = ("plan", *UNITS)


def conduct(
    designer: Designer, checks: Suspicious | None = None, steps: list[Step] | None = None, **fields: Any
) -> Expansion:
    """Return what the loop makes of a designer."""
    steps = [] if steps is None else steps
    conductor = Conductor(
        brief=fields.pop("brief", brief()),
        designer=designer,
        checks=checks or Suspicious(),
        journal=Journal(None),
        describe=lambda parts: {"authors": {part.name: part.author for part in parts}},
        tell=steps.append,
        **fields,
    )
    return conductor.conduct()


def authors(expansion: Expansion) -> dict[str, str]:
    return {part.name: part.author for part in expansion.parts}


def part(expansion: Expansion, name: str) -> Part:
    return next(part for part in expansion.parts if part.name == name)


def test_plan_and_units_are_asked_in_order_and_each_is_checked_before_the_next() -> None:
    designer, checks, steps = Told(), Suspicious(), list[Step]()
    made = conduct(designer, checks, steps)
    assert [subject for subject, _ in designer.heard] == list(ALL)
    done = [UNITS[:number] for number in range(len(UNITS))]
    assert checks.seen == [("plan", ()), *zip(UNITS, done, strict=True), ("architecture", ())]
    told = [(step.subject, step.state) for step in steps]
    assert told == [pair for name in ALL for pair in ((name, "asked"), (name, "passed"))] + [
        ("architecture", "checking"),
        ("architecture", "passed"),
    ]
    assert made.verdict.is_passed
    assert (made.fallbacks, made.reason) == ((), "")
    assert set(authors(made).values()) == {"told"}
    assert made.files["head.py"].startswith(b"# by told\n")


def test_the_template_asks_nobody_and_is_checked_as_a_whole() -> None:
    checks, steps = Suspicious(), list[Step]()
    made = conduct(TemplateDesigner(), checks, steps)
    assert checks.seen == [("architecture", ())]
    assert set(authors(made).values()) == {"template"}
    assert (made.fallbacks, made.reason) == ((), "")
    assert [step.author for step in steps] == ["template", "template"]


def test_a_failed_unit_is_asked_again_with_every_exact_error() -> None:
    designer = Told({"head": ["evil one", "evil two", None]})
    made = conduct(designer, Suspicious({"evil": "imports"}))
    asked = [failed for subject, failed in designer.heard if subject == "head"]
    assert [len(failed) for failed in asked] == [0, 1, 2]
    assert [attempt.text for attempt in asked[2]] == ["evil one", "evil two"]
    failure = asked[2][0].verdict and asked[2][0].verdict.failure
    assert failure is not None
    assert (failure.name, failure.detail) == ("imports", "holds evil")
    assert (part(made, "head").author, part(made, "head").attempts) == ("told", 3)
    assert made.fallbacks == ()


def test_a_unit_that_fails_every_attempt_is_the_templates_and_the_others_are_not() -> None:
    designer, steps = Told({"layer": ["evil"]}), list[Step]()
    made = conduct(designer, Suspicious({"evil": "imports"}), steps, attempts=2)
    assert made.verdict.is_passed
    assert authors(made) == {name: "template" if name == "layer" else "told" for name in ALL}
    assert made.fallbacks == ("layer",)
    fallen = part(made, "layer")
    assert fallen.attempts == 2
    assert fallen.cause == "2 attempts failed, the last at check 'imports'"
    assert fallen.reason == "imports: holds evil"
    assert fallen.source == TemplateDesigner().unit(brief(), made.plan, "layer")
    assert [step.detail for step in steps if step.state == "fallback"] == ["imports: holds evil"]
    assert [failed for subject, failed in designer.heard if subject == "head"] == [()], "asked on as before"


def test_a_plan_that_never_passes_is_the_templates() -> None:
    plan = parse_plan(
        '{"depth": 16, "width": 512, "positions": "learned", "normalisation": "none", "head": "mlp", '
        '"initialisation": "default", "dropout": 0}'
    )
    made = conduct(Told({"plan": [plan]}), Suspicious({"depth=16": "budget"}))
    assert made.plan == TemplateDesigner().plan(brief())
    assert made.fallbacks == ("plan",)
    assert part(made, "plan").cause == "3 attempts failed, the last at check 'budget'"


@pytest.mark.parametrize("kind", ["refused", "cut_off", "garbage"])
def test_an_answer_that_cannot_be_used_is_an_attempt_and_its_text_is_kept(kind: FailureKind) -> None:
    came = Answer(text="I canno", model="m", prompt_tokens=1, completion_tokens=1, cost_usd=None, seconds=0.0)
    designer = Told({"head": [ProviderError(kind, "not of use", answer=came), None]})
    made = conduct(designer)
    [again] = [failed for subject, failed in designer.heard if subject == "head" and failed]
    assert (again[0].text, again[0].error, again[0].verdict) == ("I canno", f"{kind}: not of use", None)
    assert part(made, "head").attempts == 2
    assert made.fallbacks == ()


@pytest.mark.parametrize(
    "kind", ["unavailable", "rate_limited", "unauthorised", "unknown_model", "over_budget", "circuit_open"]
)
def test_a_provider_that_is_dead_or_over_budget_is_not_asked_again_and_what_passed_stays(
    kind: FailureKind,
) -> None:
    designer = Told({"layer": [ProviderError(kind, "no more")]})
    made = conduct(designer)
    assert [subject for subject, _ in designer.heard] == ["plan", "embedding", "layer"]
    assert made.verdict.is_passed
    assert made.fallbacks == ("layer", "head", "initialisation")
    assert authors(made)["embedding"] == "told"
    assert {part(made, name).cause for name in made.fallbacks} == {f"the provider: {kind}"}
    assert {part(made, name).reason for name in made.fallbacks} == {f"{kind}: no more"}
    assert [part(made, name).attempts for name in made.fallbacks] == [1, 0, 0]


def test_a_provider_that_is_dead_from_the_start_leaves_all_to_the_template() -> None:
    made = conduct(Told({"plan": [ProviderError("unavailable", "connection refused")]}))
    alone = conduct(TemplateDesigner())
    assert made.fallbacks == ALL
    assert {k: v for k, v in made.files.items() if k.endswith(".py")} == {
        k: v for k, v in alone.files.items() if k.endswith(".py")
    }


def test_a_provider_that_hangs_is_left_after_two_time_outs_in_a_row() -> None:
    late = ProviderError("timed_out", "no whole answer in 5 s")
    designer = Told({"plan": [late, None], "layer": [late]})
    made = conduct(designer)
    assert [subject for subject, _ in designer.heard] == ["plan", "plan", "embedding", "layer", "layer"]
    assert made.fallbacks == ("layer", "head", "initialisation")


def test_a_whole_that_does_not_hold_is_made_by_the_template_and_says_so() -> None:
    steps = list[Step]()
    designer = Told({"embedding": ["# LIES\n"], "head": ["evil"]})
    made = conduct(designer, Suspicious({"LIES": "training", "evil": "imports"}), steps)
    assert made.verdict.is_passed
    assert set(authors(made).values()) == {"template"}
    assert made.fallbacks == ALL
    assert made.reason == "the whole failed: training: holds LIES"
    assert part(made, "embedding").cause == "the whole failed check 'training'"
    assert part(made, "head").cause == "3 attempts failed, the last at check 'imports'"
    assert [part(made, name).attempts for name in ("embedding", "head")] == [1, 3]
    assert b"LIES" not in made.files["embedding.py"]
    assert [(s.state, s.author) for s in steps if s.subject == "architecture"] == [
        ("checking", "told and template"),
        ("failed", "told and template"),
        ("fallback", "template"),
        ("checking", "template"),
        ("passed", "template"),
    ]


@pytest.mark.parametrize("designer", [TemplateDesigner(), Told()])
def test_where_even_the_template_fails_the_verdict_says_so(designer: Designer) -> None:
    made = conduct(designer, Suspicious({"TERMS AND CONDITIONS": "training"}))
    assert not made.verdict.is_passed
    assert set(authors(made).values()) == {"template"}


def test_what_cannot_serve_the_target_is_refused_before_anybody_is_asked() -> None:
    designer = Told()
    with pytest.raises(ExpansionError, match="rule 'not-causal'"):
        conduct(designer, brief=brief(tokens=NOT_CAUSAL))
    with pytest.raises(ExpansionError, match="rule 'parameter-budget'"):
        conduct(designer, brief=brief(max_parameters=100))
    assert designer.heard == []


def test_equal_inputs_give_equal_files() -> None:
    files = [conduct(Told({"layer": ["evil"]}), Suspicious({"evil": "imports"})).files for _ in range(2)]
    assert files[0] == files[1]
