"""A provider is opened by its name, with its key, price and budget, and what is missing is named."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from chat_servers import ANTHROPIC, OPENAI, Dialect, in_turn, says, serving

from tamiyo.providers.budget import Budget
from tamiyo.providers.choosing import PROVIDERS, open_provider
from tamiyo.providers.contract import CallRecord, Message, ProviderError, ProviderSettingError, Request
from tamiyo.providers.local_llama import LocalLlama
from tamiyo.providers.recorded import write_calls
from tamiyo.providers.resilience import GuardedProvider, RetryPolicy

REQUEST = Request(messages=(Message(role="user", text="ping"),), max_tokens=100, timeout_s=60.0)
KEY = "sk-very-secret-0123456789"

dialects = pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC], ids=lambda dialect: dialect.name)


def ignore(call: CallRecord) -> None:
    """Record nothing."""


def opened(kind: str, model: str | None = "m", **fields: Any) -> GuardedProvider:
    return open_provider(kind, model=model, **{"record": ignore, "environment": {}} | fields)


def own_prices(folder: Path, host: str) -> Path:
    tiers = [{"from_prompt_tokens": 0, "prompt": 1000.0, "completion": 2000.0}]
    entry = {"host": host, "as_of": "2026-01-01", "source": "me", "models": {"m": tiers}}
    path = folder / "prices.json"
    path.write_text(json.dumps({"lists": [entry]}))
    return path


@dialects
def test_a_server_is_opened_with_key_price_and_record(dialect: Dialect, tmp_path: Path) -> None:
    calls: list[CallRecord] = []
    with serving(in_turn(says(b"", 500), says(dialect.good()))) as server:
        url = server.url + ("/v1" if dialect is OPENAI else "")
        provider = opened(
            dialect.name,
            base_url=url,
            prices=own_prices(tmp_path, server.url.removeprefix("http://")),
            budget=Budget(usd=100.0),
            record=calls.append,
            environment={"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY},
            policy=RetryPolicy(first_pause_s=0.01),
        )
        answer = provider.complete(REQUEST)
        assert [asked.headers["authorization"] for asked in server.asked] == [f"Bearer {KEY}"] * 2
    assert answer.cost_usd == pytest.approx(0.013)  # 7 tokens at $1000 and 3 at $2000 a million
    assert [(call.error, call.usage) for call in calls] == [("unavailable", "assumed"), (None, "told")]
    assert KEY not in repr(calls)


@dialects
def test_a_key_that_stands_for_none_is_sent_and_found_in_answers(dialect: Dialect) -> None:
    calls: list[CallRecord] = []
    keys = {"OPENAI_API_KEY": "none", "ANTHROPIC_API_KEY": "none"}
    plan = '{"positions": "none"}'
    question = Request(messages=(Message(role="user", text="none or rotary?"),), max_tokens=100)
    with serving(says(dialect.good(plan))) as server:
        url = server.url + ("/v1" if dialect is OPENAI else "")
        provider = opened(dialect.name, base_url=url, record=calls.append, environment=keys)
        assert provider.complete(question).text == plan
        assert server.asked[0].headers["authorization"] == "Bearer none"
    assert [(call.answer, call.request.messages) for call in calls] == [(plan, question.messages)]
    with pytest.raises(ProviderSettingError, match=r"_API_KEY holds 4 characters, .* at least 12"):
        opened(dialect.name, environment=keys)


@dialects
def test_dollars_are_not_spent_on_a_model_without_a_price(dialect: Dialect) -> None:
    with serving(says(dialect.good())) as server:
        provider = opened(dialect.name, base_url=server.url, budget=Budget(usd=1.0))
        with pytest.raises(ProviderError, match=r"the price of \w+:m is unknown") as caught:
            provider.complete(REQUEST)
        assert caught.value.kind == "over_budget"
        assert not server.asked
        capped = opened(dialect.name, base_url=server.url, budget=Budget(tokens=5000))
        assert capped.complete(REQUEST).cost_usd is None


@pytest.mark.parametrize(
    ("kind", "variable"), [("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY")]
)
@pytest.mark.parametrize("environment", [{}, {"OPENAI_API_KEY": "", "ANTHROPIC_API_KEY": ""}])
def test_a_maker_needs_its_key(kind: str, variable: str, environment: dict[str, str]) -> None:
    with pytest.raises(ProviderSettingError, match=f"{variable} is not set"):
        opened(kind, environment=environment)


def test_makers_have_prices_at_hand() -> None:
    environment = {"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}
    for kind, model in (("openai", "gpt-5-mini"), ("anthropic", "claude-sonnet-5-5")):
        with pytest.raises(ProviderError, match=r"may cost \$0\.00\d\d, and of \$1e-09"):
            opened(kind, model, environment=environment, budget=Budget(usd=1e-9)).complete(REQUEST)


def test_a_local_model_costs_nothing(tiny_llama: Path) -> None:
    calls: list[CallRecord] = []
    provider = opened("local", str(tiny_llama), budget=Budget(usd=0.0), record=calls.append)
    answer = provider.complete(REQUEST)
    assert (answer.text, answer.cost_usd) == ("pong", 0.0)
    path = tiny_llama.parent / "calls.jsonl"
    write_calls(path, calls)
    assert opened("recorded", str(path)).complete(REQUEST).text == "pong"


@pytest.mark.parametrize("kind", ["", "OpenAI", "gemini", "template"])
def test_another_kind_is_named(kind: str) -> None:
    with pytest.raises(ProviderSettingError) as caught:
        opened(kind)
    assert str(caught.value) == (
        f"provider {kind!r} is unknown, expected one of openai, anthropic, local, recorded"
    )


@pytest.mark.parametrize("kind", PROVIDERS)
@pytest.mark.parametrize("model", [None, "", "a\nb", "m" * 1001])
def test_a_model_must_be_named(kind: str, model: str | None) -> None:
    with pytest.raises(ProviderSettingError, match=r"no model is named, expected (a|the) "):
        opened(kind, model)


@pytest.mark.parametrize("kind", ["local", "recorded"])
def test_what_asks_no_server_takes_no_address(kind: str) -> None:
    with pytest.raises(ProviderSettingError, match="takes no base URL"):
        opened(kind, base_url="http://localhost")


@pytest.mark.parametrize(
    ("kind", "package"), [("openai", "openai"), ("anthropic", "anthropic"), ("local", "transformers")]
)
def test_a_missing_extra_is_named_with_its_command(
    kind: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "tamiyo.providers.wire.find_spec", lambda name: None if name == package else found(name)
    )
    with pytest.raises(ProviderSettingError) as caught:
        opened(kind, environment={"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY})
    assert str(caught.value) == (
        f"this provider needs {package}, which is not installed: pip install 'tamiyo[llm,expand]'"
    )


def folder_of(tiny_llama: Path, folder: Path, leave_out: str = "", **added: str) -> Path:
    folder.mkdir()
    for path in tiny_llama.iterdir():
        if not path.match(leave_out or "-"):
            (folder / path.name).write_bytes(path.read_bytes())
    for name, text in added.items():
        (folder / f"{name}.json").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("leave_out", "added", "said"),
    [
        ("config.json", {}, "it has no config.json"),
        ("tokenizer.json", {}, "it has no tokenizer.json"),
        ("*.safetensors", {}, "it has no weights as *.safetensors"),
        ("", {"adapter_config": "{}"}, "it is an adapter"),
        ("", {"tokenizer_config": '{"auto_map": {"AutoTokenizer": "evil.Evil"}}'}, "names code of its own"),
        ("", {"config": '{"auto_map": {"AutoConfig": "evil.Evil"}}'}, "names code of its own"),
        ("", {"config": "{"}, "local model"),
        ("", {"config": '{"model_type": "none-of-ours"}'}, "local model"),
        ("", {"tokenizer": "{}"}, "local model"),
    ],
)
def test_a_folder_without_a_model_of_data_alone_is_refused(
    tiny_llama: Path, tmp_path: Path, leave_out: str, added: dict[str, str], said: str
) -> None:
    folder = folder_of(tiny_llama, tmp_path / "model", leave_out, **added)
    with pytest.raises(ProviderSettingError) as caught:
        LocalLlama(folder)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (b"\x08\0\0\0\0\0\0\0{}      ", "of its weights are missing, the first: lm_head.weight"),
        (b"no weights at all", "local model"),
    ],
)
def test_weights_that_are_missing_or_broken_are_refused(
    tiny_llama: Path, tmp_path: Path, weights: bytes, said: str
) -> None:
    folder = folder_of(tiny_llama, tmp_path / "model")
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(ProviderSettingError, match=said):
        LocalLlama(folder)


def test_a_name_is_no_folder_and_is_not_fetched() -> None:
    with pytest.raises(ProviderSettingError, match="is no folder; models are not fetched from a hub"):
        opened("local", "meta-llama/Llama-3.2-1B")
