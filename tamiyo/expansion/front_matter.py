"""Front matter of the Markdown files of this package: lines `key: value` between two `---`; no other YAML."""

import re
from collections.abc import Collection, Mapping

from blueprints.errors import TamiyoError

_FENCE = "---"
_LINE = re.compile(r"([a-z_]+): *(.*)")


class FrontMatterError(TamiyoError):
    """A file of cards or prompts that does not say what it must, or says what nobody asked."""


def split(text: str) -> tuple[str | None, str]:
    """Return what stands between the two lines `---` at the top, None where there is none, and the rest."""
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines or lines[0].rstrip() != _FENCE:
        return None, text
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() == _FENCE:
            return "\n".join(lines[1:number]), "\n".join(lines[number + 1 :]).strip("\n")
    return None, text


def parse(
    head: str, where: str, *, required: Collection[str], optional: Collection[str] = ()
) -> Mapping[str, str]:
    """Return the values of front matter by key, each on a line of its own.

    Args:
        head: the lines between the two `---`.
        where: the file, for errors.
        required: keys that must be there with a value.
        optional: keys that may be there.

    Raises:
        FrontMatterError: a line is no `key: value`, or a key is unknown, missing, empty or given twice.
    """
    values: dict[str, str] = {}
    known = (*required, *optional)
    for number, line in enumerate(head.splitlines(), start=2):
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise FrontMatterError(f"{where}, line {number}: {line!r} is no `key: value`; write one a line")
        key, value = match[1], match[2].strip()
        if key not in known:
            raise FrontMatterError(
                f"{where}, line {number}: unknown key {key!r}; expected {', '.join(known)}"
            )
        if key in values:
            raise FrontMatterError(f"{where}, line {number}: {key!r} is given twice; keep one")
        if not value:
            raise FrontMatterError(f"{where}, line {number}: {key!r} has no value; write one or leave it out")
        values[key] = value
    missing = [key for key in required if key not in values]
    if missing:
        raise FrontMatterError(f"{where} does not say {', '.join(missing)}; add `key: value` between the ---")
    return values
