"""A folder is written whole or not at all, and nothing that differs is overwritten."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tamiyo.expansion.folders import FolderError, check_free, write_folder

FILES = {"provenance.json": b"{}\n", "units/head.py": b"class Head: ...\n"}


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("is_there", [False, True])
def test_files_come_into_a_new_or_an_empty_folder(tmp_path: Path, is_there: bool) -> None:
    out = tmp_path / "new" / "model"
    if is_there:
        out.mkdir(parents=True)
    assert write_folder(FILES, out)
    assert content(out) == FILES
    assert os.listdir(out.parent) == ["model"]
    assert out.stat().st_mode & 0o055 == 0o055


def test_the_same_expansion_stays_with_what_was_put_there(tmp_path: Path) -> None:
    write_folder(FILES, tmp_path / "out")
    (tmp_path / "out" / "model.pt").write_bytes(b"weights")
    before = (tmp_path / "out").stat().st_mtime_ns
    assert not write_folder(FILES, tmp_path / "out")
    assert content(tmp_path / "out") == {**FILES, "model.pt": b"weights"}
    assert (tmp_path / "out").stat().st_mtime_ns == before


@pytest.mark.parametrize("change", [{"units/head.py": b"mine"}, {"provenance.json": b"{ }\n"}])
def test_another_expansion_or_a_changed_one_is_not_overwritten(
    tmp_path: Path, change: dict[str, bytes]
) -> None:
    write_folder({**FILES, **change}, tmp_path / "out")
    with pytest.raises(FolderError, match="out holds something else; expected a new or empty folder"):
        write_folder(FILES, tmp_path / "out")
    assert content(tmp_path / "out") == {**FILES, **change}
    assert os.listdir(tmp_path) == ["out"]


def test_files_of_the_user_and_folders_of_theirs_are_refused_beforehand(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(FolderError, match="file is a file; expected a new folder"):
        check_free(tmp_path / "file")
    with pytest.raises(FolderError, match="full holds something else"):
        check_free(tmp_path / "full")
    check_free(tmp_path / "new")


def test_a_folder_that_cannot_be_made_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match=r"cannot write .*: File exists; .*nothing was left there"):
        write_folder(FILES, tmp_path / "file" / "out")
    with pytest.raises(FolderError, match=r"cannot write .*: File name too long"):
        write_folder({**FILES, "x" * 300: b""}, tmp_path / "out")
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_could_not_be_made_is_refused_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match=r"cannot write .*out: .*file is a file"):
        check_free(tmp_path / "file" / "new" / "out")
    with pytest.raises(FolderError, match=r"cannot write .*: File name too long"):
        check_free(tmp_path / ("x" * 300))
    with monkeypatch.context() as patched:
        patched.setattr(os.path, "ismount", lambda path: True)
        with pytest.raises(FolderError, match=r"cannot write .*disk: a disk is mounted there"):
            check_free(tmp_path / "disk")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(FolderError, match=rf"cannot write .*out: {tmp_path} may not be written to"):
        check_free(tmp_path / "new" / "out")


def test_what_a_model_makes_goes_into_an_empty_folder_alone(tmp_path: Path) -> None:
    write_folder(FILES, tmp_path / "out")
    check_free(tmp_path / "out")
    with pytest.raises(FolderError, match="out is not empty; expected a new or empty folder"):
        check_free(tmp_path / "out", is_empty=True)
    (tmp_path / "empty").mkdir()
    check_free(tmp_path / "empty", is_empty=True)


def test_the_folder_one_is_in_and_a_link_to_one_are_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert write_folder(FILES, Path())
    (tmp_path / "link").symlink_to(tmp_path / "there")
    assert write_folder(FILES, tmp_path / "link")
    for name in ("here", "there", "link"):
        assert content(tmp_path / name) == FILES
    assert (tmp_path / "link").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["here", "link", "there"]


_WRITE = """
import sys
from pathlib import Path
from tamiyo.expansion import folders

def slow(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content[:1])
    print("half", flush=True)
    sys.stdin.read()

folders._write = slow
folders.write_folder({"provenance.json": b"{}"}, Path(sys.argv[1]))
"""


def test_what_a_killed_process_left_is_taken_away_and_a_living_ones_is_not(tmp_path: Path) -> None:
    out = tmp_path / "out"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITE, str(out)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
    processes[0].kill()
    processes[0].wait()
    assert not out.exists()
    assert len(os.listdir(tmp_path)) == 2
    assert write_folder(FILES, out)
    assert content(out) == FILES
    assert len(os.listdir(tmp_path)) == 2, "the living one's folder stays"
    _, _ = processes[1].communicate(b"")
    assert processes[1].returncode == 1, "somebody else was faster"
    assert content(out) == FILES
    for process in processes:
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
    assert os.listdir(tmp_path) == ["out"]
