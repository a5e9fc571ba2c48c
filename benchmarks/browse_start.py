"""How long from the command `tamiyo browse` to its first page, and which modules take that time to import?

    python benchmarks/browse_start.py runs/first

Starts the server so many times, each on a free port, and asks for the gallery as soon as it says where it is:
seconds until it says so, until the page is there, and until a second one is. Then one process more tells what
each module costs (`-X importtime`): its own time and that of all that it brings with it, the dearest first.
Shares of one run compare better than times of two, for the machine may be busy.
"""

# ruff: noqa: E402

import argparse
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

import httpx

#: A line of Python's own account of imports: microseconds of a module alone and with what it imports.
_LINE = re.compile(r"import time:\s*(\d+) \|\s*(\d+) \|( +)(\S+)")
#: What the command imports before it serves.
_IMPORTS = "import tamiyo.cli; from tamiyo.api import app, server; from tamiyo.jobs import names_of_tasks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Seconds from the start of a process until it listened, its first page was there, and a second one."""

    listening_s: float
    first_page_s: float
    second_page_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What a module costs in seconds, alone and with what it was the first to import."""

    name: str
    own_s: float
    all_s: float


def main() -> None:
    """Print medians of the starts, and the dearest packages and modules."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("library", help="a run's folder, a library.db or a database URL")
    parser.add_argument("--starts", type=int, default=5, metavar="N")
    parser.add_argument("--modules", type=int, default=12, metavar="N", help="of packages, and of modules")
    options = parser.parse_args()
    if options.starts < 1 or options.modules < 1:
        parser.error("expected at least one start and one module")
    starts = [start(options.library) for _ in range(options.starts)]
    for name in Start.__slots__:
        print(f"{name:<16}{statistics.median(getattr(one, name) for one in starts):8.2f}")
    found = imports()
    total_s = sum(one.own_s for one in found)
    print(f"{'imports_s':<16}{total_s:8.2f}  of {len(found)} modules, account of them included")
    print(f"\n{'package':<34}{'share':>8}")
    for name, own_s in packages(found)[: options.modules]:
        print(f"{name:<34}{own_s / total_s:8.1%}")
    print(f"\n{'module, with what it brings':<34}{'share':>8}")
    for one in sorted(found, key=lambda one: -one.all_s)[: options.modules]:
        print(f"{one.name:<34}{one.all_s / total_s:8.1%}")


def start(library: str) -> Start:
    """Start a server, ask it for two pages, and end it."""
    command = [
        sys.executable,
        "-m",
        "tamiyo.cli",
        "browse",
        "--library",
        library,
        "--port",
        "0",
        "--jobs",
        "0",
    ]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            listening_s = time.perf_counter() - began
            assert " at http" in line, f"the server did not start: {line!r}"
            address = line.partition(" at ")[2].split()[0]
            httpx.get(address, timeout=60.0).raise_for_status()
            first_page_s = time.perf_counter() - began
            httpx.get(address, timeout=60.0).raise_for_status()
            second_page_s = time.perf_counter() - began
        finally:
            process.terminate()
    return Start(listening_s=listening_s, first_page_s=first_page_s, second_page_s=second_page_s)


def imports() -> list[Import]:
    """Return what each module cost that the command imports, in the order in which they were there."""
    command = [sys.executable, "-X", "importtime", "-c", _IMPORTS]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stderr
    return [
        Import(name=name, own_s=int(own_us) / 1e6, all_s=int(all_us) / 1e6)
        for own_us, all_us, _, name in _LINE.findall(told)
    ]


def packages(found: Sequence[Import]) -> list[tuple[str, float]]:
    """Return the seconds that each package's own modules take, the dearest first."""
    spent: dict[str, float] = {}
    for one in found:
        package = one.name.partition(".")[0]
        spent[package] = spent.get(package, 0.0) + one.own_s
    return sorted(spent.items(), key=lambda pair: -pair[1])


if __name__ == "__main__":
    main()
