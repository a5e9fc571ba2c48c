"""How many requests, and attempts to sign in, a client may make in a minute; refuses more with 429."""

import ipaddress
import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from tamiyo.api.errors import AnswerError
from tamiyo.api.settings import Limits

#: Bits of an IPv6 address that name a subscriber, who has all addresses under them.
_SUBSCRIBER_BITS = 64
_MAX_NAME = 64
_READING = ("GET", "HEAD", "OPTIONS")


class RateLimits:
    """Counts what each client does; what was refused does not count."""

    def __init__(self, limits: Limits) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._reads = RateLimitItemPerMinute(limits.reads_per_minute, namespace="reads")
        self._writes = RateLimitItemPerMinute(limits.writes_per_minute, namespace="writes")
        self._sign_ins = RateLimitItemPerMinute(limits.sign_ins_per_minute, namespace="sign-ins")

    def request(self, client: str, method: str) -> None:
        """Count a request.

        Raises:
            AnswerError: when the client has made too many.
        """
        self._hit(self._reads if method in _READING else self._writes, client, "requests")

    def sign_in(self, client: str, name: str) -> None:
        """Count an attempt to sign in, before it is looked at, for its address and for the name it tries.

        Raises:
            AnswerError: when there were too many for either.
        """
        self._hit(self._sign_ins, f"address {client}", "sign-ins")
        self._hit(self._sign_ins, f"name {name[:_MAX_NAME]}", "sign-ins")

    def _hit(self, item: RateLimitItemPerMinute, key: str, what: str) -> None:
        if self._limiter.hit(item, key):
            return
        ends = self._limiter.get_window_stats(item, key).reset_time
        wait = max(1, math.ceil(ends - time.time()))
        raise AnswerError(
            429,
            "too-many-requests",
            f"too many {what}",
            expected=f"at most {item.amount} in a minute",
            mend=f"wait {wait} s",
            headers={"Retry-After": str(wait)},
        )


def client_of(address: str) -> str:
    """Return whom an address stands for: itself, or of IPv6 its subscriber's network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, _SUBSCRIBER_BITS), strict=False))
