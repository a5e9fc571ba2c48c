"""Reads the programs of a library, whatever run wrote them, as blueprints of this version of the language."""

from collections.abc import Sequence
from functools import cache, lru_cache

from blueprints import LANGUAGE, Blueprint, BlueprintError, Language, parse
from hall_of_fame.errors import StoreError


class UnreadableError(StoreError):
    """A blueprint of another version of the language, which this one cannot read."""


def readable(blueprint_id: str, tokens: Sequence[str], language_version: str) -> Blueprint:
    """Return the blueprint that a library has on record.

    Its run may have allowed larger programs than the default language does, so budgets do not count here.

    Raises:
        UnreadableError: when its tokens are no program of this language, or spell another blueprint.
    """
    try:
        blueprint = _read(tuple(tokens))
        problem = "" if blueprint.id == blueprint_id else f"its tokens now spell {blueprint.id[:12]}"
    except BlueprintError as error:
        problem = str(error)
    else:
        if not problem:
            return blueprint
    raise UnreadableError(
        f"{blueprint_id[:12]} was written in language {language_version[:12]}, this is "
        f"{LANGUAGE.version_hash[:12]}: {problem}",
        expected="a program that this language reads alike",
        mend="use the version of the package that found it",
    )


@lru_cache(maxsize=4096)
def _read(tokens: tuple[str, ...]) -> Blueprint:
    return parse(tokens, _unbounded())


@cache
def _unbounded() -> Language:
    return Language(max_length=1 << 20, max_flops=1 << 60)
