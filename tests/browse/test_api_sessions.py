"""Tokens and sessions: who may come in, what forged and stolen ones get; each attack over a real socket."""

import base64
import hashlib
import hmac
import json
import os
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import jwt
import pytest
import servers
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tamiyo.api import sessions, tokens
from tamiyo.api.settings import Limits

MANY = Limits(sign_ins_per_minute=10_000)


@pytest.fixture(scope="module")
def guarded(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Give a server with tokens: `client`, `path` of the tokens, and `secrets` by name."""
    path = tmp_path_factory.mktemp("tokens") / "tokens.json"
    secrets = {
        name: tokens.create_token(path, name, role, 30)
        for name, role in (("ann", "reader"), ("bob", "operator"), ("eve", "reader"))
    }
    with servers.browsing(library, tokens=path, limits=MANY) as client:
        yield SimpleNamespace(client=client, path=path, secrets=secrets)


def opened(guarded: SimpleNamespace, name: str = "ann") -> str:
    answer = guarded.client.post("/api/v1/token", json={"name": name, "secret": guarded.secrets[name]})
    assert answer.status_code == 200, answer.text
    return answer.json()["session"]


def read(guarded: SimpleNamespace, session: str) -> httpx.Response:
    return guarded.client.get("/api/v1/runs", headers={"Authorization": f"Bearer {session}"})


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    own = {"iss": sessions.ISSUER, "aud": sessions.AUDIENCE, "sub": "ann", "iat": now, "exp": now + 600}
    return {name: value for name, value in {**own, **changed}.items() if value is not None}


def test_nothing_but_what_signing_in_needs_is_open(guarded: SimpleNamespace) -> None:
    client = guarded.client
    for path in ("/api/v1/blueprints", "/api/v1/openapi.json", "/metrics", "/no/such", "/api/v1/runs/demo"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorised"), path
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.headers["Cache-Control"] == "no-store"
    for path in ("/healthz", "/sign-in", "/static/style.css"):
        assert client.get(path).status_code == 200, path
    assert str(Path("library.db")) not in client.get("/sign-in").text


def test_a_secret_opens_a_session_that_reads(guarded: SimpleNamespace) -> None:
    answer = guarded.client.post("/api/v1/token", json={"name": "ann", "secret": guarded.secrets["ann"]})
    assert answer.json()["role"] == "reader"
    assert answer.json()["expires_in_s"] == 900
    assert answer.headers["Cache-Control"] == "no-store"
    assert read(guarded, answer.json()["session"]).status_code == 200


def test_wrong_names_and_secrets_are_refused_alike(guarded: SimpleNamespace) -> None:
    wrong = [
        ("ann", "x"),
        ("ann", guarded.secrets["bob"]),
        ("nobody", guarded.secrets["ann"]),
        ("ann\n", "x"),
    ]
    answers = [guarded.client.post("/api/v1/token", json={"name": n, "secret": s}) for n, s in wrong]
    bodies = [{**answer.json()["error"], "correlation_id": ""} for answer in answers]
    assert [answer.status_code for answer in answers] == [401] * 4
    assert bodies == bodies[:1] * 4


def test_forged_sessions_are_refused(guarded: SimpleNamespace) -> None:
    created = tokens.read_tokens(guarded.path).tokens["ann"].created
    key = tokens.read_tokens(guarded.path).key
    good = jwt.encode(claims(of=created), key, algorithm="HS256")
    assert read(guarded, good).status_code == 200, "the forgeries below differ from a good one in one thing"
    head, body, signature = good.split(".")
    other_body = _part(claims(of=created, sub="bob"))
    forged = {
        "another key": jwt.encode(claims(of=created), b"k" * 32, algorithm="HS256"),
        "no algorithm": f"{_part({'alg': 'none', 'typ': 'JWT'})}.{body}.",
        "no algorithm, signed": f"{_part({'alg': 'None'})}.{body}.{signature}",
        "another body": f"{head}.{other_body}.{signature}",
        "no signature": f"{head}.{body}.",
        "a stronger algorithm of the same key": jwt.encode(claims(of=created), key * 2, algorithm="HS512"),
        "another audience": jwt.encode(claims(of=created, aud="other"), key, algorithm="HS256"),
        "no audience": jwt.encode(claims(of=created, aud=None), key, algorithm="HS256"),
        "another issuer": jwt.encode(claims(of=created, iss="other"), key, algorithm="HS256"),
        "no end": jwt.encode(claims(of=created, exp=None), key, algorithm="HS256"),
        "an unknown name": jwt.encode(claims(of=created, sub="mallory"), key, algorithm="HS256"),
        "of another token of that name": jwt.encode(claims(of="2020-01-01"), key, algorithm="HS256"),
        "no session": "a.b.c",
        "a secret": guarded.secrets["ann"],
    }
    for kind, session in forged.items():
        assert read(guarded, session).status_code == 401, kind


def test_expired_sessions_are_refused(guarded: SimpleNamespace) -> None:
    found = tokens.read_tokens(guarded.path)
    of = found.tokens["ann"].created
    for exp in (int(time.time()) - 1, 0, -1):
        session = jwt.encode(claims(of=of, exp=exp), found.key, algorithm="HS256")
        assert read(guarded, session).status_code == 401


def test_a_public_key_does_not_pass_as_a_shared_one(guarded: SimpleNamespace) -> None:
    """A server that takes the algorithm from the head checks RS256 with its public key as an HS256 secret."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    of = tokens.read_tokens(guarded.path).tokens["ann"].created
    asymmetric = jwt.encode(claims(of=of), private, algorithm="RS256")
    assert read(guarded, asymmetric).status_code == 401
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims(of=of))}"
    confused = hmac.new(public, signed.encode(), hashlib.sha256).digest()
    assert read(guarded, f"{signed}.{_encoded(confused)}").status_code == 401


def test_a_session_has_no_more_than_its_tokens_role(guarded: SimpleNamespace) -> None:
    found = tokens.read_tokens(guarded.path)
    boasting = jwt.encode(
        claims(of=found.tokens["ann"].created, role="operator"), found.key, algorithm="HS256"
    )
    checked = sessions.Sessions(guarded.path)
    assert checked.identity(boasting) == sessions.Identity(name="ann", role="reader")
    assert checked.identity(opened(guarded, "bob")).role == "operator"


def test_revoking_a_token_ends_its_sessions(guarded: SimpleNamespace) -> None:
    session = opened(guarded, "eve")
    assert read(guarded, session).status_code == 200
    tokens.revoke_token(guarded.path, "eve")
    time.sleep(1.2)
    assert read(guarded, session).status_code == 401
    guarded.secrets["eve"] = tokens.create_token(guarded.path, "eve", "reader", 1)
    time.sleep(1.2)
    assert read(guarded, session).status_code == 401, "a new token of the name does not revive old sessions"
    assert read(guarded, opened(guarded, "eve")).status_code == 200


def test_guessing_is_limited_by_address_and_by_name(library: Path, tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    secret = tokens.create_token(path, "ann", "reader", 30)
    with servers.browsing(library, tokens=path, limits=Limits(sign_ins_per_minute=6)) as client:

        def guess(number: int) -> int:
            return client.post("/api/v1/token", json={"name": "ann", "secret": f"guess {number}"}).status_code

        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(guess, range(16)))
        assert set(statuses) == {401, 429}
        assert 6 <= statuses.count(401) <= 7, "all at once as one after another"
        right = client.post("/api/v1/token", json={"name": "ann", "secret": secret})
        assert right.status_code == 429
        assert int(right.headers["Retry-After"]) >= 1
        form = client.post("/sign-in", data={"name": "ann", "secret": secret})
        assert form.status_code == 429, "the page counts with the API"


def test_a_browser_signs_in_with_a_cookie_that_scripts_cannot_read(guarded: SimpleNamespace) -> None:
    wants = {"Accept": "text/html"}
    with httpx.Client(base_url=guarded.client.base_url, timeout=servers.PATIENCE_S) as browser:
        first = browser.get("/runs", headers=wants)
        assert (first.status_code, first.headers["Location"]) == (303, "/sign-in?next=/runs")
        page = browser.get("/sign-in?next=/runs", headers=wants).text
        assert 'name="next" value="/runs"' in page
        wrong = browser.post("/sign-in", data={"name": "ann", "secret": "x", "next": "/runs"})
        assert wrong.status_code == 401
        assert "wrong" in wrong.text
        form = {"name": "ann", "secret": guarded.secrets["ann"], "next": "/"}
        entered = browser.post("/sign-in", data=form)
        assert (entered.status_code, entered.headers["Location"]) == (303, "/")
        cookie = entered.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert guarded.secrets["ann"] not in cookie
        assert browser.get("/", headers=wants).status_code == 200
        assert browser.get("/", headers=wants).headers["Cache-Control"] == "no-store"
        assert browser.post("/sign-out").headers["Location"] == "/sign-in"
        assert browser.get("/", headers=wants).status_code == 303


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nb", ""],
)
def test_signing_in_leads_nowhere_else(guarded: SimpleNamespace, wanted: str) -> None:
    form = {"name": "ann", "secret": guarded.secrets["ann"], "next": wanted}
    assert guarded.client.post("/sign-in", data=form).headers["Location"] == "/"
    guarded.client.cookies.clear()


def test_secrets_lie_nowhere(guarded: SimpleNamespace) -> None:
    text = guarded.path.read_text()
    assert not any(secret in text for secret in guarded.secrets.values())
    assert text.count("$argon2id$") == len(json.loads(text)["tokens"])
    assert stat.S_IMODE(guarded.path.stat().st_mode) == 0o600
    assert len(set(guarded.secrets.values())) == 3
    assert all(len(base64.urlsafe_b64decode(f"{secret}=")) == 32 for secret in guarded.secrets.values())


def test_a_file_of_tokens_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    tokens.create_token(path, "ann", "reader", 1)
    os.chmod(path, 0o640)
    with pytest.raises(tokens.TokenError, match=r"others may read or write .*chmod 600"):
        tokens.read_tokens(path)


def test_tokens_end(tmp_path: Path, library: Path) -> None:
    path = tmp_path / "tokens.json"
    secret = tokens.create_token(path, "ann", "reader", 1)
    tokens.create_token(path, "bob", "reader", 9)
    document = json.loads(path.read_text())
    document["tokens"][0]["expires"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    path.write_text(json.dumps(document))
    found = sessions.Sessions(path)
    with pytest.raises(sessions.SessionError, match="expired"):
        found.open("ann", secret, 60)
    document["tokens"].pop()
    path.write_text(json.dumps(document))
    with pytest.raises(tokens.TokenError, match="no valid token in"):
        sessions.Sessions(path)


def test_a_session_ends_with_its_token(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    secret = tokens.create_token(path, "ann", "reader", 1)
    session, _ = sessions.Sessions(path).open("ann", secret, 10 * 24 * 3600)
    ends = jwt.decode(session, options={"verify_signature": False})["exp"]
    assert ends == datetime.fromisoformat(tokens.read_tokens(path).tokens["ann"].expires).timestamp()


@pytest.mark.parametrize(
    ("name", "role", "days", "said"),
    [
        ("Ann", "reader", 1, "the name 'Ann'; expected up to 32 of a-z"),
        ("-a", "reader", 1, "the name '-a'"),
        ("ann", "king", 1, "the role 'king'; expected one of reader, operator"),
        ("ann", "reader", 0, "0 days; expected 1 to 3650"),
        ("old", "reader", 1, "a token named 'old' is in"),
    ],
)
def test_tokens_that_cannot_be_are_refused(
    tmp_path: Path, name: str, role: Any, days: int, said: str
) -> None:
    path = tmp_path / "tokens.json"
    tokens.create_token(path, "old", "reader", 1)
    before = path.read_bytes()
    with pytest.raises(tokens.TokenError, match=said):
        tokens.create_token(path, name, role, days)
    with pytest.raises(tokens.TokenError, match=r"no token 'none'.*expected one of old"):
        tokens.revoke_token(path, "none")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": "tamiyo-tokens 1", "key": "AA==", "tokens": []}', "\x00"]
)
def test_a_file_that_is_none_of_tokens_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens.json"
    path.touch(mode=0o600)
    path.write_text(text)
    with pytest.raises(tokens.TokenError, match="is no file of tokens"):
        tokens.read_tokens(path)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _part(value: dict[str, Any]) -> str:
    return _encoded(json.dumps(value).encode())
