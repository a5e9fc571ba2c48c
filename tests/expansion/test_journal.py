"""No call that was made is lost: whatever ends the process, the next one is given what was paid for."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tamiyo.expansion.journal import CUT_SHORT, Journal, ResumedProvider
from tamiyo.expansion.records import Attempt, Check, ExpansionError, Verdict
from tamiyo.providers.budget import Budget
from tamiyo.providers.contract import Message, Provider, ProviderError, Request
from tamiyo.providers.prices import NOTHING
from tamiyo.providers.recorded import ScriptedProvider
from tamiyo.providers.resilience import CircuitBreaker, GuardedProvider, RetryPolicy


def request(text: str, seed: int = 0) -> Request:
    return Request(messages=(Message(role="user", text=text),), seed=seed, timeout_s=5.0)


def guarded(
    script: list[Any], journal: Journal, secrets: tuple[str, ...] = ()
) -> tuple[Provider, ScriptedProvider]:
    """Return a provider that speaks this script and tells the journal, and who speaks it."""
    speaker = ScriptedProvider(script)
    inside = GuardedProvider(
        speaker,
        price=NOTHING,
        budget=Budget(),
        policy=RetryPolicy(num_tries=2),
        breaker=CircuitBreaker(),
        generator=random.Random(0),
        record=journal.record,
        secrets=secrets,
        sleep=lambda seconds: None,
    )
    return ResumedProvider(inside, journal), speaker


def passed(subject: str, text: str) -> Attempt:
    check = Check(name="source", is_passed=True, detail="", seconds=0.0)
    return Attempt(subject=subject, text=text, verdict=Verdict(subject=subject, checks=(check,)))


def test_calls_are_kept_with_what_they_were_for_and_what_came_of_them(tmp_path: Path) -> None:
    path = tmp_path / "below" / "calls.jsonl"
    late = ProviderError("timed_out", "no whole answer in 5 s")
    with Journal(path) as journal:
        provider, _ = guarded([late, "{}", "class Head: ..."], journal)
        journal.begin("plan", 1)
        assert provider.complete(request("plan?")).text == "{}"
        journal.judge(passed("plan", "{}"))
        journal.begin("head", 2)
        provider.complete(request("head?"))
        check = Check(name="shapes", is_passed=False, detail="[2] came, expected [3]", seconds=0.0)
        failed = Verdict(subject="head", checks=(check,))
        journal.judge(Attempt(subject="head", text="class Head: ...", verdict=failed))
        assert [(c.subject, c.attempt, c.verdict, c.error) for c in journal.calls] == [
            ("plan", 1, "passed", "timed_out: no whole answer in 5 s"),
            ("plan", 1, "passed", ""),
            ("head", 2, "failed", ""),
        ]
        assert journal.calls[2].detail == "shapes: [2] came, expected [3]"
        assert journal.calls[1].request["messages"] == ({"role": "user", "text": "plan?"},)
        assert path.stat().st_mode & 0o077 == 0, "prompts and answers are nobody else's"
        journal.finish()
    assert not path.exists()


def test_what_had_an_answer_is_not_asked_again_and_what_had_none_is(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    refusal = ProviderError("refused", "it will not")
    late = ProviderError("timed_out", "late")
    with Journal(path) as journal:
        provider, _ = guarded(["{}", refusal, late, late], journal)
        provider.complete(request("plan?"))
        for text in ("refused?", "late?"):
            with pytest.raises(ProviderError):
                provider.complete(request(text))
        before = list(journal.calls)
    with Journal(path) as journal:
        provider, speaker = guarded(["at last", "other seed"], journal)
        assert len(journal.earlier) == 4
        assert provider.complete(request("plan?")).text == "{}"
        with pytest.raises(ProviderError, match="it will not") as caught:
            provider.complete(request("refused?"))
        assert caught.value.kind == "refused"
        assert provider.complete(request("late?")).text == "at last"
        assert provider.complete(request("plan?", seed=1)).text == "other seed"
        assert [asked.messages[0].text for asked in speaker.requests] == ["late?", "plan?"]
        assert journal.calls[:4] == before, "those of before are told as they were"
        assert len(journal.calls) == 6
    with Journal(path) as journal:
        assert len(journal.earlier) == 6


def test_answers_that_nobody_asks_for_again_are_kept_too(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with Journal(path) as journal:
        provider, _ = guarded(["{}", "class Head: ...", "class Layer: ..."], journal)
        for text in ("plan?", "head?", "layer?"):
            provider.complete(request(text))
    with Journal(path) as journal:
        provider, _ = guarded([], journal)
        journal.begin("head", 1)
        provider.complete(request("head?"))
        journal.judge(passed("head", "class Head: ..."))
        journal.keep_rest()
        assert [(call.subject, call.answer, call.verdict, call.detail) for call in journal.calls] == [
            ("head", "class Head: ...", "passed", ""),
            ("unknown", "{}", "none", CUT_SHORT),
            ("unknown", "class Layer: ...", "none", CUT_SHORT),
        ]
        assert journal.earlier == []


def test_an_answer_is_known_again_though_its_question_held_a_secret(tmp_path: Path) -> None:
    path, key = tmp_path / "calls.jsonl", "sk-very-secret-0123456789"
    with Journal(path) as journal:
        provider, _ = guarded(["{}"], journal, secrets=(key,))
        provider.complete(request(f"is {key} a key?"))
    assert key not in path.read_text()
    with Journal(path) as journal:
        provider, speaker = guarded(["again"], journal, secrets=(key,))
        assert provider.complete(request(f"is {key} a key?")).text == "{}"
        assert speaker.requests == []


def test_one_process_at_a_time_makes_an_expansion(tmp_path: Path) -> None:
    with (
        Journal(tmp_path / "calls.jsonl"),
        pytest.raises(ExpansionError, match="another process is making the same expansion"),
    ):
        Journal(tmp_path / "calls.jsonl")
    with Journal(tmp_path / "calls.jsonl") as journal:
        assert journal.earlier == []


_CALL = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_journal import guarded, request
from tamiyo.expansion.journal import Journal

with Journal(Path(sys.argv[1])) as journal:
    provider, _ = guarded(["answer"] * 1000, journal)
    for number in range(1000):
        provider.complete(request(str(number)))
        print(number, flush=True)
"""


def test_a_killed_process_loses_no_answer_that_came(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", _CALL, str(path), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[0][:40])  # as a kill in the midst of a line leaves it
    with Journal(path) as journal:
        texts = [call.request.messages[0].text for call in journal.earlier]
        assert texts[:3] == ["0", "1", "2"]
        journal.record(journal.earlier[0])
    assert path.read_bytes() == whole + whole.splitlines(keepends=True)[0]


def test_a_file_that_is_no_journal_is_refused_and_left(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_text("my thesis\n")
    with pytest.raises(ExpansionError, match=r"is no journal of calls .* move it away to begin anew"):
        Journal(path)
    assert path.read_text() == "my thesis\n"
    (tmp_path / "file").touch()
    with pytest.raises(ExpansionError, match="cannot write"):
        Journal(tmp_path / "file" / "calls.jsonl")
