"""Keeps generated code in a git repository of its own, by the git program; what is kept is decided elsewhere.

Each expansion is one commit without parents, of its files alone, under one tag. So its hash follows from the
files, the date and the message that are given, whoever commits, where, and in which order; and two processes
that expand at once have no branch to fight over. Nothing of the user's git counts: no configuration, no
hooks, no identity. `git -C expansions.git tag`, `show`, `diff` and `archive` work as on any repository.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from tamiyo.expansion.records import ExpansionError

#: Name of the repository in a library's folder, and of the file whose lock its writers hold.
REPOSITORY, LOCK = "expansions.git", "expansions.lock"
#: Seconds that one call of the git program may take.
TIMEOUT_S = 60.0
#: Hexadecimal digits by which a tag tells blueprints and trees.
SHORT_ID = 12

_IDENTITY = {"NAME": "Tamiyo", "EMAIL": "tamiyo@localhost"}
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsync=all",
    "gc.auto=0",
    "safe.directory=*",
    "core.compression=1",
    "fastimport.unpackLimit=1000",
)
#: Longest part of a tag; file systems allow 255 bytes.
_MOST_CHARACTERS = 120


class RepositoryError(ExpansionError):
    """The repository of generated code, or the git program, does not do what it should."""


def has_git() -> bool:
    """Say whether there is a git program."""
    return shutil.which("git") is not None


def tag_of(run_id: str, blueprint_id: str, target: str, tree_hash: str) -> str:
    """Return the tag of an expansion: run, blueprint, and target with the beginning of the tree's hash.

    Any name of a run makes a legal tag: what is no letter, digit, `_` or `-` is written as `%XX`, and a long
    one ends in a hash of the whole.
    """
    run = quote(run_id, safe="").replace(".", "%2E").replace("~", "%7E")
    run = f"%2D{run[1:]}" if run.startswith("-") else run or "%"
    if len(run) > _MOST_CHARACTERS:
        run = f"{run[:_MOST_CHARACTERS]}%{hashlib.sha256(run_id.encode()).hexdigest()[:SHORT_ID]}"
    return f"{run}/{blueprint_id[:SHORT_ID]}/{target}-{tree_hash[:SHORT_ID]}"


def tree_hash(files: Mapping[str, bytes]) -> str:
    """Return the hash that git gives a folder of these files, path to content, with no git at hand."""
    below: dict[str, dict[str, bytes]] = {}
    entries: list[tuple[str, bytes]] = []
    for path, content in files.items():
        name, _, rest = path.partition("/")
        if rest:
            below.setdefault(name, {})[rest] = content
        else:
            entries.append((name, b"100644 " + name.encode() + b"\0" + _digest("blob", content)))
    for name, inner in below.items():
        digest = bytes.fromhex(tree_hash(inner))
        entries.append((f"{name}/", b"40000 " + name.encode() + b"\0" + digest))
    return _digest("tree", b"".join(entry for _, entry in sorted(entries))).hex()


def file_hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of each file by its path."""
    return {path: hashlib.sha256(content).hexdigest() for path, content in sorted(files.items())}


class Repository:
    """The generated code of one library's folder.

    Attributes:
        path: the repository, bare; it is made when something is first kept.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / REPOSITORY
        self._lock = folder / LOCK

    def keep(self, files: Mapping[str, bytes], *, tag: str, message: str, created: str) -> str:
        """Commit the files under a tag and return the commit's hash; what is kept already stays as it is.

        Args:
            files: path to content.
            tag: as `tag_of` makes it.
            message: of the commit.
            created: ISO 8601 time, which becomes the date of author and committer.

        Raises:
            RepositoryError: no git program, a folder that cannot be written, or a tag of other files.
        """
        expected = tree_hash(files)
        with self._locked() as lock:
            self._make()
            reference = self.path.joinpath("refs", "tags", f"{tag}.lock")
            reference.unlink(missing_ok=True)  # of a git that was killed: ours are run under our lock
            commit = self.commit_of(tag)
            if commit is None:
                self._run(["fast-import", "--quiet"], _stream(files, tag, message, created), lock)
                commit = self.commit_of(tag)
            found = None if commit is None else self.tree(commit)
        if commit is None or found != expected:
            raise RepositoryError(
                f"tag {tag} of {self.path} is of tree {found}; expected {expected}; somebody moved the tag: "
                f"delete it with `git -C {self.path} tag -d {tag}`"
            )
        return commit

    def commit_of(self, tag: str) -> str | None:
        """Return the commit of a tag, or None where there is no such tag."""
        if not self.path.is_dir():
            return None
        found = self._run(["for-each-ref", "--format=%(objectname)", f"refs/tags/{tag}"])
        return found.decode().strip() or None

    def has(self, commit: str) -> bool:
        """Say whether a commit is there."""
        if not self.path.is_dir() or not re.fullmatch(r"[0-9a-f]{40}", commit):
            return False
        return self._run(["cat-file", "--batch-check"], f"{commit}\n".encode()).split()[1:2] == [b"commit"]

    def tree(self, commit: str) -> str:
        """Return the hash of a commit's tree."""
        return self._run(["rev-parse", "--verify", f"{commit}^{{tree}}"]).decode().strip()

    def files(self, commit: str) -> dict[str, bytes]:
        """Return the files of a commit, path to content.

        Raises:
            RepositoryError: there is no such commit, or its objects are damaged.
        """
        if not self.has(commit):
            here = f"git -C {self.path} fetch OTHER/{REPOSITORY} 'refs/tags/*:refs/tags/*'"
            made = "" if self.path.is_dir() else f"git init --bare {self.path} && "
            raise RepositoryError(
                f"{self.path} holds no commit {commit[:SHORT_ID]}; expected it as the repository has it in "
                f"which it was made; fetch it: `{made}{here}`, OTHER being that one's absolute path"
            )
        listed = self._run(["ls-tree", "-r", "-z", "--full-tree", commit]).split(b"\0")
        rows = [row.partition(b"\t") for row in listed if row]
        asked = b"".join(head.split()[2] + b"\n" for head, _, _ in rows)
        contents = _batch(self._run(["cat-file", "--batch"], asked), len(rows))
        return {path.decode(): content for (_, _, path), content in zip(rows, contents, strict=True)}

    def _make(self) -> None:
        """Make the repository, whole or not at all."""
        if self.path.is_dir():
            return
        part = self.path.with_name(f"{REPOSITORY}.part")
        shutil.rmtree(part, ignore_errors=True)
        self._run(
            ["init", "--bare", "--quiet", "--template=", "--object-format=sha1", str(part)], is_made=False
        )
        part.replace(self.path)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Hold the lock of writers; give its file, which a git that outlives this process keeps locked."""
        try:
            self._lock.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RepositoryError(
                f"cannot write {self._lock}: {error.strerror}; expected a folder for generated code; "
                "check its permissions, or name another with --code DIR"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    def _run(
        self, arguments: Sequence[str], text: bytes = b"", lock: int | None = None, *, is_made: bool = True
    ) -> bytes:
        """Return what git printed, having read `text`; `is_made` tells whether there is a repository yet."""
        where = [f"--git-dir={self.path}"] if is_made else []
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        try:
            done = subprocess.run(
                ["git", *where, *settings, *arguments],
                input=text,
                capture_output=True,
                env=_environment(),
                timeout=TIMEOUT_S,
                pass_fds=() if lock is None else (lock,),
            )
        except FileNotFoundError as error:
            raise RepositoryError(
                "no git program; expected one to keep generated code with; install git"
            ) from error
        except (OSError, subprocess.SubprocessError) as error:
            raise RepositoryError(f"git {arguments[0]} in {self.path}: {error}") from error
        if done.returncode:
            said = " ".join(done.stderr.decode(errors="replace").split())[:300]
            raise RepositoryError(
                f"git {arguments[0]} in {self.path} ended with {done.returncode}: {said}; expected a "
                "repository that can be read and written; check its space and permissions"
            )
        return done.stdout


def _environment() -> dict[str, str]:
    """Return this process's environment without anything of the user's git, and with an identity of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    own = {"CONFIG_GLOBAL": os.devnull, "CONFIG_SYSTEM": os.devnull, "CONFIG_NOSYSTEM": "1"}
    own |= {"TERMINAL_PROMPT": "0", "ASKPASS": "true", "OPTIONAL_LOCKS": "0"}
    own |= {f"{who}_{name}": value for who in ("AUTHOR", "COMMITTER") for name, value in _IDENTITY.items()}
    return {**kept, **{f"GIT_{name}": value for name, value in own.items()}, "LC_ALL": "C"}


def _stream(files: Mapping[str, bytes], tag: str, message: str, created: str) -> bytes:
    """Return what `git fast-import` reads; without its last line, `done`, nothing is imported."""
    moment = datetime.fromisoformat(created)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    who = f"{_IDENTITY['NAME']} <{_IDENTITY['EMAIL']}> {max(0, int(moment.timestamp()))} +0000"
    lines = [b"feature done\n", f"commit refs/tags/{tag}\n".encode()]
    lines += [f"{role} {who}\n".encode() for role in ("author", "committer")]
    lines.append(_data(message.encode()))
    for path, content in sorted(files.items()):
        lines += [f"M 100644 inline {path}\n".encode(), _data(content)]
    return b"".join([*lines, b"done\n"])


def _data(content: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(content), content)


def _batch(printed: bytes, num: int) -> list[bytes]:
    """Return the contents that `git cat-file --batch` printed."""
    contents, start = [], 0
    for _ in range(num):
        end = printed.index(b"\n", start)
        size = int(printed[start:end].split()[2])
        contents.append(printed[end + 1 : end + 1 + size])
        start = end + 1 + size + 1
    return contents


def _digest(kind: str, content: bytes) -> bytes:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content, usedforsecurity=False).digest()
