"""A provider kept within its time, budget and record: retries, circuit breaker, caps; speaks to no server.

Around any provider stands `GuardedProvider`. Each request has one deadline, and every try and pause must fit
before it. A failure that can pass (time-out, no connection, too many requests) is tried again after a pause
that doubles, with jitter; others are not. After several such failures in a row the circuit opens: for a while
nothing is sent at all (Nygard, "Release It!", 2007).
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tamiyo.providers.budget import Budget, Hold, Spending, most_spending
from tamiyo.providers.contract import (
    Answer,
    CallRecord,
    FailureKind,
    Message,
    Provider,
    ProviderError,
    Request,
)
from tamiyo.providers.hiding import hide, one_line
from tamiyo.providers.prices import Price
from tamiyo.providers.recorded import digest

#: Failures that can pass by themselves.
PASSING: frozenset[FailureKind] = frozenset({"timed_out", "unavailable", "rate_limited"})
_NOTHING_SPENT = Spending(usd=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a request is tried and how long to wait between.

    Attributes:
        num_tries: most tries of one request.
        first_pause_s: pause after the first; it doubles with each further try.
        most_pause_s: no pause is longer, unless the provider asked for it.
    """

    num_tries: int = 4
    first_pause_s: float = 0.5
    most_pause_s: float = 30.0

    def pause_s(self, attempt: int, asked_s: float | None, generator: random.Random) -> float:
        """Return the seconds to wait after try `attempt` (from 1): half to all of the doubled pause.

        Never less than `asked_s`, for which the provider asked.
        """
        doubled = min(self.first_pause_s * 2.0 ** min(attempt - 1, 64), self.most_pause_s)
        return max(doubled * generator.uniform(0.5, 1.0), asked_s or 0.0)


class CircuitBreaker:
    """Opens after several failures in a row; after a while one request may try again. For many threads.

    Only failures that can pass count; any other says that the provider is there.
    """

    def __init__(
        self,
        *,
        num_failures: int = 5,
        cool_down_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._num_failures, self._cool_down_s, self._clock = num_failures, cool_down_s, clock
        self._failures, self._last = 0, ""
        self._closed_again_at = 0.0
        self._lock = threading.Lock()

    def admit(self) -> None:
        """Let a request pass, or not.

        Raises:
            ProviderError: `circuit_open`, with the seconds until one may pass again.
        """
        with self._lock:
            left = self._closed_again_at - self._clock()
            if self._failures < self._num_failures:
                return
            if left > 0:
                raise ProviderError(
                    "circuit_open",
                    f"not asked: {self._failures} failures in a row, the last: {self._last}; "
                    f"{left:.0f} s until it is tried again",
                    left,
                    is_unspent=True,
                )
            self._closed_again_at = self._clock() + self._cool_down_s  # one may try; others wait for it

    def tell(self, error: ProviderError | None) -> None:
        """Hear how an admitted request ended: `error`, or None for an answer."""
        with self._lock:
            if error is None or error.kind not in PASSING:
                self._failures = 0
                return
            self._failures += 1
            self._last = str(error)
            self._closed_again_at = self._clock() + self._cool_down_s


class GuardedProvider:
    """Any provider, within its time, budget and record.

    Args:
        provider: who answers.
        price: of its tokens; None where unknown.
        budget: what all requests together may use.
        policy: of retries.
        breaker: opened by failures in a row.
        generator: gives the jitter of pauses.
        record: is given every try, whatever came of it.
        secrets: texts that no record, answer or error may hold.
        clock: seconds that only grow.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        price: Price | None,
        budget: Budget,
        policy: RetryPolicy,
        breaker: CircuitBreaker,
        generator: random.Random,
        record: Callable[[CallRecord], None],
        secrets: tuple[str, ...] = (),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._provider, self._price, self._budget = provider, price, budget
        self._policy, self._breaker, self._generator = policy, breaker, generator
        self._record, self._secrets = record, secrets
        self._clock, self._sleep = clock, sleep

    @property
    def name(self) -> str:
        """That of the provider inside."""
        return self._provider.name

    def complete(self, request: Request) -> Answer:
        """Return the answer to `request`, with its cost, within its time.

        Raises:
            ProviderError: none came, or none that can be used; its `kind` says why.
        """
        deadline = self._clock() + request.timeout_s
        attempt = 1
        while True:
            outcome = self._try(request, attempt, deadline)
            if isinstance(outcome, Answer):
                return outcome
            pause_s = self._policy.pause_s(attempt, outcome.retry_after_s, self._generator)
            is_last = outcome.kind not in PASSING or attempt >= self._policy.num_tries
            if is_last or self._clock() + pause_s >= deadline:
                raise outcome
            self._sleep(pause_s)
            attempt += 1

    def _try(self, request: Request, attempt: int, deadline: float) -> Answer | ProviderError:
        """Return what came of one try; it has been recorded."""
        started = self._clock()
        most = most_spending(request, self._price)
        spent = _NOTHING_SPENT
        try:
            self._breaker.admit()
            with self._budget.hold(most, self.name) as held:
                spent = most
                outcome = self._ask(replace(request, timeout_s=deadline - started), held)
                spent = held.spent
        except ProviderError as error:  # not admitted, or over budget: nothing was asked
            outcome = error
        seconds = self._clock() - started
        self._record(self._call(request, attempt, outcome, spent, seconds))
        return outcome

    def _ask(self, request: Request, held: Hold) -> Answer | ProviderError:
        """Ask, tell the breaker, and set what was spent."""
        try:
            answer = self._provider.complete(request)
        except ProviderError as error:
            self._breaker.tell(error)
            if error.answer is not None:
                held.spent = self._spending(error.answer)
            elif error.is_unspent:
                held.spent = _NOTHING_SPENT
            return self._hidden(error)
        self._breaker.tell(None)
        held.spent = self._spending(answer)
        return replace(self._clean(answer), cost_usd=held.spent.usd)

    def _clean(self, answer: Answer) -> Answer:
        return replace(
            answer, text=hide(answer.text, self._secrets), model=one_line(answer.model, self._secrets)
        )

    def _spending(self, answer: Answer) -> Spending:
        tokens = answer.prompt_tokens, answer.completion_tokens
        usd = None if self._price is None else self._price.cost_usd(*tokens)
        return Spending(prompt_tokens=tokens[0], completion_tokens=tokens[1], usd=usd)

    def _hidden(self, error: ProviderError) -> ProviderError:
        return ProviderError(
            error.kind,
            one_line(str(error), self._secrets, most=1000),
            error.retry_after_s,
            answer=None if error.answer is None else self._clean(error.answer),
            is_unspent=error.is_unspent,
        )

    def _call(
        self, request: Request, attempt: int, outcome: Answer | ProviderError, spent: Spending, seconds: float
    ) -> CallRecord:
        answer = outcome if isinstance(outcome, Answer) else outcome.answer
        told = answer is not None and answer.is_usage_told
        messages = tuple(
            Message(role=message.role, text=hide(message.text, self._secrets)) for message in request.messages
        )
        is_hidden = messages != request.messages
        return CallRecord(
            provider=self.name,
            request=replace(request, messages=messages),
            attempt=attempt,
            answer="" if answer is None else answer.text,
            model="" if answer is None else answer.model,
            prompt_tokens=spent.prompt_tokens,
            completion_tokens=spent.completion_tokens,
            cost_usd=spent.usd,
            usage="none" if spent is _NOTHING_SPENT else "told" if told else "assumed",
            seconds=seconds,
            error=None if isinstance(outcome, Answer) else outcome.kind,
            detail="" if isinstance(outcome, Answer) else str(outcome),
            digest=digest(request) if is_hidden else "",
        )
