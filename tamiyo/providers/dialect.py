"""What servers of models have in common, whatever their dialect: they are asked in a way that they take."""

import abc
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from tamiyo.providers.addresses import Address, check_key, read_address
from tamiyo.providers.answers import check_request
from tamiyo.providers.contract import Answer, Request
from tamiyo.providers.hiding import secrets_of
from tamiyo.providers.wire import ask, check_installed, load

#: How a request is put to a server: immutable, as ways are compared and gone back to.
Way = TypeVar("Way")


class Dialect(abc.ABC, Generic[Way]):
    """A model behind a server; a dialect says how a request is put, and how the answer is read.

    Servers differ in what they take. Where one refuses a way of asking, the next is tried, and the one that
    was answered is kept for later requests.
    """

    def __init__(
        self, maker: str, model: str, base_url: str, key: str | None, *, variable: str, way: Way
    ) -> None:
        """Open no connection yet.

        Args:
            maker: whose dialect it is, which is also the name of the package that speaks it.
            model: as the server calls it.
            base_url: where the server is.
            key: what it asks for, if anything.
            variable: the name of the environment's variable that holds keys of this kind, for errors.
            way: how a request is put first.

        Raises:
            ProviderSettingError: for an address or a key that cannot be, or a missing package.
        """
        check_installed("jsonschema")
        self._sdk = load(maker)
        self._maker, self._model, self._address = maker, model, read_address(base_url)
        check_key(key, variable, self._address)
        self._secrets = secrets_of(key)
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._way = way

    @property
    def name(self) -> str:
        """`MAKER:MODEL`."""
        return f"{self._maker}:{self._model}"

    @property
    def address(self) -> Address:
        """Where the server is."""
        return self._address

    def complete(self, request: Request) -> Answer:
        """Return the answer to `request`.

        Raises:
            ProviderError: none came, or none that can be used.
        """
        check_request(request)
        started = time.monotonic()
        way = self._way
        while True:
            left_s = started + request.timeout_s - time.monotonic()
            outcome = ask(
                self._call(request, way, left_s),
                headers=self._headers,
                secrets=self._secrets,
                timeout_s=left_s,
                is_local=self._address.is_local,
                error_type=self._sdk.APIError,
            )
            if isinstance(outcome, bytes):
                self._way = way
                return self._read(outcome, request, time.monotonic() - started)
            other = self._other_way(way, str(outcome), request) if outcome.kind == "refused" else None
            if other is None:
                raise outcome
            way = other

    @abc.abstractmethod
    def _call(self, request: Request, way: Way, timeout_s: float) -> Callable[[Any], Awaitable[bytes]]:
        """Return what puts the request through an HTTP client, and returns the body of the answer."""

    @abc.abstractmethod
    def _other_way(self, way: Way, said: str, request: Request) -> Way | None:
        """Return how to ask a server that refused `way`, saying so; None when there is no other."""

    @abc.abstractmethod
    def _read(self, body: bytes, request: Request, seconds: float) -> Answer:
        """Return the answer in a body.

        Raises:
            ProviderError: for one that is not finished, or is no answer.
        """
