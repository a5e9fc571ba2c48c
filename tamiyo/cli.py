"""The `tamiyo` command: checks programs and the machine, shows what a run found; starts no run itself."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blueprints import (
    Blueprint,
    BlueprintError,
    TamiyoError,
    emit,
    flops,
    num_parameters,
    parse,
)
from blueprints.explanations import EXPLANATIONS, explanation
from blueprints.repair import repair
from tamiyo.cli_browse import add_browse
from tamiyo.cli_expand import add_expand
from tamiyo.cli_library import add_library

if TYPE_CHECKING:
    from hall_of_fame.library import Library
    from hall_of_fame.records import Entry

#: Where runs lie when no library is named.
RUNS = Path("runs")
#: What `--status` and `--view` take, as hall_of_fame/library.py does, which is not imported for a `check`.
STATUSES = ("entrant", "candidate", "refused")
VIEWS = ("top", "pareto", "niches")
#: The environment's name for `--library`.
LIBRARY_VARIABLE = "TAMIYO_LIBRARY"


class CommandError(TamiyoError):
    """A command that cannot be carried out; the message says how to mend it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 for an error, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        status = options.command(options)
        sys.stdout.flush()
    except TamiyoError as error:
        print(f"tamiyo {options.verb}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    return status


def check(options: argparse.Namespace) -> int:
    """Print the typed graph of a program, or where and why it is not one; or explain a rule."""
    if options.explain is not None:
        print(_explained(options.explain))
        return 0
    tokens = [token for text in options.tokens for token in re.findall(r"[^\s,\[\]'\"]+", text)]
    try:
        blueprint = parse(tokens)
    except BlueprintError as error:
        print(f"{error.explain(repair(tokens).tokens)}\nfitness {error.fitness:g}")
        return 1
    graph, width, time = blueprint.graph, options.width, options.time
    print(graph)
    print(f"id          {blueprint.id}")
    print(f"parameters  {num_parameters(graph, width):,} in a host of width {width}")
    print(f"FLOPs       {flops(graph, width, time):,} forward for one example of {time} steps")
    return 0


def _explained(rule: str) -> str:
    """Return what is known about a rule; about each a line when none is named."""
    if not rule:
        return "\n".join(f"{row.rule:<20}{row.meaning}" for row in EXPLANATIONS)
    row, refused = explanation(rule), ""
    try:
        parse(row.breaks.split())
    except BlueprintError as error:
        refused = error.explain(row.mends.split())
    return f"{row.rule}: {row.meaning}\n{row.reason}\n\n{refused}"


def doctor(options: argparse.Namespace) -> int:
    """Print which engine trains here and why, and what it stands on."""
    from tamiyo.doctor import findings

    found = findings(options.device)
    if options.json:
        _print_json(dict(found))
    else:
        width = max(len(name) for name, _ in found)
        print("\n".join(f"{name:<{width}}  {finding}" for name, finding in found))
    return 0


def list_(options: argparse.Namespace) -> int:
    """Print the best blueprints of a library."""
    from tamiyo import cli_tables

    with _opened(options) as library:
        entries = library.list(options.top, stage=options.stage, status=options.status, view=options.view)
    if options.json:
        _print_json([_row(entry) for entry in entries])
    elif entries:
        cli_tables.show(cli_tables.entries_table(entries))
    else:
        print("no blueprint has been trained well yet" if options.status is None else f"no {options.status}")
    return 0


def prove(options: argparse.Namespace) -> int:
    """Train the best of a run again from fresh seeds, and print which enter."""
    from tamiyo import cli_proofs

    with _opened(options) as library:
        proofs = cli_proofs.prove(library, options)
    if options.json:
        _print_json([cli_proofs.proof_json(proof) for proof in proofs])
    else:
        print("\n".join(map(cli_proofs.proof_line, proofs)) or "they are all proved already")
    return 0


def show(options: argparse.Namespace) -> int:
    """Print everything on record about one blueprint."""
    from tamiyo import cli_show

    with _opened(options) as library:
        found = cli_show.gather(library, options.id)
    blueprint = _parsed(found.entry)
    if options.json:
        row = {**_row(found.entry), "graph": str(blueprint.graph)}
        _print_json({**row, **cli_show.shown_json(found)})
    else:
        cli_show.print_shown(found, blueprint)
    return 0


def compare(options: argparse.Namespace) -> int:
    """Print two blueprints side by side."""
    from tamiyo import cli_compare, comparing

    with _opened(options) as library:
        found = comparing.compare(library, options.id, options.other)
    if options.json:
        _print_json(cli_compare.comparison_json(found))
    else:
        cli_compare.print_comparison(found)
    return 0


def export(options: argparse.Namespace) -> int:
    """Write one blueprint as a PyTorch module that imports torch alone."""
    path = Path(options.file)
    if path.exists() and not options.force:
        raise CommandError(f"{path} exists; expected a new file; give another name, or --force to replace it")
    with _opened(options) as library:
        entry = library.get(options.id)
    source = emit(_parsed(entry))
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(f"# Blueprint {entry.id}\n{source}", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise CommandError(
            f"cannot write {path}: {error.strerror}; check its folder and permissions"
        ) from error
    if options.json:
        _print_json({"file": str(path), "id": entry.id, "tokens": entry.tokens, "class": "Block"})
    else:
        print(f"{path}: {entry.id[:12]}, {' '.join(entry.tokens)}")
    return 0


@contextmanager
def _opened(options: argparse.Namespace) -> "Iterator[Library]":
    """Give the library that is asked for: by option, by environment, or the newest run's."""
    from hall_of_fame.library import Library

    with Library.open(_named(options)) as library:
        yield library


def _named(options: argparse.Namespace) -> str:
    return options.library or os.environ.get(LIBRARY_VARIABLE) or _newest_library()


def _newest_library() -> str:
    found = sorted(RUNS.glob("**/library.db"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise CommandError(
            f"no library.db under {RUNS}/; expected a library; name one with --library PATH_OR_URL, "
            "or start a run with `make train`"
        )
    print(f"library: {found[-1]}, the newest under {RUNS}/", file=sys.stderr)
    return str(found[-1])


def _parsed(entry: "Entry") -> Blueprint:
    from tamiyo.reading import readable

    return readable(entry.id, entry.tokens, entry.language_version)


def _row(entry: "Entry") -> dict[str, Any]:
    """Return an entry as a row of JSON: its fields, where it stands, and its mean score by task."""
    from tamiyo.cli_proofs import standing_json

    return {**asdict(entry), **standing_json(entry), "scores": entry.scores}


def _print_json(value: Any) -> None:
    from hall_of_fame.database import dump_json

    print(dump_json(value, indent=2))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tamiyo",
        description="Check programs and this machine; list, prove, show, expand and export what runs found.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")

    checking = verbs.add_parser("check", help="print the typed graph of a program, or what is wrong with it")
    asked = checking.add_mutually_exclusive_group(required=True)
    asked.add_argument(
        "tokens", nargs="*", default=[], metavar="TOKENS", help="such as RES_START LINEAR OUT_DIM_IN RES_END"
    )
    asked.add_argument(
        "--explain",
        nargs="?",
        const="",
        metavar="RULE",
        help="say what a rule means, why it is there and how to keep it; without RULE, list them",
    )
    checking.add_argument("--width", type=_width, default=16, help="width D of the host (default 16)")
    checking.add_argument("--time", type=_positive, default=16, help="steps T of an example (default 16)")
    checking.set_defaults(command=check)

    examining = verbs.add_parser("doctor", help="which engine trains here, and why")
    examining.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    examining.add_argument("--json", action="store_true", help="print a JSON object")
    examining.set_defaults(command=doctor)

    listing = _with_library(verbs, "list", list_, "the best blueprints of a library")
    listing.add_argument(
        "--top", type=_positive, default=32, metavar="K", help="so many at most (default 32)"
    )
    listing.add_argument("--stage", help="rank by the tasks of this stage (default: every task on record)")
    listing.add_argument("--status", choices=STATUSES, help="only these (default: all, in this order)")
    listing.add_argument(
        "--view",
        choices=VIEWS,
        default="top",
        help="all by score (default); those unbeaten in score, parameters and latency; or the best of every "
        "family, size and depth",
    )
    listing.add_argument("--json", action="store_true", help="print a JSON array")

    proving = _with_library(verbs, "prove", prove, "train the best of a run again from fresh seeds")
    proving.add_argument("--run", help="the run that they are of (default: the library's newest)")
    proving.add_argument(
        "--top", type=_positive, default=8, metavar="K", help="so many of its best by reward (default 8)"
    )
    proving.add_argument(
        "--stride", type=_positive, default=1, metavar="N", help="every N-th of them, from the best on"
    )
    proving.add_argument("--workers", type=_positive, metavar="N", help="cores that train (default: all)")
    proving.add_argument("--json", action="store_true", help="print a JSON array")

    showing = _with_library(verbs, "show", show, "everything on record about one blueprint")
    showing.add_argument("id", metavar="ID", help="its id or the beginning of it")
    showing.add_argument("--json", action="store_true", help="print a JSON object")

    comparing = _with_library(verbs, "compare", compare, "two blueprints side by side")
    comparing.add_argument("id", metavar="ID", help="the first's id or the beginning of it")
    comparing.add_argument("other", metavar="ID", help="the second's")
    comparing.add_argument("--json", action="store_true", help="print a JSON object")

    exporting = _with_library(verbs, "export", export, "write one blueprint as plain PyTorch")
    exporting.add_argument("id", metavar="ID", help="its id or the beginning of it")
    exporting.add_argument("file", metavar="FILE.py", help="the file to write")
    exporting.add_argument("--force", action="store_true", help="replace the file if it exists")
    exporting.add_argument("--json", action="store_true", help="print a JSON object")

    add_browse(verbs, _named)
    add_expand(verbs, _with_library, _opened)
    add_library(verbs, _with_library, _opened)
    return parser


def _with_library(verbs: Any, name: str, command: Callable[..., int], text: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text)
    parser.add_argument(
        "--library",
        metavar="PATH_OR_URL",
        help=f"a run, its library.db or a database URL (default: ${LIBRARY_VARIABLE}, or the newest run)",
    )
    parser.set_defaults(command=command)
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} came, expected at least 1")
    return value


def _width(text: str) -> int:
    value = _positive(text)
    if value % 16:
        raise argparse.ArgumentTypeError(f"{value} came, expected a multiple of 16")
    return value


if __name__ == "__main__":
    sys.exit(main())
