"""A guarded provider keeps its time, budget and record; asks no server."""

import random
import threading
from dataclasses import replace

import pytest

from tamiyo.providers.budget import Budget, most_prompt_tokens
from tamiyo.providers.contract import Answer, CallRecord, FailureKind, Message, ProviderError, Request
from tamiyo.providers.prices import Price, Tier
from tamiyo.providers.recorded import ScriptedProvider
from tamiyo.providers.resilience import PASSING, CircuitBreaker, GuardedProvider, RetryPolicy

REQUEST = Request(messages=(Message(role="user", text="abcd"),), max_tokens=1000, timeout_s=100.0)
#: 4 bytes of text, 16 around the message, 1024 before the conversation.
MOST_PROMPT = 1044
#: $1 and $2 for a million: at most $0.001044 + $0.002 for `REQUEST`.
PRICE = Price(
    tiers=(Tier(from_prompt_tokens=0, prompt=1.0, completion=2.0),), as_of="2026-01-01", source="test"
)
MOST_USD = 0.003044
ANSWER = Answer(
    text="yes", model="m", prompt_tokens=10, completion_tokens=20, cost_usd=None, seconds=0.0
)  # $0.00005


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.pauses = 1000.0, []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class Slow:
    """Needs all of its time, and then says that it was not enough."""

    name = "slow"

    def __init__(self, clock: Clock) -> None:
        self.clock, self.given = clock, []

    def complete(self, request: Request) -> Answer:
        self.given.append(request.timeout_s)
        self.clock.now += request.timeout_s
        raise ProviderError("timed_out", "too slow")


class Setup:
    """A guarded provider with its clock, budget and records."""

    def __init__(self, provider, *, price=PRICE, budget=None, secrets=(), breaker=None, **policy) -> None:
        self.clock, self.calls = Clock(), []
        self.budget = budget or Budget()
        self.inner = provider
        self.guarded = GuardedProvider(
            provider,
            price=price,
            budget=self.budget,
            policy=RetryPolicy(**policy),
            breaker=breaker or CircuitBreaker(clock=self.clock),
            generator=random.Random(0),
            record=self.calls.append,
            secrets=secrets,
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def failure(self, request: Request = REQUEST) -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            self.guarded.complete(request)
        return caught.value


def failures(kind: FailureKind, count: int, **fields) -> list[ProviderError]:
    return [ProviderError(kind, f"failure {number}", **fields) for number in range(count)]


def test_an_answer_has_its_price_and_is_recorded() -> None:
    setup = Setup(ScriptedProvider([ANSWER]))
    answer = setup.guarded.complete(REQUEST)
    assert answer == replace(ANSWER, cost_usd=pytest.approx(0.00005))
    assert setup.calls == [
        CallRecord(
            provider="scripted",
            request=REQUEST,
            attempt=1,
            answer="yes",
            model="m",
            prompt_tokens=10,
            completion_tokens=20,
            cost_usd=pytest.approx(0.00005),
            usage="told",
            seconds=0.0,
        )
    ]
    assert setup.budget.spent_usd == pytest.approx(0.00005)
    assert setup.budget.spent_tokens == 30


@pytest.mark.parametrize("kind", sorted(PASSING))
def test_a_failure_that_can_pass_is_tried_again(kind: FailureKind) -> None:
    setup = Setup(ScriptedProvider([*failures(kind, 2), ANSWER]))
    assert setup.guarded.complete(REQUEST).text == "yes"
    assert [call.attempt for call in setup.calls] == [1, 2, 3]
    assert [call.error for call in setup.calls] == [kind, kind, None]
    assert [call.detail for call in setup.calls] == ["failure 0", "failure 1", ""]


@pytest.mark.parametrize("kind", ["unauthorised", "unknown_model", "refused", "cut_off", "garbage"])
def test_a_failure_that_stays_is_not_tried_again(kind: FailureKind) -> None:
    setup = Setup(ScriptedProvider([*failures(kind, 1), ANSWER]))
    assert setup.failure().kind == kind
    assert len(setup.calls) == 1
    assert not setup.clock.pauses


def test_pauses_double_up_to_a_most_with_jitter_of_the_generator() -> None:
    setup = Setup(
        ScriptedProvider(failures("unavailable", 5)), num_tries=5, first_pause_s=1.0, most_pause_s=5.0
    )
    assert setup.failure().kind == "unavailable"
    jitter = random.Random(0)
    assert setup.clock.pauses == [most * jitter.uniform(0.5, 1.0) for most in (1.0, 2.0, 4.0, 5.0)]


def test_a_pause_is_as_long_as_the_provider_asked() -> None:
    setup = Setup(ScriptedProvider([*failures("rate_limited", 1, retry_after_s=42.0), ANSWER]))
    setup.guarded.complete(REQUEST)
    assert setup.clock.pauses == [42.0]


@pytest.mark.parametrize("asked_s", [100.0, 1e9, float("inf")])
def test_a_pause_beyond_the_deadline_is_not_begun(asked_s: float) -> None:
    setup = Setup(ScriptedProvider([*failures("rate_limited", 1, retry_after_s=asked_s), ANSWER]))
    error = setup.failure()
    assert (error.kind, error.retry_after_s) == ("rate_limited", asked_s)
    assert not setup.clock.pauses


def test_all_tries_and_pauses_of_a_request_share_its_time() -> None:
    inner = Slow(clock := Clock())
    setup = Setup(inner)
    setup.clock = inner.clock = clock
    setup.guarded._clock = clock
    assert setup.failure().kind == "timed_out"
    assert inner.given == [100.0]
    later = Setup(ScriptedProvider([*failures("unavailable", 1), ANSWER]), first_pause_s=30.0)
    later.guarded.complete(REQUEST)
    (pause,) = later.clock.pauses
    assert [request.timeout_s for request in later.inner.requests] == [100.0, pytest.approx(100.0 - pause)]


def test_the_record_has_the_request_as_it_was_asked() -> None:
    setup = Setup(ScriptedProvider([*failures("unavailable", 1), ANSWER]))
    setup.guarded.complete(REQUEST)
    assert [call.request for call in setup.calls] == [REQUEST, REQUEST]


def test_an_answer_that_cannot_be_used_is_paid_for_and_kept() -> None:
    cut = ProviderError("cut_off", "cut off", answer=replace(ANSWER, text="ye"))
    setup = Setup(ScriptedProvider([cut]))
    assert setup.failure().answer == replace(ANSWER, text="ye")
    (call,) = setup.calls
    assert (call.answer, call.error, call.usage) == ("ye", "cut_off", "told")
    assert call.cost_usd == pytest.approx(0.00005)
    assert setup.budget.spent_tokens == 30


def test_a_request_whose_fate_is_unknown_counts_at_its_most() -> None:
    setup = Setup(ScriptedProvider(failures("timed_out", 1)), num_tries=1)
    setup.failure()
    (call,) = setup.calls
    assert (call.usage, call.prompt_tokens, call.completion_tokens) == ("assumed", MOST_PROMPT, 1000)
    assert call.cost_usd == pytest.approx(MOST_USD)
    assert setup.budget.spent_usd == pytest.approx(MOST_USD)


def test_a_request_that_was_turned_down_costs_nothing() -> None:
    setup = Setup(ScriptedProvider(failures("rate_limited", 1, is_unspent=True)), num_tries=1)
    setup.failure()
    assert (setup.calls[0].usage, setup.calls[0].cost_usd) == ("none", 0.0)
    assert (setup.budget.spent_usd, setup.budget.spent_tokens) == (0.0, 0)


def test_the_budget_stops_before_it_is_passed() -> None:
    full = replace(ANSWER, prompt_tokens=MOST_PROMPT, completion_tokens=1000)
    setup = Setup(ScriptedProvider([full] * 4), budget=Budget(usd=3 * MOST_USD - 1e-6))
    setup.guarded.complete(REQUEST)
    setup.guarded.complete(REQUEST)
    assert str(setup.failure()) == (
        "the next request may cost $0.0030, and of $0.009131 $0.0030 are left; raise the budget"
    )
    assert setup.failure().kind == "over_budget"
    assert len(setup.inner.requests) == 2
    assert [call.error for call in setup.calls] == [None, None, "over_budget", "over_budget"]
    assert setup.budget.spent_usd == pytest.approx(2 * MOST_USD)


def test_a_budget_of_exactly_the_most_is_enough() -> None:
    setup = Setup(ScriptedProvider([ANSWER]), budget=Budget(tokens=MOST_PROMPT + 1000))
    assert setup.guarded.complete(REQUEST).text == "yes"


def test_tokens_can_be_capped_instead() -> None:
    setup = Setup(ScriptedProvider([ANSWER]), budget=Budget(tokens=MOST_PROMPT + 999), price=None)
    assert "may use 2044 tokens, and of 2043 2043 are left" in str(setup.failure())
    assert not setup.inner.requests


def test_dollars_are_not_capped_without_a_price() -> None:
    setup = Setup(ScriptedProvider([ANSWER]), budget=Budget(usd=100.0), price=None)
    error = setup.failure()
    assert error.kind == "over_budget"
    assert str(error) == (
        "the price of scripted is unknown, so that $100 cannot be kept to; add it to a price file of your "
        "own (docs/providers.md), or cap tokens instead of dollars"
    )
    assert not setup.inner.requests


def test_retries_stop_at_the_budget_too() -> None:
    setup = Setup(ScriptedProvider(failures("timed_out", 4)), budget=Budget(usd=2.5 * MOST_USD))
    assert setup.failure().kind == "over_budget"
    assert [call.error for call in setup.calls] == ["timed_out", "timed_out", "over_budget"]


def test_requests_in_flight_at_the_same_time_share_one_budget() -> None:
    gate, asked = threading.Event(), threading.Semaphore(0)

    class Waiting:
        name = "waiting"

        def complete(self, request: Request) -> Answer:
            asked.release()
            gate.wait(30)
            return ANSWER

    setup = Setup(Waiting(), budget=Budget(usd=1.5 * MOST_USD))
    thread = threading.Thread(target=setup.guarded.complete, args=(REQUEST,))
    thread.start()
    try:
        assert asked.acquire(timeout=30)
        assert setup.failure().kind == "over_budget"
    finally:
        gate.set()
        thread.join(30)
    assert setup.guarded.complete(REQUEST).text == "yes"


def test_the_most_that_a_question_can_be_counts_bytes_of_text_and_schema() -> None:
    assert most_prompt_tokens(REQUEST) == MOST_PROMPT
    assert (
        most_prompt_tokens(replace(REQUEST, messages=(Message(role="user", text="ü€"),))) == MOST_PROMPT + 1
    )
    assert most_prompt_tokens(replace(REQUEST, schema={"a": 1})) == MOST_PROMPT + len('{"a": 1}')


def test_the_circuit_opens_after_failures_in_a_row_and_lets_one_try_later() -> None:
    clock = Clock()
    breaker = CircuitBreaker(num_failures=2, cool_down_s=60.0, clock=clock)
    setup = Setup(
        ScriptedProvider([*failures("unavailable", 3), ANSWER, ANSWER]), breaker=breaker, num_tries=1
    )
    setup.failure()
    setup.failure()
    opened = setup.failure()
    assert opened.kind == "circuit_open"
    assert opened.retry_after_s == 60.0
    assert str(opened) == "not asked: 2 failures in a row, the last: failure 1; 60 s until it is tried again"
    assert len(setup.inner.requests) == 2
    clock.now += 60.0
    assert setup.failure().kind == "unavailable"  # the one that may try
    assert setup.failure().kind == "circuit_open"
    clock.now += 60.0
    assert setup.guarded.complete(REQUEST).text == "yes"
    assert setup.guarded.complete(REQUEST).text == "yes"
    assert [call.error for call in setup.calls].count("circuit_open") == 2


def test_only_one_request_tries_a_circuit_that_was_open() -> None:
    clock = Clock()
    breaker = CircuitBreaker(num_failures=1, cool_down_s=60.0, clock=clock)
    breaker.tell(ProviderError("unavailable", "gone"))
    clock.now += 60.0
    breaker.admit()
    with pytest.raises(ProviderError, match="1 failures in a row"):
        breaker.admit()
    breaker.tell(None)
    breaker.admit()


def test_a_provider_that_answers_nonsense_is_there() -> None:
    breaker = CircuitBreaker(num_failures=2, clock=Clock())
    script = [*failures("unavailable", 1), *failures("garbage", 1), *failures("unavailable", 1), ANSWER]
    setup = Setup(ScriptedProvider(script), breaker=breaker, num_tries=1)
    assert [setup.failure().kind for _ in range(3)] == ["unavailable", "garbage", "unavailable"]
    assert setup.guarded.complete(REQUEST).text == "yes"


def test_an_open_circuit_ends_the_retries_of_a_request() -> None:
    breaker = CircuitBreaker(num_failures=2, clock=Clock())
    setup = Setup(ScriptedProvider(failures("unavailable", 9)), breaker=breaker, num_tries=9)
    assert setup.failure().kind == "circuit_open"
    assert len(setup.inner.requests) == 2


def test_secrets_are_in_no_answer_error_or_record() -> None:
    secret = "sk-not-to-be-seen"
    script = [
        ProviderError(
            "unavailable", f"key\n{secret} is bad", answer=replace(ANSWER, text=secret, model=secret)
        ),
        replace(ANSWER, text=f"x {secret} y"),
    ]
    setup = Setup(ScriptedProvider(script), secrets=(secret,), num_tries=2)
    request = replace(REQUEST, messages=(Message(role="user", text=f"my key is {secret}"),))
    assert setup.guarded.complete(request).text == "x [secret] y"
    assert secret not in repr(setup.calls)
    assert setup.calls[0].detail == "key [secret] is bad"
    assert setup.calls[0].request.messages[0].text == "my key is [secret]"
    again = Setup(ScriptedProvider(script[:1]), secrets=(secret,), num_tries=1)
    error = again.failure(request)
    assert secret not in repr((error, error.args, error.answer))
    assert error.__context__ is None
    assert error.__cause__ is None
