"""`tamiyo browse` from outside: what it prints, refuses and leaves behind, as a process of its own."""

import ipaddress
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
import servers
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tamiyo.cli import main

get, post = (partial(verb, timeout=servers.PATIENCE_S) for verb in (httpx.get, httpx.post))
ADDRESS = re.compile(r"https?://[^/ ]+/")


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep tests from the tokens and libraries of whoever runs them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("TAMIYO_LIBRARY", raising=False)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tamiyo.cli", "browse", *map(str, arguments)]


@contextmanager
def started(library: Path, *arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command on a free port; give its process and the address that its one line names."""
    words = command("--library", library, "--port", 0, *arguments)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = ADDRESS.search(line)
        assert found, (line, process.stderr and process.stderr.read())
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120)


def test_it_prints_one_line_serves_and_ends_cleanly(library: Path) -> None:
    for sent in (signal.SIGTERM, signal.SIGINT):
        with started(library, "--jobs", 0) as (process, address):
            assert get(f"{address}healthz").json() == {"status": "ok"}
            assert "<html" in get(address).text
            process.send_signal(sent)
            out, err = process.communicate(timeout=60)
            assert process.returncode == (0 if sent == signal.SIGTERM else 130)
            assert (out, err) == ("", ""), "the line was read before; nothing else is said"


def test_a_library_that_is_missing_or_empty_is_said_clearly(tmp_path: Path) -> None:
    missing = run("--library", tmp_path / "none.db", "--port", 0)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.startswith(
        f"tamiyo browse: no database at {tmp_path}/none.db; expected an existing"
    )
    assert missing.stderr.count("\n") == 1
    empty = servers.write_library(tmp_path / "library.db", [])
    with started(empty) as (process, address):
        assert get(f"{address}api/v1/blueprints").json()["total"] == 0
        process.terminate()
        assert "it holds no blueprint yet" in process.communicate(timeout=60)[1]


def test_a_port_that_is_taken_is_said_in_one_line(library: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--library", library, "--port", port)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        f"tamiyo browse: cannot listen at 127.0.0.1:{port} (Address already in use)"
    )
    assert done.stderr.count("\n") == 1


def test_other_machines_are_let_in_by_tokens_alone(library: Path, tmp_path: Path) -> None:
    done = run("--library", library, "--host", "0.0.0.0", "--port", 0)
    assert (done.returncode, done.stdout) == (1, "")
    assert "host 0.0.0.0 is not this machine alone, and there are no tokens" in done.stderr
    assert done.stderr.count("\n") == 1
    made = run("token", "create", "ann", "--role", "reader", "--days", 3)
    secret = made.stdout.strip()
    with started(library, "--host", "0.0.0.0") as (_, address):
        assert get(f"{address}api/v1/runs").status_code == 401
        opened = post(f"{address}api/v1/token", json={"name": "ann", "secret": secret})
        session = {"Authorization": f"Bearer {opened.json()['session']}"}
        assert get(f"{address}api/v1/runs", headers=session).status_code == 200
        started_job = post(f"{address}api/v1/evaluations", headers=session, json={"programs": ["RELU"]})
        assert started_job.status_code == 403


def test_tokens_are_made_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config" / "tamiyo" / "tokens.json"
    assert main(["browse", "token", "create", "ci-7", "--role", "operator", "--days", "2"]) == 0
    told = capsys.readouterr()
    assert re.fullmatch(r"[\w-]{43}\n", told.out), "standard output holds the secret alone"
    assert f"token 'ci-7' (operator, 2 days) in {path}" in told.err
    assert told.out.strip() not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert main(["browse", "token", "list"]) == 0
    assert capsys.readouterr().out.startswith("ci-7 ")
    assert main(["browse", "token", "create", "ci-7"]) == 1
    assert "a token named 'ci-7' is in" in capsys.readouterr().err
    assert main(["browse", "token", "revoke", "ci-7"]) == 0
    assert main(["browse", "token", "revoke", "ci-7"]) == 1
    assert "no token 'ci-7'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["browse", "token"])


def test_the_file_of_tokens_may_stand_before_or_behind_the_word_token(tmp_path: Path) -> None:
    path = str(tmp_path / "own.json")
    assert main(["browse", "--tokens", path, "token", "create", "ann"]) == 0
    assert main(["browse", "token", "revoke", "ann", "--tokens", path]) == 0
    assert not (tmp_path / "config").exists()


def test_a_certificate_that_is_none_is_said_before_an_address(library: Path, tmp_path: Path) -> None:
    certificate, _ = _certificate(tmp_path)
    (tmp_path / "none.pem").write_text("no certificate")
    for files in (("--certificate", tmp_path / "none.pem"), ("--certificate", certificate)):
        done = run("--library", library, "--port", 0, *files)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
        assert "cannot serve with the certificate" in done.stderr


def test_this_machine_needs_no_token_unless_told_so(library: Path, tmp_path: Path) -> None:
    assert run("token", "create", "ann").returncode == 0
    with started(library) as (_, address):
        assert get(f"{address}api/v1/runs").status_code == 200
    tokens = tmp_path / "config" / "tamiyo" / "tokens.json"
    with started(library, "--tokens", tokens) as (_, address):
        assert get(f"{address}api/v1/runs").status_code == 401


def test_requests_are_logged_where_one_says(library: Path, tmp_path: Path) -> None:
    log = tmp_path / "requests.log"
    with started(library, "--log", log, "--requests-per-minute", 3) as (process, address):
        statuses = [get(f"{address}healthz").status_code for _ in range(6)]
        assert statuses[:3] == [200] * 3
        assert 429 in statuses
        process.terminate()
        assert process.communicate(timeout=60)[1] == ""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["status"] for line in lines if line["event"] == "request"] == statuses
    done = run("--library", library, "--port", 0, "--log", tmp_path / "none" / "x.log")
    assert (done.returncode, "cannot write" in done.stderr) == (1, True)


def test_it_speaks_https_with_a_certificate(library: Path, tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    tokens = tmp_path / "tokens.json"
    secret = run("token", "create", "ann", "--tokens", tokens).stdout.strip()
    arguments = ("--certificate", certificate, "--key", key, "--tokens", tokens)
    trust = ssl.create_default_context(cafile=str(certificate))
    with (
        started(library, *arguments) as (_, address),
        httpx.Client(base_url=address, verify=trust, timeout=servers.PATIENCE_S) as client,
    ):
        assert address.startswith("https://127.0.0.1:")
        entered = client.post("/sign-in", data={"name": "ann", "secret": secret})
        assert entered.status_code == 303
        assert "Secure" in entered.headers["Set-Cookie"]
        assert client.get("/api/v1/runs").status_code == 200
        assert "max-age" in client.get("/healthz").headers["Strict-Transport-Security"]


def test_it_opens_a_browser_when_asked(library: Path, tmp_path: Path) -> None:
    opener = tmp_path / "browser"
    opener.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    opener.chmod(0o755)
    environment = {**os.environ, "BROWSER": str(opener)}
    words = command("--library", library, "--port", 0, "--open")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        address = ADDRESS.search(process.stdout.readline())
        deadline = time.monotonic() + 60
        while not (tmp_path / "opened").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert address is not None
        assert (tmp_path / "opened").read_text().strip() == address[0]
    finally:
        process.kill()
        process.communicate()


def test_a_server_starts_without_what_only_some_answers_need() -> None:
    """Its first page waits for what is imported; torch alone takes seconds."""
    heavy = (
        "torch",
        "torch_geometric",
        "sklearn",
        "scipy",
        "jwt",
        "argon2",
    )
    program = (
        f"import sys, tamiyo.api.app, tamiyo.api.server\nprint([n for n in {heavy!r} if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate of 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tamiyo")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "chain.pem", folder / "key.pem"
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    unsealed = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, unsealed))
    return certificate, secret
