"""A PostgreSQL server in a temporary folder for the time of a benchmark; keeps the settings it comes with."""

import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Whom the server runs as where the benchmark is root, for root is refused.
ACCOUNT = "postgres"
#: Where the programs may be beside PATH.
FOLDERS = ("/usr/local/bin",)
#: Seconds that the server may take to come up.
START_S = 120


def missing() -> str:
    """Return why no server can be started here; empty when one can."""
    if importlib.util.find_spec("psycopg") is None:
        return "its driver is not installed (the extra 'postgres' of this package)"
    for name in ("initdb", "pg_ctl", "postgres"):
        if _program(name) is None:
            return f"neither PATH nor {', '.join(FOLDERS)} holds {name}"
    if os.geteuid() == 0 and ACCOUNT not in {account.pw_name for account in pwd.getpwall()}:
        return f"it does not run as root, and there is no user '{ACCOUNT}' to run it as"
    return ""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens on a socket in its own folder alone.

    Attributes:
        folder: where its data, log and socket are; there when the server starts, owned by who runs it.
    """

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> "Server":
        """Make a cluster of databases in `folder`, which must not exist, and start the server on it."""
        folder.mkdir(parents=True)
        if os.geteuid() == 0:
            shutil.chown(folder, ACCOUNT, ACCOUNT)
        server = cls(folder)
        server._run(
            "initdb", "-D", server.data, "-U", ACCOUNT, "--no-sync", "--auth=trust", "--encoding=UTF8"
        )
        server.start()
        return server

    @property
    def data(self) -> Path:
        """The folder of the databases' files."""
        return self.folder / "data"

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql://{ACCOUNT}@/{database}?host={self.folder}"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = f"-c listen_addresses= -k {self.folder}"
        self._run(
            "pg_ctl", "start", "-w", "-t", START_S, "-D", self.data, "-l", self.folder / "log", "-o", options
        )

    def stop(self) -> None:
        """Stop the server once its files are written; every connection is cut."""
        self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", self.data)

    def _run(self, name: str, *arguments: Any) -> None:
        identity = {"user": ACCOUNT, "group": ACCOUNT, "extra_groups": []} if os.geteuid() == 0 else {}
        # The server that pg_ctl leaves behind would hold a pipe open: its words go to a file.
        with (self.folder / "words").open("w+b") as words:
            command: Sequence[str] = [str(_program(name)), *map(str, arguments)]
            done = subprocess.run(
                command, cwd=self.folder, stdout=words, stderr=words, check=False, **identity
            )
            words.seek(0)
            assert done.returncode == 0, f"{name} ended with {done.returncode}: {words.read().decode()}"


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(FOLDERS))
