"""Prices are found by host and model, counted by tier, and a user's own come first; bad tables are named."""

import json
from pathlib import Path

import pytest

from tamiyo.providers.budget import Budget
from tamiyo.providers.contract import ProviderSettingError
from tamiyo.providers.prices import NOTHING, read_prices

OWN = {
    "lists": [
        {
            "host": "localhost:8000",
            "as_of": "2026-01-02",
            "source": "me",
            "models": {"mine": [{"from_prompt_tokens": 0, "prompt": 1, "completion": 3}]},
        },
        {
            "host": "API.openai.com",
            "as_of": "2026-01-02",
            "source": "my contract",
            "models": {"gpt-4o": [{"from_prompt_tokens": 0, "prompt": 1.0, "completion": 2.0}]},
        },
    ]
}


def own_file(folder: Path, text: str) -> Path:
    path = folder / "own.json"
    path.write_text(text)
    return path


def test_our_table_has_for_every_price_its_day_and_source() -> None:
    hosts = read_prices().by_host
    assert set(hosts) == {"api.anthropic.com", "api.openai.com"}
    for models in hosts.values():
        assert models
        for price in models.values():
            assert len(price.as_of.split("-")) == 3
            assert price.source
            assert all(0 < tier.prompt < tier.completion for tier in price.tiers)


def test_a_model_is_priced_at_its_host_alone_and_with_the_day_of_its_release() -> None:
    prices = read_prices()
    plain = prices.price("api.openai.com", "gpt-4o-mini")
    assert plain is not None
    assert prices.price("API.openai.com", "gpt-4o-mini-2024-07-18") is plain
    assert prices.price("api.anthropic.com", "claude-haiku-4-5-20251001") is not None
    assert prices.price("localhost:8000", "gpt-4o-mini") is None
    assert prices.price("api.openai.com", "gpt-4o-mini-audio") is None


def test_tokens_cost_by_the_million_and_by_tier() -> None:
    plain = read_prices().price("api.openai.com", "gpt-4o-mini")
    assert plain is not None
    assert plain.cost_usd(1_000_000, 0) == pytest.approx(0.15)
    assert plain.cost_usd(10, 1_000_000) == pytest.approx(0.6000015)
    tiered = read_prices().price("api.anthropic.com", "claude-haiku-5-5")
    assert tiered is not None
    assert tiered.cost_usd(100_000, 1000) == pytest.approx(0.0105)
    assert tiered.cost_usd(100_001, 1000) == pytest.approx(0.0525005)
    assert tiered.most_usd(100_001, 1000) == pytest.approx(0.0525005)


def test_ones_own_machine_costs_nothing() -> None:
    assert NOTHING.cost_usd(10**9, 10**9) == NOTHING.most_usd(10**9, 10**9) == 0.0


def test_ones_own_prices_come_first(tmp_path: Path) -> None:
    prices = read_prices(own_file(tmp_path, json.dumps(OWN)))
    own = prices.price("localhost:8000", "mine")
    assert own is not None
    assert own.cost_usd(1_000_000, 1_000_000) == pytest.approx(4.0)
    overridden = prices.price("api.openai.com", "gpt-4o")
    assert overridden is not None
    assert overridden.source == "my contract"
    assert prices.price("api.openai.com", "gpt-5") is not None


def test_two_lists_of_one_host_are_one(tmp_path: Path) -> None:
    tiers = [{"from_prompt_tokens": 0, "prompt": 1, "completion": 3}]
    lists = [
        {"host": host, "as_of": "2026-01-02", "source": "me", "models": {model: tiers}}
        for host, model in (("localhost:8000", "small"), ("LOCALHOST:8000", "large"))
    ]
    prices = read_prices(own_file(tmp_path, json.dumps({"lists": lists})))
    assert all(prices.price("localhost:8000", model) is not None for model in ("small", "large"))


@pytest.mark.parametrize(
    ("tiers", "said"),
    [
        ([], "its tiers start at []"),
        ([{"from_prompt_tokens": 5, "prompt": 1, "completion": 1}], "its tiers start at [5]"),
        ([{"from_prompt_tokens": 0, "prompt": -1, "completion": 1}], "expected amounts"),
        ([{"from_prompt_tokens": 0, "prompt": True, "completion": 1}], "expected amounts"),
        ([{"from_prompt_tokens": 0, "prompt": float("nan"), "completion": 1}], "expected amounts"),
        ([{"from_prompt_tokens": 0, "prompt": 1}], "expected amounts"),
        (3, "TypeError"),
    ],
)
def test_a_price_that_is_none_is_named(tmp_path: Path, tiers: object, said: str) -> None:
    entry = {"host": "h", "as_of": "2026-01-01", "source": "s", "models": {"m": tiers}}
    with pytest.raises(ProviderSettingError) as caught:
        read_prices(own_file(tmp_path, json.dumps({"lists": [entry]})))
    assert said in str(caught.value)
    assert "own.json is no table of prices" in str(caught.value)


@pytest.mark.parametrize("text", ["", "3", "{}", '{"lists": 3}', '{"lists": [{}]}', "[" * 100_000])
def test_a_file_that_is_no_table_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ProviderSettingError, match="is no table of prices"):
        read_prices(own_file(tmp_path, text))


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProviderSettingError, match="cannot be read"):
        read_prices(tmp_path / "none.json")


@pytest.mark.parametrize("cap", [-1, float("nan"), float("inf")])
def test_a_cap_is_a_number_from_zero(cap: float) -> None:
    with pytest.raises(ProviderSettingError, match="expected a number from 0"):
        Budget(usd=cap)
