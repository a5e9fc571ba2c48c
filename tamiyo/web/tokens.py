"""Tokens with the family that colours them, and how two programs differ; leaves colours to style.css."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from markupsafe import Markup

from blueprints import LANGUAGE, Language
from blueprints.drawing import token_families
from tamiyo.comparing import edits


@dataclass(frozen=True, slots=True, kw_only=True)
class Coloured:
    """A token as a page shows it.

    Attributes:
        text: the token.
        family: of its op; `other` where the language does not know it.
        is_attribute: whether it belongs to the op before it.
        change: `come` or `gone` in a difference; else empty.
    """

    text: str
    family: str
    is_attribute: bool = False
    change: Literal["", "come", "gone"] = ""


def coloured(tokens: Sequence[str], language: Language = LANGUAGE) -> list[Coloured]:
    """Return the tokens with their families; an attribute has that of the op before it."""
    attributes = language.vocabulary.attribute_tokens
    return [
        Coloured(text=token, family=family, is_attribute=i > 0 and token in attributes)
        for i, (token, family) in enumerate(zip(tokens, token_families(tokens, language), strict=True))
    ]


def families_of(tokens: Sequence[str]) -> list[str]:
    """Return the families that a program has, each once, in the order in which they come."""
    return list(dict.fromkeys(token.family for token in coloured(tokens)))


def edited(edits: Iterable[tuple[str, Sequence[str]]]) -> list[Coloured]:
    """Return one line of tokens that turns a program into another: what stays, goes (`delete`) and comes.

    Each program on its own says to which op an attribute belongs.
    """
    edits = [(kind, list(tokens)) for kind, tokens in edits]
    before = iter(coloured([token for kind, tokens in edits if kind != "insert" for token in tokens]))
    after = iter(coloured([token for kind, tokens in edits if kind != "delete" for token in tokens]))
    line: list[Coloured] = []
    for kind, tokens in edits:
        for _ in tokens:
            gone = None if kind == "insert" else next(before)
            come = None if kind == "delete" else next(after)
            if come is None and gone is not None:
                line.append(replace(gone, change="gone"))
            elif come is not None:
                line.append(come if gone is not None else replace(come, change="come"))
    return line


def difference(first: Sequence[str], second: Sequence[str]) -> list[Coloured]:
    """Return one line of tokens that turns the first program into the second."""
    return edited(edits(first, second))


def sides(line: Sequence[Coloured]) -> tuple[list[Coloured], list[Coloured]]:
    """Return the two programs of a line, the first with what goes marked, the second with what comes."""
    return (
        [token for token in line if token.change != "come"],
        [token for token in line if token.change != "gone"],
    )


def token_list(line: Sequence[Coloured], label: str = "Tokens") -> Markup:
    """Return a list of tokens as HTML; what goes and comes is said, not only coloured."""
    items = Markup("").join(map(_item, line))
    return Markup('<ul class="tokens" aria-label="{}">{}</ul>').format(label, items)


@lru_cache(maxsize=8192)
def _item(token: Coloured) -> Markup:
    names = ["token", f"family-{token.family}"]
    names += ["attribute"] if token.is_attribute else []
    names += [token.change] if token.change else []
    said = {"gone": "without ", "come": "with "}.get(token.change)
    hidden = Markup('<span class="visually-hidden">{}</span>').format(said) if said else ""
    return Markup('<li class="{}">{}{}</li>').format(" ".join(names), hidden, token.text)
