"""A disk without space, for a file and for a server: one clear line, and nothing recorded is lost."""

import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import ledgers
import pytest
import writers

from benchmarks.library_server import Server
from hall_of_fame.errors import StoreError
from hall_of_fame.store import Store

ROOT = Path(__file__).resolve().parents[2]
#: What the messages of all these errors end with.
MEND = "; expected space on the disk; free some; what was recorded before is still there"
#: Runs a command in a folder that is a disk of its own, seen by no other process and gone with the command.
OWN_DISK = 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"'


def on_small_disk(folder: Path, *command: object) -> subprocess.CompletedProcess[str]:
    """Run a command for which `folder` lies on a disk of 1 MB."""
    inside = ["unshare", "--mount", "--map-root-user", "sh", "-c", OWN_DISK, folder, *command]
    return subprocess.run(inside, capture_output=True, text=True, check=False)


def test_a_file_on_a_full_disk_keeps_what_was_recorded_and_goes_on(tmp_path: Path) -> None:
    try:
        problem = on_small_disk(tmp_path, "true").stderr
    except FileNotFoundError:
        problem = "there is no unshare"
    if problem:
        pytest.skip(f"no disk of one's own may be mounted here ({' '.join(problem.split())})")
    done = on_small_disk(tmp_path, "env", f"PYTHONPATH={ROOT}", sys.executable, __file__, tmp_path)
    assert done.returncode == 0, done.stderr
    library, new = tmp_path / "library.db", tmp_path / "new.db"
    assert done.stdout.splitlines() == [
        f"cannot write generation 1 to {library}: database or disk is full{MEND}",
        f"cannot open {new}: database or disk is full{MEND}",
        "1 on record on the full disk, 2 with space again",
    ]


def _meet_a_full_disk(folder: Path) -> None:
    """Fill the disk of `folder`, write there, and free it again; print how the store took it."""
    path, filler = folder / "library.db", folder / "filler"
    with Store.open(path, create=True) as store:
        store.add_run(ledgers.run_record())
        commit(store, 0)
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        for write in (lambda: commit(store, 1), lambda: Store.open(folder / "new.db", create=True)):
            try:
                write()
            except StoreError as error:
                print(error)
        full = writers.assert_whole(store, "run")
        filler.unlink()
        commit(store, 1)
        Store.open(folder / "new.db", create=True).close()
    with Store.open(path) as store:
        print(f"{full} on record on the full disk, {writers.assert_whole(store, 'run')} with space again")


def commit(store: Store, number: int, **fields: Any) -> None:
    ledgers.commit(store, number, writers.generation("run", number), tasks=[ledgers.XOR], **fields)


def test_a_server_on_a_full_disk_keeps_what_was_recorded_and_goes_on(
    postgres: Server, postgres_url: str
) -> None:
    with Store.open(postgres_url, create=True) as store:
        store.add_run(ledgers.run_record())
        commit(store, 0)
        [process] = postgres.processes_of(postgres_url)
        # To PostgreSQL a file that may not grow is a disk without space. Its journal's files are of 1 MB.
        postgres.limit_files(process, 1 << 20)
        with pytest.raises(StoreError, match=r"^cannot write .*could not extend file") as raised:
            commit(store, 1, metrics={"large": random.Random(0).randbytes(2 << 20).hex()})
        assert str(raised.value).endswith(MEND)
        assert "\n" not in str(raised.value)
        assert writers.assert_whole(store, "run") == 1
        postgres.limit_files(process, None)
        commit(store, 1)
        assert writers.assert_whole(store, "run") == 2


if __name__ == "__main__":
    _meet_a_full_disk(Path(sys.argv[1]))
