"""`tamiyo library`: backs up, restores, merges, exports and imports ledgers; leaves the work to the hall."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blueprints import TamiyoError

if TYPE_CHECKING:
    from hall_of_fame.archive import Header
    from hall_of_fame.audit import AuditRecord
    from hall_of_fame.merging import Merged

#: The environment's name for the passphrase.
PASSPHRASE_VARIABLE = "TAMIYO_PASSPHRASE"


class PassphraseError(TamiyoError):
    """A passphrase that cannot be read; the message says how to mend it."""


def backup(options: argparse.Namespace) -> int:
    """Write a library as it is at one moment into a packed file, sealed when there is a passphrase."""
    from hall_of_fame.archive import write

    passphrase = _passphrase(options)
    with options.opened(options) as library:
        header = write(library.store, Path(options.file), passphrase=passphrase, replace=options.force)
    return _tell_written(options, header, is_sealed=passphrase is not None)


def export(options: argparse.Namespace) -> int:
    """Write a library, or a part of it, as plain JSON Lines."""
    from hall_of_fame.archive import write

    with options.opened(options) as library:
        header = write(
            library.store,
            Path(options.file),
            run_id=options.run,
            top=options.top,
            packed=False,
            replace=options.force,
        )
    return _tell_written(options, header, is_sealed=False)


def restore(options: argparse.Namespace) -> int:
    """Make the library that a file holds, where there is none or an empty one."""
    from hall_of_fame.archive import Archive
    from hall_of_fame.merging import restore as restore_

    archive = Archive(Path(options.file), _passphrase(options))
    return _tell_merged(options, restore_(archive, options.into), options.into)


def import_(options: argparse.Namespace) -> int:
    """Add what a file holds to a library that exists."""
    from hall_of_fame.archive import Archive
    from hall_of_fame.library import Library
    from hall_of_fame.merging import import_ as import_archive

    archive = Archive(Path(options.file), _passphrase(options))
    with Library.open(options.into) as library:
        merged = import_archive(archive, library.store)
    return _tell_merged(options, merged, options.into)


def merge(options: argparse.Namespace) -> int:
    """Unite libraries in another one, which is made if need be."""
    from contextlib import ExitStack

    from hall_of_fame.library import Library
    from hall_of_fame.merging import merge as merge_

    with ExitStack() as stack:
        sources = [stack.enter_context(Library.open(named)).store for named in options.sources]
        return _tell_merged(options, merge_(sources, options.into), options.into)


def audit(options: argparse.Namespace) -> int:
    """Print who wrote what into a library, and when; exit with 1 when a row was changed afterwards."""
    with options.opened(options) as library:
        trail = library.store.audit_trail(options.run)
    changed = [row for row in trail if not row.is_genuine]
    if options.json:
        _print_json([_audited(row) for row in trail])
    else:
        for row in trail:
            counts = ", ".join(f"{num} {table}" for table, num in row.counts.items() if num)
            of = [f"run {row.run_id}"] if row.run_id else []
            of += [f"generation {row.generation}"] if row.generation is not None else []
            told = "; ".join(part for part in (", ".join(of), counts, row.note) if part)
            print(f"{row.created}  {row.who}  {row.verb:<10} {told}")
    for row in changed:
        print(f"the row of {row.created} ({row.id[:12]}) is not as it was written", file=sys.stderr)
    return 1 if changed else 0


def upgrade(options: argparse.Namespace) -> int:
    """Bring a library that an earlier version has written up to date, as all do that may write."""
    from hall_of_fame.schema import HEAD

    with options.opened(options) as library:
        [*_, last] = library.store.audit_trail() or [None]
        name = library.store.name
    note = last.note if last is not None and last.verb == "upgrade" else ""
    if options.json:
        _print_json({"library": name, "schema": HEAD, "note": note})
    else:
        print(f"{name} has schema {HEAD}, the newest{f' (last change: {note})' if note else ''}")
    return 0


def add_library(verbs: Any, with_library: Callable[..., argparse.ArgumentParser], opened: Any) -> None:
    """Add the verb `library` to a parser of verbs.

    Args:
        verbs: of the command.
        with_library: adds a verb that reads the library which `--library` names.
        opened: gives that library, as a context.
    """
    own = verbs.add_parser(
        "library", help="back up, restore, merge, export, import and upgrade whole libraries"
    )
    own.set_defaults(opened=opened)
    below = own.add_subparsers(dest="library_verb", required=True, metavar="COMMAND")

    saving = with_library(below, "backup", backup, "everything in one packed file, while runs go on")
    saving.add_argument("file", metavar="FILE", help="such as library.jsonl.gz")
    _add_passphrase(saving, f"encrypt with the first line of this file (default: ${PASSPHRASE_VARIABLE})")

    exporting = with_library(below, "export", export, "everything, or a part, as plain JSON Lines")
    exporting.add_argument("file", metavar="FILE", help="such as library.jsonl")
    exporting.add_argument("--run", metavar="RUN", help="only what belongs to this run")
    exporting.add_argument("--top", type=_positive, metavar="K", help="only the K best blueprints")
    for parser in (saving, exporting):
        parser.add_argument("--force", action="store_true", help="replace the file if it exists")

    restoring = below.add_parser("restore", help="make the library that a file holds; all or nothing")
    importing = below.add_parser(
        "import", help="add what a file holds to a library; interrupted, run it again"
    )
    merging = below.add_parser("merge", help="unite libraries in another one; interrupted, run it again")
    for parser, command, text in (
        (restoring, restore, "a new file, or an empty database's URL"),
        (importing, import_, "a run, its library.db or a database URL"),
        (merging, merge, "a new or an existing library"),
    ):
        parser.add_argument("--into", required=True, metavar="LIBRARY", help=text)
        parser.set_defaults(command=command)
    for parser in (restoring, importing):
        parser.add_argument("file", metavar="FILE", help="what backup or export wrote")
        _add_passphrase(parser, f"open it with the first line of this file (default: ${PASSPHRASE_VARIABLE})")
    merging.add_argument("sources", nargs="+", metavar="LIBRARY", help="runs, library.db files or URLs")

    with_library(below, "upgrade", upgrade, "bring one of an earlier version up to date; all or nothing")
    auditing = with_library(below, "audit", audit, "who wrote what, and when")
    auditing.add_argument("--run", metavar="RUN", help="only what was written for this run")
    for name, parser in below.choices.items():
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(verb=f"library {name}")


def _add_passphrase(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--passphrase-file", metavar="FILE", help=text)


def _passphrase(options: argparse.Namespace) -> str | None:
    if options.passphrase_file is None:
        return os.environ.get(PASSPHRASE_VARIABLE)
    try:
        with open(options.passphrase_file, encoding="utf-8") as file:
            return file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise PassphraseError(
            f"cannot read the passphrase in {options.passphrase_file}: {reason}; expected a file with a "
            "line of text; check its path and permissions"
        ) from error


def _tell_written(options: argparse.Namespace, header: "Header", *, is_sealed: bool) -> int:
    from dataclasses import asdict

    size = Path(options.file).stat().st_size
    if options.json:
        _print_json({"file": options.file, "bytes": size, "is_encrypted": is_sealed, **asdict(header)})
    else:
        sealed = ", encrypted" if is_sealed else ""
        digest = header.sha256[:12]
        print(f"{options.file}: {_counted(header.counts)}; {size:,} bytes{sealed}, sha256 {digest}")
    return 0


def _tell_merged(options: argparse.Namespace, merged: "Merged", into: str) -> int:
    from dataclasses import asdict

    from hall_of_fame.audit import without_passwords

    for notice in merged.notices:
        print(f"tamiyo {options.verb}: {notice}", file=sys.stderr)
    if num := merged.added.get("expansions"):
        told = f"came with {num} expansions; their commits stay in expansions.git beside the first library"
        print(f"tamiyo {options.verb}: {told} (docs/expansion.md says how to bring them)", file=sys.stderr)
    into = without_passwords(into)
    if options.json:
        _print_json({"library": into, **asdict(merged)})
    else:
        print(f"{into}: added {_counted(merged.added)}; {sum(merged.known.values()):,} rows were there")
    return 0


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{num:,} {table}" for table, num in counts.items() if num) or "nothing"


def _audited(row: "AuditRecord") -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(row), "is_genuine": row.is_genuine}


def _print_json(value: Any) -> None:
    from hall_of_fame.database import dump_json

    print(dump_json(value, indent=2))


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} came, expected at least 1")
    return value
