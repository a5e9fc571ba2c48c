"""Turns a token's secret into a short session and a session into an identity; leaves refusing to guard.py.

A session is a JSON Web Token (RFC 7519) signed with HS256 by the key in the file of tokens. Nothing in it is
believed but the name of its token and when that was created: the role is read from the file at each request,
so that a token which was revoked, or whose role changed, takes its sessions with it.
"""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tamiyo.api.tokens import Role, Token, TokenError, Tokens, read_tokens

#: What may sign a session: this alone, whatever the head of one says.
ALGORITHMS = ("HS256",)
ISSUER, AUDIENCE = "tamiyo", "tamiyo-browse"
#: How long the session of a program lasts, and that of a browser.
PROGRAM_S, BROWSER_S = 15 * 60, 8 * 3600
_REQUIRED = ("exp", "iat", "iss", "aud", "sub")
#: Seconds after which a change of the file of tokens counts.
_STALE_S = 1.0
#: Hashes computed at the same time: one takes 64 MiB.
_NUM_HASHING = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who makes a request: the name of a token, empty where nobody has to sign in, and its role."""

    name: str = ""
    role: Role = "operator"


class SessionError(Exception):
    """A session or secret that is not accepted; the message is for the log, never for the client."""


class Sessions:
    """Opens and checks sessions on one file of tokens, which may change meanwhile.

    Raises:
        TokenError: when the file cannot be read, or holds no valid token.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tokens = read_tokens(path)
        self._read = (time.monotonic(), _stamp(path))
        self._hashing = threading.BoundedSemaphore(_NUM_HASHING)
        self._nobody = ""
        if not any(token.is_valid(datetime.now(UTC)) for token in self._tokens.tokens.values()):
            raise TokenError(
                f"no valid token in {path}",
                expected="one that has not expired",
                mend="write one with `tamiyo browse token create`",
            )

    def open(self, name: str, secret: str, lasting_s: int) -> tuple[str, Identity]:
        """Return a session for whoever knows the secret of a token.

        Raises:
            SessionError: when the name or secret is wrong, or the token has expired.
        """
        import jwt

        token = self._current().tokens.get(name)
        if not self._fits(token, secret) or token is None:
            raise SessionError("wrong name or secret")
        if not token.is_valid(datetime.now(UTC)):
            raise SessionError("expired token")
        now = int(time.time())
        ends = min(now + lasting_s, int(datetime.fromisoformat(token.expires).timestamp()))
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": name, "iat": now, "exp": ends, "of": token.created}
        session = jwt.encode(claims, self._current().key, algorithm=ALGORITHMS[0])
        return session, Identity(name=name, role=token.role)

    def identity(self, session: str) -> Identity:
        """Return who opened a session.

        Raises:
            SessionError: when it is forged, expired, for another server, or its token is no longer valid.
        """
        import jwt

        found = self._current()
        try:
            claims = jwt.decode(
                session,
                found.key,
                algorithms=list(ALGORITHMS),
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": list(_REQUIRED)},
            )
        except jwt.InvalidTokenError as error:
            raise SessionError(f"{type(error).__name__}: {error}") from error
        token = found.tokens.get(claims["sub"])
        if token is None or claims.get("of") != token.created or not token.is_valid(datetime.now(UTC)):
            raise SessionError("its token was revoked or has expired")
        return Identity(name=token.name, role=token.role)

    def _current(self) -> Tokens:
        """Return the file's tokens, read again when it changed; none but the key when it cannot be read."""
        read_at, stamp = self._read
        if time.monotonic() - read_at > _STALE_S:
            found = _stamp(self._path)
            if found != stamp:
                try:
                    self._tokens = read_tokens(self._path)
                except TokenError:
                    self._tokens = Tokens(key=self._tokens.key, tokens={})
            self._read = (time.monotonic(), found)
        return self._tokens

    def _fits(self, token: Token | None, secret: str) -> bool:
        """Return whether a secret is the token's; an unknown name takes as long as a wrong secret."""
        from argon2 import PasswordHasher
        from argon2.exceptions import InvalidHashError, VerifyMismatchError

        with self._hashing:
            hasher = PasswordHasher()
            if token is None:
                self._nobody = self._nobody or hasher.hash("nobody")
            try:
                return hasher.verify(self._nobody if token is None else token.hash, secret)
            except (VerifyMismatchError, InvalidHashError):
                return False


def _stamp(path: Path) -> tuple[int, int, int]:
    """Return what changes when a file is written."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return found.st_mtime_ns, found.st_size, found.st_ino
