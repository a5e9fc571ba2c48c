"""The README's tree of files, made from the files' own first sentences; `--write` puts it there."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START, END = "<!-- tree -->", "<!-- /tree -->"

#: Top-level folders, the highest floor first; a package's own sentence stands in its __init__.py.
FOLDERS = {
    "tamiyo": "",
    "architect": "",
    "hall_of_fame": "",
    "crucible": "",
    "curricula": "",
    "blueprints": "",
    "configs": "Settings as YAML, the file layer of a run's configuration",
    "scripts": "Entry points of a few lines",
    "benchmarks": "Commands behind the figures",
    "tests": "One folder a package, and test_house.py for the house itself",
    "docs": "Decisions, and what was measured",
}
#: Folders shown without their files.
CLOSED = ("tests", "docs")
SHOWN = (".py", ".yaml")
NAME_COLUMNS = 28


def tree() -> str:
    """Return the tree, a line a folder or file, as it stands in the README."""
    return "\n".join(line.rstrip() for name in FOLDERS for line in _folder(ROOT / name, 0))


def _folder(folder: Path, depth: int) -> Iterator[str]:
    yield _line(folder.name + "/", FOLDERS.get(folder.name, "") or _sentence(folder / "__init__.py"), depth)
    if folder.name in CLOSED:
        return
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith(("__", ".")))
    for path in entries:
        if path.suffix in SHOWN:
            yield _line(path.name, _sentence(path), depth + 1)
    for path in entries:
        if path.is_dir() and any(inner.suffix in SHOWN for inner in path.rglob("*")):
            yield from _folder(path, depth + 1)


def _line(name: str, text: str, depth: int) -> str:
    return f"{'  ' * depth}{name}".ljust(NAME_COLUMNS) + " " + text


def _sentence(path: Path) -> str:
    """Return what a file says first, up to where it begins to say what it leaves out."""
    if not path.exists():
        return ""
    if path.suffix == ".yaml":
        comments = re.findall(r"^# (?!@)(.*)", path.read_text(), re.MULTILINE)
        opening = comments[0] if comments else ""
    else:
        opening = ast.get_docstring(ast.parse(path.read_text())) or ""
    opening = " ".join(opening.split("\n\n")[0].split())
    return re.split(r"; |(?<=\?) |\. (?=[A-Z])|\.$", opening)[0]


def block(readme: str) -> str:
    """Return the tree that `readme` holds between its markers, fences aside."""
    inside = readme.split(START, 1)[1].split(END, 1)[0]
    return inside.strip().removeprefix("```").removesuffix("```").strip("\n")


def main() -> None:
    """Print the tree, or write it between the README's markers."""
    if sys.argv[1:] != ["--write"]:
        print(tree())
        return
    path = ROOT / "README.md"
    before, rest = path.read_text().split(START, 1)
    path.write_text(f"{before}{START}\n```\n{tree()}\n```\n{END}{rest.split(END, 1)[1]}")


if __name__ == "__main__":
    main()
