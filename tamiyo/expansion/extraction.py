"""Takes Python out of what a model answered, or says exactly why there is none; runs nothing."""

import ast
import re
import textwrap
from dataclasses import dataclass

from tamiyo.providers.objects import ExtractionError, said, start_of

_FENCE = re.compile(r"\s*(`{3,}|~{3,})\s*([\w+-]*)\s*")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True, slots=True)
class _Fenced:
    """What stands between two lines of back quotes, and the language that the first of them names."""

    language: str
    text: str
    is_closed: bool


def python_in(answer: str) -> str:
    """Return the Python of an answer: its one block between back quotes that defines something, or all of it.

    Where the one block between back quotes is no Python it is returned too, as a check can say best what is
    wrong with it.

    Raises:
        ExtractionError: `answer-empty`, `thought-unfinished`, `fence-open`, `several-blocks`, `no-code`.
    """
    text = said(answer)
    blocks = _fenced(text)
    if not blocks:
        return _plain(text)
    if len(defining := [block for block in blocks if _defines(block.text)]) == 1:
        return defining[0].text
    if len(blocks) > 1:
        raise ExtractionError(
            "several-blocks",
            f"{len(blocks)} blocks between ```, of which {len(defining)} define a class or function; "
            "expected one block with the whole file",
        )
    if not blocks[0].is_closed:
        raise ExtractionError(
            "fence-open",
            f"the block that ``` opens never ends, and what there is of it is no Python: "
            f"{_fault(blocks[0].text)}; the answer may have been cut off: write a shorter file",
        )
    return blocks[0].text


def _fenced(text: str) -> list[_Fenced]:
    found, opened, lines = [], None, []
    for line in text.splitlines():
        match = _FENCE.fullmatch(line)
        if opened is None:
            opened, lines = match, []
        elif match and match[1].startswith(opened[1]) and not match[2]:
            found.append(_Fenced(opened[2].lower(), _dedented(lines), is_closed=True))
            opened = None
        else:
            lines.append(line)
    if opened is not None:
        found.append(_Fenced(opened[2].lower(), _dedented(lines), is_closed=False))
    return [
        block for block in found if block.language in ("", "py", "python", "python3") and block.text.strip()
    ]


def _dedented(lines: list[str]) -> str:
    return textwrap.dedent("\n".join(lines)) + "\n"


def _plain(text: str) -> str:
    if _defines(text):
        return text + "\n"
    raise ExtractionError(
        "no-code",
        f"no block between ``` and the answer is not a Python file by itself: {_fault(text)}; "
        f"it began {start_of(text)}",
    )


def _defines(text: str) -> bool:
    """Say whether a text is Python that defines a class or a function at its top."""
    try:
        return any(isinstance(node, _DEFINITIONS) for node in ast.parse(text).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _fault(text: str) -> str:
    """Return why a text is no Python that defines something."""
    try:
        ast.parse(text)
    except SyntaxError as error:
        return f"{error.msg}, line {error.lineno}"
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{type(error).__name__}: {error}"
    return "it defines no class and no function"
