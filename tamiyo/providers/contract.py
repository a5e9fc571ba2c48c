"""The contract of a provider of text: a request, its answer, and the named ways in which none comes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from blueprints.errors import TamiyoError

#: Why no usable answer came.
FailureKind = Literal[
    "timed_out",
    "unavailable",
    "rate_limited",
    "unauthorised",
    "unknown_model",
    "refused",
    "cut_off",
    "garbage",
    "over_budget",
    "circuit_open",
]


class ProviderSettingError(TamiyoError):
    """A provider that cannot be opened as asked: an unknown kind, a bad address, a missing extra or price."""


class ProviderError(TamiyoError):
    """No usable answer came from a provider.

    Attributes:
        kind: why.
        retry_after_s: seconds that it asked to wait; None where it asked for none.
        answer: what came and cannot be used, as when it was cut off; it has been paid for. None where nothing
            came.
        is_unspent: whether it is known that the request was not worked on, so that nothing is owed for it.
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        retry_after_s: float | None = None,
        *,
        answer: "Answer | None" = None,
        is_unspent: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.retry_after_s = retry_after_s
        self.answer = answer
        self.is_unspent = is_unspent


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked.

    Attributes:
        messages: the conversation so far, the oldest first.
        schema: JSON schema that the answer must meet; None for free text.
        max_tokens: most tokens of the answer.
        temperature: 0 for the likeliest answer.
        seed: for providers that sample by one.
        timeout_s: seconds until the answer must be whole.
    """

    messages: tuple[Message, ...]
    schema: Mapping[str, Any] | None = None
    max_tokens: int = 2048
    temperature: float = 0.0
    seed: int = 0
    timeout_s: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came.

    Attributes:
        text: the answer.
        model: the model that gave it, as the provider names it.
        prompt_tokens: tokens of the question, as counted by the provider.
        completion_tokens: tokens of the answer.
        cost_usd: price by the table of prices; None where the model has none on it.
        seconds: from question to answer.
        is_usage_told: whether the provider told the tokens; if not, they are the most that there can be.
    """

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    seconds: float
    is_usage_told: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One try at a request: what was asked, what came of it and what it is reckoned to cost.

    Attributes:
        provider: its name.
        request: what was asked.
        attempt: number of the try at this request, from 1.
        answer: text that came, usable or not; empty when none did.
        model: the model that gave it; empty when none did.
        prompt_tokens: tokens of the question that count against the budget.
        completion_tokens: tokens of the answer that count against the budget.
        cost_usd: price of those tokens; None where the model has no price.
        usage: `told` by the provider; `assumed` at the most there can be, since no count came; `none` where
            nothing was sent or the provider turned the request down.
        seconds: from question to answer or failure.
        error: why no usable answer came; None when one did.
        detail: the failure in words; empty when there was none.
        digest: of the request as it was asked, secrets and all; empty where `request` is that.
    """

    provider: str
    request: Request
    attempt: int
    answer: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    usage: Literal["told", "assumed", "none"]
    seconds: float
    error: FailureKind | None = None
    detail: str = ""
    digest: str = ""


class Provider(Protocol):
    """Answers requests."""

    @property
    def name(self) -> str:
        """Provider and model, as the records tell it: `openai:MODEL`."""
        ...

    def complete(self, request: Request) -> Answer:
        """Return the answer to `request`.

        Raises:
            ProviderError: none came, or none that can be used; its `kind` says why.
        """
        ...
