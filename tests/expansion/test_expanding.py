"""From a library to a folder: what is kept where, in which order, and what a kill at any point leaves."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from designers import Told
from small_libraries import PROGRAMS

from blueprints import emit, parse
from hall_of_fame.expansions import ExpansionBook
from hall_of_fame.library import Library
from tamiyo.expansion import expanding
from tamiyo.expansion.expanding import Asked, Expanded, FailedExpansionError, expand
from tamiyo.expansion.folders import FolderError
from tamiyo.expansion.journal import Journal
from tamiyo.expansion.provenance import Repository, file_hashes, tag_of, tree_hash
from tamiyo.expansion.records import Designer, ExpansionError
from tamiyo.expansion.subjects import best_subject, subject_in_file, subject_of, target_for
from tamiyo.expansion.template import TemplateDesigner
from tamiyo.providers.contract import CallRecord, Message, ProviderError, Request
from tamiyo.sandbox.contract import Job, Limits, Outcome, ResourceUse, Sandbox

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def opened(library: Path) -> Iterator[Library]:
    with Library.open(library) as found:
        yield found


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def made(
    library: Library, sandbox: Sandbox, out: Path, designer: Designer | None = None, **fields: Any
) -> Expanded:
    """Expand the library's best causal blueprint."""
    folder = Path(library.store.name).parent
    subject = fields.pop("subject", None) or best_subject(library, "char_lm")
    journal = fields.pop("journal", None) or Journal(None)
    return expand(
        subject,
        Asked(target=fields.pop("target", "char_lm"), **fields),
        designer or TemplateDesigner(),
        sandbox,
        out,
        journal=journal,
        book=ExpansionBook(library.store),
        folder=folder,
    )


def test_what_is_written_is_committed_and_on_record(
    opened: Library, sandbox: Sandbox, tmp_path: Path
) -> None:
    expanded = made(opened, sandbox, tmp_path / "out")
    record, files = expanded.record, content(tmp_path / "out")
    assert files == expanded.files
    assert files["block.py"].decode() == emit(parse(PROGRAMS[0].split()))
    assert ExpansionBook(opened.store).get(record.id) == record
    assert (record.tree_hash, record.files) == (tree_hash(files), file_hashes(files))
    assert record.commit_hash is not None
    repository = Repository(Path(opened.store.name).parent)
    assert repository.files(record.commit_hash) == files
    tag = tag_of("run one", record.blueprint_id, "char_lm", tree_hash(files))
    assert repository.commit_of(tag) == record.commit_hash
    assert tag.startswith(f"run%20one/{record.blueprint_id[:12]}/char_lm-")
    assert [check["name"] for check in record.checks][-3:] == ["training", "resources", "outputs"]
    assert all(check["is_passed"] for check in record.checks)
    assert record.num_parameters > 1000
    assert record.usage["cpu_s"] > 0
    assert record.sandbox == sandbox.name
    told = json.loads(files["provenance.json"])
    assert (told["blueprint"], told["run"], told["designer"]) == (record.blueprint_id, "run one", "template")
    assert "0.9" in files["MODEL_CARD.md"].decode()


def test_equal_inputs_give_byte_equal_folders_and_one_row(
    opened: Library, sandbox: Sandbox, tmp_path: Path
) -> None:
    both = [made(opened, sandbox, tmp_path / name) for name in "ab"]
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert both[0].record == both[1].record
    assert len(ExpansionBook(opened.store).expansions()) == 1
    assert not made(opened, sandbox, tmp_path / "a").is_written, "it is there already"


def test_who_made_what_is_in_the_folder_the_commit_and_the_ledger(
    opened: Library, sandbox: Sandbox, tmp_path: Path
) -> None:
    designer = Told({"layer": [ProviderError("circuit_open", "58 s left")]}, name="openai:small")
    record = made(opened, sandbox, tmp_path / "out", designer).record
    assert record.fallbacks == ("layer", "head", "initialisation")
    told = json.loads((tmp_path / "out" / "provenance.json").read_bytes())
    assert told["authors"] == {
        "block": "the search",
        **dict.fromkeys(("plan", "embedding"), "openai:small"),
        **dict.fromkeys(("layer", "head", "initialisation"), "template"),
    }
    assert told["fallbacks to the template"]["head"] == "the provider: circuit_open"
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert "the provider: circuit_open" in card
    assert "58 s" not in card, "what differs from time to time is in the ledger alone"
    assert record.units[2]["reason"] == "circuit_open: 58 s left"


class Ending:
    """A sandbox in which every job takes too long."""

    name = "ending"

    def run(self, job: Job, limits: Limits) -> Outcome:
        """Return that it did."""
        used = ResourceUse(wall_s=60.0, cpu_s=60.0, peak_bytes=1)
        return Outcome(status="timed_out", detail="60 s passed", usage=used, backend=self.name)

    def close(self) -> None:
        """End nothing."""


@pytest.mark.parametrize("designer", [TemplateDesigner(), Told()])
def test_where_even_the_template_fails_nothing_is_written_and_the_failure_is_on_record(
    opened: Library, tmp_path: Path, designer: Designer
) -> None:
    with pytest.raises(
        FailedExpansionError, match=r"does not pass check 'sandbox': timed_out.* on record as"
    ):
        made(opened, Ending(), tmp_path / "out", designer)
    assert not (tmp_path / "out").exists()
    [record] = ExpansionBook(opened.store).expansions()
    assert (record.verdict, record.commit_hash) == ("failed", None)
    assert not (Path(opened.store.name).parent / "expansions.git").exists()


def test_what_cannot_be_written_at_last_is_on_record_and_says_how_to_get_it(
    opened: Library, sandbox: Sandbox, tmp_path: Path
) -> None:
    made(opened, sandbox, tmp_path / "out")
    (tmp_path / "out" / "head.py").write_text("mine")
    with pytest.raises(FolderError, match="holds something else") as caught:
        made(opened, sandbox, tmp_path / "out")
    [record] = ExpansionBook(opened.store).expansions()
    assert f"on record as expansion {record.id[:12]}" in str(caught.value)
    assert f"`tamiyo reproduce {record.id[:12]} --out DIR`" in str(caught.value)


def test_a_model_is_not_asked_for_what_goes_nowhere(opened: Library, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "provenance.json").write_text("{}")
    designer = Told()
    with pytest.raises(FolderError, match="out is not empty"):
        made(opened, Ending(), tmp_path / "out", designer)
    assert designer.heard == []


def test_a_call_that_a_killed_command_made_is_on_record_though_nobody_asks_it_again(
    opened: Library, tmp_path: Path
) -> None:
    call = CallRecord(
        provider="openai:tiny",
        request=Request(messages=(Message(role="user", text="plan?"),)),
        attempt=1,
        answer="{}",
        model="tiny",
        prompt_tokens=3,
        completion_tokens=1,
        cost_usd=0.5,
        usage="told",
        seconds=1.0,
    )
    with Journal(tmp_path / "calls.jsonl") as journal:
        journal.record(call)
    with Journal(tmp_path / "calls.jsonl") as journal, pytest.raises(FailedExpansionError):
        made(opened, Ending(), tmp_path / "out", Told(), journal=journal)
    book = ExpansionBook(opened.store)
    [record] = book.expansions()
    assert [(call.answer, call.cost_usd) for call in book.calls(record.id)] == [("{}", 0.5)]
    assert not (tmp_path / "calls.jsonl").exists()


def test_folders_of_others_and_programs_that_do_not_fit_are_refused_before_anything_is_done(
    opened: Library, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(FolderError, match="holds something else"):
        made(opened, Ending(), tmp_path / "full")
    pooled = subject_of(opened, parse(PROGRAMS[1].split()).id)
    with pytest.raises(ExpansionError, match="rule 'not-causal'"):
        made(opened, Ending(), tmp_path / "out", subject=pooled)
    assert ExpansionBook(opened.store).expansions() == []
    assert target_for(pooled.blueprint) == "sequence_classifier"
    assert target_for(best_subject(opened, None).blueprint) == "char_lm"


def test_a_program_of_no_library_is_expanded_and_says_that_it_is_not_on_record(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "tokens.txt").write_text(f"['{PROGRAMS[1].replace(' ', chr(39) + ', ' + chr(39))}']\n")
    expanded = expand(
        subject_in_file(tmp_path / "tokens.txt"),
        Asked(target="tabular"),
        TemplateDesigner(),
        sandbox,
        tmp_path / "out",
        journal=Journal(None),
    )
    assert expanded.notes == ("not on record: its program is of no library",)
    assert (expanded.record.id, expanded.record.commit_hash) == ("", None)
    assert content(tmp_path / "out") == expanded.files
    (tmp_path / "tokens.txt").write_text("LINEAR KERNEL_5")
    with pytest.raises(ExpansionError, match=r"tokens.txt holds no program: .*KERNEL_5"):
        subject_in_file(tmp_path / "tokens.txt")


def test_without_git_the_folder_is_made_and_the_note_says_what_is_missing(
    opened: Library, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    expanded = made(opened, sandbox, tmp_path / "out")
    assert expanded.notes == (
        "not committed: there is no git program; the ledger has its sources and hashes",
    )
    assert expanded.record.commit_hash is None
    assert content(tmp_path / "out") == expanded.files


class Killed(BaseException):
    """Ends an expansion at a point."""


POINTS = {
    "before the commit": (Repository, "keep", False),
    "after the commit": (Repository, "keep", True),
    "before the row": (ExpansionBook, "add", False),
    "after the row": (ExpansionBook, "add", True),
    "before the folder": (expanding, "write_folder", False),
    "after the folder": (expanding, "write_folder", True),
}


@pytest.mark.parametrize("point", POINTS)
def test_an_end_at_any_point_leaves_what_the_next_one_goes_on_from(
    opened: Library,
    library: Path,
    sandbox: Sandbox,
    tmp_path: Path,
    point: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner, name, is_after = POINTS[point]
    function = getattr(owner, name)

    def ended(*arguments: Any, **fields: Any) -> None:
        if is_after:
            function(*arguments, **fields)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, ended)
        with pytest.raises(Killed):
            made(opened, sandbox, tmp_path / "out")
    before = ExpansionBook(opened.store).expansions()
    assert len(before) == (name == "write_folder" or point == "after the row")
    check_whole(library, made(opened, sandbox, tmp_path / "out"), tmp_path / "out")
    assert before in ([], ExpansionBook(opened.store).expansions()), "the row of then is the row"


_DYING = """
import os, signal, sys
from tamiyo.cli import main
from tamiyo.expansion import expanding

expanding.ExpansionBook.add = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(main(sys.argv[1:]))
"""


def test_a_killed_command_given_again_goes_on(library: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    arguments = ["expand", "--library", str(library), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", _DYING, *arguments], env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "out").exists()
    with Library.open(library) as opened:
        check_whole(library, made(opened, sandbox, tmp_path / "out"), tmp_path / "out")


def check_whole(library: Path, expanded: Expanded, out: Path) -> None:
    """Assert that an expansion is in its folder, once on record and once committed, and nothing else is."""
    assert content(out) == expanded.files
    with Library.open(library) as opened:
        assert ExpansionBook(opened.store).expansions() == [expanded.record]
    tags = subprocess.run(
        ["git", "-C", str(library / "expansions.git"), "tag"], capture_output=True, text=True, check=True
    )
    assert len(tags.stdout.split()) == 1
    left = {path.name for path in (*out.parent.iterdir(), *library.iterdir())}
    ours = {"out", "lib", "library.db", "expansions.git", "expansions.lock"}
    assert left - ours <= {"library.db-wal", "library.db-shm"}


def test_two_at_once_in_one_library_lose_nothing(library: Path, tmp_path: Path) -> None:
    expand_into = [sys.executable, "-m", "tamiyo.cli", "expand", "--library", str(library)]
    running = [
        subprocess.Popen(
            [*expand_into, "--target", target, "--out", str(tmp_path / target)],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for target in ("char_lm", "tabular")
    ]
    for process in running:
        told = process.communicate()
        assert process.returncode == 0, told
    with Library.open(library) as opened:
        records = ExpansionBook(opened.store).expansions()
    assert sorted(record.target for record in records) == ["char_lm", "tabular"]
    for record in records:
        assert record.commit_hash is not None
        files = Repository(library).files(record.commit_hash)
        assert files == content(tmp_path / record.target)
