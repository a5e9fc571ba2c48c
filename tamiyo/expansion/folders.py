"""Puts an architecture's files where the user wants them, all at once; overwrites nothing that differs."""

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tamiyo.expansion.records import ExpansionError

#: The file of a folder by which it is known again.
KNOWN_BY = "provenance.json"


class FolderError(ExpansionError):
    """A folder that cannot be written, or holds something else."""


def check_free(out: Path, *, is_empty: bool = False) -> None:
    """Refuse a path where no expansion could be put, before any work is done for it.

    Args:
        out: the path.
        is_empty: refuse a folder that holds an expansion too, as what a model makes is seldom the same again.

    Raises:
        FolderError: it is a file, a folder that holds something and no expansion, or cannot be written.
    """
    try:
        _check_occupied(out, is_empty=is_empty)
        place = Path(os.path.realpath(out))
        above = next(path for path in place.parents if path.exists())
    except OSError as error:
        raise _unwritable(out, str(error.strerror)) from error
    if not above.is_dir():
        raise _unwritable(out, f"{above} is a file")
    if not os.access(above, os.W_OK | os.X_OK):
        raise _unwritable(out, f"{above} may not be written to")
    if os.path.ismount(place):
        raise _unwritable(out, "a disk is mounted there, so name a folder below it")


def write_folder(files: Mapping[str, bytes], out: Path) -> bool:
    """Write the files into a new or empty folder, all or none, and return True.

    A folder that holds all of them unchanged stays as it is, with whatever else was put there, and False is
    returned. A process that is killed may leave `.NAME.*.part` beside the folder; the next one takes it away.

    Raises:
        FolderError: the folder holds something else, cannot be written, or another process writes it.
    """
    place = Path(os.path.realpath(out))
    try:
        _check_occupied(out)
        if out.is_dir() and any(out.iterdir()):
            if all(_content(out / path) == content for path, content in files.items()):
                return False
            raise _occupied(out)
        place.parent.mkdir(parents=True, exist_ok=True)
        with _part(place) as part:
            for path, content in files.items():
                _write(part / path, content)
            part.chmod(0o755)
            part.replace(place)
            _sync(place.parent)
    except OSError as error:
        raise _unwritable(out, str(error.strerror)) from error
    return True


def _check_occupied(out: Path, *, is_empty: bool = False) -> None:
    if out.exists() and not out.is_dir():
        raise FolderError(f"{out} is a file; expected a new folder; give another --out")
    if out.is_dir() and any(out.iterdir()) and (is_empty or not (out / KNOWN_BY).is_file()):
        raise _occupied(out, is_empty=is_empty)


@contextmanager
def _part(out: Path) -> Iterator[Path]:
    """Give an empty folder beside `out`, which goes if it is not moved; take away those of the killed."""
    for left in out.parent.glob(f".{glob.escape(out.name)}.*.part"):
        with _held(left) as is_free:
            if is_free:
                shutil.rmtree(left, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
    try:
        with _held(part):
            yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Hold a folder's lock, which ends with this process; say whether nobody else does."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_free = True
        except BlockingIOError:
            is_free = False
        yield is_free
    finally:
        os.close(opened)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _occupied(out: Path, *, is_empty: bool = False) -> FolderError:
    if is_empty:
        return FolderError(
            f"{out} is not empty; expected a new or empty folder for what a model makes; give another --out"
        )
    return FolderError(
        f"{out} holds something else; expected a new or empty folder, or the same expansion; "
        "give another --out"
    )


def _unwritable(out: Path, cause: str) -> FolderError:
    return FolderError(
        f"cannot write {out}: {cause}; expected a folder with space that can be written "
        "and that nobody else writes; nothing was left there"
    )
