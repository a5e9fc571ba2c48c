"""What a designer can be told: cards of ideas, a user's own Markdown, library entries; ranks nothing."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, cast, get_args

from blueprints.errors import BlueprintError
from blueprints.parser import parse as parse_program
from hall_of_fame.kinship import Neighbour, neighbours
from hall_of_fame.store import Store
from tamiyo.expansion import front_matter
from tamiyo.expansion.front_matter import FrontMatterError
from tamiyo.expansion.records import TargetName

#: Characters of one passage, and of a user's file, at most.
MAX_PASSAGE, MAX_FILE = 1_600, 400_000
#: Files of a user's folder that are read at most.
MAX_FILES = 5_000
_KEYS = ("name", "idea", "equation", "paper", "helps", "targets")
_YEAR = re.compile(r"[^\W\d_][\w.' -]+ (?:19|20)\d\d\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One architectural idea.

    Attributes:
        slug: name of its file.
        name: what it is called.
        idea: in one sentence.
        equation: in plain mathematics.
        tokens: a blueprint that has it; none where the language has not.
        paper: authors and year, and the title.
        helps: when.
        targets: what it concerns.
        body: how it works, and where it does not.
    """

    slug: str
    name: str
    idea: str
    equation: str
    tokens: tuple[str, ...]
    paper: str
    helps: str
    targets: tuple[TargetName, ...]
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A text that can be retrieved.

    Attributes:
        kind: `card`, `note` of a user's, or `neighbour` in the library.
        name: slug of the card, place in the user's folder, or id of the blueprint.
        text: what a designer is told, at most `MAX_PASSAGE` characters.
        targets: what it concerns; none for all.
    """

    kind: Literal["card", "note", "neighbour"]
    name: str
    text: str
    targets: tuple[TargetName, ...] = ()


@lru_cache(maxsize=1)
def cards() -> tuple[Card, ...]:
    """Return the cards of this package by name of file.

    Raises:
        FrontMatterError: a card that does not say what it must.
    """
    folder = files("tamiyo.expansion") / "cards"
    found = sorted(path.name for path in folder.iterdir() if path.name.endswith(".md"))
    return tuple(
        read_card((folder / name).read_text(encoding="utf-8"), name.removesuffix(".md")) for name in found
    )


def read_card(text: str, slug: str) -> Card:
    """Return the card that a file's text is.

    Raises:
        FrontMatterError: it does not say what it must, names no year or an unknown target, is empty, or its
            tokens are no legal program.
    """
    where = f"card {slug}"
    head, body = front_matter.split(text)
    if head is None:
        raise FrontMatterError(f"{where} has no front matter; begin it with `---` and lines `key: value`")
    values = front_matter.parse(head, where, required=_KEYS, optional=("tokens",))
    targets = tuple(target.strip() for target in values["targets"].split(","))
    known = get_args(TargetName)
    for target in targets:
        if target not in known:
            raise FrontMatterError(f"{where}: unknown target {target!r}; expected {', '.join(known)}")
    if not _YEAR.search(values["paper"]):
        raise FrontMatterError(f"{where}: paper is {values['paper']!r}; expected authors and a year")
    if not body.strip():
        raise FrontMatterError(f"{where} has no text below its front matter; say how it works")
    tokens = tuple(values.get("tokens", "").split())
    try:
        _ = parse_program(tokens) if tokens else None
    except BlueprintError as error:
        raise FrontMatterError(f"{where}: its tokens are no legal program: {error}") from error
    return Card(
        slug=slug,
        name=values["name"],
        idea=values["idea"],
        equation=values["equation"],
        tokens=tokens,
        paper=values["paper"],
        helps=values["helps"],
        targets=cast(tuple[TargetName, ...], targets),
        body=" ".join(body.split()),
    )


def card_passage(card: Card) -> Passage:
    """Return what a designer is told of a card."""
    lines = [
        f"{card.name}. {card.idea}",
        f"Equation: {card.equation}",
        *([f"Tokens: {' '.join(card.tokens)}"] if card.tokens else []),
        f"When it helps: {card.helps}",
        card.body,
        f"Paper: {card.paper}",
    ]
    return Passage(kind="card", name=card.slug, text=_bounded("\n".join(lines)), targets=card.targets)


def notes(folder: Path) -> tuple[Passage, ...]:
    """Return a user's own Markdown as passages, by path; a file whose front matter has an `idea` is a card.

    Other files are cut at their headings, and long parts at their paragraphs; their front matter is left out.

    Raises:
        FrontMatterError: there is no such folder, it holds no Markdown or too much of it, a file is too long
            or no UTF-8, or one that is a card does not say what it must.
    """
    if not folder.is_dir():
        raise FrontMatterError(f"no folder {folder}; name one that holds Markdown files (.md)")
    paths = sorted(path for path in folder.rglob("*.md") if path.is_file())
    if not paths:
        raise FrontMatterError(f"folder {folder} holds no Markdown file; expected names that end in .md")
    if len(paths) > MAX_FILES:
        raise FrontMatterError(
            f"folder {folder} holds {len(paths)} Markdown files; {MAX_FILES} at most are read: name a part"
        )
    return tuple(passage for path in paths for passage in _file(path, path.relative_to(folder).as_posix()))


def neighbour_passages(
    store: Store, blueprint_id: str, num: int = 3, remarks: Mapping[str, str] | None = None
) -> tuple[Passage, ...]:
    """Return what the library knows of the `num` blueprints that are built most alike, the likest first.

    Args:
        store: the ledger.
        blueprint_id: the full id of a blueprint on record.
        num: how many at most.
        remarks: by id, what else is known of a blueprint, as which plan did well around it.
    """
    if num == 0:
        return ()
    remarks = remarks or {}
    found = neighbours(store, blueprint_id, num).found
    return tuple(_neighbour(one, remarks.get(one.row.blueprint_id, "")) for one in found)


def _neighbour(neighbour: Neighbour, remark: str) -> Passage:
    row = neighbour.row
    size = "" if row.num_parameters is None else f", {row.num_parameters} parameters in the host"
    lines = [
        f"Neighbour {row.blueprint_id[:12]} in the library, likeness {neighbour.likeness:.2f}.",
        f"Tokens: {' '.join(row.tokens)}",
        f"Carries time by: {row.family}; {row.status} with score {row.score:.3f}{size}.",
        *([remark] if remark else []),
    ]
    return Passage(kind="neighbour", name=row.blueprint_id, text=_bounded("\n".join(lines)))


def _file(path: Path, name: str) -> Iterable[Passage]:
    if path.stat().st_size > MAX_FILE:
        raise FrontMatterError(f"{name} is longer than {MAX_FILE} bytes; cut it into several files")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FrontMatterError(f"{name} is no UTF-8 text ({error.reason} at byte {error.start})") from error
    head, body = front_matter.split(text)
    if head is not None and any(line.startswith("idea:") for line in head.splitlines()):
        card = card_passage(read_card(text, name.removesuffix(".md")))
        return [Passage(kind="note", name=name, text=card.text, targets=card.targets)]
    return [Passage(kind="note", name=f"{name}#{i}", text=part) for i, part in enumerate(_parts(body))]


def _parts(text: str) -> Sequence[str]:
    """Return the sections of Markdown, each below its heading and no longer than a passage may be."""
    found = []
    for section in re.split(r"(?m)^(?=#{1,6} )", text):
        heading = section.splitlines()[0].strip() if section.startswith("#") else ""
        body = section[len(heading) :] if heading else section
        part = heading
        for paragraph in re.split(r"\n\s*\n", body):
            paragraph = paragraph.strip()
            if paragraph and len(part) + len(paragraph) + 1 > MAX_PASSAGE and part not in ("", heading):
                found.append(part)
                part = heading
            part = _bounded(f"{part}\n{paragraph}".strip()) if paragraph else part
        if part not in ("", heading):
            found.append(part)
    return found


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_PASSAGE else text[: MAX_PASSAGE - 2] + " …"
