"""What `tamiyo browse` may be told, validated; reads no command line and opens nothing."""

import ipaddress
from dataclasses import dataclass, field, fields
from pathlib import Path

from blueprints.errors import TamiyoError

#: Port when none is given.
DEFAULT_PORT = 8742
#: Names that mean this machine alone.
_LOOPBACK_NAMES = ("localhost",)


class SettingsError(TamiyoError):
    """A setting that `tamiyo browse` cannot start with; the message says how to mend it."""

    def __init__(self, came: str, *, expected: str, mend: str) -> None:
        super().__init__(f"{came}; expected {expected}; {mend}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what one request, and one client, may take.

    Attributes:
        max_body_bytes: largest body of a request.
        max_target_bytes: largest path and query of a request together.
        reads_per_minute: requests of one client that read.
        writes_per_minute: checks and evaluations of one client, which compute.
        sign_ins_per_minute: failed sign-ins from one address, and for one name.
        max_in_flight: requests answered at the same time.
        header_timeout_s: time in which a client must have sent the whole head of a request.
        body_timeout_s: time in which it must have sent the body.
        send_timeout_s: time in which it must have taken each part of the answer.
        query_timeout_s: time that one query of the library may take.
        answer_timeout_s: time that a shutdown leaves to answers in flight.
    """

    max_body_bytes: int = 64 * 1024
    max_target_bytes: int = 4 * 1024
    reads_per_minute: int = 1200
    writes_per_minute: int = 240
    sign_ins_per_minute: int = 10
    max_in_flight: int = 256
    header_timeout_s: float = 10.0
    body_timeout_s: float = 10.0
    send_timeout_s: float = 30.0
    query_timeout_s: float = 10.0
    answer_timeout_s: float = 5.0

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if not value > 0:
                raise SettingsError(
                    f"limits.{entry.name} is {value}", expected="more than 0", mend="leave it at its default"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowseSettings:
    """One server's settings.

    Attributes:
        library: a run's folder, its library.db, or a database URL.
        host: address to listen on; every address but loopback needs tokens.
        port: port to listen on; 0 takes a free one.
        num_jobs: blueprints that train at the same time; 0 refuses jobs.
        user_tasks: a Python file with tasks of the user's own, which jobs may name; None for none.
        tokens: the file of `tamiyo browse token create`; None where nobody has to sign in.
        names: names beside `host` by which browsers reach this server, as in a Host header, without a port.
        certificate: file of the server's certificate chain (PEM), which makes it speak HTTPS.
        certificate_key: file of its private key; None where the first file holds it.
        limits: bounds on requests and clients.
    """

    library: str
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    num_jobs: int = 1
    user_tasks: Path | None = None
    tokens: Path | None = None
    names: tuple[str, ...] = ()
    certificate: Path | None = None
    certificate_key: Path | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.library:
            raise SettingsError(
                "no library", expected="a run's folder, a library.db or a database URL", mend="name one"
            )
        if not 0 <= self.port < 1 << 16:
            raise SettingsError(
                f"port {self.port}", expected="0 to 65535", mend=f"leave it out for {DEFAULT_PORT}"
            )
        if not 0 <= self.num_jobs <= 64:
            raise SettingsError(
                f"{self.num_jobs} jobs", expected="0 to 64", mend="0 refuses jobs; a core each is enough"
            )
        for path in (self.certificate, self.certificate_key):
            if path is not None and not path.is_file():
                raise SettingsError(f"no file {path}", expected="a file in PEM form", mend="check its path")
        if self.certificate is None and self.certificate_key is not None:
            raise SettingsError(
                "a key without a certificate", expected="both, or neither", mend="add --certificate FILE"
            )
        if not self.is_loopback and self.tokens is None:
            raise SettingsError(
                f"host {self.host} is not this machine alone, and there are no tokens",
                expected="a host such as 127.0.0.1, or tokens",
                mend="write some with `tamiyo browse token create`, or leave out --host",
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    @property
    def is_open(self) -> bool:
        """Whether everybody who can reach the server may read, without a token."""
        return self.tokens is None


def is_loopback(host: str) -> bool:
    """Return whether an address is of this machine alone."""
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
