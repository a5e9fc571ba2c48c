"""Tables in a real terminal and in a pipe: colours by family, columns that fit, one line a row."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from test_cli import write_library

from blueprints import HUMAN_BLUEPRINTS, LANGUAGE, parse
from blueprints.drawing import FAMILY_COLOURS
from tamiyo.cli_tables import program_text

HUMAN = [parse(row.tokens) for row in HUMAN_BLUEPRINTS[:5]]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return write_library(tmp_path / "library.db", *HUMAN)


def in_terminal(columns: int, *arguments: object, **environment: str) -> str:
    """Return what a command prints into a terminal of so many columns."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tamiyo.cli", *map(str, arguments)],
        stdout=its,
        env={**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment},
    )
    os.close(its)
    printed = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # a terminal that its last program left
            break
        if not part:
            break
        printed += part
    os.close(ours)
    assert process.wait() == 0
    return printed.decode().replace("\r\n", "\n")


def bare(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def colour(family: str) -> str:
    """Return how a terminal is told a family's colour."""
    value = FAMILY_COLOURS[family].removeprefix("#")
    return "38;2;" + ";".join(str(int(value[i : i + 2], 16)) for i in (0, 2, 4))


def test_ops_have_the_colours_of_drawings_and_attributes_those_of_their_op() -> None:
    program = (
        "SCAN_START OUT_DIM_IN GELU SAVE STATE_0 SCAN_END LINEAR OUT_DIM_HALF BRANCH_START LSTM BRANCH_SEP"
    )
    families = "scan scan activation state state scan mixing mixing merge recurrent merge".split()
    text = program_text(program.split())
    assert text.plain == program
    assert [span.style for span in text.spans] == [FAMILY_COLOURS[family] for family in families]


def test_every_token_of_the_language_is_of_a_family_or_an_attribute() -> None:
    for token in LANGUAGE.vocabulary.tokens[1:]:
        is_attribute = token in LANGUAGE.vocabulary.attribute_tokens
        assert is_attribute or program_text([token]).spans[0].style in FAMILY_COLOURS.values(), token


def test_a_terminal_shows_programs_in_colours_and_a_pipe_none(library: Path) -> None:
    shown = in_terminal(200, "show", HUMAN[1].id, "--library", library)
    assert f"\x1b[{colour('mixing')}mLINEAR" in shown
    listed = in_terminal(200, "list", "--library", library)
    assert f"\x1b[{colour('mixing')}mLINEAR" in listed
    for environment in ({}, {"COLUMNS": "40"}):
        done = subprocess.run(
            [sys.executable, "-m", "tamiyo.cli", "list", "--library", str(library)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **environment},
        )
        assert "\x1b" not in done.stdout
        _, *rows = done.stdout.splitlines()
        assert [row.endswith(f"  {blueprint}") for row, blueprint in zip(rows, HUMAN, strict=True)] == [
            True
        ] * 5


def test_no_color_leaves_a_terminal_without_any_style(library: Path) -> None:
    for command in (("list",), ("show", HUMAN[1].id), ("compare", HUMAN[0].id, HUMAN[1].id)):
        printed = in_terminal(120, *command, "--library", library, NO_COLOR="1")
        assert "\x1b" not in printed
        assert HUMAN[1].id[:12] in printed


def test_a_narrow_terminal_gets_fewer_columns_and_is_told_which(library: Path) -> None:
    wide = bare(in_terminal(200, "list", "--library", library))
    assert "parameters" in wide.splitlines()[0]
    assert "too narrow" not in wide
    narrow = bare(in_terminal(80, "list", "--library", library))
    head = narrow.splitlines()[0].split()
    assert {"id", "status", "proof", "tokens"} <= set(head)
    left_out = narrow.split("too narrow for ")[1].split(";")[0].replace("\n", " ").split(", ")
    assert sorted([*head, *left_out]) == sorted(wide.splitlines()[0].split())
    assert all(blueprint.id[:12] in narrow for blueprint in HUMAN)
    assert max(map(len, narrow.splitlines())) <= 80


def test_a_command_to_repeat_is_never_folded(library: Path) -> None:
    shown = in_terminal(40, "show", HUMAN[1].id, "--library", library)
    assert "reproduce  python scripts/train_architect.py seed=7" in shown.splitlines()
