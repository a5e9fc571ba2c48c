"""`tamiyo browse`: serves a library to browsers and programs until told to end; leaves answers to api/."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blueprints import TamiyoError

if TYPE_CHECKING:
    from tamiyo.api.settings import BrowseSettings


class BrowseError(TamiyoError):
    """A server that cannot start; the message says how to mend it."""


def browse(options: argparse.Namespace) -> int:
    """Serve a library until SIGINT or SIGTERM."""
    try:
        from tamiyo.api import app, server
        from tamiyo.jobs import names_of_tasks
    except ModuleNotFoundError as error:
        raise BrowseError(
            f"the package {error.name} is not installed; expected the extra 'api' of this package; "
            'install it with: pip install "tamiyo[api]"'
        ) from error
    settings = _settings(options)
    if settings.user_tasks is not None:
        names_of_tasks(str(settings.user_tasks))
    server.check_certificate(settings)
    server.set_up_logging(options.log)
    with server.listen(settings) as listening:
        application = app.create_app(settings)
        url = server.url_of(settings, listening)
        print(f"browse {settings.library} at {url} (Ctrl-C ends)", flush=True)
        if not application.state.context.library.store.ids(limit=1):
            print("it holds no blueprint yet; what a run writes there will appear", file=sys.stderr)
        if options.open:
            import webbrowser

            webbrowser.open(url)
        server.serve(application, settings, listening)
    return 0


def create_token(options: argparse.Namespace) -> int:
    """Write a token, and show its secret this once."""
    from tamiyo.api import tokens

    path = options.tokens or tokens.default_path()
    secret = tokens.create_token(path, options.name, options.role, options.days)
    print(
        f"token '{options.name}' ({options.role}, {options.days} days) in {path}; its secret:",
        file=sys.stderr,
    )
    print(secret)
    return 0


def revoke_token(options: argparse.Namespace) -> int:
    """Take a token away, and its sessions with it."""
    from tamiyo.api import tokens

    path = options.tokens or tokens.default_path()
    tokens.revoke_token(path, options.name)
    print(f"revoked '{options.name}' in {path}")
    return 0


def list_tokens(options: argparse.Namespace) -> int:
    """Print who may sign in, until when."""
    from tamiyo.api import tokens

    path = options.tokens or tokens.default_path()
    for token in tokens.read_tokens(path).tokens.values():
        print(f"{token.name:<32}  {token.role:<8}  until {token.expires}")
    return 0


def add_browse(verbs: Any, named: Callable[[argparse.Namespace], str]) -> None:
    """Add the verb `browse`; `named` returns the library that a command line asks for."""
    parser = verbs.add_parser("browse", help="look around in a library with a web browser, or over REST")
    parser.add_argument("--library", metavar="PATH_OR_URL", help="as of `list`")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument(
        "--port", type=int, default=8742, help="port to listen on (default 8742; 0: a free one)"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="trainings at a time (0: none)")
    parser.add_argument(
        "--user-tasks", type=Path, metavar="FILE", help="a Python file with tasks that jobs may name"
    )
    parser.add_argument("--open", action="store_true", help="open a browser there")
    parser.add_argument(
        "--tokens",
        type=Path,
        metavar="FILE",
        help="have everybody sign in with a token of this file (elsewhere than on this machine: always)",
    )
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        dest="names",
        metavar="HOST",
        help="a name by which the server is reached, beside its address; may be given again",
    )
    parser.add_argument("--certificate", type=Path, metavar="FILE", help="speak HTTPS with this chain (PEM)")
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="its private key, where it is in another file"
    )
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="a line of JSON a request (-: standard error)"
    )
    parser.add_argument(
        "--requests-per-minute", type=int, metavar="N", help="reads of one client (default 1200)"
    )
    parser.set_defaults(command=browse, named=named)
    _add_tokens(parser.add_subparsers(metavar="token"))


def _add_tokens(nouns: Any) -> None:
    actions = nouns.add_parser("token", help="who may sign in").add_subparsers(
        required=True, metavar="ACTION"
    )
    for name, command, text in (
        ("create", create_token, "write a token and show its secret, once"),
        ("revoke", revoke_token, "take a token away, and its sessions with it"),
        ("list", list_tokens, "who may sign in, until when"),
    ):
        parser = actions.add_parser(name, help=text)
        parser.add_argument(
            "--tokens",
            type=Path,
            default=argparse.SUPPRESS,  # else it would undo one that stands before `token`
            metavar="FILE",
            help="default: tamiyo/tokens.json in ~/.config",
        )
        if name != "list":
            parser.add_argument("name", metavar="NAME", help="lower-case letters, digits and dashes")
        if name == "create":
            parser.add_argument("--role", default="reader", help="reader (default) or operator")
            parser.add_argument(
                "--days", type=int, default=30, metavar="N", help="lasts so long (default 30)"
            )
        parser.set_defaults(command=command)


def _settings(options: argparse.Namespace) -> "BrowseSettings":
    from tamiyo.api.settings import BrowseSettings, Limits, is_loopback
    from tamiyo.api.tokens import default_path

    reads = options.requests_per_minute
    given = {
        "host": options.host,
        "port": options.port,
        "num_jobs": options.jobs,
        "user_tasks": options.user_tasks,
        "names": tuple(options.names),
        "certificate": options.certificate,
        "certificate_key": options.key,
        "limits": Limits() if reads is None else Limits(reads_per_minute=reads),
    }
    tokens = options.tokens
    if tokens is None and not is_loopback(options.host) and default_path().exists():
        tokens = default_path()
    return BrowseSettings(library=options.named(options), tokens=tokens, **given)
