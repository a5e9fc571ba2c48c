"""How the `tamiyo` command prints tables and programs, coloured in terminals, plain elsewhere; gathers none.

In a terminal tables fold to its width and tokens take the colour of their op's family, as in drawings. In a
pipe or a file each row is one line without colours, so that it can be searched; NO_COLOR does away with every
style in a terminal too.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from blueprints.drawing import FAMILY_COLOURS, OTHER_COLOUR, token_families
from blueprints.language import LANGUAGE, Language
from hall_of_fame.records import Entry, Proof, Status

#: Style of a status.
STATUS_STYLES: dict[Status, str] = {"entrant": "bold green", "candidate": "yellow", "refused": "red"}

#: Characters between two columns, and of a column of programs at least.
_GAP, _LEAST_PROGRAM = 2, 32
#: Columns where nothing folds: more than a row of any table takes.
_UNFOLDED = 1 << 16


def show(*parts: RenderableType) -> None:
    """Print tables, texts and lines to standard output, one below the other."""
    console = _console(None if os.environ.get("NO_COLOR") else "auto")
    if console.is_terminal:
        for part in parts:
            console.print(part, soft_wrap=not isinstance(part, Table))
        return
    plain = _console(None, _UNFOLDED)
    with plain.capture() as captured:
        plain.print(*parts, sep="\n")
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def table(
    texts: Sequence[str], numbers: Sequence[str] = (), last: Sequence[str] = (), *, title: str = ""
) -> Table:
    """Return an empty table: columns of words, then of numbers, then of words that may fold."""
    made = Table(box=None, header_style="bold", pad_edge=False, title=title or None, title_justify="left")
    made.title_style = "bold"
    for name in texts:
        made.add_column(name, no_wrap=True)
    for name in numbers:
        made.add_column(name, justify="right", no_wrap=True)
    for name in last:
        made.add_column(name, overflow="fold")
    return made


def facts(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """Return names and what is said of each, side by side."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, value)
    return made


def number(value: float | None, form: str = ".3f") -> str:
    """Return a number as text, `-` for none."""
    return "-" if value is None else format(value, form)


def between(mean: float, low: float | None, high: float | None, form: str = ".3f") -> str:
    """Return a mean with its interval, as far as there is one."""
    return f"{mean:{form}}" if low is None or high is None else f"{mean:{form}} [{low:{form}}, {high:{form}}]"


def status_text(status: Status) -> Text:
    """Return a status in its style."""
    return Text(status, style=STATUS_STYLES[status])


def program_text(tokens: Sequence[str], language: Language = LANGUAGE) -> Text:
    """Return a program whose tokens have the colours of their families; an attribute's has its op's."""
    families = token_families(tokens, language)
    styles = [FAMILY_COLOURS.get(family, OTHER_COLOUR) for family in families]
    return Text(" ").join(Text(token, style=style) for token, style in zip(tokens, styles, strict=True))


def entries_table(entries: Sequence[Entry]) -> Table:
    """Return the table of `tamiyo list`; a narrow terminal gets fewer columns and is told which it lacks."""
    tasks = list(dict.fromkeys(task for entry in entries for task in entry.scores))
    columns: dict[str, list[str]] = {
        "#": [str(entry.rank) for entry in entries],
        "id": [entry.id[:12] for entry in entries],
        "status": [entry.standing.status for entry in entries],
    }
    numbers: dict[str, list[str]] = {
        "proof": [_proof_text(entry.standing.proof) for entry in entries],
        "shrinkage": [number(p and p.shrinkage, "+.3f") for p in (e.standing.proof for e in entries)],
        "performance": [number(entry.performance) for entry in entries],
        **{task: [number(entry.scores.get(task)) for entry in entries] for task in tasks},
        "seeds": [str(max(score.num_seeds for score in entry.tasks)) for entry in entries],
        "reward": [number(entry.reward) for entry in entries],
        "parameters": [number(entry.num_parameters, ",d") for entry in entries],
        "us": [number(entry.latency_us, ".1f") for entry in entries],
    }
    dispensable = ("us", "seeds", "reward", *reversed(tasks), "parameters", "shrinkage", "performance", "#")
    left_out = _left_out({**columns, **numbers}, dispensable)
    columns = {name: column for name, column in columns.items() if name not in left_out}
    numbers = {name: column for name, column in numbers.items() if name not in left_out}
    made = table(tuple(columns), tuple(numbers), ("tokens",))
    for entry, *cells in zip(entries, *columns.values(), *numbers.values(), strict=True):
        status = entry.standing.status
        texts = [status_text(status) if cell == status else cell for cell in cells]
        made.add_row(*texts, program_text(entry.tokens))
    if left_out:
        made.caption = f"too narrow for {', '.join(left_out)}; --json has them"
        made.caption_justify = "left"
    return made


def _proof_text(proof: Proof | None) -> str:
    return "-" if proof is None else between(proof.mean, proof.low, proof.high)


def _left_out(columns: Mapping[str, Sequence[str]], dispensable: Sequence[str]) -> list[str]:
    """Return the columns that a terminal has no room for beside the programs, the first dispensable first."""
    console = Console()
    if not console.is_terminal:
        return []
    widths = {name: max(map(len, (name, *column))) + _GAP for name, column in columns.items()}
    left_out: list[str] = []
    for name in dispensable:
        if sum(widths.values()) + _LEAST_PROGRAM <= console.width:
            break
        del widths[name]
        left_out.append(name)
    return left_out


def _console(colours: Literal["auto"] | None, width: int | None = None) -> Console:
    """Return a console that prints words as they are written: it reads no mark-up in them."""
    return Console(color_system=colours, width=width, highlight=False, markup=False, emoji=False)
