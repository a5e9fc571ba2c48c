"""`tamiyo expand`, `expansions` and `reproduce`: what they take and do; cli_expansions.py prints it."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from blueprints import TamiyoError

if TYPE_CHECKING:
    from hall_of_fame.library import Library
    from tamiyo.expansion.expanding import Asked
    from tamiyo.expansion.journal import Journal
    from tamiyo.expansion.records import Designer
    from tamiyo.expansion.subjects import Subject
    from tamiyo.providers.contract import Provider

#: What `--target`, `--provider` and `--sandbox` take, as their modules do, which a `--help` does not import.
TARGETS = ("char_lm", "sequence_classifier", "tabular")
PROVIDERS = ("template", "openai", "anthropic", "local", "recorded")
SANDBOXES = ("auto", "bubblewrap", "container", "rlimits")
#: Where folders go when no other is named.
OUT = Path("expanded")
#: What has an effect on a language model alone, by option: its default.
MODEL_OPTIONS: dict[str, Any] = {
    "model": None,
    "base_url": None,
    "prices": None,
    "budget_usd": None,
    "budget_tokens": None,
    "attempts": 3,
    "knowledge": None,
    "passages": 6,
    "seed": 0,
    "temperature": 0.0,
    "answer_tokens": 4096,
    "timeout": 120.0,
}
_SHORT_ID = 12


class ExpandCommandError(TamiyoError):
    """Options that do not go together, or lack one; the message says how to mend it."""


def expand(options: argparse.Namespace) -> int:
    """Expand a blueprint into a folder that runs on its own, and say what became of it."""
    from hall_of_fame.expansions import ExpansionBook
    from tamiyo import cli_expansions
    from tamiyo.expansion.expanding import expand as expand_
    from tamiyo.expansion.folders import check_free
    from tamiyo.sandbox.choosing import open_sandbox

    _check_model_options(options)
    is_file = _is_file(options.id)
    if is_file:
        _check_library_options(options)
    with ExitStack() as stack:
        library = None if is_file else stack.enter_context(options.opened(options))
        folder = None if library is None else code_folder(options.code, library)
        subject, asked = _asked(options, library)
        out = Path(options.out or OUT / f"{subject.blueprint.id[:_SHORT_ID]}-{asked.target}")
        check_free(out, is_empty=options.provider != "template")
        sandbox = open_sandbox(options.sandbox)
        stack.callback(sandbox.close)
        with cli_expansions.told() as tell, _designer(options, subject, asked, folder) as (designer, journal):
            expanded = expand_(
                subject,
                asked,
                designer,
                sandbox,
                out,
                journal=journal,
                book=None if library is None else ExpansionBook(library.store),
                folder=folder,
                tell=tell,
            )
    cli_expansions.print_expanded(expanded, out, as_json=options.json)
    return 0


def expansions(options: argparse.Namespace) -> int:
    """Print the expansions on record, or everything about one."""
    from hall_of_fame.expansions import ExpansionBook
    from tamiyo import cli_expansions

    with options.opened(options) as library:
        book = ExpansionBook(library.store)
        if options.expansion is not None:
            record = book.get(options.expansion)
            cli_expansions.print_one(record, book.calls(record.id), as_json=options.json)
        else:
            id_ = None if options.blueprint is None else library.id_of(options.blueprint)
            found = book.expansions(id_, limit=options.top)
            costs = book.costs([record.id for record in found])
            cli_expansions.print_all(found, costs, as_json=options.json)
    return 0


def reproduce(options: argparse.Namespace) -> int:
    """Make an expansion on record again; exit with 1 when its figures are not the same."""
    from hall_of_fame.expansions import ExpansionBook
    from tamiyo import cli_expansions
    from tamiyo.expansion.folders import FolderError, check_free, write_folder
    from tamiyo.expansion.provenance import Repository
    from tamiyo.expansion.reproducing import reproduce as reproduce_
    from tamiyo.sandbox.choosing import open_sandbox

    out = None if options.out is None else Path(options.out)
    if out is not None:
        check_free(out)
    with ExitStack() as stack:
        library = stack.enter_context(options.opened(options))
        record = ExpansionBook(library.store).get(options.expansion)
        folder = code_folder(options.code, library, is_needed=False)
        sandbox = open_sandbox(options.sandbox)
        stack.callback(sandbox.close)
        repository = None if folder is None else Repository(folder)
        found = reproduce_(record, library.store, sandbox, repository)
    if out is not None:
        try:
            write_folder(found.files, out)
        except FolderError:
            cli_expansions.print_reproduced(found, None, as_json=options.json)
            raise
    cli_expansions.print_reproduced(found, options.out, as_json=options.json)
    return 0 if found.is_reproduced else 1


def code_folder(given: str | None, library: "Library", *, is_needed: bool = True) -> Path | None:
    """Return the folder of the repository of generated code: the one given, or a library's own.

    Raises:
        ExpandCommandError: it is needed, none is given, and the library is on a server.
    """
    if given is not None:
        return Path(given)
    if library.store.engine.dialect.name == "sqlite":
        return Path(library.store.name).resolve().parent
    if not is_needed:
        return None
    raise ExpandCommandError(
        f"{library.store.name} is on a server, which keeps no files; expected a folder for generated code; "
        "name one with --code DIR"
    )


def _check_model_options(options: argparse.Namespace) -> None:
    """Refuse options that would have no effect, and set those that were not given."""
    given = [name for name in MODEL_OPTIONS if getattr(options, name) is not None]
    if options.provider == "template" and given:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ExpandCommandError(
            f"{named} came with the template, which asks no model; expected a provider that does; add "
            "--provider openai, anthropic or local, or leave it out"
        )
    for name, default in MODEL_OPTIONS.items():
        if getattr(options, name) is None:
            setattr(options, name, default)


def _check_library_options(options: argparse.Namespace) -> None:
    """Refuse what has no effect on a program of no library."""
    given = [name for name in ("library", "code") if getattr(options, name) is not None]
    if given:
        named = " and ".join(f"--{name}" for name in given)
        raise ExpandCommandError(
            f"{named} came with the file {options.id}, whose program is of no library and goes on no record; "
            f"expected the id of a blueprint with it; leave {named} out, or give an id"
        )


def _is_file(text: str | None) -> bool:
    try:
        return text is not None and Path(text).is_file()
    except OSError:  # a program is longer than a file's name may be
        return False


def _asked(options: argparse.Namespace, library: "Library | None") -> "tuple[Subject, Asked]":
    """Return what is expanded, and how."""
    from tamiyo.expansion.expanding import Asked
    from tamiyo.expansion.subjects import best_subject, subject_in_file, subject_of, target_for
    from tamiyo.providers.addresses import read_address

    if library is None:
        subject = subject_in_file(Path(options.id))
    elif options.id is None:
        subject = best_subject(library, options.target)
    else:
        subject = subject_of(library, options.id)
    target = options.target or target_for(subject.blueprint)
    settings: dict[str, Any] = {}
    if options.provider != "template":
        settings = {
            name: getattr(options, name)
            for name in ("seed", "temperature", "answer_tokens", "timeout", "budget_usd", "budget_tokens")
        }
        settings["server"] = urlsplit(read_address(options.base_url).url).netloc if options.base_url else ""
    asked = Asked(
        target=target,
        max_parameters=options.max_parameters,
        attempts=options.attempts,
        knowledge=_knowledge(options, subject, target, library),
        settings=settings,
    )
    return subject, asked


def _knowledge(
    options: argparse.Namespace, subject: "Subject", target: Any, library: "Library | None"
) -> tuple[str, ...]:
    """Return the passages that a model is told; the template is told none."""
    if options.provider == "template" or options.passages == 0:
        return ()
    from tamiyo.expansion.knowledge import neighbour_passages, notes
    from tamiyo.expansion.retrieval import retrieve

    return retrieve(
        subject.blueprint.tokens,
        target,
        notes=notes(Path(options.knowledge)) if options.knowledge else (),
        entries=() if library is None else neighbour_passages(library.store, subject.blueprint.id),
        num=options.passages,
    )


@contextmanager
def _designer(
    options: argparse.Namespace, subject: "Subject", asked: "Asked", folder: Path | None
) -> "Iterator[tuple[Designer, Journal]]":
    """Give who designs, and the journal of the calls that it makes."""
    from tamiyo.expansion.expanding import journal_path
    from tamiyo.expansion.journal import Journal
    from tamiyo.expansion.template import TemplateDesigner

    if options.provider == "template":
        yield TemplateDesigner(), Journal(None)
        return
    from tamiyo.expansion.dialogue import LanguageModelDesigner
    from tamiyo.expansion.journal import ResumedProvider
    from tamiyo.providers.budget import Budget

    budget = Budget(usd=options.budget_usd, tokens=options.budget_tokens)
    journals: list[Journal] = []
    provider = _provider(options, budget, lambda call: journals[0].record(call))
    with Journal(journal_path(folder, subject, asked, provider.name)) as journal:
        journals.append(journal)
        journal.charge(budget)
        if journal.earlier:
            print(f"tamiyo expand: going on with {len(journal.earlier)} calls of before", file=sys.stderr)
        designer = LanguageModelDesigner(
            ResumedProvider(provider, journal),
            max_tokens=options.answer_tokens,
            temperature=options.temperature,
            seed=options.seed,
            timeout_s=options.timeout,
        )
        yield designer, journal


def _provider(options: argparse.Namespace, budget: Any, record: Callable[..., None]) -> "Provider":
    from tamiyo.providers.choosing import open_provider

    return open_provider(
        options.provider,
        model=options.model,
        record=record,
        base_url=options.base_url,
        budget=budget,
        prices=None if options.prices is None else Path(options.prices),
        seed=options.seed,
    )


def add_expand(verbs: Any, with_library: Callable[..., argparse.ArgumentParser], opened: Any) -> None:
    """Add the verbs `expand`, `expansions` and `reproduce` to a parser of verbs.

    Args:
        verbs: of the command.
        with_library: adds a verb that reads the library which `--library` names.
        opened: gives that library, as a context.
    """
    making = with_library(
        verbs, "expand", expand, "make a blueprint into an architecture that runs on its own"
    )
    making.add_argument(
        "id",
        nargs="?",
        metavar="ID",
        help="its id or the beginning of it, or a file of tokens (default: the library's best)",
    )
    making.add_argument(
        "--target", choices=TARGETS, help="what it is for (default: char_lm if the blueprint is causal)"
    )
    making.add_argument("--out", metavar="DIR", help=f"the folder to write (default: {OUT}/ID-TARGET)")
    making.add_argument(
        "--max-parameters",
        type=_positive,
        default=5_000_000,
        metavar="N",
        help="most parameters of the whole (default 5,000,000)",
    )
    making.add_argument(
        "--provider",
        choices=PROVIDERS,
        default="template",
        help="who writes what is around the block: the embedded template (default), or a model of this one",
    )
    _add_model_options(making.add_argument_group("of a language model"))
    remaking = with_library(verbs, "reproduce", reproduce, "make an expansion again and compare its figures")
    remaking.add_argument("expansion", metavar="EXPANSION", help="its id or the beginning of it")
    remaking.add_argument("--out", metavar="DIR", help="write its folder there too")
    for parser in (making, remaking):
        parser.add_argument(
            "--sandbox",
            choices=SANDBOXES,
            default="auto",
            help="where its code runs (default: the strongest)",
        )
        parser.add_argument(
            "--code",
            metavar="DIR",
            help="folder of the git repository of generated code (default: the library's)",
        )
    listing = with_library(
        verbs, "expansions", expansions, "what was expanded, by whom, and how it was checked"
    )
    listing.add_argument("expansion", nargs="?", metavar="EXPANSION", help="everything about this one")
    listing.add_argument("--blueprint", metavar="ID", help="only those of this blueprint")
    listing.add_argument(
        "--top", type=_positive, default=32, metavar="K", help="so many of the newest (default 32)"
    )
    for parser in (making, listing, remaking):
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(opened=opened)


def _add_model_options(group: Any) -> None:
    """Add what has an effect on a language model alone; not given is None, so that it can be told."""
    group.add_argument("--model", help="its name, or the folder of a local one")
    group.add_argument(
        "--base-url", metavar="URL", help="of a server of your own, such as http://localhost:8000/v1"
    )
    group.add_argument(
        "--attempts", type=_positive, metavar="N", help="at the plan and at each unit (default 3)"
    )
    group.add_argument(
        "--budget-usd", type=float, metavar="USD", help="stop asking before this would be passed"
    )
    group.add_argument("--budget-tokens", type=_positive, metavar="N", help="the same, in tokens")
    group.add_argument("--prices", metavar="FILE", help="prices of your own, for models that have none here")
    group.add_argument("--knowledge", metavar="DIR", help="Markdown of your own, searched beside the cards")
    group.add_argument(
        "--passages",
        type=_whole,
        metavar="N",
        help="so many of cards and notes in each prompt, before the nearest of the library; 0 for none of "
        "either (default 6)",
    )
    group.add_argument("--seed", type=int, help="for providers that sample by one (default 0)")
    group.add_argument("--temperature", type=float, help="0 for the likeliest answers (default 0)")
    group.add_argument(
        "--answer-tokens", type=_positive, metavar="N", help="most of one answer (default 4096)"
    )
    group.add_argument(
        "--timeout", type=float, metavar="S", help="seconds until an answer must be whole (default 120)"
    )


def _positive(text: str) -> int:
    return _at_least(1, text)


def _whole(text: str) -> int:
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} came, expected a whole number") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"{value} came, expected at least {least}")
    return value
