"""The file of tokens: who may sign in, with which role, until when; of their secrets it holds hashes alone.

A secret is 256 random bits, shown once. The file keeps its Argon2id hash (RFC 9106), and the key with which
sessions are signed; whoever can read the file could forge sessions, so it is its owner's alone.
"""

import base64
import json
import os
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

from blueprints.errors import TamiyoError

Role = Literal["reader", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)
#: Days that a token lasts at most.
MAX_DAYS = 3650
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_FORMAT = "tamiyo-tokens 1"


class TokenError(TamiyoError):
    """A file of tokens, or a token, that cannot be used; the message says how to mend it."""

    def __init__(self, came: str, *, expected: str, mend: str) -> None:
        super().__init__(f"{came}; expected {expected}; {mend}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One who may sign in.

    Attributes:
        name: lower-case letters, digits and dashes.
        role: `reader` reads and checks programs; `operator` starts and cancels evaluations too.
        hash: Argon2id hash of the secret, with its salt and parameters.
        created: ISO 8601 time, in UTC.
        expires: ISO 8601 time, in UTC.
    """

    name: str
    role: Role
    hash: str
    created: str
    expires: str

    def is_valid(self, now: datetime) -> bool:
        """Return whether it has not expired."""
        return now < datetime.fromisoformat(self.expires)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a file of tokens holds.

    Attributes:
        key: 32 random bytes that sign sessions.
        tokens: by name.
    """

    key: bytes
    tokens: Mapping[str, Token]


def default_path() -> Path:
    """Return where tokens lie when no file is named."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "tamiyo" / "tokens.json"


def create_token(path: Path, name: str, role: Role, days: int) -> str:
    """Add a token to a file, which is made where there is none, and return its secret, kept nowhere.

    Raises:
        TokenError: when the name is taken or malformed, the role unknown, or the days out of bounds.
    """
    _check(name, role, days)
    found = read_tokens(path) if path.exists() else Tokens(key=secrets.token_bytes(32), tokens={})
    if name in found.tokens:
        raise TokenError(
            f"a token named '{name}' is in {path}",
            expected="a new name",
            mend=f"choose another, or revoke it with `tamiyo browse token revoke {name}`",
        )
    from argon2 import PasswordHasher

    secret = secrets.token_urlsafe(32)
    now = datetime.now(UTC).replace(microsecond=0)
    token = Token(
        name=name,
        role=role,
        hash=PasswordHasher().hash(secret),
        created=now.isoformat(),
        expires=(now + timedelta(days=days)).isoformat(),
    )
    _write(path, replace(found, tokens={**found.tokens, name: token}))
    return secret


def revoke_token(path: Path, name: str) -> None:
    """Take a token out of a file; sessions that it opened end with it.

    Raises:
        TokenError: when there is none of this name.
    """
    found = read_tokens(path)
    if name not in found.tokens:
        raise TokenError(
            f"no token '{name}' in {path}",
            expected=f"one of {', '.join(found.tokens) or 'none yet'}",
            mend="check its name",
        )
    kept = {key: token for key, token in found.tokens.items() if key != name}
    _write(path, replace(found, tokens=kept))


def read_tokens(path: Path) -> Tokens:
    """Return what a file holds.

    Raises:
        TokenError: when there is none, others may read it, or it is no file of tokens.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise TokenError(
            f"no tokens at {path} ({error.strerror})",
            expected="a file that can be read",
            mend="write one with `tamiyo browse token create`",
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise TokenError(
            f"others may read or write {path}", expected="mode 600", mend=f"mend it with: chmod 600 {path}"
        )
    try:
        return _parsed(json.loads(text))
    except (ValueError, TypeError, KeyError) as error:
        raise TokenError(
            f"{path} is no file of tokens",
            expected="one that `tamiyo browse token create` wrote",
            mend="name another, or remove it and write tokens anew",
        ) from error


def _parsed(document: Mapping[str, Any]) -> Tokens:
    if document["format"] != _FORMAT:
        raise ValueError(document["format"])
    key = base64.b64decode(document["key"], validate=True)
    rows = [Token(**{entry.name: row[entry.name] for entry in fields(Token)}) for row in document["tokens"]]
    if len(key) != 32 or any(row.role not in ROLES for row in rows):
        raise ValueError("key or role")
    for row in rows:
        datetime.fromisoformat(row.expires)
    return Tokens(key=key, tokens={row.name: row for row in rows})


def _check(name: str, role: str, days: int) -> None:
    if not _NAME.fullmatch(name):
        raise TokenError(
            f"the name '{name}'", expected="up to 32 of a-z, 0-9 and -, not - first", mend="choose another"
        )
    if role not in ROLES:
        raise TokenError(f"the role '{role}'", expected=f"one of {', '.join(ROLES)}", mend="choose one")
    if not 1 <= days <= MAX_DAYS:
        raise TokenError(f"{days} days", expected=f"1 to {MAX_DAYS}", mend="choose fewer, and renew it then")


def _write(path: Path, tokens: Tokens) -> None:
    """Write a file in one step, readable by its owner alone from its first byte on."""
    document = {
        "format": _FORMAT,
        "key": base64.b64encode(tokens.key).decode("ascii"),
        "tokens": [asdict(token) for token in tokens.tokens.values()],
    }
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise TokenError(
            f"cannot write {part} ({error.strerror})",
            expected="a folder that can be written, and nobody who writes tokens at the same time",
            mend="check its permissions; remove the file if it was left behind",
        ) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
