"""The audit fails on findings and on a broken audit, and on nothing else; asks no real service."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts import audit

CLEAN = {"name": "good", "version": "1.0", "vulns": []}
UNKNOWN = {"name": "local", "skip_reason": "not found"}
FOUND = {"name": "bad", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1"]}]}


def answer(
    monkeypatch: pytest.MonkeyPatch, report: list[dict] | None, stderr: str = "", code: int = 0
) -> None:
    """Put a pip-audit in place that writes `report`, if any, and ends with `stderr` and `code`."""

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        (output,) = [word.removeprefix("--output=") for word in command if word.startswith("--output=")]
        if report is not None:
            Path(output).write_text(json.dumps({"dependencies": report}))
        return subprocess.CompletedProcess(command, code, "", stderr)

    monkeypatch.setattr(audit.subprocess, "run", run)


def test_a_finding_fails_and_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    answer(monkeypatch, [CLEAN, FOUND, UNKNOWN], code=1)
    assert audit.main() == 1
    assert capsys.readouterr().out == (
        "audit: bad 1.0: CVE-1, mended in 1.1\n"
        "audit: 1 known vulnerabilities in 2 packages; 1 unknown to it\n"
    )


def test_no_finding_passes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    answer(monkeypatch, [CLEAN])
    assert audit.main() == 0
    assert "0 known vulnerabilities in 1 packages" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("report", "stderr", "said"),
    [
        (None, "requests.exceptions.ConnectionError: no route", "cannot be reached"),
        ([UNKNOWN], "", "knows none of the 1 packages"),
    ],
)
def test_a_service_that_cannot_answer_passes_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, report: Any, stderr: str, said: str
) -> None:
    answer(monkeypatch, report, stderr, code=1)
    assert audit.main() == 0
    line = capsys.readouterr().out
    assert said in line
    assert line.count("\n") == 1


def test_a_service_that_hangs_passes_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def run(command: list[str], **_: Any) -> None:
        raise subprocess.TimeoutExpired(command, audit.TIMEOUT_S)

    monkeypatch.setattr(audit.subprocess, "run", run)
    assert audit.main() == 0
    assert capsys.readouterr().out == "audit: not done, the advisory service gave no answer in 300 s\n"


def test_an_audit_that_breaks_otherwise_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    answer(monkeypatch, None, "usage: no such option", code=2)
    assert audit.main() == 1
    assert "no such option" in capsys.readouterr().err
