"""Folders for the tests of expansion: briefs of human blueprints, and a folder's own tests as a process."""

import os
import subprocess
import sys
from pathlib import Path

from blueprints import Blueprint, emit, human
from tamiyo.expansion.assembly import expand_by
from tamiyo.expansion.records import Brief, TargetName
from tamiyo.expansion.template import TemplateDesigner


def brief_of(blueprint: Blueprint, target: TargetName, name: str = "block", **fields) -> Brief:
    return Brief(
        blueprint_id=name,
        tokens=blueprint.tokens,
        target=target,
        block_source=emit(blueprint),
        **fields,
    )


def folder_of(name: str, target: TargetName, root: Path) -> Path:
    """Write the template's architecture of a human blueprint and return its folder."""
    folder = root / f"{name}-{target}"
    folder.mkdir()
    for path, content in expand_by(TemplateDesigner(), brief_of(human(name), target, name), {}).items():
        (folder / path).write_bytes(content)
    return folder


def run_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, with nothing of this checkout on its path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-B", "-W", "error", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
