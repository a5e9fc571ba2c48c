"""Takes the JSON object out of what a model answered, or says exactly why there is none; knows no schema."""

import json

from blueprints import TamiyoError

#: Characters of an answer that an error shows, and places where an object is looked for.
_SHOWN, _TRIES = 160, 256


class ExtractionError(TamiyoError):
    """An answer that holds nothing to use; `rule` names why, so that failures can be counted."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"rule '{rule}': {reason}")
        self.rule = rule


def json_in(answer: str) -> str:
    """Return the one JSON object of an answer, as it stands there.

    Raises:
        ExtractionError: `answer-empty`, `thought-unfinished`, `no-object`, `several-objects`.
    """
    text = said(answer)
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
            "no-object", f"no JSON object in the answer ({reason}); it began {start_of(text)}"
        )
    return found[0]


def said(answer: str) -> str:
    """Return an answer without the thoughts that some models put before it.

    Raises:
        ExtractionError: `answer-empty`, `thought-unfinished`.
    """
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


def start_of(text: str) -> str:
    """Return the beginning of an answer as an error shows it."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
