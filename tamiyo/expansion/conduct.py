"""The loop of an expansion: plan, then unit by unit, each checked before the next, then the whole.

A designer has a number of attempts at the plan and at each unit, and is given the exact error of those that
failed. What it does not manage, the template makes; and where the whole does not hold, the template makes all
of it. A provider that is dead, shut out or over its budget is not asked again. What is written, kept and
shown is left to `expanding.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from blueprints.language import LANGUAGE, Language
from blueprints.parser import parse
from tamiyo.expansion.assembly import assemble
from tamiyo.expansion.journal import Journal
from tamiyo.expansion.plan import plan_text
from tamiyo.expansion.records import UNITS, Attempt, Brief, Designer, Plan, UnitName, Verdict
from tamiyo.expansion.targets import require_fit, target_named
from tamiyo.expansion.template import TemplateDesigner
from tamiyo.providers.contract import FailureKind, ProviderError
from tamiyo.sandbox.contract import ResourceUse

#: Attempts at the plan and at each unit.
ATTEMPTS = 3
#: After these a provider is not asked again in this expansion.
FINAL: frozenset[FailureKind] = frozenset(
    {"unavailable", "rate_limited", "unauthorised", "unknown_model", "over_budget", "circuit_open"}
)
#: Time-outs in a row after which it is not either.
MOST_TIME_OUTS = 2

State = Literal["asked", "passed", "failed", "fallback", "checking"]


class Checks(Protocol):
    """What is believed of a plan, a unit and a whole folder; `examination.py` in a sandbox."""

    def plan(self, brief: Brief, plan: Plan) -> Verdict:
        """Return the verdict on a plan."""
        ...

    def unit(
        self, brief: Brief, plan: Plan, name: UnitName, source: str, done: Mapping[UnitName, str]
    ) -> Verdict:
        """Return the verdict on a unit that follows on those that are done."""
        ...

    def whole(self, brief: Brief, files: Mapping[str, bytes]) -> tuple[Verdict, ResourceUse]:
        """Return the verdict on a folder, and what its examination used."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the loop, for whoever watches: what is done of what, by whom, and what came of it."""

    subject: str
    state: State
    author: str
    attempt: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The plan or a unit as it was made in the end.

    Attributes:
        name: `plan` or the unit's.
        author: who made it.
        attempts: how often another was asked before; of its author where that is who was asked.
        cause: why the template made what another was asked for, in a word or two; empty otherwise.
        reason: the same with the exact error.
        source: JSON of the plan, or the unit's Python.
    """

    name: str
    author: str
    attempts: int
    cause: str = ""
    reason: str = ""
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """What the loop made.

    Attributes:
        plan: the plan.
        parts: the plan and the units, in the order in which they were made.
        files: the folder, path to content.
        verdict: on the folder.
        usage: of its examination.
        reason: why the template made all of it though another was asked; empty otherwise.
    """

    plan: Plan
    parts: tuple[Part, ...]
    files: Mapping[str, bytes]
    verdict: Verdict
    usage: ResourceUse
    reason: str = ""

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """Names of what the template made though another was asked."""
        return tuple(part.name for part in self.parts if part.cause)


#: Returns what provenance.json says, given the parts.
Describe = Callable[[tuple[Part, ...]], Mapping[str, Any]]


@dataclass
class Conductor:
    """Makes one expansion.

    Attributes:
        brief: what is expanded.
        designer: who is asked.
        checks: what is believed.
        journal: is told what calls are for and what came of them.
        describe: says what provenance.json holds.
        tell: hears of every step.
        attempts: at the plan and at each unit.
        language: of the tokens.
    """

    brief: Brief
    designer: Designer
    checks: Checks
    journal: Journal
    describe: Describe
    tell: Callable[[Step], None] = lambda step: None
    attempts: int = ATTEMPTS
    language: Language = LANGUAGE
    _stopped: tuple[str, str] = field(default=("", ""), init=False)
    _time_outs: int = field(default=0, init=False)

    def conduct(self) -> Expansion:
        """Return the expansion, whose verdict may be a failure only where the template's own work fails.

        Raises:
            ExpansionError: the blueprint cannot serve the target (`not-causal`), or no plan is within the
                budget of parameters; nobody has been asked then.
            SandboxError: the sandbox is gone.
        """
        require_fit(parse(self.brief.tokens, self.language).graph, target_named(self.brief.target))
        template = TemplateDesigner(self.language)
        fallback = template.plan(self.brief)
        if isinstance(self.designer, TemplateDesigner):
            return self._by_template(template, fallback)
        plan, made = self._plan(fallback)
        parts, done = [made], dict[UnitName, str]()
        for name in UNITS:
            part = self._unit(template, plan, name, done)
            parts.append(part)
            done[name] = part.source
        expansion = self._whole(plan, tuple(parts), done)
        if expansion.verdict.is_passed or all(part.cause for part in parts):
            return expansion
        failure = expansion.verdict.failure
        assert failure is not None, "a verdict that is not passed has a failure"
        return self._by_template(template, fallback, f"{failure.name}: {failure.detail}", parts)

    def _by_template(
        self, template: TemplateDesigner, plan: Plan, reason: str = "", tried: list[Part] | None = None
    ) -> Expansion:
        """Return the expansion that the template makes, by itself or because what others `tried` failed."""
        units: dict[UnitName, str] = {name: template.unit(self.brief, plan, name) for name in UNITS}
        sources: dict[str, str] = {"plan": plan_text(plan), **units}
        attempts = {part.name: part.attempts for part in tried or ()}
        own = {part.name: part for part in tried or () if part.cause}
        cause = f"the whole failed check '{reason.partition(':')[0]}'" if reason else ""
        parts = tuple(
            Part(
                name=name,
                author=template.name,
                attempts=attempts.get(name, 1),
                cause=own[name].cause if name in own else cause,
                reason=own[name].reason if name in own else reason,
                source=source,
            )
            for name, source in sources.items()
        )
        if reason:
            self._tell("architecture", "fallback", template.name, detail=reason)
        return self._whole(plan, parts, units, f"the whole failed: {reason}" if reason else "")

    def _plan(self, fallback: Plan) -> tuple[Plan, Part]:
        """Return a plan that was checked, the designer's or else the template's."""
        found: list[Plan] = []

        def design(failed: tuple[Attempt, ...]) -> tuple[str, Verdict]:
            found.append(self.designer.plan(self.brief, failed))
            return plan_text(found[-1]), self.checks.plan(self.brief, found[-1])

        part = self._asked("plan", design)
        if part.cause:
            return fallback, _replaced(part, plan_text(fallback))
        return found[-1], part

    def _unit(
        self, template: TemplateDesigner, plan: Plan, name: UnitName, done: Mapping[UnitName, str]
    ) -> Part:
        """Return a unit that was checked, the designer's or else the template's."""

        def design(failed: tuple[Attempt, ...]) -> tuple[str, Verdict]:
            source = self.designer.unit(self.brief, plan, name, failed)
            return source, self.checks.unit(self.brief, plan, name, source, done)

        part = self._asked(name, design)
        return _replaced(part, template.unit(self.brief, plan, name)) if part.cause else part

    def _asked(self, subject: str, design: Callable[[tuple[Attempt, ...]], tuple[str, Verdict]]) -> Part:
        """Ask the designer until a check passes; a part with a cause says why none did."""
        failed: list[Attempt] = []
        for number in range(1, self.attempts + 1):
            if self._stopped[0]:
                break
            self._tell(subject, "asked", self.designer.name, number)
            self.journal.begin(subject, number)
            attempt = self._attempt(subject, design, tuple(failed))
            self.journal.judge(attempt)
            if attempt.verdict is not None and attempt.verdict.is_passed:
                self._tell(subject, "passed", self.designer.name, number)
                return Part(name=subject, author=self.designer.name, attempts=number, source=attempt.text)
            failed.append(attempt)
            self._tell(subject, "failed", self.designer.name, number, _reason(attempt))
        cause, reason = self._stopped
        if not cause:
            cause = f"{len(failed)} attempts failed, the last at {_cause(failed[-1])}"
            reason = _reason(failed[-1])
        self._tell(subject, "fallback", TemplateDesigner(self.language).name, detail=reason)
        return Part(
            name=subject, author="template", attempts=len(failed), cause=cause, reason=reason, source=""
        )

    def _attempt(
        self,
        subject: str,
        design: Callable[[tuple[Attempt, ...]], tuple[str, Verdict]],
        failed: tuple[Attempt, ...],
    ) -> Attempt:
        try:
            text, verdict = design(failed)
        except ProviderError as error:
            self._time_outs = self._time_outs + 1 if error.kind == "timed_out" else 0
            if error.kind in FINAL or self._time_outs == MOST_TIME_OUTS:
                self._stopped = (f"the provider: {error.kind}", f"{error.kind}: {error}")
            text = "" if error.answer is None else error.answer.text
            return Attempt(subject=subject, text=text, error=f"{error.kind}: {error}")
        self._time_outs = 0
        return Attempt(subject=subject, text=text, verdict=verdict)

    def _whole(
        self, plan: Plan, parts: tuple[Part, ...], units: Mapping[UnitName, str], reason: str = ""
    ) -> Expansion:
        authors = " and ".join(dict.fromkeys(part.author for part in parts))
        files = assemble(self.brief, plan, units, self.describe(parts), self.language)
        self._tell("architecture", "checking", authors)
        verdict, usage = self.checks.whole(self.brief, files)
        failure = verdict.failure
        detail = "" if failure is None else f"{failure.name}: {failure.detail}"
        self._tell("architecture", "failed" if detail else "passed", authors, detail=detail)
        return Expansion(plan=plan, parts=parts, files=files, verdict=verdict, usage=usage, reason=reason)

    def _tell(self, subject: str, state: State, author: str, attempt: int = 0, detail: str = "") -> None:
        self.tell(Step(subject=subject, state=state, author=author, attempt=attempt, detail=detail))


def _replaced(part: Part, source: str) -> Part:
    return Part(**{**asdict(part), "source": source})


def _reason(attempt: Attempt) -> str:
    """Return why an attempt failed, exactly."""
    failure = None if attempt.verdict is None else attempt.verdict.failure
    if failure is not None:
        return f"{failure.name}: {failure.detail}"
    return attempt.error or "no check was made"


def _cause(attempt: Attempt) -> str:
    """Return the same in a word: the check, or the kind of failure."""
    failure = None if attempt.verdict is None else attempt.verdict.failure
    return f"check '{failure.name}'" if failure is not None else attempt.error.partition(":")[0]
