"""Checks of settings shared by the configuration records of this floor; knows none of the records."""

from collections.abc import Iterable

from blueprints.errors import TamiyoError


class SettingError(TamiyoError):
    """A setting that no strategy can work with; the message says what came and what was expected."""


def require_positive(config: object, *names: str) -> None:
    """Raise unless the named fields of `config` are greater than 0."""
    for name in names:
        value = getattr(config, name)
        if not value > 0:
            raise SettingError(f"{_where(config, name)} is {value!r}; expected a number greater than 0")


def require_share(config: object, *names: str) -> None:
    """Raise unless the named fields of `config` lie in [0, 1]."""
    for name in names:
        value = getattr(config, name)
        if not 0 <= value <= 1:
            raise SettingError(f"{_where(config, name)} is {value!r}; expected a number from 0 to 1")


def require_non_negative(config: object, *names: str) -> None:
    """Raise unless the named fields of `config` are 0 or greater."""
    for name in names:
        value = getattr(config, name)
        if not value >= 0:
            raise SettingError(f"{_where(config, name)} is {value!r}; expected 0 or greater")


def require_one_of(what: str, value: str, choices: Iterable[str]) -> None:
    """Raise unless `value` is one of `choices`."""
    choices = tuple(choices)
    if value not in choices:
        raise SettingError(f"{what} is {value!r}; expected one of {', '.join(choices)}")


def _where(config: object, name: str) -> str:
    return f"{type(config).__name__}.{name}"
