"""Starts a PostgreSQL server of its own in a temporary folder, or says why it cannot; knows no ledger."""

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The server refuses to run as root, which then borrows this account.
ACCOUNT = "postgres"
#: What the superuser inside the server is called.
USER = "tamiyo"
#: Seconds that the server may take to come up on a busy machine.
START_S = 120.0

# Only processes die in these tests, never the machine: what the system was handed is safe without a sync.
# Small segments let a test meet the end of a small disk; the English order of texts shows what depends on it.
_INIT = (
    "--no-sync",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--wal-segsize=1",
    f"--username={USER}",
)
_SETTINGS = ("fsync=off", "listen_addresses=", "shared_buffers=16MB", "max_connections=20")
# The keeper outlives whoever started it just long enough to stop the server and sweep its folder.
_KEEPER = '"$@" & read -r _; kill -INT $!; wait $!; rm -rf "$FOLDER"'


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, reached by a socket in its folder, so that no port can clash.

    Attributes:
        folder: holds the socket and the log.
    """

    folder: Path

    def url(self, name: str) -> str:
        """Return the URL of the database of this name."""
        return f"postgresql://{USER}@/{name}?host={self.folder}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the URL of a new database; drop it afterwards, whoever is still connected."""
        name = f"library_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.wait()
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement outside a transaction; return the rows that it gives."""
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return [] if cursor.description is None else cursor.fetchall()

    def processes_of(self, url: str) -> list[int]:
        """Return the ids of the processes that serve the database of this URL."""
        name = url.partition("@/")[2].partition("?")[0]
        return [pid for (pid,) in self.execute(f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}'")]

    def limit_files(self, process: int, num_bytes: int | None) -> None:
        """Let no file grow beyond a size under a process of the server; None takes the limit away."""
        soft = "unlimited" if num_bytes is None else num_bytes
        subprocess.run(["prlimit", f"--pid={process}", f"--fsize={soft}:"], check=True, **_identity())

    def wait(self) -> None:
        """Return when the server answers, at first or after a crash."""
        import psycopg

        until = time.monotonic() + START_S
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError as error:
                if time.monotonic() > until:
                    log = (self.folder / "log").read_text()
                    raise AssertionError(f"no answer in {START_S:.0f} s: {log}") from error
                time.sleep(0.05)
            else:
                return


def missing() -> str:
    """Return why no server can be started here; nothing where one can."""
    if importlib.util.find_spec("psycopg") is None:
        return "no PostgreSQL: its driver is not installed (the extra 'postgres')"
    if _folder_of_programs() is None:
        return "no PostgreSQL: no initdb in PATH or /usr/lib/postgresql (Debian: apt-get install postgresql)"
    if os.geteuid() == 0 and ACCOUNT not in {account.pw_name for account in pwd.getpwall()}:
        return f"no PostgreSQL: it does not run as root, and there is no account '{ACCOUNT}' to run it as"
    return ""


@contextmanager
def started() -> Iterator[Server]:
    """Give a server; it ends with the block, and also when the whole process is killed."""
    programs = _folder_of_programs()
    assert programs is not None, "ask missing() before"
    folder = Path(tempfile.mkdtemp(prefix="tamiyo-"))
    identity = _identity()
    if identity:
        os.chown(folder, identity["user"], identity["group"])
    options = {**identity, "cwd": folder, "env": {"FOLDER": str(folder), "PATH": os.defpath}}
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    command = [programs / "postgres", "-D", folder / "data", "-k", folder, *settings]
    _initialise(programs, folder, options)
    with (folder / "log").open("wb") as log:
        keeper = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "keeper", *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **options,
        )
    assert keeper.stdin is not None
    try:
        server = Server(folder)
        server.wait()
        yield server
    finally:
        keeper.stdin.close()
        keeper.wait()


def _folder_of_programs() -> Path | None:
    """Return the folder of initdb and postgres; Debian leaves it out of the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in installed), key=_version, default=None)


def _version(programs: Path) -> int:
    return int(re.sub(r"\D.*", "", programs.parent.name) or 0)


def _identity() -> dict[str, Any]:
    """Return who runs the server, as arguments of a new process."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam(ACCOUNT)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _initialise(programs: Path, folder: Path, options: dict[str, Any]) -> None:
    """Make the files of a server; sweep the folder where that fails."""
    described = subprocess.run([programs / "initdb", "--help"], capture_output=True, text=True, check=True)
    english = ("--locale-provider=icu", "--icu-locale=en-US") if "--icu-locale" in described.stdout else ()
    command = [programs / "initdb", "-D", folder / "data", *_INIT, *english]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        shutil.rmtree(folder)
        raise AssertionError(f"initdb ends with {done.returncode}: {done.stdout}{done.stderr}")
