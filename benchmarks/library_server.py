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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: The server refuses to run as root, which then borrows this account.
ACCOUNT = "postgres"
#: What the superuser inside the server is called.
USER = "tamiyo"
#: Where Debian puts the programs, a folder a version; it leaves them out of the PATH.
INSTALLED = Path("/usr/lib/postgresql")
#: Seconds that the server may take to come up on a busy machine.
START_S = 120.0

# The keeper outlives whoever started it just long enough to stop the server and sweep its folder, unless it
# is told to leave that.
_KEEPER = '"$@" & read -r word; kill -INT $!; wait $!; [ "$word" = leave ] || rm -rf "$FOLDER"'


@dataclass(frozen=True, slots=True)
class Setup:
    """How a server is made and run, beside where.

    Attributes:
        init: options of initdb.
        settings: `name=value` of the server.
        is_english: whether texts are put in the order of English, where the server can.
    """

    init: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    is_english: bool = False


#: With the settings that it comes with.
AS_IT_COMES = Setup()
#: Where only processes die, never the machine: what the system was handed is safe without a sync. Small
#: segments let a test meet the end of a small disk; the English order of texts shows what depends on it.
FOR_TESTS = Setup(
    init=("--locale=C", "--wal-segsize=1"),
    settings=("fsync=off", "shared_buffers=16MB", "max_connections=20"),
    is_english=True,
)


@dataclass(slots=True)
class Server:
    """A server, reached by a socket in its folder, so that no port can clash.

    Attributes:
        folder: holds the databases, the socket and the log.
        setup: how it is run.
    """

    folder: Path
    setup: Setup
    _keeper: subprocess.Popen[Any] | None = field(default=None, init=False)

    def url(self, name: str = "postgres") -> str:
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

        with psycopg.connect(self.url(), autocommit=True) as connection:
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

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        settings = [word for setting in self.setup.settings for word in ("-c", setting)]
        place = ["-D", self.folder / "data", "-k", self.folder, "-c", "listen_addresses="]
        command = [_programs() / "postgres", *place, *settings]
        with (self.folder / "log").open("ab") as log:
            self._keeper = subprocess.Popen(
                ["/bin/sh", "-c", _KEEPER, "keeper", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **_options(self.folder),
            )
        self.wait()

    def stop(self, *, leave: bool = True) -> None:
        """Stop the server, which cuts connections and writes its files; sweep the folder unless left."""
        assert self._keeper is not None, "a server that was started"
        self._keeper.communicate(b"leave\n" if leave else b"")
        self._keeper = None

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
    if _found() is None:
        return f"no PostgreSQL: no initdb in PATH or {INSTALLED} (Debian: apt-get install postgresql)"
    if os.geteuid() == 0 and ACCOUNT not in {account.pw_name for account in pwd.getpwall()}:
        return f"no PostgreSQL: it does not run as root, and there is no account '{ACCOUNT}' to run it as"
    return ""


@contextmanager
def started(setup: Setup = AS_IT_COMES, *, parent: str | Path | None = None) -> Iterator[Server]:
    """Give a server in a new folder in `parent`; it ends with the block, also when the process is killed."""
    folder = Path(tempfile.mkdtemp(prefix="tamiyo-", dir=parent))
    if identity := _identity():
        os.chown(folder, identity["user"], identity["group"])
    _initialise(folder, setup)
    server = Server(folder, setup)
    try:
        server.start()
        yield server
    finally:
        server.stop(leave=False)


def _found() -> Path | None:
    """Return the folder of initdb and postgres; of several the newest."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    return max((path.parent for path in INSTALLED.glob("*/bin/initdb")), key=_version, default=None)


def _programs() -> Path:
    found = _found()
    assert found is not None, "ask missing() before"
    return found


def _version(programs: Path) -> int:
    return int(re.sub(r"\D.*", "", programs.parent.name) or 0)


def _identity() -> dict[str, Any]:
    """Return who runs the server, as arguments of a new process."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam(ACCOUNT)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _options(folder: Path) -> dict[str, Any]:
    return {**_identity(), "cwd": folder, "env": {"FOLDER": str(folder), "PATH": os.defpath}}


def _initialise(folder: Path, setup: Setup) -> None:
    """Make the files of a server; sweep the folder where that fails."""
    initdb = _programs() / "initdb"
    place = ["-D", folder / "data", "--no-sync", "--auth=trust", "--encoding=UTF8", f"--username={USER}"]
    described = subprocess.run([initdb, "--help"], capture_output=True, text=True, check=True)
    can_sort = setup.is_english and "--icu-locale" in described.stdout
    english = ("--locale-provider=icu", "--icu-locale=en-US") if can_sort else ()
    command = [initdb, *place, *setup.init, *english]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **_options(folder))
    if done.returncode != 0:
        shutil.rmtree(folder)
        raise AssertionError(f"initdb ends with {done.returncode}: {done.stdout}{done.stderr}")
