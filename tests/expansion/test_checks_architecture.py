"""Whole folders: the template's pass every check; one that was tampered with or learns nothing does not."""

import json
from collections.abc import Sequence

import pytest
from checking import DESIGNER, LIMITS, TOKENS, brief_for, examined, folder_of, template_units

from tamiyo.expansion.examination import check_plan, check_unit
from tamiyo.expansion.records import TARGETS, UNITS, Check, TargetName, UnitName, Verdict
from tamiyo.sandbox.contract import Sandbox

CHECKS = (
    *("folder", "source", "interface", "import", "budget", "construction", "determinism", "shapes", "modes"),
    *("independence", "causality", "block", "gradients", "training", "resources"),
)
BLUEPRINTS: dict[str, Sequence[str]] = {
    "convolution": TOKENS,
    "a bare activation": ("TANH",),
    "residual": ("RES_START", "LINEAR", "OUT_DIM_DOUBLE", "GELU", "LINEAR", "OUT_DIM_IN", "RES_END"),
    "recurrent": ("GRU",),
    "attention": ("ATTENTION", "HEADS_2"),
}


def failed(verdict: Verdict) -> Check:
    """Return the check that failed, which must be the last."""
    assert verdict.failure is not None, "it passed every check"
    assert verdict.failure is verdict.checks[-1]
    return verdict.failure


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", BLUEPRINTS)
def test_the_templates_architecture_passes_every_check(
    name: str, target: TargetName, sandbox: Sandbox
) -> None:
    brief = brief_for(target, BLUEPRINTS[name])
    verdict = examined(sandbox, folder_of(brief), brief)
    assert verdict.is_passed, verdict.failure
    expected = tuple(check for check in CHECKS if target == "char_lm" or check != "causality")
    assert tuple(check.name for check in verdict.checks) == expected


@pytest.mark.parametrize("target", TARGETS)
def test_the_templates_plan_and_units_pass_one_by_one(target: TargetName, sandbox: Sandbox) -> None:
    brief = brief_for(target)
    plan = DESIGNER.plan(brief)
    assert check_plan(sandbox, brief, plan, LIMITS).is_passed
    units = template_units(brief, plan)
    for number, name in enumerate(UNITS):
        done: dict[UnitName, str] = {earlier: units[earlier] for earlier in UNITS[:number]}
        verdict = check_unit(sandbox, brief, plan, name, units[name], done, LIMITS)
        assert verdict.is_passed, (name, verdict.failure)


def test_a_plan_beyond_the_budget_is_refused_before_anything_is_written(sandbox: Sandbox) -> None:
    plan = DESIGNER.plan(brief_for("char_lm"))
    failure = failed(check_plan(sandbox, brief_for("char_lm", max_parameters=1000), plan, LIMITS))
    assert failure.name == "budget"
    assert "expected at most 1,000; the largest are " in failure.detail


def test_a_plan_for_a_blueprint_that_is_not_causal_is_refused_by_the_rule(sandbox: Sandbox) -> None:
    plan = DESIGNER.plan(brief_for("char_lm"))
    failure = failed(check_plan(sandbox, brief_for("char_lm", ("POOL_MEAN",)), plan, LIMITS))
    assert failure.name == "target"
    assert failure.detail.startswith("rule 'not-causal'")


@pytest.mark.parametrize(
    ("path", "piece", "other", "says"),
    [
        ("block.py", b"F.gelu", b"F.relu", "block.py is not the source that the blueprint's emitter writes"),
        ("model.py", b"x = layer(x)", b"x = x + 0 * layer(x)", "model.py is not the fixed file"),
        ("train.py", b"import", b"import os\nimport", "train.py is not the fixed file"),
        ("config.json", b'"max_length": 64', b'"max_length": 4', "config.json has max_length 4, expected 64"),
        ("config.json", b'"depth": 4', b'"depth": 0', "depth is 0"),
    ],
)  # fmt: skip
def test_a_folder_that_was_tampered_with_is_refused(
    path: str, piece: bytes, other: bytes, says: str, sandbox: Sandbox
) -> None:
    brief = brief_for("char_lm")
    files = folder_of(brief)
    assert piece in files[path]
    failure = failed(examined(sandbox, {**files, path: files[path].replace(piece, other, 1)}, brief))
    assert failure.name == "folder"
    assert says in failure.detail


def test_a_folder_with_code_of_its_own_is_refused(sandbox: Sandbox) -> None:
    brief = brief_for("char_lm")
    files = {**folder_of(brief), "sitecustomize.py": b"print('here first')\n"}
    failure = failed(examined(sandbox, files, brief))
    assert failure.name == "folder"
    assert "the folder has sitecustomize.py, expected no code but" in failure.detail


def test_a_folder_without_a_unit_is_refused(sandbox: Sandbox) -> None:
    brief = brief_for("tabular")
    files = {path: content for path, content in folder_of(brief).items() if path != "head.py"}
    failure = failed(examined(sandbox, files, brief))
    assert failure.detail == "the folder lacks head.py"


def test_a_model_that_lets_gradients_pass_but_hardly_reads_its_input_learns_nothing(sandbox: Sandbox) -> None:
    brief = brief_for("char_lm")
    head = template_units(brief, DESIGNER.plan(brief))["head"]
    piece = "return self.output(self.features(x))"
    assert piece in head
    whisper = head.replace(
        piece, "return self.output(1e-5 * x + self.features(x) - self.features(x).detach())"
    )
    failure = failed(examined(sandbox, folder_of(brief, {"head": whisper}), brief))
    assert failure.name == "training"
    assert "a model that ignores its input stays above 1.386" in failure.detail


def test_two_examinations_give_the_same_details(sandbox: Sandbox) -> None:
    brief = brief_for("sequence_classifier")
    files = folder_of(brief)
    details = [
        [
            (check.name, check.detail)
            for check in examined(sandbox, files, brief).checks
            if check.name != "resources"
        ]
        for _ in range(2)
    ]
    assert details[0] == details[1]


def test_a_layer_that_works_alone_is_refused_where_the_plan_has_more_of_them(sandbox: Sandbox) -> None:
    brief = brief_for("char_lm")
    config = json.loads(folder_of(brief)["config.json"])
    assert config["depth"] > 1
    layer = template_units(brief, DESIGNER.plan(brief))["layer"]
    shared = layer.replace("self.block = block", "SHARED.append(block)\n        self.block = SHARED[0]")
    shared = shared.replace("class Layer", "SHARED = []\n\n\nclass Layer")
    failure = failed(examined(sandbox, folder_of(brief, {"layer": shared}), brief))
    assert failure.name in ("construction", "determinism", "block")
