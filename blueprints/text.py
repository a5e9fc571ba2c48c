"""A blueprint as a line of tokens and back; a file may hold comments, a program has no other syntax."""

from blueprints.language import LANGUAGE, Language
from blueprints.parser import Blueprint, parse


def to_text(blueprint: Blueprint) -> str:
    """Return the tokens as written, separated by spaces."""
    return " ".join(blueprint.tokens)


def from_text(text: str, language: Language = LANGUAGE) -> Blueprint:
    """Return the blueprint that a text spells, on as many lines as it likes; `#` starts a comment.

    Raises:
        BlueprintError: as `parse`; positions count tokens, not characters.
    """
    tokens = [token for line in text.splitlines() for token in line.partition("#")[0].split()]
    return parse(tokens, language)
