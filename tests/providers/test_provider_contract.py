"""Every provider keeps one contract: recorded, in this process, and over real servers in both dialects.

All of them are the same tiny model in the end, so that what they answer can be compared: `transformers serve`
is another's server around it, which knows of no schemas.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import jsonschema
import pytest
from chat_servers import serving, speaks_messages

from tamiyo.providers.anthropic_messages import AnthropicMessages
from tamiyo.providers.budget import Budget
from tamiyo.providers.contract import Message, Provider, ProviderError, Request
from tamiyo.providers.local_llama import LocalLlama
from tamiyo.providers.openai_compatible import OpenAiCompatible
from tamiyo.providers.prices import NOTHING
from tamiyo.providers.recorded import RecordedProvider
from tamiyo.providers.resilience import CircuitBreaker, GuardedProvider, RetryPolicy
from tamiyo.providers.serving import CompletionServer

SCHEMA = {
    "type": "object",
    "properties": {
        "depth": {"type": "integer", "minimum": 1, "maximum": 9},
        "name": {"type": "string", "enum": ["layernorm", "none"]},
    },
    "required": ["depth", "name"],
    "additionalProperties": False,
}


def asking(text: str, **fields) -> Request:
    return Request(messages=(Message(role="user", text=text),), max_tokens=64, timeout_s=60.0, **fields)


PING = asking("ping")
PLAN = asking("plan", schema=SCHEMA)
CHAT = asking("chat")
CHAT_BY_SCHEMA = asking("chat", schema=SCHEMA)
CUT_OFF = replace(asking("plan"), max_tokens=2)
LONG = asking("ping " * 600)
DRAWN = asking("chat", temperature=3.0, seed=7)


@dataclass(frozen=True)
class Kind:
    """What sets a kind of provider apart."""

    name: str
    holds_to_schemas: bool = True
    takes_seeds: bool = True
    refuses_long: bool = True
    takes_time: bool = True


KINDS = [
    Kind("recorded", takes_time=False),
    Kind("local"),
    Kind("openai"),
    Kind("anthropic", takes_seeds=False),
    Kind("anthropic by tool", takes_seeds=False),
    pytest.param(
        Kind("transformers serve", holds_to_schemas=False, refuses_long=False, takes_seeds=False),
        marks=pytest.mark.slow,
    ),
]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture(scope="module")
def local(tiny_llama: Path) -> LocalLlama:
    return LocalLlama(tiny_llama)


@pytest.fixture(scope="module")
def provider(kind: Kind, local: LocalLlama, tiny_llama: Path) -> Iterator[Provider]:
    with ExitStack() as stack:
        if kind.name == "local":
            yield local
        elif kind.name == "recorded":
            yield recorded(local)
        elif kind.name == "openai":
            server = stack.enter_context(CompletionServer(local, model="tiny"))
            yield OpenAiCompatible("tiny", base_url=server.base_url)
        elif kind.name == "transformers serve":
            url = stack.enter_context(transformers_serve(tiny_llama))
            yield OpenAiCompatible(str(tiny_llama), base_url=url)
        else:
            url = stack.enter_context(serving(speaks_messages(local))).url
            form = "tool" if "tool" in kind.name else "schema"
            yield AnthropicMessages("tiny", base_url=url, form=form)


def recorded(local: LocalLlama) -> RecordedProvider:
    """Return a provider that has recorded each request three times."""
    calls = []
    guarded = GuardedProvider(
        local,
        price=NOTHING,
        budget=Budget(),
        policy=RetryPolicy(),
        breaker=CircuitBreaker(),
        generator=Random(0),
        record=calls.append,
    )
    for request in 3 * (PING, PLAN, CHAT, CHAT_BY_SCHEMA, CUT_OFF, LONG, DRAWN, replace(DRAWN, seed=8)):
        with suppress(ProviderError):  # failures are recorded too
            guarded.complete(request)
    return RecordedProvider(calls)


@contextmanager
def transformers_serve(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(folder)]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
        env=dict(os.environ, HF_HUB_OFFLINE="1"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(1200):
            assert process.poll() is None, f"transformers serve ended with {process.returncode}"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(60)


def failure(provider: Provider, request: Request) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        provider.complete(request)
    return caught.value


def test_it_tells_its_name(kind: Kind, provider: Provider) -> None:
    first = "openai" if kind.name == "transformers serve" else kind.name.split()[0]
    assert provider.name.partition(":")[0] == first


def test_a_text_comes_whole_with_its_tokens(provider: Provider) -> None:
    answer = provider.complete(PING)
    assert answer.text == "pong"
    assert answer.model
    assert answer.is_usage_told
    assert answer.prompt_tokens == 11
    assert answer.completion_tokens in (1, 2)  # whether the token of the end counts is the server's to say
    assert answer.seconds > 0


def test_equal_requests_have_equal_answers(provider: Provider) -> None:
    assert provider.complete(CHAT).text == provider.complete(CHAT).text == "no JSON at all: {oops"


def test_an_answer_by_schema_meets_it(provider: Provider) -> None:
    found = json.loads(provider.complete(PLAN).text)
    jsonschema.validate(found, SCHEMA)
    assert found == {"depth": 2, "name": "layernorm"}


def test_a_model_that_would_say_something_else_is_held_to_the_schema_or_found_out(
    kind: Kind, provider: Provider
) -> None:
    if kind.holds_to_schemas:
        jsonschema.validate(json.loads(provider.complete(CHAT_BY_SCHEMA).text), SCHEMA)
        return
    error = failure(provider, CHAT_BY_SCHEMA)
    assert error.kind == "garbage"
    assert str(error).startswith("the answer does not meet the schema: no JSON")
    assert error.answer is not None
    assert error.answer.text == "no JSON at all: {oops"


def test_an_answer_that_has_no_room_is_cut_off_and_kept(provider: Provider) -> None:
    error = failure(provider, CUT_OFF)
    assert error.kind == "cut_off"
    assert "cut off after 2 tokens" in str(error)
    assert error.answer is not None
    assert error.answer.text == '{"depth'
    assert error.answer.completion_tokens == 2


def test_a_question_that_is_too_long_is_refused(kind: Kind, provider: Provider) -> None:
    if not kind.refuses_long:
        pytest.skip("this server lets a model read beyond what it has learned")
    error = failure(provider, LONG)
    assert error.kind == "refused"
    assert "the model reads 512 with the answer" in str(error)
    assert error.is_unspent


def test_what_is_drawn_is_drawn_by_the_seed(kind: Kind, provider: Provider) -> None:
    if not kind.takes_seeds:
        pytest.skip("this dialect has no seeds, or this server draws only where its folder says so")

    def said(request: Request) -> str:
        try:
            return provider.complete(request).text
        except ProviderError as error:
            return "" if error.answer is None else error.answer.text

    assert said(DRAWN) == said(DRAWN)
    assert said(DRAWN) != said(replace(DRAWN, seed=8))


def test_an_answer_that_takes_too_long_is_not_waited_for(kind: Kind, provider: Provider) -> None:
    if not kind.takes_time:
        pytest.skip("what is recorded takes no time")
    error = failure(provider, replace(PLAN, timeout_s=0.0005))
    assert error.kind == "timed_out"
    assert provider.complete(PING).text == "pong"
