"""Checks a plan, a unit or a whole architecture in a sandbox, in a fixed order; retries nothing.

The candidate's code runs inside and hands back numbers; every comparison is made outside (`judgements.py`).
An architecture takes two jobs: one for what it is and does and, if all that holds, one for a short training.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files as package_files
from typing import Any

from blueprints.emitter import emit
from blueprints.graph import Graph
from blueprints.language import LANGUAGE, Language
from blueprints.parser import Blueprint, parse
from crucible.engines.base import single_thread
from tamiyo.expansion import inside
from tamiyo.expansion.allow_list import described, faults
from tamiyo.expansion.assembly import FIXED, assemble
from tamiyo.expansion.equality import same_program
from tamiyo.expansion.inside.tensors import pack, unpack
from tamiyo.expansion.judgements import JUDGEMENTS, Evidence
from tamiyo.expansion.plan import PlanError, parse_plan, plan_text
from tamiyo.expansion.probing import Probes
from tamiyo.expansion.records import UNITS, Brief, Check, Plan, TargetName, UnitName, Verdict
from tamiyo.expansion.signatures import missing
from tamiyo.expansion.small_problems import num_classes
from tamiyo.expansion.targets import Target, target_named
from tamiyo.expansion.template import TemplateDesigner, unit_file
from tamiyo.sandbox.contract import Job, Limits, Outcome, ResourceUse, Sandbox

#: What a unit may import of the folder.
OWN_MODULES: Mapping[str, tuple[str, ...]] = {"config": ("Config",)}
#: Modules of the folder in the order in which they build on each other.
MODULES = ("config", "block", "embedding", "layer", "head", "initialisation", "model")
INSIDE = "tamiyo_inside"
#: What one job of the checks may use: by the clock more than by computing, since a busy machine is no fault.
EXAMINATION_LIMITS = Limits(wall_s=240.0, cpu_s=90.0)
#: Training on the small problem: rates of Adam, most steps of each, in the order tried. A block that drowns
#: its input takes many before the gains are small; the other rates serve those that the first throws off.
RATES = ((3e-3, 300), (1e-2, 120), (1e-3, 120))
#: Examples a step, and the share of chance at which a training may stop.
BATCH_SIZE, ENOUGH = 32, 0.4

_BUILT = ("import", "budget", "construction", "determinism")
_RUN = ("shapes", "modes", "independence")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A folder and what of it is examined."""

    subject: str
    files: Mapping[str, bytes]
    graph: Graph
    target: Target
    max_parameters: int
    language: Language

    @property
    def config(self) -> Mapping[str, Any]:
        return json.loads(self.files["config.json"])

    @property
    def holds_blocks(self) -> bool:
        return self.subject in ("model", "layer", "initialisation")

    @property
    def modules(self) -> tuple[str, ...]:
        last = {"embedding": "embedding", "layer": "layer", "head": "head"}.get(self.subject, "model")
        return MODULES[: MODULES.index(last) + 1]

    @property
    def stages(self) -> tuple[str, ...]:
        causality = ("causality",) if self.target.is_per_step else ()
        block = ("block",) if self.holds_blocks else ()
        return (*_BUILT, *_RUN, *causality, *block, "gradients")


def check_plan(
    sandbox: Sandbox,
    brief: Brief,
    plan: Plan,
    limits: Limits = EXAMINATION_LIMITS,
    language: Language = LANGUAGE,
) -> Verdict:
    """Return whether a plan is legal and, with the template's units around the blocks, within the budget.

    Checks: `plan` (the schema's rules), `target` (its type rule), `import`, `budget` and `construction`.
    """
    checks: list[Check] = []
    started = time.perf_counter()
    fault = ""
    try:
        parse_plan(plan_text(plan), brief.target)
    except PlanError as error:
        fault = str(error)
    graph, target = parse(brief.tokens, language).graph, target_named(brief.target)
    for name, found in (("plan", fault), ("target", target.refusal(graph))):
        checks.append(_check(name, found, "", started))
        if found:
            return Verdict(subject="plan", checks=tuple(checks))
    candidate = _unit_candidate(brief, plan, "initialisation", {}, language)
    candidate = replace(candidate, subject="model")
    examined = _examined(sandbox, candidate, ("import", "budget", "construction"), limits)
    return Verdict(subject="plan", checks=(*checks, *examined.checks))


def check_unit(
    sandbox: Sandbox,
    brief: Brief,
    plan: Plan,
    name: UnitName,
    source: str,
    done: Mapping[UnitName, str],
    limits: Limits = EXAMINATION_LIMITS,
    language: Language = LANGUAGE,
) -> Verdict:
    """Return whether one unit does what its interface says, before the next is asked for.

    Args:
        sandbox: where it runs.
        brief: what is expanded.
        plan: the plan that passed.
        name: the unit.
        source: its Python source.
        done: the sources of the units before it, which passed; the template's stand in for those to come.
        limits: of the job.
        language: the language of the tokens.
    """
    checks = list(_source_checks({name: source}))
    if checks[-1].is_passed:
        candidate = _unit_candidate(brief, plan, name, {**done, name: source}, language)
        checks += _examined(sandbox, candidate, candidate.stages, limits).checks
    return Verdict(subject=name, checks=tuple(checks))


def check_architecture(
    sandbox: Sandbox,
    files: Mapping[str, bytes],
    blueprint: Blueprint,
    target: TargetName | Target,
    limits: Limits = EXAMINATION_LIMITS,
    max_parameters: int = 5_000_000,
    language: Language = LANGUAGE,
) -> tuple[Verdict, ResourceUse]:
    """Return whether a whole folder holds what it promises, and what its jobs used.

    Checks, in this order: `folder` (the block as emitted, the fixed files as they are), `source` (the
    allow-list), `interface`, `import`, `budget`, `construction`, `determinism`, `shapes`, `modes`,
    `independence`, `causality` (where each step is answered), `block`, `gradients`, `training`, `resources`.

    Args:
        sandbox: where it runs.
        files: the folder, path to content.
        blueprint: whose block it must hold.
        target: what it is for.
        limits: of each of its two jobs.
        max_parameters: most parameters of the whole.
        language: the language of the blueprint.
    """
    known = target_named(target) if isinstance(target, str) else target
    used = _NOTHING
    checks = [_folder_check(files, blueprint, known, language)]
    if checks[-1].is_passed:
        checks += _source_checks({name: files[f"{name}.py"].decode() for name in UNITS})
    if checks[-1].is_passed:
        candidate = _Candidate(
            subject="model",
            files=files,
            graph=blueprint.graph,
            target=known,
            max_parameters=max_parameters,
            language=language,
        )
        for stages in (candidate.stages, ("import", "training")):
            if checks[-1].is_passed:
                examined = _examined(sandbox, candidate, stages, limits)
                used = _together(used, examined.usage)
                checks += [check for check in examined.checks if check.name not in {c.name for c in checks}]
    if checks[-1].is_passed:
        told = f"{used.cpu_s:.2f} s of computing, {used.peak_bytes / 2**20:.0f} MiB at most"
        checks.append(Check(name="resources", is_passed=True, detail=told, seconds=used.wall_s))
    return Verdict(subject="architecture", checks=tuple(checks)), used


_NOTHING = ResourceUse(wall_s=0.0, cpu_s=0.0, peak_bytes=0)


def _together(one: ResourceUse, other: ResourceUse) -> ResourceUse:
    return ResourceUse(
        wall_s=one.wall_s + other.wall_s,
        cpu_s=one.cpu_s + other.cpu_s,
        peak_bytes=max(one.peak_bytes, other.peak_bytes),
    )


# -- before anything runs ------------------------------------------------------------------------------------


def _folder_check(
    files: Mapping[str, bytes], blueprint: Blueprint, target: Target, language: Language
) -> Check:
    started = time.perf_counter()
    return _check(
        "folder", _folder_fault(files, blueprint, target, language), "the block is as emitted", started
    )


def _folder_fault(
    files: Mapping[str, bytes], blueprint: Blueprint, target: Target, language: Language
) -> str:
    expected = {"block.py", "config.json", *FIXED, *(f"{name}.py" for name in UNITS)}
    lacking = sorted(expected - set(files))
    if lacking:
        return f"the folder lacks {', '.join(lacking)}"
    extra = sorted(
        path for path in files if path.endswith((".py", ".pth", ".so", ".pyc")) and path not in expected
    )
    if extra:
        return f"the folder has {', '.join(extra)}, expected no code but {', '.join(sorted(expected))}"
    for path in FIXED:
        if files[path] != unit_file(target.name, path).encode():
            return f"{path} is not the fixed file of that name"
    try:
        source = files["block.py"].decode()
        [files[f"{name}.py"].decode() for name in UNITS]
    except UnicodeDecodeError as error:
        return f"a source is no UTF-8: {error}"
    if not same_program(source, emit(blueprint, language=language)):
        return "block.py is not the source that the blueprint's emitter writes; the block is never rewritten"
    return _config_fault(files["config.json"], target)


def _config_fault(content: bytes, target: Target) -> str:
    try:
        config = json.loads(content)
    except ValueError as error:
        return f"config.json is no JSON: {error}"
    sizes = {"target": target.name}
    sizes |= {name: getattr(target, name) for name in ("input_size", "output_size", "max_length")}
    for name, value in sizes.items():
        if config.get(name) != value:
            return f"config.json has {name} {config.get(name)!r}, expected {value!r}"
    try:
        parse_plan(
            json.dumps({name: value for name, value in config.items() if name not in sizes}), target.name
        )
    except PlanError as error:
        return f"config.json: {error}"
    return ""


def _source_checks(sources: Mapping[UnitName, str]) -> Sequence[Check]:
    started = time.perf_counter()
    for name, source in sources.items():
        found = faults(source, OWN_MODULES)
        if found:
            return [_check("source", described(f"{name}.py", found), "", started)]
    checks = [_check("source", "", "names, imports and statements are those of a unit", started)]
    started = time.perf_counter()
    lacking = next((text for text in (missing(name, source) for name, source in sources.items()) if text), "")
    return [*checks, _check("interface", lacking, "defines what it must", started)]


def _check(name: str, fault: str, told: str, started: float) -> Check:
    seconds = time.perf_counter() - started
    return Check(name=name, is_passed=not fault, detail=fault or told, seconds=seconds)


# -- in the sandbox ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Examined:
    checks: tuple[Check, ...]
    usage: ResourceUse


def _unit_candidate(
    brief: Brief, plan: Plan, name: UnitName, units: Mapping[UnitName, str], language: Language
) -> _Candidate:
    template = TemplateDesigner(language)
    whole: dict[UnitName, str] = {
        unit: units.get(unit) or template.unit(brief, plan, unit, ()) for unit in UNITS
    }
    return _Candidate(
        subject=name,
        files=assemble(brief, plan, whole, {}, language),
        graph=parse(brief.tokens, language).graph,
        target=target_named(brief.target),
        max_parameters=brief.max_parameters,
        language=language,
    )


def _examined(sandbox: Sandbox, candidate: _Candidate, stages: Sequence[str], limits: Limits) -> _Examined:
    """Run stages of a candidate in one job and judge what came back."""
    width = int(candidate.config["width"])
    probes = Probes(candidate.target, candidate.subject, width)
    blueprint, labels = None, None
    if "shapes" in stages:
        probes.draw()
    if "block" in stages:
        blueprint = probes.draw_block(candidate.graph, candidate.language)
    if "training" in stages:
        labels = probes.draw_training()
    outcome = sandbox.run(_job(candidate, stages, probes), limits)
    if outcome.status != "ok":
        return _Examined((_ended(outcome),), outcome.usage)
    facts = outcome.result["facts"]
    evidence = Evidence(
        target=candidate.target,
        subject=candidate.subject,
        probes=probes,
        facts=facts,
        answers=unpack(outcome.files["answers.bin"]),
        num_blocks=_num_blocks(candidate),
        max_parameters=candidate.max_parameters,
        width=width,
        blueprint=blueprint,
        test_labels=labels,
    )
    return _Examined(tuple(_judged(stages, evidence, outcome.result)), outcome.usage)


def _num_blocks(candidate: _Candidate) -> int:
    if not candidate.holds_blocks:
        return 0
    return 1 if candidate.subject == "layer" else int(candidate.config["depth"])


def _judged(stages: Sequence[str], evidence: Evidence, result: Mapping[str, Any]) -> list[Check]:
    checks = []
    for stage in stages:
        started = time.perf_counter()
        spent = float(result["seconds"].get(stage, 0.0))
        failure = result["failure"]
        if failure is not None and failure["stage"] == stage:
            return [*checks, Check(name=stage, is_passed=False, detail=_raised(failure), seconds=spent)]
        with single_thread():  # small ops, and a machine that may be busy
            ruling = JUDGEMENTS[stage](evidence)
        seconds = spent + time.perf_counter() - started
        checks.append(Check(name=stage, is_passed=ruling.is_passed, detail=ruling.detail, seconds=seconds))
        if not ruling.is_passed:
            return checks
    return checks


def _raised(failure: Mapping[str, str]) -> str:
    """Return an error with its file, line and source, and what was being tried."""
    where = f"{failure['where']}: " if failure["where"] else ""
    source = f" at `{failure['source']}`" if failure.get("source") else ""
    return f"{where}{failure['error']}{source} (tried: {failure['doing']})"


def _ended(outcome: Outcome) -> Check:
    """Return the check during which a job was ended by a limit or a signal."""
    stage = outcome.files.get("progress", b"").decode(errors="replace")
    name = stage if stage in JUDGEMENTS else "sandbox"
    printed = outcome.output.strip().splitlines()[-1:] if outcome.status == "crashed" else []
    detail = ": ".join(
        [f"{outcome.status} during {name}", *(part for part in [outcome.detail, *printed] if part)]
    )
    return Check(name=name, is_passed=False, detail=detail, seconds=outcome.usage.wall_s)


def _job(candidate: _Candidate, stages: Sequence[str], probes: Probes) -> Job:
    enough = ENOUGH * math.log(num_classes(candidate.target))
    training = {"rates": RATES, "batch_size": BATCH_SIZE, "enough": enough}
    settings = {
        "modules": candidate.modules,
        "max_parameters": candidate.max_parameters,
        "width": int(candidate.config["width"]),
        "training": training,
    }
    code = {path: content for path, content in candidate.files.items() if path.endswith((".py", ".json"))}
    return Job(
        files={**code, **_inside(), "probes.bin": pack(probes.tensors)},
        function=f"{INSIDE}.examiner:examine",
        payload={"subject": candidate.subject, "stages": list(stages), "settings": settings},
        returned=("answers.bin", "progress"),
    )


@lru_cache(maxsize=1)
def _inside() -> Mapping[str, bytes]:
    """Return the examiner's own files as they go into a sandbox: a package that needs no other of ours."""
    package = inside.__name__
    paths = [path for path in package_files(package).iterdir() if path.name.endswith(".py")]
    own, shipped = f"from {package}.".encode(), f"from {INSIDE}.".encode()
    return {f"{INSIDE}/{path.name}": path.read_bytes().replace(own, shipped) for path in paths}
