"""Takes Python or JSON out of what a model answered, or says exactly why there is none; runs nothing."""

import ast
import json
import re
import textwrap
from dataclasses import dataclass

from tamiyo.expansion.records import ExpansionError

_FENCE = re.compile(r"\s*(`{3,}|~{3,})\s*([\w+-]*)\s*")
#: Characters of an answer that an error shows, and places where an object is looked for.
_SHOWN, _TRIES = 160, 256
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class ExtractionError(ExpansionError):
    """An answer that holds nothing to use; `rule` names why, so that failures can be counted."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"rule '{rule}': {reason}")
        self.rule = rule


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
    text = _said(answer)
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


def json_in(answer: str) -> str:
    """Return the one JSON object of an answer, as it stands there.

    Raises:
        ExtractionError: `answer-empty`, `thought-unfinished`, `no-object`, `several-objects`.
    """
    text = _said(answer)
    found, fault, at, tries = [], "", text.find("{"), 0
    while at >= 0 and (tries := tries + 1) <= _TRIES:
        try:
            _, end = json.JSONDecoder().raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError) as error:
            fault = fault or str(error)
            end = at + 1
        else:
            found.append(text[at:end])
        at = text.find("{", end)
    if len(found) > 1 and len(set(found)) > 1:
        raise ExtractionError("several-objects", f"{len(found)} JSON objects; expected one")
    if not found:
        reason = fault or "it has no '{'"
        raise ExtractionError(
            "no-object", f"no JSON object in the answer ({reason}); it began {_start(text)}"
        )
    return found[0]


def _said(answer: str) -> str:
    """Return an answer without the thoughts that some models put before it."""
    text = answer.strip()
    if text.startswith("<think>"):
        _, ended, text = text.partition("</think>")
        if not ended:
            raise ExtractionError(
                "thought-unfinished", "<think> never ends; the answer was cut off while the model thought"
            )
    if not text.strip():
        raise ExtractionError("answer-empty", "the answer is empty")
    return text.strip()


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
        f"it began {_start(text)}",
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


def _start(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
