"""The provider that a user names, opened with its key, price, budget and guards; keeps no settings."""

import os
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, get_args

from tamiyo.providers import anthropic_messages, openai_compatible
from tamiyo.providers.anthropic_messages import AnthropicMessages
from tamiyo.providers.budget import Budget
from tamiyo.providers.contract import CallRecord, Provider, ProviderSettingError
from tamiyo.providers.hiding import secrets_of
from tamiyo.providers.openai_compatible import OpenAiCompatible
from tamiyo.providers.prices import NOTHING, Price, read_prices
from tamiyo.providers.recorded import RecordedProvider, read_calls
from tamiyo.providers.resilience import CircuitBreaker, GuardedProvider, RetryPolicy

#: Kinds of providers; `docs/providers.md` says how to use each.
ProviderKind = Literal["openai", "anthropic", "local", "recorded"]
PROVIDERS: tuple[ProviderKind, ...] = get_args(ProviderKind)

_MODELS = {
    "openai": "a model's name, as the server knows it",
    "anthropic": "a model's name, as the server knows it",
    "local": "the folder of a model as transformers saves it",
    "recorded": "a file of recorded calls",
}
_Opened = tuple[Provider, Price | None, tuple[str, ...]]


def open_provider(
    kind: str,
    *,
    model: str | None,
    record: Callable[[CallRecord], None],
    base_url: str | None = None,
    budget: Budget | None = None,
    prices: Path | None = None,
    seed: int = 0,
    policy: RetryPolicy | None = None,
    environment: Mapping[str, str] = os.environ,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> GuardedProvider:
    """Return the provider that is named, with its guards.

    Args:
        kind: one of `PROVIDERS`.
        model: for `openai` and `anthropic` the model's name, for `local` the folder of a model, for
            `recorded` a file of calls.
        record: is given every try, whatever came of it.
        base_url: of a server of one's own, or another's; the maker's where it is None.
        budget: caps; None for no caps.
        prices: a user's own table of prices.
        seed: of the jitter of pauses between tries.
        policy: of retries; the usual where it is None.
        environment: has the key, and nothing else is read from it.
        clock: seconds that only grow.
        sleep: waits for so many seconds.

    Raises:
        ProviderSettingError: for another kind, a bad address, a missing key, model, extra or price file.
    """
    if kind not in PROVIDERS:
        raise ProviderSettingError(f"provider {kind!r} is unknown, expected one of {', '.join(PROVIDERS)}")
    if not model or not model.isprintable() or len(model) > 1000:
        raise ProviderSettingError(f"provider {kind}: no model is named, expected {_MODELS[kind]}")
    if base_url is not None and kind in ("local", "recorded"):
        raise ProviderSettingError(f"provider {kind} asks no server, so that it takes no base URL")
    table = read_prices(prices)
    if kind == "openai":
        key = environment.get(openai_compatible.KEY_VARIABLE) or None
        server = OpenAiCompatible(model, base_url=base_url or openai_compatible.MAKER_URL, key=key)
        opened: _Opened = server, table.price(server.address.host, model), secrets_of(key)
    elif kind == "anthropic":
        key = environment.get(anthropic_messages.KEY_VARIABLE) or None
        server = AnthropicMessages(model, base_url=base_url or anthropic_messages.MAKER_URL, key=key)
        opened = server, table.price(server.address.host, model), secrets_of(key)
    elif kind == "local":
        opened = _local(Path(model)), NOTHING, ()
    else:
        opened = RecordedProvider(read_calls(Path(model))), NOTHING, ()
    return GuardedProvider(
        opened[0],
        price=opened[1],
        secrets=opened[2],
        budget=budget or Budget(),
        policy=policy or RetryPolicy(),
        breaker=CircuitBreaker(clock=clock),
        generator=random.Random(seed),
        record=record,
        clock=clock,
        sleep=sleep,
    )


def _local(folder: Path) -> Provider:
    from tamiyo.providers.local_llama import LocalLlama  # torch and transformers take seconds to load

    return LocalLlama(folder)
