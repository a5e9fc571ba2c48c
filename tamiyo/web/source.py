"""PyTorch source as HTML whose classes style.css colours: syntax by its kind, ops by their family."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from markupsafe import Markup, escape
from pygments.lexers.python import PythonLexer
from pygments.token import STANDARD_TYPES, Name, Token

from blueprints import LANGUAGE, Language

#: Names that templates call and that say nothing of the op.
_COMMON = frozenset({"pad"})


def highlighted(source: str) -> Markup:
    """Return source with a span for each word; names of ops' modules and functions have families."""
    return Markup("").join(_spans(source))


def _spans(source: str) -> Iterator[Markup]:
    names, modules = _names(LANGUAGE), _modules(LANGUAGE)
    for kind, text in PythonLexer().get_tokens(source):
        family = ""
        if kind in Name:
            family = names.get(text) or modules.get(text.rstrip("0123456789").rstrip("_"), "")
        name = _class(kind)
        if family:
            yield Markup('<span class="op family-{}">{}</span>').format(family, text)
        elif name and text.strip():
            yield Markup('<span class="{}">{}</span>').format(name, text)
        else:
            yield escape(text)


def _class(kind: object) -> str:
    """Return the short class of a kind of token, that of the nearest kind above it which has one."""
    while kind is not Token and kind not in STANDARD_TYPES:
        kind = kind.parent  # type: ignore[attr-defined]
    return STANDARD_TYPES[kind]  # type: ignore[index]


@lru_cache(maxsize=4)
def _names(language: Language) -> Mapping[str, str]:
    """Return the family by name of the torch functions and classes that ops are written with."""
    found: dict[str, str] = {}
    for op in language.ops:
        written = f"{op.source.init} {op.source.forward}"
        for name in (
            *re.findall(r"\b(?:nn|F|torch)\.(\w+)", written),
            *re.findall(r"\b([A-Z]\w+)\(", written),
        ):
            if name not in _COMMON:
                found.setdefault(name, op.family)
    return found


@lru_cache(maxsize=4)
def _modules(language: Language) -> Mapping[str, str]:
    """Return the family by the name that the emitter gives an op's submodule, without its number."""
    return {op.name.lower(): op.family for op in language.ops}
