"""Base URLs of servers: which are allowed, which are one's own, and to which a key may travel."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from tamiyo.providers.contract import ProviderSettingError
from tamiyo.providers.hiding import SHORTEST_SECRET

_PORTS = {"http": 80, "https": 443}
_KEY = re.compile(r"[\x21-\x7e]{1,1000}")
_EXAMPLE = "expected one as http://localhost:8000/v1 or https://HOST/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is.

    Attributes:
        url: the base URL without a slash at its end.
        host: its host, with the port unless it is the usual one; prices are listed by it.
        is_local: whether it is on this machine or in a private network.
        is_encrypted: whether others on the way cannot read along.
    """

    url: str
    host: str
    is_local: bool
    is_encrypted: bool


def read_address(base_url: str) -> Address:
    """Return the address that `base_url` names.

    Raises:
        ProviderSettingError: when it is no base URL, or holds a name, a password, a query or a fragment.
    """
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError as error:
        raise ProviderSettingError(f"base URL: {error}; {_EXAMPLE}") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ProviderSettingError(
            "base URL: it holds a name, password, query or fragment; keys come from the environment alone, "
            f"and {_EXAMPLE}"
        )
    if parts.scheme not in _PORTS or not parts.hostname or not base_url.isprintable() or " " in base_url:
        raise ProviderSettingError(f"base URL: {base_url[:200]!r} is none; {_EXAMPLE}")
    return Address(
        url=base_url.rstrip("/"),
        host=_host(parts, port),
        is_local=_is_local(parts.hostname),
        is_encrypted=parts.scheme == "https",
    )


def check_key(key: str | None, variable: str, address: Address) -> None:
    """Refuse a key that cannot be one or would travel in the clear; a server of one's own needs none.

    Raises:
        ProviderSettingError: the message names `variable`, never what it holds.
    """
    if key is None and not address.is_local:
        raise ProviderSettingError(
            f"{variable} is not set, and {address.host} needs a key: export it, or name a server of your own "
            "by its base URL"
        )
    if key is not None and not _KEY.fullmatch(key):
        raise ProviderSettingError(f"{variable} holds blanks or characters that no key has: export it anew")
    if key is not None and len(key) < SHORTEST_SECRET and not address.is_local:
        raise ProviderSettingError(
            f"{variable} holds {len(key)} characters, and {address.host} needs a key, expected at least "
            f"{SHORTEST_SECRET}: export it anew, or name a server of your own by its base URL"
        )
    if key is not None and not address.is_encrypted and not address.is_local:
        raise ProviderSettingError(
            f"{variable} would travel to {address.host} in the clear: name the server by https, or unset it"
        )


def _host(parts: SplitResult, port: int | None) -> str:
    host = str(parts.hostname)
    host = f"[{host}]" if ":" in host else host
    return host if port in (None, _PORTS[parts.scheme]) else f"{host}:{port}"


def _is_local(host: str) -> bool:
    """Return whether a host is this machine, a private address, or a name without a dot."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal"))
    return address.is_private or address.is_loopback or address.is_link_local
