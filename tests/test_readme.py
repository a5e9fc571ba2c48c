"""The README's own examples run as written."""

import re
from pathlib import Path

import pytest

from tamiyo.cli import main

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


def test_the_python_example_runs(capsys):
    [example] = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert out.startswith("ok [")
    assert "class Block(nn.Module):" in out


@pytest.mark.parametrize(
    "line",
    [line for line in README.splitlines() if line.startswith("tamiyo check")],
    ids=lambda line: line[:30],
)
def test_the_check_examples_say_what_the_readme_says(line, capsys):
    command, _, comment = line.partition("#")
    status = main(command.split()[1:])
    assert status == ("refused" in comment)
    out = capsys.readouterr().out
    assert ("rule 'attribute-fits-op'" in out) == ("refused" in comment)


def test_the_settings_named_exist():
    from tamiyo.config import load_config

    for line in README.splitlines():
        if line.startswith("python scripts/train_architect.py"):
            settings = line.partition("#")[0].split()[2:]
            load_config([s for s in settings if "=" in s], {})
