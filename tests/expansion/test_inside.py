"""What the examiner does inside a sandbox, done in this process: the same numbers, and faults named alike."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch._dynamo  # noqa: F401  (else torch itself puts on a wrapper while a unit is built)
from checking import DESIGNER, LIMITS, TOKENS, brief_for, examined, folder_of
from hostile_units import HOSTILE_UNITS, Hostile
from test_checks_hostile import checked, source_of

from crucible.engines.base import single_thread
from tamiyo.expansion.examination import INSIDE, MODULES
from tamiyo.expansion.inside import examiner
from tamiyo.expansion.inside.tensors import pack, unpack
from tamiyo.expansion.records import TARGETS, TargetName, UnitName
from tamiyo.sandbox.contract import Job, Limits, Outcome, ResourceUse, Sandbox

#: Units that do nothing but what their interface does not want: they may run here.
MERELY_WRONG = (
    "knows short sequences only",
    "squeezes a batch of one away",
    "rewrites the blocks' weights",
    "fills weights with no numbers",
    "hides its characters",
)


class InThisProcess:
    """Runs jobs of the checks here, with the package's own examiner; holds nothing back."""

    name = "this process"

    def __init__(self, root: Path) -> None:
        self._root = root
        self.outcomes: list[Outcome] = []

    def run(self, job: Job, limits: Limits) -> Outcome:
        """Return what the examiner returns for a job."""
        assert job.function == f"{INSIDE}.examiner:examine"
        root = self._root / str(len(self.outcomes))
        folder, scratch = root / "folder", root / "scratch"
        for made in (folder, scratch):
            made.mkdir(parents=True)
        for path, content in job.files.items():
            if not path.startswith(f"{INSIDE}/"):
                (folder / path).write_bytes(content)
        with pytest.MonkeyPatch.context() as patch, single_thread():
            patch.setattr(examiner, "FOLDER", folder)
            patch.setattr(sys, "path", [str(folder), *sys.path])
            patch.chdir(scratch)
            for name in MODULES:
                patch.delitem(sys.modules, name, raising=False)
            importlib.invalidate_caches()
            result = json.loads(json.dumps(examiner.examine(json.loads(json.dumps(job.payload)))))
            for name in MODULES:
                sys.modules.pop(name, None)
        outcome = Outcome(
            status="ok",
            result=result,
            files={path: (scratch / path).read_bytes() for path in job.returned},
            usage=ResourceUse(wall_s=0.0, cpu_s=0.0, peak_bytes=0),
            backend=self.name,
        )
        self.outcomes.append(outcome)
        return outcome

    def close(self) -> None:
        """Nothing is open."""


class Overheard:
    """A sandbox whose outcomes are kept."""

    def __init__(self, inner: Sandbox) -> None:
        self._inner, self.name = inner, inner.name
        self.outcomes: list[Outcome] = []

    def run(self, job: Job, limits: Limits) -> Outcome:
        """Return how a job ended, and keep it."""
        self.outcomes.append(self._inner.run(job, limits))
        return self.outcomes[-1]

    def close(self) -> None:
        """The sandbox inside is somebody else's."""


@pytest.fixture
def here(tmp_path: Path) -> InThisProcess:
    return InThisProcess(tmp_path)


def numbers(outcome: Outcome) -> tuple[dict[str, Any], Any]:
    """Return the facts of an outcome, and its answers as lists."""
    assert outcome.status == "ok", outcome.detail
    answers = {name: (str(t.dtype), t.tolist()) for name, t in unpack(outcome.files["answers.bin"]).items()}
    return answers, [outcome.result["facts"], outcome.result["failure"]]


@pytest.mark.parametrize("target", TARGETS)
def test_a_sandbox_changes_no_number(target: TargetName, sandbox: Sandbox, here: InThisProcess) -> None:
    brief = brief_for(target)
    inside = Overheard(sandbox)
    verdicts = [examined(place, folder_of(brief), brief) for place in (inside, here)]
    assert all(verdict.is_passed for verdict in verdicts), verdicts
    assert len(inside.outcomes) == len(here.outcomes) == 2
    for one, other in zip(inside.outcomes, here.outcomes, strict=True):
        first, second = numbers(one), numbers(other)
        assert first == second
        assert first[0], "there are answers to compare"


@pytest.mark.parametrize("title", MERELY_WRONG)
def test_a_fault_is_told_alike(title: str, sandbox: Sandbox, here: InThisProcess) -> None:
    [hostile] = [one for one in HOSTILE_UNITS if one.title == title]
    told = [refusal(place, hostile) for place in (sandbox, here)]
    assert told[0] == told[1]
    assert hostile.says in told[1][1]


def refusal(place: Sandbox, hostile: Hostile) -> tuple[str, str]:
    """Return the check that refuses a unit, and why."""
    verdict = checked(place, hostile.unit, hostile.target, source_of(hostile))
    assert verdict.failure is not None
    return verdict.failure.name, verdict.failure.detail


@pytest.mark.parametrize(
    ("piece", "other", "says"),
    [
        ("self.block = block", "self.block = nn.Sequential(block)", "Layer.block is Sequential, expected"),
        ("nn.Parameter(torch.ones(config.width))", "torch.ones(config.width)", "Layer.gain is Tensor"),
        ("torch.ones(config.width)", "torch.ones(1)", "Layer.gain has the shape [1], expected [64]"),
    ],
)
def test_what_a_layer_lacks_is_said(piece: str, other: str, says: str, here: InThisProcess) -> None:
    failure = checked(here, "layer", "char_lm", changed("layer", piece, other)).failure
    assert failure is not None
    assert failure.name == "construction"
    assert says in failure.detail


def test_a_forward_that_returns_no_tensor_is_told_with_what_was_tried(here: InThisProcess) -> None:
    source = changed("head", "return self.output(self.features(x))", "return x, x")
    failure = checked(here, "head", "char_lm", source).failure
    assert failure is not None
    assert failure.name == "shapes"
    assert "forward returned tuple, expected a tensor" in failure.detail
    assert "(tried: head on float32 [" in failure.detail


def test_a_unit_that_looks_at_its_weights_is_counted_when_it_is_built(here: InThisProcess) -> None:
    source = changed("head", "super().__init__()", "super().__init__()\n        float(torch.zeros(()))")
    checked(here, "head", "char_lm", source)
    facts = here.outcomes[0].result["facts"]
    assert facts["budget"] == {"parameters": None}
    assert facts["construction"]["parameters"]


def changed(unit: UnitName, piece: str, other: str) -> str:
    """Return the template's unit with one piece in place of another."""
    brief = brief_for("char_lm")
    source = DESIGNER.unit(brief, DESIGNER.plan(brief), unit)
    assert piece in source
    return source.replace(piece, other, 1)


def test_a_folder_that_is_no_python_names_its_line(here: InThisProcess) -> None:
    brief = brief_for("tabular", TOKENS)
    files = {**folder_of(brief), "block.py": b"class Block(:\n"}
    job = Job(
        files={**files, "probes.bin": pack({})},
        function=f"{INSIDE}.examiner:examine",
        payload={"subject": "model", "stages": ["import"], "settings": {"modules": ["config", "block"]}},
        returned=("answers.bin", "progress"),
    )
    outcome = here.run(job, LIMITS)
    failure = outcome.result["failure"]
    assert (failure["where"], failure["doing"]) == ("block.py, line 1", "import block")
    assert outcome.files["progress"] == b"import"
