"""`tamiyo expand`, `expansions`, `reproduce` from outside; a provider may do what it likes."""

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from misbehaving import drips, hangs, head, openai_body, says, sends, serving
from small_libraries import write_library

from benchmarks import library_server
from hall_of_fame.expansions import ExpansionBook
from hall_of_fame.library import Library
from tamiyo.cli import main
from tamiyo.expansion import expanding
from tamiyo.expansion.records import UNITS
from tamiyo.sandbox import choosing
from tamiyo.sandbox.contract import Sandbox

ALL = ["plan", *UNITS]
Run = Callable[..., SimpleNamespace]


@pytest.fixture
def tamiyo(
    library: Path,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Return a function that runs a verb on the library in an empty folder, in the session's sandbox."""

    class Shared:
        """The session's sandbox, which outlives a command."""

        name, run = sandbox.name, sandbox.run

        def close(self) -> None:
            """Leave it open."""

    monkeypatch.setattr(choosing, "open_sandbox", lambda name: Shared())
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "TAMIYO_LIBRARY"):
        monkeypatch.delenv(name, raising=False)

    def run(verb: str, *arguments: object) -> SimpleNamespace:
        try:
            status = main([verb, "--library", str(library), *map(str, arguments)])
        except SystemExit as exit_:
            status = exit_.code
        captured = capsys.readouterr()
        return SimpleNamespace(status=status, out=captured.out, err=captured.err)

    return run


@pytest.fixture
def postgres_library() -> Iterator[str]:
    """Give the URL of an empty database of PostgreSQL; skip, saying why, where there can be none."""
    if missing := library_server.missing():
        pytest.skip(missing)
    with library_server.started(library_server.FOR_TESTS) as server, server.database() as url:
        yield url


def records(library: Path) -> list[Any]:
    with Library.open(library) as opened:
        return ExpansionBook(opened.store).expansions()


def test_with_nothing_but_a_library_there_is_a_folder_that_can_be_trained(
    tamiyo: Run, library: Path, tmp_path: Path
) -> None:
    done = tamiyo("expand")
    [record] = records(library)
    out = f"expanded/{record.blueprint_id[:12]}-char_lm"
    assert (done.status, done.err) == (0, "architecture   passed  template\n")
    assert done.out.splitlines() == [
        f"{out}: {record.blueprint_id[:12]} as char_lm, {record.num_parameters:,} parameters, by template",
        f"{len(record.checks)} checks passed in the sandbox {record.sandbox}, "
        f"{record.usage['cpu_s']:.1f} s of computing, {record.usage['peak_bytes'] / 2**20:.0f} MiB",
        f"on record as expansion {record.id[:12]}, commit {record.commit_hash[:12]}",
        f"train it: cd {out} && python train.py --steps 1000 --seed 0",
    ]
    assert sorted(path.name for path in (tmp_path / out).iterdir()) == sorted(record.files)
    again = json.loads(tamiyo("expand", "--json").out)
    assert (again["id"], again["is_written"], again["tag"]) == (
        record.id,
        False,
        f"run%20one/{record.blueprint_id[:12]}/char_lm-{record.tree_hash[:12]}",
    )
    told = tamiyo("expansions")
    assert told.out.splitlines()[1].split()[:5] == [
        record.id[:12],
        record.blueprint_id[:12],
        "char_lm",
        "template",
        "passed",
    ]
    shown = tamiyo("expansions", record.id[:8])
    assert all(text in shown.out for text in (record.id, record.commit_hash, "training", "head"))
    remade = tamiyo("reproduce", record.id[:8], "--out", "again")
    assert remade.status == 0
    assert remade.out.splitlines()[1:] == [
        "environment: the same, so that every figure must be equal",
        f"expansion {record.id[:12]} reproduced: 15 of 15 figures the same",
        "written to again",
    ]
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == sorted(record.files)


def test_a_reproduction_that_differs_ends_with_1_and_says_where(
    tamiyo: Run, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tamiyo("expand")
    [record] = records(library)
    checks = tuple(
        {**c, "detail": f"{c['detail']} once"} if c["name"] == "shapes" else c for c in record.checks
    )
    with Library.open(library) as opened:
        other = ExpansionBook(opened.store).add(replace(record, checks=checks, reason="another"))
    done = tamiyo("reproduce", other.id)
    assert done.status == 1
    assert f"shapes: {checks[7]['detail'][:-5]}; was: {checks[7]['detail']}" in done.out
    assert f"expansion {other.id[:12]} NOT reproduced: 14 of 15 figures the same" in done.out


def test_a_folder_that_cannot_be_written_leaves_the_verdict_of_a_reproduction(
    tamiyo: Run, library: Path, tmp_path: Path
) -> None:
    tamiyo("expand", "--out", "mine")
    [record] = records(library)
    (tmp_path / "mine" / "head.py").write_text("changed")
    done = tamiyo("reproduce", record.id, "--out", "mine")
    assert (done.status, done.err.count("mine holds something else")) == (1, 1)
    assert "reproduced: 15 of 15 figures the same" in done.out
    assert "written to" not in done.out
    refused = tamiyo("reproduce", record.id, "--out", "lib")
    assert (refused.status, refused.out) == (1, "")
    assert "lib holds something else" in refused.err


def test_a_model_is_not_asked_where_its_folder_is_not_empty(tamiyo: Run, library: Path) -> None:
    tamiyo("expand", "--out", "out")
    with serving(lies) as server:
        done = tamiyo(
            *("expand", "--provider", "openai", "--model", "tiny", "--base-url", f"{server.url}/v1"),
            *("--out", "out"),
        )
        assert server.asked == []
    assert done.status == 1
    assert "out is not empty; expected a new or empty folder" in done.err
    assert len(records(library)) == 1


def test_a_merge_carries_expansions_and_says_where_their_commits_stay(
    tamiyo: Run, library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tamiyo("expand")
    [record] = records(library)
    assert main(["library", "merge", str(library), "--into", "merged.db"]) == 0
    assert "came with 1 expansions; their commits stay in expansions.git" in capsys.readouterr().err
    assert main(["reproduce", record.id, "--library", "merged.db"]) == 0
    assert "files from the ledger" in capsys.readouterr().out


# A provider that hangs, lies, returns garbage, cuts off, refuses, is gone, or costs too much


PLAN = {
    "depth": 1,
    "width": 16,
    "positions": "none",
    "normalisation": "none",
    "head": "linear",
    "initialisation": "default",
    "dropout": 0.0,
}
#: Units that look right and are not: one sees the future, one leaves out the block, one answers by heart.
LIES = {
    "Embedding": """
        x = self.tokens(inputs)
        return x + x.flip(1)""",
    "Layer": """
        return x""",
    "Head": """
        return torch.zeros(*x.shape[:2], self.config.output_size)""",
}
_LYING = """```python
import torch
from torch import nn
from config import Config


class {name}(nn.Module):
    def __init__(self, config: Config, other: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.block = other
        self.gain = nn.Parameter(torch.ones(config.width))
        self.tokens = nn.Embedding(config.input_size, config.width)

    def forward(self, {argument}: torch.Tensor) -> torch.Tensor:{body}


def initialise(model: nn.Module, config: Config) -> None:
    torch.manual_seed(0)
```"""


def lies(connection: Any) -> None:
    """Answer with a good plan, and then with units that are not what they seem."""
    asked = json.dumps(connection.asked.body)
    if "response_format" in asked:
        text = json.dumps(PLAN)
    else:
        name = next(
            (name for name in LIES if f"class {name}(nn.Module)" in asked.rpartition("Write")[2]), "Head"
        )
        argument = "inputs" if name == "Embedding" else "x"
        text = _LYING.format(name=name, argument=argument, body=LIES[name])
    says(openai_body(text))(connection)


BAD: dict[str, tuple[Any, list[str], str]] = {
    "hangs": (hangs, ["--timeout", "0.5"], "timed_out"),
    "drips": (drips(head(200, None, {})), ["--timeout", "0.5"], "timed_out"),
    "returns garbage": (says(openai_body("Certainly! Here you go.")), [], "garbage"),
    "returns no JSON": (says(b"<html>"), [], "garbage"),
    "cuts off": (says(openai_body('{"depth": 1', "length")), [], "cut_off"),
    "refuses": (says(openai_body(None, refusal="I will not.")), [], "refused"),
    "knows no such model": (says({"error": {"message": "no model"}}, 404), [], "unknown_model"),
    "knows no such user": (says({"error": {"message": "no key"}}, 401), [], "unauthorised"),
    "hangs up": (sends(b""), ["--timeout", "5"], "unavailable"),
    "is busy": (says({"error": {"message": "later"}}, 429, {"retry-after": "99"}), [], "rate_limited"),
    "lies": (lies, [], "check '"),
}


@pytest.mark.parametrize("how", BAD)
def test_a_provider_that_misbehaves_leaves_the_templates_work_and_every_call_on_record(
    tamiyo: Run, library: Path, tmp_path: Path, how: str
) -> None:
    behave, options, kind = BAD[how]
    with serving(behave) as server:
        done = tamiyo(
            *("expand", "--provider", "openai", "--model", "tiny", "--base-url", f"{server.url}/v1"),
            *("--attempts", 2, "--out", "out", "--json", *options),
        )
        num_asked = len(server.asked)
    assert done.status == 0, done.err
    told = json.loads(done.out)
    expected = ALL if how != "lies" else ALL[1:]
    assert told["fallbacks"] == expected
    assert all(kind in unit["cause"] for unit in told["units"] if unit["name"] == expected[0])
    assert f"{expected[0]:<15}left to the template: " in done.err
    own = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert set(own["fallbacks to the template"]) == set(expected)
    plan = "tiny" if how == "lies" else "template"
    assert plan in own["authors"].pop("plan")
    assert set(own["authors"].values()) == {"the search", "template"}
    with Library.open(library) as opened:
        book = ExpansionBook(opened.store)
        calls = book.calls(told["id"])
        assert [record.id for record in book.expansions()] == [told["id"]]
    assert len(calls) == num_asked >= 1 or (kind == "timed_out" and len(calls) == 2), "one may be late itself"
    assert {call.provider for call in calls} == {"openai:tiny"}
    assert all(call.request["messages"] for call in calls)
    if how != "lies":
        assert all((call.error or call.detail).startswith(kind) for call in calls)
    assert not list((library / "expansions.pending").iterdir()), "the journal is in the ledger now"


def test_a_provider_that_would_cost_too_much_is_not_asked_at_all(
    tamiyo: Run, library: Path, tmp_path: Path
) -> None:
    table = {"from_prompt_tokens": 0, "prompt": 1000.0, "completion": 1000.0}
    with serving(says(openai_body(json.dumps(PLAN)))) as server:
        host = server.url.removeprefix("http://")
        price = {"tiny": [table]}
        prices = {"lists": [{"host": host, "as_of": "2026-01-01", "source": "a list", "models": price}]}
        (tmp_path / "prices.json").write_text(json.dumps(prices))
        done = tamiyo(
            *("expand", "--provider", "openai", "--model", "tiny", "--base-url", f"{server.url}/v1"),
            *("--budget-usd", "0.5", "--prices", "prices.json", "--out", "out"),
        )
        assert server.asked == []
    assert done.status == 0, done.err
    [record] = records(library)
    assert record.fallbacks == tuple(ALL)
    assert "by template" in done.out
    assert (
        "made by the template instead: plan, embedding, layer, head, initialisation (over_budget: "
        in done.out
    )


def test_a_server_that_is_not_there_leaves_the_template(tamiyo: Run, library: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    done = tamiyo(
        *("expand", "--provider", "openai", "--model", "tiny", "--timeout", "2"),
        *("--base-url", f"http://127.0.0.1:{port}/v1"),
    )
    assert done.status == 0, done.err
    assert records(library)[0].fallbacks == tuple(ALL)


def test_answers_that_were_paid_for_before_a_kill_are_not_asked_again(
    tamiyo: Run, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Ends the command before its row is written."""

    def die(*arguments: Any) -> None:
        raise Killed

    with serving(lies) as server:
        arguments = ["expand", "--provider", "openai", "--model", "tiny", "--base-url", f"{server.url}/v1"]
        arguments += ["--attempts", "1", "--out", "out", "--json"]
        with monkeypatch.context() as patched:
            patched.setattr(expanding.ExpansionBook, "add", die)
            with pytest.raises(Killed):
                tamiyo(*arguments)
        num_asked = len(server.asked)
        assert num_asked == 5
        done = tamiyo(*arguments)
        assert len(server.asked) == num_asked
    assert done.status == 0
    assert "going on with 5 calls of before" in done.err
    assert json.loads(done.out)["num_calls"] == 5


# Options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "x"], "--model came with the template, which asks no model"),
        (["--provider", "openai"], "no model is named"),
        (["--provider", "openai", "--model", "x"], "OPENAI_API_KEY"),
        (["ffff"], "no blueprint 'ffff'"),
        (["LINEAR " * 60], "LINEAR LINEAR"),
        (
            ["--provider", "openai", "--model", "x", "--base-url", "http://[::1/v1"],
            "base URL: Invalid IPv6 URL; expected one as http://localhost:8000/v1",
        ),
        (["--out", "library"], "holds something else"),
        (["--max-parameters", "10"], "rule 'parameter-budget'"),
        (["POOL"], "--library came with the file POOL, whose program is of no library"),
        (["POOL", "--code", "code"], "--library and --code came with the file POOL"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_line_and_leaves_nothing(
    tamiyo: Run, library: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "POOL").write_text("POOL_MEAN")
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "mine").touch()
    done = tamiyo("expand", *arguments)
    assert done.status == 1
    assert message in done.err
    assert done.err.count("\n") == 1
    assert records(library) == []
    assert {path.name for path in tmp_path.iterdir()} == {"POOL", "lib", "library"}


def test_a_program_from_a_file_is_expanded_without_a_library(
    tamiyo: Run, library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "POOL").write_text("POOL_MEAN")
    assert main(["expand", "POOL", "--target", "char_lm"]) == 1
    refused = capsys.readouterr().err
    assert "rule 'not-causal'" in refused
    assert refused.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"POOL", "lib"}
    assert main(["expand", "POOL", "--out", "out"]) == 0
    assert "not on record: its program is of no library" in capsys.readouterr().out
    assert records(library) == []


def test_a_number_of_passages_below_none_is_refused(tamiyo: Run) -> None:
    done = tamiyo("expand", "--provider", "openai", "--model", "x", "--passages", "-1")
    assert done.status == 2
    assert "argument --passages: -1 came, expected at least 0" in done.err


def test_a_library_on_a_server_needs_a_folder_for_code(
    tamiyo: Run, postgres_library: str, tmp_path: Path
) -> None:
    write_library(postgres_library)
    refused = main(["expand", "--library", postgres_library])
    assert refused == 1
    assert (
        main(["expand", "--library", postgres_library, "--code", str(tmp_path / "code"), "--out", "out"]) == 0
    )
    assert (tmp_path / "code" / "expansions.git").is_dir()
    with Library.open(postgres_library) as opened:
        [record] = ExpansionBook(opened.store).expansions()
    assert record.commit_hash is not None
