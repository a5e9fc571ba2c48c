"""What a model's tokens cost: a dated table of list prices and a user's own; knows no discounts or taxes.

Prices belong to a host, since the same model costs something else elsewhere. A table is a JSON file as
`prices.json` beside this file: for each host the date and source of its prices, and for each model one or
more tiers by the length of the question.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from math import isfinite
from pathlib import Path
from typing import Any

from tamiyo.providers.contract import ProviderSettingError

_PER = 1_000_000
#: A model's name with the day of its release, which has the price of the name without it.
_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")
_TIER_KEYS = {"from_prompt_tokens", "prompt", "completion"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Dollars for a million tokens of questions of at least `from_prompt_tokens` and of their answers."""

    from_prompt_tokens: int
    prompt: float
    completion: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a model's tokens cost.

    Attributes:
        tiers: by rising length of the question, the first from 0.
        as_of: day on which the source said so, as YYYY-MM-DD; empty for what costs nothing.
        source: who said so.
    """

    tiers: tuple[Tier, ...]
    as_of: str
    source: str

    def cost_usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the price of one request in dollars."""
        tier = [tier for tier in self.tiers if tier.from_prompt_tokens <= prompt_tokens][-1]
        return (prompt_tokens * tier.prompt + completion_tokens * tier.completion) / _PER

    def most_usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the most that a request of up to so many tokens can cost, in dollars."""
        tiers = [tier for tier in self.tiers if tier.from_prompt_tokens <= prompt_tokens]
        return max(prompt_tokens * tier.prompt + completion_tokens * tier.completion for tier in tiers) / _PER


#: The price of what runs on one's own machine.
NOTHING = Price(
    tiers=(Tier(from_prompt_tokens=0, prompt=0.0, completion=0.0),), as_of="", source="one's own machine"
)


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices by host and model; those of a user's own file come before ours."""

    by_host: Mapping[str, Mapping[str, Price]]

    def price(self, host: str, model: str) -> Price | None:
        """Return the price of `model` at `host`, as `api.openai.com` or `localhost:8000`; None if unknown."""
        models = self.by_host.get(host.lower(), {})
        return models.get(model) or models.get(_DATED.sub("", model))


def read_prices(own: Path | None = None) -> Prices:
    """Return the prices, those of the user's file `own` before ours.

    Raises:
        ProviderSettingError: when `own` cannot be read or is no table of prices.
    """
    tables = [
        _table(files("tamiyo.providers").joinpath("prices.json").read_text(encoding="utf-8"), "prices.json")
    ]
    if own is not None:
        try:
            tables.append(_table(own.read_text(encoding="utf-8"), str(own)))
        except (OSError, UnicodeDecodeError) as error:
            raise ProviderSettingError(f"prices: {own} cannot be read: {error}") from None
    merged: dict[str, dict[str, Price]] = {}
    for table in tables:
        for host, models in table.items():
            merged.setdefault(host, {}).update(models)
    return Prices(merged)


def _table(text: str, name: str) -> dict[str, dict[str, Price]]:
    try:
        lists = json.loads(text)["lists"]
        found: dict[str, dict[str, Price]] = {}
        for entry in lists:
            found.setdefault(_text(entry, "host").lower(), {}).update(_models(entry))
        return found
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ProviderSettingError(
            f"prices: {name} is no table of prices ({type(error).__name__}: {error}); expected a JSON object "
            "with 'lists' of objects with 'host', 'as_of', 'source' and 'models', as docs/providers.md shows"
        ) from None


def _models(entry: Mapping[str, Any]) -> dict[str, Price]:
    as_of, source = _text(entry, "as_of"), _text(entry, "source")
    return {
        model: Price(tiers=_tiers(model, tiers), as_of=as_of, source=source)
        for model, tiers in entry["models"].items()
    }


def _text(entry: Mapping[str, Any], key: str) -> str:
    if not isinstance(entry[key], str) or not entry[key]:
        raise ValueError(f"{key!r} is {entry[key]!r}, expected a text")
    return entry[key]


def _tiers(model: str, tiers: Any) -> tuple[Tier, ...]:
    for tier in tiers:
        if set(tier) != _TIER_KEYS or not all(_is_amount(tier[key]) for key in _TIER_KEYS):
            raise ValueError(f"{model}: {tier!r}, expected amounts of {', '.join(sorted(_TIER_KEYS))}")
    starts = [tier["from_prompt_tokens"] for tier in tiers]
    if not starts or starts[0] != 0 or starts != sorted(set(starts)):
        raise ValueError(f"{model}: its tiers start at {starts}, expected rising numbers from 0")
    return tuple(Tier(**tier) for tier in tiers)


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value >= 0
