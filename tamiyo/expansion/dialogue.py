"""A designer that asks a language model for the plan and for each unit; checks nothing that it gives."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tamiyo.expansion.extraction import python_in
from tamiyo.expansion.interfaces import UNIT_INTERFACES, common_interface
from tamiyo.expansion.plan import PLAN_SCHEMA, PlanError, parse_plan, plan_text
from tamiyo.expansion.prompting import Prompt, PromptName, load_prompts
from tamiyo.expansion.records import Attempt, Brief, Plan, UnitName
from tamiyo.expansion.targets import Target, target_named
from tamiyo.providers.contract import Answer, Message, Provider, ProviderError, Request
from tamiyo.providers.objects import ExtractionError, json_in

#: Earlier failures that a question repeats at most: the last ones.
NUM_FAILURES = 2


class LanguageModelDesigner:
    """Asks a provider by prompts: one question for the plan, one for each unit, each whole in itself.

    There is no growing conversation. A question tells what is asked for, what is known, and of earlier tries
    the last two with their exact errors, so that its length is bounded whatever happened before.

    Attributes:
        provider: who answers.
        prompts: what is asked.
    """

    def __init__(
        self,
        provider: Provider,
        prompts: Mapping[PromptName, Prompt] | None = None,
        *,
        max_tokens: int = 4096,
        temperature: float = 0.0,
        seed: int = 0,
        timeout_s: float = 120.0,
    ) -> None:
        self.provider = provider
        self.prompts = load_prompts() if prompts is None else prompts
        self._settings: dict[str, Any] = {
            "max_tokens": max_tokens,
            "temperature": temperature,
            "timeout_s": timeout_s,
        }
        self._seed = seed

    @property
    def name(self) -> str:
        """The provider and its model."""
        return self.provider.name

    def plan(self, brief: Brief, failed: tuple[Attempt, ...] = ()) -> Plan:
        """Return the plan that the model decides on.

        Raises:
            ProviderError: `garbage` for an answer without a plan, with the exact reason; else the provider's.
        """
        told = {**_told(brief), "schema": json.dumps(PLAN_SCHEMA)}
        answer = self._ask("plan", told, "plan", failed, PLAN_SCHEMA)
        try:
            return parse_plan(json_in(answer.text), brief.target)
        except (ExtractionError, PlanError) as error:
            raise _garbage(answer, error) from error

    def unit(self, brief: Brief, plan: Plan, name: UnitName, failed: tuple[Attempt, ...] = ()) -> str:
        """Return the source of a unit that the model wrote, unchecked.

        Raises:
            ProviderError: `garbage` for an answer without a file, with the exact reason; else the provider's.
        """
        told = {
            **_told(brief),
            "unit": name,
            "interface": UNIT_INTERFACES[name],
            "common_interface": common_interface(brief.target),
            "plan": plan_text(plan),
        }
        answer = self._ask("unit", told, name, failed)
        try:
            return python_in(answer.text)
        except ExtractionError as error:
            raise _garbage(answer, error) from error

    def _ask(
        self,
        name: PromptName,
        told: Mapping[str, str | Sequence[str]],
        subject: str,
        failed: tuple[Attempt, ...],
        schema: Mapping[str, Any] | None = None,
    ) -> Answer:
        own = [attempt for attempt in failed if attempt.subject == subject]
        told = {**told, "failures": self._failures(own)}
        request = Request(
            messages=_messages(self.prompts[name], told),
            schema=schema,
            seed=self._seed + len(own),
            **self._settings,
        )
        return self.provider.complete(request)

    def _failures(self, failed: Sequence[Attempt]) -> str:
        """Return in words the last failures, numbered as they happened."""
        first = max(0, len(failed) - NUM_FAILURES)
        told = [
            {
                "number": str(number),
                "subject": attempt.subject,
                "answer": attempt.text,
                "error": _reason(attempt),
            }
            for number, attempt in enumerate(failed[first:], start=first + 1)
        ]
        prompt = self.prompts["failure"]
        return "\n\n".join(message.text for values in told for message in _messages(prompt, values))


def _told(brief: Brief) -> dict[str, str | Sequence[str]]:
    """Return what every question can tell of a brief."""
    return {
        "target": brief.target,
        "target_facts": _facts(target_named(brief.target)),
        "max_parameters": str(brief.max_parameters),
        "tokens": " ".join(brief.tokens),
        "block_source": brief.block_source,
        "facts": json.dumps(dict(brief.facts), default=str) if brief.facts else "",
        "knowledge": brief.knowledge,
    }


def _facts(target: Target) -> str:
    lines = [
        target.summary,
        f"Inputs: {target.inputs}. Outputs: {target.outputs}.",
        f"Loss: {target.loss}; chance is {target.chance}. Data: {target.data}.",
        f"input_size {target.input_size}, output_size {target.output_size}, max_length {target.max_length}.",
    ]
    return "\n".join(lines)


def _messages(prompt: Prompt, told: Mapping[str, str | Sequence[str]]) -> tuple[Message, ...]:
    return prompt.messages({name: told[name] for name in prompt.variables})


def _reason(attempt: Attempt) -> str:
    """Return why a try failed, in the exact words of whoever refused it."""
    failure = attempt.verdict.failure if attempt.verdict is not None else None
    if failure is not None:
        return f"check '{failure.name}' failed: {failure.detail}"
    return attempt.error or "it was refused without a reason"


def _garbage(answer: Answer, error: Exception) -> ProviderError:
    return ProviderError("garbage", f"{answer.model} gave nothing to use: {error}", answer=answer)
