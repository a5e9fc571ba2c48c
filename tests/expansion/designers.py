"""Designers and checks for tests of the loop: they do what they are told, and remember what they heard."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from blueprints import emit, parse
from tamiyo.expansion.records import Attempt, Brief, Check, Plan, UnitName, Verdict
from tamiyo.expansion.template import TemplateDesigner
from tamiyo.providers.contract import ProviderError
from tamiyo.sandbox.contract import ResourceUse

TOKENS = ("RES_START", "LINEAR", "OUT_DIM_IN", "GELU", "RES_END")
NOT_CAUSAL = ("ATTENTION", "HEADS_1", "FULL")


def brief(**fields: Any) -> Brief:
    """Return what there is to expand."""
    blueprint = parse(fields.pop("tokens", TOKENS))
    values = {"target": "char_lm", "block_source": emit(blueprint), **fields}
    return Brief(blueprint_id=blueprint.id, tokens=blueprint.tokens, **values)


@dataclass
class Told:
    """Gives for the plan and each unit what it is told, in turn; an error is raised, None is the template's.

    Attributes:
        answers: by subject, one an attempt; the last one stays.
        heard: subject and failed attempts of every question.
    """

    answers: Mapping[str, list[Any]] = field(default_factory=dict)
    name: str = "told"
    heard: list[tuple[str, tuple[Attempt, ...]]] = field(default_factory=list)

    def plan(self, brief: Brief, failed: tuple[Attempt, ...]) -> Plan:
        """Return the plan of this attempt."""
        return self._next("plan", failed, TemplateDesigner().plan(brief))

    def unit(self, brief: Brief, plan: Plan, name: UnitName, failed: tuple[Attempt, ...]) -> str:
        """Return the unit of this attempt."""
        own = TemplateDesigner().unit(brief, plan, name)
        return self._next(name, failed, f"# by {self.name}\n{own}")

    def _next(self, subject: str, failed: tuple[Attempt, ...], default: Any) -> Any:
        self.heard.append((subject, failed))
        answers = self.answers.get(subject, [None])
        answer = answers[min(len(failed), len(answers) - 1)]
        if isinstance(answer, ProviderError):
            raise answer
        return default if answer is None else answer


@dataclass
class Suspicious:
    """Checks that fail whatever holds one of some words; `whole` sees all the files together.

    Attributes:
        words: check's name by the word that fails it.
        seen: subjects in the order in which they were checked, each with the units done before.
    """

    words: Mapping[str, str] = field(default_factory=dict)
    seen: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def plan(self, brief: Brief, plan: Plan) -> Verdict:
        """Return the verdict on a plan."""
        return self._verdict("plan", str(plan))

    def unit(
        self, brief: Brief, plan: Plan, name: UnitName, source: str, done: Mapping[UnitName, str]
    ) -> Verdict:
        """Return the verdict on a unit."""
        return self._verdict(name, source, tuple(done))

    def whole(self, brief: Brief, files: Mapping[str, bytes]) -> tuple[Verdict, ResourceUse]:
        """Return the verdict on the files."""
        text = "".join(content.decode() for path, content in files.items() if path != "MODEL_CARD.md")
        return self._verdict("architecture", text), ResourceUse(wall_s=1.0, cpu_s=0.5, peak_bytes=1)

    def _verdict(self, subject: str, text: str, done: tuple[str, ...] = ()) -> Verdict:
        self.seen.append((subject, done))
        bad = next((word for word in self.words if word in text and self._concerns(word, subject)), None)
        name = "source" if bad is None else self.words[bad]
        check = Check(
            name=name, is_passed=bad is None, detail="" if bad is None else f"holds {bad}", seconds=0
        )
        return Verdict(subject=subject, checks=(check,))

    def _concerns(self, word: str, subject: str) -> bool:
        """Words in capitals are seen in the whole alone."""
        return subject == "architecture" if word.isupper() else subject != "architecture"
