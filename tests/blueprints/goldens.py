"""Golden refusals, a file a rule: tokens, caret, message and repair as printed; `--write` prints them anew.

A case begins with its tokens, and an empty line stands between cases. To add one, put its tokens under an
empty line at the end of the file of its rule, and write.
"""

import sys
from pathlib import Path

from blueprints import BlueprintError, parse
from blueprints.repair import repair

FOLDER = Path(__file__).resolve().parent / "goldens"
COMMAND = "python tests/blueprints/goldens.py --write"
Tokens = tuple[str, ...]


def read(rule: str) -> str:
    """Return the text of a rule's file; empty when there is none."""
    path = FOLDER / f"{rule}.txt"
    return path.read_text() if path.exists() else ""


def rules() -> list[str]:
    """Return the names of the rules that have a file."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def programs(rule: str) -> list[Tokens]:
    """Return the tokens of the cases in a rule's file."""
    cases = [case.splitlines()[0] for case in read(rule).strip("\n").split("\n\n") if case]
    return [tuple(line.removesuffix("<end>").split()) for line in cases]


def refusal(tokens: Tokens) -> BlueprintError:
    """Return the error that parsing raises."""
    try:
        parse(tokens)
    except BlueprintError as error:
        return error
    raise AssertionError(f"{' '.join(tokens)} is a program")


def printed(rule: str) -> str:
    """Return what stands in a rule's file when its cases are printed now."""
    shown = []
    for tokens in programs(rule):
        error = refusal(tokens)
        assert error.rule == rule, f"{' '.join(tokens)} breaks {error.rule}, and stands in the file of {rule}"
        shown.append(error.explain(repair(tokens).tokens))
    return "\n\n".join(shown) + "\n"


def main() -> None:
    """Print all goldens, or write them."""
    for rule in rules():
        if sys.argv[1:] == ["--write"]:
            (FOLDER / f"{rule}.txt").write_text(printed(rule))
        else:
            print(printed(rule))


if __name__ == "__main__":
    main()
