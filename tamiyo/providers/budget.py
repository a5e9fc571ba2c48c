"""A cap on dollars and tokens that stops before it is passed; it cannot know what a provider really bills."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite

from tamiyo.providers.contract import ProviderError, ProviderSettingError, Request
from tamiyo.providers.prices import Price

#: Tokens that a chat template may put around each message.
MESSAGE_TOKENS = 16
#: Tokens that a provider may put before a conversation, as for tools and schemas.
PREAMBLE_TOKENS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Tokens of question and answer and their price in dollars; `usd` is None where there is no price."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = None

    @property
    def tokens(self) -> int:
        """Those of the question and of the answer."""
        return self.prompt_tokens + self.completion_tokens


def most_prompt_tokens(request: Request) -> int:
    """Return a number of tokens that the question cannot pass: a token is at least one byte of text."""
    schema = "" if request.schema is None else json.dumps(request.schema)
    texts = [schema, *(message.text for message in request.messages)]
    written = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return written + MESSAGE_TOKENS * len(request.messages) + PREAMBLE_TOKENS


def most_spending(request: Request, price: Price | None) -> Spending:
    """Return the most that `request` can use."""
    prompt_tokens = most_prompt_tokens(request)
    return Spending(
        prompt_tokens=prompt_tokens,
        completion_tokens=request.max_tokens,
        usd=None if price is None else price.most_usd(prompt_tokens, request.max_tokens),
    )


class Hold:
    """The most that a request in flight can use; `spent` is what it used in the end."""

    def __init__(self, most: Spending) -> None:
        self.most = self.spent = most


class Budget:
    """Caps on what all requests together may use; one budget may serve several providers and threads."""

    def __init__(self, *, usd: float | None = None, tokens: int | None = None) -> None:
        """Cap dollars, tokens, both or neither.

        Raises:
            ProviderSettingError: for a cap below zero or one that is no number.
        """
        for name, cap in (("dollars", usd), ("tokens", tokens)):
            if cap is not None and not (isfinite(cap) and cap >= 0):
                raise ProviderSettingError(f"budget: {cap} {name}, expected a number from 0")
        self._cap_usd, self._cap_tokens = usd, tokens
        self._spent: list[Spending] = []
        self._held: list[Hold] = []
        self._lock = threading.Lock()

    @property
    def spent_usd(self) -> float:
        """Dollars spent and set aside so far."""
        return sum(spending.usd or 0.0 for spending in self._all())

    @property
    def spent_tokens(self) -> int:
        """Tokens used and set aside so far."""
        return sum(spending.tokens for spending in self._all())

    @contextmanager
    def hold(self, most: Spending, model: str) -> Iterator[Hold]:
        """Set aside the most that a request can use; afterwards only what it used counts.

        Set `spent` of what is yielded once it is known; until then, and where the request ends otherwise, all
        that was set aside counts.

        Raises:
            ProviderError: `over_budget` when the caps could be passed, or the model has no price and dollars
                are capped; nothing has been asked then.
        """
        with self._lock:
            refusal = self._refusal(most, model)
            if refusal:
                raise ProviderError("over_budget", refusal, is_unspent=True)
            held = Hold(most)
            self._held.append(held)
        try:
            yield held
        finally:
            with self._lock:
                self._held = [other for other in self._held if other is not held]
                self._spent.append(held.spent)

    def _all(self) -> list[Spending]:
        return self._spent + [held.most for held in self._held]

    def _refusal(self, most: Spending, model: str) -> str:
        if self._cap_usd is not None and most.usd is None:
            return (
                f"the price of {model} is unknown, so that ${self._cap_usd:g} cannot be kept to; add it to a "
                "price file of your own (docs/providers.md), or cap tokens instead of dollars"
            )
        usd, tokens = self.spent_usd, self.spent_tokens
        if self._cap_usd is not None and most.usd is not None and usd + most.usd > self._cap_usd:
            return (
                f"the next request may cost ${most.usd:.4f}, and of ${self._cap_usd:g} "
                f"${max(self._cap_usd - usd, 0.0):.4f} are left; raise the budget"
            )
        if self._cap_tokens is not None and tokens + most.tokens > self._cap_tokens:
            return (
                f"the next request may use {most.tokens} tokens, and of {self._cap_tokens} "
                f"{max(self._cap_tokens - tokens, 0)} are left; raise the budget"
            )
        return ""
